package flow

import (
	"net/netip"
	"testing"

	"github.com/weirnet/weir/packet"
)

// headersOf returns headers as Decode would find them. For ICMP the ports are type and code.
func headersOf(proto uint8, src, dst string, srcPort, dstPort uint16) packet.Headers {
	from, to := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	h := packet.Headers{
		Src: packet.AddrFrom(from), Dst: packet.AddrFrom(to),
		Version: 6, Proto: proto, TTL: 64, IPLen: 100, Has: packet.HasPayload,
	}
	if from.Is4() {
		h.Version = 4
	}
	switch proto {
	case packet.TCP, packet.UDP, packet.SCTP:
		h.SrcPort, h.DstPort = srcPort, dstPort
		h.Has |= packet.HasPorts
	case packet.ICMP, packet.ICMPv6:
		h.ICMPType, h.ICMPCode = uint8(srcPort), uint8(dstPort)
		h.Has |= packet.HasICMP
	}
	return h
}

// TestCommunityID uses the values published with the specification (community-id-spec/baseline) and
// with its reference implementation (pycommunityid/tests).
func TestCommunityID(t *testing.T) {
	tests := []struct {
		proto            uint8
		src, dst         string
		srcPort, dstPort uint16 // ICMP: type and code
		want             string
	}{
		{58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 0, "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
		{58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 135, 0, "1:zavyT/cezQr1fmImYCwYnMXbgck="},
		{58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 136, 0, "1:zavyT/cezQr1fmImYCwYnMXbgck="},
		{58, "3ffe:501:1800:2345::2", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0, "1:2ObVBgIn28oZvibYZhZMBgh7WdQ="},
		{58, "3ffe:501:410:0:2c0:dfff:fe47:33e", "3ffe:507:0:1:200:86ff:fe05:80da", 1, 4, "1:hLZd0XGWojozrvxqE0dWB1iM6R0="},
		{58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2", 128, 0, "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg="},
		{58, "3ffe:501:0:1001::2", "3ffe:507:0:1:200:86ff:fe05:80da", 129, 0, "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg="},
		{58, "fe80::200:86ff:fe05:80da", "ff02::2", 133, 0, "1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0="},
		{58, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 0, "1:pkvHqCL88/tg1k4cPigmZXUtL00="},
		{58, "3ffe:507:0:1:260:97ff:fe07:69ea", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0, "1:NdobDX8PQNJbAyfkWxhtL2Pqp5w="},
		{58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:507:0:1:260:97ff:fe07:69ea", 3, 0, "1:/OGBt9BN1ofenrmSPWYicpij2Vc="},
		{1, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{1, "192.168.0.1", "192.168.0.89", 0, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{1, "192.168.0.1", "192.168.0.89", 0, 20, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
		{1, "192.168.0.89", "192.168.0.1", 20, 0, "1:3o2RFccXzUgjl7zDpqmY7yJi8rI="},
		{1, "192.168.0.89", "192.168.0.1", 20, 1, "1:tz/fHIDUHs19NkixVVoOZywde+I="},
		{1, "10.0.0.1", "10.0.0.2", 11, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM="},
		{6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943, 25, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
		{6, "2607:f8b0:400c:c03::1a", "2001:470:e5bf:dead:4957:2174:e82c:4887", 25, 63943, "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
		{6, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{6, "66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
		{6, "10.0.0.1", "10.0.0.2", 10, 11569, "1:SXBGMX1lBOwhhoDrZynfROxnhnM="},
		{17, "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{17, "8.8.8.8", "192.168.1.52", 53, 54585, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
		{132, "192.168.170.8", "192.168.170.56", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="},
		{132, "192.168.170.56", "192.168.170.8", 80, 7, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="},
		{46, "10.1.12.1", "10.1.12.2", 0, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="},
		{46, "10.1.12.2", "10.1.12.1", 0, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="},
		{46, "10.1.24.4", "10.1.12.1", 0, 0, "1:/nQI4Rh/TtY3mf0R2gJFBkVlgS4="},
	}
	for _, tt := range tests {
		h := headersOf(tt.proto, tt.src, tt.dst, tt.srcPort, tt.dstPort)
		if got := CommunityID(KeyOf(&h)); got != tt.want {
			t.Errorf("CommunityID of protocol %d, %s:%d > %s:%d = %q, want %q", tt.proto, tt.src, tt.srcPort, tt.dst, tt.dstPort, got, tt.want)
		}
	}
}

func TestCommunityIDOfFragments(t *testing.T) {
	there := headersOf(packet.UDP, "10.0.0.9", "10.0.0.1", 0, 0)
	there.Has = packet.Fragment | packet.LaterFragment
	back := there
	back.Src, back.Dst = there.Dst, there.Src
	portless := there
	portless.Has = 0
	got, reverse, want := CommunityID(KeyOf(&there)), CommunityID(KeyOf(&back)), CommunityID(KeyOf(&portless))
	if got != want || reverse != want {
		t.Errorf("CommunityID of fragments = %q and %q the other way, want %q as without ports", got, reverse, want)
	}
}

func TestCanonical(t *testing.T) {
	tests := []struct {
		name             string
		proto            uint8
		src, dst         string
		srcPort, dstPort uint16
		kind             Kind
		oneKey           bool // both directions have one canonical key
	}{
		{"tcp", packet.TCP, "10.0.0.9", "10.0.0.1", 80, 1024, Ports, true},
		{"tcp between ports of one host", packet.TCP, "10.0.0.1", "10.0.0.1", 2000, 1000, Ports, true},
		{"udp in ipv6", packet.UDP, "2001:db8::2", "2001:db8::1", 53, 53, Ports, true},
		{"igmp", 2, "10.0.0.9", "10.0.0.1", 0, 0, Portless, true},
		{"icmp unreachable", packet.ICMP, "10.0.0.9", "10.0.0.1", 3, 1, OneWay, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			there := headersOf(tt.proto, tt.src, tt.dst, tt.srcPort, tt.dstPort)
			back := headersOf(tt.proto, tt.dst, tt.src, tt.dstPort, tt.srcPort)
			if tt.proto == packet.ICMP {
				back.ICMPType, back.ICMPCode = there.ICMPType, there.ICMPCode
			}
			a, aReversed := KeyOf(&there).Canonical()
			b, bReversed := KeyOf(&back).Canonical()
			if a.Kind != tt.kind {
				t.Errorf("kind %d, want %d", a.Kind, tt.kind)
			}
			if (a == b) != tt.oneKey {
				t.Errorf("canonical keys\n%+v and\n%+v: one key %v, want %v", a, b, a == b, tt.oneKey)
			}
			if tt.oneKey && aReversed == bReversed {
				t.Errorf("both directions reversed: %v", aReversed)
			}
			if again, reversed := a.Canonical(); again != a || reversed {
				t.Errorf("the canonical key is not its own: %+v", again)
			}
		})
	}
}

func TestCounterpartsAnswerEachOther(t *testing.T) {
	for _, proto := range []uint8{packet.ICMP, packet.ICMPv6} {
		pairs := 0
		for icmpType := range 256 {
			other, ok := counterpartOf(proto, uint8(icmpType))
			if !ok {
				continue
			}
			pairs++
			if back, ok := counterpartOf(proto, other); !ok || back != uint8(icmpType) {
				t.Errorf("protocol %d: %d is answered by %d, that by %d", proto, icmpType, other, back)
			}
		}
		if want := map[uint8]int{packet.ICMP: 10, packet.ICMPv6: 12}[proto]; pairs != want {
			t.Errorf("protocol %d: %d types have counterparts, want %d", proto, pairs, want)
		}
	}
}

func TestFlowIDStaysTheSame(t *testing.T) {
	h := headersOf(packet.TCP, "10.0.0.1", "192.0.2.7", 49152, 443)
	const want = 0x8129a5a6f507280d
	key := KeyOf(&h)
	if got := key.id(1_700_000_000_000_000_000, 0); got != want {
		t.Errorf("identifier %#x, want %#x: identifiers of stored flows would change", got, uint64(want))
	}
}

func TestShardHash(t *testing.T) {
	there := headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
	back := headersOf(packet.TCP, "10.0.0.2", "10.0.0.1", 80, 1000)
	fragment := there
	fragment.Has, fragment.SrcPort, fragment.DstPort = packet.Fragment|packet.LaterFragment, 0, 0
	if a, b, c := ShardHash(&there), ShardHash(&back), ShardHash(&fragment); a != b || a != c {
		t.Errorf("ShardHash %#x, the other way %#x, of a fragment %#x: want one", a, b, c)
	}
	const shards, hosts = 4, 4000
	var count [shards]int
	for i := range hosts {
		h := there
		h.Src[2], h.Src[3] = byte(i>>8), byte(i)
		count[ShardHash(&h)%shards]++
	}
	for shard, n := range count {
		if n < hosts/shards*8/10 || n > hosts/shards*12/10 {
			t.Errorf("shard %d gets %d of %d pairs, want about %d", shard, n, hosts, hosts/shards)
		}
	}
}
