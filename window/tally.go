package window

import (
	"encoding/binary"
	"math"
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
	addrSecret2 = rand.Uint64() | 1
	portSecret  = rand.Uint64() | 1
)

// addrKey is an IP address with its version: 1.2.3.4 and 102:304:: share their leading bytes
// but are two addresses.
type addrKey struct {
	hi, lo uint64
	six    bool
}

func (k addrKey) addr() (a packet.Addr, version uint8) {
	binary.BigEndian.PutUint64(a[:8], k.hi)
	binary.BigEndian.PutUint64(a[8:], k.lo)
	if k.six {
		return a, 6
	}
	return a, 4
}

func fourKey(addr uint32) addrKey { return addrKey{hi: uint64(addr) << 32} }

// addrTally counts packets by address: two open-addressing tables that together are exact up to
// maxDistinct addresses. Past that a sketch estimates how many there are, and packets are counted
// only for the addresses already in the tables.
type addrTally struct {
	four     []fourSlot // of IPv4; a power of two, or none
	six      []sixSlot  // of IPv6; a power of two, or none
	fourUsed int
	sixUsed  int
	more     map[uint32]uint64 // packets of IPv4 addresses that their slots had no room for
	sketch   *hyperLogLog      // nil until the tables are full
	touched  fourSlot          // or the compiler would leave out the loads
}

// fourSlot is address<<32 | packets; 0 packets mark a free slot. It is a third of what a slot for any
// address takes, and tables of a hundred thousand addresses stay in the caches.
type fourSlot uint64

func (s fourSlot) addr() uint32    { return uint32(s >> 32) }
func (s fourSlot) packets() uint32 { return uint32(s) }

type sixSlot struct {
	sixAddr
	packets uint64 // 0 marks a free slot
}

type sixAddr struct{ hi, lo uint64 }

const (
	fourSlotBytes = 8
	sixSlotBytes  = 24
)

func fourHash(addr uint32) uint64 { return fourHashOf(addr, addrSecret1, addrSecret2) }

func fourHashOf(addr uint32, secret1, secret2 uint64) uint64 {
	hi, lo := bits.Mul64(uint64(addr)^secret1, secret2)
	return hi ^ lo
}

func sixHash(high, low uint64) uint64 {
	hi, lo := bits.Mul64(high^addrSecret1, low^addrSecret2)
	return hi ^ lo
}

// touchFrom is the size in bytes from which on a table is touched before it is used: what does not
// fit into the second-level cache.
const touchFrom = 256 << 10

// addFours counts a packet of each IPv4 address. It gives the same as addFour for each, in a third of
// the time in large tables, since the addresses wait for memory together.
func (t *addrTally) addFours(addrs []uint32) {
	for t.fourUsed+len(addrs) > len(t.four)/2 && len(t.four) < 2*maxDistinct {
		t.growFour()
	}
	if t.used()+len(addrs) > maxDistinct {
		for _, addr := range addrs {
			t.addFour(addr, 1)
		}
		return
	}
	slots, mask := t.four, uint64(len(t.four)-1)
	secret1, secret2 := addrSecret1, addrSecret2
	if len(slots) >= touchFrom/fourSlotBytes {
		var sum fourSlot
		for _, addr := range addrs {
			sum += slots[fourHashOf(addr, secret1, secret2)&mask]
		}
		t.touched = sum
	}
	for _, addr := range addrs {
		i := fourHashOf(addr, secret1, secret2) & mask
		for {
			s := slots[i]
			if s.packets() == 0 {
				slots[i] = fourSlot(addr)<<32 | 1
				t.fourUsed++
				break
			}
			if s.addr() == addr {
				if slots[i] = s + 1; s.packets() == math.MaxUint32 {
					t.overflow(addr, &slots[i], 0)
				}
				break
			}
			i = (i + 1) & mask
		}
	}
}

// addSixes counts a packet of each IPv6 address.
func (t *addrTally) addSixes(addrs []sixAddr) {
	if len(t.six) >= touchFrom/sixSlotBytes {
		var sum uint64
		for _, a := range addrs {
			sum += t.six[sixHash(a.hi, a.lo)&uint64(len(t.six)-1)].packets
		}
		t.touched = fourSlot(sum)
	}
	for _, a := range addrs {
		t.addSix(a.hi, a.lo, 1)
	}
}

