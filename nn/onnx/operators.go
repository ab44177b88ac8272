package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/weirnet/weir/nn/graph"
)

// conv is a convolution over one or two dimensions, in one group, without dilation, with the same
// padding on both sides. One dimension is an image of height 1.
func (r *reader) conv() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	rank := len(t.dims)
	if rank != 3 && rank != 4 || t.batch != 0 {
		return fmt.Errorf("over dimensions %v, want (batch, C, W) or (batch, C, H, W)", t.dims)
	}
	weight, err := r.weightsOf(1, rank)
	if err != nil {
		return err
	}
	shape := graph.Shape{Height: 1, Width: t.dims[rank-1], Channels: t.dims[1]}
	op := graph.Conv{Out: weight.dims[0]}
	op.KernelH, op.KernelW = 1, weight.dims[rank-1]
	if rank == 4 {
		shape.Height, op.KernelH = t.dims[2], weight.dims[2]
	}
	if op.Geometry, err = r.geometry(op.Geometry, rank-2); err != nil {
		return err
	}
	if weight.dims[1] != shape.Channels || op.PadH >= op.KernelH || op.PadW >= op.KernelW {
		return fmt.Errorf("weights %v with padding %d×%d over dimensions %v", weight.dims, op.PadH, op.PadW, t.dims)
	}
	x, err := r.arranged(t, shape, planesOf(shape))
	if err != nil {
		return err
	}
	h, w, err := op.Over(shape)
	if err != nil {
		return err
	}
	dims := []int{dynamic, op.Out, h, w}
	if rank == 3 {
		dims = []int{dynamic, op.Out, w}
	}
	if _, err := r.spend(dims); err != nil {
		return err
	}
	if r.has(2) {
		if op.Bias, err = r.biasOf(2, op.Out); err != nil {
			return err
		}
	}
	if err := r.spendNumbers(len(weight.floats)); err != nil {
		return err
	}
	kernel := op.KernelH * op.KernelW
	op.Weight = make([]float32, len(weight.floats))
	for i, v := range weight.floats { // (Out, channels, kernel) to (kernel, channels, Out)
		o, c, k := i/(kernel*shape.Channels), i/kernel%shape.Channels, i%kernel
		op.Weight[(k*shape.Channels+c)*op.Out+o] = v
	}
	v, err := r.put(op, x)
	if err != nil {
		return err
	}
	at := planesOf(graph.Shape{Height: h, Width: w, Channels: op.Out})
	return r.give(0, operand{tensor: &tensor{value: v, dims: dims, at: at, fresh: op.Bias == nil}})
}

// geometry reads how the filters of a size move over so many dimensions.
func (r *reader) geometry(g graph.Geometry, spatial int) (graph.Geometry, error) {
	if err := r.only("group", 1); err != nil {
		return g, err
	}
	if a := r.setting("auto_pad"); a != nil && a.s != "NOTSET" && a.s != "VALID" {
		return g, fmt.Errorf("auto_pad is %s, only written out padding is read", a.s)
	}
	kernel, err := r.perAxis("kernel_shape", spatial, g.KernelH, g.KernelW)
	if err != nil || kernel != [2]int{g.KernelH, g.KernelW} {
		return g, errors.Join(err, fmt.Errorf("kernel_shape is %v, the weights' %d×%d", kernel, g.KernelH, g.KernelW))
	}
	if dilation, err := r.perAxis("dilations", spatial, 1, 1); err != nil || dilation != [2]int{1, 1} {
		return g, errors.Join(err, errors.New("dilations other than 1"))
	}
	stride, err := r.perAxis("strides", spatial, 1, 1)
	if err != nil {
		return g, err
	}
	g.StrideH, g.StrideW = stride[0], stride[1]
	if a := r.setting("pads"); a != nil { // first those at the beginnings, then those at the ends
		if len(a.ints) != 2*spatial || !slices.Equal(a.ints[:spatial], a.ints[spatial:]) {
			return g, fmt.Errorf("pads are %s, only the same on both sides are read", few(a.ints))
		}
		pad, err := axesOf(a.ints[:spatial], 0)
		if err != nil {
			return g, fmt.Errorf("pads are %s", few(a.ints))
		}
		g.PadH, g.PadW = pad[0], pad[1]
	}
	return g, nil
}

