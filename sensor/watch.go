package sensor

import (
	"errors"
	"io"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
)

// Source gives packets as they come: capture.Live, or what stands before it.
type Source interface {
	// Read gives the next packets; without any for a while it gives none and no error. It ends with io.EOF.
	Read([]capture.Packet) (int, error)
	Complete() int64 // time up to which Read has given all packets, math.MinInt64 while that is not known
	ClockStep() time.Duration
	Losses() []capture.Loss
	Lag() (fill float64, behind time.Duration)
}

// Watcher says what Watch tells while it watches. The functions may be nil.
type Watcher struct {
	File string // where the packets can be found afterwards, for the evidence of alerts; empty: nowhere

	// Each is called after every batch, and ten times a second without packets. Its error ends Watch.
	Each func() error
	// OnEffort is called when there is time for less or for more than before.
	OnEffort func(from, to classify.Effort, fill float64, behind time.Duration)
	// OnClock is called when the clock of the machine was set, or the machine slept, and the stream begins anew.
	OnClock func(step time.Duration)
}

// Batches are as large as can be worked on in batchTime, so that what the rings say is looked at often enough.
const (
	minBatch  = 64
	maxBatch  = 4096
	batchTime = 20 * time.Millisecond
)

// Watch takes packets from a source until it ends, and lets time go on when none come. It is what Add is for
// captures, and goes the same way. Close follows it.
func (s *Sensor) Watch(source Source, w Watcher) error {
	batch := make([]capture.Packet, maxBatch)
	size := minBatch
	var load overload
	started := time.Now()
	for {
		n, end := source.Read(batch[:size])
		for _, loss := range source.Losses() {
			s.meter.Lose(loss.Nanos, loss.Packets)
		}
		before := time.Now()
		if n > 0 {
			if err := s.Add(w.File, batch[:n]); err != nil {
				return err
			}
		}
		if n < size { // nothing more for now: the last batch may have been as large as was asked for
			s.Wait()
		}
		switch took := time.Since(before); {
		case took > batchTime:
			size = max(size/2, minBatch)
		case took < batchTime/2 && n == size:
			size = min(size*2, maxBatch)
		}
		if step := source.ClockStep(); step.Abs() > s.cfg.Meter.Lateness {
			s.restart()
			if w.OnClock != nil {
				w.OnClock(step)
			}
		}
		s.meter.Advance(source.Complete())
		if s.cfg.Apps != nil {
			fill, behind := source.Lag()
			if from := load.effort; load.observe(time.Since(started), fill, behind) {
				s.setEffort(load.effort)
				if w.OnEffort != nil {
					w.OnEffort(from, load.effort, fill, behind)
				}
			}
		}
		if w.Each != nil {
			if err := w.Each(); err != nil {
				return err
			}
		}
		switch {
		case s.err != nil:
			return s.err
		case errors.Is(end, io.EOF):
			return nil
		case end != nil:
			return end
		}
	}
}

// restart begins the stream anew. The detector has no windows before the next.
func (s *Sensor) restart() {
	s.meter.Restart()
	s.forget()
	if s.evidence != nil {
		s.evidence.Forget()
	}
}

func (s *Sensor) setEffort(e classify.Effort) {
	s.effort = e
	for _, w := range s.workers {
		if w.trial != nil {
			w.trial.off.Store(e != classify.Full)
		}
		for _, c := range w.classifiers {
			c.SetEffort(e)
		}
	}
}

// shed returns what was not done for want of time; nil when there was always enough.
func (s *Sensor) shed() *event.Shed {
	sum := s.before
	for _, w := range s.workers {
		for _, c := range w.classifiers {
			one := c.Shed()
			sum.Add(&one)
		}
	}
	if s.effort == classify.Full && sum == (classify.Shed{}) {
		return nil
	}
	shed := &event.Shed{Effort: s.effort.String(), Packets: map[string]uint64{}, Flows: map[string]uint64{}}
	for e := classify.Full + 1; e < classify.NumEfforts; e++ {
		if n := sum.Packets[e]; n > 0 {
			shed.Packets[e.String()] = n
		}
		if n := sum.Flows[e]; n > 0 {
			shed.Flows[e.String()] = n
		}
	}
	return shed
}
