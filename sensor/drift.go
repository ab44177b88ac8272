package sensor

import (
	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/drift"
	"github.com/weirnet/weir/event"
)

// How many of the last windows and flows are held against validation.
const (
	driftWindows = 1000
	driftFlows   = 10000
)

// drifts holds what the models in use give against what they gave for validation data. It takes windows and ended flows in the order of
// the stream, so it is the same whatever the number of workers; it is used by the goroutine of the sensor.
type drifts struct {
	apps                         string // NAME@VERSION that the flows must be labelled by
	confidence                   *drift.Reference
	scores, confidences, novelty drift.Drift
	windows                      *drift.Reference
}

func (d *drifts) anewAnomaly(m *anomaly.Model) {
	d.windows, d.scores = m.Scores, drift.New(m.Scores, driftWindows)
}

func (d *drifts) anewApps(m *classify.Model) {
	d.apps, d.confidence = m.Name, m.Confidences
	d.confidences, d.novelty = drift.New(m.Confidences, driftFlows), drift.New(m.Strangeness, driftFlows)
}

func (d *drifts) window(score float64) {
	if d.windows != nil {
		d.scores.Add(d.windows.Bin(score))
	}
}

// flow takes a flow that ended. Flows of a model before do not count, nor those that there was not the time for.
func (d *drifts) flow(f *event.Flow) {
	if d.confidence == nil || f.NoveltyBin == 0 || f.Model != d.apps {
		return
	}
	d.confidences.Add(d.confidence.Bin(*f.Confidence))
	d.novelty.Add(int(f.NoveltyBin) - 1)
}

// event returns what is known; nil when nothing is.
func (d *drifts) event() *event.Drift {
	e := event.Drift{Scores: shift(&d.scores), Confidences: shift(&d.confidences), Novelty: shift(&d.novelty)}
	if e == (event.Drift{}) {
		return nil
	}
	return &e
}

func shift(d *drift.Drift) *event.Shift {
	s, known := d.Shift()
	if !known {
		return nil
	}
	return &event.Shift{Index: s.Index, Count: s.Count, Edges: s.Edges, Training: s.Reference.Shares, Now: s.Shares}
}