// perAxis returns an attribute that has a number from 1 on for each of one or two dimensions.
func (r *reader) perAxis(name string, spatial, otherwiseH, otherwiseW int) ([2]int, error) {
	a := r.setting(name)
	if a == nil {
		return [2]int{otherwiseH, otherwiseW}, nil
	}
	both, err := axesOf(a.ints, 1)
	if err != nil || len(a.ints) != spatial {
		return both, fmt.Errorf("%s are %s", name, few(a.ints))
	}
	return both, nil
}

// axesOf returns the numbers of height and width; where there is one, height has the least.
func axesOf(x []int64, least int64) ([2]int, error) {
	if len(x) == 1 {
		x = []int64{least, x[0]}
	}
	if len(x) != 2 || min(x[0], x[1]) < least || max(x[0], x[1]) > maxSize {
		return [2]int{}, errors.New("out of range")
	}
	return [2]int{int(x[0]), int(x[1])}, nil
}

// biasOf returns a constant of n floats.
func (r *reader) biasOf(i, n int) ([]float32, error) {
	c, err := r.constantOf(i)
	if err != nil {
		return nil, err
	}
	if len(c.floats) != n || c.fill {
		return nil, fmt.Errorf("input %d has the shape %v of %s, want %d values of float32", i, c.dims, c.kind(), n)
	}
	return slices.Clone(c.floats), nil
}

func (r *reader) relu() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	v, err := r.put(graph.ReLU{}, t.value)
	if err != nil {
		return err
	}
	return r.give(0, operand{tensor: &tensor{value: v, dims: t.dims, batch: t.batch, at: t.at}})
}

// batchNorm is one in evaluation: gain and offset per channel, which is the second axis.
func (r *reader) batchNorm() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	if len(t.dims) < 2 || t.batch != 0 {
		return fmt.Errorf("over dimensions %v, want (batch, C, …)", t.dims)
	}
	if err := errors.Join(r.only("training_mode", 0), r.only("spatial", 1)); err != nil {
		return err
	}
	channels := t.dims[1]
	var p [4][]float32 // scale, bias, mean, variance
	for i := range p {
		if p[i], err = r.biasOf(i+1, channels); err != nil {
			return err
		}
	}
	epsilon := float64(r.number("epsilon", 1e-5))
	gains, offsets := p[0], p[1]
	for c := range gains {
		if !(float64(p[3][c])+epsilon > 0) {
			return fmt.Errorf("variance %v of channel %d", p[3][c], c)
		}
		gains[c] *= float32(1 / math.Sqrt(float64(p[3][c])+epsilon))
		offsets[c] -= p[2][c] * gains[c]
	}
	inner := size(t.dims[2:])
	return r.affine(t, func(i int) float32 { return gains[i/inner] }, func(i int) float32 { return offsets[i/inner] })
}

// affine scales and shifts each element of a tensor.
func (r *reader) affine(t *tensor, gain, offset func(i int) float32) error {
	n, err := r.spend(t.dims)
	if err != nil {
		return err
	}
	shape := r.g.Nodes[t.value].Shape
	x := t.value
	op, ok := perChannel(shape.Channels, t, n, gain, offset)
	if last := t.dims[len(t.dims)-1]; !ok && t.at == nil && last != dynamic {
		if op, ok = perChannel(last, t, n, gain, offset); ok {
			if x, err = r.reshaped(t.value, graph.Sequence(n/last, last)); err != nil {
				return err
			}
		}
	}
	if !ok {
		// Not one gain and offset per channel: one per element then, of a single place.
		whole := r.whole(t)
		if err := r.spendNumbers(2 * whole); err != nil {
			return err
		}
		op, _ = perChannel(whole, t, n, gain, offset)
		if x, err = r.reshaped(t.value, graph.Vector(whole)); err != nil {
			return err
		}
	}
	v, err := r.put(op, x)
	if err != nil {
		return err
	}
	return r.give(0, operand{tensor: &tensor{value: v, dims: t.dims, batch: t.batch, at: t.at, fresh: true}})
}

