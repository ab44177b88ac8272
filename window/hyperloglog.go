package window

import (
	"math"
	"math/bits"
)

// hyperLogLog estimates how many different addresses it has seen (Flajolet et al., 2007) to
// about 0.8 %. It is asked only far above its range of small-count bias. Its hash is fixed, so
// sketches of different workers and machines merge, and the order of addresses does not matter.
type hyperLogLog [1 << hllBits]uint8

const hllBits = 14

func (l *hyperLogLog) add(k addrKey) {
	h := hllMix(k.hi + 0x9e3779b97f4a7c15)
	h = hllMix(h ^ k.lo)
	if k.six {
		h = hllMix(h + 1)
	}
	// The first bits choose a register; it keeps the longest run of zeros after them, plus one.
	register := h >> (64 - hllBits)
	run := uint8(bits.LeadingZeros64(h<<hllBits|1<<(hllBits-1))) + 1
	l[register] = max(l[register], run)
}

// hllMix is a bijection of 64 bits in which every input bit reaches every output bit
// (the finaliser of SplitMix64, Steele et al., 2014).
func hllMix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (l *hyperLogLog) merge(m *hyperLogLog) {
	for i, run := range m {
		l[i] = max(l[i], run)
	}
}

func (l *hyperLogLog) estimate() float64 {
	const m = float64(len(l))
	alpha := 0.7213 / (1 + 1.079/m)
	var sum float64
	for _, run := range l {
		sum += math.Ldexp(1, -int(run))
	}
	return math.Round(alpha * m * m / sum)
}
