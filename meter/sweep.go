package meter

import (
	"math"
	"time"

	"github.com/weirnet/weir/window"
)

// Millions of flows may be over at once, an hour after a flood or a silence of an hour. They end at one
// place of the stream, in order of their first packets, whatever the number of workers, but what was
// found of them is told part by part, so that it is never held all at once. For that the workers must
// be at rest. So that they seldom are, as long as it is certain that few flows are over they are not
// even asked.

// mostEnded is how many flows end at one place before what was found of them is told.
const mostEnded = 1 << 15

// few is how far it is certain that no more than mostEnded flows are over at once.
type few struct {
	packets uint64 // of the stream: each may have begun a flow, of however old a time
	until   int64  // a time
}

// sweep has the flows ended whose time is over, once in a second of the packets' time. It reports
// whether the workers came to rest for it.
func (m *Meter) sweep(nanos int64) (rested bool) {
	second := window.Index(nanos, time.Second)
	m.sweepFrom, m.sweepTo = window.Start(second, time.Second), window.Start(second+1, time.Second)
	if m.cfg.NoFlows {
		return false
	}
	if nanos < m.few.until && m.counters.Packets < m.few.packets {
		m.now.mark(sweeping).endings(nanos, math.MaxUint64)
		return false
	}
	m.Wait()
	m.endInParts(sweeping, nanos)
	m.look(nanos)
	return true
}

// look says until when few flows will be over; the workers are at rest.
func (m *Meter) look(nanos int64) {
	alive, over := 0, 0
	horizon := nanos + min(int64(time.Minute), math.MaxInt64-max(nanos, 0))
	for _, w := range m.workers {
		alive += w.table.Stats().Alive
		over += w.table.Over(horizon)
	}
	m.few = few{packets: m.counters.Packets + uint64(max(m.cfg.mostEnded-over, 0)), until: horizon}
	if alive < m.cfg.mostEnded/2 {
		m.few = few{packets: m.counters.Packets + uint64(m.cfg.mostEnded-alive), until: math.MaxInt64}
	}
}

// endInParts has flows ended, all that are over at nanos, and what was found of some told before the
// next. The workers are at rest, before and after.
func (m *Meter) endInParts(kind markKind, nanos int64) {
	for before := uint64(0); before != math.MaxUint64; {
		before = math.MaxUint64
		for _, w := range m.workers {
			before = min(before, w.table.Next(nanos, max(m.cfg.mostEnded/len(m.workers), 1)))
		}
		m.now.mark(kind).endings(nanos, before)
		m.Wait()
	}
}

// endFlows ends the open flows.
func (m *Meter) endFlows() {
	m.Wait()
	m.endInParts(flushing, math.MaxInt64)
	for _, w := range m.workers {
		w.table.Close()
	}
}
