package filter

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/weirnet/weir/packet"
)

// pile puts byte strings and numbers behind each other: int is one byte, uint16 two, uint32 four.
func pile(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch p := part.(type) {
		case []byte:
			b = append(b, p...)
		case string:
			b = append(b, p...)
		case int:
			b = append(b, byte(p))
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		default:
			panic(fmt.Sprintf("pile: %T", part))
		}
	}
	return b
}

func ip4(src, dst string, proto int, fragment uint16, options string, payload []byte) []byte {
	length := 20 + len(options)
	return pile(0x40|length/4, 0, uint16(length+len(payload)), uint16(7), fragment, 64, proto, uint16(0), src, dst, options, payload)
}

func ip6(src, dst string, next int, payload []byte) []byte {
	return pile(uint32(0x60000000), uint16(len(payload)), next, 63, src, dst, payload)
}

func tcpTo(src, dst uint16, flags int, payload string) []byte {
	return pile(src, dst, uint32(1), uint32(2), 0x50, flags, uint16(100), uint16(0), uint16(0), payload)
}

func udpTo(src, dst uint16, payload string) []byte {
	return pile(src, dst, uint16(8+len(payload)), uint16(0), payload)
}

func sctpTo(src, dst uint16) []byte { return pile(src, dst, uint32(9), uint32(0), 1, 0, uint16(4)) }

// A payload is what a link layer carries.
type payload struct {
	etherType uint16
	data      []byte
}

