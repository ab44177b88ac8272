package window

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/weirnet/weir/packet"
)

// Accumulator holds the open windows of one worker. It closes none by itself: Take does, at the
// point of the stream where Clock says so. It is used by one goroutine.
type Accumulator struct {
	length time.Duration
	series *Series

	open   map[int64]*Partial
	closed int64 // windows of a lower index were taken
	size   int   // bytes of the open windows, current excepted

	current    *Partial // the window that the last packet fell in, nil at first
	start, end int64    // its times: start <= t < end
}

// Part is one worker's share of one window.
type Part struct {
	Index int64
	*Partial
}

// Add counts a packet in the window of its time, nanoseconds since the Unix epoch. If that window
// was already taken, the packet is counted as late in the oldest one that is open.
func (a *Accumulator) Add(nanos int64, h *packet.Headers) {
	if nanos < a.start || nanos >= a.end {
		if !a.turn(nanos) {
			a.at(a.closed).Late++
			return
		}
	}
	a.current.Add(h)
}

// Label counts a packet, which Add has counted in the window of its time, and the bytes of its payload as those of a flow that
// bears the label class, -1 for none.
func (a *Accumulator) Label(nanos int64, class int32, novel bool, payload int) {
	if nanos >= a.start && nanos < a.end || a.turn(nanos) {
		a.current.label(class, novel, payload)
	}
}

// Lose counts packets that the capture dropped around a time.
func (a *Accumulator) Lose(nanos int64, packets uint64) {
	a.at(max(a.closed, Index(nanos, a.length))).Lost += packets
}

// turn makes the window of a time the current one, unless it was taken already.
func (a *Accumulator) turn(nanos int64) bool {
	index := Index(nanos, a.length)
	if index < a.closed {
		return false
	}
	if a.current != nil {
		a.size += a.current.Size()
	}
	a.current = a.at(index)
	a.size -= a.current.Size()
	a.start, a.end = Start(index, a.length), Start(addIndex(index), a.length)
	return true
}

// at returns the open window of an index, opening it if need be.
func (a *Accumulator) at(index int64) *Partial {
	p := a.open[index]
	if p == nil {
		p = a.series.partial()
		a.open[index] = p
		a.size += p.Size()
	}
	return p
}

// Take closes the windows of a lower index than before and returns them in order of time. They
// belong to the caller, who gives them to Series.Close.
func (a *Accumulator) Take(before int64) []Part {
	var parts []Part
	for index, p := range a.open {
		if index < before {
			parts = append(parts, Part{index, p})
			delete(a.open, index)
			if p == a.current {
				a.size += p.Size()
				a.current, a.start, a.end = nil, 0, 0
			}
			a.size -= p.Size()
		}
	}
	slices.SortFunc(parts, func(p, q Part) int { return cmp.Compare(p.Index, q.Index) })
	a.closed = max(a.closed, before)
	return parts
}

// Size returns the bytes of memory that the open windows hold. It is cheap.
func (a *Accumulator) Size() int {
	if a.current == nil {
		return a.size
	}
	return a.size + a.current.Size()
}

// DefaultMemory is how many bytes the open windows of a stream may hold before some must close.
const DefaultMemory = 256 << 20

// Relief reports whether the open windows of all workers together hold more than limit bytes,
// and if so below which index to close them: that is the older half of them, so that it is
// seldom asked for. The window of index present, where the stream is, and those after it are spared
// as long as there are older ones, or those after it fit: a packet whose clock ran ahead must not
// close the windows of the packets to come. A single open window is never closed for its size. The
// workers must stand at the same point of the stream.
func Relief(limit int, present int64, workers ...*Accumulator) (before int64, needed bool) {
	size := 0
	for _, a := range workers {
		size += a.Size()
	}
	if size <= limit {
		return 0, false
	}
	var open []int64
	for _, a := range workers {
		open = slices.AppendSeq(open, maps.Keys(a.open))
	}
	slices.Sort(open)
	open = slices.Compact(open)
	if len(open) < 2 {
		return 0, false
	}
	before = open[len(open)/2]
	if open[0] < present {
		return min(before, present), true
	}
	for _, a := range workers {
		if p := a.open[present]; p != nil {
			size -= p.Size()
		}
	}
	return before, size > limit
}

// pool keeps the Partials of closed windows for the next ones. Windows close seldom and on
// another goroutine than they open, so a lock costs nothing that shows.
type pool struct {
	mu   sync.Mutex
	free []*Partial
}

func (p *pool) get() *Partial {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return new(Partial)
	}
	last := len(p.free) - 1
	q := p.free[last]
	p.free = p.free[:last]
	return q
}

// maxFree bounds the pool: after a capture whose windows all stayed open there are thousands.
const maxFree = 64

func (p *pool) put(q *Partial) {
	q.Reset()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxFree {
		p.free = append(p.free, q)
	}
}