// perChannel returns gains and offsets by channel, unless elements of one channel differ.
func perChannel(channels int, t *tensor, n int, gain, offset func(i int) float32) (op graph.Affine, ok bool) {
	op = graph.Affine{Gain: make([]float32, channels), Offset: make([]float32, channels)}
	set := make([]bool, channels)
	for i := range n {
		c := t.place(i) % channels
		g, o := gain(i), offset(i)
		if set[c] && (op.Gain[c] != g || op.Offset[c] != o) {
			return op, false
		}
		op.Gain[c], op.Offset[c], set[c] = g, o, true
	}
	return op, true
}

func one(int) float32 { return 1 }

// spread returns the value of a constant for each element of a tensor that it is broadcast over.
func (r *reader) spread(c *constant, t *tensor) (func(i int) float32, error) {
	if v, ok := c.scalar(); ok {
		return func(int) float32 { return v }, nil
	}
	skip := len(t.dims) - len(c.dims)
	if skip < 0 || c.fill || c.floats == nil {
		return nil, fmt.Errorf("joins %v and a constant of %v", t.dims, c.dims)
	}
	strides := make([]int, len(t.dims))
	n := 1
	for k := len(c.dims) - 1; k >= 0; k-- {
		switch d := c.dims[k]; d {
		case 1:
		case t.dims[skip+k]:
			strides[skip+k] = n
			n *= d
		default:
			return nil, fmt.Errorf("joins %v and a constant of %v", t.dims, c.dims)
		}
	}
	total, err := r.spend(t.dims)
	if err != nil {
		return nil, err
	}
	values := make([]float32, 0, total)
	walk(t.dims, strides, func(at int) { values = append(values, c.floats[at]) })
	return func(i int) float32 { return values[i] }, nil
}

// sides returns what an operator of two inputs joins: a tensor and a constant, in which order, or
// two tensors.
func (r *reader) sides() (t, other *tensor, c *constant, swapped bool, err error) {
	switch {
	case r.isConstant(1):
		if t, err = r.tensor(0); err == nil {
			c, err = r.constantOf(1)
		}
	case r.isConstant(0):
		swapped = true
		if t, err = r.tensor(1); err == nil {
			c, err = r.constantOf(0)
		}
	default:
		if t, err = r.tensor(0); err == nil {
			other, err = r.tensor(1)
		}
	}
	return t, other, c, swapped, err
}

// withConstant joins a tensor and a constant.
func (r *reader) withConstant(t *tensor, c *constant, apply func(v float32) (gain, offset float32)) error {
	values, err := r.spread(c, t)
	if err != nil {
		return err
	}
	for i := range size(t.dims) {
		if gain, offset := apply(values(i)); gain-gain != 0 || offset-offset != 0 {
			return fmt.Errorf("scales or shifts by %v", values(i))
		}
	}
	return r.affine(t,
		func(i int) float32 { gain, _ := apply(values(i)); return gain },
		func(i int) float32 { _, offset := apply(values(i)); return offset })
}

func (r *reader) add() error {
	t, other, c, swapped, err := r.sides()
	if err != nil {
		return err
	}
	if c == nil {
		return r.sum(t, other)
	}
	if name := r.n.in[0]; t.fresh && !swapped && r.uses[name] == 1 {
		if done, err := r.bias(t, c); done || err != nil {
			return err
		}
	}
	return r.withConstant(t, c, func(v float32) (float32, float32) { return 1, v })
}

