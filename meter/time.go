package meter

import (
	"math"
	"slices"
	"time"
)

// streamTime is the time of a stream, from the times of its packets and their order alone. A clock
// may be wrong in a packet or a few: a time more than maxJump ahead of the stream is believed only
// when the packets after it are as far ahead. Nothing else becomes of a packet that is not
// believed: it counts in its flow and in its window, but neither ends flows nor closes windows.
// Times that lie back are always believed: they move nothing.
type streamTime struct {
	known    bool  // some packets in a row agreed on the time
	now      int64 // newest believed time, once known
	first    int64 // oldest believed time, when it became known
	pending  [confirmations + 1]int64
	n        int    // of pending: times in a row that are not believed yet
	outliers uint64 // times that were not believed in the end
}

const (
	maxJump       = int64(time.Hour)
	confirmations = 8
)

// flows takes the time of the next packet if it is on time: it is believed, and no clock has been wrong just
// before. Otherwise it reports false, and observe is to be asked.
func (s *streamTime) flows(nanos int64) bool {
	if !s.known || s.n != 0 || nanos < s.now || ahead(nanos, s.now) {
		return false
	}
	s.now = nanos
	return true
}

// observe takes the time of the next packet and reports whether it is believed.
func (s *streamTime) observe(nanos int64) bool {
	if s.known && !ahead(nanos, s.now) {
		s.now = max(s.now, nanos)
		s.outliers += uint64(s.n)
		s.n = 0
		return true
	}
	s.pending[s.n] = nanos
	if s.n++; s.n < len(s.pending) {
		return false
	}
	// The middle one of so many is right as long as most of them are.
	sorted := s.pending
	slices.Sort(sorted[:])
	middle := sorted[len(sorted)/2]
	if !s.known {
		s.first = middle
		for _, t := range sorted {
			if !ahead(middle, t) {
				s.first = min(s.first, t)
			}
		}
	}
	s.known, s.now, s.n = true, middle, 0
	for _, t := range s.pending {
		if ahead(t, middle) {
			s.pending[s.n] = t
			s.n++
		} else {
			s.now = max(s.now, t)
		}
	}
	return !ahead(nanos, middle)
}

// close ends the stream: what is not believed by now never will be.
func (s *streamTime) close() {
	if s.known {
		s.outliers += uint64(s.n)
		s.n = 0
	}
}

// span returns the oldest and newest time of the stream as far as is known. Of a stream of a few
// packets every time is believed. Before the first packet newest is math.MinInt64.
func (s *streamTime) span() (oldest, newest int64) {
	switch {
	case s.known:
		return s.first, s.now
	case s.n == 0:
		return math.MinInt64, math.MinInt64
	}
	return slices.Min(s.pending[:s.n]), slices.Max(s.pending[:s.n])
}

// ahead reports whether a is more than maxJump later than b.
func ahead(a, b int64) bool { return a > b && uint64(a)-uint64(b) > uint64(maxJump) }
