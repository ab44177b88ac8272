// Package storetest has what tests of a store and of its users need: a store in memory, the suite that
// every store passes, and a source of events.
package storetest

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// Memory is a store.Store that forgets everything when the process ends. It does what a Disk does in
// the plainest way, for tests: it is not bounded and not fast.
type Memory struct {
	mu        sync.Mutex
	sources   []*store.SourceInfo
	source    *store.SourceInfo // that Append is about
	flows     []store.Flow
	windows   []event.Window
	incidents []*memoryIncident
	triage    []memoryTriage

	exclusions  []store.Exclusion
	lastExclude int64
	suppressed  []store.Suppressed
	tried       []store.Tried

	labels memoryLabels
}

type memoryIncident struct {
	store.Incident
	state  anomaly.Incident
	alerts []store.Alert
}

type memoryTriage struct {
	id store.ID
	store.Triage
}

var _ store.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return new(Memory) }

// Begin implements store.Writer.
func (m *Memory) Begin(_ context.Context, s store.Source) (store.Position, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.source = nil
	for _, known := range m.sources {
		for _, c := range s.Captures {
			if known.Name != s.Name && slices.ContainsFunc(known.Captures, func(k store.Capture) bool { return k.Identity == c.Identity }) {
				return store.Position{}, fmt.Errorf("memory: %w: %s", store.ErrKnown, c.Name)
			}
		}
		if known.Name == s.Name {
			if known.Settings != s.Settings {
				return store.Position{}, fmt.Errorf("memory: %w", store.ErrKnown)
			}
			m.source = known
			return known.Position, nil
		}
	}
	s.Captures = slices.Clone(s.Captures)
	slices.SortFunc(s.Captures, func(a, b store.Capture) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Identity, b.Identity))
	})
	m.source = &store.SourceInfo{Source: s}
	m.sources = append(m.sources, m.source)
	return store.Position{}, nil
}

// Append implements store.Writer.
func (m *Memory) Append(_ context.Context, events []event.Event, at store.Position) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.source == nil {
		return fmt.Errorf("memory: Append before Begin")
	}
	for i := range events {
		e := &events[i]
		switch e.Type {
		case event.TypeFlow:
			m.flows = append(m.flows, keptFlow(e))
		case event.TypeLabel:
			m.labels.add(e)
		case event.TypeWindow:
			w := *e.Window
			w.Start, w.Score, w.Vector = kept(w.Start), clone(w.Score), clone(w.Vector)
			if w.Shadow != nil {
				tried := w
				tried.Vector, tried.Score, tried.Shadow = nil, clone(w.Score), clone(w.Shadow)
				tried.Shadow.Score = clone(w.Shadow.Score)
				m.tried = append(m.tried, store.Tried{Nanos: int64(w.Start), Window: &tried})
				w.Shadow = nil
			}
			m.windows = append(m.windows, w)
			m.see(e.Nanos)
		case event.TypeAlert:
			m.alert(*e.Alert)
			m.see(e.Nanos)
		case event.TypeSuppressed:
			a := *e.Alert
			a.Start, a.Score, a.Vector = kept(a.Start), clone(a.Score), nil
			m.suppressed = append(m.suppressed, store.Suppressed{Source: m.source.Name, Alert: a})
			m.see(e.Nanos)
		case event.TypeShadow:
			f := clone(e.Shadow)
			f.App, f.LiveApp = strings.ToValidUTF8(f.App, "\uFFFD"), strings.ToValidUTF8(f.LiveApp, "\uFFFD")
			m.tried = append(m.tried, store.Tried{Nanos: int64(kept(event.Time(e.Nanos))), FlowID: e.Tuple.FlowID, Flow: f})
		case event.TypeStats:
			stats := *e.Stats
			m.source.Stats = &stats
			m.see(e.Nanos)
		}
	}
	m.source.Position = at
	return nil
}

func (m *Memory) see(nanos int64) {
	m.source.Newest = max(m.source.Newest, int64(kept(event.Time(nanos))))
}

// kept is a time as it is kept, to the microsecond.
func kept(t event.Time) event.Time { return t - ((t%1000)+1000)%1000 }

// keptFlow is what is kept of the event of a flow.
func keptFlow(e *event.Event) store.Flow {
	f := store.Flow{Tuple: *e.Tuple, Flow: *e.Flow}
	f.Flow.Start, f.Flow.End = kept(f.Flow.Start), kept(f.Flow.End)
	f.Flow.App, f.Flow.Confidence = strings.ToValidUTF8(f.Flow.App, "\uFFFD"), clone(f.Flow.Confidence)
	return f
}

