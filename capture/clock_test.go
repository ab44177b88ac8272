package capture

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// slowNanos is the definition: ticks / units per second + offset, in whole nanoseconds.
func slowNanos(resolution byte, offset int64, ticks uint64) int64 {
	base := int64(10)
	if resolution&0x80 != 0 {
		base = 2
	}
	units := new(big.Int).Exp(big.NewInt(base), big.NewInt(int64(resolution&0x7f)), nil)
	n := new(big.Int).SetUint64(ticks)
	n.Mul(n, big.NewInt(second)).Div(n, units)
	shift := new(big.Int).Mul(big.NewInt(offset), big.NewInt(second))
	// The offset saturates by itself before it is added.
	n.Add(n, saturate(shift))
	return saturate(n).Int64()
}

func saturate(n *big.Int) *big.Int {
	if high := big.NewInt(math.MaxInt64); n.Cmp(high) > 0 {
		return high
	}
	if low := big.NewInt(math.MinInt64); n.Cmp(low) < 0 {
		return low
	}
	return n
}

func TestClockEqualsDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	ticks := []uint64{0, 1, 1e9, 1700000000123456, 1700000000123456789, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}
	offsets := []int64{0, 1, -1, 3600, 1e9, -1e9, -9223372036, -9223372037, 9223372036, 9223372037, math.MaxInt64, math.MinInt64}
	for range 20 {
		ticks = append(ticks, random.Uint64()>>random.UintN(64))
	}
	for resolution := range 256 {
		for _, offset := range offsets {
			c := newClock(byte(resolution), offset)
			for _, n := range ticks {
				if got, want := c.nanos(n), slowNanos(byte(resolution), offset, n); got != want {
					t.Errorf("if_tsresol %#x, if_tsoffset %d, timestamp %d: got %d, want %d", resolution, offset, n, got, want)
				}
			}
		}
	}
}
