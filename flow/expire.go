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
	tag   uint32 // of the flow's hash, once fetchEnding was called
}

func sortEnding(e []ending) {
	slices.SortFunc(e, func(a, b ending) int { return cmp.Compare(a.first, b.first) })
}

// endEach ends flows one after the other. What that will need comes into the caches meanwhile: some two
// groups ahead the cell, one group ahead the bucket.
func (t *Table) endEach(list []ending, reason func(*cell) EndReason) {
	for i := range list[:min(group, len(list))] {
		t.fetchEnding(&list[i])
	}
	for i, e := range list {
		if i+2*group < len(list) {
			prefetch(unsafe.Pointer(t.cell(list[i+2*group].cell)))
		}
		if i+group < len(list) {
			t.fetchEnding(&list[i+group])
		}
		t.endTagged(e.cell, e.tag, reason(t.cell(e.cell)))
	}
}

func (t *Table) fetchEnding(e *ending) {
	hash := t.hashOf(t.cell(e.cell))
	e.tag = tagOf(hash)
	prefetch(unsafe.Pointer(t.index.home(hash)))
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
	list := t.ending
	for i := range t.blocks {
		b := &t.blocks[i]
		if b.due <= now {
			list, b.due = t.look(list, i, now)
		}
		if len(list) > t.most {
			for _, e := range list { // they do not end yet
				t.blocks[e.cell/blockLen].due = math.MinInt64
			}
			t.due, t.ending = math.MinInt64, reuse(list)
			t.SweepBefore(now, math.MaxUint64)
			return
		}
		t.due = min(t.due, b.due)
	}
	sortEnding(list)
	t.endEach(list, t.timeout)
	t.ending = reuse(list)
}

// mostEnding is how many flows are put in order at a time, about: 16 MiB of them.
const mostEnding = 1 << 20

