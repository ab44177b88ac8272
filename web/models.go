package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/weirnet/weir/model"
)

// ModelLine is one version of a model in a list.
type ModelLine struct {
	Name     string     `json:"name"`
	Version  string     `json:"version"`
	Kind     model.Kind `json:"kind"`
	Profile  string     `json:"profile"`
	Created  *time.Time `json:"created"` // null when it cannot be read
	Labels   int        `json:"labels"`
	Features string     `json:"features"`
	Live     bool       `json:"live"`   // what its name stands for
	InUse    bool       `json:"in_use"` // labels or scores now
	Fault    string     `json:"fault"`  // why it cannot be read; "": it can
}

func (s *Server) models(w http.ResponseWriter, r *http.Request) error {
	if p := asked(r); p.err != nil {
		return p.err
	}
	entries, err := s.cfg.Models.List()
	if err != nil {
		return err
	}
	inUse := s.inUse()
	out := struct {
		Models []ModelLine `json:"models"`
	}{[]ModelLine{}}
	for i := range entries {
		e := &entries[i]
		line := ModelLine{
			Name: e.Name, Version: e.Version, Kind: e.Kind, Profile: e.Profile, Labels: len(e.Labels), Features: e.Features, Live: e.Live,
			InUse: slices.Contains(inUse, e.Ref()),
		}
		if e.Fault != nil {
			line.Fault = e.Fault.Error()
		} else {
			line.Created = &e.Created
		}
		out.Models = append(out.Models, line)
	}
	return reply(w, r, out)
}

func (s *Server) model(w http.ResponseWriter, r *http.Request) error {
	if p := asked(r); p.err != nil {
		return p.err
	}
	name, version := r.PathValue("name"), r.PathValue("version")
	for _, part := range []string{name, version} {
		if err := model.CheckName(part); err != nil {
			return badRequest{err}
		}
	}
	p, err := s.cfg.Models.Load(name + "@" + version)
	if err != nil {
		return err
	}
	weights := 0
	for _, t := range p.Weights {
		weights += len(t.Data)
	}
	return reply(w, r, struct {
		model.Manifest
		Weights    int             `json:"weights"` // numbers
		Evaluation json.RawMessage `json:"evaluation,omitempty"`
	}{p.Manifest, weights, p.Evaluation})
}

// promoted is the answer to a change: NAME@VERSION stands for its name from now on.
type promoted struct {
	Live    string `json:"live"`
	Follows bool   `json:"follows"` // what is watched takes it over
}

func (s *Server) promoted(name, version string) promoted {
	return promoted{Live: name + "@" + version, Follows: s.cfg.Follows != nil && s.cfg.Follows(name)}
}

func (s *Server) promote(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Version string `json:"version"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	name := r.PathValue("name")
	for _, part := range []string{name, in.Version} {
		if err := model.CheckName(part); err != nil {
			return badRequest{err}
		}
	}
	ref := name + "@" + in.Version
	if err := s.cfg.Models.Promote(ref); err != nil {
		return err
	}
	return reply(w, r, s.promoted(name, in.Version))
}

func (s *Server) rollback(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := model.CheckName(name); err != nil {
		return badRequest{err}
	}
	version, err := s.cfg.Models.Rollback(name)
	if err != nil {
		return err
	}
	return reply(w, r, s.promoted(name, version))
}

// inUse returns the models that label and score now: those of the start, or those that took over.
func (s *Server) inUse() []string {
	if s.cfg.Live != nil {
		if m := s.cfg.Live.models(); m != nil {
			return slices.DeleteFunc([]string{m.Apps, m.Anomaly}, func(ref string) bool { return ref == "" })
		}
	}
	return s.cfg.InUse
}
