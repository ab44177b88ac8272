package window

import (
	"cmp"
	"net/netip"
	"slices"
)

// Top names the busiest ends of a window's packets, busiest first.
type Top struct {
	SrcAddrs, DstAddrs []AddrCount
	SrcPorts, DstPorts []PortCount
}

// AddrCount is an address and its number of packets.
type AddrCount struct {
	Addr    netip.Addr
	Packets uint64
}

// PortCount is a TCP or UDP port and its number of packets.
type PortCount struct {
	Port    uint16
	Packets uint64
}

// Top returns the n busiest addresses and ports of each kind; of equals the lower comes first.
// Counts are exact, except that in a window with more than 1,048,576 different source (or
// destination) addresses those that appeared after so many others are left out.
func (p *Partial) Top(n int) Top {
	p.flush()
	return Top{
		SrcAddrs: p.srcAddrs.top(n),
		DstAddrs: p.dstAddrs.top(n),
		SrcPorts: p.srcPorts.top(n),
		DstPorts: p.dstPorts.top(n),
	}
}

func (t *addrTally) top(n int) []AddrCount {
	var best leaders[AddrCount]
	t.each(func(k addrKey, packets uint64) {
		a, version := k.addr()
		best.offer(n, AddrCount{a.Netip(version), packets}, func(a, b AddrCount) int {
			return cmp.Or(cmp.Compare(b.Packets, a.Packets), a.Addr.Compare(b.Addr))
		})
	})
	return best
}

func (t *portTally) top(n int) []PortCount {
	var best leaders[PortCount]
	t.each(func(port uint16, packets uint64) {
		best.offer(n, PortCount{port, packets}, func(a, b PortCount) int {
			return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Port, b.Port))
		})
	})
	return best
}

// leaders is the first few of what was offered, in order.
type leaders[T any] []T

func (l *leaders[T]) offer(n int, x T, compare func(a, b T) int) {
	if len(*l) == n {
		if n == 0 || compare(x, (*l)[n-1]) > 0 {
			return
		}
		*l = (*l)[:n-1]
	}
	i, _ := slices.BinarySearchFunc(*l, x, compare)
	*l = slices.Insert(*l, i, x)
}
