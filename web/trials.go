package web

import (
	"net/http"

	"github.com/weirnet/weir/store"
)

// trials tells how models on trial did beside those in use.
func (s *Server) trials(w http.ResponseWriter, r *http.Request) error {
	p := asked(r, "since", "until")
	when := p.times()
	if p.err != nil {
		return p.err
	}
	c, err := store.Compare(r.Context(), s.cfg.History, when)
	if err != nil {
		return err
	}
	return reply(w, r, c)
}
