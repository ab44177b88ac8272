// Package attack makes captures of traffic that is meant to exhaust who watches it: every packet a new
// flow, fragments that never end, headers inside headers, clocks that are wrong. Frames are made by
// hand; the package shares nothing with what is measured.
package attack

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
)

// A maker appends the frame number n of a capture to b, and may change the packet's time.
type maker func(m *machine, b []byte, n int) []byte

var makers = map[string]maker{
	"normal":    normal,
	"small":     small,
	"large":     large,
	"flows":     newFlows,
	"answers":   answers,
	"scan":      scan,
	"fragments": fragments,
	"nested":    nested,
	"noise":     noise,
	"clock":     clock,
	"years":     years,
}

// Kinds returns the names of the kinds of traffic, "normal" first, which is what the others are compared
// with:
//
//	normal     2,000 flows of TCP and UDP, frames of 60 to 1,514 bytes
//	small      the same flows in frames of 60 bytes
//	large      the same flows in frames of 9,000 bytes
//	flows      every packet a SYN from another address: a new flow each
//	answers    new flows with payload both ways, three packets each: worth more than a SYN
//	scan       one host asks every port of every address
//	fragments  first fragments without the rest, later ones without the first, IPv4 and IPv6
//	nested     VLAN tags, MPLS labels, IPv6 extension headers and tunnels, as many as fit
//	noise      random bytes behind an EtherType of IP
//	clock      normal, with one time of ten anywhere between 1970 and 2106
//	years      normal, an hour or more later every ten packets, from 1970 to 2100
func Kinds() []string {
	kinds := []string{"normal"}
	for kind := range makers {
		if kind != "normal" {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds[1:])
	return kinds
}

// Write writes a pcap file with packets of a kind, 100,000 a second, to w. The same arguments give the
// same bytes.
func Write(w io.Writer, kind string, packets int, seed uint64) error {
	if makers[kind] == nil {
		return fmt.Errorf("attack: unknown kind %q", kind)
	}
	out := bufio.NewWriterSize(w, 1<<20)
	header := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	header = append(header, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	header = binary.LittleEndian.AppendUint32(header, 262144)
	header = binary.LittleEndian.AppendUint32(header, 1) // Ethernet
	out.Write(header)                                    // an error stays until Flush
	m := &machine{Rand: rand.New(rand.NewPCG(seed, 1)), packets: packets}
	for i := range m.random {
		m.random[i] = byte(m.Uint32())
	}
	record := make([]byte, 16, 16+9000)
	for n := range packets {
		m.micros = begin*1_000_000 + int64(n)*10
		record = makers[kind](m, record[:16], n)
		for len(record) < 16+60 {
			record = append(record, 0)
		}
		binary.LittleEndian.PutUint32(record, uint32(m.micros/1e6))
		binary.LittleEndian.PutUint32(record[4:], uint32(m.micros%1e6))
		binary.LittleEndian.PutUint32(record[8:], uint32(len(record)-16))
		binary.LittleEndian.PutUint32(record[12:], uint32(len(record)-16))
		if _, err := out.Write(record); err != nil {
			return err
		}
	}
	return out.Flush()
}

// begin is the time of the first packet, in Unix seconds: 2025-06-01 00:00:00 UTC.
const begin = 1_748_736_000

// machine is what makers work with.
type machine struct {
	*rand.Rand
	packets int
	micros  int64 // time of the packet at hand, microseconds since the Unix epoch
	random  [10_000]byte
}

// payload appends n random bytes.
func (m *machine) payload(b []byte, n int) []byte { return append(b, m.random[:n]...) }

// ethernet appends an Ethernet header.
func ethernet(b []byte, etherType uint16) []byte {
	return binary.BigEndian.AppendUint16(append(b, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2), etherType)
}

// ip4 appends an IPv4 header before length bytes. Nobody who watches checks checksums.
func ip4(b []byte, src, dst uint32, proto byte, id, fragment uint16, length int) []byte {
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+length))
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, fragment)
	b = append(b, 64, proto, 0, 0)
	b = binary.BigEndian.AppendUint32(b, src)
	return binary.BigEndian.AppendUint32(b, dst)
}

// ip6 appends an IPv6 header before length bytes.
func ip6(b []byte, src, dst uint64, next byte, length int) []byte {
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(b, next, 64)
	for _, host := range []uint64{src, dst} {
		b = binary.BigEndian.AppendUint64(b, 0x20010db8_00000000)
		b = binary.BigEndian.AppendUint64(b, host)
	}
	return b
}

const (
	tcpLen = 20
	udpLen = 8
	syn    = 0x02
	ack    = 0x10
)

