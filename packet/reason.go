package packet

// Reason says how far decoding of a frame got. It is a counter's index, never an error: bad
// packets are data. A Reason other than OK may come with Headers.Version != 0; the packet then
// holds a whole, valid IP header and counts as an IP packet.
type Reason uint8

const (
	OK                 Reason = iota
	NotIP                     // a whole link header, and something other than IP behind it
	UnknownLink               // the link type is not one that Decode knows
	TruncatedLink             // the frame ends inside the link header or its tags
	TruncatedIP               // the frame ends inside the IP header or its IPv4 options
	BadIPHeader               // version, header length or total length contradict themselves
	TruncatedExtension        // the packet ends inside the chain of IPv6 extension headers
	TooDeep                   // more tags or extension headers than Decode follows
	TruncatedTransport        // the packet ends inside the transport header
	BadTransport              // a length in the transport header contradicts itself
	NumReasons         = iota
)

var reasonNames = [NumReasons]string{
	OK:                 "ok",
	NotIP:              "not_ip",
	UnknownLink:        "unknown_link",
	TruncatedLink:      "truncated_link",
	TruncatedIP:        "truncated_ip",
	BadIPHeader:        "bad_ip_header",
	TruncatedExtension: "truncated_extension",
	TooDeep:            "too_deep",
	TruncatedTransport: "truncated_transport",
	BadTransport:       "bad_transport",
}

// String returns the reason's name as it stands in statistics: stable, in snake case.
func (r Reason) String() string {
	if int(r) >= len(reasonNames) {
		return "unknown"
	}
	return reasonNames[r]
}
