package nn_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn"
)

// probe is a scalar function of some inputs and parameters, with its gradient.
type probe struct {
	params []*nn.Param
	inputs []float32 // a gradient is wanted; nil when there are none

	// loss runs forward; grad runs backward after it and returns the gradient of inputs.
	loss func() float64
	grad func() []float32
}

// checkGradients compares the gradients with central differences. A float32 loss is too coarse
// for a single value, so the parameters move along random directions: the slope along d is
// ⟨∇, d⟩.
//
// noise is the absolute error that rounding may bring: about 1e-7/h of the outputs' norm.
func checkGradients(t *testing.T, p probe, noise float64) {
	t.Helper()
	nn.ZeroGrad(p.params)
	p.loss()
	dx := slices.Clone(p.grad())
	type tensor struct {
		name        string
		value, grad []float32
	}
	var tensors []tensor
	for _, q := range p.params {
		if !q.Buffer() {
			tensors = append(tensors, tensor{q.Name, q.Value, slices.Clone(q.Grad)})
		}
	}
	if p.inputs != nil {
		tensors = append(tensors, tensor{"input", p.inputs, dx})
	}
	r := nn.NewRand(99)
	for _, x := range tensors {
		name, value, grad := x.name, x.value, x.grad
		if len(value) != len(grad) {
			t.Errorf("%s: gradient of %d values for %d", name, len(grad), len(value))
			continue
		}
		was := slices.Clone(value)
		norm := 0.0
		for _, g := range grad {
			norm += float64(g) * float64(g)
		}
		norm = math.Sqrt(norm)
		for trial := range 4 {
			// One direction is the gradient itself: its slope is the gradient's norm.
			dir := make([]float64, len(value))
			length := 0.0
			for i := range dir {
				dir[i] = r.Normal()
				if trial == 0 {
					dir[i] = float64(grad[i])
				}
				length += dir[i] * dir[i]
			}
			length = math.Sqrt(length)
			if length == 0 {
				continue // rightly so, or the other directions tell
			}
			// Five-point differences. float32 rounds every move: what counts is the move made.
			const h = 4e-3
			at := func(steps float64) (loss, moved float64) {
				for i := range value {
					value[i] = float32(float64(was[i]) + steps*h*dir[i]/length)
					moved += float64(grad[i]) * (float64(value[i]) - float64(was[i]))
				}
				return p.loss(), moved
			}
			got, want := 0.0, 0.0
			for _, point := range [...][2]float64{{1, 8}, {-1, -8}, {2, -1}, {-2, 1}} {
				loss, moved := at(point[0])
				got += point[1] * loss / (12 * h)
				want += point[1] * moved / (12 * h)
			}
			copy(value, was)
			if math.Abs(got-want) > 2e-3*norm+noise {
				t.Errorf("%s, direction %d: slope %.6g, gradient says %.6g (norm %.3g)", name, trial, got, want, norm)
			}
		}
	}
}

// weigh makes a scalar of y: Σ w·y with fixed random w, summed in float64. Returns w as gradient.
func weigh(y []float32) (float64, []float32) {
	r := nn.NewRand(5)
	w := make([]float32, len(y))
	sum := 0.0
	for i := range y {
		w[i] = float32(r.Normal())
		sum += float64(w[i]) * float64(y[i])
	}
	return sum, w
}

func normals(seed uint64, n int) []float32 {
	x := make([]float32, n)
	nn.Normal(1)(nn.NewRand(seed), x)
	return x
}

// shake moves scales from 1 and shifts from 0, where they could hide something. Shifts of ±8 besides
// keep what a ReLU sees away from its corner, where there is no slope to compare with.
func shake(params []*nn.Param) {
	for _, q := range params {
		if q.Buffer() || len(q.Shape) != 1 {
			continue
		}
		for j, v := range normals(17, q.Size()) {
			q.Value[j] += 0.3 * v
			if strings.HasSuffix(q.Name, ".bias") {
				q.Value[j] += float32(16*(j%2) - 8)
			}
		}
	}
}

