package packet

import (
	"math/rand/v2"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var links = []LinkType{
	LinkEthernet, LinkNull, LinkPPP, LinkRawBSD, LinkPPPHDLC, LinkPPPoE, LinkRaw, LinkCiscoHDLC,
	LinkLoop, LinkSLL, LinkPPPD, LinkIPv4, LinkIPv6, LinkSLL2, 9999,
}

// FuzzDecode holds any frame to what Headers promises.
func FuzzDecode(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		f.Add(uint8(0), 0, randomFrame(f, rng))
	}
	inner := build(f, ether(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), udp(53), text("hello"))
	f.Add(uint8(6), 100, build(f, ip4(layers.IPProtocolGRE), text(string(join(uint16(0), uint16(0x6558), inner)))))
	f.Add(uint8(6), 100, build(f, ip4(layers.IPProtocolUDP), udp(4789), text(string(join("\x08\x00\x00\x00\x00\x00\x05\x00", inner)))))
	f.Add(uint8(6), 100, build(f, ip4(layers.IPProtocolUDP), udp(2152), text(string(join(0x34, 0xff, "......", 0, 0, 0, 0x85, 1, 0, 0, 0, inner[14:])))))
	f.Add(uint8(6), 100, ipv6Packet(0, join(60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 1)))
	f.Add(uint8(9), 1<<40, join(0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, uint16(0x0800), inner))
	f.Fuzz(func(t *testing.T, link uint8, wireLen int, frame []byte) {
		var h, again, inside Headers
		reason := h.Decode(links[int(link)%len(links)], frame, wireLen)
		check(t, &h, reason, frame)
		if want := again.general(links[int(link)%len(links)], frame, wireLen); reason != want || h != again {
			t.Errorf("Decode: %v %+v\nthe general way: %v %+v", reason, h, want, again)
		}
		if again.Decode(links[int(link)%len(links)], frame, wireLen); again != h {
			t.Errorf("the same frame decoded twice:\n%+v\n%+v", h, again)
		}
		reason = inside.DecodeInner(links[int(link)%len(links)], frame, wireLen)
		check(t, &inside, reason, frame)
		if (inside.Version == 0) != (h.Version == 0) {
			t.Errorf("DecodeInner found version %d, Decode %d", inside.Version, h.Version)
		}
	})
}

// check tests what holds for the headers of any frame.
func check(t *testing.T, h *Headers, reason Reason, frame []byte) {
	t.Helper()
	fail := func(what string) { t.Errorf("%s: %v %+v of %x", what, reason, *h, frame) }
	if reason >= NumReasons {
		fail("a reason out of range")
	}
	if reason == OK && h.Version == 0 {
		fail("OK without an IP header")
	}
	if h.Version != 0 {
		headerLen := map[uint8]int{4: 20, 6: 40}[h.Version]
		if headerLen == 0 || h.IPOffset < 0 || h.IPOffset+headerLen > len(frame) || h.IPLen < 0 {
			fail("the IP header is not in the frame")
		}
	}
	if h.PayloadOffset < 0 || h.PayloadLen < 0 || h.PayloadOffset+h.PayloadLen > len(frame) {
		fail("the payload is not in the frame")
	}
	if h.PayloadWireLen < h.PayloadLen || h.PayloadWireLen > h.IPLen {
		fail("the payload is longer than the packet")
	}
	if (h.PayloadLen < h.PayloadWireLen) != (h.Has&PayloadTruncated != 0) {
		fail("the payload is cut, or not")
	}
	if h.Has&LaterFragment != 0 && h.Has&(HasPorts|HasFlags|HasICMP|HasPayload) != 0 || h.Has&(Fragment|LaterFragment) == LaterFragment {
		fail("a later fragment has a transport header")
	}
	if h.Has&HasPorts == 0 && (h.SrcPort != 0 || h.DstPort != 0) || h.Has&HasFlags != 0 && h.Proto != TCP {
		fail("ports or flags out of nowhere")
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	frame := randomFrame(t, rand.New(rand.NewPCG(7, 8)))
	tunnel := build(t, ip4(layers.IPProtocolIPv6), text(string(build(t, ip6(layers.IPProtocolUDP), udp(53), text("hello")))))
	var h Headers
	if n := testing.AllocsPerRun(100, func() { h.Decode(LinkEthernet, frame, len(frame)) }); n != 0 {
		t.Errorf("Decode allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { h.DecodeInner(LinkRaw, tunnel, len(tunnel)) }); n != 0 {
		t.Errorf("DecodeInner allocates %v times", n)
	}
}

// BenchmarkDecode stands beside gopacket's fastest way to the same headers.
func BenchmarkDecode(b *testing.B) {
	frames := map[string][]byte{
		"ipv4-tcp": build(b, ether(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP), tcp(), text("hello")),
		"vlan-udp": build(b, ether(layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeIPv4}, ip4(layers.IPProtocolUDP), udp(53535), text("hello")),
		"ipv6-udp": build(b, ether(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), udp(53535), text("hello")),
	}
	for name, frame := range frames {
		b.Run(name+"/weir", func(b *testing.B) {
			var h Headers
			for b.Loop() {
				h.Decode(LinkEthernet, frame, len(frame))
			}
		})
		b.Run(name+"/general", func(b *testing.B) {
			var h Headers
			for b.Loop() {
				h.general(LinkEthernet, frame, len(frame))
			}
		})
		b.Run(name+"/gopacket", func(b *testing.B) {
			var (
				eth     layers.Ethernet
				v4      layers.IPv4
				v6      layers.IPv6
				t       layers.TCP
				u       layers.UDP
				payload gopacket.Payload
			)
			parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &v4, &v6, &t, &u, &payload)
			decoded := make([]gopacket.LayerType, 0, 8)
			for b.Loop() {
				if err := parser.DecodeLayers(frame, &decoded); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