// networkPackets are packets without their link header: addresses, ports, fragments, options and
// extension headers in many combinations, and some that are broken.
func networkPackets() []payload {
	const (
		a, b, c = "\x0a\x00\x00\x01", "\x0a\x00\x00\x02", "\xc0\xa8\x01\x09"
		group   = "\xe0\x00\x00\x01"
		a6      = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
		b6      = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
		c6      = "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
		group6  = "\xff\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"
	)
	var all []payload
	v4 := func(data []byte) { all = append(all, payload{0x0800, data}) }
	v6 := func(data []byte) { all = append(all, payload{0x86dd, data}) }
	segments := []struct {
		proto int
		data  []byte
	}{}
	add := func(proto int, data []byte) {
		segments = append(segments, struct {
			proto int
			data  []byte
		}{proto, data})
	}
	for _, ports := range [][2]uint16{{1025, 80}, {80, 1025}, {443, 50000}, {53, 53}, {123, 123}, {22, 80}, {20, 21}, {0, 65535}, {5000, 5000}, {514, 23}, {150, 25}} {
		for _, flags := range []int{0x02, 0x12, 0x18, 0x14, 0xe1} {
			add(6, tcpTo(ports[0], ports[1], flags, ""))
		}
		add(6, tcpTo(ports[0], ports[1], 0x18, "GET / HTTP/1.0\r\n\r\n"))
		add(6, pile(ports[0], ports[1], uint32(5), uint32(3), 0x60, 0x18, uint16(9), uint32(0), uint32(0x01010101), "\x16\x03\x01"))
		add(17, udpTo(ports[0], ports[1], ""))
		add(17, udpTo(ports[0], ports[1], "\x00\x01\x81\x80 and more"))
		add(132, sctpTo(ports[0], ports[1]))
	}
	for _, kind := range []int{0, 3, 5, 8, 11} {
		add(1, pile(kind, 0, uint16(0), uint16(7), uint16(1), "ping"))
		add(1, pile(kind, 3, uint16(0), uint16(7), uint16(1)))
	}
	for _, kind := range []int{1, 128, 129, 133, 135, 136} {
		add(58, pile(kind, 0, uint16(0), uint32(0), a6))
	}
	for _, proto := range []int{2, 4, 9, 41, 46, 47, 50, 51, 88, 89, 103, 112, 115, 0, 44, 60, 255} {
		add(proto, pile(0x16, 0, uint16(0), 0x21, 1, 2, 3))
		add(proto, pile(0x20, 1, uint32(6), uint32(80)))
	}
	for i, s := range segments {
		from, to, from6, to6 := a, b, a6, b6
		switch i % 5 {
		case 1:
			from, to, from6, to6 = b, a, b6, a6
		case 2:
			from, to, from6, to6 = c, a, c6, a6
		case 3:
			from, to, from6, to6 = a, group, a6, group6
		case 4:
			from, to, from6, to6 = c, "\xff\xff\xff\xff", c6, group6
		}
		v4(ip4(from, to, s.proto, 0, "", s.data))
		v6(ip6(from6, to6, s.proto, s.data))
		if i%3 == 0 {
			v4(ip4(from, to, s.proto, 0x4000, "\x94\x04\x00\x00", s.data))
			v4(ip4(from, to, s.proto, 0x2000, "", s.data))                                 // first fragment
			v4(ip4(from, to, s.proto, 0x2010, "", s.data))                                 // a later one
			v4(ip4(from, to, s.proto, 0x0010, "\x01\x01\x01\x00\x01\x01\x01\x00", s.data)) // the last
			v6(ip6(from6, to6, 44, pile(s.proto, 0, uint16(1), uint32(9), s.data)))        // first fragment
			v6(ip6(from6, to6, 44, pile(s.proto, 0, uint16(0x0101), uint32(9), s.data)))   // a later one
			v6(ip6(from6, to6, 0, pile(s.proto, 0, uint16(0x0502), uint32(0), s.data)))    // hop-by-hop
			v6(ip6(from6, to6, 60, pile(44, 0, uint16(0x0104), uint32(0), s.proto, 0, uint16(1), uint32(9), s.data)))
			v6(ip6(from6, to6, 43, pile(s.proto, 0, 0, 0, uint32(0), s.data)))
			v6(ip6(from6, to6, 51, pile(s.proto, 4, uint16(0), uint32(1), uint32(1), uint32(0), uint32(0), uint32(0), s.data)))
		}
	}
	v4(ip4(a, b, 6, 0, "", nil))
	v4(pile(0x4f, 0, uint16(20), uint32(0), 64, 6, uint16(0), a, b))                        // a header longer than the packet
	v4(pile(0x40, 0, uint16(20), uint32(0), 64, 17, uint16(0), a, b, udpTo(80, 443, "")))   // no header at all
	v4(pile(0x65, 0, uint16(40), uint32(0), 64, 6, uint16(0), a, b, tcpTo(80, 443, 2, ""))) // IPv6's version
	v6(ip6(a6, b6, 6, nil))
	v6(pile(0x45, ip6(a6, b6, 6, tcpTo(80, 443, 2, ""))[1:])) // IPv4's version
	for _, operation := range []uint16{1, 2, 3} {
		arp := pile(uint16(1), uint16(0x0800), 6, 4, operation, "\x02\x00\x00\x00\x00\x01", a, "\x00\x00\x00\x00\x00\x00", b)
		all = append(all, payload{0x0806, arp}, payload{0x8035, arp})
		arp = pile(uint16(1), uint16(0x0800), 6, 4, operation, "\x02\x00\x00\x00\x00\x02", a, "\x00\x00\x00\x00\x00\x00", a)
		all = append(all, payload{0x0806, arp}, payload{0x8035, arp})
	}
	for _, etherType := range []uint16{0x6001, 0x6002, 0x6003, 0x6004, 0x6007, 0x8037, 0x809b, 0x80f3, 0x8137, 0x88cc, 0x9000, 0x8863, 0x0600, 0x05dd, 0x888e} {
		all = append(all, payload{etherType, make([]byte, 46)})
		all = append(all, payload{etherType, pile(uint32(0x45000028), make([]byte, 40))})
	}
	return all
}

