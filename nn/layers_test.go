package nn_test

import (
	"math"
	"slices"
	"testing"

	"github.com/weirnet/weir/nn"
)

// naiveConv is the definition of Conv2D as four nested loops per output value.
func naiveConv(c *nn.Conv2D, x []float32, n int) []float64 {
	y := make([]float64, n*c.Out.Size())
	in := func(i, row, col, ch int) float64 {
		if row < 0 || row >= c.In.Height || col < 0 || col >= c.In.Width {
			return 0
		}
		return float64(x[((i*c.In.Height+row)*c.In.Width+col)*c.In.Channels+ch])
	}
	for k := range y {
		o := k % c.Out.Channels
		col := k / c.Out.Channels % c.Out.Width
		row := k / c.Out.Channels / c.Out.Width % c.Out.Height
		i := k / c.Out.Size()
		if c.Bias != nil {
			y[k] = float64(c.Bias.Value[o])
		}
		for u := range c.KernelH {
			for v := range c.KernelW {
				for ch := range c.In.Channels {
					w := c.Weight.Value[((u*c.KernelW+v)*c.In.Channels+ch)*c.Out.Channels+o]
					y[k] += float64(w) * in(i, row*c.StrideH+u-c.PadH, col*c.StrideW+v-c.PadW, ch)
				}
			}
		}
	}
	return y
}

func TestConvEqualsDefinition(t *testing.T) {
	tests := []struct {
		name string
		conv *nn.Conv2D
		out  nn.Image
	}{
		{"1x1", nn.NewConv2D("c", nn.Image{Height: 5, Width: 4, Channels: 3}, 6, 1, 1, 0), nn.Image{Height: 5, Width: 4, Channels: 6}},
		{"1x1 stride 2", nn.NewConv2D("c", nn.Image{Height: 5, Width: 4, Channels: 3}, 6, 1, 2, 0), nn.Image{Height: 3, Width: 2, Channels: 6}},
		{"3x3 stride 2 of 28x28", nn.NewConv2D("c", nn.Image{Height: 28, Width: 28, Channels: 1}, 4, 3, 2, 1).AddBias("c"), nn.Image{Height: 14, Width: 14, Channels: 4}},
		{"3x3 over one pixel", nn.NewConv2D("c", nn.Image{Height: 1, Width: 1, Channels: 2}, 3, 3, 1, 1), nn.Image{Height: 1, Width: 1, Channels: 3}},
		{"5x5 with much padding", nn.NewConv2D("c", nn.Image{Height: 2, Width: 3, Channels: 2}, 3, 5, 2, 4), nn.Image{Height: 3, Width: 4, Channels: 3}},
		{"text", nn.NewConv1D("c", 256, 8, 32, 8, 4).AddBias("c"), nn.Image{Height: 1, Width: 63, Channels: 32}},
		{"text of one patch", nn.NewConv1D("c", 8, 2, 3, 8, 4), nn.Image{Height: 1, Width: 1, Channels: 3}},
	}
	for _, test := range tests {
		c := test.conv
		if c.Out != test.out {
			t.Errorf("%s: output shape %v, want %v", test.name, c.Out, test.out)
		}
		nn.Init(c.Params(), 1)
		for _, n := range []int{3, 0, 1} {
			x := normals(2, n*c.In.Size())
			got, want := c.Forward(nn.Pass{}, x), naiveConv(c, x, n)
			if len(got) != len(want) {
				t.Errorf("%s: %d values, want %d", test.name, len(got), len(want))
				continue
			}
			for i := range want {
				if math.Abs(float64(got[i])-want[i]) > 1e-5 {
					t.Errorf("%s: value %d is %v, want %v", test.name, i, got[i], want[i])
					break
				}
			}
		}
	}
}

