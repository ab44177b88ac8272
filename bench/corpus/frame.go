package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// IANA protocol numbers and TCP flags of the frames.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	fin, syn, psh, ack = 1, 2, 8, 16
)

const (
	minFrame = 60   // bytes, without frame check sequence
	maxFrame = 1514 // without a VLAN tag
)

// fileHeader returns the header of a pcap file: little endian, microseconds, Ethernet.
func fileHeader() []byte {
	b := make([]byte, 24)
	binary.LittleEndian.PutUint32(b, 0xa1b2c3d4)
	binary.LittleEndian.PutUint16(b[4:], 2)
	binary.LittleEndian.PutUint16(b[6:], 4)
	binary.LittleEndian.PutUint32(b[16:], 262144)
	binary.LittleEndian.PutUint32(b[20:], 1)
	return b
}

// builder makes records one after the other, in one buffer.
type builder struct {
	r      *rand.Rand
	b      []byte
	random [1 << 16]byte // where payloads are cut from
}

func newBuilder(r *rand.Rand) *builder {
	b := &builder{r: r, b: make([]byte, 0, 2048)}
	for i := range b.random {
		b.random[i] = byte(r.Uint32())
	}
	return b
}

// record returns the next packet of a flow as a record of a pcap file.
func (b *builder) record(micros int64, f *flow) []byte {
	from := b.end(f)
	header := 14 + 20
	if f.vlan != 0 {
		header += 4
	}
	if f.six {
		header += 20
	}
	switch f.proto {
	case protoTCP:
		header += 20
	default:
		header += 8
	}
	flags, payload := b.content(f, from, maxFrame-header)

	out := binary.LittleEndian.AppendUint32(b.b[:0], uint32(begin+micros/1e6))
	out = binary.LittleEndian.AppendUint32(out, uint32(micros%1e6))
	frameLen := uint32(max(header+payload, minFrame))
	out = binary.LittleEndian.AppendUint32(out, frameLen)
	out = binary.LittleEndian.AppendUint32(out, frameLen)
	out = append(out, 2, 0, 0, 0, 0, byte(1+from), 2, 0, 0, 0, 0, byte(2-from))
	if f.vlan != 0 {
		out = append(out, 0x81, 0)
		out = binary.BigEndian.AppendUint16(out, f.vlan)
	}
	out = b.network(out, f, from, flags, payload)
	for len(out) < 16+minFrame {
		out = append(out, 0)
	}
	f.sent++
	b.b = out
	return out
}

// end returns which end of a flow sends its next packet: 0 for the client.
func (b *builder) end(f *flow) int {
	switch {
	case f.flood:
		return 0
	case f.sent < 3, f.sent >= f.packets-2: // handshake, farewell
		return f.sent & 1
	case b.r.IntN(5) < 3:
		return 1
	}
	return 0
}

// content returns the TCP flags and the payload's length of a flow's next packet.
func (b *builder) content(f *flow, from, room int) (flags byte, payload int) {
	switch {
	case f.flood && f.proto == protoTCP:
		return syn, 0
	case f.flood:
		return 0, 18
	case f.proto == protoICMP, f.proto == protoICMPv6:
		return 0, 56
	case f.serverPort == 53:
		return 0, 30 + b.r.IntN(60) + from*b.r.IntN(200)
	case f.proto == protoUDP:
	case f.sent == 0:
		return syn, 0
	case f.sent == 1:
		return syn | ack, 0
	case f.sent == 2:
		return ack, 0
	case f.sent >= f.packets-2:
		return fin | ack, 0
	}
	// Acknowledgements, full segments, and all between.
	flags = ack
	switch k := b.r.IntN(100); {
	case k < 27+45*(1-from):
		if f.proto == protoUDP {
			payload = 24 + b.r.IntN(20)
		}
	case k < 46+45*(1-from):
		flags |= psh
		payload = 50 + b.r.IntN(1000)
	default:
		payload = room
	}
	return flags, payload
}

// network appends the EtherType, the IP packet and what is in it.
func (b *builder) network(out []byte, f *flow, from int, flags byte, payload int) []byte {
	src, dst := &f.client, &f.server
	srcPort, dstPort := f.clientPort, f.serverPort
	if from == 1 {
		src, dst = dst, src
		srcPort, dstPort = dstPort, srcPort
	}
	length := payload + 8
	if f.proto == protoTCP {
		length = payload + 20
	}
	var pseudo uint32 // sum of the pseudo header, RFC 9293 section 3.1 and RFC 8200 section 8.1
	ttl := byte(64 - from*7)
	if f.six {
		out = append(out, 0x86, 0xdd, 0x60, 0, 0, 0)
		out = binary.BigEndian.AppendUint16(out, uint16(length))
		out = append(out, f.proto, ttl)
		out = append(out, src[:]...)
		out = append(out, dst[:]...)
		pseudo = sum(sum(0, src[:]), dst[:])
	} else {
		out = append(out, 0x08, 0x00)
		at := len(out)
		out = append(out, 0x45, 0)
		out = binary.BigEndian.AppendUint16(out, uint16(20+length))
		out = binary.BigEndian.AppendUint16(out, uint16(f.sent))
		out = append(out, 0x40, 0, ttl, f.proto, 0, 0)
		out = append(out, src[:4]...)
		out = append(out, dst[:4]...)
		binary.BigEndian.PutUint16(out[at+10:], fold(sum(0, out[at:])))
		pseudo = sum(sum(0, src[:4]), dst[:4])
	}
	pseudo += uint32(f.proto) + uint32(length)

	at := len(out)
	checksum := at + 16
	switch f.proto {
	case protoTCP:
		out = binary.BigEndian.AppendUint16(out, srcPort)
		out = binary.BigEndian.AppendUint16(out, dstPort)
		out = binary.BigEndian.AppendUint32(out, f.seq[from])
		out = binary.BigEndian.AppendUint32(out, f.seq[1-from])
		out = append(out, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
		f.seq[from] += uint32(payload)
		if flags&(syn|fin) != 0 {
			f.seq[from]++
		}
	case protoUDP:
		checksum = at + 6
		out = binary.BigEndian.AppendUint16(out, srcPort)
		out = binary.BigEndian.AppendUint16(out, dstPort)
		out = binary.BigEndian.AppendUint16(out, uint16(length))
		out = append(out, 0, 0)
	default:
		checksum = at + 2
		echo := byte(8 - 8*from) // and its reply
		if f.six {
			echo = byte(128 + from)
		}
		out = append(out, echo, 0, 0, 0, 0, 1)
		out = binary.BigEndian.AppendUint16(out, uint16(f.sent/2))
		if !f.six {
			pseudo = 0
		}
	}
	start := b.r.IntN(len(b.random) - payload)
	out = append(out, b.random[start:start+payload]...)
	binary.BigEndian.PutUint16(out[checksum:], fold(sum(pseudo, out[at:])))
	return out
}

// sum adds b, as big-endian words of 16 bits, to the sum of an Internet checksum, RFC 1071.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// fold ends an Internet checksum.
func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}
