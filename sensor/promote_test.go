package sensor

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/nn"
)

// otherApplications is another model that has learned nothing, with two labels of its own and one of applications.
func otherApplications(t *testing.T, name string, seed uint64) *classify.Model {
	t.Helper()
	m := applications(t)
	params := classify.NewNetwork(m.Arch).Params()
	nn.Init(params, seed)
	other, err := classify.NewModel(m.Settings, []string{"b", "x", "y"}, params)
	must(t, err)
	other.Name = name
	return other
}

// promoting runs over packets and calls change after so many of them, in order.
func promoting(t *testing.T, all []capture.Packet, workers, batch int, at []int, change func(s *Sensor, i int)) ([]event.Event, *Summary) {
	t.Helper()
	s, events := sensing(t, workers)
	done := 0
	for i, to := range append(slices.Clone(at), len(all)) {
		for part := range slices.Chunk(all[done:to], batch) {
			must(t, s.Add("capture.pcap", part))
		}
		if done = to; i < len(at) {
			change(s, i)
		}
	}
	summary, err := s.Close()
	must(t, err)
	return *events, summary
}

// Models change under way: packets, flows and windows are those of a run without, and every flow has the labels of one model.
func TestPromoteLosesNothing(t *testing.T) {
	all := packets(t, 8)
	at := []int{len(all)/5 + 3, len(all)/2 + 1, 3 * len(all) / 4}
	apps := []*classify.Model{otherApplications(t, "apps@2", 7), otherApplications(t, "apps@3", 8), applications(t)} // the last is a rollback
	other := detectorOf(t, 1)
	change := func(s *Sensor, i int) {
		must(t, s.PromoteApps(apps[i]))
		must(t, s.PromoteAnomaly([]*anomaly.Model{other, detector(t), other}[i], []string{"anomaly@2", "anomaly@1", "anomaly@2"}[i]))
	}
	_, plain := promoting(t, all, 2, 64, nil, nil)
	events, summary := promoting(t, all, 1, len(all), at, change)
	if summary.Counters != plain.Counters {
		t.Errorf("counters differ from those without a change\n got %+v\nwant %+v", summary.Counters, plain.Counters)
	}
	if len(summary.Timeline) != len(plain.Timeline) {
		t.Errorf("%d windows are scored, %d without a change: the detector forgot those before", len(summary.Timeline), len(plain.Timeline))
	}

	models, both := map[uint64]string{}, 0
	used, judges := map[string]int{}, map[string]int{}
	for i := range events {
		e := &events[i]
		switch e.Type {
		case event.TypeLabel:
			used[e.Label.Model]++
			if before := models[e.Tuple.FlowID]; before != "" && before != e.Label.Model {
				both++
			}
			models[e.Tuple.FlowID] = e.Label.Model
			if strings.Contains("xy", e.Label.App) == (e.Label.Model == "apps@1") && e.Label.App != "b" {
				t.Errorf("label %q of model %s", e.Label.App, e.Label.Model)
			}
		case event.TypeFlow:
			if e.Flow.Model != models[e.Tuple.FlowID] {
				t.Errorf("a flow ended with a label of %q, had one of %q", e.Flow.Model, models[e.Tuple.FlowID])
			}
			delete(models, e.Tuple.FlowID) // another flow may get the same number
		case event.TypeWindow:
			judges[e.Window.Model]++
		}
	}
	if both > 0 {
		t.Errorf("%d flows have labels of two models", both)
	}
	for _, name := range []string{"apps@1", "apps@2", "apps@3"} {
		if used[name] == 0 {
			t.Errorf("%s labelled nothing", name)
		}
	}
	if judges["anomaly@1"] == 0 || judges["anomaly@2"] == 0 {
		t.Errorf("windows by detector: %v", judges)
	}
	last := events[len(events)-1].Stats
	if want := (event.Models{Apps: "apps@1", Anomaly: "anomaly@2", Promoted: 6}); last == nil || *last.Models != want {
		t.Errorf("the last stats say %+v, want %+v", last.Models, want)
	}

	want := lines(t, events)
	for _, run := range []struct{ workers, batch int }{{1, 7}, {2, 97}, {8, 64}} {
		got, _ := promoting(t, all, run.workers, run.batch, at, change)
		if got := lines(t, got); got != want {
			t.Errorf("%+v: %s", run, differ(got, want))
		}
	}
}

