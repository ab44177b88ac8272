package flow

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

const second = int64(time.Second)

// script drives a table with packets written as "A>B flags" and collects the flows that end.
type script struct {
	*Table
	ended   []Flow
	ordinal uint64
}

func newScript(cfg Config) *script {
	s := &script{}
	cfg.OnEnd = func(f *Flow) { s.ended = append(s.ended, recordOf(f)) }
	s.Table = New(cfg)
	return s
}

// tcp sends a segment with a payload of n bytes between host a's port 1000 and host b's port 80, where
// hosts are last bytes of addresses; from is the sender.
func (s *script) tcp(nanos int64, from, a, b byte, flags uint8, n int) (Ref, Direction, bool) {
	h := headersOf(packet.TCP, fmt.Sprintf("10.0.0.%d", a), fmt.Sprintf("10.0.0.%d", b), 1000, 80)
	if from == b {
		h.Src, h.Dst, h.SrcPort, h.DstPort = h.Dst, h.Src, h.DstPort, h.SrcPort
	}
	h.TCPFlags, h.Has = flags, h.Has|packet.HasFlags
	return s.send(h, nanos, n)
}

// send counts a packet with a payload of n bytes of which at most 784 were captured.
func (s *script) send(h packet.Headers, nanos int64, n int) (Ref, Direction, bool) {
	h.IPLen = 40 + n
	h.PayloadWireLen = n
	h.PayloadOffset = 54
	h.PayloadLen = min(n, 784)
	data := make([]byte, 54+h.PayloadLen)
	for i := range h.PayloadLen {
		data[54+i] = byte(s.ordinal)
	}
	p := capture.Packet{Nanos: nanos, Data: data, WireLen: 54 + n}
	s.ordinal++
	return s.Update(&h, &p, s.ordinal-1)
}