// behindLLC are frames with a length in place of an EtherType, and what follows it.
func behindLLC() [][]byte {
	var all [][]byte
	frame := func(parts ...any) { all = append(all, append(pile(parts...), make([]byte, 40)...)) }
	for _, control := range []int{0x00, 0x01, 0x05, 0x09, 0x03, 0x63, 0x43, 0x6f, 0xe3, 0xaf, 0x87, 0x13, 0x02, 0x0d} {
		frame(0x42, 0x42, control)
		frame(0xf0, 0xf0, control)
		frame(0x06, 0x06, control, ip4("\x0a\x00\x00\x01", "\x0a\x00\x00\x02", 6, 0, "", tcpTo(1025, 80, 2, "")))
	}
	for _, etherType := range []uint16{0x0800, 0x86dd, 0x809b, 0x80f3, 0x8137, 0x0806} {
		frame(0xaa, 0xaa, 3, 0, 0, 0, etherType)
		frame(0xaa, 0xaa, 3, 8, 0, 7, etherType)
		frame(0xaa, 0xaa, 3, 0, 0, 0xf8, etherType)
	}
	for _, id := range []int{0x81, 0x82, 0x83, 3, 5} {
		for pdu := 14; pdu < 29; pdu++ {
			frame(0xfe, 0xfe, 3, id, 27, 1, 0, pdu, 1)
		}
	}
	frame(0xff, 0xff, 0, 34, 0, 17) // Novell's frame without the header
	frame(0xff, 0x00, 3)
	frame(0xe0, 0xe0, 3, 0xff, 0xff)
	frame(0x05, 0x05, 3)
	frame(0xaa, 0x00, 3)
	return all
}

// A frame is a packet to try filters on.
type frame struct {
	link    packet.LinkType
	data    []byte
	wireLen int
}