// A BatchNorm with ReLU is a BatchNorm and then a ReLU, in every bit.
func TestBatchNormReLU(t *testing.T) {
	one := nn.NewBatchNormReLU("b", 5)
	norm := nn.NewBatchNorm("b", 5)
	two := nn.Sequential{norm, &nn.ReLU{}}
	nn.Init(one.Params(), 1)
	nn.Init(norm.Params(), 1)
	x, dy := normals(1, 70*5), normals(2, 70*5)
	for _, train := range []bool{true, false} {
		got, want := one.Forward(nn.Pass{Train: train}, x), two.Forward(nn.Pass{Train: train}, x)
		if !slices.Equal(got, want) {
			t.Errorf("train %v: values differ", train)
		}
		if train {
			if !slices.Equal(one.Backward(slices.Clone(dy)), two.Backward(slices.Clone(dy))) {
				t.Error("gradients differ")
			}
		}
	}
}

// Channels far from zero must not lose their variance to rounding.
func TestBatchNormOfLargeMeans(t *testing.T) {
	const n = 5000
	b := nn.NewBatchNorm("b", 2)
	nn.Init(b.Params(), 1)
	x := normals(1, n*2)
	for i := range x {
		x[i] = 1000 + x[i]*0.1
	}
	y := b.Forward(nn.Pass{Train: true}, x)
	sum, square := 0.0, 0.0
	for i := 0; i < len(y); i += 2 {
		sum += float64(y[i])
		square += float64(y[i]) * float64(y[i])
	}
	if mean, variance := sum/n, square/n; math.Abs(mean) > 2e-3 || math.Abs(variance-1) > 5e-3 {
		t.Errorf("output has mean %v and variance %v, want 0 and 1", mean, variance)
	}
}

// One row has no variance: nothing may become NaN, and the running statistics stay.
func TestBatchNormOfOneRow(t *testing.T) {
	b := nn.NewBatchNorm("b", 2)
	nn.Init(b.Params(), 1)
	y := b.Forward(nn.Pass{Train: true}, []float32{3, -4})
	if !slices.Equal(y, []float32{0, 0}) {
		t.Errorf("got %v, want zeros", y)
	}
	b.Backward([]float32{1, 1})
	if b.Mean.Grad != nil {
		t.Error("a single row was taken into the running statistics")
	}
}

func TestDropout(t *testing.T) {
	d := nn.NewDropout("d", 0.25)
	x := make([]float32, 40001)
	nn.Constant(3)(nil, x)
	pass := nn.Pass{Train: true, Seed: 1, Step: 2, Shard: 3}
	first := slices.Clone(d.Forward(pass, x))
	dropped := 0
	for i, v := range first {
		switch v {
		case 0:
			dropped++
		case 4:
		default:
			t.Fatalf("value %d is %v, want 0 or 4", i, v)
		}
	}
	if share := float64(dropped) / float64(len(x)); math.Abs(share-0.25) > 0.01 {
		t.Errorf("%v of the values dropped, want 0.25", share)
	}
	if !slices.Equal(d.Forward(pass, x), first) {
		t.Error("the same pass dropped other values")
	}
	other := pass
	for name, change := range map[string]func(){
		"seed":  func() { other.Seed++ },
		"step":  func() { other.Step++ },
		"shard": func() { other.Shard++ },
		"layer": func() { d = nn.NewDropout("e", 0.25) },
	} {
		other = pass
		change()
		if slices.Equal(d.Forward(other, x), first) {
			t.Errorf("another %s dropped the same values", name)
		}
	}
	if y := d.Forward(nn.Pass{}, x); &y[0] != &x[0] {
		t.Error("evaluation changed the input")
	}
}

// The same rows give the same bits whether they come as whole sequences, one step at a time, or
// one sequence at a time.
func TestLSTMStepEqualsForward(t *testing.T) {
	const in, hidden, layers, steps, n = 9, 20, 3, 6, 5
	l := nn.NewLSTM("l", in, hidden, layers, 0.5)
	nn.Init(l.Params(), 4)
	x := normals(1, n*steps*in)
	lengths := []int{steps, steps, steps, steps, steps}
	whole := slices.Clone(l.Forward(nn.Pass{}, x, lengths))

	together := func(t int) []float32 { // row t of each sequence
		var rows []float32
		for i := range n {
			rows = append(rows, x[(i*steps+t)*in:(i*steps+t+1)*in]...)
		}
		return rows
	}
	h, c := make([]float32, n*layers*hidden), make([]float32, n*layers*hidden)
	for step := range steps {
		l.Step(together(step), h, c)
		for i := range n {
			got := h[(i*layers+layers-1)*hidden:][:hidden]
			want := whole[(i*steps+step)*hidden:][:hidden]
			if !slices.Equal(got, want) {
				t.Errorf("step %d of sequence %d: Step gives %v, Forward %v", step, i, got[:3], want[:3])
			}
		}
	}
	for i := range n {
		got := l.Forward(nn.Pass{}, x[i*steps*in:(i+1)*steps*in], []int{steps})
		if !slices.Equal(got, whole[i*steps*hidden:(i+1)*steps*hidden]) {
			t.Errorf("sequence %d alone differs from the same in a batch", i)
		}
	}
}

