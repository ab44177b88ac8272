package sensor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/window"
)

// What PromoteApps and PromoteAnomaly refuse.
var (
	// ErrOtherInput: the model was trained on other input than the sensor prepares.
	ErrOtherInput = errors.New("sensor: the model needs other input than the one in use")
	// ErrUndecided: too many models have flows to decide yet. Later there will be fewer.
	ErrUndecided = errors.New("sensor: too many models before it have flows to decide yet")
)

// maxModels is how many models of applications there may be at one time that have flows to decide: each has the memory of its
// networks in every worker.
const maxModels = 8

// PromoteApps has another model label the flows from here on. Flows that bear a label of a model before, final or not, are
// that model's to their end: no flow is labelled by two. No packet is lost, and the counts go on. The place in the stream is the
// one between the last packet of Add and the next, whatever the number of workers. On error the model before goes on.
func (s *Sensor) PromoteApps(m *classify.Model) error {
	now := s.cfg.Apps
	switch {
	case now == nil:
		return fmt.Errorf("%w: no applications are labelled", ErrOtherInput)
	case m.Name == now.Name:
		return nil
	}
	if err := sameOpenings(m, now); err != nil {
		return err
	}
	s.Wait() // the workers are at rest
	for _, w := range s.workers {
		w.classifiers = slices.DeleteFunc(w.classifiers, func(c *classify.Classifier) bool {
			if c == w.classifiers[0] || c.Undecided() > 0 {
				return false
			}
			shed := c.Shed()
			s.before.Add(&shed)
			return true
		})
		if len(w.classifiers) == maxModels {
			return fmt.Errorf("%w (%d)", ErrUndecided, maxModels)
		}
	}
	first := s.classes.of(m)
	for _, w := range s.workers {
		w.use(m, first)
	}
	s.setEffort(s.effort)
	s.cfg.Apps = m
	s.shadow.anewApps(m.Name)
	s.drifts.anewApps(m)
	s.promoted.Promoted++
	return nil
}

// PromoteAnomaly has another detector, NAME@VERSION, judge the windows that close from here on. It has seen the windows before, as
// many as are remembered for evidence, and so judges the next one as if it had been there. On error the detector before goes on.
// The first of a sensor that had none begins here, with the windows that CountWindows has counted if they are its own.
func (s *Sensor) PromoteAnomaly(m *anomaly.Model, name string) error {
	now := s.cfg.Anomaly
	switch {
	case now == nil && m.Tunnels != s.cfg.Meter.Tunnels:
		return fmt.Errorf("%w: %s judges windows with tunnels %v, here %v", ErrOtherInput, name, m.Tunnels, s.cfg.Meter.Tunnels)
	case now == nil:
		if err := s.CountWindows(m.Length, m.Home); err != nil {
			return err
		}
	case name == s.cfg.AnomalyName:
		return nil
	}
	if now != nil {
		if err := sameWindows(m, now, name, s.cfg.AnomalyName); err != nil {
			return err
		}
	}
	s.Wait()
	s.detector, s.recent.replay = m.NewDetector(), m.NewDetector()
	s.recent.replayTo(s.detector, s.judged)
	s.cfg.Anomaly, s.cfg.AnomalyName = m, name
	s.shadow.anewAnomaly(name)
	s.drifts.anewAnomaly(m)
	s.promoted.Promoted++
	return nil
}

// sameOpenings reports, as an error, that a model looks at other openings than the one in use.
func sameOpenings(m, now *classify.Model) error {
	if m.Arch.Packets == now.Arch.Packets && m.Arch.Normaliser.Bytes == now.Arch.Normaliser.Bytes && m.Tunnels == now.Tunnels {
		return nil
	}
	return fmt.Errorf("%w: %s looks at %d packets of %d bytes, tunnels %v; %s at %d of %d, tunnels %v", ErrOtherInput,
		m.Name, m.Arch.Packets, m.Arch.Normaliser.Bytes, m.Tunnels, now.Name, now.Arch.Packets, now.Arch.Normaliser.Bytes, now.Tunnels)
}

