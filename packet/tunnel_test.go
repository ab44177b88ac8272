package packet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestDecodeTunnels(t *testing.T) {
	inner := build(t, ip6(layers.IPProtocolUDP), udp(53), text("hello"))
	frame := build(t, ether(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), udp(53), text("hello"))
	tagged := join(frame[:12], uint16(0x8100), uint16(77), frame[12:])
	in := func(proto layers.IPProtocol, parts ...any) []byte {
		return build(t, ip4(proto), text(string(join(parts...))))
	}
	inUDP := func(port layers.UDPPort, parts ...any) []byte {
		return build(t, ip4(layers.IPProtocolUDP), udp(port), text(string(join(parts...))))
	}
	vxlan := "\x08\x00\x00\x00\x00\x00\x05\x00"
	gtp := join(0x30, 0xff, uint16(len(inner)), 0, 0, 0, 1)
	nested := func(n int) []byte {
		b := inner
		for range n {
			b = in(layers.IPProtocolIPv6, b) // the protocol number does not matter to DecodeInner
		}
		return b
	}
	fragment := in(layers.IPProtocolGRE, uint16(0), uint16(0x86dd), inner)
	fragment[7] = 2
	const done, want6 = "udp decoded", "ok v6 2001:db8::1>2001:db8::2 proto=17 ttl=63 ip=53@"
	tests := []struct {
		name   string
		frame  []byte
		tunnel Tunnel // as Decode recognises it
		inner  string // what DecodeInner finds; done: the packet in inner, through that tunnel
	}{
		{"gre", in(47, uint16(0), uint16(0x86dd), inner), GRE, done},
		{"gre checksum key sequence", in(47, uint16(0xb000), uint16(0x86dd), strings.Repeat("\x09", 12), inner), GRE, done},
		{"gre ethernet", in(47, uint16(0x2000), uint16(0x6558), "key!", frame), GRE, done},
		{"gre erspan", in(47, uint16(0x1000), uint16(0x88be), "seq!", "erspanII", frame), GRE, done},
		{"gre erspan I", in(47, uint16(0), uint16(0x88be), frame), GRE, done},
		{"gre mpls", in(47, uint16(0), uint16(0x8847), 0, 2, 0x11, 64, inner), GRE, done},
		{"gre pptp", in(47, uint16(0x3081), uint16(0x880b), "key!", "seq!", "ack!", "\xff\x03", uint16(0x0057), inner), GRE, done},
		{"gre pptp lcp", in(47, uint16(0x3081), uint16(0x880b), "key!", "seq!", "ack!", uint16(0xc021), inner), GRE, "ok v4"},
		{"gre source route", in(47, uint16(0x4000), uint16(0x86dd), inner), GRE, "ok v4"},
		{"gre keepalive", in(47, uint16(0), uint16(0)), GRE, "ok v4"},
		{"gre cut", in(47, uint16(0x2000), uint16(0x86dd), "key"), GRE, "ok v4"},
		{"gre later fragment", fragment, NoTunnel, "ok v4"},
		{"vxlan", inUDP(4789, vxlan, frame), VXLAN, done},
		{"vxlan vlan", inUDP(4789, vxlan, tagged), VXLAN, "ok vlans=1 vlan=77 v6 2001:db8::1"},
		{"vxlan without identifier", inUDP(4789, "\x00"+vxlan[1:], frame), NoTunnel, "ok v4"},
		{"vxlan arp", inUDP(4789, vxlan, frame[:12], uint16(0x0806), frame[14:]), VXLAN, "ok v4"},
		{"ip in ip", in(4, inner), IPIP, done},
		{"6in4", in(41, inner), IPIP, done},
		{"ip in ip inner cut", in(41, inner[:46]), IPIP, "truncated_transport v6 2001:db8::1"},
		{"ip in ip nothing", in(41), IPIP, "ok v4"},
		{"gtp-u", inUDP(2152, gtp, inner), GTPU, done},
		{"gtp-u sequence", inUDP(2152, 0x32, 0xff, gtp[2:], 0, 9, 0, 0, inner), GTPU, done},
		{"gtp-u extensions", inUDP(2152, 0x34, 0xff, gtp[2:], 0, 0, 0, 0x85, 1, 0, 0, 0x85, 2, 0, 0, 0, 0, 0, 0, 0, inner), GTPU, done},
		{"gtp-u extension of length 0", inUDP(2152, 0x34, 0xff, gtp[2:], 0, 0, 0, 0x85, 0, 0, 0, 0, inner), GTPU, "ok v4"},
		{"gtp-u extension cut", inUDP(2152, 0x34, 0xff, gtp[2:], 0, 0, 0, 0x85, 3, 0), GTPU, "ok v4"},
		{"gtp-u extensions without end", inUDP(2152, 0x34, 0xff, gtp[2:], 0, 0, 0, 0x85, strings.Repeat("\x01\x00\x00\x85", 10), inner), GTPU, "ok v4"},
		{"gtp-u cut before extensions", inUDP(2152, 0x34, 0xff, gtp[2:], 0, 0, 0, 0x85), GTPU, "ok v4"},
		{"gtp-u cut in options", inUDP(2152, 0x34, 0xff, gtp[2:], 0, 0), GTPU, "ok v4"},
		{"gtp-u cut", inUDP(2152, gtp), GTPU, "ok v4"},
		{"gre very cut", in(47, uint16(0)), GRE, "ok v4"},
		{"gtp-u echo", inUDP(2152, 0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0), GTPU, "ok v4"},
		{"gtp prime", inUDP(2152, 0x20, 0xff, gtp[2:], inner), NoTunnel, "ok v4"},
		{"four deep", nested(4), IPIP, done},
		{"five deep", nested(5), IPIP, "ok v4"},
		{"none", inner, NoTunnel, "ok v6 2001:db8::1>2001:db8::2 proto=17 ttl=63 ip=53@0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h Headers
			h.Decode(LinkRaw, tt.frame, len(tt.frame))
			if h.Tunnel != tt.tunnel {
				t.Errorf("Decode: tunnel %q, want %q", h.Tunnel, tt.tunnel)
			}
			if tt.tunnel != NoTunnel && h.Version != 4 {
				t.Errorf("Decode: IP version %d, want the outer packet's, 4", h.Version)
			}
			reason := h.DecodeInner(LinkRaw, tt.frame, len(tt.frame))
			got, want := describe(&h, reason, tt.frame), tt.inner
			if want == done {
				want = want6
				if end := " ports=5353,53 tunnel=" + tt.tunnel.String() + " payload=\"hello\"/5"; !strings.HasSuffix(got, end) {
					t.Errorf("DecodeInner:\n got %s\nwant it to end in %s", got, end)
				}
			}
			if !strings.HasPrefix(got, want) {
				t.Errorf("DecodeInner:\n got %s\nwant it to begin with %s", got, want)
			}
		})
	}
}

func TestTunnelNames(t *testing.T) {
	for tunnel, want := range map[Tunnel]string{NoTunnel: "", GRE: "gre", VXLAN: "vxlan", IPIP: "ipip", GTPU: "gtpu", 99: "unknown"} {
		if got := tunnel.String(); got != want {
			t.Errorf("Tunnel(%d) is %q, want %q", tunnel, got, want)
		}
	}
}
