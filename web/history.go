package web

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// Bounds of answers.
const (
	maxPoints   = 20_000
	maxTop      = 1_000
	maxFlows    = 2_000
	maxExport   = 1_000_000
	maxIncident = 1_000
)

// scores answers with the scores of windows, thinned to at most so many points: the highest of each step.
func (s *Server) scores(w http.ResponseWriter, r *http.Request) error {
	p := asked(r, "since", "until", "points")
	q := store.ScoreQuery{Range: p.times()}
	points := max(p.whole("points", 10_000, maxPoints), 1)
	if p.err != nil {
		return p.err
	}
	var step time.Duration
	span, err := s.span(r, q.Range)
	if err != nil {
		return err
	}
	if every := s.windowLength(); every > 0 && int64(span/every) > int64(points) {
		step = (span/time.Duration(points) + every - 1).Truncate(every)
	} else if every == 0 {
		step = span / time.Duration(points)
		if step < time.Second {
			step = 0
		}
	}
	q.Step = step
	scores, err := s.cfg.History.Scores(r.Context(), q)
	if err != nil {
		return err
	}
	out := struct {
		Windows Windows `json:"windows"`
		Step    float64 `json:"step"` // seconds of which the highest is told; 0: all are
	}{newWindows(len(scores)), step.Seconds()}
	for i := range scores {
		c := &scores[i]
		out.Windows.add(c.Start, c.Length.Seconds(), c.Packets, c.Score, c.Threshold, c.Anomalous, c.Lost, c.Unsure)
	}
	return reply(w, r, out)
}

// span is how long a range is, within what is stored.
func (s *Server) span(r *http.Request, q store.Range) (time.Duration, error) {
	if q.Since != 0 && q.Until != 0 {
		return time.Duration(max(q.Until-q.Since, 0)), nil
	}
	info, err := s.cfg.History.Info(r.Context())
	if q.Since == 0 {
		q.Since = info.Oldest
	}
	if q.Until == 0 {
		q.Until = info.Newest
	}
	return time.Duration(max(q.Until-q.Since, 0)), err
}

// windowLength is the length of the windows that are watched now; 0: not known.
func (s *Server) windowLength() time.Duration {
	if s.cfg.Live == nil {
		return 0
	}
	s.cfg.Live.mu.Lock()
	defer s.cfg.Live.mu.Unlock()
	if len(s.cfg.Live.windows.all) == 0 {
		return 0
	}
	return time.Duration(s.cfg.Live.windows.all[0].length * float64(time.Second))
}

func totalOf(t *store.Total) Total {
	return Total{Name: t.Name, Novel: t.Novel, Flows: t.Flows, Packets: t.Packets, Bytes: t.Bytes, Payload: t.Payload}
}

func (s *Server) top(w http.ResponseWriter, r *http.Request) error {
	p := asked(r, "since", "until", "limit")
	q := store.TopQuery{Range: p.times(), Limit: max(p.whole("limit", 20, maxTop), 1)}
	switch by := r.PathValue("by"); by {
	case "apps":
		q.By = store.Apps
	case "hosts":
		q.By = store.Hosts
	case "ports":
		q.By = store.Ports
	default:
		p.fail("top/%s: there are apps, hosts and ports", by)
	}
	if p.err != nil {
		return p.err
	}
	top, err := s.cfg.History.Top(r.Context(), q)
	if err != nil {
		return err
	}
	out := struct {
		Totals []Total `json:"totals"`
		Rest   Total   `json:"rest"` // of what is not told by name
	}{make([]Total, 0, len(top.Totals)), totalOf(&top.Rest)}
	for i := range top.Totals {
		out.Totals = append(out.Totals, totalOf(&top.Totals[i]))
	}
	return reply(w, r, out)
}

// FlowLine is an ended flow, as the events tell it.
type FlowLine struct {
	Timestamp event.Time `json:"timestamp"`
	Type      event.Type `json:"event_type"`
	event.Tuple
	Flow event.Flow `json:"flow"`
}

func flowLine(f *store.Flow) FlowLine {
	line := FlowLine{f.Flow.End, event.TypeFlow, f.Tuple, f.Flow}
	if f.Flow.Confidence != nil {
		sure := *f.Flow.Confidence
		line.Flow.Confidence = &sure
	}
	return line
}

// flowQuery reads a search of flows.
func flowQuery(p *query) store.FlowQuery {
	return store.FlowQuery{
		Range: p.times(), App: p.values.Get("app"), Host: p.host(), Port: uint16(p.whole("port", 0, 65535)), Novel: p.flag("novel"), Newest: true,
	}
}

