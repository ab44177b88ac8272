package sensor

import (
	"time"

	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// seen is what the explanation of an alert needs to know of a packet.
type seen struct {
	src, dst         packet.Addr
	srcPort, dstPort uint16
	version, proto   uint8
	flags            uint8
	ports            bool
}

// sample is packets of a window: all of them while they are few, then every second, fourth and so on, by their place
// among those that count, so that the same stream gives the same sample.
type sample struct {
	items []seen
	count uint64   // packets of the window
	step  uint64   // every so many-th is in items; a power of two
	apps  []uint64 // packets of the window by label
}

// maxSeen bounds the sample of an open window, usualSeen what is kept of one that was usual.
const (
	maxSeen   = 1 << 14
	usualSeen = 1 << 10
)

func (s *sample) add(h *packet.Headers) {
	at := s.count
	s.count++
	if at&(s.step-1) != 0 {
		return
	}
	one := seen{src: h.Src, dst: h.Dst, version: h.Version, proto: h.Proto}
	if h.Has&packet.HasPorts != 0 {
		one.srcPort, one.dstPort, one.ports = h.SrcPort, h.DstPort, true
	}
	if h.Has&packet.HasFlags != 0 {
		one.flags = h.TCPFlags
	}
	if s.items = append(s.items, one); len(s.items) == maxSeen {
		s.thin(maxSeen / 2)
	}
}

// thin takes every second packet out until there are no more than most.
func (s *sample) thin(most int) {
	for len(s.items) > most {
		n := 0
		for i := 0; i < len(s.items); i += 2 {
			s.items[n] = s.items[i]
			n++
		}
		s.items = s.items[:n]
		s.step *= 2
	}
}

// samples are those of the open windows and of the last usual ones.
type samples struct {
	length     time.Duration
	open       map[int64]*sample
	now        *sample // of the window of the last packet
	start, end int64   // times of that window
	usual      []*sample
	free       []*sample
}

// usualWindows is how many windows say what is usual; maxOpen how many open ones have a sample: more are open only when clocks
// are wrong.
const (
	usualWindows = 8
	maxOpen      = 64
)

// add notes a packet that counts in the window of its time.
func (s *samples) add(nanos int64, h *packet.Headers) {
	if s.now == nil || nanos < s.start || nanos >= s.end {
		index := window.Index(nanos, s.length)
		if s.now = s.at(index); s.now == nil {
			return
		}
		s.start, s.end = window.Start(index, s.length), window.Start(index+1, s.length)
	}
	s.now.add(h)
}

// at returns the sample of an open window, nil when there are too many.
func (s *samples) at(index int64) *sample {
	one := s.open[index]
	if one == nil && len(s.open) < maxOpen {
		if s.open == nil {
			s.open = map[int64]*sample{}
		}
		one = s.fresh()
		s.open[index] = one
	}
	return one
}

func (s *samples) fresh() *sample {
	one := new(sample)
	if n := len(s.free); n > 0 {
		one, s.free = s.free[n-1], s.free[:n-1]
	}
	*one = sample{items: one.items[:0], step: 1, apps: one.apps[:0]}
	return one
}

// take returns the sample of a window that has closed, an empty one when it had no packets. It goes back with usually or drop.
func (s *samples) take(index int64) *sample {
	one := s.open[index]
	delete(s.open, index)
	if one == nil {
		return s.fresh()
	}
	if one == s.now {
		s.now = nil
	}
	return one
}

// usually notes that a window was as usual.
func (s *samples) usually(one *sample) {
	one.thin(usualSeen)
	if len(s.usual) == usualWindows {
		s.drop(s.usual[0])
		s.usual = s.usual[:copy(s.usual, s.usual[1:])]
	}
	s.usual = append(s.usual, one)
}

func (s *samples) drop(one *sample) { s.free = append(s.free, one) }
