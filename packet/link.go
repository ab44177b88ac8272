package packet

// EtherTypes, https://www.iana.org/assignments/ieee-802-numbers. Values below 1536 in their place
// are the length of an IEEE 802.3 frame, which leaves anyIP free to stand for "IPv4 or IPv6, as
// the first four bits say".
const (
	anyIP         = 1
	minEtherType  = 1536
	etherIPv4     = 0x0800
	etherTEB      = 0x6558 // Ethernet inside GRE, RFC 7637
	etherVLAN     = 0x8100 // IEEE 802.1Q
	etherIPv6     = 0x86dd
	etherPPP      = 0x880b // PPP inside GRE, RFC 2637
	etherMPLS     = 0x8847 // RFC 3032
	etherMPLSUp   = 0x8848 // RFC 5332: upstream-assigned labels
	etherPPPoE    = 0x8864 // RFC 2516, session stage
	etherQinQ     = 0x88a8 // IEEE 802.1ad
	etherERSPAN   = 0x88be // mirrored Ethernet frames inside GRE
	etherQinQOld  = 0x9100 // before IEEE 802.1ad
	pppIPv4       = 0x0021
	pppIPv6       = 0x0057
	pppMPLS       = 0x0281
	pppMPLSUp     = 0x0283
	arphrdNetlink = 824 // the protocol field of a cooked header is then a netlink family
)

// link passes the link header. It returns what stands behind it (etherIPv4, etherIPv6 or anyIP)
// and where.
func (h *Headers) link(link LinkType, f []byte) (next uint16, at int, reason Reason) {
	switch link {
	case LinkEthernet:
		return h.ethernet(f, 0)
	case LinkRaw, LinkRawBSD, LinkRawOpenBSD:
		return anyIP, 0, OK
	case LinkIPv4:
		return etherIPv4, 0, OK
	case LinkIPv6:
		return etherIPv6, 0, OK
	case LinkSLL:
		if len(f) < 16 {
			return 0, 0, TruncatedLink
		}
		if be16(f[2:]) == arphrdNetlink {
			return 0, 0, NotIP
		}
		return h.etherType(be16(f[14:]), f, 16)
	case LinkSLL2:
		if len(f) < 20 {
			return 0, 0, TruncatedLink
		}
		if be16(f[8:]) == arphrdNetlink {
			return 0, 0, NotIP
		}
		return h.etherType(be16(f), f, 20)
	case LinkNull, LinkLoop:
		return loopback(f)
	case LinkPPP, LinkPPPHDLC, LinkPPPD:
		return h.hdlc(link, f)
	case LinkPPPoE:
		return h.etherType(etherPPPoE, f, 0)
	case LinkCiscoHDLC:
		if len(f) < 4 {
			return 0, 0, TruncatedLink
		}
		return h.etherType(be16(f[2:]), f, 4)
	}
	return 0, 0, UnknownLink
}

// ethernet passes the Ethernet header at an offset.
func (h *Headers) ethernet(f []byte, at int) (uint16, int, Reason) {
	if len(f)-at < 14 {
		return 0, 0, TruncatedLink
	}
	next := be16(f[at+12:])
	if next == etherIPv4 || next == etherIPv6 {
		return next, at + 14, OK
	}
	at += 14
	if next < minEtherType {
		// The length of what follows: anything beyond is padding, and no LLC header.
		return h.llc(f[:min(len(f), at+int(next))], at, 0)
	}
	return h.etherType(next, f, at)
}

// etherType passes tags and shims until IP, starting with what next says is at an offset.
func (h *Headers) etherType(next uint16, f []byte, at int) (uint16, int, Reason) {
	for tags := 0; ; tags++ {
		switch next {
		case etherIPv4, etherIPv6:
			return next, at, OK
		case etherVLAN, etherQinQ, etherQinQOld:
			if len(f)-at < 4 {
				return 0, 0, TruncatedLink
			}
			if h.VLANs == 0 {
				h.VLAN = be16(f[at:]) & 0x0fff
			}
			h.VLANs++
			next = be16(f[at+2:])
			at += 4
		case etherMPLS, etherMPLSUp:
			if len(f)-at < 5 {
				return 0, 0, TruncatedLink
			}
			bottom := f[at+2]&1 != 0
			at += 4
			if bottom {
				// Nothing names what a label stack carries; IP is told by its version
				// (RFC 4928 section 3), pseudowires keep off those values.
				if v := f[at] >> 4; v != 4 && v != 6 {
					return 0, 0, NotIP
				}
				return anyIP, at, OK
			}
		case etherPPPoE:
			if len(f)-at < 6 {
				return 0, 0, TruncatedLink
			}
			if f[at+1] != 0 { // a code other than session data
				return 0, 0, NotIP
			}
			var reason Reason
			if next, at, reason = ppp(f, at+6); reason != OK {
				return 0, 0, reason
			}
		default:
			if next < minEtherType {
				return h.llc(f, at, tags)
			}
			return 0, 0, NotIP
		}
		if tags == maxTags {
			return 0, 0, TooDeep
		}
	}
}

