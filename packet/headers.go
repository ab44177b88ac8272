// Package packet decodes link, network and transport headers in place: no allocation, no pointer
// into the frame, no panic on any input. It keeps no state and knows nothing of flows.
package packet

// LinkType is a LINKTYPE_ value of the pcap and pcapng formats
// (https://www.tcpdump.org/linktypes.html): what the first byte of a frame is.
type LinkType uint32

// Addr is an IP address as bytes. An IPv4 address fills the first four bytes and leaves the
// rest zero, so an Addr means something only beside the IP version it came with.
type Addr [16]byte

// TCP flags as they stand in the header, RFC 9293 section 3.1.
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// Bits of Headers.Has.
const (
	HasPorts         = 1 << iota // SrcPort and DstPort were read from a TCP, UDP or SCTP header
	HasFlags                     // TCPFlags was read
	HasPayload                   // the extent of the application payload is known: Payload fields are valid
	HasICMP                      // ICMPType and ICMPCode were read
	Fragment                     // the packet is a fragment (first or later): FragID is valid
	LaterFragment                // a fragment other than the first: no transport header in it; Payload fields are the fragment's
	PayloadTruncated             // the snap length cut the payload
)

// Headers is what Decode finds in a frame. It holds no pointer into the frame: offsets only.
type Headers struct {
	Src, Dst         Addr   // of the outermost IP header, unless DecodeInner looked into a tunnel
	SrcPort, DstPort uint16 // valid with HasPorts
	Version          uint8  // 4 or 6; 0 when the frame holds no whole, valid IP header
	Proto            uint8  // IANA protocol number after IPv6 extension headers
	TTL              uint8  // IPv4 TTL or IPv6 hop limit
	TCPFlags         uint8  // valid with HasFlags
	Has              uint16 // bits above
	ICMPType         uint8
	ICMPCode         uint8
	Tunnel           Tunnel // tunnel that the packet carries (Decode) or came in (DecodeInner)
	VLANs            uint8  // number of VLAN tags passed
	VLAN             uint16 // outermost VLAN identifier, valid when VLANs > 0
	FragID           uint32 // IP identification of a fragment
	IPLen            int    // bytes of the IP packet on the wire: total length; see docs/formats.md
	IPOffset         int    // offset of the IP header in the frame
	PayloadOffset    int    // offset of the application payload in the frame
	PayloadLen       int    // captured bytes of the application payload
	PayloadWireLen   int    // bytes of the application payload on the wire; no Ethernet padding
}

// Payload returns the captured application payload: a slice of frame.
func (h *Headers) Payload(frame []byte) []byte {
	return frame[h.PayloadOffset : h.PayloadOffset+h.PayloadLen]
}