// Sequences of different lengths do not see one another.
func TestLSTMRagged(t *testing.T) {
	const in, hidden = 3, 4
	l := nn.NewLSTM("l", in, hidden, 2, 0)
	nn.Init(l.Params(), 4)
	lengths := []int{2, 0, 5, 1, 5, 0, 3}
	x := normals(1, 16*in)
	whole := slices.Clone(l.Forward(nn.Pass{}, x, lengths))
	at := 0
	for i, n := range lengths {
		got := l.Forward(nn.Pass{}, x[at*in:(at+n)*in], []int{n})
		if want := whole[at*hidden : (at+n)*hidden]; !slices.Equal(got, want) {
			t.Errorf("sequence %d: alone %v, in the batch %v", i, got, want)
		}
		at += n
	}
	if y := l.Forward(nn.Pass{}, nil, nil); len(y) != 0 {
		t.Errorf("no sequences gave %d values", len(y))
	}
	if y := l.Forward(nn.Pass{}, nil, []int{0, 0}); len(y) != 0 {
		t.Errorf("empty sequences gave %d values", len(y))
	}
	if dx := l.Backward(nil); len(dx) != 0 {
		t.Errorf("empty sequences gave a gradient of %d values", len(dx))
	}
}

func TestCrossEntropyMasks(t *testing.T) {
	c := nn.CrossEntropy{Classes: 3, Weights: []float32{1, 2, 4}}
	labels, weights := []int32{2, -1, 1, 0}, []float32{0.5, 1, 0, 3}
	if got := c.Total(labels, weights); got != 4*0.5+3 {
		t.Errorf("total weight %v, want 5", got)
	}
	y := normals(1, 12)
	loss := c.Loss(y, labels, weights, 1)
	for _, i := range []int{1, 2} {
		if row := y[i*3 : i*3+3]; !slices.Equal(row, []float32{0, 0, 0}) {
			t.Errorf("row %d weighs nothing, its gradient is %v", i, row)
		}
	}
	kept := append(slices.Clone(normals(1, 12)[:3]), normals(1, 12)[9:]...)
	if want := c.Loss(kept, []int32{2, 0}, []float32{0.5, 3}, 1); math.Abs(loss-want) > 1e-12 {
		t.Errorf("loss %v, without the masked rows %v", loss, want)
	}
}

func TestSoftmaxOfExtremes(t *testing.T) {
	x := []float32{1e30, -1e30, 0, 88, 89, 87, -1e4, -1e4, -1e4}
	nn.Softmax(x, 3)
	for i := 0; i < 9; i += 3 {
		if sum := float64(x[i]) + float64(x[i+1]) + float64(x[i+2]); !(math.Abs(sum-1) < 1e-6) {
			t.Errorf("row %d: %v adds up to %v", i/3, x[i:i+3], sum)
		}
	}
}

func TestSchedules(t *testing.T) {
	cosine := nn.CosineRate(1, 0.1, 4, 14)
	drop := nn.StepRate(1, 0.5, 10)
	tests := []struct {
		name      string
		got, want float64
	}{
		{"constant", nn.ConstantRate(0.3)(99), 0.3},
		{"first step of the warm-up", cosine(0), 0.25},
		{"end of the warm-up", cosine(3), 1},
		{"top", cosine(4), 1},
		{"half way", cosine(9), 0.55},
		{"end", cosine(14), 0.1},
		{"after the end", cosine(1000), 0.1},
		{"before the drop", drop(9), 1},
		{"after two drops", drop(20), 0.25},
	}
	for _, test := range tests {
		if math.Abs(test.got-test.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", test.name, test.got, test.want)
		}
	}
}

