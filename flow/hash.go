package flow

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"unsafe"

	"github.com/weirnet/weir/packet"
)

// secret keys all hashes that decide where something lies. It is drawn anew in every process, so nobody
// outside can send packets whose flows collide. Nothing that comes out depends on it.
var secret = maphash.MakeSeed()

// ident is a Key as the table compares it: its Canonical (Directional: as it is), in two words. Of IPv6
// addresses it holds the last four bytes; the whole ones are compared beside it.
type ident struct {
	addrs uint64 // source<<32 | destination
	rest  uint64 // what cell.rest has below keyBits
}

// Bits of cell.rest. The lower ones belong to the key, the others to the flow.
const (
	destinationPort = 0  // 16 bits; with Kind Fragments all 32 up to protocol are FragID
	sourcePort      = 16 // 16 bits
	protocol        = 32 // 8 bits
	kind            = 40 // 3 bits
	isIPv6          = 1 << 43
	keyBits         = 44
	isReversed      = 1 << 44 // the originator is the destination of the ident
	isReleased      = 1 << 45 // no payload joins the opening any more
	isFinal         = 1 << 46 // Label.Final
	isShort         = 1 << 47 // Flow.OpeningShort
	flags           = 48      // 8 bits of the Originator, then 8 of the Responder

	kindMask = 7
	noFlow   = 7 << kind // no Kind: the cell is free
	keyMask  = 1<<keyBits - 1
)

// identify returns the ident of a packet that is no fragment, and whether the packet goes against its
// direction. It is identOf of KeyOf, without the detour.
func identify(h *packet.Headers, directional bool) (id ident, reversed bool) {
	src, dst := uint64(h.SrcPort), uint64(h.DstPort)
	k := Ports
	if h.Has&packet.HasPorts == 0 {
		src, dst, k = 0, 0, Portless
		if h.Has&packet.HasICMP != 0 {
			key := KeyOf(h)
			src, dst, k = uint64(key.SrcPort), uint64(key.DstPort), key.Kind
		}
	}
	turns := !directional && k != OneWay
	id.rest = uint64(h.Proto)<<protocol | uint64(k)<<kind
	var from, to uint64
	if h.Version == 4 {
		from, to = uint64(binary.BigEndian.Uint32(h.Src[:4])), uint64(binary.BigEndian.Uint32(h.Dst[:4]))
		reversed = turns && (from > to || from == to && src > dst)
	} else {
		id.rest |= isIPv6
		from, to = uint64(binary.BigEndian.Uint32(h.Src[12:])), uint64(binary.BigEndian.Uint32(h.Dst[12:]))
		order := bytes.Compare(h.Src[:], h.Dst[:])
		reversed = turns && (order > 0 || order == 0 && src > dst)
	}
	if reversed {
		from, to, src, dst = to, from, dst, src
	}
	id.addrs = from<<32 | to
	id.rest |= src<<sourcePort | dst<<destinationPort
	return id, reversed
}

// identOf returns the ident of a key, and whether the key goes against its direction.
func identOf(k Key, directional bool) (id ident, reversed bool) {
	if !directional {
		k, reversed = k.Canonical()
	}
	id.rest = uint64(k.SrcPort)<<sourcePort | uint64(k.DstPort)<<destinationPort | uint64(k.Proto)<<protocol | uint64(k.Kind)<<kind
	if k.Kind == Fragments {
		id.rest |= uint64(k.FragID)
	}
	part := 0
	if k.Version != 4 {
		id.rest |= isIPv6
		part = 12
	}
	id.addrs = uint64(binary.BigEndian.Uint32(k.Src[part:]))<<32 | uint64(binary.BigEndian.Uint32(k.Dst[part:]))
	return id, reversed
}

// ends are the addresses of an ident of IPv6, source and destination.
type ends struct{ a, b *packet.Addr }

// endsOf returns the addresses of a packet in the order of its ident.
func endsOf(h *packet.Headers, reversed bool) ends {
	if reversed {
		return ends{&h.Dst, &h.Src}
	}
	return ends{&h.Src, &h.Dst}
}

// hash returns the keyed hash of an ident of IPv4.
func (id *ident) hash(seed maphash.Seed) uint64 {
	// Bytes where they are, because a load must wait for two smaller stores just before it.
	return maphash.Bytes(seed, (*[16]byte)(unsafe.Pointer(id))[:])
}

// hash6 is hash for IPv6.
func (id *ident) hash6(seed maphash.Seed, e ends) uint64 {
	var b [40]byte
	copy(b[0:], e.a[:])
	copy(b[16:], e.b[:])
	binary.LittleEndian.PutUint64(b[32:], id.rest)
	return maphash.Bytes(seed, b[:])
}

// shardKeys are the secrets of ShardHash.
var shardKeys = [4]uint64{rand.Uint64(), rand.Uint64(), rand.Uint64(), rand.Uint64()}

// ShardHash returns a number that all packets between two addresses share, whatever their
// direction and whether they are fragments or not: the worker of a packet follows from it. It is
// keyed anew in every process, so that nobody outside can load one worker alone.
//
// A multiplication whose halves are folded takes each address to a number, and the sum of both to the
// result: 3 ns, where maphash takes 15, most of it to wait for the bytes that were just put together for it.
func ShardHash(h *packet.Headers) uint64 {
	k := &shardKeys
	var sum uint64
	if h.Version == 4 {
		sum = fold(uint64(binary.LittleEndian.Uint32(h.Src[:4]))^k[0], k[1]) +
			fold(uint64(binary.LittleEndian.Uint32(h.Dst[:4]))^k[0], k[1])
	} else {
		sum = fold(binary.LittleEndian.Uint64(h.Src[:])^k[0], binary.LittleEndian.Uint64(h.Src[8:])^k[1]) +
			fold(binary.LittleEndian.Uint64(h.Dst[:])^k[0], binary.LittleEndian.Uint64(h.Dst[8:])^k[1])
	}
	return fold(sum^k[2], k[3])
}

// fold multiplies and folds the halves of the product, as wyhash does.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