// The same while packets come as from an interface.
func TestPromoteWhileWatching(t *testing.T) {
	all := packets(t, 12)
	run := func(change bool) *Summary {
		s, _ := sensing(t, 2)
		source, each := &fakeSource{packets: all, size: 50}, 0
		models := []*classify.Model{applications(t), otherApplications(t, "apps@2", 7)}
		must(t, s.Watch(source, Watcher{Each: func() error {
			if each++; change && each%4 == 0 {
				must(t, s.PromoteApps(models[each/4%2]))
			}
			return nil
		}}))
		summary, err := s.Close()
		must(t, err)
		if change && s.models().Promoted < 4 {
			t.Errorf("%d changes are too few to test with", s.models().Promoted)
		}
		return summary
	}
	if got, want := run(true), run(false); got.Counters != want.Counters || got.AlertCount != want.AlertCount {
		t.Errorf("with changes %+v\nwithout %+v", got.Counters, want.Counters)
	}
}

// A detector that takes over judges the next window as if it had been there from the start.
func TestPromotedDetectorKnowsTheWindowsBefore(t *testing.T) {
	all := packets(t, 6)
	other := detectorOf(t, 1)
	at := len(all) / 2
	events, _ := promoting(t, all, 1, 64, []int{at}, func(s *Sensor, _ int) { must(t, s.PromoteAnomaly(other, "anomaly@2")) })
	always, _ := promoting(t, all, 1, 64, []int{0}, func(s *Sensor, _ int) { must(t, s.PromoteAnomaly(other, "anomaly@2")) })
	score := map[event.Time]float64{}
	for _, e := range always {
		if e.Type == event.TypeWindow && e.Window.Score != nil {
			score[e.Window.Start] = *e.Window.Score
		}
	}
	n := 0
	for _, e := range events {
		if e.Type == event.TypeWindow && e.Window.Model == "anomaly@2" {
			if n++; e.Window.Score == nil || *e.Window.Score != score[e.Window.Start] {
				t.Errorf("window %d after the change: score %v, want %v", n, e.Window.Score, score[e.Window.Start])
			}
		}
	}
	if n < 10 {
		t.Errorf("%d windows after the change are too few", n)
	}
}

func TestPromoteRefuses(t *testing.T) {
	s, _ := sensing(t, 2)
	must(t, s.Add("capture.pcap", packets(t, 1)))
	longer := applications(t)
	longer.Arch.Packets++
	longer.Name = "apps@2"
	tunnels := otherApplications(t, "apps@3", 1)
	tunnels.Tunnels = true
	for _, m := range []*classify.Model{longer, tunnels} {
		if err := s.PromoteApps(m); !errors.Is(err, ErrOtherInput) {
			t.Errorf("%s: error %v, want ErrOtherInput", m.Name, err)
		}
	}
	slow := detectorOf(t, 0)
	slow.Length = time.Hour
	if err := s.PromoteAnomaly(slow, "anomaly@2"); !errors.Is(err, ErrOtherInput) {
		t.Errorf("error %v, want ErrOtherInput", err)
	}
	if m := s.models(); m.Apps != "apps@1" || m.Anomaly != "anomaly@1" || m.Promoted != 0 {
		t.Errorf("in use after refusals: %+v", m)
	}
	_, err := s.Close()
	must(t, err)
	bare, err := New(Config{Emit: func(*event.Event) error { return nil }}, 1)
	must(t, err)
	if err := errors.Join(bare.PromoteApps(longer)); !errors.Is(err, ErrOtherInput) {
		t.Errorf("without models: error %v", err)
	}
}
