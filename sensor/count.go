package sensor

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/weirnet/weir/evidence"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// windows returns what the meter is to count for a detector of such windows, or for one that is to come.
func (s *Sensor) windows(length time.Duration, home []netip.Prefix) meter.Windows {
	return meter.Windows{Length: length, Home: home, OnWindow: s.window, OnPacket: func(_ uint64, nanos int64, h *packet.Headers, counted bool) {
		p := &s.batch[s.at]
		s.at++
		if counted {
			s.sources.add(s.file, nanos)
			s.samples.add(nanos, h)
			if s.evidence != nil {
				s.evidence.Packet(p)
			}
		}
	}}
}

// begin notes that such windows are counted from here on.
func (s *Sensor) begin(w *meter.Windows) {
	s.sources, s.samples = sources{length: w.Length}, samples{length: w.Length}
	s.counted, s.home = w.Length, w.Home
}

// CountWindows has windows counted that no detector judges yet, for Config.OnWindow. Where a detector is in use its windows are
// counted already, and others are refused. It is called between two calls of Add.
func (s *Sensor) CountWindows(length time.Duration, home []netip.Prefix) error {
	switch {
	case s.counted == length && slices.Equal(s.home, home):
		return nil
	case s.detector != nil:
		return fmt.Errorf("%w: %s judges windows of %v, home %v", ErrOtherInput, s.cfg.AnomalyName, s.counted, s.home)
	}
	w := s.windows(length, home)
	if err := s.meter.CountWindows(w); err != nil {
		return err
	}
	s.begin(&w)
	s.forget()
	return nil
}

// count takes a window that nobody judges: what is remembered of it is there for the first detector.
func (s *Sensor) count(w *window.Window, v window.Vector) {
	s.judged++
	s.recent.add(v, evidence.Window{Start: w.Start, Packets: w.Packets()})
	index := window.Index(w.Start, w.Length)
	s.sources.take(index)
	seen := s.samples.take(index)
	labels := s.classes.byName(w.Labels())
	for _, l := range labels[min(1, len(labels)):] {
		seen.apps = append(seen.apps, l.Packets)
	}
	s.samples.usually(seen)
}
