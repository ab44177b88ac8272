package packet

import "net/netip"

// Netip returns the address as the standard library has it. Version is that of the IP header
// which the address came from: 4 or 6; any other gives the zero netip.Addr.
func (a Addr) Netip(version uint8) netip.Addr {
	switch version {
	case 4:
		return netip.AddrFrom4([4]byte(a[:4]))
	case 6:
		return netip.AddrFrom16(a)
	}
	return netip.Addr{}
}

// AddrFrom returns ip as Decode would have stored it. An IPv4 address mapped into IPv6 stays IPv6.
func AddrFrom(ip netip.Addr) (a Addr) {
	if ip.Is4() {
		b := ip.As4()
		copy(a[:], b[:])
		return a
	}
	return ip.As16()
}

// IANA protocol numbers that Decode looks into.
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	ICMPv6 = 58
	SCTP   = 132
)