func (s *Server) flows(w http.ResponseWriter, r *http.Request) error {
	p := asked(r, "since", "until", "app", "host", "port", "novel", "limit")
	q := flowQuery(p)
	limit := max(p.whole("limit", 200, maxFlows), 1)
	if p.err != nil {
		return p.err
	}
	q.Limit = limit + 1
	out := struct {
		Flows  []FlowLine `json:"flows"`
		More   bool       `json:"more"`             // there are more
		Faults []string   `json:"faults,omitempty"` // parts of the history that could not be read
	}{Flows: []FlowLine{}}
	for f, err := range s.cfg.History.Flows(r.Context(), q) {
		switch {
		case err != nil && r.Context().Err() != nil:
			return err
		case err != nil:
			out.Faults = append(out.Faults, err.Error())
		case len(out.Flows) == limit:
			out.More = true
		default:
			out.Flows = append(out.Flows, flowLine(f))
		}
	}
	if len(out.Faults) > 0 && len(out.Flows) == 0 {
		return errors.New(out.Faults[0])
	}
	return reply(w, r, out)
}

// exportFlows writes all flows of a search, as JSON lines or CSV. It stops at a million, and says so in the
// trailer Weir-Complete.
func (s *Server) exportFlows(w http.ResponseWriter, r *http.Request) error {
	p := asked(r, "since", "until", "app", "host", "port", "novel", "format")
	q := flowQuery(p)
	format := cmp.Or(p.values.Get("format"), "csv")
	if format != "csv" && format != "ndjson" {
		p.fail("format=%q: there are csv and ndjson", format)
	}
	if p.err != nil {
		return p.err
	}
	q.Limit = maxExport + 1
	select {
	case s.queries <- struct{}{}:
		defer func() { <-s.queries }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	out := http.NewResponseController(w)
	until := time.Now().Add(s.cfg.Limit.Export)
	h := w.Header()
	h.Set("Content-Disposition", `attachment; filename="weir-flows.`+format+`"`)
	h.Set("Content-Type", map[string]string{"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}[format])
	h.Set("Trailer", "Weir-Complete")
	write, flush := flowWriter(format, w)
	n, whole := 0, true
	for f, err := range s.cfg.History.Flows(r.Context(), q) {
		if err != nil || n == maxExport || time.Now().After(until) {
			whole = false
			if err != nil {
				s.cfg.Warn(fmt.Sprintf("dashboard: export of flows: %v", err))
				continue
			}
			break
		}
		if n%1000 == 0 {
			out.SetWriteDeadline(time.Now().Add(writeWait)) // who reads slowly does not keep the history busy
		}
		if write(f) != nil {
			return nil // nobody listens
		}
		n++
	}
	flush()
	h.Set("Weir-Complete", strconv.FormatBool(whole))
	return nil
}

// flowColumns are the columns of the CSV of flows.
var flowColumns = []string{
	"start", "end", "src_ip", "src_port", "dest_ip", "dest_port", "proto", "app", "confidence", "novel", "label_source", "label_packets", "model",
	"pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient", "payload_bytes_toserver", "payload_bytes_toclient", "reason", "community_id",
}

func flowWriter(format string, w io.Writer) (write func(*store.Flow) error, flush func()) {
	if format == "ndjson" {
		enc := json.NewEncoder(w)
		return func(f *store.Flow) error { return enc.Encode(flowLine(f)) }, func() {}
	}
	c := csv.NewWriter(w)
	c.Write(flowColumns)
	return func(f *store.Flow) error {
		e, t := &f.Flow, &f.Tuple
		whole := func(n uint64) string { return strconv.FormatUint(n, 10) }
		at := func(t event.Time) string {
			return time.Unix(0, int64(t)).UTC().Format("2006-01-02T15:04:05.000000Z")
		}
		sure := ""
		if e.Confidence != nil {
			sure = strconv.FormatFloat(*e.Confidence, 'g', -1, 64)
		}
		return c.Write([]string{
			at(e.Start), at(e.End), t.SrcIP, whole(uint64(t.SrcPort)), t.DestIP, whole(uint64(t.DestPort)), t.Proto, cell(e.App), sure,
			strconv.FormatBool(e.Novel), e.LabelSource, strconv.Itoa(e.LabelPackets), cell(e.Model),
			whole(e.PacketsToServer), whole(e.PacketsToClient), whole(e.BytesToServer), whole(e.BytesToClient),
			whole(e.PayloadToServer), whole(e.PayloadToClient), e.Reason, t.CommunityID,
		})
	}, c.Flush
}

// cell keeps a spreadsheet from taking a name for a formula.
func cell(text string) string {
	if strings.ContainsAny(text[:min(len(text), 1)], "=+-@\t\r") {
		return "'" + text
	}
	return text
}