// frames puts link headers of every type before the packets; some frames are cut.
func frames() []frame {
	var all []frame
	add := func(link packet.LinkType, parts ...any) {
		data := pile(parts...)
		all = append(all, frame{link, data, len(data)})
		n := len(all)
		switch {
		case n%7 == 0: // cut by the snap length
			all = append(all, frame{link, data[:min(len(data), n/7%100)], len(data)})
		case n%11 == 0: // padded
			all = append(all, frame{link, append(bytes.Clone(data), make([]byte, 60)...), len(data) + 60})
		case n%101 == 0:
			all = append(all, frame{link, data, len(data) + 1000})
		}
	}
	station := func(n int) string { return "\x02\x00\x00\x00\x00" + string(rune(n)) }
	packets := networkPackets()
	for i, p := range packets {
		eth := pile(station(1+i%3), station(2-i%2))
		switch {
		case i%13 == 0:
			eth = pile("\xff\xff\xff\xff\xff\xff", station(1))
		case i%17 == 0:
			eth = pile("\x01\x00\x5e\x00\x00\x01", station(2))
		}
		add(packet.LinkEthernet, eth, p.etherType, p.data)
		tags := []any{uint16(0x8100), uint16(5), uint16(0x8100), uint16(0x6064), uint16(0x88a8), uint16(200), uint16(0x9100), uint16(6), uint16(0x8100), uint16(0x1fff)}
		switch tag := tags[i%5*2 : i%5*2+2]; i % 3 {
		case 0:
			add(packet.LinkEthernet, eth, tag[0], tag[1], p.etherType, p.data)
		case 1:
			add(packet.LinkEthernet, eth, uint16(0x88a8), uint16(100), uint16(0x8100), uint16(200), p.etherType, p.data)
			add(packet.LinkEthernet, eth, uint16(0x8100), uint16(100), uint16(0x8100), uint16(200), tag[0], tag[1], p.etherType, p.data)
		}
		ppp := map[uint16]uint16{0x0800: 0x0021, 0x86dd: 0x0057, 0x8137: 0x002b, 0x809b: 0x0029, 0x6003: 0x0027, 0x88cc: 0xc021, 0x8863: 0x0023, 0x9000: 0x0031}[p.etherType]
		if p.etherType == 0x0800 || p.etherType == 0x86dd {
			one, two, three := uint32(100000<<12|0x140), uint32(16<<12|0x040), uint32(17<<12|0x1ff)
			switch i % 4 {
			case 0:
				add(packet.LinkEthernet, eth, uint16(0x8847), one, p.data)
				add(packet.LinkPPP, uint16(0xff03), uint16(0x0281), one, p.data)
			case 1:
				add(packet.LinkEthernet, eth, uint16(0x8847), two, three, p.data)
				add(packet.LinkPPPHDLC, uint16(0xff03), uint16(0x0281), two, three, p.data)
			case 2:
				add(packet.LinkEthernet, eth, tags[i%5*2], uint16(5), uint16(0x8847), two, two, three, p.data)
				add(packet.LinkCiscoHDLC, uint16(0x0f00), uint16(0x8847), two, three, p.data)
			case 3:
				add(packet.LinkEthernet, eth, uint16(0x8847), two, p.data) // not the last label
				add(packet.LinkEthernet, eth, uint16(0x8864), 0x11, 0, uint16(5), uint16(len(p.data)+6), uint16(0x0281), one, p.data)
			}
			add(packet.LinkRaw, p.data)
			if p.etherType == 0x0800 {
				add(packet.LinkIPv4, p.data)
				add(packet.LinkNull, "\x02\x00\x00\x00", p.data)
				add(packet.LinkLoop, uint32(2), p.data)
			} else {
				add(packet.LinkIPv6, p.data)
				family := []int{24, 28, 30}[i%3]
				add(packet.LinkNull, family, "\x00\x00\x00", p.data)
				add(packet.LinkLoop, uint32(family), p.data)
			}
		}
		if ppp != 0 {
			switch i % 3 {
			case 0:
				add(packet.LinkEthernet, eth, uint16(0x8864), 0x11, 0, uint16(5+i%2*0x22), uint16(len(p.data)+2), ppp, p.data)
			case 1:
				add(packet.LinkEthernet, eth, uint16(0x8100), uint16(5), uint16(0x8864), 0x11, 0, uint16(5), uint16(len(p.data)+2), ppp, p.data)
			}
			add([]packet.LinkType{packet.LinkPPP, packet.LinkPPPHDLC}[i%2], uint16(0xff03), ppp, p.data)
			add(packet.LinkPPPD, i%3, 3, ppp, p.data)
			add(packet.LinkPPPoE, 0x11, 0, uint16(5), uint16(len(p.data)+2), ppp, p.data)
		}
		add(packet.LinkSLL, uint16(i%5), uint16(1), uint16(6), station(1), uint16(0), p.etherType, p.data)
		add(packet.LinkSLL2, p.etherType, uint16(0), uint32(i%4), uint16(1), i%5, 6, station(1), uint16(0), p.data)
		add(packet.LinkCiscoHDLC, uint16(0x0f00), p.etherType, p.data)
	}
	for _, data := range behindLLC() {
		add(packet.LinkEthernet, "\x01\x80\xc2\x00\x00\x00", station(1), uint16(len(data)), data)
		add(packet.LinkEthernet, "\x01\x80\xc2\x00\x00\x00", station(1), uint16(0x8100), uint16(5), uint16(len(data)), data)
		add(packet.LinkSLL, uint16(0), uint16(1), uint16(6), station(1), uint16(0), uint16(4), data)
		add(packet.LinkSLL, uint16(4), uint16(1), uint16(6), station(1), uint16(0), uint16(1), data)
		add(packet.LinkPPP, uint16(0xff03), uint16(0x0023), data[3:])
		add(packet.LinkCiscoHDLC, uint16(0x0f00), uint16(0xfefe), 0, data[3:])
	}
	// Every length of one packet of each kind.
	for _, p := range []payload{
		{0x0800, ip4("\x0a\x00\x00\x01", "\x0a\x00\x00\x02", 6, 0, "\x01\x01\x01\x00", tcpTo(1025, 80, 2, "GET "))},
		{0x86dd, ip6("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02", 17, udpTo(53, 53, "abcd"))},
		{0x8100, pile(uint16(5), uint16(0x0800), ip4("\x0a\x00\x00\x01", "\x0a\x00\x00\x02", 17, 0, "", udpTo(53, 80, "abcd")))},
		{0x8847, pile(uint32(16<<12|0x140), ip4("\x0a\x00\x00\x01", "\x0a\x00\x00\x02", 17, 0, "", udpTo(53, 80, "abcd")))},
		{0x8864, pile(0x11, 0, uint16(5), uint16(40), uint16(0x21), ip4("\x0a\x00\x00\x01", "\x0a\x00\x00\x02", 17, 0, "", udpTo(53, 80, "abcd")))},
		{0x0806, pile(uint16(1), uint16(0x0800), 6, 4, uint16(1), station(1), "\x0a\x00\x00\x01", station(2), "\x0a\x00\x00\x02")},
		{0x0020, pile(0xfe, 0xfe, 3, 0x83, 27, 1, 0, 18, 1)},
	} {
		whole := pile(station(2), station(1), p.etherType, p.data)
		for n := range len(whole) {
			all = append(all, frame{packet.LinkEthernet, whole[:n], len(whole)})
		}
	}
	return all
}
