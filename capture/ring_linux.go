package capture

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirnet/weir/packet"
)

// ring is the memory of a TPACKET_V3 ring (packet_mmap in the kernel's documentation): blocks of packets that the kernel fills in
// order, each handed over whole by a word in its head and given back by the same word. It is used by one goroutine.
type ring struct {
	memory    []byte
	blockSize int
	blocks    int

	link    packet.LinkType
	cooked  bool                                 // frames begin behind the link header; SLL2 is put in its place
	match   func(frame []byte, wireLen int) bool // decides on frames that the kernel saw otherwise than they are in files; nil: all are wanted
	longest int                                  // bytes of a frame that can have been on the wire

	at    int   // number of the block at hand
	left  int   // packets of it that were not given out
	next  int   // offset in memory of the first of them
	nanos int64 // its time
	lent  int   // blocks before the one at hand that were given out and not yet given back

	captured, refused, oversize uint64
}

// Sizes of the ring's structures, <linux/if_packet.h>.
const (
	blockHeader = int(unsafe.Offsetof(unix.TpacketBlockDesc{}.Hdr)) // of the part that says what is in the block
	addrOffset  = (unix.SizeofTpacket3Hdr + 15) &^ 15               // of the sockaddr_ll behind a packet's header
	tagLen      = 4                                                 // bytes of a VLAN tag
	sll2Len     = 20                                                // bytes of a cooked header, version 2
	reserve     = 32                                                // bytes asked for in front of a frame, for what is put back there
)

// ready reports whether the ring has a packet to give out now; nanos is then its time.
func (r *ring) ready() bool {
	for r.left == 0 {
		if r.lent == r.blocks {
			return false // all is given out
		}
		block := r.block(r.at)
		if atomic.LoadUint32(&block.Block_status)&unix.TP_STATUS_USER == 0 {
			return false
		}
		r.left = int(block.Num_pkts)
		r.next = r.at*r.blockSize + int(block.Offset_to_first_pkt)
		if r.left == 0 {
			r.turn()
		} else {
			r.look()
		}
	}
	return true
}

// quiet reports whether the kernel has put no packet into the block that it fills. ready must have said that there
// is no packet to give out.
func (r *ring) quiet() bool {
	block := r.block(r.at)
	return r.lent < r.blocks && atomic.LoadUint32(&block.Block_status)&unix.TP_STATUS_USER == 0 && atomic.LoadUint32(&block.Num_pkts) == 0
}

// take gives out the packet at hand; ready must have said that there is one. It reports false when the packet is not wanted.
func (r *ring) take(p *Packet) (wanted bool) {
	h := r.header(r.next)
	frame := r.next + int(h.Mac)
	wire, length := int(h.Len), int(h.Snaplen)
	tagged := h.Status&unix.TP_STATUS_VLAN_VALID != 0
	switch {
	case r.cooked:
		address := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&r.memory[r.next+addrOffset]))
		n := cook(r.memory[:frame], address, h, tagged)
		frame, wire, length = frame-n, wire+n, length+n
	case tagged && length >= 12 && r.link == packet.LinkEthernet:
		frame -= tagLen
		copy(r.memory[frame:frame+12], r.memory[frame+tagLen:])
		binary.BigEndian.PutUint16(r.memory[frame+12:], tagProtocol(h))
		binary.BigEndian.PutUint16(r.memory[frame+14:], uint16(h.Hv1.Vlan_tci))
		wire, length = wire+tagLen, length+tagLen
	}
	if wire > r.longest || h.Status&unix.TP_STATUS_GSO_TCP != 0 {
		r.oversize++
	}
	data := r.memory[frame : frame+length : frame+length]
	wanted = r.match == nil || !r.cooked && !tagged || r.match(data, wire)
	*p = Packet{Nanos: r.nanos, Data: data, WireLen: wire, Link: r.link}
	if wanted {
		r.captured++
	} else {
		r.refused++
	}
	if r.left--; r.left == 0 {
		r.turn()
	} else {
		r.next += int(h.Next_offset)
		r.look()
	}
	return wanted
}

// cook writes the header of LINKTYPE_LINUX_SLL2 in front of a packet, at the end of before, and returns its length. A VLAN tag
// stands between it and the packet.
func cook(before []byte, a *unix.RawSockaddrLinklayer, h *unix.Tpacket3Hdr, tagged bool) int {
	n := sll2Len
	if tagged {
		n += tagLen
	}
	b := before[len(before)-n:]
	protocol := a.Protocol // in network byte order
	index, hardware, kind, addrLen, addr := a.Ifindex, a.Hatype, a.Pkttype, a.Halen, a.Addr
	binary.NativeEndian.PutUint16(b, protocol)
	if tagged {
		binary.BigEndian.PutUint16(b, tagProtocol(h))
		binary.BigEndian.PutUint16(b[sll2Len:], uint16(h.Hv1.Vlan_tci))
		binary.NativeEndian.PutUint16(b[sll2Len+2:], protocol)
	}
	binary.BigEndian.PutUint16(b[2:], 0)
	binary.BigEndian.PutUint32(b[4:], uint32(index))
	binary.BigEndian.PutUint16(b[8:], hardware)
	b[10], b[11] = kind, addrLen
	copy(b[12:20], addr[:])
	return n
}

// tagProtocol returns the EtherType of the VLAN tag that the kernel took off.
func tagProtocol(h *unix.Tpacket3Hdr) uint16 {
	if h.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		return h.Hv1.Vlan_tpid
	}
	return unix.ETH_P_8021Q
}

// look reads the time of the packet at hand.
func (r *ring) look() {
	h := r.header(r.next)
	r.nanos = int64(h.Sec)*1e9 + int64(h.Nsec)
}

// turn goes on to the next block; the one at hand stays lent until release.
func (r *ring) turn() {
	r.at++
	if r.at == r.blocks {
		r.at = 0
	}
	r.lent++
}

// release gives back to the kernel all blocks that were given out whole. Their packets are no longer valid.
func (r *ring) release() {
	for ; r.lent > 0; r.lent-- {
		atomic.StoreUint32(&r.block((r.at-r.lent+r.blocks)%r.blocks).Block_status, unix.TP_STATUS_KERNEL)
	}
}

// full returns how many blocks are not with the kernel: full of packets, or lent. Blocks are filled and given back in order,
// so a binary search finds the first that is the kernel's.
func (r *ring) full() int {
	low, high := 0, r.blocks-r.lent // from the block at hand on, low are full, high may be
	for low < high {
		middle := (low + high) / 2
		if atomic.LoadUint32(&r.block((r.at+middle)%r.blocks).Block_status)&unix.TP_STATUS_USER != 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low + r.lent
}

func (r *ring) block(number int) *unix.TpacketHdrV1 {
	return (*unix.TpacketHdrV1)(unsafe.Pointer(&r.memory[number*r.blockSize+blockHeader]))
}

func (r *ring) header(offset int) *unix.Tpacket3Hdr {
	return (*unix.Tpacket3Hdr)(unsafe.Pointer(&r.memory[offset]))
}
