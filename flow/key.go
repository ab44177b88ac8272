package flow

import (
	"bytes"
	"encoding/binary"
	"math"
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
	k := Key{Src: h.Src, Dst: h.Dst, Version: h.Version, Proto: h.Proto}
	switch {
	case h.Has&packet.LaterFragment != 0:
		k.Kind, k.FragID = Fragments, h.FragID
	case h.Has&packet.HasPorts != 0:
		k.Kind, k.SrcPort, k.DstPort = Ports, h.SrcPort, h.DstPort
	case h.Has&packet.HasICMP != 0:
		k.Kind, k.SrcPort, k.DstPort = OneWay, uint16(h.ICMPType), uint16(h.ICMPCode)
		if counterpart, ok := counterpartOf(h.Proto, h.ICMPType); ok {
			k.Kind, k.DstPort = Query, uint16(counterpart)
		}
	}
	return k
}

// counterpartOf returns the ICMP type that answers, or is answered by, another. The pairs are those of
// Community ID v1, which has them from Zeek.
func counterpartOf(proto, icmpType uint8) (uint8, bool) {
	if proto == packet.ICMP {
		switch icmpType {
		case 0, 8: // echo reply and echo
			return 8 - icmpType, true
		case 9, 13, 15, 17: // router advertisement, timestamp, information, address mask
			return icmpType + 1, true
		case 10, 14, 16, 18:
			return icmpType - 1, true
		}
		return 0, false
	}
	switch icmpType {
	case 128, 130, 133, 135, 139, 144: // echo, listener, router, neighbour, node information, home agent
		return icmpType + 1, true
	case 129, 131, 134, 136, 140, 145:
		return icmpType - 1, true
	}
	return 0, false
}

// Source returns the address and port of the source; the port is 0 where Kind has none.
func (k Key) Source() netip.AddrPort { return netip.AddrPortFrom(k.Src.Netip(k.Version), k.SrcPort) }

// Destination returns the address and port of the destination; the port is 0 where Kind has none.
func (k Key) Destination() netip.AddrPort {
	return netip.AddrPortFrom(k.Dst.Netip(k.Version), k.DstPort)
}

// Canonical returns the one key that both directions of a flow share, and whether k is the reverse of
// it: the end with the lower address, then port, is the source. Keys of kinds that have no reverse
// (OneWay, Fragments) are canonical as they are.
func (k Key) Canonical() (canonical Key, reversed bool) {
	if k.Kind == OneWay || k.Kind == Fragments {
		return k, false
	}
	order := bytes.Compare(k.Src[:], k.Dst[:])
	if order < 0 || order == 0 && k.SrcPort <= k.DstPort {
		return k, false
	}
	return k.reverse(), true
}

// reverse returns the key of the other direction.
func (k Key) reverse() Key {
	k.Src, k.Dst = k.Dst, k.Src
	k.SrcPort, k.DstPort = k.DstPort, k.SrcPort
	return k
}

// id returns the identifier of the flow with the key that the table knows it by and that starts at a
// time. Salt tells flows apart that share both. The hash is FNV-1a of addresses, ports, FragID,
// version, protocol, kind, start and salt, numbers in network byte order, finished so that all bits
// depend on all others; it is unkeyed because it must be the same in every run, so it is no index.
func (k *Key) id(start int64, salt uint64) uint64 {
	const zeros4 = fnvPrime * fnvPrime * fnvPrime * fnvPrime & math.MaxUint64
	const zeros8 = zeros4 * zeros4 & math.MaxUint64
	const zeros12 = zeros8 * zeros4 & math.MaxUint64
	h := uint64(0xcbf29ce484222325)
	if k.Version == 4 { // a byte of zero only multiplies, so many can at once
		h = fnv(h, k.Src[:4]) * zeros12
		h = fnv(h, k.Dst[:4]) * zeros12
	} else {
		h = fnv(h, k.Src[:])
		h = fnv(h, k.Dst[:])
	}
	var b [8]byte
	binary.BigEndian.PutUint16(b[0:], k.SrcPort)
	binary.BigEndian.PutUint16(b[2:], k.DstPort)
	h = fnv(h, b[:4])
	if k.FragID == 0 {
		h *= zeros4
	} else {
		binary.BigEndian.PutUint32(b[:], k.FragID)
		h = fnv(h, b[:4])
	}
	b[0], b[1], b[2] = k.Version, k.Proto, uint8(k.Kind)
	h = fnv(h, b[:3])
	binary.BigEndian.PutUint64(b[:], uint64(start))
	h = fnv(h, b[:])
	if salt == 0 {
		h *= zeros8
	} else {
		binary.BigEndian.PutUint64(b[:], salt)
		h = fnv(h, b[:])
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

const fnvPrime = 0x100000001b3

func fnv(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * fnvPrime
	}
	return h
}
