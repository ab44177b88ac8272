package flow

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"

	"github.com/weirnet/weir/packet"
)

// secret keys all hashes that decide where something lies. It is drawn anew in every process, so
// nobody outside can send packets whose flows collide. Nothing that comes out depends on it.
var secret = maphash.MakeSeed()

// ident is a Key as the table compares it: its Canonical (Directional: as it is), without what is
// zero in most packets.
type ident struct {
	src, dst uint32       // IPv4 addresses as numbers, the last four bytes of IPv6 ones
	ports    uint32       // SrcPort<<16 | DstPort, or FragID with Kind Fragments
	proto    uint8        //
	what     uint8        // Kind | isIPv6
	a, b     *packet.Addr // IPv6: source and destination
}

// Bits of ident.what and of cell.what. The four lowest belong to the key, the others to the flow.
const (
	kindMask   = 7
	noFlow     = 7 // in place of a Kind: the cell is free
	isIPv6     = 1 << 3
	keyMask    = kindMask | isIPv6
	isReversed = 1 << 4 // the originator is the destination of the ident
	isReleased = 1 << 5 // no payload joins the opening any more
	isFinal    = 1 << 6 // Label.Final
	isShort    = 1 << 7 // Flow.OpeningShort
)

// identify returns the ident of a packet that is no fragment, and whether the packet goes against
// its direction. It is identOf of KeyOf, without the detour.
func identify(h *packet.Headers, directional bool) (id ident, reversed bool) {
	src, dst := uint32(h.SrcPort), uint32(h.DstPort)
	id.proto = h.Proto
	switch {
	case h.Has&packet.HasPorts != 0:
		id.what = uint8(Ports)
	case h.Has&packet.HasICMP != 0:
		k := KeyOf(h)
		id.what = uint8(k.Kind)
		src, dst = uint32(k.SrcPort), uint32(k.DstPort)
	default:
		src, dst = 0, 0
	}
	turns := !directional && id.what != uint8(OneWay)
	if h.Version == 4 {
		id.src, id.dst = binary.BigEndian.Uint32(h.Src[:4]), binary.BigEndian.Uint32(h.Dst[:4])
		reversed = turns && (id.src > id.dst || id.src == id.dst && src > dst)
	} else {
		id.what |= isIPv6
		id.src, id.dst = binary.BigEndian.Uint32(h.Src[12:]), binary.BigEndian.Uint32(h.Dst[12:])
		id.a, id.b = &h.Src, &h.Dst
		order := bytes.Compare(h.Src[:], h.Dst[:])
		reversed = turns && (order > 0 || order == 0 && src > dst)
	}
	if reversed {
		id.src, id.dst, src, dst = id.dst, id.src, dst, src
		id.a, id.b = id.b, id.a
	}
	id.ports = src<<16 | dst
	return id, reversed
}

// identOf returns the ident of a key. It points into k.
func identOf(k *Key, directional bool) (id ident, reversed bool) {
	src, dst := &k.Src, &k.Dst
	id.ports = uint32(k.SrcPort)<<16 | uint32(k.DstPort)
	if _, reversed = k.Canonical(); reversed && !directional {
		src, dst = dst, src
		id.ports = uint32(k.DstPort)<<16 | uint32(k.SrcPort)
	}
	if k.Kind == Fragments {
		id.ports = k.FragID
	}
	id.proto, id.what = k.Proto, uint8(k.Kind)
	if k.Version == 4 {
		id.src, id.dst = binary.BigEndian.Uint32(src[:4]), binary.BigEndian.Uint32(dst[:4])
	} else {
		id.what |= isIPv6
		id.src, id.dst = binary.BigEndian.Uint32(src[12:]), binary.BigEndian.Uint32(dst[12:])
		id.a, id.b = src, dst
	}
	return id, reversed && !directional
}

// hash returns the keyed hash of an ident.
func (id *ident) hash(seed maphash.Seed) uint64 {
	if id.what&isIPv6 == 0 {
		var b [16]byte
		binary.LittleEndian.PutUint64(b[0:], uint64(id.src)|uint64(id.dst)<<32)
		binary.LittleEndian.PutUint64(b[8:], uint64(id.ports)|uint64(id.proto)<<32|uint64(id.what)<<40)
		return maphash.Bytes(seed, b[:])
	}
	var b [40]byte
	copy(b[0:], id.a[:])
	copy(b[16:], id.b[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(id.ports)|uint64(id.proto)<<32|uint64(id.what)<<40)
	return maphash.Bytes(seed, b[:])
}

// ShardHash returns a number that all packets between two addresses share, whatever their
// direction and whether they are fragments or not: the worker of a packet follows from it. It is
// keyed anew in every process, so that nobody outside can load one worker alone.
func ShardHash(h *packet.Headers) uint64 {
	if h.Version == 4 {
		src, dst := binary.LittleEndian.Uint32(h.Src[:4]), binary.LittleEndian.Uint32(h.Dst[:4])
		var pair [8]byte
		binary.LittleEndian.PutUint64(pair[:], uint64(min(src, dst))|uint64(max(src, dst))<<32)
		return maphash.Bytes(secret, pair[:])
	}
	var pair [32]byte
	if bytes.Compare(h.Src[:], h.Dst[:]) <= 0 {
		copy(pair[:16], h.Src[:])
		copy(pair[16:], h.Dst[:])
	} else {
		copy(pair[:16], h.Dst[:])
		copy(pair[16:], h.Src[:])
	}
	return maphash.Bytes(secret, pair[:])
}
