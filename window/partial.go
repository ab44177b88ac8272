package window

import (
	"encoding/binary"
	"math/big"
	"math/bits"
	"unsafe"

	"github.com/weirnet/weir/packet"
)

// IANA protocol numbers that the features name.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// Partial is what some packets of one window add up to. Everything in it is a whole number or a
// set, so merging the parts of any split of the packets, in any order, gives the whole bit for
// bit; the floats come last, in Vector. The zero value is the empty window. A Partial is used by
// one goroutine at a time.
type Partial struct {
	// Late counts packets of earlier windows that came after those had closed, while this
	// window was the oldest open one. They are not among the features.
	Late uint64
	// Lost counts packets of this window's time that the capture dropped before we saw them.
	Lost uint64

	packets  uint64
	size     uint64 // sum of IP packet lengths, bytes
	sizeSqHi uint64 // sum of their squares, 128 bits: a jumbogram's square alone may fill 64
	sizeSqLo uint64
	ttl      uint64
	ttlSq    uint64 // at most 65025 a packet
	tcp      uint64
	udp      uint64
	icmp     uint64
	flags    [64]uint64 // packets by the six TCP flags

	srcAddrs, dstAddrs addrTally
	srcPorts, dstPorts portTally

	labels []Labelled // by the class of the label, plus one

	// The addresses and ports of the last packets, which are not in the tallies yet: they wait for
	// memory together.
	srcs, dsts       [batchLen]uint32 // IPv4
	srcSixs, dstSixs [sixBatchLen]sixAddr
	from, to         [batchLen]uint16 // ports
	fours, sixes     int              // how many
	ported           int
}

// How many wait together.
const (
	batchLen    = 64
	sixBatchLen = 16
)

// Add counts one packet. Whether the packet counts at all is for Filter to say.
func (p *Partial) Add(h *packet.Headers) {
	p.packets++
	size := uint64(max(h.IPLen, 0))
	p.size += size
	hi, lo := bits.Mul64(size, size)
	var carry uint64
	p.sizeSqLo, carry = bits.Add64(p.sizeSqLo, lo, 0)
	p.sizeSqHi += hi + carry
	ttl := uint64(h.TTL)
	p.ttl += ttl
	p.ttlSq += ttl * ttl

	if h.Version == 4 {
		if p.fours == batchLen {
			p.flush()
		}
		p.srcs[p.fours] = binary.BigEndian.Uint32(h.Src[:])
		p.dsts[p.fours] = binary.BigEndian.Uint32(h.Dst[:])
		p.fours++
	} else {
		if p.sixes == sixBatchLen {
			p.flush()
		}
		p.srcSixs[p.sixes] = sixAddr{binary.BigEndian.Uint64(h.Src[:8]), binary.BigEndian.Uint64(h.Src[8:])}
		p.dstSixs[p.sixes] = sixAddr{binary.BigEndian.Uint64(h.Dst[:8]), binary.BigEndian.Uint64(h.Dst[8:])}
		p.sixes++
	}

	switch h.Proto {
	case protoTCP:
		p.tcp++
		if h.Has&packet.HasFlags != 0 {
			p.flags[h.TCPFlags&63]++
		}
	case protoUDP:
		p.udp++
	case protoICMP, protoICMPv6:
		p.icmp++
		return
	default:
		return // SCTP has ports too, but the features are about those of TCP and UDP
	}
	if h.Has&packet.HasPorts != 0 {
		if p.ported == batchLen {
			p.flushPorts()
		}
		p.from[p.ported], p.to[p.ported] = h.SrcPort, h.DstPort
		p.ported++
	}
}

// Labelled is what the packets of flows with the same label add up to.
type Labelled struct {
	Packets, Payload           uint64 // payload in bytes
	NovelPackets, NovelPayload uint64 // of them: of flows unlike training
}

// Add adds what belongs to another label.
func (l *Labelled) Add(o *Labelled) {
	l.Packets += o.Packets
	l.Payload += o.Payload
	l.NovelPackets += o.NovelPackets
	l.NovelPayload += o.NovelPayload
}

// label counts a packet with its payload under the class of its flow's label.
func (p *Partial) label(class int32, novel bool, payload int) {
	slot := int(class) + 1
	for slot >= len(p.labels) {
		p.labels = append(p.labels, Labelled{})
	}
	l := &p.labels[slot]
	l.Packets++
	l.Payload += uint64(payload)
	if novel {
		l.NovelPackets++
		l.NovelPayload += uint64(payload)
	}
}

// Labels returns what the packets of flows add up to by the label that the flow had then: first of flows without one, then by
// class. It is empty where nobody gives labels. The slice is valid as long as p is not changed.
func (p *Partial) Labels() []Labelled { return p.labels }

// flushPorts puts the ports of the last packets where they belong.
func (p *Partial) flushPorts() {
	p.srcPorts.addEach(p.from[:p.ported])
	p.dstPorts.addEach(p.to[:p.ported])
	p.ported = 0
}

// flush puts the addresses and ports of the last packets where they belong.
func (p *Partial) flush() {
	p.flushPorts()
	p.srcAddrs.addFours(p.srcs[:p.fours])
	p.dstAddrs.addFours(p.dsts[:p.fours])
	p.srcAddrs.addSixes(p.srcSixs[:p.sixes])
	p.dstAddrs.addSixes(p.dstSixs[:p.sixes])
	p.fours, p.sixes = 0, 0
}