// bias gives a product the constant that is added to it, if there is one per channel.
func (r *reader) bias(t *tensor, c *constant) (done bool, err error) {
	values, err := r.spread(c, t)
	if err != nil {
		return false, err
	}
	n := &r.g.Nodes[t.value]
	sums, ok := perChannel(n.Shape.Channels, t, size(t.dims), one, values)
	if !ok {
		return false, nil
	}
	switch op := n.Op.(type) {
	case graph.Dense:
		op.Bias = sums.Offset
		n.Op = op
	case graph.Conv:
		op.Bias = sums.Offset
		n.Op = op
	case graph.Affine:
		for c, v := range sums.Offset {
			op.Offset[c] += v
		}
	default:
		return false, nil
	}
	return true, r.give(0, operand{tensor: &tensor{value: t.value, dims: t.dims, batch: t.batch, at: t.at}})
}

// sum adds two tensors whose elements lie alike.
func (r *reader) sum(a, b *tensor) error {
	if !slices.Equal(a.dims, b.dims) || !slices.Equal(a.at, b.at) || r.whole(a) != r.whole(b) {
		return fmt.Errorf("joins %v and %v, or elements in another order", a.dims, b.dims)
	}
	y, err := r.reshaped(b.value, r.g.Nodes[a.value].Shape)
	if err != nil {
		return err
	}
	v, err := r.put(graph.Add{}, a.value, y)
	if err != nil {
		return err
	}
	return r.give(0, operand{tensor: &tensor{value: v, dims: a.dims, batch: a.batch, at: a.at}})
}

// scaled reads the operators that two computed tensors cannot be joined by.
func (r *reader) scaled(apply func(v float32, swapped bool) (gain, offset float32)) error {
	t, other, c, swapped, err := r.sides()
	if err != nil {
		return err
	}
	if other != nil {
		return errors.New("joins two computed tensors, only a constant with one is read")
	}
	return r.withConstant(t, c, func(v float32) (float32, float32) { return apply(v, swapped) })
}

func (r *reader) sub() error {
	return r.scaled(func(v float32, swapped bool) (float32, float32) {
		if swapped {
			return -1, v
		}
		return 1, -v
	})
}

func (r *reader) mul() error {
	return r.scaled(func(v float32, _ bool) (float32, float32) { return v, 0 })
}

func (r *reader) div() error {
	if r.operand(1).bag != nil {
		return r.bagOf()
	}
	return r.scaled(func(v float32, swapped bool) (float32, float32) {
		if swapped {
			return float32(math.NaN()), 0 // a quotient by a computed tensor
		}
		return 1 / v, 0
	})
}

// gemm is x·B + C of a matrix x, one row per sample.
func (r *reader) gemm() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	weight, err := r.weightsOf(1, 2)
	if err != nil {
		return err
	}
	if err := r.only("transA", 0); err != nil {
		return err
	}
	if len(t.dims) != 2 {
		return fmt.Errorf("of dimensions %v, want (batch, C)", t.dims)
	}
	alpha, beta := r.number("alpha", 1), r.number("beta", 1)
	if alpha != 1 || beta != 1 {
		return fmt.Errorf("alpha %v and beta %v, only 1 is read", alpha, beta)
	}
	if r.integer("transB", 0) != 0 {
		if weight, err = r.transposed(weight); err != nil {
			return err
		}
	}
	var bias []float32
	if r.has(2) {
		if bias, err = r.biasOf(2, weight.dims[1]); err != nil {
			return err
		}
	}
	return r.dense(t, weight, bias)
}

func (r *reader) transposed(c *constant) (*constant, error) {
	if err := r.spendNumbers(len(c.floats)); err != nil {
		return nil, err
	}
	h, w := c.dims[0], c.dims[1]
	out := &constant{dims: []int{w, h}, floats: make([]float32, len(c.floats))}
	for i, v := range c.floats {
		out.floats[i%w*h+i/w] = v
	}
	return out, nil
}

// matMul is x·B with a constant matrix B.
func (r *reader) matMul() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	weight, err := r.weightsOf(1, 2)
	if err != nil {
		return err
	}
	return r.dense(t, weight, nil)
}

