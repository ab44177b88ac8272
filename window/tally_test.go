package window

import (
	"maps"
	"math"
	"math/rand/v2"
	"testing"
)

// plainTally is a tally as a map.
type plainTally[K comparable] map[K]uint64

func (t plainTally[K]) merge(u plainTally[K]) {
	for k, n := range u {
		t[k] += n
	}
}

// collected is what each hands out, of which every key must come once.
func collected[K comparable](t *testing.T, each func(func(K, uint64))) plainTally[K] {
	t.Helper()
	got := plainTally[K]{}
	each(func(k K, n uint64) {
		if got[k] != 0 {
			t.Errorf("%v came twice", k)
		}
		got[k] = n
	})
	return got
}

// amounts are numbers of packets around those at which counters are full.
var amounts = []uint64{1, 2, math.MaxUint16 - 1, math.MaxUint16, math.MaxUint16 + 1, 2 * math.MaxUint16, 3*math.MaxUint16 + 7}

// TestAddrTalliesEqualMaps counts in and merges tallies in every way there is, and maps beside them.
func TestAddrTalliesEqualMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for trial := range 300 {
		tallies := make([]addrTally, 3)
		plain := make([]plainTally[addrKey], len(tallies))
		for i := range plain {
			plain[i] = plainTally[addrKey]{}
		}
		for range r.IntN(200) {
			i := r.IntN(len(tallies))
			tally, want := &tallies[i], plain[i]
			switch r.IntN(6) {
			case 0:
				addrs := make([]uint32, r.IntN(batchLen+1))
				for k := range addrs {
					addrs[k] = uint32(r.IntN(1 + trial))
					want[fourKey(addrs[k])]++
				}
				tally.addFours(addrs)
			case 1, 2:
				addr, n := uint32(r.IntN(1+trial)), uint32(amounts[r.IntN(len(amounts))])
				if r.IntN(2) == 0 {
					n = math.MaxUint32 - uint32(r.IntN(3))
				}
				tally.addFour(addr, n)
				want[fourKey(addr)] += uint64(n)
			case 3:
				addrs := make([]sixAddr, r.IntN(sixBatchLen+1))
				for k := range addrs {
					addrs[k] = sixAddr{uint64(r.IntN(3)), uint64(r.IntN(1 + trial))}
					want[addrKey{addrs[k].hi, addrs[k].lo, true}]++
				}
				tally.addSixes(addrs)
			case 4:
				k := addrKey{uint64(r.IntN(3)), uint64(r.IntN(1 + trial)), true}
				n := 1 + r.Uint64N(1<<40)
				tally.addSix(k.hi, k.lo, n)
				want[k] += n
			default:
				if j := r.IntN(len(tallies)); j != i && r.IntN(5) == 0 {
					tally.merge(&tallies[j])
					want.merge(plain[j])
				} else if r.IntN(10) == 0 {
					tally.reset()
					clear(want)
				}
			}
		}
		for i := range tallies {
			if got := collected(t, tallies[i].each); !maps.Equal(got, plain[i]) || tallies[i].distinct() != float64(len(plain[i])) {
				t.Fatalf("trial %d, tally %d: %v different\n got %v\nwant %v", trial, i, tallies[i].distinct(), got, plain[i])
			}
		}
	}
}

// TestPortTalliesEqualMaps does the same for ports, few and many.
func TestPortTalliesEqualMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 4))
	for trial := range 30 {
		ports := []int{10, 3000, 1 << 16}[trial%3]
		tallies := make([]portTally, 3)
		plain := make([]plainTally[uint16], len(tallies))
		for i := range plain {
			plain[i] = plainTally[uint16]{}
		}
		for range r.IntN(60) {
			i := r.IntN(len(tallies))
			tally, want := &tallies[i], plain[i]
			switch r.IntN(4) {
			case 0:
				some := make([]uint16, r.IntN(ports))
				for k := range some {
					some[k] = uint16(r.IntN(ports))
					want[some[k]]++
				}
				tally.addEach(some)
			case 1:
				port := uint16(r.IntN(ports))
				for range math.MaxUint16 + r.IntN(3) {
					tally.addEach([]uint16{port})
					want[port]++
				}
			case 2:
				port, n := uint16(r.IntN(ports)), amounts[r.IntN(len(amounts))]+r.Uint64N(2)<<40
				tally.addMany(port, n)
				want[port] += n
			default:
				if j := r.IntN(len(tallies)); j != i {
					tally.merge(&tallies[j])
					want.merge(plain[j])
				} else if r.IntN(5) == 0 {
					tally.reset()
					clear(want)
				}
			}
		}
		for i := range tallies {
			tally := &tallies[i]
			if got := collected(t, tally.each); !maps.Equal(got, plain[i]) || tally.distinct() != float64(len(plain[i])) {
				t.Fatalf("trial %d, tally %d of %d ports: %d come, %v are told, want %d", trial, i, ports, len(got), tally.distinct(), len(plain[i]))
			}
			for _, port := range []uint16{0, 9, 2999, math.MaxUint16} {
				if got := tally.count(port); got != plain[i][port] {
					t.Errorf("port %d: got %d packets, want %d", port, got, plain[i][port])
				}
			}
		}
	}
}

// A tally of many ports holds less than one slot for each.
func TestPortTallyIsSmall(t *testing.T) {
	var tally portTally
	for port := range 1 << 16 {
		tally.addEach([]uint16{uint16(port)})
	}
	if got := tally.bytes(); got > 160<<10 {
		t.Errorf("65,536 ports take %d bytes, want at most 160 KiB", got)
	}
	tally.reset()
	tally.addEach([]uint16{7})
	tally.reset()
	if got := tally.bytes(); got > 1<<10 {
		t.Errorf("after a window with one port: %d bytes, want at most 1 KiB", got)
	}
}