// llc passes an IEEE 802.2 header: SNAP (RFC 1042), or IP as a service access point of its own.
func (h *Headers) llc(f []byte, at, tags int) (uint16, int, Reason) {
	if len(f)-at < 3 {
		return 0, 0, TruncatedLink
	}
	switch {
	case f[at] == 0x06 && f[at+1] == 0x06 && f[at+2] == 0x03:
		return etherIPv4, at + 3, OK
	case f[at] == 0xaa && f[at+1] == 0xaa && f[at+2] == 0x03:
		if len(f)-at < 8 {
			return 0, 0, TruncatedLink
		}
		// Organisation 00-00-00 says that an EtherType follows; 00-00-f8 is its IEEE 802.1H twin.
		if f[at+3] != 0 || f[at+4] != 0 || f[at+5] != 0 && f[at+5] != 0xf8 {
			return 0, 0, NotIP
		}
		next := be16(f[at+6:])
		if next < minEtherType || tags == maxTags {
			return 0, 0, NotIP
		}
		return h.etherType(next, f, at+8)
	}
	return 0, 0, NotIP
}

// loopback passes the four bytes of LinkNull and LinkLoop. A host's order shows in the value: all
// families are below 65536. LinkLoop files in the wrong order exist too, so both are read alike.
func loopback(f []byte) (uint16, int, Reason) {
	if len(f) < 4 {
		return 0, 0, TruncatedLink
	}
	family := be32(f)
	if family > 0xffff {
		family = uint32(f[0]) | uint32(f[1])<<8 | uint32(f[2])<<16 | uint32(f[3])<<24
	}
	switch family {
	case 2:
		return etherIPv4, 4, OK
	case 10, 23, 24, 28, 30: // Linux; Windows; NetBSD and OpenBSD; FreeBSD; Darwin
		return etherIPv6, 4, OK
	}
	return 0, 0, NotIP
}

// hdlc passes PPP in HDLC-like framing, in bare form, or Cisco's HDLC, which captures of serial
// lines mix under one link type.
func (h *Headers) hdlc(link LinkType, f []byte) (uint16, int, Reason) {
	if len(f) < 2 {
		return 0, 0, TruncatedLink
	}
	at := 0
	switch {
	case (f[0] == 0xff || link == LinkPPPD) && f[1] == 0x03:
		at = 2
	case (f[0] == 0x0f || f[0] == 0x8f) && f[1] == 0x00:
		if len(f) < 4 {
			return 0, 0, TruncatedLink
		}
		return h.etherType(be16(f[2:]), f, 4)
	}
	next, at, reason := ppp(f, at)
	if reason != OK {
		return 0, 0, reason
	}
	return h.etherType(next, f, at)
}

// ppp passes the PPP protocol field at an offset, of one byte when it is compressed (RFC 1661
// section 6.5), and returns the EtherType that means the same.
func ppp(f []byte, at int) (next uint16, after int, reason Reason) {
	if len(f)-at < 1 {
		return 0, 0, TruncatedLink
	}
	protocol := uint16(f[at])
	at++
	if protocol&1 == 0 {
		if len(f)-at < 1 {
			return 0, 0, TruncatedLink
		}
		protocol = protocol<<8 | uint16(f[at])
		at++
	}
	switch protocol {
	case pppIPv4:
		return etherIPv4, at, OK
	case pppIPv6:
		return etherIPv6, at, OK
	case pppMPLS:
		return etherMPLS, at, OK
	case pppMPLSUp:
		return etherMPLSUp, at, OK
	}
	return 0, 0, NotIP
}
