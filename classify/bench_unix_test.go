//go:build unix

package classify

import (
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/nn"
)

// models calls f with models of both profiles, in float32 and in int8. Speed does not depend on what
// the weights are.
func models(b *testing.B, f func(b *testing.B, name string, m *Model)) {
	for _, profile := range []string{Paper, Default} {
		a, err := NewArchitecture(profile, 20)
		if err != nil {
			b.Fatal(err)
		}
		a.Early = 2
		n := initialised(a, 1)
		samples := ragged(&a, 40)
		n.Train(nn.Pass{Train: true}, samples, 40, 0)
		exact, err := n.compile(nil, nil, 1)
		if err != nil {
			b.Fatal(err)
		}
		packet, flows := a.observe(exact, samples, 40)
		rounded := &Int8{Packet: Rounding{Used: true, Ranges: packet}, Flow: &Rounding{Used: true, Ranges: flows}}
		s := Settings{Arch: a, PacketTemperature: 1, FlowTemperature: 1}
		f(b, profile+"/float32", &Model{Settings: s, params: n.Params()})
		s.Int8 = rounded
		f(b, profile+"/int8", &Model{Settings: s, params: n.Params()})
	}
}

// engines calls f with engines of the models, for payloads of some lengths.
func engines(b *testing.B, f func(b *testing.B, m *Model, in *Input, payload []byte)) {
	models(b, func(b *testing.B, name string, m *Model) {
		for _, length := range []int{784, 300, 60} {
			payload := make([]byte, length)
			r := nn.NewRand(2)
			for i := range payload {
				payload[i] = byte(r.Uint64() >> 60) // letters far apart: nothing that Normaliser.Collapse takes away
				if i%3 == 0 {
					payload[i] = byte(r.Uint64())
				}
			}
			b.Run(fmt.Sprintf("%s/%d", name, length), func(b *testing.B) {
				var in Input
				m.Arch.Fill(&in, &flow.Payload{Data: payload, Len: length}, 6, 0, 0)
				f(b, m, &in, payload)
			})
		}
	})
}

// The packet network, from the input to the class scores.
func BenchmarkPacket(b *testing.B) {
	engines(b, func(b *testing.B, m *Model, in *Input, _ []byte) {
		e := m.Engine()
		perCPU(b, func() { e.Packet(in) })
	})
}

// The packet and the flow network, one packet of a flow.
func BenchmarkStep(b *testing.B) {
	engines(b, func(b *testing.B, m *Model, in *Input, _ []byte) {
		e := m.Engine()
		t := e.NewTrack()
		perCPU(b, func() { e.Step(t, in) })
	})
}

// The whole way of a payload to its label, ten packets a flow.
func BenchmarkLabel(b *testing.B) {
	engines(b, func(b *testing.B, m *Model, in *Input, payload []byte) {
		e := m.Engine()
		p := flow.Payload{Data: payload, Len: len(payload)}
		t := e.NewTrack()
		var logs []float32
		perCPU(b, func() {
			e.arch.Fill(in, &p, 6, t.Packets, 0)
			if m.step(e, t, in).final {
				logs, _ = t.decide(logs)
				t.Reset()
			}
		})
	})
}

// Payloads as they come, those of the sample captures, flow by flow to their labels.
func BenchmarkSamples(b *testing.B) {
	flows, length := sampleFlows(b)
	models(b, func(b *testing.B, name string, m *Model) {
		b.Run(name, func(b *testing.B) {
			e := m.Engine()
			var input Input
			var logs []float32
			t, f, i := e.NewTrack(), 0, 0
			perCPU(b, func() {
				fillNext(&input, m, flows[f], i)
				if i++; m.step(e, t, &input).final || i == len(flows[f]) {
					logs, _ = t.decide(logs)
					t.Reset()
					f, i = (f+1)%len(flows), 0
				}
			})
			b.ReportMetric(length, "bytes/payload")
		})
	})
}

