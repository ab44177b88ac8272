package web

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/learn"
)

// How much of the present a Live holds.
const (
	liveWindows = 10_000
	liveRates   = 2_000
	liveAlerts  = 100
	liveMinutes = 60   // of traffic time, that the mix of applications is of
	liveApps    = 1000 // names in one minute; what is beyond counts as "other"
)

// Live is what is watched now: the last windows, rates, alerts, statistics and the mix of applications. One goroutine
// tells it what happens, any number ask. It is bounded, and telling it of a flow costs a look into a map.
type Live struct {
	mu      sync.Mutex
	now     int64 // newest time, nanoseconds since the Unix epoch; math.MinInt64: none
	ended   bool
	stats   *event.Stats
	windows ring[point]
	rates   ring[rate]
	alerts  ring[event.Alert]
	minutes [liveMinutes]minute
	changes uint64 // of the mix so far
	passing bool   // windows tell what passes: of flows that ended, flows and bytes alone count
}

// point is what is kept of a window.
type point struct {
	start          int64
	length         float64
	score          float64 // NaN: not scored
	threshold      float64
	packets, lost  uint64
	anomalous, odd bool // odd: unsure
}

// rate is what statistics say of the time since those before.
type rate struct {
	at            int64
	packets, bits float64
}

// minute is the mix of applications in a minute.
type minute struct {
	index int64
	apps  map[appKey]*Total
}

type appKey struct {
	name  string
	novel bool
}

