package web

import (
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/learn"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/store"
)

// description is the OpenAPI description of the API. A test holds every route and every answer to it.
//
//go:embed openapi.json
var description []byte

// prefix is the path of the API.
const prefix = "/api/v1"

// route is one operation of the API.
type route struct {
	method, path string
	serve        func(s *Server, w http.ResponseWriter, r *http.Request) error
	history      bool // asks the history: has a place and a time
}

// operations are all of the API; openapi.json says what they do.
var operations = []route{
	{"GET", "/openapi.json", (*Server).openapi, false},
	{"GET", "/status", (*Server).status, true},
	{"GET", "/live", (*Server).live, false},
	{"GET", "/events", (*Server).events, false},
	{"GET", "/scores", (*Server).scores, true},
	{"GET", "/top/{by}", (*Server).top, true},
	{"GET", "/flows", (*Server).flows, true},
	{"GET", "/flows/export", (*Server).exportFlows, false},
	{"GET", "/unknown", (*Server).unknown, true},
	{"GET", "/unknown/{group}", (*Server).group, true},
	{"POST", "/unknown/{group}/label", (*Server).nameGroup, true},
	{"POST", "/flows/{flow}/label", (*Server).nameFlow, true},
	{"GET", "/labels", (*Server).labels, true},
	{"DELETE", "/labels/{number}", (*Server).unlabel, true},
	{"GET", "/incidents", (*Server).incidents, true},
	{"GET", "/incidents/{id}", (*Server).incident, true},
	{"GET", "/alerts/{id}", (*Server).alert, true},
	{"GET", "/alerts/{id}/export", (*Server).exportAlerts, true},
	{"GET", "/alerts/{id}/packets", (*Server).packets, true},
	{"POST", "/alerts/{id}/verdict", (*Server).verdict, true},
	{"POST", "/alerts/{id}/exclude", (*Server).exclude, true},
	{"GET", "/exclusions", (*Server).exclusions, true},
	{"DELETE", "/exclusions/{number}", (*Server).include, true},
	{"GET", "/models", (*Server).models, false},
	{"GET", "/models/{name}/{version}", (*Server).model, false},
	{"POST", "/models/{name}/promote", (*Server).promote, false},
	{"POST", "/models/{name}/rollback", (*Server).rollback, false},
	{"GET", "/learn", (*Server).learn, false},
	{"POST", "/learn/start", (*Server).learnStart, false},
	{"POST", "/learn/enough", (*Server).learnEnough, false},
	{"POST", "/learn/windows", (*Server).learnWindows, false},
	{"POST", "/learn/train", (*Server).learnTrain, false},
	{"POST", "/learn/cancel", (*Server).learnCancel, false},
	{"POST", "/learn/promote", (*Server).learnPromote, false},
	{"POST", "/learn/discard", (*Server).learnDiscard, false},
	{"GET", "/trials", (*Server).trials, true},
	{"POST", "/links", (*Server).newLink, false},
}

// routes puts the API, the pages and those who watch over them together.
func (s *Server) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	for _, op := range operations {
		mux.HandleFunc(op.method+" "+prefix+op.path, func(w http.ResponseWriter, r *http.Request) { s.answer(&op, w, r) })
	}
	mux.HandleFunc(prefix+"/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "there is nothing of this name; /api/v1/openapi.json says what there is")
	})
	mux.HandleFunc("GET /metrics", s.metrics)
	pages, err := newPages(s.cfg.UI)
	if err != nil {
		return nil, err
	}
	mux.Handle("/", pages)
	return s.guard(mux), nil
}

// answer runs an operation within its bounds and tells how it failed.
func (s *Server) answer(op *route, w http.ResponseWriter, r *http.Request) {
	if op.history {
		ctx, stop := context.WithTimeout(r.Context(), s.cfg.Limit.Query)
		defer stop()
		r = r.WithContext(ctx)
		select {
		case s.queries <- struct{}{}:
			defer func() { <-s.queries }()
		case <-ctx.Done():
			w.Header().Set("Retry-After", "1")
			fail(w, http.StatusServiceUnavailable, "too many questions at the same time")
			return
		}
	}
	err := op.serve(s, w, r)
	var bad badRequest
	switch {
	case err == nil:
	case r.Context().Err() == context.DeadlineExceeded:
		fail(w, http.StatusGatewayTimeout, fmt.Sprintf("there was no answer within %v: ask about less time", s.cfg.Limit.Query))
	case r.Context().Err() != nil: // nobody listens
	case errors.As(err, &bad):
		fail(w, http.StatusBadRequest, bad.Error())
	case errors.Is(err, store.ErrUnknown), errors.Is(err, store.ErrNoExclusion), errors.Is(err, store.ErrNoGroup), errors.Is(err, store.ErrNoCorrection), errors.Is(err, errNoFlow), errors.Is(err, errNoPackets), errors.Is(err, model.ErrNotFound):
		fail(w, http.StatusNotFound, err.Error())
	case errors.Is(err, learn.ErrInput):
		fail(w, http.StatusBadRequest, strings.TrimPrefix(err.Error(), learn.ErrInput.Error()+": "))
	case errors.Is(err, learn.ErrPhase):
		fail(w, http.StatusConflict, strings.TrimPrefix(err.Error(), learn.ErrPhase.Error()+": "))
	case errors.Is(err, model.ErrCorrupt), errors.Is(err, model.ErrMismatch):
		fail(w, http.StatusConflict, err.Error())
	default:
		s.cfg.Warn(fmt.Sprintf("dashboard: %s %s: %v", r.Method, r.URL.Path, err))
		fail(w, http.StatusInternalServerError, err.Error())
	}
}