// The same with so many flows that each have a packet at the same time; the time is that of one packet.
func BenchmarkTogether(b *testing.B) {
	flows, _ := sampleFlows(b)
	models(b, func(b *testing.B, name string, m *Model) {
		for _, together := range []int{1, 2, 4, 8, 16, 32} {
			b.Run(fmt.Sprintf("%s/%d", name, together), func(b *testing.B) {
				e := m.Engine()
				inputs, tracks := make([]Input, together), make([]*Track, together)
				type place struct{ flow, packet int }
				at := make([]place, together)
				for i := range tracks {
					tracks[i], at[i].flow = e.NewTrack(), i%len(flows)
				}
				var logs []float32
				next := together % len(flows)
				before := cpuTime(b)
				packets := 0
				for b.Loop() {
					if packets++; packets%together != 0 {
						continue
					}
					for i, p := range at {
						fillNext(&inputs[i], m, flows[p.flow], p.packet)
					}
					e.Steps(tracks, inputs)
					for i := range at {
						packet, flow := e.scores(i)
						at[i].packet++
						if m.word(e, tracks[i], packet, flow).final || at[i].packet == len(flows[at[i].flow]) {
							logs, _ = tracks[i].decide(logs)
							tracks[i].Reset()
							at[i], next = place{next, 0}, (next+1)%len(flows)
						}
					}
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	})
}

// The novelty of a flow of a model of 20 labels.
func BenchmarkNovelty(b *testing.B) {
	const size, labels = 128, 20
	var places []Place
	r := nn.NewRand(1)
	for i := range labels * ages * 20 {
		p := Place{State: make([]float32, size), Packets: 1 + i%10, Group: int32(i % labels)}
		for j := range p.State {
			p.State[j] = float32(r.Normal()) + float32((i%labels)*(j%7))
		}
		places = append(places, p)
	}
	n, err := FitNovelty(places)
	if err != nil {
		b.Fatal(err)
	}
	n.SetThresholds(places, 0.98)
	buf := make([]float32, size)
	perCPU(b, func() { n.Score(places[7].State, 8, buf) })
}

// fillNext makes the input of a packet of a flow.
func fillNext(in *Input, m *Model, opening []flow.Payload, i int) {
	before := int64(0)
	if i > 0 {
		before = opening[i-1].Nanos
	}
	m.Arch.Fill(in, &opening[i], 6, i, before)
}

// sampleFlows returns the openings of the sample captures, and the mean length of their payloads.
func sampleFlows(b *testing.B) (flows [][]flow.Payload, length float64) {
	paths, err := filepath.Glob("../samples/apps/*.pcap*")
	if err != nil || len(paths) == 0 {
		b.Skip("no sample captures")
	}
	r, err := capture.Open(paths)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var bytes, payloads int
	in, err := meter.New(meter.Config{Flow: flow.Config{OpeningPackets: 10}}, 1, func(int) meter.Handler {
		return collector(func(opening []flow.Payload) {
			for i := range opening {
				opening[i].Data = slices.Clone(opening[i].Data)
				bytes += len(opening[i].Data)
			}
			payloads += len(opening)
			flows = append(flows, opening)
		})
	})
	if err != nil {
		b.Fatal(err)
	}
	batch := make([]capture.Packet, 256)
	for {
		n, err := r.Read(batch)
		in.Add(batch[:n])
		if err != nil {
			break
		}
	}
	in.Close()
	return flows, float64(bytes) / float64(payloads)
}

// collector takes the openings of flows that are over.
type collector func(opening []flow.Payload)

func (collector) Packet(*meter.Packet) {}
func (c collector) Ended(f *flow.Flow, _ uint64) {
	if len(f.Opening) > 0 {
		c(slices.Clone(f.Opening))
	}
}

// perCPU runs f in a loop and reports the processor time it takes, so that what else the machine
// does blurs the figures less.
func perCPU(b *testing.B, f func()) {
	before := cpuTime(b)
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