// Total is the traffic of an application, host or port.
type Total struct {
	Name    string `json:"name"`
	Novel   bool   `json:"novel"`
	Flows   uint64 `json:"flows"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	Payload uint64 `json:"payload_bytes"`
}

// ring keeps the newest values that it was given. Each has a number, the first is 0.
type ring[T any] struct {
	all   []T
	limit int
	next  uint64
}

func (r *ring[T]) add(v T) {
	if len(r.all) < r.limit {
		r.all = append(r.all, v)
	} else {
		r.all[r.next%uint64(r.limit)] = v
	}
	r.next++
}

// between returns the values from number n to before number end that are still there.
func (r *ring[T]) between(n, end uint64) []T {
	n = min(max(n, r.next-uint64(len(r.all))), end)
	out := make([]T, 0, end-n)
	for ; n < end; n++ {
		out = append(out, r.all[n%uint64(r.limit)])
	}
	return out
}

// NewLive returns a Live that was told nothing.
func NewLive() *Live {
	l := &Live{now: math.MinInt64}
	l.windows.limit, l.rates.limit, l.alerts.limit = liveWindows, liveRates, liveAlerts
	return l
}

// Observe takes the next event. It keeps alerts and statistics, which must not change any more, and nothing else of it.
func (l *Live) Observe(e *event.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Type {
	case event.TypeFlow:
		l.flow(e.Nanos, e.Flow)
		return // flows end late, their time is not that of the stream
	case event.TypeWindow:
		w := e.Window
		p := point{int64(w.Start), w.Length, math.NaN(), w.Threshold, w.Packets, w.Lost, w.Anomalous, w.Unsure}
		if w.Score != nil {
			p.score = *w.Score
		}
		l.windows.add(p)
		l.pass(int64(w.Start), w.Apps)
	case event.TypeAlert:
		l.alerts.add(*e.Alert)
	case event.TypeStats:
		l.stats = e.Stats
		if e.Nanos > 0 {
			l.rates.add(rate{e.Nanos, e.Stats.PacketRate, e.Stats.BitRate})
		}
	default:
		return
	}
	l.now = max(l.now, e.Nanos)
}

// End says that no more comes.
func (l *Live) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// pass takes what passed in a window.
func (l *Live) pass(start int64, shares []event.Share) {
	if len(shares) == 0 {
		return
	}
	if !l.passing { // what flows that ended have told is told again by no window
		l.passing = true
		l.minutes = [liveMinutes]minute{}
	}
	l.changes++
	for i := range shares {
		if t := l.total(start, appKey{shares[i].App, shares[i].Novel}); t != nil {
			t.Packets += shares[i].Packets
			t.Payload += shares[i].Payload
		}
	}
}

// flow takes a flow that ended.
func (l *Live) flow(nanos int64, f *event.Flow) {
	l.changes++
	t := l.total(nanos, appKey{f.App, f.Novel})
	if t == nil {
		return
	}
	t.Flows++
	t.Bytes += f.BytesToServer + f.BytesToClient
	if !l.passing {
		t.Packets += f.PacketsToServer + f.PacketsToClient
		t.Payload += f.PayloadToServer + f.PayloadToClient
	}
}

// total returns what an application's traffic at a time is added to; nil: it was too long ago.
func (l *Live) total(nanos int64, k appKey) *Total {
	index := nanos / int64(time.Minute)
	m := &l.minutes[((index%liveMinutes)+liveMinutes)%liveMinutes]
	if m.apps == nil || m.index < index {
		m.index, m.apps = index, map[appKey]*Total{}
	}
	if m.index > index {
		return nil // of more than an hour ago
	}
	t := m.apps[k]
	if t == nil {
		if len(m.apps) >= liveApps {
			k = appKey{"other", false}
		}
		if t = m.apps[k]; t == nil {
			t = &Total{Name: strings.ToValidUTF8(k.name, "\uFFFD"), Novel: k.novel}
			m.apps[k] = t
		}
	}
	return t
}

// mix sums up the minutes of the last hour of traffic, most packets first.
func (l *Live) mix() []Total {
	newest := int64(math.MinInt64)
	for i := range l.minutes {
		if l.minutes[i].apps != nil {
			newest = max(newest, l.minutes[i].index)
		}
	}
	sums := map[appKey]*Total{}
	for i := range l.minutes {
		if m := &l.minutes[i]; m.apps != nil && m.index > newest-liveMinutes {
			for k, t := range m.apps {
				if sums[k] == nil {
					sums[k] = &Total{Name: t.Name, Novel: t.Novel}
				}
				sums[k].add(t)
			}
		}
	}
	all := []Total{}
	for _, t := range sums {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b Total) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), strings.Compare(a.Name, b.Name), cmp.Compare(b.Flows, a.Flows))
	})
	return all
}

func (t *Total) add(o *Total) {
	t.Flows += o.Flows
	t.Packets += o.Packets
	t.Bytes += o.Bytes
	t.Payload += o.Payload
}

// cursor is how far somebody knows what a Live was told.
type cursor struct {
	windows, rates, alerts, apps uint64
	stats                        *event.Stats
	ended                        bool
	learn                        uint64 // changes of what is learned
}

// State is what a Live tells: all it has, or what is new.
type State struct {
	Now     *float64     `json:"now"`             // newest time of traffic, Unix seconds; null before the first
	Ended   bool         `json:"ended"`           // no more comes
	Windows Windows      `json:"windows"`         // all that are kept, or those that are new
	Rates   Rates        `json:"rates"`           // from statistics, as windows
	Stats   *event.Stats `json:"stats,omitempty"` // the last ones, when they are new
	Apps    []Total      `json:"apps,omitempty"`  // of the last hour of traffic, when they are new
	Alerts  []Brief      `json:"alerts"`          // as windows
	Learn   *learn.State `json:"learn,omitempty"` // when it is new
	Skipped uint64       `json:"skipped"`         // windows between this and what was told before
}

// Windows are windows in columns of equal length. Times are Unix seconds.
type Windows struct {
	Start     []float64  `json:"start"`
	Length    []float64  `json:"length"`
	Packets   []uint64   `json:"packets"`
	Score     []*float64 `json:"score"` // null: not scored
	Threshold []float64  `json:"threshold"`
	Anomalous []bool     `json:"anomalous"`
	Lost      []uint64   `json:"lost"` // packets known to be missing
	Unsure    []bool     `json:"unsure"`
}

// newWindows returns columns with room for n windows.
func newWindows(n int) Windows {
	return Windows{
		make([]float64, 0, n), make([]float64, 0, n), make([]uint64, 0, n), make([]*float64, 0, n),
		make([]float64, 0, n), make([]bool, 0, n), make([]uint64, 0, n), make([]bool, 0, n),
	}
}

func (w *Windows) add(start int64, length float64, packets uint64, score *float64, threshold float64, anomalous bool, lost uint64, unsure bool) {
	w.Start = append(w.Start, seconds(start))
	w.Length = append(w.Length, length)
	w.Packets = append(w.Packets, packets)
	w.Score = append(w.Score, score)
	w.Threshold = append(w.Threshold, threshold)
	w.Anomalous = append(w.Anomalous, anomalous)
	w.Lost = append(w.Lost, lost)
	w.Unsure = append(w.Unsure, unsure)
}

// Rates are rates in columns. A rate is that of the time up to At.
type Rates struct {
	At      []float64 `json:"at"`
	Packets []float64 `json:"packets_per_second"`
	Bits    []float64 `json:"bits_per_second"`
}

// Brief is an alert in a line.
type Brief struct {
	Start     event.Time `json:"start"`
	Length    float64    `json:"length"`
	Score     float64    `json:"score"`
	Threshold float64    `json:"threshold"`
	What      string     `json:"what"` // the plain sentence
}

// seconds is a time as charts have it: to the microsecond.
func seconds(nanos int64) float64 { return float64(nanos/1000) / 1e6 }

// cursor returns how far a Live was told.
func (l *Live) cursor() cursor {
	l.mu.Lock()
	defer l.mu.Unlock()
	return cursor{l.windows.next, l.rates.next, l.alerts.next, l.changes, l.stats, l.ended, 0}
}

// between returns what a Live was told after one cursor and up to another. Statistics and the mix of applications are always
// the newest.
func (l *Live) between(from, to cursor, explain func(*event.Alert) string) (s State) {
	l.mu.Lock()
	windows := l.windows.between(from.windows, to.windows)
	rates, alerts := l.rates.between(from.rates, to.rates), l.alerts.between(from.alerts, to.alerts)
	s.Skipped, s.Ended = to.windows-from.windows-uint64(len(windows)), to.ended
	if l.now != math.MinInt64 {
		now := seconds(l.now)
		s.Now = &now
	}
	if to.stats != from.stats {
		s.Stats = l.stats
	}
	if to.apps != from.apps {
		s.Apps = l.mix()
	}
	l.mu.Unlock()

	s.Windows = newWindows(len(windows))
	for i := range windows {
		w := &windows[i]
		var score *float64
		if !math.IsNaN(w.score) {
			score = &w.score
		}
		s.Windows.add(w.start, w.length, w.packets, score, w.threshold, w.anomalous, w.lost, w.odd)
	}
	s.Rates = Rates{[]float64{}, []float64{}, []float64{}}
	for _, r := range rates {
		s.Rates.At = append(s.Rates.At, seconds(r.at))
		s.Rates.Packets = append(s.Rates.Packets, r.packets)
		s.Rates.Bits = append(s.Rates.Bits, r.bits)
	}
	s.Alerts = []Brief{}
	for i := range alerts {
		a := &alerts[i]
		s.Alerts = append(s.Alerts, Brief{a.Start, a.Length, *a.Score, a.Threshold, explain(a)})
	}
	return s
}

// models returns what the last statistics say of models, nil when they say nothing.
func (l *Live) models() *event.Models {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stats == nil {
		return nil
	}
	return l.stats.Models
}
