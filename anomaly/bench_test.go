package anomaly

import (
	"fmt"
	"testing"

	"github.com/weirnet/weir/nn"
)

// The network alone, per sequence of three windows. Speed does not depend on what the weights are.
func BenchmarkNetwork(b *testing.B) {
	net := newNetwork(64)
	nn.Init(net.Params(), 1)
	r := nn.NewRand(2)
	for _, batch := range []int{1, 256} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			w := net.compile(batch).NewWorker()
			x := make([]float32, steps*features)
			for i := range x {
				x[i] = float32(r.Normal())
			}
			for i := 0; b.Loop(); i++ {
				w.SetFloats(0, i%batch, x)
				if (i+1)%batch == 0 {
					w.Run(batch)
				}
			}
		})
	}
}
