package meter

import (
	"math"

	"github.com/weirnet/weir/window"
)

// Advance says that the time of the stream has come to nanos though no packet tells: on an interface, packets may stop
// while time goes on. All packets from before nanos must have been given to Add, or they will be late. What is over by
// then ends as it would before a packet of that time: windows close, flows end, OnTick is called. Before
// the first packet it does nothing. Files need no Advance.
func (m *Meter) Advance(nanos int64) {
	if !m.time.advance(nanos) {
		return
	}
	before := len(m.now.marks)
	if m.series != nil && m.clock.Observe(nanos) {
		m.closeWindows(m.clock.Due())
	}
	if nanos >= m.nextTick {
		m.tick(nanos)
	}
	rested := nanos >= m.sweepTo && m.sweep(nanos)
	if rested || len(m.now.marks) > before {
		m.Wait()
	}
}

// Restart begins the stream anew, for when the clock that its times come from was set: all flows end, all windows
// close, and there is no silence between those before and those after.
func (m *Meter) Restart() {
	if !m.cfg.NoFlows {
		m.Wait()
		m.endInParts(flushing, math.MaxInt64)
	}
	if m.series != nil {
		m.closeWindows(math.MaxInt64)
	}
	m.Wait()
	m.time = streamTime{outliers: m.time.outliers + uint64(m.time.n)}
	m.sweepFrom, m.sweepTo, m.calm = 0, 0, math.MinInt64
	if m.cfg.Every > 0 {
		m.nextTick = math.MinInt64
	}
	if m.series != nil {
		m.open = math.MinInt64
		m.clock = window.NewClock(m.cfg.Window, m.cfg.Lateness)
		m.series.Restart(m.accumulators()...)
	}
}

// advance takes the time of a clock that is right: packets that too few others agreed with are believed when it does. It
// reports false when it moves nothing: the stream is further, or has not begun.
func (s *streamTime) advance(nanos int64) bool {
	n := 0
	for _, t := range s.pending[:s.n] {
		switch {
		case ahead(t, nanos):
			s.pending[n] = t
			n++
		case !s.known:
			s.known, s.first, s.now = true, t, t
		default:
			s.first, s.now = min(s.first, t), max(s.now, t)
		}
	}
	s.n = n
	if !s.known || nanos < s.now {
		return false
	}
	s.now = nanos
	return true
}
