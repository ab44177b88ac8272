package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// build serialises layers into a frame, filling in lengths and checksums.
func build(t testing.TB, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, part := range parts {
		switch l := part.(type) {
		case *layers.IPv4:
			network = l
		case *layers.IPv6:
			network = l
		case *layers.TCP:
			l.SetNetworkLayerForChecksum(network)
		case *layers.UDP:
			l.SetNetworkLayerForChecksum(network)
		case *layers.ICMPv6:
			l.SetNetworkLayerForChecksum(network)
		}
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, parts...); err != nil {
		t.Fatalf("build: %v", err)
	}
	return bytes.Clone(buf.Bytes())
}

func ether(next layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: next}
}

func ip4(proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Id: 7, Protocol: proto, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
}

func ip6(next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 63, NextHeader: next, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
}

func tcp() *layers.TCP {
	return &layers.TCP{SrcPort: 1234, DstPort: 80, Seq: 1, Ack: 1, SYN: true, ACK: true, Window: 100}
}

func udp(dst layers.UDPPort) *layers.UDP { return &layers.UDP{SrcPort: 5353, DstPort: dst} }

func text(s string) gopacket.Payload { return gopacket.Payload(s) }

// join puts byte strings, numbers (one byte each) and 16-bit numbers behind each other.
func join(parts ...any) []byte {
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
		default:
			panic(fmt.Sprintf("join: %T", part))
		}
	}
	return b
}

// describe says in one line what was decoded, for tests to compare.
func describe(h *Headers, reason Reason, frame []byte) string {
	var b strings.Builder
	b.WriteString(reason.String())
	if h.VLANs > 0 {
		fmt.Fprintf(&b, " vlans=%d vlan=%d", h.VLANs, h.VLAN)
	}
	if h.Version == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, " v%d %v>%v proto=%d ttl=%d ip=%d@%d",
		h.Version, h.Src.Netip(h.Version), h.Dst.Netip(h.Version), h.Proto, h.TTL, h.IPLen, h.IPOffset)
	if h.Has&Fragment != 0 {
		kind := "first"
		if h.Has&LaterFragment != 0 {
			kind = "later"
		}
		fmt.Fprintf(&b, " fragment=%s,%d", kind, h.FragID)
	}
	if h.Has&HasPorts != 0 {
		fmt.Fprintf(&b, " ports=%d,%d", h.SrcPort, h.DstPort)
	}
	if h.Has&HasFlags != 0 {
		fmt.Fprintf(&b, " flags=%#02x", h.TCPFlags)
	}
	if h.Has&HasICMP != 0 {
		fmt.Fprintf(&b, " icmp=%d,%d", h.ICMPType, h.ICMPCode)
	}
	if h.Tunnel != NoTunnel {
		fmt.Fprintf(&b, " tunnel=%v", h.Tunnel)
	}
	if h.Has&HasPayload != 0 {
		fmt.Fprintf(&b, " payload=%q/%d", h.Payload(frame), h.PayloadWireLen)
	}
	if h.Has&PayloadTruncated != 0 {
		b.WriteString(" cut")
	}
	return b.String()
}