// clone returns a pointer to a copy.
func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func (m *Memory) alert(a event.Alert) {
	a.Start, a.Score, a.Vector = kept(a.Start), clone(a.Score), nil
	length := time.Duration(a.Length * float64(time.Second))
	var in *memoryIncident
	for _, known := range m.incidents {
		if known.Source == m.source.Name {
			in = known
		}
	}
	if in == nil || !in.state.Join(int64(a.Start), length, *a.Score) {
		in = &memoryIncident{Incident: store.Incident{ID: int64(len(m.incidents) + 1), Source: m.source.Name}}
		in.state.Join(int64(a.Start), length, *a.Score)
		m.incidents = append(m.incidents, in)
	}
	in.alerts = append(in.alerts, store.Alert{ID: store.ID{Incident: in.ID, Alert: int64(in.state.Windows)}, Source: m.source.Name, Alert: a})
	if in.PeakAlert == 0 || *a.Score > in.Peak {
		in.PeakAlert = int64(in.state.Windows)
	}
	in.Start, in.End = in.state.First, int64(a.Start)+int64(length)
	in.Windows, in.Peak = in.state.Windows, in.state.Peak
}

// Maintain implements store.Writer. It removes by age alone, but for samples.
func (m *Memory) Maintain(_ context.Context, p store.Policy) (store.Removed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := store.Removed{Samples: m.labels.retain(p)}
	if p.Age <= 0 {
		return r, nil
	}
	before := p.Now - int64(p.Age)
	n := len(m.flows)
	m.flows = slices.DeleteFunc(m.flows, func(f store.Flow) bool { return int64(f.Flow.End) < before })
	r.Flows = int64(n - len(m.flows))
	n = len(m.windows)
	m.windows = slices.DeleteFunc(m.windows, func(w event.Window) bool { return int64(w.Start) < before })
	r.Windows = int64(n - len(m.windows))
	for _, in := range m.incidents {
		n = len(in.alerts)
		in.alerts = slices.DeleteFunc(in.alerts, func(a store.Alert) bool { return int64(a.Alert.Start) < before })
		r.Alerts += int64(n - len(in.alerts))
	}
	n = len(m.suppressed)
	m.suppressed = slices.DeleteFunc(m.suppressed, func(s store.Suppressed) bool { return int64(s.Alert.Start) < before })
	r.Alerts += int64(n - len(m.suppressed))
	m.tried = slices.DeleteFunc(m.tried, func(t store.Tried) bool { return t.Nanos < before })
	if r.Any() {
		r.Before = before
	}
	return r, nil
}

// Close implements store.Store.
func (m *Memory) Close() error { return nil }

// Info implements store.Reader.
func (m *Memory) Info(context.Context) (store.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	info := store.Info{Flows: int64(len(m.flows)), Windows: int64(len(m.windows))}
	var times []int64
	for i := range m.flows {
		times = append(times, int64(m.flows[i].Flow.End))
	}
	for i := range m.windows {
		times = append(times, int64(m.windows[i].Start))
	}
	for _, in := range m.incidents {
		if len(in.alerts) > 0 {
			info.Incidents++
		}
		info.Alerts += int64(len(in.alerts))
	}
	if len(times) > 0 {
		info.Oldest, info.Newest = slices.Min(times), slices.Max(times)
	}
	newest := int64(0)
	for _, s := range m.sources {
		info.Sources = append(info.Sources, *s)
		newest = max(newest, s.Newest)
	}
	if newest != 0 {
		info.Newest = newest
	}
	return info, nil
}

// Flows implements store.Reader.
func (m *Memory) Flows(_ context.Context, q store.FlowQuery) iter.Seq2[*store.Flow, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []store.Flow
	for _, f := range m.flows {
		t := &f.Tuple
		inside := func(addr string) bool {
			a, err := netip.ParseAddr(addr)
			return err == nil && q.Host.Contains(a)
		}
		if q.Contains(int64(f.Flow.End)) && (q.App == "" || q.App == f.Flow.App) && (!q.Novel || f.Flow.Novel) &&
			(q.Port == 0 || q.Port == t.SrcPort || q.Port == t.DestPort) && (!q.Host.IsValid() || inside(t.SrcIP) || inside(t.DestIP)) {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b store.Flow) int { return cmp.Compare(a.Flow.End, b.Flow.End) })
	if q.Newest {
		slices.Reverse(found)
	}
	if q.Limit > 0 {
		found = found[:min(len(found), q.Limit)]
	}
	return func(yield func(*store.Flow, error) bool) {
		for i := range found {
			if !yield(&found[i], nil) {
				return
			}
		}
	}
}

