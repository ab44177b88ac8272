package packet

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// oracle decodes an Ethernet frame with gopacket's layers into the fields that both know. It is
// asked about whole, well-formed frames only: on others gopacket goes its own ways.
func oracle(frame []byte) (h Headers) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	at, later := 0, false
	for _, layer := range p.Layers() {
		headerLen := len(layer.LayerContents())
		switch l := layer.(type) {
		case *layers.Dot1Q:
			if h.VLANs == 0 {
				h.VLAN = l.VLANIdentifier
			}
			h.VLANs++
		case *layers.IPv4:
			h.Version, h.TTL, h.Proto = 4, l.TTL, uint8(l.Protocol)
			copy(h.Src[:], l.SrcIP)
			copy(h.Dst[:], l.DstIP)
			h.IPLen, h.IPOffset = int(l.Length), at
			if l.FragOffset != 0 {
				h.Has |= Fragment
				h.FragID = uint32(l.Id)
				later = true
			} else if l.Flags&layers.IPv4MoreFragments != 0 {
				// gopacket looks into no fragment, not even the first: show it the packet as a whole one.
				entire := bytes.Clone(frame)
				entire[at+6] &^= 0x20
				h := oracle(entire)
				h.Has |= Fragment
				h.FragID = uint32(l.Id)
				return h
			}
		case *layers.IPv6:
			h.Version, h.TTL, h.Proto = 6, l.HopLimit, uint8(l.NextHeader)
			copy(h.Src[:], l.SrcIP)
			copy(h.Dst[:], l.DstIP)
			h.IPLen, h.IPOffset = 40+int(l.Length), at
		case *layers.IPv6HopByHop:
			h.Proto = uint8(l.NextHeader)
		case *layers.IPv6Destination:
			h.Proto = uint8(l.NextHeader)
		case *layers.IPv6Routing:
			h.Proto = uint8(l.NextHeader)
		case *layers.IPv6Fragment:
			h.Proto = uint8(l.NextHeader)
			if l.MoreFragments || l.FragmentOffset != 0 {
				h.Has |= Fragment
				h.FragID = l.Identification
				later = l.FragmentOffset != 0
			}
		case *layers.TCP:
			h.SrcPort, h.DstPort, h.TCPFlags = uint16(l.SrcPort), uint16(l.DstPort), frame[at+13]
			h.Has |= HasPorts | HasFlags | HasPayload
			h.PayloadOffset, h.PayloadLen = at+headerLen, len(l.LayerPayload())
			return h.whole()
		case *layers.UDP:
			h.SrcPort, h.DstPort = uint16(l.SrcPort), uint16(l.DstPort)
			h.Has |= HasPorts | HasPayload
			h.PayloadOffset, h.PayloadLen = at+headerLen, len(l.LayerPayload())
			return h.whole()
		case *layers.SCTP:
			h.SrcPort, h.DstPort = uint16(l.SrcPort), uint16(l.DstPort)
			h.Has |= HasPorts | HasPayload
			h.PayloadOffset, h.PayloadLen = at+headerLen, len(l.LayerPayload())
			return h.whole()
		case *layers.ICMPv4:
			h.ICMPType, h.ICMPCode = l.TypeCode.Type(), l.TypeCode.Code()
			h.Has |= HasICMP | HasPayload
			h.PayloadOffset, h.PayloadLen = at+8, len(l.LayerPayload())
			return h.whole()
		case *layers.ICMPv6:
			h.ICMPType, h.ICMPCode = l.TypeCode.Type(), l.TypeCode.Code()
			h.Has |= HasICMP | HasPayload
			h.PayloadOffset, h.PayloadLen = at+8, len(l.LayerPayload())-4 // gopacket takes 4 bytes for the header
			return h.whole()
		}
		at += headerLen
		if later {
			h.Has |= LaterFragment
			h.PayloadOffset, h.PayloadLen = at, h.IPOffset+h.IPLen-at
			return h.whole()
		}
	}
	return h
}

// whole says that the payload was captured whole.
func (h Headers) whole() Headers {
	h.PayloadWireLen = h.PayloadLen
	return h
}

