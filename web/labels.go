package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// Group is flows unlike everything in training that are alike.
type Group struct {
	ID         int64      `json:"id"`
	Model      string     `json:"model"`
	Flows      int64      `json:"flows"`
	Unnamed    int64      `json:"unnamed"` // of them, those without a name
	First      event.Time `json:"first"`
	Last       event.Time `json:"last"`
	Clients    int        `json:"clients"`    // addresses
	Servers    []Part     `json:"servers"`    // address and port
	Ports      []Part     `json:"ports"`      // 443/tcp
	Nearest    []Part     `json:"nearest"`    // applications that training knew
	Similarity float64    `json:"similarity"` // to the nearest; 0: not known
	Limit      float64    `json:"limit"`      // similarity that its flows have to the first one
	Names      []string   `json:"names"`      // that its flows were given
	Bytes      int64      `json:"payload_bytes"`
}

// Part is a part of a group.
type Part struct {
	Name  string `json:"name"`
	Flows int64  `json:"flows"`
}

// SampleLine is a flow to learn from, without what it carried.
type SampleLine struct {
	event.Tuple
	At         event.Time `json:"at"` // decided
	App        string     `json:"app"`
	Confidence float64    `json:"confidence"`
	Model      string     `json:"model"`
	Name       string     `json:"name"`    // that it was given; "": none
	Payload    int        `json:"payload"` // bytes of its opening that are kept
}

// CorrectionLine is what a person said that flows are.
type CorrectionLine struct {
	ID       int64       `json:"id"`
	App      string      `json:"app"`
	Group    int64       `json:"group"`    // 0: a single flow
	Port     uint16      `json:"port"`     // of the group, only flows to it; 0: all
	Flows    int64       `json:"flows"`    // that bear it
	Openings int64       `json:"openings"` // of them, those whose payload is kept to learn from
	Was      string      `json:"was"`      // label of the first of the flows
	Example  event.Tuple `json:"example"`  // and which it is
	Note     string      `json:"note"`
	Who      string      `json:"who"`
	At       event.Time  `json:"at"`
}

// groupExamples is how many flows of a group are told.
const groupExamples = 10

func parts(from []store.Part) []Part {
	all := make([]Part, 0, len(from))
	for _, p := range from {
		all = append(all, Part(p))
	}
	return all
}

func correctionLine(c *store.Correction) CorrectionLine {
	return CorrectionLine{
		ID: c.ID, App: c.App, Group: c.Group, Port: c.Port, Flows: c.Flows, Openings: c.Openings, Was: c.Was, Example: c.Example, Note: c.Note, Who: c.Who, At: event.Time(c.At),
	}
}

func (s *Server) unknown(w http.ResponseWriter, r *http.Request) error {
	p := asked(r, "since", "until")
	q := store.GroupQuery{Range: p.times()}
	if p.err != nil {
		return p.err
	}
	groups, err := s.cfg.History.Groups(r.Context(), q)
	if err != nil {
		return err
	}
	out := struct {
		Groups []Group `json:"groups"`
		Flows  int64   `json:"flows"`
	}{Groups: make([]Group, 0, len(groups))}
	for i := range groups {
		g := &groups[i]
		line := Group{
			ID: g.ID, Model: g.Model, Flows: g.Flows, Unnamed: g.Unnamed, First: event.Time(g.First), Last: event.Time(g.Last), Clients: g.Clients,
			Servers: parts(g.Servers), Ports: parts(g.Ports), Nearest: parts(g.Nearest), Similarity: g.Similarity, Limit: g.Limit,
			Names: append([]string{}, g.Names...), Bytes: g.Bytes,
		}
		out.Flows += g.Flows
		out.Groups = append(out.Groups, line)
	}
	return reply(w, r, out)
}

