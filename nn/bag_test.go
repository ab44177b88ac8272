package nn_test

import (
	"math"
	"testing"

	"github.com/weirnet/weir/nn"
)

func TestBagEqualsDefinition(t *testing.T) {
	b := nn.NewBag("bag", 5, 3)
	nn.Init(b.Params(), 1)
	index, counts := []uint16{4, 0, 4, 2}, []int{3, 0, 1}
	y := b.Forward(index, counts)
	at := 0
	for i, n := range counts {
		for j := range b.Size {
			want := 0.0
			for _, k := range index[at : at+n] {
				want += float64(b.Weight.Value[int(k)*b.Size+j])
			}
			want /= math.Sqrt(math.Max(float64(n), 1))
			if got := float64(y[i*b.Size+j]); math.Abs(got-want) > 1e-6 {
				t.Errorf("row %d, value %d is %v, want %v", i, j, got, want)
			}
		}
		at += n
	}
}

func TestBagGradient(t *testing.T) {
	b := nn.NewBag("bag", 6, 4)
	nn.Init(b.Params(), 1)
	index, counts := []uint16{5, 1, 1, 0, 3}, []int{3, 0, 2}
	var dy []float32
	checkGradients(t, probe{
		params: b.Params(),
		loss: func() float64 {
			var loss float64
			loss, dy = weigh(b.Forward(index, counts))
			return loss
		},
		grad: func() []float32 {
			b.Backward(dy)
			return nil
		},
	}, 1e-4)
}