// summary says in one line per flow what ended: first packet, packets each way, reason.
func (s *script) summary() string {
	var b strings.Builder
	for _, f := range s.ended {
		fmt.Fprintf(&b, "%d:%d+%d %v, ", f.FirstPacket, f.Packets[0], f.Packets[1], f.Reason)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

func TestUpdateCountsBothDirections(t *testing.T) {
	s := newScript(Config{})
	s.tcp(5*second, 9, 9, 1, packet.SYN, 0) // the originator has the higher address
	s.tcp(6*second, 1, 9, 1, packet.SYN|packet.ACK, 0)
	f, dir, _ := s.tcp(7*second, 9, 9, 1, packet.ACK|packet.PSH, 100)
	if dir != Originator || f.PacketCount() != 3 {
		t.Errorf("third packet: direction %d, packet-in count %d, want 0, 3", dir, f.PacketCount())
	}
	if _, dir, _ = s.tcp(8*second, 1, 9, 1, packet.ACK, 1000); dir != Responder {
		t.Errorf("fourth packet: direction %d, want 1", dir)
	}
	s.Flush(ForcedEnd)
	if len(s.ended) != 1 {
		t.Fatalf("%d flows, want 1", len(s.ended))
	}
	got := s.ended[0]
	if got.Key.Source().String() != "10.0.0.9:1000" || got.Key.Destination().String() != "10.0.0.1:80" {
		t.Errorf("flow from %v to %v, want from 10.0.0.9:1000 to 10.0.0.1:80", got.Key.Source(), got.Key.Destination())
	}
	want := Flow{
		Packets: [2]uint64{2, 2}, Bytes: [2]uint64{54 + 154, 54 + 1054}, IPBytes: [2]uint64{40 + 140, 40 + 1040},
		PayloadBytes: [2]uint64{100, 1000}, Flags: [2]uint8{packet.SYN | packet.ACK | packet.PSH, packet.SYN | packet.ACK},
	}
	if got.Packets != want.Packets || got.Bytes != want.Bytes || got.IPBytes != want.IPBytes || got.PayloadBytes != want.PayloadBytes || got.Flags != want.Flags {
		t.Errorf("counts\n got %+v\nwant %+v", got, want)
	}
	if got.Start != 5*second || got.Last != 8*second || got.Reason != ForcedEnd || got.Label.Class != NoClass {
		t.Errorf("start %d, last %d, reason %v, class %d", got.Start, got.Last, got.Reason, got.Label.Class)
	}
}

func TestDirectional(t *testing.T) {
	s := newScript(Config{Directional: true})
	s.tcp(1, 9, 9, 1, packet.SYN, 0)
	s.tcp(2, 1, 9, 1, packet.SYN|packet.ACK, 0)
	s.tcp(3, 9, 9, 1, packet.ACK, 0)
	s.Flush(ForcedEnd)
	if got, want := s.summary(), "0:2+0 forced_end, 1:1+0 forced_end"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNotIPIsNoFlow(t *testing.T) {
	s := newScript(Config{})
	if f, _, _ := s.Update(&packet.Headers{}, &capture.Packet{}, 0); f.Exists() {
		t.Errorf("a packet that is not IP got a flow")
	}
	if got := s.Stats().Alive; got != 0 {
		t.Errorf("%d flows, want 0", got)
	}
}

func TestLifetime(t *testing.T) {
	const life = 3600 * second
	tests := []struct {
		name   string
		cfg    Config
		times  []int64 // of packets of one flow
		sweeps []int64 // after them
		want   string
	}{
		{"each packet renews it", Config{}, []int64{0, life - 1, 2*life - 2}, []int64{3*life - 3}, ""},
		{"over at the lifetime", Config{}, []int64{0, life}, nil, "0:1+0 idle_timeout"},
		{"sweep before the lifetime", Config{}, []int64{0}, []int64{life - 1}, ""},
		{"sweep at the lifetime", Config{}, []int64{0}, []int64{life}, "0:1+0 idle_timeout"},
		{"sweep sees renewal", Config{}, []int64{0, 10}, []int64{life, life + 9}, ""},
		{"sweep after renewal", Config{}, []int64{0, 10}, []int64{life, life + 10}, "0:2+0 idle_timeout"},
		{"time backwards shortens nothing", Config{}, []int64{life, 0, life + life - 1}, []int64{2 * life}, ""},
		{"time backwards starts nothing", Config{}, []int64{5 * life, 0, 1}, []int64{life}, ""},
		{"lifetime of a second", Config{Lifetime: time.Second}, []int64{0, second - 1, 2 * second}, nil, "0:2+0 idle_timeout"},
		{"no active timeout", Config{}, []int64{0, life / 2, life, life + life/2}, nil, ""},
		{"active timeout", Config{Active: time.Minute}, []int64{0, 30 * second, 60 * second}, nil, "0:2+0 active_timeout"},
		{"active timeout by sweep", Config{Active: time.Minute}, []int64{0, 30 * second}, []int64{60*second - 1, 60 * second}, "0:2+0 active_timeout"},
		{"idle before active", Config{Active: time.Minute, Lifetime: time.Second}, []int64{0}, []int64{90 * second}, "0:1+0 idle_timeout"},
		{"the end of time", Config{}, []int64{1<<63 - 2}, []int64{1<<63 - 2}, ""},
		{"the start of time", Config{}, []int64{-1 << 63, 1<<63 - 2}, nil, "0:1+0 idle_timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(tt.cfg)
			for _, nanos := range tt.times {
				s.tcp(nanos, 1, 1, 2, packet.ACK, 0)
			}
			for _, now := range tt.sweeps {
				s.Sweep(now)
			}
			if got := s.summary(); got != tt.want {
				t.Errorf("ended: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestClosing(t *testing.T) {
	const syn, ack, fin, rst = packet.SYN, packet.ACK, packet.FIN, packet.RST
	tests := []struct {
		name string
		says string // who sends what: "1S" is a SYN of host 1, "2SA" a SYN and ACK of host 2
		want string // after a Flush
	}{
		{"fin both ways, then syn", "1S 2SA 1FA 2FA 1A 1S", "0:3+2 end_of_flow, 5:1+0 forced_end"},
		{"fin both ways alone", "1S 2SA 1FA 2FA 1A 2A", "0:3+3 end_of_flow"},
		{"fin one way, then syn", "1S 2SA 1FA 2A 1S", "0:3+2 forced_end"},
		{"rst, then syn", "1S 2RA 1S 2RA", "0:1+1 end_of_flow, 2:1+1 end_of_flow"},
		{"rst, then more", "1S 2SA 1R 2A 2A", "0:2+3 end_of_flow"},
		{"rst, then syn and ack", "1S 2R 2SA", "0:1+2 end_of_flow"},
		{"syn repeated", "1S 1S 1S 2SA", "0:3+1 forced_end"},
		{"the other end opens anew", "1S 2RA 2S", "0:1+1 end_of_flow, 2:1+0 forced_end"},
		{"one end seen, fin, syn", "1S 1FA 1S", "0:2+0 end_of_flow, 2:1+0 forced_end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(Config{})
			for i, word := range strings.Fields(tt.says) {
				var flags uint8
				for _, c := range word[1:] {
					flags |= map[rune]uint8{'S': syn, 'A': ack, 'F': fin, 'R': rst}[c]
				}
				s.tcp(int64(i), word[0]-'0', 1, 2, flags, 0)
			}
			s.Flush(ForcedEnd)
			if got := s.summary(); got != tt.want {
				t.Errorf("ended: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFlowIDsDiffer(t *testing.T) {
	s := newScript(Config{})
	for range 3 { // three connections with one key at one time
		s.tcp(7, 1, 1, 2, packet.SYN, 0)
		s.tcp(7, 2, 1, 2, packet.RST, 0)
	}
	s.tcp(7, 1, 1, 3, packet.SYN, 0)
	s.tcp(8, 1, 1, 3, packet.RST, 0)
	s.tcp(9, 1, 1, 3, packet.SYN, 0)
	s.Flush(ForcedEnd)
	seen := map[uint64]bool{}
	for _, f := range s.ended {
		seen[f.ID()] = true
	}
	if len(s.ended) != 5 || len(seen) != 5 {
		t.Errorf("%d flows with %d identifiers, want 5 and 5", len(s.ended), len(seen))
	}
}

func TestEndsAreInOrderOfFirstPackets(t *testing.T) {
	for _, flush := range []bool{false, true} {
		s := newScript(Config{})
		for host := byte(100); host > 0; host-- { // later flows go idle sooner
			s.tcp(second*int64(host), host, host, 200, packet.ACK, 0)
		}
		if flush {
			s.Flush(ForcedEnd)
		} else {
			s.Sweep(1 << 62)
		}
		inOrder := slices.IsSortedFunc(s.ended, func(a, b Flow) int { return int(a.FirstPacket) - int(b.FirstPacket) })
		if len(s.ended) != 100 || !inOrder {
			t.Errorf("flush %v: %d flows ended, in order %v; want 100 in order", flush, len(s.ended), inOrder)
		}
		if got := s.Stats(); got.Alive != 0 || got.Flows != 100 {
			t.Errorf("flush %v: %d of %d flows alive, want 0 of 100", flush, got.Alive, got.Flows)
		}
	}
}

func TestMaxFlows(t *testing.T) {
	s := newScript(Config{MaxFlows: 4})
	s.tcp(1, 1, 1, 9, packet.SYN, 0) // 0: both ends, idle for longest
	s.tcp(1, 9, 1, 9, packet.ACK, 0)
	s.tcp(2, 2, 2, 9, packet.SYN, 0) // 2: one end, but with a label
	f, _, _ := s.tcp(2, 2, 2, 9, packet.ACK, 0)
	f.SetLabel(Label{Class: 3})
	s.tcp(3, 3, 3, 9, packet.SYN, 0)     // 4: one end
	s.tcp(4, 4, 4, 9, packet.SYN, 0)     // 5: one end
	s.tcp(5, 3, 3, 9, packet.SYN, 0)     // 4 again: now 5 is idle for longer
	s.tcp(6, 5, 5, 9, packet.SYN, 0)     // 7 evicts 5
	s.tcp(7, 6, 6, 9, packet.SYN, 0)     // 8 evicts 4
	s.tcp(8, 5, 5, 9, packet.RST, 0)     // 7 is closed now
	s.tcp(9, 6, 6, 9, packet.SYN, 0)     // and 8 idle for shorter
	s.tcp(10, 9, 6, 9, packet.ACK, 0)    // and seen from both ends
	s.tcp(11, 7, 7, 9, packet.SYN, 0)    // 12 evicts 7, which had ended anyway
	s.tcp(12, 9, 7, 9, packet.ACK, 0)    // all are dear now
	s.tcp(13, 8, 8, 9, packet.SYN, 0)    // 14 evicts 0
	s.tcp(14, 10, 10, 9, packet.SYN, 10) // 15 evicts 14, the only cheap one
	want := "5:1+0 lack_of_resources, 4:2+0 lack_of_resources, 7:2+0 end_of_flow, 0:1+1 lack_of_resources, 14:1+0 lack_of_resources"
	if got := s.summary(); got != want {
		t.Errorf("ended:\n got %s\nwant %s", got, want)
	}
	stats := s.Stats()
	if stats.Alive != 4 || stats.Evicted != [NumWorths]uint64{4, 1, 0} || stats.Ended[LackOfResources] != 4 {
		t.Errorf("alive %d, evicted %d, for lack of resources %d; want 4, [4 1 0], 4", stats.Alive, stats.Evicted, stats.Ended[LackOfResources])
	}
}

func TestFragments(t *testing.T) {
	first := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 1000, 53)
	first.Has |= packet.Fragment
	first.FragID = 7
	later := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 0, 0)
	later.Has = packet.Fragment | packet.LaterFragment
	later.FragID = 7
	with := func(h packet.Headers, change func(*packet.Headers)) packet.Headers {
		change(&h)
		return h
	}
	back := with(later, func(h *packet.Headers) { h.Src, h.Dst = h.Dst, h.Src })
	other := with(later, func(h *packet.Headers) { h.FragID = 8 })
	tcpLater := with(later, func(h *packet.Headers) { h.Proto = packet.TCP })
	answer := headersOf(packet.UDP, "10.0.0.2", "10.0.0.1", 53, 1000)
	zero := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 0, 0) // ports that are 0

	first6 := headersOf(packet.UDP, "2001:db8::1", "2001:db8::2", 1000, 53)
	first6.Has, first6.FragID = first6.Has|packet.Fragment, 7
	later6 := headersOf(60, "2001:db8::1", "2001:db8::2", 0, 0) // the fragment header names options
	later6.Has, later6.FragID = packet.Fragment|packet.LaterFragment, 7

	type sent struct {
		at int64
		h  packet.Headers
	}
	tests := []struct {
		name    string
		packets []sent
		want    string
	}{
		{"join the flow of the first", []sent{{0, first}, {1, later}, {2, later}, {3, answer}}, "0:3+1 forced_end"},
		{"the first is not known", []sent{{0, later}, {1, later}}, "0:2+0 forced_end"},
		{"the first comes last", []sent{{0, later}, {1, first}, {2, later}}, "0:1+0 forced_end, 1:2+0 forced_end"},
		{"other packets", []sent{{0, first}, {1, other}, {2, back}, {3, tcpLater}}, "0:1+0 forced_end, 1:1+0 forced_end, 2:1+0 forced_end, 3:1+0 forced_end"},
		{"never port 0", []sent{{0, zero}, {1, other}}, "0:1+0 forced_end, 1:1+0 forced_end"},
		{"too late", []sent{{0, first}, {30 * second, later}}, "0:1+0 forced_end, 1:1+0 forced_end"},
		{"too early", []sent{{30 * second, first}, {0, later}}, "0:1+0 forced_end, 1:1+0 forced_end"},
		{"an age apart", []sent{{-1 << 63, first}, {1<<63 - 1, later}}, "0:1+0 forced_end, 1:1+0 forced_end"},
		{"just in time", []sent{{0, first}, {30*second - 1, later}}, "0:2+0 forced_end"},
		{"ipv6 without regard to the protocol", []sent{{0, first6}, {1, later6}}, "0:2+0 forced_end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(Config{})
			for _, p := range tt.packets {
				s.send(p.h, p.at, 100)
			}
			s.Flush(ForcedEnd)
			if got := s.summary(); got != tt.want {
				t.Errorf("ended: got %q, want %q", got, tt.want)
			}
		})
	}
}

// Keys says of fragments, without a table, what a table makes of them.
func TestKeysOfFragments(t *testing.T) {
	first := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 1000, 53)
	first.Has |= packet.Fragment
	first.FragID = 7
	later := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 0, 0)
	later.Has = packet.Fragment | packet.LaterFragment
	later.FragID = 7
	keys := NewKeys()
	for i, tt := range []struct {
		h    packet.Headers
		at   int64
		want Key
	}{
		{later, 0, KeyOf(&later)}, // its first is not known yet
		{first, 1, KeyOf(&first)},
		{later, 2, KeyOf(&first)},
		{later, 40 * second, KeyOf(&later)},
	} {
		if got := keys.Key(&tt.h, tt.at); got != tt.want {
			t.Errorf("packet %d: got key %v, want %v", i, got, tt.want)
		}
	}
}

func TestFragmentCacheIsBounded(t *testing.T) {
	s := newScript(Config{FragmentCache: 10})
	first := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 1000, 53)
	first.Has |= packet.Fragment
	later := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 0, 0)
	later.Has = packet.Fragment | packet.LaterFragment
	for id := range uint32(100) {
		first.FragID = id
		s.send(first, second, 10)
	}
	for id := range uint32(100) {
		later.FragID = id
		f, _, _ := s.send(later, second, 10)
		if joined := f.Key().Kind == Ports; joined != (id >= 90) {
			t.Errorf("later fragment of %d joined the first: %v, want the last ten to", id, joined)
		}
	}
	got := s.Stats()
	if got.FragmentsJoined != 10 || got.FragmentsAlone != 90 || got.FragmentsEvicted != 90 {
		t.Errorf("joined %d, alone %d, evicted %d; want 10, 90, 90", got.FragmentsJoined, got.FragmentsAlone, got.FragmentsEvicted)
	}
	if n := len(s.fragments.places); n != 10 {
		t.Errorf("%d first fragments remembered, want 10", n)
	}
}

func TestICMP(t *testing.T) {
	s := newScript(Config{})
	s.send(headersOf(packet.ICMP, "10.0.0.2", "10.0.0.1", 8, 0), 0, 56)
	s.send(headersOf(packet.ICMP, "10.0.0.1", "10.0.0.2", 0, 0), 1, 56)
	s.send(headersOf(packet.ICMP, "10.0.0.1", "10.0.0.2", 3, 3), 2, 28) // unreachable: one way
	s.send(headersOf(packet.ICMP, "10.0.0.2", "10.0.0.1", 3, 3), 3, 28)
	s.send(headersOf(packet.ICMPv6, "2001:db8::1", "2001:db8::2", 135, 0), 4, 24)
	s.send(headersOf(packet.ICMPv6, "2001:db8::2", "2001:db8::1", 136, 0), 5, 24)
	s.Flush(ForcedEnd)
	if got, want := s.summary(), "0:1+1 forced_end, 2:1+0 forced_end, 3:1+0 forced_end, 4:1+1 forced_end"; got != want {
		t.Errorf("ended: got %q, want %q", got, want)
	}
}

func TestTimeBackwardsIsCounted(t *testing.T) {
	s := newScript(Config{})
	for _, nanos := range []int64{5, 3, 4, 5, 6} {
		s.tcp(nanos, 1, 1, 2, packet.ACK, 0)
	}
	s.Flush(ForcedEnd)
	if got := s.Stats().TimeBackwards; got != 2 {
		t.Errorf("%d packets older than their flow, want 2", got)
	}
	if f := s.ended[0]; f.Start != 5 || f.Last != 6 {
		t.Errorf("flow from %d to %d, want from 5 to 6", f.Start, f.Last)
	}
}

func TestNames(t *testing.T) {
	for r := EndReason(0); r < NumEndReasons; r++ {
		if r.String() == "" || r.String() == "unknown" {
			t.Errorf("EndReason(%d) has no name", r)
		}
	}
	if got := EndReason(99).String(); got != "unknown" {
		t.Errorf("EndReason(99) is %q, want unknown", got)
	}
	if got := fmt.Sprint(NoSource, FromPacket, FromFlow); got != " packet flow" {
		t.Errorf("sources are %q, want %q", got, " packet flow")
	}
}