// group answers with the newest flows of a group.
func (s *Server) group(w http.ResponseWriter, r *http.Request) error {
	number, err := whole(r, "group")
	if p := asked(r); p.err != nil || err != nil {
		return firstError(p.err, err)
	}
	out := struct {
		Examples []SampleLine `json:"examples"`
	}{[]SampleLine{}}
	for one, err := range s.cfg.History.Samples(r.Context(), store.SampleQuery{Group: number, Newest: true, Limit: groupExamples}) {
		if err != nil {
			return err
		}
		out.Examples = append(out.Examples, SampleLine{
			Tuple: one.Tuple, At: event.Time(one.At), App: one.Label.App, Confidence: one.Label.Confidence, Model: one.Label.Model,
			Name: one.App, Payload: len(one.Label.Sample.Opening),
		})
	}
	if len(out.Examples) == 0 {
		return store.ErrNoGroup
	}
	return reply(w, r, out)
}

var errNoFlow = errors.New("no flow of this number ended then")

// whole reads a number of the path.
func whole(r *http.Request, name string) (int64, error) {
	number, err := strconv.ParseInt(r.PathValue(name), 10, 64)
	if err != nil || number < 1 {
		return 0, bad("%s %q: want its number", name, r.PathValue(name))
	}
	return number, nil
}

// correction reads what a request says that flows are.
func (s *Server) correction(r *http.Request, in any, app, note *string) (c store.Correction, err error) {
	if err := decode(r, in); err != nil {
		return c, err
	}
	if err := store.CheckName(*app); err != nil {
		return c, badRequest{err}
	}
	if len(*note) > maxNote {
		return c, bad("the note has %d bytes, %d are allowed", len(*note), maxNote)
	}
	return store.Correction{App: *app, Note: *note, Who: s.cfg.Who, At: s.cfg.Now().UnixNano()}, nil
}

func (s *Server) correct(w http.ResponseWriter, r *http.Request, c store.Correction) error {
	c, err := s.cfg.History.Correct(r.Context(), c)
	if err != nil {
		return err
	}
	return reply(w, r, correctionLine(&c))
}

// nameGroup says what application the flows of a group are.
func (s *Server) nameGroup(w http.ResponseWriter, r *http.Request) error {
	number, err := whole(r, "group")
	if err != nil {
		return err
	}
	var in struct {
		App  string `json:"app"`
		Port uint16 `json:"port"`
		Note string `json:"note"`
	}
	c, err := s.correction(r, &in, &in.App, &in.Note)
	if err != nil {
		return err
	}
	c.Group, c.Port = number, in.Port
	return s.correct(w, r, c)
}

// nameFlow says what application a flow is that ended at a time.
func (s *Server) nameFlow(w http.ResponseWriter, r *http.Request) error {
	id, err := whole(r, "flow")
	if err != nil {
		return err
	}
	var in struct {
		App  string     `json:"app"`
		Note string     `json:"note"`
		End  event.Time `json:"end"`
	}
	c, err := s.correction(r, &in, &in.App, &in.Note)
	if err != nil {
		return err
	}
	f, err := store.FlowByID(r.Context(), s.cfg.History, uint64(id), store.Range{Since: int64(in.End), Until: int64(in.End) + 1000})
	if err != nil {
		return err
	}
	if f == nil {
		return errNoFlow
	}
	var opening *event.Sample
	if s.cfg.Opening != nil {
		opening = s.cfg.Opening(uint64(id))
	}
	c.Of = store.SampleOf(f, opening)
	return s.correct(w, r, c)
}

func (s *Server) labels(w http.ResponseWriter, r *http.Request) error {
	if p := asked(r); p.err != nil {
		return p.err
	}
	all, err := s.cfg.History.Corrections(r.Context())
	if err != nil {
		return err
	}
	out := struct {
		Labels []CorrectionLine `json:"labels"`
	}{make([]CorrectionLine, 0, len(all))}
	for i := range all {
		out.Labels = append(out.Labels, correctionLine(&all[i]))
	}
	return reply(w, r, out)
}

// unlabel takes a correction back.
func (s *Server) unlabel(w http.ResponseWriter, r *http.Request) error {
	number, err := whole(r, "number")
	if err != nil {
		return err
	}
	if err := s.cfg.History.RemoveCorrection(r.Context(), number); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