// badRequest is an error of the one who asks.
type badRequest struct{ error }

func bad(format string, args ...any) error { return badRequest{fmt.Errorf(format, args...)} }

// fail answers with what went wrong, as JSON.
func fail(w http.ResponseWriter, status int, text string) {
	data, _ := json.Marshal(struct {
		Error string `json:"error"`
	}{text})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(data, '\n'))
}

// reply answers with JSON, compressed where that is worth it.
func reply(w http.ResponseWriter, r *http.Request, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Vary", "Accept-Encoding")
	if len(data) < 2048 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Write(append(data, '\n'))
		return nil
	}
	w.Header().Set("Content-Encoding", "gzip")
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	z.Write(data)
	z.Close() // an error means that nobody listens
	return nil
}

// query reads the parameters of a request. Its first error is kept.
type query struct {
	values url.Values
	err    error
}

// asked returns the parameters of a request, which must be among those named.
func asked(r *http.Request, names ...string) *query {
	q := &query{values: r.URL.Query()}
	for name := range q.values {
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if !known {
			q.fail("no parameter %q: there are %s", name, strings.Join(names, ", "))
		}
	}
	return q
}

func (q *query) fail(format string, args ...any) {
	if q.err == nil {
		q.err = bad(format, args...)
	}
}

// whole returns a whole number from 0 to most.
func (q *query) whole(name string, none, most int) int {
	text := q.values.Get(name)
	if text == "" {
		return none
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		q.fail("%s=%q: want a whole number from 0 to %d", name, text, most)
	}
	return n
}

func (q *query) flag(name string) bool {
	text := q.values.Get(name)
	if text != "" && text != "true" && text != "false" {
		q.fail("%s=%q: want true or false", name, text)
	}
	return text == "true"
}

// times returns the range between since and until: Unix seconds or RFC 3339.
func (q *query) times() store.Range {
	return store.Range{Since: q.time("since"), Until: q.time("until")}
}

func (q *query) time(name string) int64 {
	text := q.values.Get(name)
	if text == "" {
		return 0
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil && t.Year() >= 1678 && t.Year() <= 2261 {
		return t.UnixNano()
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(s) < 9e9 {
		return int64(math.Round(s*1e6)) * 1000
	}
	q.fail("%s=%q: want Unix seconds, or a time such as 2026-11-22T01:30:00Z", name, text)
	return 0
}

// host returns an address or a network.
func (q *query) host() netip.Prefix {
	network, err := parseHost(q.values.Get("host"))
	if err != nil && q.err == nil {
		q.err = err
	}
	return network
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	w.Write(description)
	return nil
}

// Status is what there is to know beside traffic.
type Status struct {
	Version  string     `json:"version"`
	Started  event.Time `json:"started"`
	Source   string     `json:"source"`
	Watching bool       `json:"watching"`
	Models   []string   `json:"models"`   // in use
	Evidence bool       `json:"evidence"` // packets of alerts are kept
	History  History    `json:"history"`
	Clients  Clients    `json:"clients"`
}

// History tells what is stored. Times are Unix seconds; null: nothing is.
type History struct {
	Oldest    *float64 `json:"oldest"`
	Newest    *float64 `json:"newest"`
	Flows     int64    `json:"flows"`
	Windows   int64    `json:"windows"`
	Alerts    int64    `json:"alerts"`
	Incidents int64    `json:"incidents"`
	Segments  int      `json:"segments"`
	Bytes     int64    `json:"bytes"`
}

// Clients counts those who follow.
type Clients struct {
	Following int    `json:"following"`
	Slow      uint64 `json:"dropped_slow"`
	Refused   uint64 `json:"refused"`
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	info, err := s.cfg.History.Info(r.Context())
	if err != nil {
		return err
	}
	st := Status{
		Version: s.cfg.Version, Started: event.Time(s.started.UnixNano()), Source: s.cfg.Source, Watching: s.cfg.Live != nil, Evidence: s.cfg.Packets != nil,
		Models: append([]string{}, s.inUse()...),
		History: History{Flows: info.Flows, Windows: info.Windows, Alerts: info.Alerts, Incidents: info.Incidents,
			Segments: info.Segments, Bytes: info.Bytes},
	}
	if info.Newest != 0 || info.Oldest != 0 {
		oldest, newest := seconds(info.Oldest), seconds(info.Newest)
		st.History.Oldest, st.History.Newest = &oldest, &newest
	}
	st.Clients.Following, st.Clients.Slow, st.Clients.Refused = s.stream.counts()
	return reply(w, r, st)
}

func (s *Server) live(w http.ResponseWriter, r *http.Request) error {
	state := emptyState()
	if l := s.cfg.Live; l != nil {
		state = l.between(cursor{}, l.cursor(), s.cfg.Explain)
		state.Skipped = 0
	}
	return reply(w, r, state)
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	s.stream.ServeHTTP(w, r)
	return nil
}

func (s *Server) newLink(w http.ResponseWriter, r *http.Request) error {
	return reply(w, r, struct {
		Path string `json:"path"`
	}{s.Link()})
}

// decode reads the JSON that a request brings, and refuses what it does not know.
func decode(r *http.Request, v any) error {
	if t := r.Header.Get("Content-Type"); !strings.HasPrefix(t, "application/json") {
		return bad("Content-Type %q: want application/json", t)
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return bad("the body is not as wanted: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("there is more behind the body's JSON")
	}
	return nil
}