// dense multiplies the last axis with a matrix. Where that is all of a sample, its elements may lie in
// any order, and not all of the value need be meant: the weights' rows are put where they lie.
func (r *reader) dense(t *tensor, weight *constant, bias []float32) error {
	rank := len(t.dims)
	in, out := weight.dims[0], weight.dims[1]
	if rank < 2 || t.batch == rank-1 || t.dims[rank-1] != in {
		return fmt.Errorf("of dimensions %v with weights %v", t.dims, weight.dims)
	}
	dims := slices.Clone(t.dims)
	dims[rank-1] = out
	if _, err := r.spend(dims); err != nil {
		return err
	}
	op := graph.Dense{Out: out, Weight: weight.floats, Bias: bias}
	var x graph.Value
	var err error
	if size(t.dims) == in && t.at != nil {
		whole := r.whole(t)
		if whole > maxSize/out {
			return fmt.Errorf("%d weights", whole*out)
		}
		if err := r.spendNumbers(whole * out); err != nil {
			return err
		}
		op.Weight = make([]float32, whole*out)
		for i := range in {
			copy(op.Weight[t.place(i)*out:][:out], weight.floats[i*out:])
		}
		x, err = r.reshaped(t.value, graph.Vector(whole))
	} else {
		x, err = r.inOrder(t, in)
	}
	if err != nil {
		return err
	}
	v, err := r.put(op, x)
	if err != nil {
		return err
	}
	return r.give(0, operand{tensor: &tensor{value: v, dims: dims, batch: t.batch, fresh: bias == nil}})
}

// lstm is one layer, forwards, from a zero state.
func (r *reader) lstm() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	rank := len(t.dims)
	batchFirst := r.integer("layout", 0) == 1
	batch := 1
	if batchFirst {
		batch = 0
	}
	if rank != 3 || t.batch != batch {
		return fmt.Errorf("over dimensions %v, want (W, batch, C)", t.dims)
	}
	if a := r.setting("direction"); a != nil && a.s != "forward" {
		return fmt.Errorf("direction is %s, only forward is read", a.s)
	}
	for _, name := range []string{"activations", "activation_alpha", "activation_beta", "clip"} {
		if r.setting(name) != nil {
			return fmt.Errorf("%s are set, only the usual ones are read", name)
		}
	}
	if err := r.only("input_forget", 0); err != nil {
		return err
	}
	length, width := t.dims[1-batch], t.dims[2]
	wx, err := r.weightsOf(1, 3)
	if err != nil {
		return err
	}
	wh, err := r.weightsOf(2, 3)
	if err != nil {
		return err
	}
	hidden := wh.dims[2]
	if !slices.Equal(wx.dims, []int{1, 4 * hidden, width}) || !slices.Equal(wh.dims, []int{1, 4 * hidden, hidden}) {
		return fmt.Errorf("weights %v and %v over rows of %d", wx.dims, wh.dims, width)
	}
	if h := r.integer("hidden_size", int64(hidden)); h != int64(hidden) {
		return fmt.Errorf("hidden_size is %d, the weights are of %d", h, hidden)
	}
	if r.has(4) {
		return errors.New("sequence_lens is set, only whole sequences are read")
	}
	for i := 5; i <= 6 && r.has(i); i++ {
		if c, err := r.constantOf(i); err != nil || slices.ContainsFunc(c.floats, func(v float32) bool { return v != 0 }) || c.floats == nil {
			return errors.Join(errors.New("starts from another state than zero"), err)
		}
	}
	if r.has(7) {
		return errors.New("peepholes are set, only without is read")
	}
	op := graph.LSTM{Hidden: hidden, Bias: make([]float32, 4*hidden)}
	if err := r.spendNumbers(len(wx.floats) + len(wh.floats)); err != nil {
		return err
	}
	op.Wx, op.Wh = gatesLast(wx.floats, width, hidden), gatesLast(wh.floats, hidden, hidden)
	if r.has(3) {
		b, err := r.biasOf(3, 8*hidden)
		if err != nil {
			return err
		}
		for i, v := range b[4*hidden:] {
			b[i] += v
		}
		op.Bias = gatesLast(b[:4*hidden], 1, hidden)
	}
	x, err := r.inOrder(t, width)
	if err == nil {
		x, err = r.reshaped(x, graph.Sequence(length, width))
	}
	if err != nil {
		return err
	}
	v, err := r.put(op, x)
	if err != nil {
		return err
	}
	every := &tensor{value: v, dims: []int{length, 1, dynamic, hidden}, batch: 2}
	final := &tensor{value: v, dims: []int{1, dynamic, hidden}, batch: 1}
	if batchFirst {
		every.dims, every.batch = []int{dynamic, length, 1, hidden}, 0
		final.dims, final.batch = []int{dynamic, 1, hidden}, 0
	}
	if _, err := r.spend(every.dims); err != nil {
		return err
	}
	for k := range hidden {
		final.at = append(final.at, int32((length-1)*hidden+k))
	}
	if len(r.n.out) > 2 && r.uses[r.n.out[2]] > 0 {
		return errors.New("the last cell state is read, which weir's networks do not give")
	}
	return errors.Join(r.give(0, operand{tensor: every}), r.give(1, operand{tensor: r.simplify(final)}))
}

