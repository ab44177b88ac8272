package packet

// IPv6 extension headers, RFC 8200 section 4 and https://www.iana.org/assignments/ipv6-parameters.
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extAuth        = 51 // RFC 4302; its length counts units of 4 bytes
	extDestination = 60
	extMobility    = 135
	extHIP         = 139
	extShim6       = 140
)

// network decodes the IP packet at an offset. Wire is where the frame ends on the wire, as an
// offset; it stands in for the length of an IP packet that does not state its own.
func (h *Headers) network(next uint16, f []byte, at, wire int) Reason {
	if next == anyIP {
		if at >= len(f) {
			return TruncatedIP
		}
		switch f[at] >> 4 {
		case 4:
			next = etherIPv4
		case 6:
			next = etherIPv6
		default:
			return BadIPHeader
		}
	}
	if next == etherIPv4 {
		return h.ipv4(f, at, wire)
	}
	return h.ipv6(f, at, wire)
}

// ipv4 decodes the IPv4 packet at an offset, RFC 791 section 3.1. An authentication header behind
// it is passed, so that the packet is what it authenticates.
//
// A total length of 0 is what a sending host sees before its network card cuts a large segment
// (TSO): the frame's length stands in. A total length that is not 0 and yet below the header's own
// length has no such meaning. The 20 bytes are whole and valid all the same, so the packet counts,
// with the size that it states; there is no room for a transport header in it, so none is read.
func (h *Headers) ipv4(f []byte, at, wire int) Reason {
	if len(f)-at < 20 {
		return TruncatedIP
	}
	b := f[at : at+20 : at+20]
	headerLen := int(b[0]&0x0f) * 4
	if b[0]>>4 != 4 || headerLen < 20 {
		return BadIPHeader
	}
	h.Version = 4
	h.IPOffset = at
	h.TTL = b[8]
	h.Proto = b[9]
	copy(h.Src[:4], b[12:16])
	copy(h.Dst[:4], b[16:20])
	h.IPLen = int(be16(b[2:]))
	if h.IPLen == 0 {
		h.IPLen = wire - at
	}
	fragment := be16(b[6:])
	if fragment&0x3fff != 0 { // more fragments, or an offset
		h.Has |= Fragment
		h.FragID = uint32(be16(b[4:]))
		if fragment&0x1fff != 0 {
			h.Has |= LaterFragment
		}
	}
	end := at + h.IPLen
	at += headerLen
	if at > end {
		return BadIPHeader
	}
	if at > len(f) {
		return TruncatedIP
	}
	if h.Has&LaterFragment != 0 {
		h.payload(f, at, end)
		h.Has &^= HasPayload
		return OK
	}
	for headers := 0; h.Proto == extAuth; headers++ { // RFC 4302 section 3.1.1: as in IPv6
		if min(end, len(f))-at < 2 {
			return TruncatedExtension
		}
		if headers == maxExtensions {
			return TooDeep
		}
		h.Proto = f[at]
		at += int(f[at+1])*4 + 8
		if at > min(end, len(f)) {
			return TruncatedExtension
		}
	}
	return h.transport(f, at, end)
}

// ipv6 decodes the IPv6 packet at an offset, RFC 8200 section 3. A payload length of 0, of a
// jumbogram (RFC 2675) or before segmentation, leaves the frame's length to stand in. Where the
// chain of extension headers breaks off, Proto is the last protocol number that could be read.
func (h *Headers) ipv6(f []byte, at, wire int) Reason {
	if len(f)-at < 40 {
		return TruncatedIP
	}
	b := f[at : at+40 : at+40]
	if b[0]>>4 != 6 {
		return BadIPHeader
	}
	h.Version = 6
	h.IPOffset = at
	h.TTL = b[7]
	h.Proto = b[6]
	copy(h.Src[:], b[8:24])
	copy(h.Dst[:], b[24:40])
	h.IPLen = 40 + int(be16(b[4:]))
	if h.IPLen == 40 {
		h.IPLen = wire - at
	}
	end := at + h.IPLen
	at += 40
	for extensions := 0; ; extensions++ {
		extLen := min(end, len(f)) - at // what there is of it, until its length is known
		switch h.Proto {
		case extHopByHop, extRouting, extDestination, extMobility, extHIP, extShim6:
			if extLen < 2 {
				return TruncatedExtension
			}
			extLen = int(f[at+1])*8 + 8
		case extAuth:
			if extLen < 2 {
				return TruncatedExtension
			}
			extLen = int(f[at+1])*4 + 8
		case extFragment:
			if extLen < 8 {
				return TruncatedExtension
			}
			extLen = 8
			// A fragment that is both first and last is no fragment, RFC 6946.
			if offset := be16(f[at+2:]); offset&0xfff9 != 0 {
				h.Has |= Fragment
				h.FragID = be32(f[at+4:])
				if offset&0xfff8 != 0 {
					h.Has |= LaterFragment
					h.Proto = f[at]
					h.payload(f, at+8, end)
					h.Has &^= HasPayload
					return OK
				}
			}
		default:
			return h.transport(f, at, end)
		}
		if extensions == maxExtensions {
			return TooDeep
		}
		h.Proto = f[at]
		at += extLen
		if at > min(end, len(f)) {
			return TruncatedExtension
		}
	}
}