// addFour counts packets of an IPv4 address.
func (t *addrTally) addFour(addr, packets uint32) {
	if t.sketch != nil {
		t.sketch.add(fourKey(addr))
	}
	if t.fourUsed >= len(t.four)/2 && t.used() < maxDistinct || len(t.four) == 0 {
		t.growFour()
	}
	s := t.findFour(addr)
	switch {
	case s.packets() != 0:
		sum := s.packets() + packets
		if *s = fourSlot(addr)<<32 | fourSlot(sum); sum < packets {
			t.overflow(addr, s, sum)
		}
	case t.used() == maxDistinct:
		t.full(fourKey(addr))
	default:
		*s = fourSlot(addr)<<32 | fourSlot(packets)
		t.fourUsed++
	}
}

// findFour returns the slot that holds an address or the free one where it belongs. There must be a
// free slot.
func (t *addrTally) findFour(addr uint32) *fourSlot {
	mask := uint64(len(t.four) - 1)
	for i := fourHash(addr) & mask; ; i = (i + 1) & mask {
		if s := &t.four[i]; s.packets() == 0 || s.addr() == addr {
			return s
		}
	}
}

// overflow takes the packets that did not fit into a slot, where only the rest of them is left.
func (t *addrTally) overflow(addr uint32, s *fourSlot, rest uint32) {
	packets := uint64(1 << 32)
	if rest == 0 { // a slot without packets would be free
		rest, packets = 1, packets-1
	}
	*s = fourSlot(addr)<<32 | fourSlot(rest)
	t.beyond(addr, packets)
}

// beyond counts packets of an address in the table beside its slot.
func (t *addrTally) beyond(addr uint32, packets uint64) {
	if t.more == nil {
		t.more = make(map[uint32]uint64)
	}
	t.more[addr] += packets
}

// addSix counts packets of an IPv6 address.
func (t *addrTally) addSix(hi, lo, packets uint64) {
	if t.sketch != nil {
		t.sketch.add(addrKey{hi, lo, true})
	}
	if t.sixUsed >= len(t.six)/4*3 && t.used() < maxDistinct || len(t.six) == 0 {
		t.growSix()
	}
	s := t.findSix(hi, lo)
	switch {
	case s.packets != 0:
		s.packets += packets
	case t.used() == maxDistinct:
		t.full(addrKey{hi, lo, true})
	default:
		*s = sixSlot{sixAddr{hi, lo}, packets}
		t.sixUsed++
	}
}

// findSix returns the slot that holds an address or the free one where it belongs. There must be a
// free slot.
func (t *addrTally) findSix(high, low uint64) *sixSlot {
	mask := uint64(len(t.six) - 1)
	for i := sixHash(high, low) & mask; ; i = (i + 1) & mask {
		if s := &t.six[i]; s.packets == 0 || s.hi == high && s.lo == low {
			return s
		}
	}
}

func (t *addrTally) used() int { return t.fourUsed + t.sixUsed }

// full takes an address that there is no room for.
func (t *addrTally) full(k addrKey) {
	if t.sketch == nil {
		t.startSketch()
		t.sketch.add(k)
	}
}

func (t *addrTally) startSketch() {
	t.sketch = new(hyperLogLog)
	t.each(func(k addrKey, _ uint64) { t.sketch.add(k) })
}

// each calls f with every address in the tables and its packets.
func (t *addrTally) each(f func(k addrKey, packets uint64)) {
	for _, s := range t.four {
		if s.packets() != 0 {
			f(fourKey(s.addr()), uint64(s.packets())+t.more[s.addr()])
		}
	}
	for _, s := range t.six {
		if s.packets != 0 {
			f(addrKey{s.hi, s.lo, true}, s.packets)
		}
	}
}

func (t *addrTally) merge(u *addrTally) {
	if u.sketch != nil && t.sketch == nil {
		t.startSketch()
	}
	for i := range u.four {
		if s := u.four[stride(i, len(u.four))]; s.packets() != 0 {
			t.addFour(s.addr(), s.packets())
		}
	}
	for addr, packets := range u.more {
		if t.findFour(addr).packets() != 0 {
			t.beyond(addr, packets)
		}
	}
	for i := range u.six {
		if s := u.six[stride(i, len(u.six))]; s.packets != 0 {
			t.addSix(s.hi, s.lo, s.packets)
		}
	}
	if u.sketch != nil {
		t.sketch.merge(u.sketch)
	}
}

func (t *addrTally) growFour() {
	old := t.four
	t.four = make([]fourSlot, max(16, 2*len(old)))
	for _, s := range old {
		if s.packets() != 0 {
			*t.findFour(s.addr()) = s
		}
	}
}

func (t *addrTally) growSix() {
	old := t.six
	t.six = make([]sixSlot, max(16, 2*len(old)))
	for _, s := range old {
		if s.packets != 0 {
			*t.findSix(s.hi, s.lo) = s
		}
	}
}

