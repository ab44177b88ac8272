package flow

import (
	"unsafe"

	"github.com/weirnet/weir/packet"
)

// lookahead is a queue of packets that Update will be given next. In a table of millions of flows each
// is far away in memory, in two steps: the bucket of the index, then the cell. For packets that are
// expected the memory of both comes while others are counted.
type lookahead struct {
	queue          [MaxExpected]expected // a ring
	head, tail     uint32                // next for Update, next for Expect
	hashed, looked uint32                // next of those between to be hashed, to be looked up
	single         expected              // of a packet that was not expected
}

// MaxExpected is how many packets a Table looks ahead.
const MaxExpected = 64

// expected is what is known of a packet's flow before Update.
type expected struct {
	id       ident
	hash     uint64
	cell     uint32 // that the index named, 0: none
	ended    uint32 // flows that had ended by then
	headers  uintptr
	stage    stage
	reversed bool // the packet goes against the direction of id
}

// stage is what is known of an expected packet.
type stage uint8

const (
	identified stage = iota // id and reversed
	hashed                  // hash too, and the bucket is on its way into the caches
	looked                  // cell and ended too, and the cell is on its way
)

// Lines are asked for in groups of so many. The processor has some twenty on their way and drops what
// is asked for beyond, but one at a time each would wait for the translation of its address. At 640 MB
// of cells and 51 ns of other work, groups of 8 take 70 ns per packet, of 1 or 64 between 85 and 110.
const group = 8

// Expect announces a packet that Update will be given, at most MaxExpected before it is. Packets come
// to Update in the order in which they were expected, with the same headers. Expect changes no flow and
// nothing of what Update does, but Update is faster when some 32 packets are expected at any time.
func (t *Table) Expect(h *packet.Headers) {
	a := &t.ahead
	if a.tail-a.head == MaxExpected {
		return // Update forgets the others when it sees this one
	}
	at := &a.queue[a.tail%MaxExpected]
	a.tail++
	at.identify(h, t.cfg.Directional)
	if at.id.rest&isIPv6 != 0 { // now, while its addresses are at hand
		at.hash = at.id.hash6(t.seed, endsOf(h, at.reversed)) & t.mask
		at.stage = hashed
	}
}

// identify takes the first step.
func (at *expected) identify(h *packet.Headers, directional bool) {
	at.headers = uintptr(unsafe.Pointer(h)) // to be compared, never to be followed
	at.stage = identified
	switch {
	case h.Version == 0:
		at.id = ident{} // Update finds out
	case h.Has&packet.Fragment == 0:
		at.id, at.reversed = identify(h, directional)
	default: // as if its first fragment were not known: Update knows
		at.id, at.reversed = identOf(KeyOf(h), directional)
	}
}

// fetchBuckets hashes the packets up to three groups ahead and asks for their buckets.
func (t *Table) fetchBuckets() {
	a := &t.ahead
	from, to := a.hashed, a.head+min(a.tail-a.head, 3*group)
	for i := from; i != to; i++ {
		if at := &a.queue[i%MaxExpected]; at.stage == identified {
			at.hash = at.id.hash(t.seed) & t.mask
		}
	}
	for i := from; i != to; i++ {
		prefetch(unsafe.Pointer(t.index.home(a.queue[i%MaxExpected].hash)))
	}
	a.hashed = to
}

// fetchCells looks up the packets up to two groups ahead and asks for their cells; for those in the
// first group, whose cells have come, it asks for the addresses of IPv6.
func (t *Table) fetchCells() {
	a := &t.ahead
	from, to := a.looked, a.head+min(a.hashed-a.head, 2*group)
	for i := from; i != to; i++ {
		at := &a.queue[i%MaxExpected]
		at.cell = t.index.home(at.hash).look(tagOf(at.hash))
		at.ended = t.ended
		at.stage = looked
	}
	for i := from; i != to; i++ {
		prefetch(unsafe.Pointer(t.cell(a.queue[i%MaxExpected].cell)))
	}
	a.looked = to
	for i := a.head; i != a.head+min(a.looked-a.head, group); i++ {
		if at := &a.queue[i%MaxExpected]; at.id.rest&isIPv6 != 0 {
			prefetch(unsafe.Pointer(t.cell(t.cell(at.cell).side)))
		}
	}
}

// next returns what is known of the packet that Update was given.
func (t *Table) next(h *packet.Headers) *expected {
	a := &t.ahead
	if a.head != a.tail {
		if at := &a.queue[a.head%MaxExpected]; at.headers == uintptr(unsafe.Pointer(h)) {
			if a.head%group == group/2 || a.hashed == a.head {
				t.fetchBuckets()
			}
			if a.head%group == 0 || a.looked == a.head {
				t.fetchCells()
			}
			a.head++
			return at
		}
		a.head, a.hashed, a.looked = a.tail, a.tail, a.tail // it was not expected, so none is
	}
	a.single.identify(h, t.cfg.Directional)
	return &a.single
}