// Windows implements store.Reader.
func (m *Memory) Windows(_ context.Context, q store.WindowQuery) iter.Seq2[*event.Window, error] {
	found := m.windowsIn(q.Range)
	if q.Limit > 0 {
		found = found[:min(len(found), q.Limit)]
	}
	return func(yield func(*event.Window, error) bool) {
		for i := range found {
			if !yield(&found[i], nil) {
				return
			}
		}
	}
}

func (m *Memory) windowsIn(r store.Range) []event.Window {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []event.Window
	for _, w := range m.windows {
		if r.Contains(int64(w.Start)) {
			found = append(found, w)
		}
	}
	slices.SortStableFunc(found, func(a, b event.Window) int { return cmp.Compare(a.Start, b.Start) })
	return found
}

// Scores implements store.Reader.
func (m *Memory) Scores(_ context.Context, q store.ScoreQuery) ([]store.Score, error) {
	var scores []store.Score
	for _, w := range m.windowsIn(q.Range) {
		scores = append(scores, store.Score{
			Start: int64(w.Start), Length: time.Duration(w.Length * float64(time.Second)), Packets: w.Packets, Score: w.Score,
			Threshold: w.Threshold, Anomalous: w.Anomalous, Lost: w.Lost, Unsure: w.Unsure, Model: w.Model,
		})
	}
	return store.Thin(scores, q.Step), nil
}

// Top implements store.Reader. It keeps all hosts and ports.
func (m *Memory) Top(_ context.Context, q store.TopQuery) (store.Top, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type key struct {
		name  string
		novel bool
	}
	sums := map[key]*store.Total{}
	whole := q.Minutes()
	for i := range m.flows {
		f := &m.flows[i].Flow
		t := &m.flows[i].Tuple
		if !whole.Contains(int64(f.End)) {
			continue
		}
		var keys []key
		switch q.By {
		case store.Apps:
			keys = []key{{f.App, f.Novel}}
		case store.Hosts:
			if keys = []key{{t.SrcIP, false}}; t.SrcIP != t.DestIP {
				keys = append(keys, key{t.DestIP, false})
			}
		case store.Ports:
			if t.Proto == "TCP" || t.Proto == "UDP" || t.Proto == "SCTP" {
				keys = []key{{strconv.Itoa(int(t.DestPort)) + "/" + strings.ToLower(t.Proto), false}}
			}
		}
		for _, k := range keys {
			if sums[k] == nil {
				sums[k] = &store.Total{Name: k.name, Novel: k.novel}
			}
			sums[k].Add(&store.Total{
				Flows: 1, Packets: f.PacketsToServer + f.PacketsToClient,
				Bytes: f.BytesToServer + f.BytesToClient, Payload: f.PayloadToServer + f.PayloadToClient,
			})
		}
	}
	var top store.Top
	for _, t := range sums {
		top.Totals = append(top.Totals, *t)
	}
	slices.SortFunc(top.Totals, func(a, b store.Total) int {
		novel := func(t store.Total) int { return map[bool]int{true: 1}[t.Novel] }
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Name, b.Name), cmp.Compare(novel(a), novel(b)))
	})
	if q.Limit > 0 && len(top.Totals) > q.Limit {
		for i := range top.Totals[q.Limit:] {
			top.Rest.Add(&top.Totals[q.Limit+i])
		}
		top.Totals = top.Totals[:q.Limit]
	}
	return top, nil
}

// verdict returns the newest triage that applies to an ID.
func (m *Memory) verdict(id store.ID) store.Triage {
	for _, t := range slices.Backward(m.triage) {
		if t.id.Incident == id.Incident && (t.id.Alert == 0 || t.id.Alert == id.Alert) {
			return t.Triage
		}
	}
	return store.Triage{}
}