func (t *addrTally) distinct() float64 {
	if t.sketch != nil {
		return t.sketch.estimate()
	}
	return float64(t.used())
}

// reset empties the tables. One far larger than its last use gives its memory back, so that the
// windows after a flood do not pay for clearing it.
func (t *addrTally) reset() {
	if oversized(len(t.four), t.fourUsed) {
		t.four = nil
	}
	if oversized(len(t.six), t.sixUsed) {
		t.six = nil
	}
	clear(t.four)
	clear(t.six)
	*t = addrTally{four: t.four, six: t.six}
}

func (t *addrTally) bytes() int {
	n := len(t.four)*fourSlotBytes + len(t.six)*sixSlotBytes
	if t.sketch != nil {
		n += len(t.sketch)
	}
	return n
}

// stride permutes the slots of a table. Merged in the order of their slots, the keys of one table
// would fill the other from its front, where probing then takes time linear in its size.
func stride(i, slots int) int { return i * 0x9e3779b1 & (slots - 1) }

func oversized(slots, used int) bool { return slots > 4096 && used < slots/16 }

// portTally counts packets by port: of few ports in an open-addressing table, of many in an array with
// a place for each.
type portTally struct {
	used  int      // different ports
	slots []uint64 // port<<48 | packets; 0 marks a free slot; a power of two, or none
	held  int      // slots in use
	// all has the packets of each port modulo 65,535, counted from 1, once there are many ports.
	// Every 65,535 packets go into slots.
	all []uint16
}

const (
	portCountMask = 1<<48 - 1
	// portSlots is the largest table before there is an array, which is four times as large.
	portSlots = 4096
)

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

// addEach counts a packet of each port.
func (t *portTally) addEach(ports []uint16) {
	for i, port := range ports {
		if t.all != nil {
			t.addSpread(ports[i:])
			return
		}
		if len(t.slots) > 0 {
			if s := t.find(port); *s != 0 {
				*s++
				continue
			}
		}
		t.addMany(port, 1)
	}
}

// addSpread is addEach for the array.
func (t *portTally) addSpread(ports []uint16) {
	all := (*[1 << 16]uint16)(t.all)
	for _, port := range ports {
		if n := all[port]; n-1 < math.MaxUint16-1 {
			all[port] = n + 1
		} else { // none yet, or full
			t.addMany(port, 1)
		}
	}
}

// addMany counts any number of packets.
func (t *portTally) addMany(port uint16, packets uint64) {
	if t.all == nil && t.used >= portSlots/4*3 {
		t.spread()
	}
	if t.all == nil {
		t.hold(port, packets)
		t.used = t.held
		return
	}
	if t.all[port] == 0 {
		t.used++
		t.all[port] = 1
		packets--
	}
	sum := uint64(t.all[port]-1) + packets
	t.all[port] = uint16(sum%math.MaxUint16) + 1
	if whole := sum / math.MaxUint16; whole > 0 {
		t.hold(port, whole*math.MaxUint16)
	}
}

// hold counts packets in the table.
func (t *portTally) hold(port uint16, packets uint64) {
	if t.held >= len(t.slots)/4*3 {
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
		t.held++
	}
	*s += packets
}

// spread moves the ports from the table to the array.
func (t *portTally) spread() {
	old := *t
	*t = portTally{all: make([]uint16, 1<<16)}
	old.each(t.addMany)
}

// each calls f with every port and its packets, in an order that keeps tables of other sizes fast
// when they are filled by it.
func (t *portTally) each(f func(port uint16, packets uint64)) {
	if t.all == nil {
		for i := range t.slots {
			if s := t.slots[stride(i, len(t.slots))]; s != 0 {
				f(uint16(s>>48), s&portCountMask)
			}
		}
		return
	}
	for port, n := range t.all {
		if n > 0 {
			f(uint16(port), t.count(uint16(port)))
		}
	}
}

// count returns the packets of a port.
func (t *portTally) count(port uint16) (packets uint64) {
	if t.all != nil {
		packets = uint64(t.all[port])
	}
	if len(t.slots) > 0 {
		packets += *t.find(port) & portCountMask
	}
	return packets
}

func (t *portTally) merge(u *portTally) { u.each(t.addMany) }

func (t *portTally) distinct() float64 { return float64(t.used) }

// reset empties the tally and keeps what memory the next window is likely to need.
func (t *portTally) reset() {
	if t.used < portSlots/2 {
		t.all = nil
	}
	clear(t.slots)
	clear(t.all)
	*t = portTally{slots: t.slots, all: t.all}
}

func (t *portTally) bytes() int { return 8*len(t.slots) + 2*len(t.all) }
