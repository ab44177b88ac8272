package flow

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

func TestUpdateDoesNotAllocate(t *testing.T) {
	table := New(Config{})
	defer table.Close()
	h := headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
	h.PayloadLen, h.PayloadWireLen = 500, 500
	p := capture.Packet{Data: make([]byte, 500), WireLen: 554}
	for range 20 {
		table.Update(&h, &p, 0)
	}
	if n := testing.AllocsPerRun(1000, func() {
		p.Nanos++
		table.Sweep(p.Nanos)
		table.Expect(&h)
		f, _, _ := table.Update(&h, &p, 1)
		f.SetLabel(Label{Class: 1, Confidence: 0.5})
		f.SetTag(f.Tag() + uint32(f.Label().Class))
	}); n != 0 {
		t.Errorf("a packet of a known flow allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { ShardHash(&h) }); n != 0 {
		t.Errorf("ShardHash allocates %v times", n)
	}
	// Flows that come and go allocate nothing either, with their openings, once there is memory from
	// those before.
	for _, src := range []string{"10.0.0.1", "2001:db8::1"} {
		h := headersOf(packet.TCP, src, src, 1000, 80)
		h.PayloadLen, h.PayloadWireLen = 500, 500
		comeAndGo := func() {
			h.TCPFlags = packet.SYN
			table.Update(&h, &p, 1)
			h.TCPFlags = packet.RST
			table.Update(&h, &p, 1)
		}
		comeAndGo()
		comeAndGo()
		if n := testing.AllocsPerRun(1000, comeAndGo); n != 0 {
			t.Errorf("a flow that takes the place of another allocates %v times", n)
		}
	}
}

// traffic gives packets of random flows among so many, so that each comes from far away in memory.
type traffic struct {
	flows uint64
	state uint64
	items [MaxExpected]struct {
		h packet.Headers
		p capture.Packet
	}
	n uint64
}

func newTraffic(flows int) *traffic {
	w := &traffic{flows: uint64(flows), state: 1}
	for i := range w.items {
		w.items[i].h = headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
		w.items[i].h.TCPFlags = packet.ACK
		w.items[i].p.WireLen = 114
	}
	return w
}

// set makes the i-th packet at hand one of a flow.
func (w *traffic) set(i int, flow uint64) {
	it := &w.items[i]
	binary.BigEndian.PutUint32(it.h.Src[:], uint32(flow))
	it.p.Nanos = int64(w.n) * 100
	w.n++
}

func (w *traffic) random() uint64 {
	w.state = w.state*6364136223846793005 + 1442695040888963407
	return (w.state >> 32) * w.flows >> 32
}

// stream counts n packets, the i-th of the flow that next names, each expected a while before.
func (w *traffic) stream(t *Table, n int, next func() uint64) {
	const ahead = 32
	for i := range n + ahead {
		if i < n {
			w.set(i%MaxExpected, next())
			t.Expect(&w.items[i%MaxExpected].h)
		}
		if i >= ahead {
			it := &w.items[(i-ahead)%MaxExpected]
			t.Update(&it.h, &it.p, w.n)
		}
	}
}

// fill starts every flow.
func (w *traffic) fill(t *Table) {
	flow := uint64(0)
	w.stream(t, int(w.flows), func() uint64 { flow++; return flow - 1 })
}

// BenchmarkUpdate counts packets of known flows: as weir does, one by one, and in the plain twin.
func BenchmarkUpdate(b *testing.B) {
	for _, flows := range []int{1000, 200_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			w := newTraffic(flows)
			t := New(Config{OpeningPackets: -1})
			defer t.Close()
			w.fill(t)
			b.Run("stream", func(b *testing.B) {
				b.ReportAllocs()
				from := cpuTime()
				w.stream(t, b.N, w.random)
				reportCPU(b, from, b.N)
				b.ReportMetric(float64(t.footprint())/float64(t.alive), "B/flow")
			})
			b.Run("single", func(b *testing.B) {
				b.ReportAllocs()
				from := cpuTime()
				for b.Loop() {
					w.set(0, w.random())
					t.Update(&w.items[0].h, &w.items[0].p, w.n)
				}
				reportCPU(b, from, b.N)
			})
			if t.alive != flows || t.Stats().Flows != uint64(flows) {
				b.Fatalf("%d flows, want %d", t.Stats().Flows, flows)
			}
		})
		if flows > 1_000_000 && testing.Short() {
			continue // the twin takes gigabytes
		}
		b.Run(fmt.Sprintf("flows=%d/plain", flows), func(b *testing.B) {
			w := newTraffic(flows)
			t := newPlain(Config{OpeningPackets: -1})
			for i := range w.flows {
				w.set(0, i)
				t.Update(&w.items[0].h, &w.items[0].p, w.n)
			}
			b.ReportAllocs()
			from := cpuTime()
			for b.Loop() {
				w.set(0, w.random())
				t.Update(&w.items[0].h, &w.items[0].p, w.n)
			}
			reportCPU(b, from, b.N)
		})
	}
}