// gatesLast turns ONNX's weights (4·hidden, width) into (width, 4·hidden), see gatesFirst.
func gatesLast(x []float32, width, hidden int) []float32 {
	y := make([]float32, len(x))
	for place, gate := range gateOrder {
		for k := range hidden {
			for i := range width {
				y[i*4*hidden+gate*hidden+k] = x[(place*hidden+k)*width+i]
			}
		}
	}
	return y
}

// softmax is one over the channels, or over all of a sample. Before opset 13 it was one over all axes
// from the given one on, the second as a rule.
func (r *reader) softmax() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	usual := int64(-1)
	if r.opset < 13 {
		usual = 1
	}
	k, err := axis(r.integer("axis", usual), len(t.dims))
	if err != nil {
		return err
	}
	if r.opset < 13 && (t.batch > k || size(t.dims[k+1:]) > 1) {
		return fmt.Errorf("over all axes of %v from %d on, only over one", t.dims, k)
	}
	n := t.dims[k]
	var x graph.Value
	switch {
	case k == t.batch:
		return errors.New("over the batch")
	case size(t.dims) == n && r.whole(t) == n:
		x, err = r.reshaped(t.value, graph.Vector(n)) // in whatever order
	case k == len(t.dims)-1:
		x, err = r.inOrder(t, n)
	case k == 1 && t.batch == 0: // planes
		shape := graph.Shape{Height: 1, Width: size(t.dims) / n, Channels: n}
		if len(t.dims) == 4 {
			shape.Height, shape.Width = t.dims[2], t.dims[3]
		}
		x, err = r.arranged(t, shape, planesOf(shape))
	default:
		return fmt.Errorf("over axis %d of %v, only over channels", k, t.dims)
	}
	if err != nil {
		return err
	}
	v, err := r.put(graph.Softmax{}, x)
	if err != nil {
		return err
	}
	return r.give(0, operand{tensor: &tensor{value: v, dims: t.dims, batch: t.batch, at: t.at}})
}

func (r *reader) globalAverage() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	if len(t.dims) < 3 || t.batch != 0 {
		return fmt.Errorf("over dimensions %v, want (batch, C, …)", t.dims)
	}
	var axes []int
	for i := range t.dims[2:] {
		axes = append(axes, 2+i)
	}
	return r.mean(t, axes, true)
}

// averagePool is the mean over a whole image, or is refused.
func (r *reader) averagePool() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	kernel := r.setting("kernel_shape")
	whole := kernel != nil && len(t.dims) >= 3 && len(kernel.ints) == len(t.dims)-2
	for i := 0; whole && i < len(kernel.ints); i++ {
		whole = kernel.ints[i] == int64(t.dims[2+i])
	}
	if a := r.setting("auto_pad"); a != nil && a.s != "NOTSET" && a.s != "VALID" {
		whole = false
	}
	if pads := r.setting("pads"); pads != nil && slices.ContainsFunc(pads.ints, func(v int64) bool { return v != 0 }) {
		whole = false
	}
	if !whole {
		return errors.New("only the mean over all of an image is read")
	}
	return r.globalAverage()
}

