//go:build !race

package infer

import (
	"testing"

	"github.com/weirnet/weir/nn"
)

// Not under the race detector: there sync.Pool forgets at random.
func TestRunAllocates(t *testing.T) {
	each(t, func(t *testing.T, n network, r *nn.Rand) { allocates(t, n, Options{Batch: 2}, r) })
	for name, build := range large {
		t.Run("bytes/"+name, func(t *testing.T) {
			r := nn.NewRand(3)
			n := build(r)
			allocates(t, n, Options{Batch: 2, Ranges: observe(t, n, r)}, r)
		})
	}
}

func allocates(t *testing.T, n network, o Options, r *nn.Rand) {
	t.Helper()
	w := compile(t, n.g, o).NewWorker()
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
}
