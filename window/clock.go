package window

import (
	"math"
	"time"
)

// Clock says which windows are over, from the times of the packets that count. What it says
// depends on the packets and their order alone. Its zero value is not usable: see NewClock.
type Clock struct {
	length, lateness int64
	endless          bool
	due              int64 // windows of a lower index are over
	next             int64 // the packet time at which due moves on
}

// NewClock returns a clock for windows of the given length, more than zero, that stay open for
// lateness after their end, in packet time; with a negative lateness they stay open for ever.
func NewClock(length, lateness time.Duration) *Clock {
	return &Clock{
		length:   int64(length),
		lateness: int64(lateness),
		endless:  lateness < 0,
		due:      math.MinInt64,
		next:     math.MinInt64,
	}
}

// Observe takes the time of the next packet that counts, in nanoseconds since the Unix epoch,
// and reports whether windows are over that were not before: if so, they are to be closed
// before this packet is added. Times may go backwards; the clock does not.
func (c *Clock) Observe(nanos int64) bool { return nanos >= c.next && c.advance(nanos) }

// Next returns the time before which Observe reports false.
func (c *Clock) Next() int64 { return c.next }

// Due returns the index below which all windows are over, math.MinInt64 while none is.
func (c *Clock) Due() int64 { return c.due }

func (c *Clock) advance(nanos int64) bool {
	if c.endless {
		c.next = math.MaxInt64
		return false
	}
	c.due = Index(subtract(nanos, c.lateness), time.Duration(c.length))
	c.next = add(Start(addIndex(c.due), time.Duration(c.length)), c.lateness)
	return true
}

// Index returns which window a time falls in: the number of whole lengths since the Unix epoch,
// rounded down, so that it is right before 1970 too.
func Index(nanos int64, length time.Duration) int64 {
	l := int64(length)
	i := nanos / l
	if nanos%l < 0 {
		i--
	}
	return i
}

// Start returns the time at which window index begins, in nanoseconds since the Unix epoch. The
// first and last window that int64 can hold begin at the earliest and latest time it can.
func Start(index int64, length time.Duration) int64 {
	l := int64(length)
	if index > math.MaxInt64/l {
		return math.MaxInt64
	}
	if index < math.MinInt64/l {
		return math.MinInt64
	}
	return index * l
}

// add and subtract stop at the ends of int64. b is not negative.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func subtract(a, b int64) int64 {
	if a < math.MinInt64+b {
		return math.MinInt64
	}
	return a - b
}

func addIndex(i int64) int64 { return add(i, 1) }
