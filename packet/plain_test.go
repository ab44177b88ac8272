package packet

import (
	"math/rand/v2"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

// TestPlainEqualsGeneral decodes frames that are almost plain, cut anywhere and with a few bits turned
// in their headers, both ways.
func TestPlainEqualsGeneral(t *testing.T) {
	var frames [][]byte
	for _, tag := range []bool{false, true} {
		for _, port := range []layers.UDPPort{53535, portVXLAN, portGTPU} {
			for _, six := range []bool{false, true} {
				eth, vlan := ether(layers.EthernetTypeIPv4), &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeIPv4}
				if six {
					eth.EthernetType, vlan.Type = layers.EthernetTypeIPv6, layers.EthernetTypeIPv6
				}
				link := build(t, eth)[:14]
				if tag {
					eth.EthernetType = layers.EthernetTypeDot1Q
					link = build(t, eth, vlan)[:18]
				}
				payload := text("\x08\xff\x00\x04wireless\x30\x31")
				if six {
					frames = append(frames, join(link, build(t, ip6(layers.IPProtocolTCP), tcp(), payload)), join(link, build(t, ip6(layers.IPProtocolUDP), udp(port), payload)))
				} else {
					frames = append(frames, join(link, build(t, ip4(layers.IPProtocolTCP), tcp(), payload)), join(link, build(t, ip4(layers.IPProtocolUDP), udp(port), payload)))
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(9, 1))
	var h, want Headers
	plain := 0
	for trial := range 200_000 {
		frame := append([]byte(nil), frames[trial%len(frames)]...)
		if r.IntN(2) == 0 {
			frame = frame[:r.IntN(len(frame)+1)]
		}
		for range r.IntN(4) {
			if n := min(len(frame), 80); n > 12 {
				frame[12+r.IntN(n-12)] ^= 1 << r.IntN(8)
			}
		}
		if h.plain(frame) {
			plain++
		}
		reason := h.Decode(LinkEthernet, frame, len(frame))
		if wantReason := want.general(LinkEthernet, frame, len(frame)); reason != wantReason || h != want {
			t.Fatalf("%x:\n got %v %+v\nwant %v %+v", frame, reason, h, wantReason, want)
		}
	}
	if plain < 20_000 || plain > 180_000 {
		t.Errorf("%d of 200,000 frames were plain: the test is too dull", plain)
	}
}
