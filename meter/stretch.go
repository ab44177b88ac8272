package meter

import (
	"math"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// stretch is a few packets of the stream in a row, decoded, and the marks between them. A single worker
// takes it at once, while the headers are in the first-level cache. Several get it through bounded
// queues; each takes its own packets and all the marks, and leaves at the marks what it has to say.
// When the last is done, what was found in the stretch and at its marks is told.
type stretch struct {
	first   uint64 // ordinal of its first packet
	items   []item
	marks   []mark
	at      int              // index of the item that marks come before
	packets []capture.Packet // of the items, where several workers look into them: what Add was given is the caller's again
	data    []byte           // what packets' Data lies in
	of      [][]uint16       // indexes of each worker's items
	done    chan struct{}    // every worker sends when it is done
}

// Lengths of a stretch, in packets and bytes of data. A short one stays in the caches, but must be
// worth waking a goroutine.
const (
	aloneLen   = 256
	sharedLen  = 1024
	sharedData = 1 << 20
)

// maxFlight is how many stretches may be with the workers at a time.
const maxFlight = 4

// item is a packet on its way to its worker: two cache lines, which change from one processor to
// another when there are several workers.
type item struct {
	headers packet.Headers
	nanos   int64
	packet  *capture.Packet // nil where several workers have no need of it
	wireLen int             // bytes on the wire
	counts  bool            // in windows
	counted bool            // in the window of its time, which is still open
}

// mark is something that every worker does between two packets.
type mark struct {
	kind     markKind
	at       int      // before the item of this index
	value    int64    // a time; of closing, an index of windows
	lost     uint64   // of losing: packets
	before   uint64   // of sweeping and flushing: ordinal
	counters Counters // of ticking: of what was decoded
	answers  []answer // of the workers
}

type markKind uint8

const (
	sweeping markKind = iota // flows end whose time is over at value and that began before an ordinal
	closing                  // windows of a lower index than value close
	bounding                 // the memory of open windows is noted
	ticking                  // OnTick is called with value
	losing                   // lost packets are counted around value
	flushing                 // flows end that began before an ordinal
)

// answer is what a worker says at a mark.
type answer struct {
	parts []window.Part // closing
	size  int           // bounding
	flows flow.Stats    // ticking
}

func newStretch(workers int) *stretch {
	s := &stretch{of: make([][]uint16, workers), done: make(chan struct{}, workers)}
	if workers > 1 {
		s.items = make([]item, 0, sharedLen)
		return s
	}
	s.items = make([]item, 0, aloneLen)
	for i := range uint16(aloneLen) {
		s.of[0] = append(s.of[0], i)
	}
	return s
}

// begin empties the stretch for the packets from an ordinal on.
func (s *stretch) begin(first uint64) {
	s.first, s.at = first, 0
	s.items, s.marks = s.items[:0], s.marks[:0]
	if len(s.of) > 1 {
		for i := range s.of {
			s.of[i] = s.of[i][:0]
		}
		if cap(s.data) > 2*sharedData { // after one packet of a hundred megabytes
			s.data = nil
		}
		s.data = s.data[:0]
	}
}

func (s *stretch) full() bool { return len(s.items) == cap(s.items) || len(s.data) >= sharedData }

// keep makes a packet, the last item's, the stretch's own.
func (s *stretch) keep(p *capture.Packet) *capture.Packet {
	if s.packets == nil {
		s.packets = make([]capture.Packet, cap(s.items))
	}
	q := &s.packets[s.at]
	*q = *p
	at, end := len(s.data), len(s.data)+len(p.Data)
	s.data = append(append(s.data, p.Data...), p.Comment...)
	q.Data = s.data[at:end:end]
	if p.Comment != nil {
		q.Comment = s.data[end:]
	}
	return q
}

// mark appends a mark.
func (s *stretch) mark(kind markKind) *mark {
	n := len(s.marks)
	if n == cap(s.marks) {
		s.marks = append(s.marks, mark{answers: make([]answer, len(s.of))})
	}
	s.marks = s.marks[:n+1]
	m := &s.marks[n]
	if m.answers == nil { // room that append made for more
		m.answers = make([]answer, len(s.of))
	}
	m.kind, m.at = kind, s.at
	return m
}

// endings says which flows end at a mark.
func (m *mark) endings(nanos int64, before uint64) { m.value, m.before = nanos, before }

// pass gives the stretch at hand to the workers and begins another.
func (m *Meter) pass() {
	s := m.now
	if len(s.items) == 0 && len(s.marks) == 0 {
		return
	}
	if len(m.workers) == 1 {
		m.workers[0].take(s)
		if len(s.marks) > 0 {
			m.cfg.Found.hand(0)
			m.tell(s)
		}
		s.begin(m.counters.Packets)
		return
	}
	for len(m.flight) == maxFlight {
		m.tellOldest()
	}
	m.flight = append(m.flight, s)
	for _, w := range m.workers {
		w.in <- s
		m.work <- w
	}
	for len(m.flight) > 0 && len(m.flight[0].done) == len(m.workers) {
		m.tellOldest()
	}
	if n := len(m.free); n > 0 {
		m.now, m.free = m.free[n-1], m.free[:n-1]
	} else {
		m.now = newStretch(len(m.workers))
	}
	m.now.begin(m.counters.Packets)
}

// Wait returns when the workers have seen all packets, and what they found is told. With several workers it is to be called
// when no packets may come for a while.
func (m *Meter) Wait() {
	m.pass()
	for len(m.flight) > 0 {
		m.tellOldest()
	}
	if len(m.workers) == 1 {
		m.cfg.Found.hand(0)
		m.cfg.Found.gather()
		m.cfg.Found.tellBefore(math.MaxUint64)
	}
}

// tellOldest works until the workers are done with the oldest stretch and tells what is in it.
func (m *Meter) tellOldest() {
	s := m.flight[0]
	for len(s.done) < len(m.workers) {
		select {
		case w := <-m.work:
			w.step()
			continue
		default:
		}
		break // a helper has it
	}
	for range m.workers {
		<-s.done
	}
	m.flight = m.flight[:copy(m.flight, m.flight[1:])]
	m.tell(s)
	m.free = append(m.free, s)
}

// tell calls the functions of Config for a stretch that the workers are done with.
func (m *Meter) tell(s *stretch) {
	m.cfg.Found.gather()
	for i := range s.marks {
		mark := &s.marks[i]
		m.cfg.Found.tellBefore(s.first + uint64(mark.at))
		switch mark.kind {
		case closing:
			m.parts = m.parts[:0]
			for _, a := range mark.answers {
				m.parts = append(m.parts, a.parts)
			}
			m.series.Close(mark.value, m.parts...)
		case bounding:
			size := 0
			for _, a := range mark.answers {
				size += a.size
			}
			m.sizes[m.bounds%boundLag] = size
			m.bounds++
		case ticking:
			c := mark.counters
			for _, a := range mark.answers {
				addStats(&c.Flow, &a.flows)
			}
			if m.series != nil {
				c.Window = m.series.Stats()
			}
			m.told = &c
			m.cfg.OnTick(mark.value)
			m.told = nil
		}
	}
	m.cfg.Found.tellBefore(math.MaxUint64)
}
