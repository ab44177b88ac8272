package web

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"time"

	"github.com/weirnet/weir/learn"
)

// learner returns what learns, or why there is none.
func (s *Server) learner() (*learn.Learner, error) {
	if s.cfg.Learn == nil {
		return nil, fmt.Errorf("%w: learning needs a running weir run; this one shows a history", learn.ErrPhase)
	}
	return s.cfg.Learn, nil
}

func (s *Server) learn(w http.ResponseWriter, r *http.Request) error {
	if p := asked(r); p.err != nil {
		return p.err
	}
	if s.cfg.Learn == nil {
		return reply(w, r, learn.Nothing())
	}
	return reply(w, r, s.cfg.Learn.State())
}

// change makes one change to what is learned and answers how it stands then.
func (s *Server) change(w http.ResponseWriter, r *http.Request, change func(*learn.Learner) error) error {
	l, err := s.learner()
	if err != nil {
		return err
	}
	if err := change(l); err != nil {
		return err
	}
	return reply(w, r, l.State())
}

// span makes a length of time of seconds.
func span(seconds float64) (time.Duration, error) {
	if !(seconds >= 0 && seconds < 1e9) {
		return 0, bad("%v seconds: want a number from 0 to 10⁹", seconds)
	}
	return time.Duration(math.Round(seconds * 1e9)), nil
}

func (s *Server) learnStart(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Seconds float64  `json:"seconds"`
		Window  float64  `json:"window"`
		Home    []string `json:"home"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	want, err := span(in.Seconds)
	if err != nil {
		return err
	}
	length, err := span(in.Window)
	if err != nil {
		return err
	}
	var home []netip.Prefix
	for _, text := range in.Home {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return bad("home network %q: want one such as 192.168.0.0/16", text)
		}
		home = append(home, network.Masked())
	}
	return s.change(w, r, func(l *learn.Learner) error { return l.Start(want, length, home) })
}

func (s *Server) learnEnough(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, (*learn.Learner).Enough)
}

func (s *Server) learnWindows(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Start float64 `json:"start"` // Unix seconds
		End   float64 `json:"end"`
		Use   bool    `json:"use"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	if !(math.Abs(in.Start) < 9e9 && math.Abs(in.End) < 9e9) {
		return bad("from %v to %v: want Unix seconds", in.Start, in.End)
	}
	nanos := func(seconds float64) int64 { return int64(math.Round(seconds*1e6)) * 1000 }
	return s.change(w, r, func(l *learn.Learner) error { return l.Choose(nanos(in.Start), nanos(in.End), in.Use) })
}

func (s *Server) learnTrain(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		PerDay float64 `json:"false_alarms_per_day"`
		Epochs int     `json:"epochs"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	return s.change(w, r, func(l *learn.Learner) error { return l.Train(in.PerDay, in.Epochs) })
}

func (s *Server) learnCancel(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, (*learn.Learner).Cancel)
}

func (s *Server) learnPromote(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, func(l *learn.Learner) error {
		_, err := l.Promote()
		return err
	})
}

func (s *Server) learnDiscard(w http.ResponseWriter, r *http.Request) error {
	return s.change(w, r, (*learn.Learner).Discard)
}
