package window

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/weirnet/weir/packet"
)

// Filter says which packets count. The zero value lets every IP packet count. It may be used by
// several goroutines at once.
type Filter struct {
	four, six []prefix
}

// prefix is a network as masked bits.
type prefix struct {
	hi, lo         uint64
	maskHi, maskLo uint64
}

// NewFilter returns a filter for the traffic between the home networks and the outside: only
// packets with exactly one end inside count. Without home networks every IP packet counts.
func NewFilter(home []netip.Prefix) (*Filter, error) {
	f := new(Filter)
	for _, n := range home {
		if !n.IsValid() {
			return nil, fmt.Errorf("window: home network %v is not valid", n)
		}
		p := prefix{maskHi: maskBits(n.Bits()), maskLo: maskBits(n.Bits() - 64)}
		if n.Addr().Is4() {
			a := n.Addr().As4()
			p.hi = uint64(binary.BigEndian.Uint32(a[:])) << 32 & p.maskHi
			f.four = append(f.four, p)
			continue
		}
		a := n.Addr().As16()
		p.hi = binary.BigEndian.Uint64(a[:8]) & p.maskHi
		p.lo = binary.BigEndian.Uint64(a[8:]) & p.maskLo
		f.six = append(f.six, p)
	}
	return f, nil
}

// maskBits returns a word whose first n bits are set; n may lie outside 0..64.
func maskBits(n int) uint64 { return ^(^uint64(0) >> uint(min(max(n, 0), 64))) }

// Counts reports whether a packet is among those that the features are about.
func (f *Filter) Counts(h *packet.Headers) bool {
	switch {
	case h.Version == 0:
		return false
	case len(f.four) == 0 && len(f.six) == 0:
		return true
	}
	home := f.four
	if h.Version == 6 {
		home = f.six
	}
	return inside(home, &h.Src) != inside(home, &h.Dst)
}

func inside(home []prefix, a *packet.Addr) bool {
	hi, lo := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
	for _, p := range home {
		if hi&p.maskHi == p.hi && lo&p.maskLo == p.lo {
			return true
		}
	}
	return false
}
