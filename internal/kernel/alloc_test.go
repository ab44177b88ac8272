//go:build !race

package kernel

import "testing"

// Not under the race detector: there sync.Pool forgets at random.
func TestGemmAllocates(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		a, b, c := make([]float32, 64*300), make([]float32, 300*100), make([]float32, 64*100)
		got := testing.AllocsPerRun(20, func() {
			Gemm(false, false, 64, 100, 300, a, 300, b, 100, 0, c, 100)
			Gemm(false, true, 64, 100, 300, a, 300, b, 300, 1, c, 100)
			Gemm(false, false, 1, 100, 300, a, 300, b, 100, 0, c, 100)
		})
		if got != 0 {
			t.Errorf("three products allocate %v times, want 0", got)
		}
	})
}
