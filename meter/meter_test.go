package meter

import (
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// traffic makes n packets between few hosts, seeded: several flows per pair of addresses,
// fragments, packets out of order in time, and silences longer than a flow lives.
func traffic(t *testing.T, n int) []capture.Packet {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	now := int64(1_700_000_000_000_000_000)
	var all []capture.Packet
	for range n {
		now += r.Int64N(50_000_000)
		if r.IntN(500) == 0 {
			now += int64(2 * time.Hour)
		}
		at := now
		if r.IntN(20) == 0 {
			at -= r.Int64N(3_000_000_000)
		}
		src, dst := net.IPv4(10, 0, 0, byte(r.IntN(6))), net.IPv4(10, 0, 1, byte(r.IntN(4)))
		if r.IntN(2) == 0 {
			src, dst = dst, src
		}
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: uint8(r.IntN(256)), SrcIP: src, DstIP: dst, Id: uint16(r.IntN(4)), Protocol: layers.IPProtocolUDP}
		payload := make(gopacket.Payload, r.IntN(200))
		var transport gopacket.SerializableLayer
		switch r.IntN(3) {
		case 0:
			ip.Protocol = layers.IPProtocolTCP
			tcp := &layers.TCP{SrcPort: layers.TCPPort(1000 + r.IntN(3)), DstPort: 443, SYN: r.IntN(3) == 0, ACK: r.IntN(2) == 0, FIN: r.IntN(9) == 0}
			must(t, tcp.SetNetworkLayerForChecksum(ip))
			transport = tcp
		case 1:
			udp := &layers.UDP{SrcPort: layers.UDPPort(1000 + r.IntN(3)), DstPort: 53}
			must(t, udp.SetNetworkLayerForChecksum(ip))
			transport = udp
			if r.IntN(4) == 0 {
				ip.Flags = layers.IPv4MoreFragments
			}
		default:
			ip.FragOffset = uint16(r.IntN(2))
			transport = gopacket.Payload{1, 2, 3, 4, 5, 6, 7, 8}
		}
		buf := gopacket.NewSerializeBuffer()
		must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}, ip, transport, payload))
		data := buf.Bytes()
		all = append(all, capture.Packet{Nanos: at, Data: data, WireLen: len(data), Link: packet.LinkType(layers.LinkTypeEthernet)})
	}
	return all
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recorder writes down what a Handler sees.
type recorder struct{ queue Queue[string] }

func (r *recorder) Packet(p *Packet) {
	if p.Joined {
		o := p.Flow.Opening.Payloads
		r.queue.Put(p.Ordinal, p.Flow.FirstPacket, fmt.Sprintf("packet %d of %x joined: %d payloads, last %d bytes", p.Ordinal, p.Flow.ID, len(o), o[len(o)-1].Len))
	}
}

func (r *recorder) Ended(f *flow.Flow, at uint64) {
	r.queue.Put(at, f.FirstPacket, fmt.Sprintf("flow %x ended at %d: %v %v %v %d-%d", f.ID, at, f.Reason, f.Packets, f.Bytes, f.Start, f.Last))
}

// meterAll returns everything that comes out of packets, in order.
func meterAll(t *testing.T, all []capture.Packet, cfg Config, workers int) (lines []string, c Counters) {
	t.Helper()
	var queues []*Queue[string]
	drain := func() { Drain(queues, func(s string) { lines = append(lines, s) }) }
	cfg.OnWindow = func(w *window.Window) {
		drain()
		lines = append(lines, fmt.Sprintf("window %d: %v late %d", w.Start, w.Vector(), w.Late))
	}
	m, err := New(cfg, workers, func(int) Handler {
		r := new(recorder)
		queues = append(queues, &r.queue)
		return r
	})
	must(t, err)
	for len(all) > 0 {
		n := min(len(all), 97)
		m.Add(all[:n])
		drain()
		all = all[n:]
	}
	m.Close()
	drain()
	return lines, m.Counters()
}

func TestSameResultsForAnyNumberOfWorkers(t *testing.T) {
	all := traffic(t, 4000)
	for _, lateness := range []time.Duration{time.Second, -1} {
		cfg := Config{Window: 5 * time.Second, Lateness: lateness}
		want, wantCounters := meterAll(t, all, cfg, 1)
		if wantCounters.Flow.Flows < 50 || wantCounters.Window.Windows < 20 || wantCounters.Flow.FragmentsJoined == 0 {
			t.Fatalf("the traffic is too dull: %+v", wantCounters)
		}
		for _, workers := range []int{2, 3, 8} {
			got, counters := meterAll(t, all, cfg, workers)
			if !reflect.DeepEqual(counters, wantCounters) {
				t.Errorf("%d workers: counters\n got %+v\nwant %+v", workers, counters, wantCounters)
			}
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("%d workers, lateness %v: line %d\n got %s\nwant %s", workers, lateness, i, got[i], want[i])
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d workers: %d lines, want %d", workers, len(got), len(want))
			}
		}
	}
}

func TestWindowsCloseBeforeThePacketThatShowsTheyAreOver(t *testing.T) {
	all := traffic(t, 1)
	second := all[0]
	second.Nanos += int64(time.Minute)
	closed := 0
	m, err := New(Config{NoFlows: true, Window: time.Second, Lateness: time.Second, OnWindow: func(w *window.Window) { closed++ }}, 1, nil)
	must(t, err)
	m.Add(all)
	if closed != 0 {
		t.Errorf("%d windows closed after the first packet, want none", closed)
	}
	m.Add([]capture.Packet{second})
	if closed != 59 {
		t.Errorf("%d windows closed a minute later, want 59: all but that within the lateness", closed)
	}
	m.Close()
	if closed != 61 {
		t.Errorf("%d windows in all, want 61", closed)
	}
}

func TestNothingAllocatedPerPacket(t *testing.T) {
	// UDP alone: a SYN on a closed flow would start a new one each time round.
	var h packet.Headers
	all := slices.DeleteFunc(traffic(t, 500), func(p capture.Packet) bool {
		return h.Decode(p.Link, p.Data, p.WireLen) != packet.OK || h.Proto != packet.UDP || h.Has&packet.Fragment != 0
	})
	m, err := New(Config{Window: 24 * time.Hour, Lateness: -1, Flow: flow.Config{Lifetime: 24 * time.Hour}}, 1, func(int) Handler { return silent{} })
	must(t, err)
	for range 12 { // until the openings are full
		m.Add(all)
	}
	if got := testing.AllocsPerRun(20, func() { m.Add(all) }); got > 0 {
		t.Errorf("%.0f allocations for %d packets of known flows, want none", got, len(all))
	}
}

type silent struct{}

func (silent) Packet(*Packet)           {}
func (silent) Ended(*flow.Flow, uint64) {}

func BenchmarkMeter(b *testing.B) {
	all := traffic(new(testing.T), 4000)
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			m, err := New(Config{Window: 5 * time.Second, Lateness: time.Second, OnWindow: func(*window.Window) {}}, workers, func(int) Handler { return silent{} })
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				m.Add(all)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(all)), "ns/packet")
		})
	}
}
