package flow

import (
	"net/netip"

	"github.com/weirnet/weir/packet"
)

// Kind is what the port fields of a Key hold.
type Kind uint8

const (
	Portless  Kind = iota // nothing: a protocol without ports, or a header cut before them
	Ports                 // ports of TCP, UDP or SCTP
	Query                 // ICMP: type of the message and type of its counterpart, such as echo and echo reply
	OneWay                // ICMP: type and code of a message that has no counterpart
	Fragments             // nothing: later fragments, known by FragID, whose first fragment was not seen
)

// Key is a 5-tuple as one direction of a flow has it. It is comparable.
type Key struct {
	Src, Dst         packet.Addr
	SrcPort, DstPort uint16 // see Kind
	FragID           uint32 // IP identification, with Kind Fragments
	Version          uint8  // of IP: 4 or 6
	Proto            uint8  // IANA protocol number
	Kind             Kind
}

// KeyOf returns the key of a packet with a valid IP header, in the packet's direction.
func KeyOf(h *packet.Headers) Key {
	return Key{Src: h.Src, Dst: h.Dst, SrcPort: h.SrcPort, DstPort: h.DstPort, Version: h.Version, Proto: h.Proto, Kind: Ports}
}

// Source returns the address and port of the source; the port is 0 where Kind has none.
func (k Key) Source() netip.AddrPort { return netip.AddrPortFrom(k.Src.Netip(k.Version), k.SrcPort) }

// Destination returns the address and port of the destination; the port is 0 where Kind has none.
func (k Key) Destination() netip.AddrPort {
	return netip.AddrPortFrom(k.Dst.Netip(k.Version), k.DstPort)
}

// Reverse returns the key of the packets that go the other way.
func (k Key) Reverse() Key {
	k.Src, k.Dst = k.Dst, k.Src
	k.SrcPort, k.DstPort = k.DstPort, k.SrcPort
	return k
}

// Canonical returns the one key that both directions share and whether k is the reverse of it.
func (k Key) Canonical() (Key, bool) { return k, false }

// CommunityID returns the Community ID, version 1 with seed 0, of a flow:
// https://github.com/corelight/community-id-spec.
func CommunityID(k Key) string { return "" }

// ShardHash returns a number that all packets between two addresses share, whatever their
// direction: the worker of a packet follows from it.
func ShardHash(h *packet.Headers) uint64 { return 0 }
