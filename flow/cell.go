package flow

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/weirnet/weir/packet"
)

// A table's memory is one stock of cells of 64 bytes, a cache line each. Every flow takes one. What few
// flows have lies in further cells: IPv6 addresses, a label, an opening, a lifetime of more than 78
// hours (side), counts beyond what fits in the first (long). So whatever traffic comes, the sum is
// bounded exactly, and any flow that goes makes room for any that comes.
//
// Cells are known by number. Number 0 is nobody's and means none. A cell never moves.

// cell is a flow.
type cell struct {
	addrs     uint64 // key: see ident
	rest      uint64
	start     int64     // Flow.Start
	side      uint32    // number of the flow's side cell
	first     uint32    // lower bits of Flow.FirstPacket
	age       uint32    // lower bits of Flow.Last - Flow.Start, ns
	firstHigh uint16    // next firstBits-32 bits, and the bits below
	ageHigh   uint16    // next 16 bits
	packets   [2]uint16 // by Direction, as all counts
	link      [2]uint16 // frames' bytes on the wire less IP packets' bytes
	ip        [2]uint32 // IP packets' bytes
	payload   [2]uint32 // payloads' bytes
}

// Bits of cell.firstHigh.
const (
	firstBits  = 46
	isLabelled = 1 << 14 // the side cell holds a label
	isAged     = 1 << 15 // and the upper bits of the age
)

// side is what few flows have.
type side struct {
	src, dst   packet.Addr // IPv6 addresses of the ident
	salt       uint64      // see Key.id
	class      uint32      // Label.Class + 1 above classShift, NoveltyBin above binShift, isNovel, Source
	confidence float32
	tag        uint32
	opening    uint32 // block of the pool
	long       uint32 // number of the flow's long cell
	packets    uint16 // Label.Packets
	ageHigh    uint16 // uppermost 16 bits of the age
}

const (
	sourceMask = 3
	isNovel    = 1 << 2
	binShift   = 3
	binMask    = 31
	classShift = 8
)

// long is what a flow's counts are beyond those in its cell: what is added to them. A count that would
// not fit moves here as a whole, but for one packet, which says that the direction was seen.
type long struct {
	packets, ip, payload [2]uint64
	link                 [2]int64 // below 0 where IP lengths claim more than frames hold
}

const cellLen = int(unsafe.Sizeof(cell{}))

// Chunks of cells fill a piece of memory.
const (
	chunkCells = pieceLen / 64
	chunkBits  = 15
)

func (t *Table) cell(n uint32) *cell { return &t.cells[n>>chunkBits][n%chunkCells] }

func (t *Table) sideCell(n uint32) *side { return (*side)(unsafe.Pointer(t.cell(n))) }
func (t *Table) longCell(n uint32) *long { return (*long)(unsafe.Pointer(t.cell(n))) }

// matches reports whether a cell holds the flow of an ident.
func (t *Table) matches(c *cell, id *ident, e ends) bool {
	if c.addrs^id.addrs|(c.rest^id.rest)&keyMask != 0 {
		return false
	}
	return id.rest&isIPv6 == 0 || t.sameEnds(c, e)
}

func (t *Table) sameEnds(c *cell, e ends) bool {
	s := t.sideCell(c.side)
	return s.src == *e.a && s.dst == *e.b
}

// hash returns the hash of an ident.
func (t *Table) hash(id *ident, e ends) uint64 {
	if id.rest&isIPv6 == 0 {
		return id.hash(t.seed) & t.mask
	}
	return id.hash6(t.seed, e) & t.mask
}

// hashOf returns the hash of a flow.
func (t *Table) hashOf(c *cell) uint64 {
	id := ident{c.addrs, c.rest & keyMask}
	if id.rest&isIPv6 == 0 {
		return t.hash(&id, ends{})
	}
	s := t.sideCell(c.side)
	return t.hash(&id, ends{&s.src, &s.dst})
}

// key returns the key of a flow as its originator has it.
func (t *Table) key(c *cell) Key {
	k := Key{Version: 4, Proto: c.proto(), Kind: Kind(c.rest >> kind & kindMask)}
	if c.rest&isIPv6 != 0 {
		s := t.sideCell(c.side)
		k.Version, k.Src, k.Dst = 6, s.src, s.dst
	} else {
		binary.BigEndian.PutUint32(k.Src[:4], uint32(c.addrs>>32))
		binary.BigEndian.PutUint32(k.Dst[:4], uint32(c.addrs))
	}
	if k.Kind == Fragments {
		k.FragID = uint32(c.rest)
	} else {
		k.SrcPort, k.DstPort = uint16(c.rest>>sourcePort), uint16(c.rest>>destinationPort)
	}
	if c.rest&isReversed != 0 {
		k = k.reverse()
	}
	return k
}

func (c *cell) proto() uint8 { return uint8(c.rest >> protocol) }

// flags returns the TCP flags of all packets, or-ed.
func (c *cell) flags() [2]uint8 {
	return [2]uint8{uint8(c.rest >> flags), uint8(c.rest >> (flags + 8))}
}

// id returns Flow.ID.
func (t *Table) id(c *cell) uint64 {
	known := *c
	known.rest &^= isReversed
	k := t.key(&known)
	var salt uint64
	if c.side != 0 {
		salt = t.sideCell(c.side).salt
	}
	return k.id(c.start, salt)
}