// layerProbe is the weighed output of a layer for normal inputs.
func layerProbe(l nn.Layer, values int) probe {
	nn.Init(l.Params(), 3)
	shake(l.Params())
	x := normals(1, values)
	var w []float32
	p := probe{params: l.Params(), inputs: x}
	p.loss = func() (loss float64) {
		loss, w = weigh(l.Forward(nn.Pass{Train: true, Seed: 7}, x))
		return loss
	}
	p.grad = func() []float32 { return l.Backward(w) }
	return p
}

func TestLayerGradients(t *testing.T) {
	relu := nn.Sequential{nn.NewDense("d", 5, 40), &nn.ReLU{}, nn.NewDense("e", 40, 3)}
	noBias := nn.NewDense("d", 7, 3)
	noBias.Bias = nil
	image := nn.Image{Height: 6, Width: 5, Channels: 3}
	tests := []struct {
		name   string
		layer  nn.Layer
		values int
		noise  float64
	}{
		{"dense", nn.NewDense("d", 7, 3), 4 * 7, 1e-3},
		{"dense without bias", noBias, 4 * 7, 1e-3},
		{"relu", relu, 4 * 5, 1e-3},
		{"conv 1x1", nn.NewConv2D("c", image, 4, 1, 1, 0), 2 * 90, 1e-3},
		{"conv 1x1 bias", nn.NewConv2D("c", image, 4, 1, 1, 0).AddBias("c"), 2 * 90, 1e-3},
		{"conv 1x1 stride 2", nn.NewConv2D("c", image, 4, 1, 2, 0), 2 * 90, 1e-3},
		{"conv 3x3", nn.NewConv2D("c", image, 4, 3, 1, 1), 2 * 90, 1e-3},
		{"conv 3x3 stride 2 bias", nn.NewConv2D("c", image, 4, 3, 2, 1).AddBias("c"), 2 * 90, 1e-3},
		{"conv 3x3 no padding", nn.NewConv2D("c", image, 4, 3, 1, 0), 2 * 90, 1e-3},
		{"conv 5x5 padding 3 stride 3", nn.NewConv2D("c", image, 4, 5, 3, 3), 2 * 90, 1e-3},
		{"conv 1-D", nn.NewConv1D("c", 11, 3, 4, 3, 2).AddBias("c"), 3 * 33, 1e-3},
		{"conv 1-D stride over width", nn.NewConv1D("c", 11, 3, 4, 2, 3), 3 * 33, 1e-3},
		{"conv 1-D width 1", nn.NewConv1D("c", 11, 3, 4, 1, 1), 3 * 33, 1e-3},
		{"batch norm", nn.NewBatchNorm("b", 4), 70 * 4, 1e-3},
		{"batch norm, then ReLU", nn.NewBatchNormReLU("b", 4), 70 * 4, 1e-3},
		{"pool", nn.NewGlobalAvgPool(nn.Image{Height: 3, Width: 4, Channels: 5}), 2 * 60, 1e-3},
		{"dropout", nn.NewDropout("p", 0.4), 101, 1e-3},
		{"bottleneck", nn.NewBottleneck("b", nn.Image{Height: 4, Width: 4, Channels: 8}, 8, 8, 1), 5 * 128, 1e-1},
		{"bottleneck with projection", nn.NewBottleneck("b", nn.Image{Height: 5, Width: 4, Channels: 4}, 8, 6, 2), 6 * 80, 1e-1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { checkGradients(t, layerProbe(test.layer, test.values), test.noise) })
	}
}

func TestEmbeddingGradient(t *testing.T) {
	e := nn.NewEmbedding("e", 7, 3)
	nn.Init(e.Params(), 3)
	var w []float32
	checkGradients(t, probe{
		params: e.Params(),
		loss: func() (loss float64) {
			loss, w = weigh(e.Forward([]uint16{6, 0, 6, 2, 5, 6}))
			return loss
		},
		grad: func() []float32 { e.Backward(w); return nil },
	}, 1e-4)
}

