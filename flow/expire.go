package flow

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"
	"unsafe"
)

// elapsed returns the nanoseconds from one time to a later one, 0 when it is not later, and the largest
// number where the difference overflows.
func elapsed(from, to int64) int64 {
	if to <= from {
		return 0
	}
	if d := to - from; d > 0 {
		return d
	}
	return math.MaxInt64
}

// after returns the time d past nanos, no later than time can be.
func after(nanos int64, d time.Duration) int64 {
	if nanos > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return nanos + int64(d)
}

// deadline returns the time from which on the flow is over if no packet comes before. It never becomes
// earlier.
func (t *Table) deadline(c *cell) int64 {
	idle := after(t.last(c), t.cfg.Lifetime)
	if t.cfg.Active > 0 {
		return min(idle, after(c.start, t.cfg.Active))
	}
	return idle
}

// timeout returns which of the two limits made the flow's deadline.
func (t *Table) timeout(c *cell) EndReason {
	if t.cfg.Active > 0 && after(c.start, t.cfg.Active) < after(t.last(c), t.cfg.Lifetime) {
		return ActiveTimeout
	}
	return IdleTimeout
}

// ending is a flow that is about to end.
type ending struct {
	first uint64 // Flow.FirstPacket
	cell  uint32
}

func sortEnding(e []ending) {
	slices.SortFunc(e, func(a, b ending) int { return cmp.Compare(a.first, b.first) })
}

// endingSoon brings what ending the next flows of a list will need into the caches: some two groups
// ahead the cell, one group ahead the bucket.
func (t *Table) endingSoon(next []ending) {
	if len(next) > 2*group {
		prefetch(unsafe.Pointer(t.cell(next[2*group].cell)))
	}
	if len(next) > group {
		prefetch(unsafe.Pointer(t.index.home(t.hashOf(t.cell(next[group].cell)))))
	}
}

// Sweep ends the flows whose time is over at now, in order of their first packets. Between two flows
// that end it costs nothing, so it may be called as often as the clock of the stream moves. A now
// before that of an earlier call is allowed: it ends what is over by then.
//
// Packets move deadlines, but nothing else: each block of cells bears a bound on the deadlines of its
// flows, and a block whose bound has come is looked through and gets a new one. That is 16 bytes for 64
// flows, and looking at a flow as often as its neighbours end. (A list in order of use costs every
// packet 34 ns in a table of 10 million flows, a heap or wheel of deadlines 4 to 24 bytes a flow.)
func (t *Table) Sweep(now int64) {
	if now < t.due {
		return
	}
	t.due = math.MaxInt64
	for i := range t.blocks {
		b := &t.blocks[i]
		if b.due <= now {
			b.due = t.look(i, now)
		}
		t.due = min(t.due, b.due)
	}
	sortEnding(t.ending)
	for i, e := range t.ending {
		t.endingSoon(t.ending[i:])
		t.end(e.cell, t.timeout(t.cell(e.cell)))
	}
	t.ending = reuse(t.ending)
}

// look puts the flows of a block that are over at now on t.ending and returns the next deadline of the
// others.
func (t *Table) look(block int, now int64) int64 {
	due := int64(math.MaxInt64)
	for flows := t.blocks[block].flows; flows != 0; flows &= flows - 1 {
		n := uint32(block*blockLen + bits.TrailingZeros64(flows))
		c := t.cell(n)
		if d := t.deadline(c); d > now {
			due = min(due, d)
		} else {
			t.ending = append(t.ending, ending{t.firstPacket(c), n})
		}
	}
	return due
}

// reuse returns a list without its elements, and without its memory if there is much of it.
func reuse(e []ending) []ending {
	if cap(e) > 1<<16 {
		return nil
	}
	return e[:0]
}

// Flush ends all flows for the reason given, in order of their first packets. Closed flows end as such,
// for the reason EndOfFlow.
func (t *Table) Flush(reason EndReason) { t.FlushBefore(reason, math.MaxUint64) }

// flush is what FlushBefore knows of the flows that are still to end: those whose first packets come
// first, about flushLen of them, in order.
type flush struct {
	next   []ending
	all    []ending // the memory of next
	before uint64   // all flows with a lower first packet are in next
	flows  uint64   // Stats.Flows when next was right: it is as long as no flow starts
	ended  uint32   // or ends elsewhere
}

const flushLen = 1 << 20

// FlushBefore is Flush for the flows whose first packet has a lower ordinal than before. When it is
// called again and again with higher ones, it sorts the flows part by part, for less memory than all of
// them would take.
func (t *Table) FlushBefore(reason EndReason, before uint64) {
	t.flushBefore(reason, before, flushLen)
}

func (t *Table) flushBefore(reason EndReason, before uint64, most int) {
	f := &t.flush
	if f.flows != t.stats.Flows || f.ended != t.ended {
		*f = flush{all: f.all}
	}
	for t.alive > 0 {
		if len(f.next) == 0 {
			if before <= f.before {
				break
			}
			t.gather(f, most)
			continue
		}
		if f.next[0].first >= before && before != math.MaxUint64 {
			break
		}
		t.endingSoon(f.next)
		n := f.next[0].cell
		f.next = f.next[1:]
		t.end(n, reason)
	}
	if t.alive == 0 {
		*f = flush{}
	}
	f.flows, f.ended = t.stats.Flows, t.ended
}

// gather fills f.next with the flows that come next, about most of them.
func (t *Table) gather(f *flush, most int) {
	const bins = 4096
	f.before = math.MaxUint64
	if t.alive > most {
		// Of the flows' ordinals, counted in as many steps between the lowest and the highest, as many
		// steps as hold no more flows than most; one at least.
		low := uint64(math.MaxUint64)
		for i := range t.blocks {
			t.eachFlow(i, func(_ uint32, c *cell) { low = min(low, t.firstPacket(c)) })
		}
		step := (t.newest-low)/bins + 1
		var counts [bins]int
		for i := range t.blocks {
			t.eachFlow(i, func(_ uint32, c *cell) { counts[(t.firstPacket(c)-low)/step]++ })
		}
		sum, k := counts[0], 1
		for k < bins && sum+counts[k] <= most {
			sum += counts[k]
			k++
		}
		if k < bins {
			f.before = low + uint64(k)*step
		}
	}
	f.all = f.all[:0]
	for i := range t.blocks {
		t.eachFlow(i, func(n uint32, c *cell) {
			if first := t.firstPacket(c); first < f.before || f.before == math.MaxUint64 {
				f.all = append(f.all, ending{first, n})
			}
		})
	}
	sortEnding(f.all)
	f.next = f.all
}
