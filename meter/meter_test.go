package meter

import (
	"encoding/binary"
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
type recorder struct{ queue *Queue[string] }

func (r *recorder) Packet(p *Packet) {
	if p.Joined {
		o := p.Flow.Opening(nil)
		r.queue.Put(p.Ordinal, p.Flow.FirstPacket(), fmt.Sprintf("packet %d of %x joined: %d payloads, last %d bytes %x %s", p.Ordinal, p.Flow.ID(), len(o), o[len(o)-1].Len, o[len(o)-1].Data, p.Capture.Comment))
	}
	p.Flow.SetLabel(flow.Label{Class: int32(p.Flow.ID() % 3)})
}

func (r *recorder) Ended(f *flow.Flow, at uint64) {
	r.queue.Put(at, f.FirstPacket, fmt.Sprintf("flow %x ended at %d: %v %v %v %d-%d", f.ID(), at, f.Reason, f.Packets, f.Bytes, f.Start, f.Last))
}

// meterAll returns everything that comes out of packets, in order, given batch packets at a time.
func meterAll(t *testing.T, all []capture.Packet, cfg Config, workers, batch int) (lines []string, c Counters) {
	t.Helper()
	found := NewFindings(func(s string) { lines = append(lines, s) })
	cfg.Found = found
	cfg.OnWindow = func(w *window.Window) {
		lines = append(lines, fmt.Sprintf("window %d: %v late %d labels %v", w.Start, w.Vector(), w.Late, w.Labels()))
	}
	var m *Meter
	cfg.Every = 10 * time.Second
	cfg.OnTick = func(nanos int64) {
		lines = append(lines, fmt.Sprintf("tick at %d: %+v", nanos, m.Counters()))
	}
	m, err := New(cfg, workers, func(i int) Handler { return &recorder{found.Queue(i)} })
	must(t, err)
	given := make([]capture.Packet, 0, batch)
	for len(all) > 0 {
		n := min(len(all), batch)
		given = clonePackets(given[:0], all[:n])
		m.Add(given)
		for i := range given { // which are the caller's again
			clear(given[i].Data)
			given[i] = capture.Packet{Nanos: -1}
		}
		all = all[n:]
		if n < 50 && len(all)%5 == 0 {
			m.Wait()
		}
	}
	m.Close()
	return lines, m.Counters()
}

// clonePackets appends packets with bytes of their own.
func clonePackets(dst, all []capture.Packet) []capture.Packet {
	for _, p := range all {
		p.Data, p.Comment = slices.Clone(p.Data), slices.Clone(p.Comment)
		dst = append(dst, p)
	}
	return dst
}

// at is a copy of a packet at another time.
func at(p capture.Packet, nanos int64) capture.Packet {
	p.Nanos = nanos
	return p
}

// Times that clocks which are wrong say.
var (
	year1970 = int64(time.Hour)
	year2100 = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
)

// streams are packets with times as captures have them.
func streams(t *testing.T) map[string][]capture.Packet {
	all := traffic(t, 4000)
	overlapping := slices.Clone(all[:2000])
	for _, p := range all[1000:3000] {
		overlapping = append(overlapping, at(p, p.Nanos-7e9)) // the second file
	}
	wrong := slices.Clone(all)
	wrong[0].Nanos = year2100
	wrong[700].Nanos, wrong[701].Nanos = year2100, year2100+1e9
	wrong[1500].Nanos = year1970
	wrong[3999].Nanos = year2100
	return map[string][]capture.Packet{"one file": all, "overlapping files": overlapping, "wrong clocks": wrong}
}

func TestSameResultsForAnyWorkersAndBatches(t *testing.T) {
	for name, all := range streams(t) {
		for _, lateness := range []time.Duration{time.Second, -1} {
			cfg := Config{Window: 5 * time.Second, Lateness: lateness, MaxGap: 100}
			want, wantCounters := meterAll(t, all, cfg, 1, len(all))
			if wantCounters.Flow.Flows < 50 || wantCounters.Window.Windows < 20 || wantCounters.Flow.FragmentsJoined == 0 {
				t.Fatalf("%s: the traffic is too dull: %+v", name, wantCounters)
			}
			for _, run := range []struct{ workers, batch int }{{1, 1}, {1, 7}, {1, 97}, {2, 97}, {3, 1}, {3, 4000}, {8, 7}} {
				got, counters := meterAll(t, all, cfg, run.workers, run.batch)
				if !reflect.DeepEqual(counters, wantCounters) {
					t.Errorf("%s, %+v: counters\n got %+v\nwant %+v", name, run, counters, wantCounters)
				}
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Fatalf("%s, %+v, lateness %v: line %d\n got %s\nwant %s", name, run, lateness, i, got[i], want[i])
					}
				}
				if len(got) != len(want) {
					t.Errorf("%s, %+v: %d lines, want %d", name, run, len(got), len(want))
				}
			}
		}
	}
}

