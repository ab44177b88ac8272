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
func (t *Table) Sweep(now int64) { t.sweep(now, mostEnding) }

// mostEnding is how many flows are put in order at a time, about: 16 MiB of them.
const mostEnding = 1 << 20

func (t *Table) sweep(now int64, most int) {
	if now < t.due {
		return
	}
	t.due = math.MaxInt64
	list, all := t.ending, true
	for i := range t.blocks {
		b := &t.blocks[i]
		if b.due <= now {
			list, b.due = t.look(list, i, now)
		}
		if len(list) > most {
			list, all = list[:0], false
		}
		t.due = min(t.due, b.due)
	}
	before := uint64(math.MaxUint64)
	if all {
		sortEnding(list)
	} else {
		list, before = list[:0], 0 // in parts, then
	}
	for {
		for i, e := range list {
			t.endingSoon(list[i:])
			t.end(e.cell, t.timeout(t.cell(e.cell)))
		}
		if before == math.MaxUint64 {
			break
		}
		list, before = t.gather(list[:0], most, func(c *cell) bool { return t.deadline(c) <= now })
	}
	t.ending = reuse(list)
}

// look appends the flows of a block that are over at now, and returns the next deadline of the others.
func (t *Table) look(list []ending, block int, now int64) (over []ending, due int64) {
	due = math.MaxInt64
	for flows := t.blocks[block].flows; flows != 0; flows &= flows - 1 {
		n := uint32(block*blockLen + bits.TrailingZeros64(flows))
		c := t.cell(n)
		if d := t.deadline(c); d > now {
			due = min(due, d)
		} else {
			list = append(list, ending{t.firstPacket(c), n})
		}
	}
	return list, due
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

// flush is what FlushBefore knows of the flows that are still to end.
type flush struct {
	next   []ending // those whose first packets come first, in order
	all    []ending // the memory of next
	before uint64   // all flows with a lower first packet are in next
	flows  uint64   // Stats.Flows when next was right: it is as long as no flow starts
	ended  uint32   // or ends elsewhere
}

// FlushBefore is Flush for the flows whose first packet has a lower ordinal than before. When it is
// called again and again with higher ones, it sorts the flows part by part, for less memory than all of
// them would take.
func (t *Table) FlushBefore(reason EndReason, before uint64) {
	t.flushBefore(reason, before, mostEnding)
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
			f.all, f.before = t.gather(f.all[:0], most, func(*cell) bool { return true })
			f.next = f.all
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

// gather appends the flows that are to end and whose first packets come first, in order, about most of
// them. All that are left began at before or later; when none is left, before is math.MaxUint64.
func (t *Table) gather(list []ending, most int, ends func(*cell) bool) (next []ending, before uint64) {
	const bins = 4096
	low, count := uint64(math.MaxUint64), 0
	t.eachFlow(func(_ uint32, c *cell) {
		if ends(c) {
			low = min(low, t.firstPacket(c))
			count++
		}
	})
	before = math.MaxUint64
	if count > most {
		// Of the flows' ordinals, counted in as many steps between the lowest and the newest, as many
		// steps as hold no more flows than most; one at least.
		step := (t.newest-low)/bins + 1
		var counts [bins]int
		t.eachFlow(func(_ uint32, c *cell) {
			if ends(c) {
				counts[(t.firstPacket(c)-low)/step]++
			}
		})
		sum, k := counts[0], 1
		for k < bins && sum+counts[k] <= most {
			sum += counts[k]
			k++
		}
		if k < bins {
			before = low + uint64(k)*step
		}
	}
	t.eachFlow(func(n uint32, c *cell) {
		if first := t.firstPacket(c); ends(c) && (first < before || before == math.MaxUint64) {
			list = append(list, ending{first, n})
		}
	})
	sortEnding(list)
	return list, before
}

// eachFlow calls f for every flow, in the order of cells.
func (t *Table) eachFlow(f func(n uint32, c *cell)) {
	for i := range t.blocks {
		for flows := t.blocks[i].flows; flows != 0; flows &= flows - 1 {
			n := uint32(i*blockLen + bits.TrailingZeros64(flows))
			f(n, t.cell(n))
		}
	}
}
