package sensor

import (
	"regexp"
	"slices"
	"testing"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// A scan is told as one: who, how many ports, of whom, and how much of the score.
func TestAlertsNameWhoMovedThem(t *testing.T) {
	m := trained(t, anomaly.Default)
	alerts := run(t, m, traffic(200), 3, nil)
	scans := 0
	for _, a := range alerts {
		if s := int64(a.Start)/1e9 - 1_700_000_000; s <= 100 || s/2%7 != 0 {
			continue
		}
		scans++
		want := regexp.MustCompile(`^(\d+ SYN packets, usually none,|SYN packets .* usual) from 10\.0\.0\.66 to 10\.0\.0\.9, (200|1\d\d) ports; \d+ % of the score$`)
		if !want.MatchString(a.Summary) {
			t.Errorf("the scan is told as %q", a.Summary)
		}
		sum := 0.0
		for _, f := range a.Features {
			sum += f.Share
			if f.Usual == nil || f.Usual[0] > f.Usual[1] {
				t.Errorf("%s: usual range %v", f.Name, f.Usual)
			}
		}
		if d := sum - *a.Score; d > 1e-9*sum || d < -1e-9*sum || len(a.Features) != len(window.Names) {
			t.Errorf("%d shares add up to %v, the score is %v", len(a.Features), sum, *a.Score)
		}
		i := slices.IndexFunc(a.Features, func(f event.Feature) bool { return f.Name == "syn" })
		if i < leading(a.Features, *a.Score) {
			if got := mover(&a.Features[i], "src_ip"); got != "10.0.0.66" {
				t.Errorf("SYN packets are moved by %q: %+v", got, a.Features[i].Movers)
			}
		}
	}
	if scans < 5 {
		t.Errorf("%d of 7 scans alarmed", scans)
	}
}

// Of many packets every so many-th is kept, of all parts of the window alike, whatever came before.
func TestSampleIsEven(t *testing.T) {
	s := samples{length: windowLen}
	h := packet.Headers{Version: 4, Proto: packet.TCP, Has: packet.HasPorts}
	const n = 10*maxSeen + 7
	for i := range n {
		h.SrcPort, h.DstPort = uint16(i>>16), uint16(i)
		s.add(5, &h)
	}
	one := s.take(0)
	if one.step != 16 || len(one.items) != (n+15)/16 || one.count != n {
		t.Fatalf("%d of %d packets, every %d", len(one.items), one.count, one.step)
	}
	for k, p := range one.items {
		if i := int(p.srcPort)<<16 | int(p.dstPort); i != 16*k {
			t.Fatalf("item %d is packet %d", k, i)
		}
	}
	s.usually(one)
	if len(s.usual[0].items) > usualSeen {
		t.Errorf("%d packets are kept of a usual window", len(s.usual[0].items))
	}
	for i := range 3 * maxOpen { // clocks that are wrong
		s.add(int64(i)*int64(windowLen), &h)
	}
	if len(s.open) != maxOpen {
		t.Errorf("%d windows are sampled", len(s.open))
	}
	if again := s.take(1); len(again.items) != 1 {
		t.Errorf("window 1 has %d packets", len(again.items))
	}
}

func TestMeasuresAreOfTheFeatures(t *testing.T) {
	syn := seen{proto: packet.TCP, flags: packet.SYN | packet.ACK, srcPort: 80, dstPort: 443, ports: true}
	dns := seen{proto: packet.UDP, srcPort: 53, dstPort: 5353, ports: true}
	want := map[string][2]bool{
		"packets": {true, true}, "ttl_mean": {true, true}, "syn": {true, false}, "syn_share": {true, false}, "syn_ack": {true, false}, "syn_ack_share": {true, false},
		"psh_ack": {false, false}, "ack": {true, false}, "udp": {false, true}, "icmp": {false, false}, "src_port_53": {false, true}, "dst_port_443": {true, false},
		"src_port_443": {false, false}, "dst_ports": {true, true},
	}
	for i, name := range window.Names {
		if w, ok := want[name]; ok && (measures[i].counts(&syn) != w[0] || measures[i].counts(&dns) != w[1]) {
			t.Errorf("%s counts %v, %v, want %v", name, measures[i].counts(&syn), measures[i].counts(&dns), w)
		}
		if measures[i].what == "" {
			t.Errorf("%s has no name", name)
		}
	}
}

func BenchmarkSample(b *testing.B) {
	s := samples{length: windowLen}
	h := packet.Headers{Version: 4, Proto: packet.TCP, Has: packet.HasPorts | packet.HasFlags}
	for i := 0; b.Loop(); i++ {
		s.add(int64(i)*1000, &h)
		if i%2_000_000 == 0 && len(s.open) > 1 {
			for index := range s.open {
				s.usually(s.take(index))
			}
		}
	}
}
