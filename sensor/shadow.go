package sensor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/window"
)

// shadow holds models on trial against those in use. It is used by the goroutine of the sensor.
type shadow struct {
	detector *anomaly.Detector // nil: none is on trial
	name     string
	apps     *event.AppsComparison // nil: no model of applications is on trial
	anomaly  *event.AnomalyComparison
	pairs    map[[2]string]uint64 // flows by what the model in use says and the one on trial, where they differ
	scores   moments
}

// Check tells what New would refuse of models on trial.
func (c *Config) Check() error { return new(shadow).begin(c) }

// begin checks that the models on trial take what the others do.
func (s *shadow) begin(cfg *Config) error {
	if m := cfg.ShadowApps; m != nil {
		if cfg.Apps == nil {
			return fmt.Errorf("%w: %s is to be compared with a model of applications, and none is in use", ErrOtherInput, m.Name)
		}
		if err := sameOpenings(m, cfg.Apps); err != nil {
			return err
		}
		s.apps = &event.AppsComparison{Model: m.Name}
		s.anewApps(cfg.Apps.Name)
	}
	if m := cfg.ShadowAnomaly; m != nil {
		if cfg.Anomaly == nil {
			return fmt.Errorf("%w: %s is to be compared with a detector, and none is in use", ErrOtherInput, cfg.ShadowAnomalyName)
		}
		if err := sameWindows(m, cfg.Anomaly, cfg.ShadowAnomalyName, cfg.AnomalyName); err != nil {
			return err
		}
		s.detector, s.name = m.NewDetector(), cfg.ShadowAnomalyName
		s.anewAnomaly(cfg.AnomalyName)
	}
	return nil
}

// anewApps begins the comparison with another model in use.
func (s *shadow) anewApps(live string) {
	if s.apps != nil {
		s.apps, s.pairs = &event.AppsComparison{Model: s.apps.Model, Live: live, Skipped: s.apps.Skipped}, map[[2]string]uint64{}
	}
}

// anewAnomaly begins the comparison with another detector in use.
func (s *shadow) anewAnomaly(live string) {
	if s.detector != nil {
		s.anomaly, s.scores = &event.AnomalyComparison{Model: s.name, Live: live}, moments{}
	}
}

// window has the detector on trial judge a window that the one in use has judged.
func (s *shadow) window(w *event.Window, v *window.Vector) {
	if s.detector == nil {
		return
	}
	r := s.detector.Score(*v)
	w.Shadow = &event.ShadowScore{Threshold: r.Threshold, Anomalous: r.Anomalous, Model: s.name}
	if r.Scored {
		w.Shadow.Score = &r.Score
	}
	if !r.Scored || w.Score == nil {
		return
	}
	c := s.anomaly
	c.Windows++
	if w.Anomalous {
		c.AboveLive++
	}
	if r.Anomalous {
		c.Above++
	}
	if w.Anomalous && r.Anomalous {
		c.AboveBoth++
	}
	s.scores.add(math.Log(max(*w.Score, leastScore)), math.Log(max(r.Score, leastScore)))
}

// leastScore is what scores are at least before their logarithm is taken.
const leastScore = 1e-9

// moments are what a correlation is reckoned from (Welford, Technometrics 4, 1962).
type moments struct{ n, x, y, xx, yy, xy float64 }

func (m *moments) add(x, y float64) {
	m.n++
	dx, dy := x-m.x, y-m.y
	m.x += dx / m.n
	m.y += dy / m.n
	m.xx += dx * (x - m.x)
	m.yy += dy * (y - m.y)
	m.xy += dx * (y - m.y)
}

// correlation is Pearson's, 0 when one of both never moved.
func (m *moments) correlation() float64 {
	if !(m.xx > 0) || !(m.yy > 0) {
		return 0
	}
	return min(max(m.xy/math.Sqrt(m.xx*m.yy), -1), 1)
}

// maxPairs bounds the pairs of labels that are counted; labels are bounded by the models, but not by us.
const maxPairs = 1 << 12

// flow counts what both models of applications said of a flow.
func (s *shadow) flow(f *event.Shadow) {
	c := s.apps
	c.Flows++
	if f.App == f.LiveApp {
		c.Agree++
	} else if pair := [2]string{f.LiveApp, f.App}; s.pairs[pair] > 0 || len(s.pairs) < maxPairs {
		s.pairs[pair]++
	}
	if f.LiveNovel {
		c.NovelLive++
	}
	if f.Novel {
		c.Novel++
	}
	if f.LiveNovel && f.Novel {
		c.NovelBoth++
	}
}

// comparison returns the counts so far; nil without models on trial.
func (s *Sensor) comparison() *event.Comparison {
	var c event.Comparison
	if a := s.shadow.apps; a != nil {
		one := *a
		for _, w := range s.workers {
			one.Skipped += w.trial.skipped.Load()
		}
		c.Apps = &one
	}
	if a := s.shadow.anomaly; a != nil {
		one := *a
		one.Correlation = s.shadow.scores.correlation()
		c.Anomaly = &one
	}
	if c == (event.Comparison{}) {
		return nil
	}
	return &c
}

// Disagreement is how many flows have one label from the model in use and another from the one on trial.
type Disagreement struct {
	Live, Shadow string
	Flows        uint64
}

func (s *shadow) disagreements() (all []Disagreement) {
	for pair, n := range s.pairs {
		all = append(all, Disagreement{pair[0], pair[1], n})
	}
	slices.SortFunc(all, func(a, b Disagreement) int {
		return cmp.Or(cmp.Compare(b.Flows, a.Flows), strings.Compare(a.Live, b.Live), strings.Compare(a.Shadow, b.Shadow))
	})
	return all
}

// trial is the model of applications on trial, in one worker. It is asked when a flow is decided, about the payloads that the model
// in use had seen by then; when there is too little time it is the first that is not.
type trial struct {
	model   *classify.Model
	engine  *classify.Engine
	input   classify.Input
	opening []flow.Payload // of the packet at hand
	off     atomic.Bool
	skipped atomic.Uint64
}

// try asks the model on trial about a flow that the one in use has decided.
func (w *labelledFlows) try(f *flow.Flow, opening []flow.Payload, nanos int64, at uint64) {
	t := w.trial
	if t.off.Load() {
		t.skipped.Add(1)
		return
	}
	l := t.model.Label(t.engine, opening, f.Key.Proto, &t.input)
	live, of := w.classes.app(f)
	out := &event.Shadow{LiveModel: of, LiveApp: live, LiveNovel: f.Label.Novel, Label: event.Label{
		App: t.model.Labels[l.Class], Confidence: float64(l.Confidence), Source: l.Source.String(), Packets: int(l.Packets),
		Novel: l.Novel, Model: t.model.Name,
	}}
	out.Agrees = out.App == live && out.Novel == out.LiveNovel
	w.queue.Put(at, f.FirstPacket, &event.Event{Nanos: nanos, Type: event.TypeShadow, Tuple: event.TupleOf(f), Shadow: out})
}
