package capture

import (
	"math"
	"math/bits"

	"github.com/weirnet/weir/packet"
)

// second is one in nanoseconds.
const second = int64(1e9)

// netInterface is what an interface description block of pcapng says.
type netInterface struct {
	link    packet.LinkType
	maxLen  uint32 // bytes of its largest packet
	snapLen uint32 // bytes captured of a packet at most, 0 for no limit
	clock   clock
}

// clock turns an interface's timestamps into nanoseconds since the Unix epoch: one of
// multiplier, divisor and shift is set. What does not fit into an int64 saturates.
type clock struct {
	multiplier uint64 // ticks are this many nanoseconds
	divisor    uint64 // this many ticks are a nanosecond
	shift      uint   // 1<<shift ticks are a second
	offset     int64  // nanoseconds to add
}

// newClock builds a clock from if_tsresol (a power of ten; of two with the upper bit set) and
// if_tsoffset, in seconds.
func newClock(resolution byte, offset int64) clock {
	var c clock
	switch exponent := uint(resolution & 0x7f); {
	case resolution&0x80 != 0 && exponent > 0:
		c.shift = exponent
	case resolution&0x80 != 0:
		c.multiplier = 1e9
	case exponent <= 9:
		c.multiplier = powerOfTen(9 - exponent)
	case exponent <= 9+19:
		c.divisor = powerOfTen(exponent - 9)
	default:
		c.shift = 127 // finer than any timestamp: all of them are 0
	}
	switch {
	case offset > math.MaxInt64/second:
		c.offset = math.MaxInt64
	case offset < math.MinInt64/second:
		c.offset = math.MinInt64
	default:
		c.offset = offset * second
	}
	return c
}

// powerOfTen returns 10^n for n up to 19.
func powerOfTen(n uint) uint64 {
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}

// nanos returns the time of a timestamp, rounded down.
func (c *clock) nanos(ticks uint64) int64 {
	var high, low uint64
	switch {
	case c.multiplier != 0:
		high, low = bits.Mul64(ticks, c.multiplier)
	case c.divisor != 0:
		low = ticks / c.divisor
	default:
		high, low = bits.Mul64(ticks, 1e9)
		if c.shift < 64 {
			low = low>>c.shift | high<<(64-c.shift)
			high >>= c.shift
		} else {
			high, low = 0, high>>(c.shift-64)
		}
	}
	if high == 0 && low <= math.MaxInt64 {
		return addSaturating(int64(low), c.offset)
	}
	// A negative offset may bring it back into range: low and high are below 2^128, and only
	// their sum with the offset counts.
	if c.offset < 0 {
		var borrow uint64
		low, borrow = bits.Sub64(low, uint64(-(c.offset+1))+1, 0)
		high -= borrow
	}
	if high == 0 && low <= math.MaxInt64 {
		return int64(low)
	}
	return math.MaxInt64
}

// addSaturating adds a, which is not negative, to b.
func addSaturating(a, b int64) int64 {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}