// BenchmarkUpdateIPv6 is BenchmarkUpdate for flows whose addresses lie in a second cell.
func BenchmarkUpdateIPv6(b *testing.B) {
	for _, flows := range []int{1000, 1_000_000, 5_000_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			w := newTraffic(flows)
			for i := range w.items {
				w.items[i].h = headersOf(packet.TCP, "2001:db8::1", "2001:db8::2", 1000, 80)
				w.items[i].h.TCPFlags = packet.ACK
			}
			t := New(Config{OpeningPackets: -1})
			defer t.Close()
			w.fill(t)
			b.Run("stream", func(b *testing.B) {
				b.ReportAllocs()
				from := cpuTime()
				w.stream(t, b.N, w.random)
				reportCPU(b, from, b.N)
				b.ReportMetric(float64(t.footprint())/float64(t.alive), "B/flow")
			})
		})
	}
}

// BenchmarkStart counts first packets of flows, which makes the table grow.
func BenchmarkStart(b *testing.B) {
	for _, flows := range []int{1000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			for b.Loop() {
				w := newTraffic(flows)
				t := New(Config{OpeningPackets: -1})
				w.fill(t)
				t.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*flows), "ns/flow")
		})
	}
}

// BenchmarkFlood is a SYN flood against a full table: every packet starts a flow and evicts one.
func BenchmarkFlood(b *testing.B) {
	for _, memory := range []int{16 << 20, DefaultMemory} {
		b.Run(fmt.Sprintf("memory=%dMiB", memory>>20), func(b *testing.B) {
			t := New(Config{OpeningPackets: -1, Memory: memory})
			defer t.Close()
			w := newTraffic(1 << 32)
			w.stream(t, t.maxCells, w.random)
			b.ReportAllocs()
			b.ResetTimer()
			from := cpuTime()
			w.stream(t, b.N, w.random)
			reportCPU(b, from, b.N)
		})
	}
}

// BenchmarkSweep ends flows that are over, and looks for those that are not.
func BenchmarkSweep(b *testing.B) {
	const flows = 1_000_000
	b.Run("end", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			w := newTraffic(flows)
			t := New(Config{OpeningPackets: -1})
			w.fill(t)
			b.StartTimer()
			for s := int64(3600); s < 3602; s++ {
				t.Sweep(s * 1e9)
			}
			if t.alive != 0 {
				b.Fatal(t.alive)
			}
			b.StopTimer()
			t.Close()
			b.StartTimer()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*flows), "ns/flow")
	})
	// An hour of a network where flows of one packet come and go at an even rate: each second some are over.
	b.Run("steady", func(b *testing.B) {
		t := New(Config{OpeningPackets: -1})
		defer t.Close()
		w := newTraffic(1 << 32)
		const perSecond = 1000
		second := func() {
			for range perSecond {
				w.set(0, w.random())
				w.items[0].p.Nanos = int64(w.n) * 1e9 / perSecond
				t.Update(&w.items[0].h, &w.items[0].p, w.n)
			}
		}
		for range 8000 {
			second()
			t.Sweep(w.items[0].p.Nanos)
		}
		b.ResetTimer()
		for b.Loop() {
			b.StopTimer()
			second()
			b.StartTimer()
			t.Sweep(w.items[0].p.Nanos)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*perSecond), "ns/flow")
	})
}

// BenchmarkFragments counts fragments: first ones that all push others out of the cache, and later ones
// that join.
func BenchmarkFragments(b *testing.B) {
	for _, name := range []string{"first", "joined", "alone"} {
		b.Run(name, func(b *testing.B) {
			t := New(Config{OpeningPackets: -1})
			defer t.Close()
			first := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 1000, 53)
			first.Has |= packet.Fragment
			later := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 0, 0)
			later.Has = packet.Fragment | packet.LaterFragment
			p := capture.Packet{WireLen: 114}
			for i := range uint32(10_000) {
				first.FragID = i
				t.Update(&first, &p, uint64(i))
			}
			h := &first
			if name != "first" {
				h = &later
			}
			b.ReportAllocs()
			from := cpuTime()
			n := uint32(0)
			for b.Loop() {
				switch n++; name {
				case "first":
					h.FragID = n
				case "joined":
					h.FragID = 6000 + n%4000
				case "alone":
					h.FragID = n % 4096 % 6000
				}
				t.Update(h, &p, uint64(n))
			}
			reportCPU(b, from, b.N)
		})
	}
}
