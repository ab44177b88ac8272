package nn_test

import (
	"slices"
	"testing"

	"github.com/weirnet/weir/nn"
)

// shortRows are rows of 300 values, of which most end in zeros; some are nothing else.
func shortRows(n int) []float32 {
	x := normals(1, n*300)
	for i := range n {
		clear(x[i*300+[]int{300, 20, 151, 0, 152, 153, 299}[i%7] : (i+1)*300])
	}
	return x
}

// Zeros at the end of rows are not multiplied, and nothing else changes: Step, which multiplies
// them, gives the same.
func TestLSTMOfShortRows(t *testing.T) {
	l := nn.NewLSTM("l", 300, 9, 2, 0)
	nn.Init(l.Params(), 4)
	lengths := []int{5, 1, 0, 7, 3}
	x := shortRows(16)
	y := l.Forward(nn.Pass{}, x, lengths)
	row := 0
	for i, n := range lengths {
		h, c := make([]float32, 2*9), make([]float32, 2*9)
		for step := range n {
			l.Step(x[row*300:(row+1)*300], h, c)
			if want := h[9:]; !slices.Equal(y[row*9:(row+1)*9], want) {
				t.Errorf("sequence %d, step %d: %v, want %v", i, step, y[row*9:(row+1)*9], want)
			}
			row++
		}
	}
}

func TestLSTMGradientsOfShortRows(t *testing.T) {
	l := nn.NewLSTM("l", 300, 5, 1, 0)
	l.Leaf = true
	nn.Init(l.Params(), 3)
	x := shortRows(14)
	var w []float32
	checkGradients(t, probe{
		params: l.Params(),
		loss: func() (loss float64) {
			loss, w = weigh(l.Forward(nn.Pass{Train: true}, x, []int{4, 9, 1}))
			return loss
		},
		grad: func() []float32 { return l.Backward(w) },
	}, 1e-4)
}
