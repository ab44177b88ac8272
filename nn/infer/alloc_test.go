//go:build !race

package infer

import (
	"testing"

	"github.com/weirnet/weir/nn"
)

// Not under the race detector: there the runtime allocates by itself.
func TestRunAllocates(t *testing.T) {
	each(t, func(t *testing.T, n network, r *nn.Rand) {
		w := compile(t, n.g, Options{Batch: 2}).NewWorker()
		for s := range 2 {
			for i, x := range n.sample(r) {
				w.set(i, s, x)
			}
		}
		w.Run(2)
		w.Output(0, 0)
		if got := testing.AllocsPerRun(10, func() {
			w.Run(2)
			w.Output(0, 1)
		}); got != 0 {
			t.Errorf("a run allocates %v times, want 0", got)
		}
	})
}
