package packet

// UDP ports that name a tunnel.
const (
	portGTPU  = 2152
	portVXLAN = 4789
)

// transport decodes what the IP packet carries from an offset to end, both as offsets in the
// frame; end may lie behind the captured bytes. What the IP header says is not part of the packet
// is not looked at, were it captured or not.
func (h *Headers) transport(f []byte, at, end int) Reason {
	b := f[at:min(end, len(f))]
	switch h.Proto {
	case TCP: // RFC 9293 section 3.1
		h.ports(b)
		if len(b) >= 14 {
			h.TCPFlags = b[13]
			h.Has |= HasFlags
		}
		if len(b) < 20 {
			return TruncatedTransport
		}
		headerLen := int(b[12]>>4) * 4
		if headerLen < 20 || at+headerLen > end {
			return BadTransport
		}
		h.payload(f, at+headerLen, end)
		if headerLen > len(b) {
			return TruncatedTransport
		}
	case UDP: // RFC 768
		h.ports(b)
		if len(b) < 8 {
			return TruncatedTransport
		}
		// A length of 0 stands for a jumbogram's (RFC 2675 section 4). A length beyond the IP
		// packet's end is a first fragment's, or wrong: the IP header has the say.
		if udpLen := int(be16(b[4:])); udpLen != 0 {
			if udpLen < 8 {
				return BadTransport
			}
			end = min(end, at+udpLen)
		}
		h.payload(f, at+8, end)
		h.tunnelInUDP(h.Payload(f))
	case ICMP, ICMPv6: // RFC 792, RFC 4443: every message has at least 8 bytes
		if len(b) >= 2 {
			h.ICMPType, h.ICMPCode = b[0], b[1]
			h.Has |= HasICMP
		}
		if len(b) < 8 {
			return TruncatedTransport
		}
		h.payload(f, at+8, end)
	case SCTP: // RFC 9260 section 3.1
		h.ports(b)
		if len(b) < 12 {
			return TruncatedTransport
		}
		h.payload(f, at+12, end)
	default:
		h.payload(f, at, end)
		switch h.Proto {
		case protoIPv4, protoIPv6:
			h.Tunnel = IPIP
		case protoGRE:
			h.Tunnel = GRE
		}
	}
	return OK
}

// ports reads the ports with which TCP, UDP and SCTP headers begin, if they are there.
func (h *Headers) ports(b []byte) {
	if len(b) >= 4 {
		h.SrcPort, h.DstPort = be16(b), be16(b[2:])
		h.Has |= HasPorts
	}
}

// payload notes the application payload, from an offset to end, both as offsets in the frame and
// either possibly behind the captured bytes.
func (h *Headers) payload(f []byte, at, end int) {
	h.Has |= HasPayload
	h.PayloadOffset = min(at, len(f))
	h.PayloadLen = min(end, len(f)) - h.PayloadOffset
	h.PayloadWireLen = end - at
	if h.PayloadLen < h.PayloadWireLen {
		h.Has |= PayloadTruncated
	}
}