// firstPacket returns Flow.FirstPacket: of the ordinals with the bits that the cell holds, the latest
// one. So it is right for all flows that began no more than 7·10¹³ packets ago, at ten million a second
// 81 days.
func (t *Table) firstPacket(c *cell) uint64 {
	const mask = 1<<firstBits - 1
	low := uint64(c.first) | uint64(c.firstHigh)<<32&mask
	return t.newest - (t.newest-low)&mask
}

// last returns Flow.Last.
func (t *Table) last(c *cell) int64 {
	age := uint64(c.age) | uint64(c.ageHigh)<<32
	if c.firstHigh&isAged != 0 {
		age |= uint64(t.sideCell(c.side).ageHigh) << 48
	}
	return c.start + int64(age)
}

// renew makes a later time the flow's last.
func (t *Table) renew(n uint32, c *cell, nanos int64) {
	age := uint64(nanos) - uint64(c.start)
	if age>>48 != 0 || c.firstHigh&isAged != 0 {
		t.sideOf(n).ageHigh = uint16(age >> 48)
		c.firstHigh |= isAged
	}
	c.age, c.ageHigh = uint32(age), uint16(age>>32)
}

// count adds a packet to a flow's counts.
func (t *Table) count(n uint32, c *cell, dir Direction, wireLen, ipLen, payloadLen int) {
	link := int(c.link[dir]) + wireLen - ipLen
	ip := uint64(c.ip[dir]) + uint64(ipLen)
	payload := uint64(c.payload[dir]) + uint64(payloadLen)
	if c.packets[dir] == math.MaxUint16 || uint(link) > math.MaxUint16 || (ip|payload)>>32 != 0 {
		l := t.longOf(n)
		l.packets[dir] += uint64(c.packets[dir])
		l.link[dir] += int64(link)
		l.ip[dir] += ip
		l.payload[dir] += payload
		c.packets[dir], c.link[dir], c.ip[dir], c.payload[dir] = 1, 0, 0, 0
		return
	}
	c.packets[dir]++
	c.link[dir] = uint16(link)
	c.ip[dir] = uint32(ip)
	c.payload[dir] = uint32(payload)
}

// packetCount returns the packets of both directions.
func (t *Table) packetCount(c *cell) uint64 {
	sum := uint64(c.packets[Originator]) + uint64(c.packets[Responder])
	if c.side != 0 {
		if s := t.sideCell(c.side); s.long != 0 {
			l := t.longCell(s.long)
			sum += l.packets[Originator] + l.packets[Responder]
		}
	}
	return sum
}

// closed is Flow.Closed.
func (c *cell) closed() bool {
	return closed(c.flags(), c.packets[Responder] != 0)
}

// closed reports whether TCP has ended a flow with the flags.
func closed(flags [2]uint8, answered bool) bool {
	if (flags[Originator]|flags[Responder])&packet.RST != 0 {
		return true
	}
	if !answered {
		return flags[Originator]&packet.FIN != 0
	}
	return flags[Originator]&flags[Responder]&packet.FIN != 0
}

// sideOf returns the side cell of a flow, a new one where it has none.
func (t *Table) sideOf(n uint32) *side {
	c := t.cell(n)
	if c.side == 0 {
		c.side = t.take(n)
	}
	return t.sideCell(c.side)
}

// longOf returns the long cell of a flow, a new one where it has none.
func (t *Table) longOf(n uint32) *long {
	s := t.sideOf(n)
	if s.long == 0 {
		s.long = t.take(n)
	}
	return t.longCell(s.long)
}

// makeRoom ends flows other than the one given until so many cells can be taken, and one more, for the
// label of the packet's flow: see Ref.SetLabel.
func (t *Table) makeRoom(cells int, but uint32) {
	for t.room <= cells && t.evict(but) {
	}
}

// take returns an empty cell; the flow given is not to end for it.
func (t *Table) take(but uint32) uint32 {
	t.makeRoom(1, but)
	t.room--
	n := t.free
	if n != 0 {
		t.free = uint32(t.cell(n).addrs)
	} else {
		n = t.used
		t.used++
		if int(n>>chunkBits) == len(t.cells) {
			t.grow()
		}
	}
	*t.cell(n) = cell{}
	return n
}

// grow adds a chunk of cells. Small tables take memory page by page, large ones in huge pages.
func (t *Table) grow() {
	huge := len(t.cells) > 0 && int(t.used)+chunkCells <= t.maxCells
	t.cells = append(t.cells, as[[chunkCells]cell](t.memory.piece(pieceLen, huge)))
	for range chunkCells / blockLen {
		t.blocks = append(t.blocks, block{due: math.MaxInt64})
	}
}

// give takes a cell back.
func (t *Table) give(n uint32) {
	*t.cell(n) = cell{addrs: uint64(t.free), rest: noFlow}
	t.free = n
	t.room++
}

// blockLen is how many cells form a block, which is looked through at a time.
const blockLen = 64

// block says which of its cells are flows.
type block struct {
	flows uint64 // a bit per cell
	due   int64  // no later than the deadline of any of its flows
}

const blockSize = int(unsafe.Sizeof(block{}))