// Merge adds the packets of q to p and leaves q as it was.
func (p *Partial) Merge(q *Partial) {
	p.flush()
	q.flush()
	p.Late += q.Late
	p.Lost += q.Lost
	p.packets += q.packets
	p.size += q.size
	var carry uint64
	p.sizeSqLo, carry = bits.Add64(p.sizeSqLo, q.sizeSqLo, 0)
	p.sizeSqHi += q.sizeSqHi + carry
	p.ttl += q.ttl
	p.ttlSq += q.ttlSq
	p.tcp += q.tcp
	p.udp += q.udp
	p.icmp += q.icmp
	for i, n := range q.flags {
		p.flags[i] += n
	}
	for slot := range q.labels {
		if slot == len(p.labels) {
			p.labels = append(p.labels, Labelled{})
		}
		p.labels[slot].Add(&q.labels[slot])
	}
	p.srcAddrs.merge(&q.srcAddrs)
	p.dstAddrs.merge(&q.dstAddrs)
	p.srcPorts.merge(&q.srcPorts)
	p.dstPorts.merge(&q.dstPorts)
}

// Packets returns how many packets were counted.
func (p *Partial) Packets() uint64 { return p.packets }

// Vector returns the features.
func (p *Partial) Vector() Vector {
	var v Vector
	p.flush()
	if p.packets == 0 {
		return v
	}
	n := float64(p.packets)
	v[packets] = n
	v[packetSizeMean] = float64(p.size) / n
	v[packetSizeVar] = variance(p.packets, p.size, p.sizeSqHi, p.sizeSqLo)
	v[ttlMean] = float64(p.ttl) / n
	v[ttlVar] = variance(p.packets, p.ttl, 0, p.ttlSq)

	v[srcIPs] = p.srcAddrs.distinct()
	v[dstIPs] = p.dstAddrs.distinct()
	v[srcPorts] = p.srcPorts.distinct()
	v[dstPorts] = p.dstPorts.distinct()
	for i, port := range wellKnownPorts {
		v[srcPort110+i] = float64(p.srcPorts.count(port))
		v[dstPort110+i] = float64(p.dstPorts.count(port))
	}

	v[icmpCount] = float64(p.icmp)
	v[udpCount] = float64(p.udp)
	for _, f := range flagFeatures {
		n := p.withFlags(f.mask)
		v[f.count] = float64(n)
		if p.tcp > 0 {
			v[f.share] = float64(n) / float64(p.tcp)
		}
	}
	return v
}

// flagFeatures are the counts of packets that bear all flags of a mask, and their shares in TCP.
var flagFeatures = [...]struct {
	mask         uint8
	count, share int
}{
	{packet.SYN, synCount, synShare},
	{packet.FIN, finCount, finShare},
	{packet.PSH, pshCount, pshShare},
	{packet.RST, rstCount, rstShare},
	{packet.URG, urgCount, urgShare},
	{packet.ACK, ackCount, ackShare},
	{packet.FIN | packet.ACK, finACKCount, finACKShare},
	{packet.RST | packet.ACK, rstACKCount, rstACKShare},
	{packet.SYN | packet.ACK, synACKCount, synACKShare},
	{packet.PSH | packet.ACK, pshACKCount, pshACKShare},
}

// withFlags returns the number of TCP packets with all bits of mask set.
func (p *Partial) withFlags(mask uint8) uint64 {
	var n uint64
	for flags, count := range p.flags {
		if uint8(flags)&mask == mask {
			n += count
		}
	}
	return n
}

// variance returns the population variance of n > 0 whole numbers from their sum and the sum of
// their squares: (n·Σx² − (Σx)²) / n², where nothing is rounded before the numerator is whole.
// The textbook form in floats loses all digits when the variance is small beside the mean.
func variance(n, sum, sqHi, sqLo uint64) float64 {
	var num, t, count big.Int
	count.SetUint64(n)
	num.SetUint64(sqHi)
	num.Lsh(&num, 64)
	num.Or(&num, t.SetUint64(sqLo))
	num.Mul(&num, &count)
	t.SetUint64(sum)
	num.Sub(&num, t.Mul(&t, &t))
	f, _ := new(big.Float).SetInt(&num).Float64()
	return f / float64(n) / float64(n)
}

// Reset makes p the empty window again and keeps its memory for reuse.
func (p *Partial) Reset() {
	sa, da, sp, dp := p.srcAddrs, p.dstAddrs, p.srcPorts, p.dstPorts
	sa.reset()
	da.reset()
	sp.reset()
	dp.reset()
	*p = Partial{srcAddrs: sa, dstAddrs: da, srcPorts: sp, dstPorts: dp, labels: p.labels[:0]}
}

// Size returns the bytes of memory that p holds.
func (p *Partial) Size() int {
	return int(unsafe.Sizeof(*p)) + int(unsafe.Sizeof(Labelled{}))*cap(p.labels) + p.srcAddrs.bytes() + p.dstAddrs.bytes() + p.srcPorts.bytes() + p.dstPorts.bytes()
}
