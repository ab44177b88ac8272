package packet

// Tunnel is a kind of encapsulation that Decode recognises and DecodeInner looks into.
type Tunnel uint8

const (
	NoTunnel Tunnel = iota
	GRE             // RFC 2784, RFC 2890; version 1 of RFC 2637 (PPTP)
	VXLAN           // RFC 7348, UDP port 4789
	IPIP            // IPv4 or IPv6 right inside IP, RFC 2003, RFC 4213
	GTPU            // 3GPP TS 29.281, UDP port 2152
)

// IANA protocol numbers of tunnels.
const (
	protoIPv4 = 4
	protoIPv6 = 41
	protoGRE  = 47
)

var tunnelNames = [...]string{NoTunnel: "", GRE: "gre", VXLAN: "vxlan", IPIP: "ipip", GTPU: "gtpu"}

// String returns the tunnel's name in lower case, or nothing for NoTunnel.
func (t Tunnel) String() string {
	if int(t) >= len(tunnelNames) {
		return "unknown"
	}
	return tunnelNames[t]
}

// DecodeInner is Decode, but looks into the tunnels that it recognises, at most four of them inside
// each other: h then describes the innermost IP packet, Tunnel is the one that carried it, and
// VLANs counts tags outside and inside. Where a tunnel holds no whole, valid IP header, as in its
// own signalling or in a later fragment, h describes the packet around it, as Decode would.
func (h *Headers) DecodeInner(link LinkType, frame []byte, wireLen int) Reason {
	reason := h.Decode(link, frame, wireLen)
	came := NoTunnel
	for depth := 0; depth < maxTunnels && h.Tunnel != NoTunnel; depth++ {
		inner := Headers{VLANs: h.VLANs, VLAN: h.VLAN}
		innerReason := inner.enter(h, frame)
		if inner.Version == 0 {
			break
		}
		came = h.Tunnel
		*h, reason = inner, innerReason
	}
	if came != NoTunnel {
		h.Tunnel = came
	}
	return reason
}

// enter decodes the packet inside the tunnel that outer found in frame.
func (h *Headers) enter(outer *Headers, frame []byte) Reason {
	at := outer.PayloadOffset
	wire := at + outer.PayloadWireLen
	f := frame[:at+outer.PayloadLen]
	next, reason := uint16(anyIP), OK
	switch outer.Tunnel {
	case GRE:
		next, at, reason = h.gre(f, at)
	case VXLAN:
		next, at, reason = h.ethernet(f, at+8)
	case GTPU:
		at, reason = gtpu(f, at)
	}
	if reason != OK {
		return reason
	}
	return h.network(next, f, at, wire)
}

// tunnelInUDP recognises a tunnel in the payload of a UDP packet, by port and first bytes.
func (h *Headers) tunnelInUDP(payload []byte) {
	if len(payload) < 8 {
		return
	}
	switch {
	case h.DstPort == portVXLAN && payload[0]&0x08 != 0: // the identifier is valid
		h.Tunnel = VXLAN
	case h.DstPort == portGTPU && payload[0]>>4 == 3: // version 1, GTP rather than GTP'
		h.Tunnel = GTPU
	}
}

// gre passes the GRE header at an offset.
func (h *Headers) gre(f []byte, at int) (uint16, int, Reason) {
	if len(f)-at < 4 {
		return 0, 0, TruncatedTransport
	}
	const checksum, routing, key, sequence, acknowledgement = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080
	flags, next := be16(f[at:]), be16(f[at+2:])
	if flags&routing != 0 || flags&7 > 1 { // source routes of RFC 1701 are long gone
		return 0, 0, NotIP
	}
	at += 4
	for _, field := range [...]uint16{checksum, key, sequence, acknowledgement} {
		if flags&field != 0 {
			at += 4
		}
	}
	if at > len(f) {
		return 0, 0, TruncatedTransport
	}
	switch next {
	case etherTEB:
		return h.ethernet(f, at)
	case etherERSPAN:
		if flags&sequence != 0 { // type II has a header of its own, type I none
			at += 8
		}
		return h.ethernet(f, at)
	case etherPPP:
		if len(f)-at >= 2 && f[at] == 0xff && f[at+1] == 0x03 {
			at += 2
		}
		var reason Reason
		if next, at, reason = ppp(f, at); reason != OK {
			return 0, 0, reason
		}
	}
	return h.etherType(next, f, at)
}

// gtpu passes the GTP-U header at an offset, of which tunnelInUDP has seen the 8 bytes that every
// one has, and its extension headers, 3GPP TS 29.281 section 5.
func gtpu(f []byte, at int) (int, Reason) {
	flags, message := f[at], f[at+1]
	if message != 0xff { // signalling
		return 0, NotIP
	}
	at += 8
	if flags&7 == 0 {
		return at, OK
	}
	if len(f)-at < 4 {
		return 0, TruncatedTransport
	}
	next := f[at+3]
	at += 4
	if flags&4 == 0 {
		next = 0
	}
	for extensions := 0; next != 0; extensions++ {
		if extensions == maxExtensions {
			return 0, TooDeep
		}
		if at >= len(f) {
			return 0, TruncatedTransport
		}
		extLen := int(f[at]) * 4
		if extLen == 0 || extLen > len(f)-at {
			return 0, TruncatedTransport
		}
		next = f[at+extLen-1]
		at += extLen
	}
	return at, OK
}
