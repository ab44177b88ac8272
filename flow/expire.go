package flow

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// elapsed returns the nanoseconds from one time to a later one, 0 when it is not later, and the
// largest number where the difference overflows.
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

// deadline returns the time from which on the flow is over if no packet comes before.
// It never becomes earlier.
func (t *Table) deadline(f *Flow) int64 {
	idle := after(f.Last, t.cfg.Lifetime)
	if t.cfg.Active > 0 {
		return min(idle, after(f.Start, t.cfg.Active))
	}
	return idle
}

// timeout returns which of the two limits made the flow's deadline.
func (t *Table) timeout(f *Flow) EndReason {
	if t.cfg.Active > 0 && after(f.Start, t.cfg.Active) < after(f.Last, t.cfg.Lifetime) {
		return ActiveTimeout
	}
	return IdleTimeout
}

// Sweep ends the flows whose time is over at now, in order of their first packets. Between two flows
// that end it costs nothing, so it may be called as often as the clock of the stream moves. A now
// before that of an earlier call is allowed: it ends what is over by then.
func (t *Table) Sweep(now int64) {
	for i := range t.queues {
		for q := &t.queues[i]; len(*q) > 0 && (*q)[0].deadline <= now; {
			f := t.at((*q)[0].slot)
			if d := t.deadline(f); d > now {
				(*q)[0].deadline = d
				t.down(q, 0)
				continue
			}
			t.leave(f)
			t.ending = append(t.ending, f)
		}
	}
	t.endAll(t.timeout)
}

// Flush ends all flows for the reason given, in order of their first packets. Closed flows end as
// such, for the reason EndOfFlow.
func (t *Table) Flush(reason EndReason) { t.FlushBefore(reason, math.MaxUint64) }

// FlushBefore is Flush for the flows whose first packet has a lower ordinal than before.
func (t *Table) FlushBefore(reason EndReason, before uint64) {
	for i := range t.queues {
		for _, e := range t.queues[i] {
			if f := t.at(e.slot); f.FirstPacket < before || before == math.MaxUint64 {
				t.ending = append(t.ending, f)
			}
		}
	}
	for _, f := range t.ending {
		t.leave(f)
	}
	t.endAll(func(*Flow) EndReason { return reason })
}

// endAll ends the flows in t.ending, which stand in no queue any more.
func (t *Table) endAll(why func(*Flow) EndReason) {
	slices.SortFunc(t.ending, func(a, b *Flow) int { return cmp.Compare(a.FirstPacket, b.FirstPacket) })
	for i, f := range t.ending {
		t.end(f, why(f))
		t.ending[i] = nil
	}
	t.ending = t.ending[:0]
}

// Flows stand in one of two queues, by what is lost when the table is full and they must go.
const (
	cheap     = iota // seen from one end only and without a label, as in a flood or scan; or closed
	dear             // all others
	numQueues = iota
)

// worth returns the queue in which a flow belongs.
func worth(f *Flow) uint8 {
	if f.Packets[Responder] == 0 && f.Label.Class == NoClass || f.Closed() {
		return cheap
	}
	return dear
}

// evict makes room for one flow: the one goes whose deadline is next, a cheap one if there is any.
func (t *Table) evict() {
	for {
		q := &t.queues[cheap]
		if len(*q) == 0 {
			q = &t.queues[dear]
		}
		f := t.at((*q)[0].slot)
		if f.queue != worth(f) { // it was labelled after its last packet
			t.leave(f)
			t.enter(f)
		} else if d := t.deadline(f); d > (*q)[0].deadline {
			(*q)[0].deadline = d
			t.down(q, 0)
		} else {
			t.leave(f)
			t.stats.Evicted++
			t.end(f, LackOfResources)
			return
		}
	}
}

// queue is a binary heap of flows by a bound on their deadlines. Packets move deadlines, but no
// entry: a flow whose entry comes to the top is looked at and, if it has lived on, put back with its
// true deadline. So a packet costs nothing here, and a flow one step per lifetime. (A list in order
// of use costs every packet 34 ns in a table of 10 million flows.)
type queue []queued

type queued struct {
	deadline    int64  // no later than the flow's own
	firstPacket uint64 // decides between equal deadlines, so that runs do not differ
	slot        uint32
}

func (a queued) before(b queued) bool {
	return a.deadline < b.deadline || a.deadline == b.deadline && a.firstPacket < b.firstPacket
}

// enter puts a flow into the queue where it belongs.
func (t *Table) enter(f *Flow) {
	f.queue = worth(f)
	q := &t.queues[f.queue]
	*q = append(*q, queued{deadline: t.deadline(f), firstPacket: f.FirstPacket, slot: f.slot})
	t.up(q, len(*q)-1)
}

// leave takes a flow out of its queue.
func (t *Table) leave(f *Flow) {
	q := &t.queues[f.queue]
	place, last := f.place, len(*q)-1
	moved := (*q)[last]
	*q = (*q)[:last]
	if place == last {
		return
	}
	(*q)[place] = moved
	t.up(q, place)
	t.down(q, t.at(moved.slot).place)
}

// up moves an entry towards the top until it is in order.
func (t *Table) up(q *queue, place int) {
	e := (*q)[place]
	for place > 0 {
		parent := (place - 1) / 2
		if !e.before((*q)[parent]) {
			break
		}
		t.put(q, place, (*q)[parent])
		place = parent
	}
	t.put(q, place, e)
}

// down moves an entry away from the top until it is in order.
func (t *Table) down(q *queue, place int) {
	e := (*q)[place]
	for {
		child := 2*place + 1
		if child >= len(*q) {
			break
		}
		if child+1 < len(*q) && (*q)[child+1].before((*q)[child]) {
			child++
		}
		if !(*q)[child].before(e) {
			break
		}
		t.put(q, place, (*q)[child])
		place = child
	}
	t.put(q, place, e)
}

func (t *Table) put(q *queue, place int, e queued) {
	(*q)[place] = e
	t.at(e.slot).place = place
}