func TestClipGrad(t *testing.T) {
	a := &nn.Param{Name: "a", Shape: []int{2}, Grad: []float32{3, 0}}
	b := &nn.Param{Name: "b", Shape: []int{1}, Grad: []float32{4}}
	buffer := &nn.Param{Name: "c", Shape: []int{1}, Grad: []float32{100}, Momentum: 0.1}
	params := []*nn.Param{a, b, buffer}
	if norm := nn.ClipGrad(params, 10); norm != 5 || a.Grad[0] != 3 {
		t.Errorf("norm %v and gradient %v, want 5 and no change", norm, a.Grad)
	}
	nn.ClipGrad(params, 1)
	if math.Abs(float64(a.Grad[0])-0.6) > 1e-6 || math.Abs(float64(b.Grad[0])-0.8) > 1e-6 || buffer.Grad[0] != 100 {
		t.Errorf("clipped to %v, %v, %v, want 0.6, 0.8 and the buffer as it was", a.Grad, b.Grad, buffer.Grad)
	}
}

func TestInit(t *testing.T) {
	draw := func(seed uint64, layers ...nn.Layer) []*nn.Param {
		ps := nn.Sequential(layers).Params()
		nn.Init(ps, seed)
		return ps
	}
	alone := draw(1, nn.NewDense("a", 400, 100))
	beside := draw(1, nn.NewDense("z", 3, 3), nn.NewDense("a", 400, 100))
	if !slices.Equal(alone[0].Value, beside[2].Value) {
		t.Error("another layer in the model changed the start of this one")
	}
	if slices.Equal(alone[0].Value, draw(2, nn.NewDense("a", 400, 100))[0].Value) {
		t.Error("another seed gave the same start")
	}
	if top := slices.Max(alone[0].Value); top > 0.05 || top < 0.0499 {
		t.Errorf("largest weight %v, want just under 1/√400", top)
	}
	conv := nn.NewConv2D("c", nn.Image{Height: 8, Width: 8, Channels: 64}, 256, 3, 1, 1)
	conv.Weight.Init = nn.Kaiming(9 * 64)
	nn.Init(conv.Params(), 1)
	square := 0.0
	for _, v := range conv.Weight.Value {
		square += float64(v) * float64(v)
	}
	if got, want := square/float64(conv.Weight.Size()), 2.0/(9*64); math.Abs(got/want-1) > 0.02 {
		t.Errorf("variance %v, want %v", got, want)
	}
}

func TestBugsPanic(t *testing.T) {
	table := nn.NewEmbedding("e", 4, 3)
	nn.Init(table.Params(), 1)
	dense := nn.NewDense("d", 4, 3)
	nn.Init(dense.Params(), 1)
	lstm := nn.NewLSTM("l", 2, 3, 1, 0)
	nn.Init(lstm.Params(), 1)
	norm := nn.NewBatchNorm("b", 2)
	nn.Init(norm.Params(), 1)
	for name, bug := range map[string]func(){
		"index beyond the table":       func() { table.Forward([]uint16{4}) },
		"label beyond the classes":     func() { (&nn.CrossEntropy{Classes: 2}).Loss(make([]float32, 2), []int32{2}, nil, 1) },
		"values that are not rows":     func() { dense.Forward(nn.Pass{}, make([]float32, 6)) },
		"lengths that do not add up":   func() { lstm.Forward(nn.Pass{}, make([]float32, 8), []int{3}) },
		"state of another size":        func() { lstm.Step(make([]float32, 2), make([]float32, 6), make([]float32, 3)) },
		"backward after evaluation":    func() { norm.Backward(norm.Forward(nn.Pass{}, make([]float32, 4))) },
		"kernel larger than the image": func() { nn.NewConv1D("c", 7, 1, 1, 8, 1) },
		"dropout of everything":        func() { nn.NewDropout("d", 1) },
		"two parameters of one name":   func() { nn.Init(append(dense.Params(), dense.Params()...), 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			bug()
		}()
	}
}
