package packet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

const (
	tcp4 = "ok v4 10.0.0.1>10.0.0.2 proto=6 ttl=64 "
	udp4 = "ok v4 10.0.0.1>10.0.0.2 proto=17 ttl=64 "
	udp6 = "ok v6 2001:db8::1>2001:db8::2 proto=17 ttl=63 "
	tail = " ports=1234,80 flags=0x12 payload=\"hello\"/5"
	dns  = " ports=5353,53 payload=\"hello\"/5"
)

func TestDecodeLinks(t *testing.T) {
	tcpIn4 := build(t, ip4(layers.IPProtocolTCP), tcp(), text("hello"))
	udpIn6 := build(t, ip6(layers.IPProtocolUDP), udp(53), text("hello"))
	macs := strings.Repeat("\x02", 12)
	sll := join(0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0)
	tests := []struct {
		name  string
		link  LinkType
		frame []byte
		want  string
	}{
		{"ethernet", LinkEthernet, join(macs, uint16(0x0800), tcpIn4), tcp4 + "ip=45@14" + tail},
		{"ethernet ipv6", LinkEthernet, join(macs, uint16(0x86dd), udpIn6), udp6 + "ip=53@14" + dns},
		{"ethernet arp", LinkEthernet, join(macs, uint16(0x0806), tcpIn4), "not_ip"},
		{"ethernet padding", LinkEthernet, join(macs, uint16(0x0800), tcpIn4, strings.Repeat("\x00", 9)), tcp4 + "ip=45@14" + tail},
		{"ethernet cut", LinkEthernet, join(macs, 8), "truncated_link"},
		{"ethernet empty", LinkEthernet, nil, "truncated_link"},
		{"ethernet no ip", LinkEthernet, join(macs, uint16(0x0800)), "truncated_ip"},
		{"vlan", LinkEthernet, join(macs, uint16(0x8100), uint16(0xe064), uint16(0x0800), tcpIn4), "ok vlans=1 vlan=100" + tcp4[2:] + "ip=45@18" + tail},
		{"qinq", LinkEthernet, join(macs, uint16(0x88a8), uint16(5), uint16(0x8100), uint16(100), uint16(0x86dd), udpIn6), "ok vlans=2 vlan=5" + udp6[2:] + "ip=53@22" + dns},
		{"old qinq", LinkEthernet, join(macs, uint16(0x9100), uint16(5), uint16(0x8100), uint16(100), uint16(0x0800), tcpIn4), "ok vlans=2 vlan=5" + tcp4[2:] + "ip=45@22" + tail},
		{"vlan cut", LinkEthernet, join(macs, uint16(0x8100), uint16(5)), "truncated_link"},
		{"eight vlans", LinkEthernet, join(macs, strings.Repeat("\x81\x00\x00\x05", 8), uint16(0x0800), tcpIn4), "ok vlans=8 vlan=5" + tcp4[2:] + "ip=45@46" + tail},
		{"nine vlans", LinkEthernet, join(macs, strings.Repeat("\x81\x00\x00\x05", 9), uint16(0x0800), tcpIn4), "too_deep vlans=9 vlan=5"},
		{"mpls", LinkEthernet, join(macs, uint16(0x8847), 0, 1, 0x10, 64, 0, 2, 0x11, 64, tcpIn4), tcp4 + "ip=45@22" + tail},
		{"mpls ipv6", LinkEthernet, join(macs, uint16(0x8848), 0, 2, 0x11, 64, udpIn6), udp6 + "ip=53@18" + dns},
		{"mpls pseudowire", LinkEthernet, join(macs, uint16(0x8847), 0, 2, 0x11, 64, 0, 0, 0, 0, macs, uint16(0x0800), tcpIn4), "not_ip"},
		{"mpls cut", LinkEthernet, join(macs, uint16(0x8847), 0, 2, 0x11, 64), "truncated_link"},
		{"pppoe", LinkEthernet, join(macs, uint16(0x8864), 0x11, 0, 0, 9, 0, 47, uint16(0x0021), tcpIn4), tcp4 + "ip=45@22" + tail},
		{"pppoe vlan ipv6", LinkEthernet, join(macs, uint16(0x8100), uint16(7), uint16(0x8864), 0x11, 0, 0, 9, 0, 55, uint16(0x0057), udpIn6), "ok vlans=1 vlan=7" + udp6[2:] + "ip=53@26" + dns},
		{"pppoe lcp", LinkEthernet, join(macs, uint16(0x8864), 0x11, 0, 0, 9, 0, 6, uint16(0xc021), 9, 1, 0, 4), "not_ip"},
		{"pppoe discovery code", LinkEthernet, join(macs, uint16(0x8864), 0x11, 9, 0, 9, 0, 6, uint16(0x0021), tcpIn4), "not_ip"},
		{"pppoe cut", LinkPPPoE, join(0x11, 0, 0, 9, 0), "truncated_link"},
		{"pppoe link", LinkPPPoE, join(0x11, 0, 0, 9, 0, 47, uint16(0x0021), tcpIn4), tcp4 + "ip=45@8" + tail},
		{"snap", LinkEthernet, join(macs, uint16(53), "\xaa\xaa\x03\x00\x00\x00", uint16(0x0800), tcpIn4), tcp4 + "ip=45@22" + tail},
		{"snap vlan", LinkEthernet, join(macs, uint16(57), "\xaa\xaa\x03\x00\x00\x00", uint16(0x8100), uint16(3), uint16(0x0800), tcpIn4), "ok vlans=1 vlan=3" + tcp4[2:] + "ip=45@26" + tail},
		{"snap other organisation", LinkEthernet, join(macs, uint16(53), "\xaa\xaa\x03\x00\x00\x0c", uint16(0x0800), tcpIn4), "not_ip"},
		{"snap in snap", LinkEthernet, join(macs, uint16(53), "\xaa\xaa\x03\x00\x00\x00", uint16(53), tcpIn4), "not_ip"},
		{"snap beyond the length", LinkEthernet, join(macs, uint16(7), "\xaa\xaa\x03\x00\x00\x00", uint16(0x0800), tcpIn4), "truncated_link"},
		{"llc cut", LinkEthernet, join(macs, uint16(53), "\xaa\xaa"), "truncated_link"},
		{"snap cut", LinkEthernet, join(macs, uint16(53), "\xaa\xaa\x03\x00"), "truncated_link"},
		{"llc ip", LinkEthernet, join(macs, uint16(48), "\x06\x06\x03", tcpIn4), tcp4 + "ip=45@17" + tail},
		{"llc spanning tree", LinkEthernet, join(macs, uint16(38), "\x42\x42\x03", strings.Repeat("\x00", 35)), "not_ip"},
		{"ppp", LinkPPP, join("\xff\x03", uint16(0x0021), tcpIn4), tcp4 + "ip=45@4" + tail},
		{"ppp bare", LinkPPP, join(uint16(0x0057), udpIn6), udp6 + "ip=53@2" + dns},
		{"ppp short protocol", LinkPPP, join("\xff\x03\x21", tcpIn4), tcp4 + "ip=45@3" + tail},
		{"ppp mpls", LinkPPPHDLC, join("\xff\x03", uint16(0x0281), 0, 2, 0x11, 64, tcpIn4), tcp4 + "ip=45@8" + tail},
		{"ppp hdlc cisco", LinkPPPHDLC, join("\x0f\x00", uint16(0x0800), tcpIn4), tcp4 + "ip=45@4" + tail},
		{"ppp cut", LinkPPP, join("\xff\x03\x00"), "truncated_link"},
		{"ppp cut before protocol", LinkPPP, join("\xff\x03"), "truncated_link"},
		{"ppp cut in framing", LinkPPP, join("\xff"), "truncated_link"},
		{"ppp upstream mpls", LinkPPP, join("\xff\x03", uint16(0x0283), 0, 2, 0x11, 64, tcpIn4), tcp4 + "ip=45@8" + tail},
		{"ppp hdlc cisco cut", LinkPPPHDLC, join("\x0f\x00\x08"), "truncated_link"},
		{"pppd", LinkPPPD, join("\x01\x03", uint16(0x0021), tcpIn4), tcp4 + "ip=45@4" + tail},
		{"cisco hdlc cut", LinkCiscoHDLC, join("\x8f\x00\x08"), "truncated_link"},
		{"cisco hdlc", LinkCiscoHDLC, join("\x8f\x00", uint16(0x86dd), udpIn6), udp6 + "ip=53@4" + dns},
		{"sll", LinkSLL, join(sll, uint16(0x0800), tcpIn4), tcp4 + "ip=45@16" + tail},
		{"sll vlan", LinkSLL, join(sll, uint16(0x8100), uint16(9), uint16(0x0800), tcpIn4), "ok vlans=1 vlan=9" + tcp4[2:] + "ip=45@20" + tail},
		{"sll llc", LinkSLL, join(sll, uint16(4), "\x42\x42\x03"), "not_ip"},
		{"sll netlink", LinkSLL, join(0, 0, uint16(824), sll[4:], uint16(0x0800), tcpIn4), "not_ip"},
		{"sll cut", LinkSLL, sll, "truncated_link"},
		{"sll2", LinkSLL2, join(uint16(0x86dd), 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, "macaddr8", udpIn6), udp6 + "ip=53@20" + dns},
		{"sll2 netlink", LinkSLL2, join(uint16(0x0800), 0, 0, 0, 0, 0, 2, uint16(824), 0, 6, "macaddr8", tcpIn4), "not_ip"},
		{"sll2 cut", LinkSLL2, join(uint16(0x86dd), 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, "macaddr"), "truncated_link"},
		{"raw", LinkRaw, tcpIn4, tcp4 + "ip=45@0" + tail},
		{"raw ipv6", LinkRawBSD, udpIn6, udp6 + "ip=53@0" + dns},
		{"raw openbsd", LinkRawOpenBSD, tcpIn4, tcp4 + "ip=45@0" + tail},
		{"raw neither", LinkRaw, join("\x50", tcpIn4[1:]), "bad_ip_header"},
		{"raw empty", LinkRaw, nil, "truncated_ip"},
		{"ipv4", LinkIPv4, tcpIn4, tcp4 + "ip=45@0" + tail},
		{"ipv6", LinkIPv6, udpIn6, udp6 + "ip=53@0" + dns},
		{"ipv6 link with ipv4", LinkIPv6, join(tcpIn4), "bad_ip_header"},
		{"null little endian", LinkNull, join(2, 0, 0, 0, tcpIn4), tcp4 + "ip=45@4" + tail},
		{"null big endian", LinkNull, join(0, 0, 0, 2, tcpIn4), tcp4 + "ip=45@4" + tail},
		{"null darwin", LinkNull, join(30, 0, 0, 0, udpIn6), udp6 + "ip=53@4" + dns},
		{"null freebsd", LinkNull, join(0, 0, 0, 28, udpIn6), udp6 + "ip=53@4" + dns},
		{"loop openbsd", LinkLoop, join(0, 0, 0, 24, udpIn6), udp6 + "ip=53@4" + dns},
		{"null other", LinkNull, join(7, 0, 0, 0, tcpIn4), "not_ip"},
		{"null cut", LinkNull, join(2, 0, 0), "truncated_link"},
		{"unknown", LinkType(147), tcpIn4, "unknown_link"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h Headers
			reason := h.Decode(tt.link, tt.frame, len(tt.frame))
			if got := describe(&h, reason, tt.frame); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDecodeIPv4(t *testing.T) {
	options := ip4(layers.IPProtocolTCP)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	withOptions := build(t, options, tcp(), text("hello"))
	plain := build(t, ip4(layers.IPProtocolTCP), tcp(), text("hello"))
	set := func(at int, values ...byte) []byte {
		f := join(plain)
		copy(f[at:], values)
		return f
	}
	auth := join(6, 4, 0, 0, strings.Repeat("\x01", 20)) // RFC 4302 section 2: 24 bytes before TCP
	authentic := func(headers []byte) []byte {
		f := join(plain[:20], headers, plain[20:])
		f[2], f[3], f[9] = byte(len(f)>>8), byte(len(f)), 51
		return f
	}
	const head = "v4 10.0.0.1>10.0.0.2 proto=6 ttl=64 "
	tests := []struct {
		name    string
		frame   []byte
		wireLen int
		want    string
	}{
		{"options", withOptions, 0, tcp4 + "ip=49@0" + tail},
		{"options cut", withOptions[:21], 49, "truncated_ip " + head + "ip=49@0"},
		{"authentication", authentic(auth), 0, tcp4 + "ip=69@0" + tail},
		{"authentication twice", authentic(join(51, auth[1:], auth)), 0, tcp4 + "ip=93@0" + tail},
		{"authentication, 257 times", authentic([]byte(strings.Repeat(string(join(51, auth[1:])), 257))), 0, "too_deep v4 10.0.0.1>10.0.0.2 proto=51 ttl=64 ip=6213@0"},
		{"authentication cut", authentic(auth)[:40], 69, "truncated_extension " + head + "ip=69@0"},
		{"authentication cut in its head", authentic(auth)[:21], 69, "truncated_extension v4 10.0.0.1>10.0.0.2 proto=51 ttl=64 ip=69@0"},
		{"nineteen bytes", plain[:19], 45, "truncated_ip"},
		{"version 5", set(0, 0x55), 0, "bad_ip_header"},
		{"header length 16", set(0, 0x44), 0, "bad_ip_header"},
		{"total length 0", set(2, 0, 0), 0, tcp4 + "ip=45@0" + tail},
		{"total length 0, cut", set(2, 0, 0)[:42], 1000, tcp4 + "ip=1000@0 ports=1234,80 flags=0x12 payload=\"he\"/960 cut"},
		{"total length below header", set(2, 0, 19), 0, "bad_ip_header " + head + "ip=19@0"},
		{"total length is header", set(2, 0, 20), 0, "truncated_transport " + head + "ip=20@0"},
		{"total length ends in ports", set(2, 0, 23), 0, "truncated_transport " + head + "ip=23@0"},
		{"total length ends after ports", set(2, 0, 24), 0, "truncated_transport " + head + "ip=24@0 ports=1234,80"},
		{"total length ends in payload", set(2, 0, 42), 0, tcp4 + "ip=42@0 ports=1234,80 flags=0x12 payload=\"he\"/2"},
		{"total length beyond frame", set(2, 1, 0), 45, tcp4 + "ip=256@0 ports=1234,80 flags=0x12 payload=\"hello\"/216 cut"},
		{"first fragment", set(6, 0x20, 0), 0, tcp4 + "ip=45@0 fragment=first,7" + tail},
		{"do not fragment", set(6, 0x40, 0), 0, tcp4 + "ip=45@0" + tail},
		{"middle fragment", set(6, 0x20, 1), 0, tcp4 + "ip=45@0 fragment=later,7"},
		{"last fragment", set(6, 0x00, 9), 0, tcp4 + "ip=45@0 fragment=later,7"},
		{"last fragment, cut", set(6, 0x00, 9)[:30], 45, tcp4 + "ip=45@0 fragment=later,7 cut"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h Headers
			reason := h.Decode(LinkRaw, tt.frame, tt.wireLen)
			if got := describe(&h, reason, tt.frame); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// ipv6Packet is an IPv6 packet with a payload of which the first header has the number next.
func ipv6Packet(next int, payload []byte) []byte {
	src, dst := AddrFrom(addr("2001:db8::1")), AddrFrom(addr("2001:db8::2"))
	return join(0x60, 0, 0, 0, uint16(len(payload)), next, 63, src[:], dst[:], payload)
}

func TestDecodeIPv6(t *testing.T) {
	segment := join(uint16(5353), uint16(53), uint16(13), uint16(0), "hello")
	options := func(next int) []byte { return join(next, 0, 1, 4, 0, 0, 0, 0) }
	options16 := func(next int) []byte { return join(next, 1, 1, 12, strings.Repeat("\x00", 12)) }
	auth := func(next int) []byte { return join(next, 4, 0, 0, strings.Repeat("\x01", 20)) } // 24 bytes
	fragment := func(next int, offset uint16) []byte { return join(next, 0, offset, 0, 1, 0, 2) }
	chain := func(n int) (b []byte) {
		for i := 0; i < n; i++ {
			b = append(b, options(60)...)
		}
		return append(b, options(17)...)
	}
	const head = " v6 2001:db8::1>2001:db8::2 "
	tests := []struct {
		name    string
		frame   []byte
		wireLen int
		want    string
	}{
		{"plain", ipv6Packet(17, segment), 0, udp6 + "ip=53@0" + dns},
		{"hop by hop", ipv6Packet(0, join(options(17), segment)), 0, udp6 + "ip=61@0" + dns},
		{"long destination options", ipv6Packet(60, join(options16(17), segment)), 0, udp6 + "ip=69@0" + dns},
		{"routing", ipv6Packet(43, join(17, 2, 0, 0, 0, 0, 0, 0, strings.Repeat("\x20", 16), segment)), 0, udp6 + "ip=77@0" + dns},
		{"authentication", ipv6Packet(51, join(auth(17), segment)), 0, udp6 + "ip=77@0" + dns},
		{"mobility", ipv6Packet(135, join(17, 0, 0, 0, 0, 0, 0, 0, segment)), 0, udp6 + "ip=61@0" + dns},
		{"all of them", ipv6Packet(0, join(options(43), options(60), options(51), auth(60), options(17), segment)), 0, udp6 + "ip=109@0" + dns},
		{"first fragment", ipv6Packet(44, join(fragment(17, 1), segment)), 0, udp6 + "ip=61@0 fragment=first,65538" + dns},
		{"atomic fragment", ipv6Packet(44, join(fragment(17, 0), segment)), 0, udp6 + "ip=61@0" + dns},
		{"later fragment", ipv6Packet(44, join(fragment(17, 8), segment)), 0, udp6 + "ip=61@0 fragment=later,65538"},
		{"later fragment of options", ipv6Packet(44, join(fragment(60, 9), segment)), 0, "ok" + head + "proto=60 ttl=63 ip=61@0 fragment=later,65538"},
		{"no next header", ipv6Packet(59, []byte("rest")), 0, "ok" + head + "proto=59 ttl=63 ip=44@0 payload=\"rest\"/4"},
		{"256 extensions", ipv6Packet(60, join(chain(255), segment)), 0, udp6 + "ip=2101@0" + dns},
		{"257 extensions", ipv6Packet(60, join(chain(256), segment)), 0, "too_deep" + head + "proto=60 ttl=63 ip=2109@0"},
		{"extension cut in its body", ipv6Packet(60, join(options(17), segment))[:44], 61, "truncated_extension" + head + "proto=17 ttl=63 ip=61@0"},
		{"extension cut in its head", ipv6Packet(60, join(options(17), segment))[:41], 61, "truncated_extension" + head + "proto=60 ttl=63 ip=61@0"},
		{"extension beyond the packet", ipv6Packet(60, join(17, 200, segment)), 0, "truncated_extension" + head + "proto=17 ttl=63 ip=55@0"},
		{"authentication cut", ipv6Packet(51, join(auth(17), segment))[:41], 77, "truncated_extension" + head + "proto=51 ttl=63 ip=77@0"},
		{"fragment header cut", ipv6Packet(44, join(fragment(17, 8), segment))[:47], 61, "truncated_extension" + head + "proto=44 ttl=63 ip=61@0"},
		{"thirty-nine bytes", ipv6Packet(17, segment)[:39], 53, "truncated_ip"},
		{"header only", ipv6Packet(17, segment)[:40], 53, "truncated_transport" + head + "proto=17 ttl=63 ip=53@0"},
		{"jumbogram", join(ipv6Packet(17, segment)[:4], 0, 0, ipv6Packet(17, segment)[6:]), 70000, "ok" + head + "proto=17 ttl=63 ip=70000@0 ports=5353,53 payload=\"hello\"/5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h Headers
			reason := h.Decode(LinkRaw, tt.frame, tt.wireLen)
			if got := describe(&h, reason, tt.frame); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDecodeTransport(t *testing.T) {
	withOptions := tcp()
	withOptions.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}}}
	segment := build(t, ip4(layers.IPProtocolTCP), withOptions, text("hello"))
	datagram := build(t, ip4(layers.IPProtocolUDP), udp(53), text("hello"))
	echo := build(t, ip4(layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: 0x0800, Id: 1, Seq: 2}, text("ping"))
	echo6 := build(t, ip6(layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: 0x8000}, &layers.ICMPv6Echo{Identifier: 1}, text("ping"))
	sctp := build(t, ip4(layers.IPProtocolSCTP), &layers.SCTP{SrcPort: 7, DstPort: 9}, text("chunk"))
	esp := build(t, ip4(layers.IPProtocolESP), text("secret"))
	set := func(f []byte, at int, values ...byte) []byte {
		f = join(f)
		copy(f[at:], values)
		return f
	}
	const head4, head6 = " v4 10.0.0.1>10.0.0.2 ", " v6 2001:db8::1>2001:db8::2 "
	tests := []struct {
		name  string
		frame []byte
		want  string
	}{
		{"tcp options", segment, tcp4 + "ip=49@0" + tail},
		{"tcp cut in payload", segment[:46], tcp4 + "ip=49@0 ports=1234,80 flags=0x12 payload=\"he\"/5 cut"},
		{"tcp cut before payload", segment[:44], tcp4 + "ip=49@0 ports=1234,80 flags=0x12 payload=\"\"/5 cut"},
		{"tcp cut in options", segment[:42], "truncated_transport" + head4 + "proto=6 ttl=64 ip=49@0 ports=1234,80 flags=0x12 payload=\"\"/5 cut"},
		{"tcp cut after flags", segment[:34], "truncated_transport" + head4 + "proto=6 ttl=64 ip=49@0 ports=1234,80 flags=0x12"},
		{"tcp cut before flags", segment[:33], "truncated_transport" + head4 + "proto=6 ttl=64 ip=49@0 ports=1234,80"},
		{"tcp cut in ports", segment[:23], "truncated_transport" + head4 + "proto=6 ttl=64 ip=49@0"},
		{"tcp header length 16", set(segment, 32, 0x40), "bad_transport" + head4 + "proto=6 ttl=64 ip=49@0 ports=1234,80 flags=0x12"},
		{"tcp header beyond packet", set(segment, 32, 0xf0), "bad_transport" + head4 + "proto=6 ttl=64 ip=49@0 ports=1234,80 flags=0x12"},
		{"udp", datagram, udp4 + "ip=33@0" + dns},
		{"udp length below ip", set(datagram, 24, 0, 10), udp4 + "ip=33@0 ports=5353,53 payload=\"he\"/2"},
		{"udp length beyond ip", set(datagram, 24, 1, 0), udp4 + "ip=33@0" + dns},
		{"udp length 0", set(datagram, 24, 0, 0), udp4 + "ip=33@0" + dns},
		{"udp length 7", set(datagram, 24, 0, 7), "bad_transport" + head4 + "proto=17 ttl=64 ip=33@0 ports=5353,53"},
		{"udp cut", datagram[:27], "truncated_transport" + head4 + "proto=17 ttl=64 ip=33@0 ports=5353,53"},
		{"udp cut in payload", datagram[:30], udp4 + "ip=33@0 ports=5353,53 payload=\"he\"/5 cut"},
		{"icmp", echo, "ok" + head4 + "proto=1 ttl=64 ip=32@0 icmp=8,0 payload=\"ping\"/4"},
		{"icmp cut", echo[:22], "truncated_transport" + head4 + "proto=1 ttl=64 ip=32@0 icmp=8,0"},
		{"icmp cut in type", echo[:21], "truncated_transport" + head4 + "proto=1 ttl=64 ip=32@0"},
		{"icmpv6", echo6, "ok" + head6 + "proto=58 ttl=63 ip=52@0 icmp=128,0 payload=\"ping\"/4"},
		{"sctp", sctp, "ok" + head4 + "proto=132 ttl=64 ip=37@0 ports=7,9 payload=\"chunk\"/5"},
		{"sctp cut", sctp[:30], "truncated_transport" + head4 + "proto=132 ttl=64 ip=37@0 ports=7,9"},
		{"esp", esp, "ok" + head4 + "proto=50 ttl=64 ip=26@0 payload=\"secret\"/6"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h Headers
			reason := h.Decode(LinkRaw, tt.frame, len(tt.frame))
			if got := describe(&h, reason, tt.frame); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAddr(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "::"} {
		want := netip.MustParseAddr(s)
		version := uint8(6)
		if want.Is4() {
			version = 4
		}
		if got := AddrFrom(want).Netip(version); got != want {
			t.Errorf("AddrFrom(%v).Netip(%d) = %v", want, version, got)
		}
	}
	if got := (Addr{1}).Netip(0); got.IsValid() {
		t.Errorf("Netip(0) = %v, want no address", got)
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := Reason(0); r < NumReasons; r++ {
		name := r.String()
		if name == "" || name == "unknown" || seen[name] {
			t.Errorf("Reason(%d).String() = %q: want a name of its own", r, name)
		}
		seen[name] = true
	}
	if got := Reason(NumReasons).String(); got != "unknown" {
		t.Errorf("Reason(%d).String() = %q, want unknown", NumReasons, got)
	}
}