// even is n packets of one UDP flow, a tenth of a second apart.
func even(t *testing.T, n int) []capture.Packet {
	t.Helper()
	var h packet.Headers
	one := traffic(t, 50)
	i := slices.IndexFunc(one, func(p capture.Packet) bool {
		return h.Decode(p.Link, p.Data, p.WireLen) == packet.OK && h.Proto == packet.UDP && h.Has&packet.Fragment == 0
	})
	all := make([]capture.Packet, n)
	for k := range all {
		all[k] = at(one[i], 1_700_000_000e9+int64(k)*1e8)
	}
	return all
}

func TestWrongClockOfFewPacketsMovesNothing(t *testing.T) {
	quiet := Config{Window: time.Second, Lateness: time.Second, MaxGap: 10}
	for _, test := range []struct {
		name     string
		wrong    map[int]int64
		outliers uint64
		late     uint64
	}{
		{"none", nil, 0, 0},
		{"first in 2100", map[int]int64{0: year2100}, 1, 0},
		{"first in 1970", map[int]int64{0: year1970}, 0, 0},
		{"one in 2100", map[int]int64{100: year2100}, 1, 0},
		{"last in 2100", map[int]int64{199: year2100}, 1, 0},
		{"eight in 2100", map[int]int64{100: year2100, 101: year2100, 102: year2100, 103: year2100, 104: year2100, 105: year2100, 106: year2100, 107: year2100}, 8, 0},
		{"one in 1970", map[int]int64{100: year1970}, 0, 1},
	} {
		all := even(t, 200)
		for i, nanos := range test.wrong {
			all[i].Nanos = nanos
		}
		_, c := meterAll(t, all, quiet, 2, 64)
		if test.name != "first in 1970" && c.Window.Empty != 0 {
			t.Errorf("%s: %d empty windows, want none", test.name, c.Window.Empty)
		}
		if c.TimeOutliers != test.outliers || c.Window.Late != test.late {
			t.Errorf("%s: %d outliers and %d late packets, want %d and %d", test.name, c.TimeOutliers, c.Window.Late, test.outliers, test.late)
		}
	}

	// Flows that the packet does not belong to live on.
	all := traffic(t, 300)
	for i := range all {
		all[i].Nanos = 1_700_000_000e9 + int64(i)*1e6
	}
	_, want := meterAll(t, all, Config{}, 1, 64)
	all[250].Nanos = year2100
	_, got := meterAll(t, all, Config{}, 1, 64)
	if got.Flow.Flows > want.Flow.Flows+2 {
		t.Errorf("%d flows with one packet in 2100, want at most two more than %d", got.Flow.Flows, want.Flow.Flows)
	}
}

