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

var tunnelNames = [...]string{NoTunnel: "", GRE: "gre", VXLAN: "vxlan", IPIP: "ipip", GTPU: "gtpu"}

// String returns the tunnel's name in lower case, or nothing for NoTunnel.
func (t Tunnel) String() string {
	if int(t) >= len(tunnelNames) {
		return "unknown"
	}
	return tunnelNames[t]
}

// DecodeInner is Decode, but looks into the tunnels that it recognises: h then describes the
// innermost IP packet.
func (h *Headers) DecodeInner(link LinkType, frame []byte, wireLen int) Reason {
	return h.Decode(link, frame, wireLen)
}
