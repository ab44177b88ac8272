package nn

import "github.com/weirnet/weir/internal/kernel"

// Dense is y = x·W + b over rows of In values. W is (In, Out), the transpose of PyTorch's: the
// order in which the matrix product reads it without a copy.
type Dense struct {
	In, Out int
	Weight  *Param // (In, Out)
	Bias    *Param // (Out); nil for none

	// Leaf says that x needs no gradient: Backward returns nil.
	Leaf bool

	x, y, dx []float32
}

// NewDense returns a dense layer with a bias; set Bias to nil where a BatchNorm follows.
func NewDense(name string, in, out int) *Dense {
	return &Dense{
		In: in, Out: out,
		Weight: newParam(name+".weight", FanIn(in), in, out),
		Bias:   newParam(name+".bias", FanIn(in), out),
	}
}

// Forward maps (n, In) to (n, Out).
func (d *Dense) Forward(_ Pass, x []float32) []float32 {
	n := rows("Dense", x, d.In)
	d.x = x
	d.y = sized(d.y, n*d.Out)
	product(d.y, x, d.Weight, d.Bias, n, d.In, d.Out, d.In)
	return d.y
}

// Backward maps (n, Out) to (n, In).
func (d *Dense) Backward(dy []float32) []float32 {
	n := rows("Dense", dy, d.Out)
	weightGrad(d.Weight, d.Bias, dy, d.x, n, d.In, d.Out, d.In)
	if d.Leaf {
		return nil
	}
	d.dx = sized(d.dx, n*d.In)
	inputGrad(d.dx, dy, d.Weight, n, d.In, d.Out)
	return d.dx
}

// Params returns weight and bias.
func (d *Dense) Params() []*Param { return withBias(d.Weight, d.Bias) }

func withBias(weight, bias *Param) []*Param {
	if bias == nil {
		return []*Param{weight}
	}
	return []*Param{weight, bias}
}

// product is y = x·W + b: y is (m, out), W is (k, out), row i of x starts at i·stride.
func product(y, x []float32, w, b *Param, m, k, out, stride int) {
	if m == 0 {
		return
	}
	var beta float32
	if b != nil {
		beta = 1
		fillRows(y[:m*out], b.Value)
	}
	kernel.Gemm(false, false, m, out, k, x, stride, w.Value, out, beta, y, out)
}

// weightGrad adds xᵀ·dy to the gradient of W and the column sums of dy to that of b: dy is
// (m, out), x is (m, k), row i of it at i·stride.
func weightGrad(w, b *Param, dy, x []float32, m, k, out, stride int) {
	if m == 0 {
		return
	}
	w.addGrad(x, dy, m, k, out, stride)
	if b != nil {
		kernel.AddColumnSums(b.grad(), dy)
	}
}

// inputGrad is dx = dy·Wᵀ: dx is (m, k), dy is (m, out).
func inputGrad(dx, dy []float32, w *Param, m, k, out int) {
	kernel.Gemm(false, true, m, k, out, dy, out, w.Value, out, 0, dx, k)
}

// fillRows writes row into every row of y.
func fillRows(y, row []float32) {
	for i := 0; i < len(y); i += len(row) {
		copy(y[i:], row)
	}
}
