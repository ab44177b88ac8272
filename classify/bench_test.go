package classify

import (
	"fmt"
	"testing"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/nn"
)

// engines calls f with an engine of a profile's networks, in float32 and in int8, and a payload's
// input. Speed does not depend on what the weights are.
func engines(b *testing.B, f func(b *testing.B, e *Engine, in *Input)) {
	for _, profile := range []string{Paper, Default} {
		a, err := NewArchitecture(profile, 20)
		if err != nil {
			b.Fatal(err)
		}
		n := initialised(a, 1)
		samples := ragged(&a, 40)
		n.Train(nn.Pass{Train: true}, samples, 40, 0)
		q, err := n.MeasureInt8(samples, 1)
		if err != nil {
			b.Fatal(err)
		}
		exact, _ := n.compile(nil, nil)
		packet, flows := a.observe(exact, samples, 40)
		q.Packet.Used, q.Packet.Ranges, q.Flow.Used, q.Flow.Ranges = true, packet, true, flows
		for _, int8 := range []*Int8{nil, q} {
			m := &Model{Settings: Settings{Arch: a, Int8: int8}, params: n.Params()}
			numbers := "float32"
			if int8 != nil {
				numbers = "int8"
			}
			for _, length := range []int{784, 300, 60} {
				payload := make([]byte, length)
				r := nn.NewRand(2)
				for i := range payload {
					payload[i] = byte(r.Uint64() >> 60) // letters far apart: nothing that Normaliser.Collapse takes away
					if i%3 == 0 {
						payload[i] = byte(r.Uint64())
					}
				}
				b.Run(fmt.Sprintf("%s/%s/%d", profile, numbers, length), func(b *testing.B) {
					var in Input
					a.Fill(&in, &flow.Payload{Data: payload, Len: length}, 6, 0, 0)
					f(b, m.Engine(), &in)
				})
			}
		}
	}
}

// The packet network, from the input to the class scores.
func BenchmarkPacket(b *testing.B) {
	engines(b, func(b *testing.B, e *Engine, in *Input) {
		for b.Loop() {
			e.Packet(in)
		}
	})
}

// The packet and the flow network, one packet of a flow.
func BenchmarkStep(b *testing.B) {
	engines(b, func(b *testing.B, e *Engine, in *Input) {
		t := e.NewTrack()
		for b.Loop() {
			e.Step(t, in)
		}
	})
}

// The whole way of a payload to its label, ten packets a flow.
func BenchmarkLabel(b *testing.B) {
	engines(b, func(b *testing.B, e *Engine, in *Input) {
		m := &Model{Settings: Settings{Arch: *e.arch, PacketTemperature: 1, FlowTemperature: 1}}
		m.Arch.Early = 2
		payload := make([]byte, len(in.Bytes))
		for i, v := range in.Bytes {
			payload[i] = byte(v)
		}
		p := flow.Payload{Data: payload[:end(in.Bytes)], Len: end(in.Bytes)}
		t := e.NewTrack()
		var logs []float32
		for b.Loop() {
			e.arch.Fill(in, &p, 6, t.Packets, 0)
			if m.step(e, t, in).final {
				logs, _ = t.decide(logs)
				t.Reset()
			}
		}
	})
}
