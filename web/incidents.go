package web

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// IncidentLine is an incident in a list.
type IncidentLine struct {
	ID      int64      `json:"id"`
	Source  string     `json:"source"`
	Start   event.Time `json:"start"`
	End     event.Time `json:"end"`
	Alerts  int        `json:"alerts"`
	Peak    float64    `json:"peak"`
	PeakID  string     `json:"peak_alert"`
	What    string     `json:"what"` // the plain sentence of its highest alert
	Verdict Verdict    `json:"verdict"`
}

// Verdict is what a person made of an alert.
type Verdict struct {
	Verdict store.Verdict `json:"verdict"`
	Note    string        `json:"note"`
	Who     string        `json:"who"`
	At      *event.Time   `json:"at"` // null: no verdict yet
}

func verdictOf(t store.Triage) Verdict {
	if t.Verdict == "" {
		return Verdict{Verdict: store.Untriaged}
	}
	return Verdict{t.Verdict, t.Note, t.Who, (*event.Time)(&t.At)}
}

// AlertLine is an alert in the list of an incident.
type AlertLine struct {
	ID string `json:"id"`
	Brief
	Verdict Verdict `json:"verdict"`
}

// AlertWhole is an alert with all that explains it.
type AlertWhole struct {
	ID       string      `json:"id"`
	Incident int64       `json:"incident"`
	Source   string      `json:"source"`
	What     string      `json:"what"`
	Verdict  Verdict     `json:"verdict"`
	Alert    event.Alert `json:"alert"`
}

func (s *Server) incidentLine(r *http.Request, in *store.Incident) (IncidentLine, error) {
	peak := store.ID{Incident: in.ID, Alert: in.PeakAlert}
	line := IncidentLine{
		ID: in.ID, Source: in.Source, Start: event.Time(in.Start), End: event.Time(in.End), Alerts: in.Windows, Peak: in.Peak,
		PeakID: peak.String(), Verdict: verdictOf(in.Triage),
	}
	for a, err := range s.cfg.History.Alerts(r.Context(), store.AlertQuery{ID: peak}) {
		if err != nil {
			return line, err
		}
		line.What = s.cfg.Explain(&a.Alert)
	}
	return line, nil
}

func (s *Server) incidents(w http.ResponseWriter, r *http.Request) error {
	p := asked(r, "since", "until", "verdict", "limit")
	q := store.IncidentQuery{Range: p.times(), Verdict: store.Verdict(p.values.Get("verdict")), Limit: max(p.whole("limit", 200, maxIncident), 1)}
	switch q.Verdict {
	case "", store.Untriaged, store.Confirmed, store.Dismissed:
	default:
		p.fail("verdict=%q: there are %s, %s and %s", q.Verdict, store.Untriaged, store.Confirmed, store.Dismissed)
	}
	if p.err != nil {
		return p.err
	}
	found, err := s.cfg.History.Incidents(r.Context(), q)
	if err != nil {
		return err
	}
	out := struct {
		Incidents []IncidentLine `json:"incidents"` // the newest first
	}{make([]IncidentLine, len(found))}
	for i := range found {
		if out.Incidents[len(found)-1-i], err = s.incidentLine(r, &found[i]); err != nil {
			return err
		}
	}
	return reply(w, r, out)
}

// id reads the ID in a path.
func id(r *http.Request) (store.ID, error) {
	id, err := store.ParseID(r.PathValue("id"))
	if err != nil {
		return id, badRequest{err}
	}
	return id, nil
}

func (s *Server) incident(w http.ResponseWriter, r *http.Request) error {
	p := asked(r)
	id, err := id(r)
	if p.err != nil || err != nil {
		return firstError(p.err, err)
	}
	found, err := s.cfg.History.Incidents(r.Context(), store.IncidentQuery{ID: id.Incident})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return store.ErrUnknown
	}
	line, err := s.incidentLine(r, &found[0])
	if err != nil {
		return err
	}
	out := struct {
		IncidentLine
		List []AlertLine `json:"list"`
	}{line, []AlertLine{}}
	for a, err := range s.cfg.History.Alerts(r.Context(), store.AlertQuery{ID: store.ID{Incident: id.Incident}}) {
		if err != nil {
			return err
		}
		if len(out.List) < maxIncident {
			out.List = append(out.List, AlertLine{a.ID.String(), Brief{a.Alert.Start, a.Alert.Length, *a.Alert.Score, a.Alert.Threshold, s.cfg.Explain(&a.Alert)}, verdictOf(a.Triage)})
		}
	}
	return reply(w, r, out)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) whole(a *store.Alert) AlertWhole {
	return AlertWhole{a.ID.String(), a.ID.Incident, a.Source, s.cfg.Explain(&a.Alert), verdictOf(a.Triage), a.Alert}
}

// alert answers with an alert, or with the highest one of an incident.
func (s *Server) alert(w http.ResponseWriter, r *http.Request) error {
	p := asked(r)
	id, err := id(r)
	if p.err != nil || err != nil {
		return firstError(p.err, err)
	}
	if id.Alert == 0 {
		found, err := s.cfg.History.Incidents(r.Context(), store.IncidentQuery{ID: id.Incident})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return store.ErrUnknown
		}
		id.Alert = found[0].PeakAlert
	}
	for a, err := range s.cfg.History.Alerts(r.Context(), store.AlertQuery{ID: id}) {
		if err != nil {
			return err
		}
		return reply(w, r, s.whole(a))
	}
	return store.ErrUnknown
}

// exportAlerts writes an alert, or all of an incident, as JSON lines.
func (s *Server) exportAlerts(w http.ResponseWriter, r *http.Request) error {
	p := asked(r)
	id, err := id(r)
	if p.err != nil || err != nil {
		return firstError(p.err, err)
	}
	enc := json.NewEncoder(w)
	n := 0
	for a, err := range s.cfg.History.Alerts(r.Context(), store.AlertQuery{ID: id}) {
		if err != nil {
			if n > 0 {
				return nil // the line that is missing tells
			}
			return err
		}
		if n++; n == 1 {
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Content-Disposition", `attachment; filename="weir-alert-`+id.String()+`.ndjson"`)
		}
		if enc.Encode(s.whole(a)) != nil {
			return nil // nobody listens
		}
	}
	if n == 0 {
		return store.ErrUnknown
	}
	return nil
}

// maxNote bounds a note, in bytes.
const maxNote = 2000

// verdict notes what a person made of an alert or an incident, and answers with how it stands.
func (s *Server) verdict(w http.ResponseWriter, r *http.Request) error {
	id, err := id(r)
	if err != nil {
		return err
	}
	var in struct {
		Verdict store.Verdict `json:"verdict"`
		Note    string        `json:"note"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	switch in.Verdict {
	case store.Untriaged, store.Confirmed, store.Dismissed:
	default:
		return bad("verdict %q: there are %s, %s and %s", in.Verdict, store.Untriaged, store.Confirmed, store.Dismissed)
	}
	if len(in.Note) > maxNote {
		return bad("the note has %d bytes, %d are allowed", len(in.Note), maxNote)
	}
	t := store.Triage{Verdict: in.Verdict, Note: in.Note, Who: s.cfg.Who, At: s.cfg.Now().Truncate(time.Microsecond).UnixNano()}
	if err := s.cfg.History.Triage(r.Context(), id, t); err != nil {
		return err
	}
	return reply(w, r, verdictOf(t))
}