func tcp(b []byte, src, dst uint16, flags byte) []byte {
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	return append(b, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
}

func udp(b []byte, src, dst uint16, length int) []byte {
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint16(b, uint16(udpLen+length))
	return append(b, 0, 0)
}

// mix spreads the numbers from 0 on over all of 32 bits, each to another one.
func mix(n int) uint32 { return uint32(n) * 0x9e3779b1 }

// flowPacket appends a packet of flow number n with a payload, in either direction.
func flowPacket(m *machine, b []byte, n, payload int) []byte {
	client, server := 0x0a000000+uint32(n), 0xc6120000+uint32(n%50)
	port := uint16(32768 + n%20_000)
	proto, length := byte(6), tcpLen+payload
	if n%4 == 3 {
		proto, length = 17, udpLen+payload
	}
	src, dst, srcPort, dstPort := client, server, port, uint16(443)
	if m.IntN(2) == 0 {
		src, dst, srcPort, dstPort = dst, src, dstPort, srcPort
	}
	b = ip4(ethernet(b, 0x0800), src, dst, proto, uint16(m.Uint32()), 0x4000, length)
	if proto == 17 {
		b = udp(b, srcPort, dstPort, payload)
	} else {
		b = tcp(b, srcPort, dstPort, ack)
	}
	return m.payload(b, payload)
}

const fewFlows = 2_000

func normal(m *machine, b []byte, _ int) []byte {
	payload := 0
	switch m.IntN(10) {
	case 0, 1, 2, 3:
	case 4, 5, 6:
		payload = m.IntN(1000)
	default:
		payload = 1400
	}
	return flowPacket(m, b, m.IntN(fewFlows), payload)
}

func small(m *machine, b []byte, _ int) []byte { return flowPacket(m, b, m.IntN(fewFlows), 0) }

func large(m *machine, b []byte, _ int) []byte {
	return flowPacket(m, b, m.IntN(fewFlows), 9000-14-20-tcpLen)
}

func newFlows(m *machine, b []byte, n int) []byte {
	if n%8 == 0 {
		b = ip6(ethernet(b, 0x86dd), uint64(mix(n))<<20, 1, 6, tcpLen)
	} else {
		b = ip4(ethernet(b, 0x0800), mix(n), 0xc6120000+uint32(n%256), 6, 1, 0, tcpLen)
	}
	return tcp(b, uint16(m.Uint32()), 443, syn)
}

func answers(m *machine, b []byte, n int) []byte {
	client, server, port := mix(n/3), 0xc6120000+uint32(n/3%256), uint16(1024+n/3%60_000)
	switch n % 3 {
	case 0:
		return tcp(ip4(ethernet(b, 0x0800), client, server, 6, 1, 0, tcpLen), port, 443, syn)
	case 1:
		return m.payload(tcp(ip4(ethernet(b, 0x0800), client, server, 6, 2, 0, tcpLen+500), port, 443, ack), 500)
	}
	return m.payload(tcp(ip4(ethernet(b, 0x0800), server, client, 6, 3, 0, tcpLen+1000), 443, port, ack), 1000)
}

func scan(_ *machine, b []byte, n int) []byte {
	b = ip4(ethernet(b, 0x0800), 0x0a000001, mix(n), 6, 1, 0, tcpLen)
	return tcp(b, uint16(n), uint16(n/7), syn)
}

func fragments(m *machine, b []byte, n int) []byte {
	src := mix(n)
	switch n % 4 {
	case 0: // first of IPv4
		b = ip4(ethernet(b, 0x0800), src, 0xc6120001, 17, uint16(n), 0x2000, udpLen+64)
		return m.payload(udp(b, uint16(n), 53, 500), 64)
	case 1: // later of IPv4
		return m.payload(ip4(ethernet(b, 0x0800), src, 0xc6120001, 17, uint16(n), 0x2009, 64), 64)
	case 2: // first of IPv6
		b = ip6(ethernet(b, 0x86dd), uint64(src), 1, 44, 8+udpLen+64)
		b = binary.BigEndian.AppendUint32(append(b, 17, 0, 0, 1), uint32(n))
		return m.payload(udp(b, uint16(n), 53, 500), 64)
	}
	b = ip6(ethernet(b, 0x86dd), uint64(src), 1, 44, 8+64)
	b = binary.BigEndian.AppendUint32(append(b, 17, 0, 0x01, 0x01), uint32(n))
	return m.payload(b, 64)
}

func nested(_ *machine, b []byte, n int) []byte {
	switch n % 4 {
	case 0: // VLAN tags to the end of the frame
		b = ethernet(b, 0x8100)
		for range 360 {
			b = append(b, 0, 5, 0x81, 0)
		}
		return b
	case 1: // MPLS labels, none of them the last
		b = ethernet(b, 0x8847)
		for range 360 {
			b = append(b, 0, 1, 0, 64)
		}
		return b
	case 2: // IPv6 extension headers, empty, before a TCP header
		const headers = 170
		b = ip6(ethernet(b, 0x86dd), uint64(n), 1, 60, headers*8+tcpLen)
		for i := range headers {
			next := byte(60)
			if i == headers-1 {
				next = 6
			}
			b = append(b, next, 0, 1, 4, 0, 0, 0, 0)
		}
		return tcp(b, uint16(n), 443, syn)
	}
	// IPv4 in IPv4 in IPv4 …
	const tunnels = 70
	b = ethernet(b, 0x0800)
	for i := range tunnels {
		b = ip4(b, mix(n), uint32(i), 4, 1, 0, (tunnels-1-i)*20+tcpLen)
	}
	b[len(b)-11] = 6 // the innermost carries TCP
	return tcp(b, uint16(n), 443, syn)
}

func noise(m *machine, b []byte, n int) []byte {
	b = ethernet(b, []uint16{0x0800, 0x86dd, 0x8100, 0x8847, 0x8864, uint16(m.Uint32())}[n%6])
	for range 1 + m.IntN(60) {
		b = binary.LittleEndian.AppendUint32(b, m.Uint32())
	}
	if n%3 == 0 { // valid so far
		b[16+14] = 0x45
	}
	return b
}

func clock(m *machine, b []byte, n int) []byte {
	if n%10 == 5 {
		m.micros = int64(m.Uint32()) * 1e6
	}
	return normal(m, b, n)
}

func years(m *machine, b []byte, n int) []byte {
	const from, to = 0, 4_102_444_800 // 1970 and 2100
	jumps := m.packets/10 + 1
	m.micros = (from + (to-from)/int64(jumps)*int64(n/10)) * 1e6
	return normal(m, b, n)
}