// Incidents implements store.Reader.
func (m *Memory) Incidents(_ context.Context, q store.IncidentQuery) ([]store.Incident, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []store.Incident
	for _, in := range m.incidents {
		i := in.Incident
		for _, t := range slices.Backward(m.triage) {
			if t.id == (store.ID{Incident: i.ID}) {
				i.Triage = t.Triage
				break
			}
		}
		touches := (q.Until == 0 || i.Start < q.Until) && (q.Since == 0 || i.End > q.Since)
		if len(in.alerts) > 0 && touches && (q.ID == 0 || q.ID == i.ID) && (q.Verdict == "" || i.Triage.Is(q.Verdict)) {
			found = append(found, i)
		}
	}
	slices.SortStableFunc(found, func(a, b store.Incident) int { return cmp.Compare(a.Start, b.Start) })
	if q.Limit > 0 && len(found) > q.Limit {
		found = found[len(found)-q.Limit:]
	}
	return found, nil
}

// Alerts implements store.Reader.
func (m *Memory) Alerts(_ context.Context, q store.AlertQuery) iter.Seq2[*store.Alert, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []store.Alert
	for _, in := range m.incidents {
		for _, a := range in.alerts {
			if (q.ID.Incident == 0 || q.ID.Incident == a.ID.Incident) && (q.ID.Alert == 0 || q.ID.Alert == a.ID.Alert) && q.Contains(int64(a.Alert.Start)) {
				a.Triage = m.verdict(a.ID)
				found = append(found, a)
			}
		}
	}
	return func(yield func(*store.Alert, error) bool) {
		for i := range found {
			if !yield(&found[i], nil) {
				return
			}
		}
	}
}

// Triage implements store.Reader.
func (m *Memory) Triage(_ context.Context, id store.ID, t store.Triage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch t.Verdict {
	case store.Untriaged, store.Confirmed, store.Dismissed:
	default:
		return fmt.Errorf("memory: verdict %q", t.Verdict)
	}
	for _, in := range m.incidents {
		if in.ID == id.Incident && (id.Alert == 0 || slices.ContainsFunc(in.alerts, func(a store.Alert) bool { return a.ID == id })) {
			m.triage = append(m.triage, memoryTriage{id, t})
			return nil
		}
	}
	return fmt.Errorf("memory: %w: %s", store.ErrUnknown, id)
}

// Exclusions implements store.Reader.
func (m *Memory) Exclusions(context.Context) ([]store.Exclusion, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Clone(m.exclusions)
	for i := range all {
		for _, s := range m.suppressed {
			if s.Alert.Exclusion == all[i].ID {
				all[i].Suppressed++
			}
		}
	}
	return all, nil
}

// Exclude implements store.Reader.
func (m *Memory) Exclude(_ context.Context, x store.Exclusion) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := x.Check(); err != nil {
		return 0, err
	}
	m.lastExclude++
	x.ID, x.Suppressed, x.Host = m.lastExclude, 0, x.Host.Masked()
	m.exclusions = append(m.exclusions, x)
	return x.ID, nil
}

// RemoveExclusion implements store.Reader.
func (m *Memory) RemoveExclusion(_ context.Context, id int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.exclusions)
	m.exclusions = slices.DeleteFunc(m.exclusions, func(x store.Exclusion) bool { return x.ID == id })
	if len(m.exclusions) == n {
		return fmt.Errorf("memory: %w: %d", store.ErrNoExclusion, id)
	}
	return nil
}

// Suppressed implements store.Reader.
func (m *Memory) Suppressed(_ context.Context, q store.SuppressedQuery) iter.Seq2[*store.Suppressed, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []store.Suppressed
	for _, s := range m.suppressed {
		if q.Contains(int64(s.Alert.Start)) && (q.Exclusion == 0 || q.Exclusion == s.Alert.Exclusion) {
			found = append(found, s)
		}
	}
	slices.SortStableFunc(found, func(a, b store.Suppressed) int { return cmp.Compare(a.Alert.Start, b.Alert.Start) })
	return func(yield func(*store.Suppressed, error) bool) {
		for i := range found {
			if !yield(&found[i], nil) {
				return
			}
		}
	}
}

// Tried implements store.Reader.
func (m *Memory) Tried(_ context.Context, when store.Range) iter.Seq2[*store.Tried, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []store.Tried
	for _, t := range m.tried {
		if when.Contains(t.Nanos) {
			found = append(found, t)
		}
	}
	return func(yield func(*store.Tried, error) bool) {
		for i := range found {
			if !yield(&found[i], nil) {
				return
			}
		}
	}
}