// sameWindows reports, as an error, that a detector judges other windows than the one in use.
func sameWindows(m, now *anomaly.Model, name, nowName string) error {
	if m.Length == now.Length && slices.Equal(m.Home, now.Home) && m.Tunnels == now.Tunnels {
		return nil
	}
	return fmt.Errorf("%w: %s judges windows of %v, home %v, tunnels %v; %s of %v, home %v, tunnels %v", ErrOtherInput,
		name, m.Length, m.Home, m.Tunnels, nowName, now.Length, now.Home, now.Tunnels)
}

// Refuse counts a promoted version that was not even given to the sensor, or that it did not take.
func (s *Sensor) Refuse() { s.promoted.Refused++ }

// replayTo gives a detector the last of the windows, at most so many.
func (r *recent) replayTo(d *anomaly.Detector, most int) {
	for _, v := range r.vectors[len(r.vectors)-min(most, len(r.vectors)):] {
		d.Score(v)
	}
}

// forget has the detector begin anew: what comes next does not follow what was.
func (s *Sensor) forget() {
	if s.detector != nil {
		s.detector.Reset()
	}
	if s.shadow.detector != nil {
		s.shadow.detector.Reset()
	}
	s.judged = 0
	s.recent.forget()
}

// models tells what is in use; nil without models.
func (s *Sensor) models() *event.Models {
	if s.cfg.Apps == nil && s.cfg.Anomaly == nil {
		return nil
	}
	m := s.promoted
	m.Anomaly = s.cfg.AnomalyName
	if s.cfg.Apps != nil {
		m.Apps = s.cfg.Apps.Name
	}
	return &m
}

// use has a model label flows that begin. One that was used before, and has flows yet, goes on with them.
func (w *labelledFlows) use(m *classify.Model, first int32) {
	for i, c := range w.classifiers {
		if c.Gave(first) {
			w.classifiers = slices.Insert(slices.Delete(w.classifiers, i, i+1), 0, c)
			return
		}
	}
	w.classifiers = slices.Insert(w.classifiers, 0, classify.NewBeside(m, first))
}

// of returns the classifier of a flow by its label's class: the one that gave it, or else the one for flows that begin. A flow
// whose model is gone has no more than a label of one packet, given when there was no memory or time for more.
func (w *labelledFlows) of(class int32) *classify.Classifier {
	for _, c := range w.classifiers[1:] {
		if c.Gave(class) {
			return c
		}
	}
	return w.classifiers[0]
}

// classes are the labels of all models that label flows, or did: the class of a flow's label tells the model too. They grow by the
// labels of each version promoted, and are changed only when the workers are at rest.
type classes struct {
	all   []class          // by flow.Label.Class
	names []string         // of applications, each once
	first map[string]int32 // class of a model's first label, by the model's name
}

type class struct {
	app   int // index of names
	model string
}

// of returns the class of the model's first label.
func (c *classes) of(m *classify.Model) int32 {
	if first, ok := c.first[m.Name]; ok {
		return first
	}
	if c.first == nil {
		c.first = map[string]int32{}
	}
	first := int32(len(c.all))
	c.first[m.Name] = first
	for _, label := range m.Labels {
		app := slices.Index(c.names, label)
		if app < 0 {
			app = len(c.names)
			c.names = append(c.names, label)
		}
		c.all = append(c.all, class{app, m.Name})
	}
	return first
}

// app returns the name of a flow's label and the model that gave it, both empty without one.
func (c *classes) app(f *flow.Flow) (name, model string) {
	if f.Label.Class == flow.NoClass || len(c.all) == 0 {
		return "", ""
	}
	one := &c.all[f.Label.Class]
	return c.names[one.app], one.model
}

// byName adds up what a window has of each class to what it has of each application, in the order of names. The first of either
// is what has no label.
func (c *classes) byName(byClass []window.Labelled) []window.Labelled {
	if len(c.first) < 2 {
		return byClass // classes are the applications
	}
	byName := make([]window.Labelled, len(c.names)+1)
	for slot, l := range byClass {
		app := 0
		if slot > 0 {
			app = c.all[slot-1].app + 1
		}
		byName[app].Add(&l)
	}
	return byName
}