func TestLSTMGradients(t *testing.T) {
	tests := []struct {
		layers  int
		dropout float64
		lengths []int
	}{
		{1, 0, []int{1}},
		{1, 0, []int{5}},
		{1, 0, []int{3, 3, 3}},
		{1, 0, []int{2, 7, 0, 1, 7, 4}},
		{2, 0, []int{2, 7, 0, 1, 7, 4}},
		{3, 0.3, []int{4, 1, 6}},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%d layers of lengths %v", test.layers, test.lengths), func(t *testing.T) {
			l := nn.NewLSTM("l", 4, 5, test.layers, test.dropout)
			nn.Init(l.Params(), 3)
			total := 0
			for _, n := range test.lengths {
				total += n
			}
			x := normals(1, total*4)
			var w []float32
			checkGradients(t, probe{
				params: l.Params(), inputs: x,
				loss: func() (loss float64) {
					loss, w = weigh(l.Forward(nn.Pass{Train: true}, x, test.lengths))
					return loss
				},
				grad: func() []float32 { return l.Backward(w) },
			}, 1e-4)
		})
	}
}

func TestLastStepAndConcatGradients(t *testing.T) {
	lengths := []int{2, 0, 3, 1}
	last, join := nn.LastStep{Width: 3}, nn.Concat{Widths: []int{3, 2}}
	x, other := normals(1, 6*3), normals(2, 4*2)
	var w []float32
	checkGradients(t, probe{
		inputs: x,
		loss: func() (loss float64) {
			loss, w = weigh(join.Forward(last.Forward(x, lengths), other))
			return loss
		},
		grad: func() []float32 { return last.Backward(join.Backward(w)[0]) },
	}, 1e-4)
	checkGradients(t, probe{
		inputs: other,
		loss: func() (loss float64) {
			loss, w = weigh(join.Forward(last.Forward(x, lengths), other))
			return loss
		},
		grad: func() []float32 { return join.Backward(w)[1] },
	}, 1e-4)
}

func TestLossGradients(t *testing.T) {
	labels := []int32{3, 0, -1, 2, 1}
	some := []float32{1, 0.5, 1, 0, 2}
	classes := []float32{1, 2, 0.5, 3}
	losses := map[string]func(y []float32) float64{
		"cross-entropy": func(y []float32) float64 {
			return (&nn.CrossEntropy{Classes: 4}).Loss(y, labels, nil, 0.25)
		},
		"cross-entropy with everything": func(y []float32) float64 {
			return (&nn.CrossEntropy{Classes: 4, Weights: classes, Smoothing: 0.1}).Loss(y, labels, some, 0.3)
		},
		"mse":          func(y []float32) float64 { return nn.MSE(y, normals(8, 20), 4, nil, 0.05) },
		"mse weighted": func(y []float32) float64 { return nn.MSE(y, normals(8, 20), 4, some, 0.05) },
	}
	for name, loss := range losses {
		t.Run(name, func(t *testing.T) {
			x := normals(1, 20)
			var y []float32
			checkGradients(t, probe{
				inputs: x,
				loss: func() float64 {
					y = append(y[:0], x...)
					return loss(y)
				},
				grad: func() []float32 { return y },
			}, 1e-4)
		})
	}
}

// The four test networks, from their losses back to every parameter.
func TestModelGradients(t *testing.T) {
	for name, build := range smallNets {
		t.Run(name, func(t *testing.T) {
			m := build()
			nn.Init(m.Params(), 3)
			if name == "cnn" || name == "steps" {
				shake(m.Params())
			}
			b := sample(m, 9, 5)
			var y []float32
			checkGradients(t, probe{
				params: m.Params(),
				loss: func() float64 {
					y = append(y[:0], m.forward(nn.Pass{Train: true}, b)...)
					return m.loss(y, b, 1)
				},
				grad: func() []float32 { m.backward(y); return nil },
			}, 1e-2)
		})
	}
}
