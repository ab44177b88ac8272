package window

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"github.com/weirnet/weir/packet"
)

// maxDistinct is the number of different addresses up to which their count is exact. It is part
// of the features' definition.
const maxDistinct = 1 << 20

// Whoever sends packets chooses the keys of these tables, so the place of a key depends on
// secrets drawn at start. Nothing that leaves the package depends on them.
var (
	addrSecret1 = rand.Uint64()
	addrSecret2 = rand.Uint64()
	portSecret  = rand.Uint64() | 1
)

// addrKey is an IP address with its version: 1.2.3.4 and 102:304:: share their leading bytes
// but are two addresses.
type addrKey struct {
	hi, lo uint64
	six    bool
}

func addrKeyOf(a *packet.Addr, version uint8) addrKey {
	return addrKey{binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]), version == 6}
}

func (k addrKey) addr() (a packet.Addr, version uint8) {
	binary.BigEndian.PutUint64(a[:8], k.hi)
	binary.BigEndian.PutUint64(a[8:], k.lo)
	if k.six {
		return a, 6
	}
	return a, 4
}

// addrTally counts packets by address: an open-addressing table that is exact up to maxDistinct
// addresses. Past that a sketch estimates how many there are, and packets are counted only for
// the addresses already in the table.
type addrTally struct {
	slots  []addrSlot // a power of two, or none
	used   int
	sketch *hyperLogLog // nil until the table is full
}

// addrSlot is 24 bytes: the version shares a word with the count.
type addrSlot struct {
	hi, lo uint64
	tally  uint64 // packets<<1 | version is 6; 0 marks a free slot
}

const addrSlotBytes = 24

func (s addrSlot) key() addrKey    { return addrKey{s.hi, s.lo, s.tally&1 != 0} }
func (s addrSlot) packets() uint64 { return s.tally >> 1 }

// find returns the slot that holds k or the free one where k belongs. There must be a free slot.
func (t *addrTally) find(k addrKey) *addrSlot {
	hi, lo := bits.Mul64(k.hi^addrSecret1, k.lo^addrSecret2)
	version := uint64(0)
	if k.six {
		version = 1
	}
	mask := uint64(len(t.slots) - 1)
	for i := (hi ^ lo ^ version) & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.tally == 0 || s.hi == k.hi && s.lo == k.lo && s.tally&1 == version {
			return s
		}
	}
}

func (t *addrTally) add(k addrKey, packets uint64) {
	if t.sketch != nil {
		t.sketch.add(k)
	}
	if t.used >= len(t.slots)/4*3 && t.used < maxDistinct {
		t.grow()
	}
	s := t.find(k)
	if s.tally != 0 {
		s.tally += packets << 1
		return
	}
	if t.used == maxDistinct {
		if t.sketch == nil {
			t.startSketch()
			t.sketch.add(k)
		}
		return
	}
	*s = addrSlot{k.hi, k.lo, packets << 1}
	if k.six {
		s.tally |= 1
	}
	t.used++
}

func (t *addrTally) startSketch() {
	t.sketch = new(hyperLogLog)
	for _, s := range t.slots {
		if s.tally != 0 {
			t.sketch.add(s.key())
		}
	}
}

func (t *addrTally) merge(u *addrTally) {
	if u.sketch != nil && t.sketch == nil {
		t.startSketch()
	}
	for i := range u.slots {
		if s := u.slots[stride(i, len(u.slots))]; s.tally != 0 {
			t.add(s.key(), s.packets())
		}
	}
	if u.sketch != nil {
		t.sketch.merge(u.sketch)
	}
}

func (t *addrTally) grow() {
	old := t.slots
	t.slots = make([]addrSlot, max(16, 2*len(old)))
	for _, s := range old {
		if s.tally != 0 {
			*t.find(s.key()) = s
		}
	}
}

func (t *addrTally) distinct() float64 {
	if t.sketch != nil {
		return t.sketch.estimate()
	}
	return float64(t.used)
}

// reset empties the table. One far larger than its last use gives its memory back, so that the
// windows after a flood do not pay for clearing it.
func (t *addrTally) reset() {
	if oversized(len(t.slots), t.used) {
		t.slots = nil
	}
	clear(t.slots)
	t.used = 0
	t.sketch = nil
}

func (t *addrTally) bytes() int {
	n := len(t.slots) * addrSlotBytes
	if t.sketch != nil {
		n += len(t.sketch)
	}
	return n
}

// stride permutes the slots of a table. Merged in the order of their slots, the keys of one table
// would fill the other from its front, where probing then takes time linear in its size.
func stride(i, slots int) int { return i * 0x9e3779b1 & (slots - 1) }

func oversized(slots, used int) bool { return slots > 4096 && used < slots/16 }

// portTally counts packets by port.
type portTally struct {
	slots []uint64 // port<<48 | packets; 0 marks a free slot; a power of two, or none
	used  int
}

const portCountMask = 1<<48 - 1

// find returns the slot that holds port or the free one where it belongs.
func (t *portTally) find(port uint16) *uint64 {
	mask := uint64(len(t.slots) - 1)
	for i := (uint64(port) + 1) * portSecret >> 40 & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if *s == 0 || uint16(*s>>48) == port {
			return s
		}
	}
}

func (t *portTally) add(port uint16, packets uint64) {
	if t.used >= len(t.slots)/4*3 {
		old := t.slots
		t.slots = make([]uint64, max(16, 2*len(old)))
		for _, s := range old {
			if s != 0 {
				*t.find(uint16(s >> 48)) = s
			}
		}
	}
	s := t.find(port)
	if *s == 0 {
		*s = uint64(port) << 48
		t.used++
	}
	*s += packets
}

func (t *portTally) count(port uint16) uint64 {
	if len(t.slots) == 0 {
		return 0
	}
	return *t.find(port) & portCountMask
}

func (t *portTally) merge(u *portTally) {
	for i := range u.slots {
		if s := u.slots[stride(i, len(u.slots))]; s != 0 {
			t.add(uint16(s>>48), s&portCountMask)
		}
	}
}

func (t *portTally) distinct() float64 { return float64(t.used) }

func (t *portTally) reset() {
	if oversized(len(t.slots), t.used) {
		t.slots = nil
	}
	clear(t.slots)
	t.used = 0
}

func (t *portTally) bytes() int { return len(t.slots) * 8 }