func (r *reader) reduceMean() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	axes, named, err := r.axes(len(t.dims))
	if err != nil {
		return err
	}
	if !named {
		return errors.New("over the batch")
	}
	return r.mean(t, axes, r.integer("keepdims", 1) != 0)
}

// mean takes the mean over axes, which must be all that are not channels.
func (r *reader) mean(t *tensor, axes []int, keep bool) error {
	if slices.Contains(axes, t.batch) {
		return errors.New("over the batch")
	}
	n, err := r.spend(t.dims)
	if err != nil {
		return err
	}
	var dims, kept []int
	channels, batch := 1, 0
	for i, d := range t.dims {
		kept = append(kept, 0)
		if i == t.batch {
			batch = len(dims)
			dims = append(dims, d)
			continue
		}
		if !slices.Contains(axes, i) {
			dims = append(dims, d)
			kept[i] = 1
			channels *= d
		} else if keep {
			dims = append(dims, 1)
		}
	}
	stride := 1
	for i := len(t.dims) - 1; i >= 0; i-- {
		if kept[i] != 0 {
			kept[i] = stride
			stride *= t.dims[i]
		}
	}
	shape := r.g.Nodes[t.value].Shape
	if shape.Channels != channels {
		shape = graph.Sequence(n/channels, channels)
	}
	// Each kept element must be the mean of one channel over all places.
	at := make([]int32, channels)
	for i := range at {
		at[i] = -1
	}
	fits, i := n == r.whole(t), 0
	walk(t.dims, kept, func(k int) {
		c := int32(t.place(i) % channels)
		fits = fits && (at[k] < 0 || at[k] == c)
		at[k] = c
		i++
	})
	if !fits {
		return errors.New("the mean is not one of each channel over all places")
	}
	x, err := r.reshaped(t.value, shape)
	if err != nil {
		return err
	}
	v, err := r.put(graph.Mean{}, x)
	if err != nil {
		return err
	}
	return r.give(0, operand{tensor: r.simplify(&tensor{value: v, dims: dims, batch: batch, at: at})})
}

// concat joins tensors along an axis: channels of sequences and images whose elements lie in order, or
// else all the values that the tensors are of, as one vector.
func (r *reader) concat() error {
	if len(r.n.in) > 0 && r.isConstant(0) {
		return r.joinConstants()
	}
	var all []*tensor
	for i := range r.n.in {
		t, err := r.tensor(i)
		if err != nil {
			return err
		}
		all = append(all, t)
	}
	if len(all) < 2 {
		return r.identity()
	}
	first := all[0]
	k, err := axis(r.integer("axis", 1), len(first.dims))
	if err != nil {
		return err
	}
	if k == first.batch {
		return errors.New("along the batch")
	}
	dims := slices.Clone(first.dims)
	dims[k] = 0
	for _, t := range all {
		same := slices.Clone(t.dims)
		if len(same) == len(first.dims) {
			dims[k] += same[k]
			same[k] = first.dims[k]
		}
		if !slices.Equal(same, first.dims) || dims[k] > maxSize {
			return fmt.Errorf("joins %v and %v along axis %d", first.dims, t.dims, k)
		}
	}
	if _, err := r.spend(dims); err != nil {
		return err
	}
	if in, ok := r.channels(all, k); ok {
		v, err := r.put(graph.Concat{}, in...)
		if err != nil {
			return err
		}
		out := &tensor{value: v, dims: dims}
		if len(dims) == 4 {
			out.at = planesOf(r.g.Nodes[v].Shape)
		}
		return r.give(0, operand{tensor: out})
	}
	in, starts, n := make([]graph.Value, len(all)), make([]int, len(all)), 0
	for i, t := range all {
		whole := r.whole(t)
		if n > maxSize-whole {
			return fmt.Errorf("joins more than %d values", maxSize)
		}
		starts[i] = n
		n += whole
		if in[i], err = r.reshaped(t.value, graph.Vector(whole)); err != nil {
			return err
		}
	}
	if err := r.spendNumbers(n); err != nil {
		return err
	}
	v, err := r.put(graph.Concat{}, in...)
	if err != nil {
		return err
	}
	out := &tensor{value: v, dims: dims, batch: first.batch, at: make([]int32, 0, size(dims))}
	inner := size(dims[k+1:])
	for o := range size(dims[:k]) {
		for i, t := range all {
			run := t.dims[k] * inner
			for j := range run {
				out.at = append(out.at, int32(starts[i]+t.place(o*run+j)))
			}
		}
	}
	return r.give(0, operand{tensor: r.simplify(out)})
}