// randomFrame makes a well-formed Ethernet frame.
func randomFrame(t testing.TB, rng *rand.Rand) []byte {
	randomBytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	transports := []layers.IPProtocol{layers.IPProtocolTCP, layers.IPProtocolTCP, layers.IPProtocolUDP, layers.IPProtocolSCTP, layers.IPProtocolICMPv4, layers.IPProtocolICMPv6}
	proto := transports[rng.IntN(len(transports))]
	later := false

	var parts []gopacket.SerializableLayer
	network := layers.EthernetTypeIPv4
	if rng.IntN(2) == 0 {
		network = layers.EthernetTypeIPv6
	}
	tags := rng.IntN(3)
	if tags == 0 {
		parts = append(parts, ether(network))
	} else {
		parts = append(parts, ether(layers.EthernetTypeDot1Q))
		for i := range tags {
			next := layers.EthernetTypeDot1Q
			if i == tags-1 {
				next = network
			}
			parts = append(parts, &layers.Dot1Q{VLANIdentifier: uint16(rng.IntN(4096)), Type: next})
		}
	}
	if network == layers.EthernetTypeIPv4 {
		l := &layers.IPv4{Version: 4, TTL: uint8(rng.Uint32()), Id: uint16(rng.Uint32()), Protocol: proto, SrcIP: randomBytes(4), DstIP: randomBytes(4)}
		if rng.IntN(4) == 0 {
			l.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
		}
		switch rng.IntN(8) {
		case 0:
			l.Flags = layers.IPv4MoreFragments
		case 1:
			l.FragOffset, later = uint16(1+rng.IntN(8000)), true
		case 2:
			l.Flags = layers.IPv4DontFragment
		}
		parts = append(parts, l)
	} else {
		l := &layers.IPv6{Version: 6, HopLimit: uint8(rng.Uint32()), NextHeader: proto, SrcIP: net.IP(randomBytes(16)), DstIP: net.IP(randomBytes(16))}
		parts = append(parts, l)
		if rng.IntN(3) == 0 {
			l.NextHeader = layers.IPProtocolIPv6Destination
			d := &layers.IPv6Destination{Options: []*layers.IPv6DestinationOption{{OptionType: 1, OptionData: make([]byte, 4+8*rng.IntN(2))}}}
			d.NextHeader = proto
			parts = append(parts, d)
		}
	}
	payload := gopacket.Payload(randomBytes(rng.IntN(64)))
	if later {
		return build(t, append(parts, payload)...)
	}
	switch proto {
	case layers.IPProtocolTCP:
		l := &layers.TCP{SrcPort: layers.TCPPort(rng.Uint32()), DstPort: layers.TCPPort(rng.Uint32()), Window: 1}
		flags := rng.Uint32()
		l.FIN, l.SYN, l.RST, l.PSH, l.ACK, l.URG, l.ECE, l.CWR = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0, flags&16 != 0, flags&32 != 0, flags&64 != 0, flags&128 != 0
		if rng.IntN(2) == 0 {
			l.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 180}}}
		}
		parts = append(parts, l)
	case layers.IPProtocolUDP:
		// Ports above 50000: gopacket takes well-known ones for what they usually carry.
		parts = append(parts, &layers.UDP{SrcPort: layers.UDPPort(50000 + rng.IntN(15000)), DstPort: layers.UDPPort(50000 + rng.IntN(15000))})
	case layers.IPProtocolSCTP:
		parts = append(parts, &layers.SCTP{SrcPort: layers.SCTPPort(rng.Uint32()), DstPort: layers.SCTPPort(rng.Uint32())})
	case layers.IPProtocolICMPv4:
		parts = append(parts, &layers.ICMPv4{TypeCode: layers.ICMPv4TypeCode(rng.Uint32()), Id: 1})
	case layers.IPProtocolICMPv6:
		parts = append(parts, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, uint8(rng.Uint32()))})
		payload = append(gopacket.Payload{0, 1, 0, 2}, payload...)
	}
	frame := build(t, append(parts, payload)...)
	if len(frame) < 60 {
		frame = append(frame, randomBytes(60-len(frame))...) // padding, and not of zeros
	}
	return frame
}

func TestDecodeAgreesWithGopacket(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		frame := randomFrame(t, rng)
		want := oracle(frame)
		var got Headers
		if reason := got.Decode(LinkEthernet, frame, len(frame)); reason != OK {
			t.Fatalf("frame %d: %v\n%x", i, reason, frame)
		}
		if got != want {
			t.Fatalf("frame %d: %x\n got %+v\nwant %+v", i, frame, got, want)
		}
	}
}

// TestDecodeOfPrefix cuts frames as a snap length does: what is still decoded stays the same.
func TestDecodeOfPrefix(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		frame := randomFrame(t, rng)
		var whole Headers
		whole.Decode(LinkEthernet, frame, len(frame))
		ports, flags := false, false
		for n := range frame {
			var cut Headers
			reason := cut.Decode(LinkEthernet, bytes.Clone(frame[:n]), len(frame))
			if cut.Version == 0 {
				if want := whole.IPOffset + 20; whole.Version == 4 && n >= want || n >= whole.IPOffset+40 {
					t.Fatalf("%x cut to %d bytes: %v, want a packet that counts", frame, n, reason)
				}
				continue
			}
			if cut.Src != whole.Src || cut.Dst != whole.Dst || cut.TTL != whole.TTL || cut.IPLen != whole.IPLen || cut.VLANs != whole.VLANs {
				t.Fatalf("%x cut to %d bytes:\n got %+v\nwant %+v", frame, n, cut, whole)
			}
			if cut.Has&HasPorts != 0 && (cut.SrcPort != whole.SrcPort || cut.DstPort != whole.DstPort) ||
				cut.Has&HasFlags != 0 && cut.TCPFlags != whole.TCPFlags ||
				cut.Has&HasPayload != 0 && cut.PayloadWireLen != whole.PayloadWireLen {
				t.Fatalf("%x cut to %d bytes:\n got %+v\nwant %+v", frame, n, cut, whole)
			}
			if ports && cut.Has&HasPorts == 0 || flags && cut.Has&HasFlags == 0 {
				t.Fatalf("%x: ports or flags are there in fewer bytes but not in %d", frame, n)
			}
			ports, flags = cut.Has&HasPorts != 0, cut.Has&HasFlags != 0
		}
	}
}
