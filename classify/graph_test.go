package classify

import (
	"math"
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
)

// What the graphs compute is what the networks say, step by step.
func TestGraphsAreTheNetworks(t *testing.T) {
	for _, profile := range []string{Default, Paper} {
		a, err := NewArchitecture(profile, 5)
		if err != nil {
			t.Fatal(err)
		}
		n := NewNetwork(a)
		nn.Init(n.Params(), 11)
		r := nn.NewRand(12)
		const steps = 3
		packet, flow := n.PacketGraph(), n.FlowGraph(steps)
		var encodings, lengths, numbers, bytes, want []float32
		track := n.NewTrack()
		for step := range steps {
			in := Input{Bytes: make([]uint16, a.Normaliser.Bytes), Length: uint16(step * 7)}
			for i := range in.Bytes {
				in.Bytes[i] = padding
				if i < 40*(step+1) {
					in.Bytes[i] = uint16(r.Uint64() % 256)
				}
			}
			for i := range in.Scalars {
				in.Scalars[i] = float32(r.Float64())
			}
			p, f := n.Step(track, &in)
			inputs := [][]float32{nil}
			for _, b := range in.Bytes {
				if a.Residual {
					b &^= padding
				}
				inputs[0] = append(inputs[0], float32(b))
			}
			if a.Grams > 0 {
				var runs []float32
				for _, k := range appendGrams(nil, in.Bytes, n.packet.(*textNetwork).grams.shift) {
					runs = append(runs, float32(k))
				}
				for len(runs) < a.Normaliser.Bytes-gramSize+1 {
					runs = append(runs, float32(a.Grams))
				}
				inputs = append(inputs, runs)
			}
			got, err := packet.Run(inputs)
			if err != nil {
				t.Fatal(err)
			}
			alike(t, profile+" encoding", got[0], n.encoding)
			alike(t, profile+" packet scores", got[1], p)
			encodings = append(encodings, got[0]...)
			lengths = append(lengths, float32(in.Length))
			numbers = append(numbers, in.Scalars[:]...)
			bytes = append(bytes, inputs[0]...)
			want = append(want, f...)
		}
		inputs := [][]float32{bytes}
		if !a.RawBytes {
			inputs = [][]float32{encodings, lengths, numbers}
		}
		got, err := flow.Run(inputs)
		if err != nil {
			t.Fatal(err)
		}
		alike(t, profile+" flow scores", got[1], want)
		alike(t, profile+" state", got[0][(steps-1)*a.Hidden:], track.h[(a.Layers-1)*a.Hidden:])
	}
}

func alike(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d < 1e-4) {
			t.Errorf("%s: value %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

func TestNoFlowGraphWithoutAFlowNetwork(t *testing.T) {
	a, err := NewArchitecture(Default, 2)
	if err != nil {
		t.Fatal(err)
	}
	a.Flow = false
	if g := NewNetwork(a).FlowGraph(3); g != (*graph.Graph)(nil) {
		t.Errorf("a model of images has the flow graph %v", g)
	}
}
