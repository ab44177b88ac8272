package sensor

import (
	"cmp"
	"slices"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/packet"
)

// Summary is what a person wants to know at the end of a run.
type Summary struct {
	Counters   meter.Counters
	Shed       *event.Shed // nil when there was time for all work
	Apps       []AppTotal  // most packets first; flows without label last
	AlertCount uint64
	Suppressed uint64        // that exclusions kept from being alerts
	Alerts     []event.Alert // the maxAlerts of the highest scores, in order of time
	Timeline   []Point       // a point per scored window, the first maxPoints
	Incidents  uint64        // alerts merged: at most two windows apart

	Shadow        *event.Comparison // nil without models on trial
	Disagreements []Disagreement    // of models of applications, most flows first

	totals map[appKey]*AppTotal
}

// Point is the score of one window.
type Point struct {
	Nanos     int64
	Score     float64
	Threshold float64
	Anomalous bool
}

// Bounds of what a summary keeps, so that a run may last.
const (
	maxAlerts = 1000
	maxPoints = 1 << 20
)

// AppTotal is the traffic of one application.
type AppTotal struct {
	Name    string // empty: no label
	Novel   bool   // unlike everything in training; Name is the nearest label
	Flows   uint64
	Packets uint64
	Bytes   uint64 // frames on the wire
	Payload uint64 // application payloads on the wire
}

// appKey is what the totals of a run are kept by.
type appKey struct {
	name  string
	novel bool
}

// flow adds an ended flow to the totals.
func (s *Summary) flow(f *event.Flow) {
	if s.totals == nil {
		s.totals = map[appKey]*AppTotal{}
	}
	key := appKey{f.App, f.Novel}
	t := s.totals[key]
	if t == nil {
		t = &AppTotal{Name: f.App, Novel: f.Novel}
		s.totals[key] = t
	}
	t.Flows++
	t.Packets += f.PacketsToServer + f.PacketsToClient
	t.Bytes += f.BytesToServer + f.BytesToClient
	t.Payload += f.PayloadToServer + f.PayloadToClient
}

// alert keeps an alert, for now; the earlier of two with the same score is worth more.
func (s *Summary) alert(a event.Alert) {
	s.AlertCount++
	if s.Alerts = append(s.Alerts, a); len(s.Alerts) == 2*maxAlerts {
		s.trimAlerts()
	}
}

func (s *Summary) trimAlerts() {
	slices.SortStableFunc(s.Alerts, func(a, b event.Alert) int { return cmp.Compare(*b.Score, *a.Score) })
	if len(s.Alerts) > maxAlerts {
		s.Alerts = slices.Delete(s.Alerts, maxAlerts, len(s.Alerts))
	}
}

// finish orders the totals and the alerts.
func (s *Summary) finish() {
	s.trimAlerts()
	slices.SortStableFunc(s.Alerts, func(a, b event.Alert) int { return cmp.Compare(a.Start, b.Start) })
	for _, t := range s.totals {
		s.Apps = append(s.Apps, *t)
	}
	slices.SortFunc(s.Apps, func(a, b AppTotal) int {
		if (a.Name == "") != (b.Name == "") {
			return cmp.Compare(b.Name, a.Name)
		}
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Name, b.Name), compareBool(a.Novel, b.Novel))
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// DecodeErrors returns the packets that could not be decoded whole, by reason; packets of other
// protocols than IP are not errors.
func DecodeErrors(c *meter.Counters) map[string]uint64 {
	errors := map[string]uint64{}
	for r, n := range c.Decoded {
		if reason := packet.Reason(r); n > 0 && reason != packet.OK && reason != packet.NotIP {
			errors[reason.String()] = n
		}
	}
	return errors
}

// Drops returns what was not done for want of room or time, by reason.
func Drops(c *meter.Counters) map[string]uint64 {
	drops := map[string]uint64{}
	for name, n := range map[string]uint64{
		"flows_evicted":          c.Flow.Evicted[flow.Unanswered] + c.Flow.Evicted[flow.Answered] + c.Flow.Evicted[flow.Labelled],
		"flows_evicted_answered": c.Flow.Evicted[flow.Answered],
		"flows_evicted_labelled": c.Flow.Evicted[flow.Labelled],
		"openings_cut_short":     c.Flow.OpeningsShort,
		"fragments_unmatched":    c.Flow.FragmentsAlone,
		"fragments_forgotten":    c.Flow.FragmentsEvicted,
		"packets_late":           c.Window.Late,
		"packets_lost":           c.Lost,
		"packets_time_outlier":   c.TimeOutliers,
		"empty_windows_skipped":  uint64(c.Window.Skipped),
		"windows_closed_early":   c.ClosedForMem,
	} {
		if n > 0 {
			drops[name] = n
		}
	}
	return drops
}
