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
		exact, err := n.compile(nil, nil)
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
	paths, err := filepath.Glob("../samples/apps/*.pcap*")
	if err != nil || len(paths) == 0 {
		b.Skip("no sample captures")
	}
	r, err := capture.Open(paths)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var flows [][]flow.Payload
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
	models(b, func(b *testing.B, name string, m *Model) {
		b.Run(name, func(b *testing.B) {
			e := m.Engine()
			var input Input
			var logs []float32
			t, f, i := e.NewTrack(), 0, 0
			perCPU(b, func() {
				opening := flows[f]
				before := int64(0)
				if i > 0 {
					before = opening[i-1].Nanos
				}
				e.arch.Fill(&input, &opening[i], 6, i, before)
				if i++; m.step(e, t, &input).final || i == len(opening) {
					logs, _ = t.decide(logs)
					t.Reset()
					f, i = (f+1)%len(flows), 0
				}
			})
			b.ReportMetric(float64(bytes)/float64(payloads), "bytes/payload")
		})
	})
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