func TestSilenceLosesNothing(t *testing.T) {
	all := even(t, 300)
	for i := 100; i < 300; i++ {
		all[i].Nanos += int64(5 * time.Hour)
	}
	var packets uint64
	closed := 0
	m, err := New(Config{NoFlows: true, Window: time.Second, Lateness: time.Second, MaxGap: 10, OnWindow: func(w *window.Window) {
		packets += w.Packets()
		closed++
	}}, 1, nil)
	must(t, err)
	m.Add(all)
	if closed < 10+10+17 {
		t.Errorf("%d windows have closed, want those before the silence, ten in it, and all but two after it", closed)
	}
	m.Close()
	if c := m.Counters(); packets != 300 || c.Window.Late != 0 || c.TimeOutliers != 0 {
		t.Errorf("%d packets in windows, %d late, %d outliers, want 300, 0 and 0", packets, c.Window.Late, c.TimeOutliers)
	}

	// Packets hours apart are no outliers either, and windows close between them.
	for i := range all {
		all[i].Nanos = 1_700_000_000e9 + int64(i)*int64(2*time.Hour)
	}
	lines, c := meterAll(t, all, Config{Window: time.Second, Lateness: time.Second, MaxGap: 1}, 1, 300)
	if c.Window.Late != 0 || c.TimeOutliers > confirmations || len(lines) < 300 {
		t.Errorf("hours apart: %d late, %d outliers, want none and at most %d", c.Window.Late, c.TimeOutliers, confirmations)
	}
}

func TestOnPacketSaysWhatItsWindowCounts(t *testing.T) {
	for name, all := range streams(t) {
		want, got := map[int64]uint64{}, map[int64]uint64{}
		var next uint64
		cfg := Config{
			NoFlows: true, Window: 5 * time.Second, Lateness: time.Second, MaxGap: 10,
			OnWindow: func(w *window.Window) {
				if w.Packets() > 0 {
					want[w.Start] = w.Packets()
				}
			},
			OnPacket: func(ordinal uint64, nanos int64, h *packet.Headers, counted bool) {
				if ordinal != next {
					t.Fatalf("%s: packet %d came after %d others", name, ordinal, next)
				}
				next++
				if counted {
					got[window.Start(window.Index(nanos, 5*time.Second), 5*time.Second)]++
				}
			},
		}
		m, err := New(cfg, 2, nil)
		must(t, err)
		m.Add(all)
		m.Close()
		if next != uint64(len(all)) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %d packets told of %d, in windows:\n got %v\nwant %v", name, next, len(all), got, want)
		}
	}
}

func TestMemoryOfOpenWindowsIsBounded(t *testing.T) {
	all := even(t, 20_000)
	for i := range all {
		all[i].Nanos = 1_700_000_000e9 + int64(i)*1e9
	}
	all[100].Nanos = year2100
	cfg := Config{NoFlows: true, Window: time.Second, Lateness: -1, MaxGap: 10, WindowMemory: 1 << 20}
	want, c := meterAll(t, all, cfg, 2, len(all))
	if c.ClosedForMem == 0 || c.Window.Late != 0 {
		t.Errorf("closed %d times for memory, %d packets late, want some and none", c.ClosedForMem, c.Window.Late)
	}
	for _, batch := range []int{1, 97, 4097} {
		if got, _ := meterAll(t, all, cfg, 2, batch); !slices.Equal(got, want) {
			t.Errorf("batches of %d close other windows for memory than one batch does", batch)
		}
	}

	// A single window has nowhere to go, however large it is, even beside one far ahead.
	for i := range all {
		all[i].Nanos = 1_700_000_000e9
		all[i].Data = slices.Clone(all[i].Data)
		binary.BigEndian.PutUint32(all[i].Data[14+12:], uint32(i)) // another source
	}
	all[100].Nanos = year2100
	cfg.WindowMemory = 64 << 10
	if _, c := meterAll(t, all, cfg, 1, 97); c.ClosedForMem != 0 || c.Window.Late != 0 {
		t.Errorf("one large window: closed %d times for memory, %d packets late, want none", c.ClosedForMem, c.Window.Late)
	}
}

