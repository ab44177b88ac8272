package packet

// plain is Decode for the frames that networks are full of: Ethernet, at most one VLAN tag, IPv4
// without options or IPv6 without extension headers, not a fragment, whole TCP or UDP header. It
// reports false, and leaves anything in h, when the frame is another one. It costs half of what the
// general way does, which is its twin in the tests.
func (h *Headers) plain(f []byte) bool {
	if len(f) < 14+4+20 {
		return false
	}
	*h = Headers{}
	at := 14
	next := be16(f[12:])
	if next == etherVLAN {
		h.VLANs, h.VLAN = 1, be16(f[14:])&0x0fff
		next = be16(f[16:])
		at = 18
	}
	h.IPOffset = at
	switch next {
	case etherIPv4:
		b := f[at : at+20 : at+20] // at+20 <= 38 <= len(f)
		if b[0] != 0x45 || be16(b[6:])&0x3fff != 0 {
			return false
		}
		h.Version = 4
		h.IPLen = int(be16(b[2:]))
		h.TTL = b[8]
		h.Proto = b[9]
		*(*[4]byte)(h.Src[:]) = [4]byte(b[12:])
		*(*[4]byte)(h.Dst[:]) = [4]byte(b[16:])
		at += 20
	case etherIPv6:
		if len(f) < at+40 {
			return false
		}
		b := f[at : at+40 : at+40]
		if b[0]>>4 != 6 {
			return false
		}
		h.Version = 6
		h.IPLen = 40 + int(be16(b[4:]))
		h.TTL = b[7]
		h.Proto = b[6]
		h.Src = Addr(b[8:])
		h.Dst = Addr(b[24:])
		at += 40
	default:
		return false
	}
	end := h.IPOffset + h.IPLen
	b := f[at:min(max(end, at), len(f))]
	switch h.Proto {
	case TCP:
		if len(b) < 20 {
			return false
		}
		h.TCPFlags = b[13]
		h.Has = HasPorts | HasFlags | HasPayload
		headerLen := int(b[12]>>4) * 4
		if headerLen < 20 || headerLen > len(b) {
			return false
		}
		at += headerLen
	case UDP:
		if len(b) < 8 {
			return false
		}
		// A tunnel needs a closer look, and so does a length that is not the IP packet's.
		if port := be16(b[2:]); port == portVXLAN || port == portGTPU || at+int(be16(b[4:])) != end {
			return false
		}
		h.Has = HasPorts | HasPayload
		at += 8
	default:
		return false
	}
	h.SrcPort, h.DstPort = be16(b), be16(b[2:])
	h.PayloadOffset = at
	h.PayloadWireLen = end - at
	h.PayloadLen = min(end, len(f)) - at
	if end > len(f) {
		h.Has |= PayloadTruncated
	}
	return true
}
