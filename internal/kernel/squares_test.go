package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestSumSquaresOfEveryVariant(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	buf := newBuffer(t, 1<<12)
	eachVariant(t, func(t *testing.T) {
		for _, n := range []int{0, 1, 31, 32, 33, 63, 64, 100, 1000} {
			x := buf.last(n, normal(r))
			var want [32]float64
			for i, v := range x {
				want[i%32] += float64(v) * float64(v)
			}
			for half := 16; half > 0; half /= 2 {
				for i := range half {
					want[i] += want[i+half]
				}
			}
			if got := SumSquares(x); math.Float64bits(got) != math.Float64bits(want[0]) {
				t.Errorf("%d floats: %v, want %v", n, got, want[0])
			}
		}
	})
}
