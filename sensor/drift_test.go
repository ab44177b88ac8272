package sensor

import (
	"reflect"
	"slices"
	"testing"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/drift"
	"github.com/weirnet/weir/event"
)

// halves is a reference whose two bins have half of the values each.
func halves(edge float64) *drift.Reference {
	return &drift.Reference{Edges: []float64{edge}, Shares: []float64{0.5, 0.5}, Count: 1000}
}

// drifting runs over packets with models that know what they gave for validation data, and returns the last statistics.
func drifting(t *testing.T, all []capture.Packet, workers, batch int, change func(*Sensor)) (last event.Stats, flows int) {
	t.Helper()
	s, events := sensing(t, workers)
	s.cfg.Apps.Confidences, s.cfg.Apps.Strangeness = halves(2), halves(0) // all confidences are below 2, all novelty is from 0 on
	s.cfg.Anomaly.Scores = halves(-1)
	s.drifts.anewApps(s.cfg.Apps)
	s.drifts.anewAnomaly(s.cfg.Anomaly)
	for part := range slices.Chunk(all, batch) {
		must(t, s.Add("capture.pcap", part))
	}
	if change != nil {
		change(s)
	}
	_, err := s.Close()
	must(t, err)
	for _, e := range *events {
		if e.Type == event.TypeFlow && e.Flow.App != "" {
			flows++
		}
		if e.Type == event.TypeStats {
			last = *e.Stats
		}
	}
	return last, flows
}

func TestDriftForAnyWorkers(t *testing.T) {
	all := packets(t, 60)
	want, flows := drifting(t, all, 1, len(all), nil)
	d := want.Drift
	switch {
	case d == nil || d.Scores == nil || d.Confidences == nil || d.Novelty == nil:
		t.Fatalf("drift of %d windows and %d labelled flows is not known: %+v", want.Windows, flows, d)
	case d.Confidences.Count != flows || d.Novelty.Count != flows || d.Scores.Count >= int(want.Windows):
		t.Errorf("drift is of %d, %d flows and %d windows; there were %d and %d", d.Confidences.Count, d.Novelty.Count, d.Scores.Count, flows, want.Windows)
	case !slices.Equal(d.Confidences.Now, []float64{1, 0}) || !slices.Equal(d.Novelty.Now, []float64{0, 1}) || !slices.Equal(d.Scores.Now, []float64{0, 1}):
		t.Errorf("shares %v, %v and %v", d.Confidences.Now, d.Novelty.Now, d.Scores.Now)
	case d.Confidences.Index < 1 || d.Novelty.Index < 1 || d.Scores.Index < 1:
		t.Errorf("all moved to one bin of two, and indices are %v, %v and %v", d.Confidences.Index, d.Novelty.Index, d.Scores.Index)
	}
	for _, workers := range []int{2, 3, 8} {
		if got, _ := drifting(t, all, workers, 17, nil); !reflect.DeepEqual(got.Drift, d) {
			t.Errorf("%d workers\n got %+v\nwant %+v", workers, got.Drift, d)
		}
	}
}

// A model that takes over begins anew, and flows of the model before do not count for it.
func TestDriftBeginsAnewWithAModel(t *testing.T) {
	all := packets(t, 60)
	got, _ := drifting(t, all, 2, 64, func(s *Sensor) {
		apps := otherApplications(t, "apps@2", 7)
		apps.Confidences, apps.Strangeness = halves(0), halves(0)
		must(t, s.PromoteApps(apps))
		m := detectorOf(t, 1)
		m.Scores = halves(0)
		must(t, s.PromoteAnomaly(m, "anomaly@2"))
	})
	if got.Drift != nil {
		t.Errorf("drift %+v right after other models took over", got.Drift)
	}
}

// Neither flows of models before nor flows that there was no time for are counted, and models of earlier versions know nothing.
func TestDriftCounts(t *testing.T) {
	sure := 0.9
	d := drifts{}
	d.anewApps(&classify.Model{Name: "apps@2", Settings: classify.Settings{Confidences: halves(0), Strangeness: halves(0)}})
	for range 1000 {
		d.flow(&event.Flow{Model: "apps@1", Confidence: &sure, NoveltyBin: 1})
		d.flow(&event.Flow{Model: "apps@2", Confidence: &sure})
		d.flow(&event.Flow{})
	}
	if got := d.event(); got != nil {
		t.Errorf("counted: %+v", got)
	}
	d.anewApps(&classify.Model{Name: "apps@2"})
	for range 1000 {
		d.flow(&event.Flow{Model: "apps@2", Confidence: &sure, NoveltyBin: 1})
	}
	if got := d.event(); got != nil {
		t.Errorf("a model of an earlier version knows %+v", got)
	}
}

// Counting a flow allocates nothing, in a ring that is full.
func TestDriftAllocatesNothing(t *testing.T) {
	d, f := driftOfOne()
	for range 2 * driftFlows {
		d.flow(f)
	}
	if n := testing.AllocsPerRun(1000, func() { d.flow(f); d.window(1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func driftOfOne() (*drifts, *event.Flow) {
	sure := 0.95
	ref := &drift.Reference{Count: 1000}
	for i := range drift.Bins {
		if i > 0 {
			ref.Edges = append(ref.Edges, float64(i)/drift.Bins)
		}
		ref.Shares = append(ref.Shares, 1.0/drift.Bins)
	}
	d := new(drifts)
	d.anewApps(&classify.Model{Name: "apps@1", Settings: classify.Settings{Confidences: ref, Strangeness: ref}})
	d.anewAnomaly(&anomaly.Model{Settings: anomaly.Settings{Scores: ref}})
	return d, &event.Flow{Model: "apps@1", Confidence: &sure, NoveltyBin: 3}
}

func BenchmarkDriftOfFlow(b *testing.B) {
	d, f := driftOfOne()
	for b.Loop() {
		d.flow(f)
	}
}