// channels returns the values of sequences or images that are joined along their channels.
func (r *reader) channels(all []*tensor, k int) (in []graph.Value, ok bool) {
	for _, t := range all {
		var shape graph.Shape
		var order []int32
		switch {
		case len(t.dims) == 3 && k == 2:
			shape = graph.Sequence(size(t.dims)/t.dims[2], t.dims[2])
		case len(t.dims) == 4 && k == 1 && t.batch == 0:
			shape = graph.Shape{Height: t.dims[2], Width: t.dims[3], Channels: t.dims[1]}
			order = planesOf(shape)
		default:
			return nil, false
		}
		v, err := r.arranged(t, shape, order)
		if err != nil {
			return nil, false
		}
		in = append(in, v)
	}
	return in, true
}

// identity gives the first input another name.
func (r *reader) identity() error {
	if len(r.n.in) == 0 {
		return errors.New("no input")
	}
	o := r.operand(0)
	if o.tensor != nil {
		t := *o.tensor
		t.fresh = false
		o.tensor = &t
	}
	return r.give(0, o)
}

// cast changes nothing: bytes and indices are whole numbers in floats. What is computed can only be
// cast to floats.
func (r *reader) cast() error {
	to := elemType(r.integer("to", 0))
	o := r.operand(0)
	switch {
	case o.bag != nil && to == typeFloat:
		return r.give(0, o)
	case r.isConstant(0):
		c, err := r.constantOf(0)
		if err != nil {
			return err
		}
		if (c.ints != nil) != (to == typeInt64) {
			return fmt.Errorf("a constant of %s to %v", c.kind(), to)
		}
		return r.identity()
	}
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	whole := (to == typeInt64 || to == typeInt32) && r.whole(t) > 0
	if whole {
		_, err := r.indexOf(t)
		whole = err == nil
	}
	if to != typeFloat && !whole {
		return fmt.Errorf("to %v", to)
	}
	return r.identity()
}

// indexOf returns the input of bytes or indices that a tensor is, as places of one channel.
func (r *reader) indexOf(t *tensor) (graph.Value, error) {
	v, err := r.arranged(t, graph.Sequence(size(t.dims), 1), nil)
	if err != nil {
		return 0, err
	}
	n := &r.g.Nodes[v]
	if _, ok := n.Op.(graph.Reshape); ok {
		n = &r.g.Nodes[n.In[0]]
	}
	if in, ok := n.Op.(graph.Input); !ok || in.Kind == graph.Float {
		return 0, errors.New("its indices are not an input of the network of whole numbers")
	}
	return v, nil
}

// embedding picks rows of a table.
func (r *reader) embedding() error {
	table, err := r.weightsOf(0, 2)
	if err != nil {
		return err
	}
	if err := r.only("axis", 0); err != nil {
		return err
	}
	t := r.operand(1).tensor
	x, err := r.indexOf(t)
	if err != nil {
		return err
	}
	op := graph.Embedding{Count: table.dims[0], Size: table.dims[1], Weight: table.floats}
	if n := r.g.Nodes[x].Op; n == (graph.Input{Kind: graph.Byte}) && op.Count < 256 {
		return fmt.Errorf("a table of %d rows for bytes", op.Count)
	}
	dims := append(slices.Clone(t.dims), op.Size)
	if _, err := r.spend(dims); err != nil {
		return err
	}
	v, err := r.put(op, x)
	if err != nil {
		return err
	}
	return r.give(0, operand{tensor: &tensor{value: v, dims: dims, batch: t.batch}})
}
