package packet

// LINKTYPE_ values that Decode knows.
const (
	LinkNull       LinkType = 0   // BSD loopback: address family in the byte order of the host
	LinkEthernet   LinkType = 1   // IEEE 802.3 and Ethernet II, without preamble
	LinkPPP        LinkType = 9   // RFC 1661, in HDLC-like framing (RFC 1662) or without
	LinkRawBSD     LinkType = 12  // DLT_RAW of most systems: an IPv4 or IPv6 header
	LinkRawOpenBSD LinkType = 14  // DLT_RAW of OpenBSD
	LinkPPPHDLC    LinkType = 50  // RFC 1662 or, as RFC 1547 section 4.3.1 has it, Cisco HDLC
	LinkPPPoE      LinkType = 51  // RFC 2516 from the PPPoE header on
	LinkRaw        LinkType = 101 // an IPv4 or IPv6 header
	LinkCiscoHDLC  LinkType = 104 // RFC 1547 section 4.3.1
	LinkLoop       LinkType = 108 // OpenBSD loopback: address family in network byte order
	LinkSLL        LinkType = 113 // Linux cooked capture
	LinkPPPD       LinkType = 166 // Linux pppd: direction in place of the HDLC address
	LinkIPv4       LinkType = 228 // an IPv4 header
	LinkIPv6       LinkType = 229 // an IPv6 header
	LinkSLL2       LinkType = 276 // Linux cooked capture, version 2
)

// Bounds on what Decode follows in one frame, so that a crafted frame costs little more than a
// plain one. Real stacks stay far below: four MPLS labels behind two VLAN tags, three IPv6
// extension headers. But chains of a hundred are sent to hide what is behind them from bounds like
// these, so the bound lies above what 1,500 bytes hold.
const (
	maxTags       = 8   // VLAN tags, MPLS labels and PPPoE headers
	maxExtensions = 256 // IPv6 extension headers, or GTP-U ones
	maxTunnels    = 4   // tunnels inside each other
)

// Decode fills h from the captured bytes of a frame whose length on the wire was wireLen, which is
// raised to the captured length when it is less. It stops at the outermost IP packet. It neither
// allocates nor keeps frame.
func (h *Headers) Decode(link LinkType, frame []byte, wireLen int) Reason {
	if link == LinkEthernet && h.plain(frame) {
		return OK
	}
	return h.general(link, frame, wireLen)
}

// general is Decode for any frame.
func (h *Headers) general(link LinkType, frame []byte, wireLen int) Reason {
	*h = Headers{}
	next, at, reason := h.link(link, frame)
	if reason != OK {
		return reason
	}
	return h.network(next, frame, at, max(wireLen, len(frame)))
}

func be16(b []byte) uint16 { return uint16(b[1]) | uint16(b[0])<<8 }

func be32(b []byte) uint32 {
	return uint32(b[3]) | uint32(b[2])<<8 | uint32(b[1])<<16 | uint32(b[0])<<24
}