func TestWindowsCloseBeforeThePacketThatShowsTheyAreOver(t *testing.T) {
	all := even(t, 11)
	for i := range all {
		all[i].Nanos = 1_700_000_000e9
	}
	all[10].Nanos += int64(time.Minute)
	closed := 0
	m, err := New(Config{NoFlows: true, Window: time.Second, Lateness: time.Second, OnWindow: func(w *window.Window) { closed++ }}, 1, nil)
	must(t, err)
	m.Add(all[:10])
	if closed != 0 {
		t.Errorf("%d windows closed after the first packets, want none", closed)
	}
	m.Add(all[10:])
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

// However many flows are over at one place of the stream, few findings are held at once, and what is told
// is the same.
func TestManyFlowsEndInParts(t *testing.T) {
	for name, all := range streams(t) {
		for _, cfg := range []Config{
			{Flow: flow.Config{Lifetime: 1000 * time.Hour}}, // all flows end with the stream
			{Window: 5 * time.Second, Lateness: time.Second, MaxGap: 100},
			{Flow: flow.Config{Lifetime: 10 * time.Second}, Window: 5 * time.Second, Lateness: -1, MaxGap: 100},
		} {
			want, counters := meterAll(t, all, cfg, 1, len(all))
			for _, run := range []struct{ workers, batch, most int }{{1, 97, 1}, {1, len(all), 20}, {2, 1, 20}, {3, 97, 5}, {8, len(all), 20}} {
				cfg.mostEnded = run.most
				got, gotCounters := meterAll(t, all, cfg, run.workers, run.batch)
				if !reflect.DeepEqual(gotCounters, counters) {
					t.Errorf("%s, %+v: counters\n got %+v\nwant %+v", name, run, gotCounters, counters)
				}
				if i := firstDifference(got, want); i >= 0 {
					t.Fatalf("%s, %+v: line %d\n got %s\nwant %s", name, run, i, got[min(i, len(got)-1)], want[min(i, len(want)-1)])
				}
			}
		}
	}

	// Flows of one packet each, as in a flood, a silence, and some packets that show that they are over.
	flood := even(t, 5000)
	for i := range flood {
		flood[i].Nanos = 1_700_000_000e9 + int64(i)*1e4
		flood[i].Data = slices.Clone(flood[i].Data)
		binary.BigEndian.PutUint32(flood[i].Data[14+12:], uint32(i))
		if i >= 4900 {
			flood[i].Nanos += int64(2 * time.Hour)
		}
	}
	for _, workers := range []int{1, 3} {
		most, ended := 0, 0
		var found *Findings[uint64]
		found = NewFindings(func(first uint64) {
			if first < 4900 && first != uint64(ended) {
				t.Fatalf("flow %d ended after %d others, want them in order", first, ended)
			}
			ended++
			most = max(most, len(found.list))
		})
		m, err := New(Config{Found: found, mostEnded: 64}, workers, func(i int) Handler { return endings{found.Queue(i)} })
		must(t, err)
		m.Add(flood)
		m.Wait()
		if ended != 4900 || most > 64 {
			t.Errorf("%d workers: %d flows ended by a silence, at most %d told at once; want 4900 and 64", workers, ended, most)
		}
		m.Close()
		if ended != 5000 || most > 64 {
			t.Errorf("%d workers: %d flows ended in the end, at most %d told at once; want 5000 and 64", workers, ended, most)
		}
	}
}

// endings writes down which flows ended.
type endings struct{ queue *Queue[uint64] }

func (e endings) Ended(f *flow.Flow, at uint64) { e.queue.Put(at, f.FirstPacket, f.FirstPacket) }

// firstDifference returns the index of the first line that differs, -1 for none.
func firstDifference(got, want []string) int {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return i
		}
	}
	return -1
}