// look appends the flows of a block that are over at now, and returns the next deadline of the others.
func (t *Table) look(list []ending, block int, now int64) (over []ending, due int64) {
	due = math.MaxInt64
	last := uint32(len(t.blocks)*blockLen - 1)
	for flows := t.blocks[block].flows; flows != 0; flows &= flows - 1 {
		n := uint32(block*blockLen + bits.TrailingZeros64(flows))
		prefetch(unsafe.Pointer(t.cell(min(n+cellsAhead, last))))
		c := t.cell(n)
		if d := t.deadline(c); d > now {
			due = min(due, d)
		} else {
			list = append(list, ending{first: t.firstPacket(c), cell: n})
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

// Over returns how many flows are over at now, those that would end by a Sweep.
func (t *Table) Over(now int64) int {
	var list []ending
	count := 0
	for i := range t.blocks {
		if b := &t.blocks[i]; b.due <= now {
			list, b.due = t.look(list[:0], i, now)
			count += len(list)
			for _, e := range list {
				b.due = min(b.due, t.deadline(t.cell(e.cell)))
			}
		}
	}
	return count
}

// Flush ends all flows for the reason given, in order of their first packets. Closed flows end as such,
// for the reason EndOfFlow.
func (t *Table) Flush(reason EndReason) { t.FlushBefore(reason, math.MaxUint64) }

// parts is what is known of flows that end part by part.
type parts struct {
	now    int64    // flows that are over at
	next   []ending // those whose first packets come first, in order
	all    []ending // the memory of next
	before uint64   // all of the flows with a lower first packet are in next
	flows  uint64   // Stats.Flows when next was right: it is as long as no flow starts
	ended  uint32   // or ends elsewhere
}

// partsAt returns what is known of the flows that are over at now, with a next that is not empty if
// there are any.
func (t *Table) partsAt(now int64) *parts {
	p := &t.parts
	if p.now != now || p.flows != t.stats.Flows || p.ended != t.ended {
		*p = parts{now: now, all: p.all, flows: t.stats.Flows, ended: t.ended}
	}
	if len(p.next) == 0 && p.before != math.MaxUint64 {
		p.all, p.before = t.gather(p.all[:0], now, t.most)
		p.next = p.all
	}
	return p
}

// Next returns before what first packet lie the next n of the flows that are over at now, or some
// fewer; math.MaxUint64 if no more are left. All flows are over at math.MaxInt64.
func (t *Table) Next(now int64, n int) (before uint64) {
	p := t.partsAt(now)
	if n < len(p.next) {
		return p.next[n].first
	}
	return p.before
}

// SweepBefore is Sweep for the flows whose first packet has a lower ordinal than before. To end many in
// parts, call it with what Next says.
func (t *Table) SweepBefore(now int64, before uint64) { t.endBefore(now, before, t.timeout) }

// FlushBefore is Flush for the flows whose first packet has a lower ordinal than before.
func (t *Table) FlushBefore(reason EndReason, before uint64) {
	t.endBefore(math.MaxInt64, before, func(*cell) EndReason { return reason })
}

func (t *Table) endBefore(now int64, before uint64, reason func(*cell) EndReason) {
	for {
		p := t.partsAt(now)
		n := len(p.next)
		if before != math.MaxUint64 {
			n, _ = slices.BinarySearchFunc(p.next, before, func(e ending, before uint64) int { return cmp.Compare(e.first, before) })
		}
		if n == 0 {
			break
		}
		t.endEach(p.next[:n], reason)
		p.next, p.ended = p.next[n:], t.ended
	}
	if p := &t.parts; before == math.MaxUint64 {
		*p = parts{all: reuse(p.all)}
	}
}

// gather appends the flows that are over at now and whose first packets come first, in order, about most
// of them. All that are left began at before or later; when none is left, before is math.MaxUint64.
func (t *Table) gather(list []ending, now int64, most int) (next []ending, before uint64) {
	before = math.MaxUint64
	if now < t.due {
		return list, before
	}
	if t.alive > most {
		before = t.endOfPart(now, most)
	}
	if now == math.MaxInt64 {
		list = slices.Grow(list, min(t.alive, most))
	}
	t.eachOver(now, func(n uint32, c *cell) {
		if first := t.firstPacket(c); first < before || before == math.MaxUint64 {
			list = append(list, ending{first: first, cell: n})
		}
	})
	sortEnding(list)
	return list, before
}

// endOfPart returns before what first packet lie about most of the flows that are over at now;
// math.MaxUint64 if all do.
func (t *Table) endOfPart(now int64, most int) (before uint64) {
	low, count := uint64(math.MaxUint64), 0
	t.eachOver(now, func(_ uint32, c *cell) {
		low = min(low, t.firstPacket(c))
		count++
	})
	if count <= most {
		return math.MaxUint64
	}
	// Of the flows' ordinals, counted in as many steps between the lowest and the newest, as many
	// steps as hold no more flows than most; one at least.
	const bins = 4096
	step := (t.newest-low)/bins + 1
	var counts [bins]int
	t.eachOver(now, func(_ uint32, c *cell) { counts[(t.firstPacket(c)-low)/step]++ })
	sum, k := counts[0], 1
	for k < bins && sum+counts[k] <= most {
		sum += counts[k]
		k++
	}
	if k == bins {
		return math.MaxUint64
	}
	return low + uint64(k)*step
}

// cellsAhead is how far ahead cells are asked for that are looked at in a row: the processor does not see
// that they will be, and a flow takes 75 to 120 ns without.
const cellsAhead = 16

// eachOver calls f for every flow that is over at now, as all are at math.MaxInt64, in the order of
// cells. It looks at no block whose flows cannot be.
func (t *Table) eachOver(now int64, f func(n uint32, c *cell)) {
	last := uint32(len(t.blocks)*blockLen - 1)
	for i := range t.blocks {
		b := &t.blocks[i]
		if b.due > now {
			continue
		}
		due := int64(math.MaxInt64)
		for flows := b.flows; flows != 0; flows &= flows - 1 {
			n := uint32(i*blockLen + bits.TrailingZeros64(flows))
			prefetch(unsafe.Pointer(t.cell(min(n+cellsAhead, last))))
			c := t.cell(n)
			if now == math.MaxInt64 {
				f(n, c)
				continue
			}
			d := t.deadline(c)
			due = min(due, d)
			if d <= now {
				f(n, c)
			}
		}
		if now != math.MaxInt64 {
			b.due = due
		}
	}
}
