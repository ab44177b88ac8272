package flow

import (
	"encoding/binary"
	"math/bits"
)

// Payload is the application payload of one packet of an opening: of the first payloads of a flow, in
// order of arrival, of TCP segments and UDP datagrams that carry any, as they came, without reassembly.
// A flow keeps its opening while it has no final label.
type Payload struct {
	Nanos int64     // capture time of its packet
	Dir   Direction // who sent it
	Len   int       // bytes on the wire
	Data  []byte    // the first captured bytes, at most Config.OpeningBytes
}

// pool lends memory for openings, never more than limit bytes in all. An opening is one block of a
// power of two of units; when it outgrows the block it moves to one of twice the length. Free blocks
// are split and joined again with the other half (buddy system: Knowlton 1965), so memory lent once in
// small blocks can be lent in large ones later. Blocks are known by the number of their first unit and
// one more; 0 is none.
type pool struct {
	packets  int // payloads of an opening
	bytes    int // of a payload
	memory   *memory
	unused   int              // units that are not in chunks yet
	chunkLen int              // units, a power of two
	chunks   [][]byte         //
	orders   []uint8          // by unit: 1 + order of the free block that begins there, else 0
	free     [maxOrder]uint32 // first free block, by order
	lent     int              // bytes
}

const (
	unitLen   = 512 // bytes; a smaller opening takes one unit, so this bounds how many there are
	maxOrder  = 24
	headerLen = 16 // of an opening: payloads (2 bytes), order (1), bytes in use (4, from the fourth on)
	payloadAt = 16 // of a payload: time, length, direction and captured length; then the bytes, to a multiple of 8
)

func newPool(limit, packets, bytes int, m *memory) *pool {
	p := &pool{packets: packets, bytes: bytes, memory: m, unused: limit / unitLen, chunkLen: pieceLen / unitLen}
	for p.chunkLen*unitLen < headerLen+packets*(payloadAt+bytes+7) && p.chunkLen < 1<<(maxOrder-1) {
		p.chunkLen *= 2
	}
	return p
}

// block returns the memory of a block.
func (p *pool) block(b uint32, order uint8) []byte {
	unit := int(b - 1)
	at := unit % p.chunkLen * unitLen
	return p.chunks[unit/p.chunkLen][at : at+unitLen<<order]
}

// add appends a payload to the opening in a block, 0 for none yet, and returns how many payloads it has
// now. It reports false, and changes nothing, when the memory is used up.
func (p *pool) add(opening *uint32, payload Payload) (payloads int, ok bool) {
	data := payload.Data[:min(len(payload.Data), p.bytes)]
	used, count := headerLen, 0
	var old []byte
	if *opening != 0 {
		old = p.opening(*opening)
		used, count = len(old), int(binary.LittleEndian.Uint16(old))
	}
	end := used + payloadAt + (len(data)+7)&^7
	var b []byte
	if *opening != 0 && end <= unitLen<<old[2] {
		b = old[:cap(old)]
	} else {
		order := uint8(bits.Len(uint((end - 1) / unitLen)))
		n := p.take(order)
		if n == 0 {
			return count, false
		}
		b = p.block(n, order)
		copy(b, old)
		b[2] = order
		p.give(*opening)
		*opening = n
	}
	count++
	binary.LittleEndian.PutUint16(b, uint16(count))
	binary.LittleEndian.PutUint32(b[4:], uint32(end))
	binary.LittleEndian.PutUint64(b[used:], uint64(payload.Nanos))
	binary.LittleEndian.PutUint32(b[used+8:], uint32(payload.Len))
	binary.LittleEndian.PutUint32(b[used+12:], uint32(len(data))<<1|uint32(payload.Dir))
	copy(b[used+payloadAt:end], data)
	return count, true
}

// opening returns the bytes in use of a block that is lent; their capacity is the block's.
func (p *pool) opening(b uint32) []byte {
	start := p.block(b, 0)
	used := binary.LittleEndian.Uint32(start[4:])
	return p.block(b, start[2])[: used : unitLen<<start[2]]
}

// payloads appends the payloads of an opening to dst.
func (p *pool) payloads(opening uint32, dst []Payload) []Payload {
	if opening == 0 {
		return dst
	}
	for b := p.opening(opening)[headerLen:]; len(b) > 0; {
		n := int(binary.LittleEndian.Uint32(b[12:]) >> 1)
		dst = append(dst, Payload{
			Nanos: int64(binary.LittleEndian.Uint64(b)),
			Dir:   Direction(b[12] & 1),
			Len:   int(binary.LittleEndian.Uint32(b[8:])),
			Data:  b[payloadAt : payloadAt+n : payloadAt+n],
		})
		b = b[payloadAt+(n+7)&^7:]
	}
	return dst
}

// take lends a block of unitLen<<order bytes, 0 when there is none.
func (p *pool) take(order uint8) uint32 {
	for {
		for have := order; int(have) < maxOrder; have++ {
			b := p.free[have]
			if b == 0 {
				continue
			}
			p.unlink(b, have)
			for have > order {
				have--
				p.link(b+1<<have, have)
			}
			p.lent += unitLen << order
			return b
		}
		if !p.grow() {
			return 0
		}
	}
}

// give takes a block back; 0 is none.
func (p *pool) give(b uint32) {
	if b == 0 {
		return
	}
	order := p.block(b, 0)[2]
	p.lent -= unitLen << order
	p.join(b, order)
}

// join frees a block, as one with its other half if that is free.
func (p *pool) join(b uint32, order uint8) {
	for {
		unit := int(b - 1)
		half := unit ^ 1<<order // chunks begin at multiples of their length, so the half is in the same
		if 1<<order >= p.chunkLen || half >= len(p.orders) || p.orders[half] != order+1 {
			break
		}
		p.unlink(uint32(half+1), order)
		b = uint32(min(unit, half) + 1)
		order++
	}
	p.link(b, order)
}

// grow adds a chunk, or what the limit leaves of one. It reports false at the limit.
func (p *pool) grow() bool {
	units := min(p.unused, p.chunkLen)
	if units == 0 {
		return false
	}
	p.unused -= units
	at := len(p.chunks) * p.chunkLen
	p.chunks = append(p.chunks, p.memory.piece(p.chunkLen*unitLen, units == p.chunkLen && at > 0))
	p.orders = append(p.orders, make([]uint8, units)...)
	for order := bits.Len(uint(units)) - 1; order >= 0; order-- {
		if units>>order&1 != 0 {
			p.link(uint32(at+1), uint8(order))
			at += 1 << order
		}
	}
	return true
}

// Free blocks of an order are a list: each holds the numbers of the next and the one before.

func (p *pool) link(b uint32, order uint8) {
	next := p.free[order]
	binary.LittleEndian.PutUint64(p.block(b, 0), uint64(next))
	if next != 0 {
		binary.LittleEndian.PutUint32(p.block(next, 0)[4:], b)
	}
	p.free[order] = b
	p.orders[b-1] = order + 1
}

func (p *pool) unlink(b uint32, order uint8) {
	block := p.block(b, 0)
	next, before := binary.LittleEndian.Uint32(block), binary.LittleEndian.Uint32(block[4:])
	if before != 0 {
		binary.LittleEndian.PutUint32(p.block(before, 0), next)
	} else {
		p.free[order] = next
	}
	if next != 0 {
		binary.LittleEndian.PutUint32(p.block(next, 0)[4:], before)
	}
	p.orders[b-1] = 0
}
