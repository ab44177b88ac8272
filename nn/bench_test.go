package nn_test

import (
	"fmt"
	"testing"

	"github.com/weirnet/weir/nn"
)

var order = []string{"cnn", "flow", "window", "steps"}

// BenchmarkTrain is one training step of 64 samples in shards of 16 on one worker: forward, loss,
// backward, clipping, AdamW. Flows have 1 to 10 packets, 5.5 on average; "flow10" has 10 each.
func BenchmarkTrain(b *testing.B) {
	for _, name := range append(order, "flow10") {
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(b *testing.B) {
				build := fullNets[name]
				if name == "flow10" {
					build = fullNets["flow"]
				}
				r := newRun(build, workers)
				data := sample(r.replicas.Main, 64, 1)
				if name == "flow10" {
					for i := range data.lengths {
						data.lengths[i] = 10
					}
					data.x = normals(1, 640*784)
				}
				scale := 1 / r.replicas.Main.total(data)
				b.ReportAllocs()
				for b.Loop() {
					r.replicas.Train(nn.Pass{}, 64, 16, func(m network, p nn.Pass, lo, hi int) float64 {
						part := data.cut(lo, hi, 64)
						y := m.forward(p, part)
						loss := m.loss(y, part, scale)
						m.backward(y)
						return loss
					})
					r.replicas.Step(r.adam, 1, 1e-4)
				}
			})
		}
	}
}

// BenchmarkForward is the evaluation of 64 samples on one core.
func BenchmarkForward(b *testing.B) {
	for _, name := range order {
		b.Run(name, func(b *testing.B) {
			r := newRun(fullNets[name], 1)
			data := sample(r.replicas.Main, 64, 1)
			b.ReportAllocs()
			for b.Loop() {
				r.replicas.Main.forward(nn.Pass{}, data)
			}
		})
	}
}

// BenchmarkLSTMStep is one packet of n flows through the recurrent layer of the profile default.
func BenchmarkLSTMStep(b *testing.B) {
	for _, n := range []int{1, 14, 64} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			l := nn.NewLSTM("l", 118, 128, 1, 0)
			nn.Init(l.Params(), 1)
			x, h, c := normals(1, n*118), make([]float32, n*128), make([]float32, n*128)
			b.ReportAllocs()
			for b.Loop() {
				l.Step(x, h, c)
			}
		})
	}
}
