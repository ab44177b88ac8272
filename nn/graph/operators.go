package graph

import (
	"fmt"
	"math"
)

// Kind is what the numbers of an input are.
type Kind uint8

// Kinds of inputs.
const (
	Float Kind = iota // any finite numbers
	Byte              // whole numbers from 0 to 255: payload
	Index             // whole numbers from 0: places in a table, see Embedding and Bag
)

func (k Kind) String() string { return [...]string{"a float", "a byte", "an index"}[k] }

func (k Kind) check(x []float32) error {
	for i, v := range x {
		switch {
		case v-v != 0:
			return fmt.Errorf("value %d is %v", i, v)
		case k != Float && (v < 0 || v != float32(math.Trunc(float64(v)))), k == Byte && v > 255:
			return fmt.Errorf("value %d is %v, want %v", i, v, k)
		}
	}
	return nil
}

// Input is a value that comes from outside.
type Input struct{ Kind Kind }

func (Input) shape([]Shape) (Shape, error) {
	return Shape{}, fmt.Errorf("an input is added by Graph.Input")
}
func (Input) run([]float32, [][]float32, []Shape) {}

// Geometry is how the filters of a convolution move over an image.
type Geometry struct {
	KernelH, KernelW int
	StrideH, StrideW int
	PadH, PadW       int // rows and columns of zeros on both sides
}

// Over returns the places of the result over an image, or says why there are none.
func (g Geometry) Over(in Shape) (height, width int, err error) {
	if g.KernelH <= 0 || g.KernelW <= 0 || g.StrideH <= 0 || g.StrideW <= 0 || g.PadH < 0 || g.PadW < 0 ||
		in.Height+2*g.PadH < g.KernelH || in.Width+2*g.PadW < g.KernelW {
		return 0, 0, fmt.Errorf("kernel %d×%d, stride %d×%d, padding %d×%d over %v",
			g.KernelH, g.KernelW, g.StrideH, g.StrideW, g.PadH, g.PadW, in)
	}
	return (in.Height+2*g.PadH-g.KernelH)/g.StrideH + 1, (in.Width+2*g.PadW-g.KernelW)/g.StrideW + 1, nil
}

// Conv is a convolution:
//
//	y[i, j, o] = Bias[o] + Σ Weight[u, v, c, o] · x[i·StrideH + u − PadH, j·StrideW + v − PadW, c]
type Conv struct {
	Geometry
	Out    int       // channels of the result
	Weight []float32 // (KernelH, KernelW, channels of x, Out)
	Bias   []float32 // (Out); nil for none
}

func (c Conv) shape(in []Shape) (Shape, error) {
	if err := arity(in, 1); err != nil {
		return Shape{}, err
	}
	h, w, err := c.Over(in[0])
	if err != nil {
		return Shape{}, err
	}
	return Shape{h, w, c.Out}, weights(c.Weight, c.KernelH*c.KernelW*in[0].Channels*c.Out, c.Bias, c.Out)
}

func (c Conv) run(y []float32, xs [][]float32, in []Shape) {
	x, s := xs[0], in[0]
	height, width, _ := c.Over(s)
	for i := range height {
		for j := range width {
			sums := y[(i*width+j)*c.Out:][:c.Out]
			copy(sums, c.Bias)
			for u := range c.KernelH {
				for v := range c.KernelW {
					row, col := i*c.StrideH+u-c.PadH, j*c.StrideW+v-c.PadW
					if row < 0 || row >= s.Height || col < 0 || col >= s.Width {
						continue
					}
					for ch := range s.Channels {
						axpy(sums, x[(row*s.Width+col)*s.Channels+ch], c.Weight[((u*c.KernelW+v)*s.Channels+ch)*c.Out:])
					}
				}
			}
		}
	}
}

// Affine scales and shifts each channel, as a batch normalisation does in evaluation:
//
//	y = Gain·x + Offset
type Affine struct{ Gain, Offset []float32 } // (channels) each

func (a Affine) shape(in []Shape) (Shape, error) {
	if err := arity(in, 1); err != nil {
		return Shape{}, err
	}
	return in[0], weights(a.Gain, in[0].Channels, a.Offset, in[0].Channels)
}

func (a Affine) run(y []float32, x [][]float32, in []Shape) {
	for i, v := range x[0] {
		c := i % in[0].Channels
		y[i] = a.Gain[c]*v + a.Offset[c]
	}
}

// ReLU is y = max(0, x).
type ReLU struct{}

func (ReLU) shape(in []Shape) (Shape, error) { return same(in, 1) }
func (ReLU) run(y []float32, x [][]float32, _ []Shape) {
	for i, v := range x[0] {
		y[i] = max(0, v)
	}
}

// Add is the sum of two values of one shape.
type Add struct{}

func (Add) shape(in []Shape) (Shape, error) { return same(in, 2) }
func (Add) run(y []float32, x [][]float32, _ []Shape) {
	for i := range y {
		y[i] = x[0][i] + x[1][i]
	}
}

// Mean is the mean of each channel over all places: (H, W, C) to a vector of C.
type Mean struct{}

func (Mean) shape(in []Shape) (Shape, error) {
	if err := arity(in, 1); err != nil {
		return Shape{}, err
	}
	return Vector(in[0].Channels), nil
}

func (Mean) run(y []float32, x [][]float32, in []Shape) {
	for i, v := range x[0] {
		y[i%in[0].Channels] += v
	}
	for i := range y {
		y[i] /= float32(in[0].Places())
	}
}

// Dense is a product with a matrix at each place; [Reshape] makes one place of an image:
//
//	y = x·Weight + Bias
type Dense struct {
	Out    int
	Weight []float32 // (channels of x, Out)
	Bias   []float32 // (Out); nil for none
}

func (d Dense) shape(in []Shape) (Shape, error) {
	if err := arity(in, 1); err != nil {
		return Shape{}, err
	}
	return Shape{in[0].Height, in[0].Width, d.Out}, weights(d.Weight, in[0].Channels*d.Out, d.Bias, d.Out)
}

func (d Dense) run(y []float32, x [][]float32, in []Shape) {
	width := in[0].Channels
	for p := range in[0].Places() {
		sums := y[p*d.Out : (p+1)*d.Out]
		copy(sums, d.Bias)
		for i, v := range x[0][p*width : (p+1)*width] {
			axpy(sums, v, d.Weight[i*d.Out:])
		}
	}
}

// Concat joins the channels of values that have the same places.
type Concat struct{}

func (Concat) shape(in []Shape) (Shape, error) {
	if len(in) < 2 {
		return Shape{}, fmt.Errorf("%d inputs, want at least 2", len(in))
	}
	out := in[0]
	for _, s := range in[1:] {
		if s.Height != out.Height || s.Width != out.Width {
			return Shape{}, fmt.Errorf("joins %v and %v", out, s)
		}
		out.Channels += s.Channels
	}
	return out, nil
}

func (Concat) run(y []float32, x [][]float32, in []Shape) {
	for p := range in[0].Places() {
		for i, s := range in {
			y = y[copy(y, x[i][p*s.Channels:(p+1)*s.Channels]):]
		}
	}
}

// Reshape reads the values of x, which stay where they are, as another shape of the same size.
type Reshape struct{ To Shape }

func (r Reshape) shape(in []Shape) (Shape, error) {
	if err := arity(in, 1); err != nil {
		return Shape{}, err
	}
	if r.To.Size() != in[0].Size() || r.To.Size() == 0 {
		return Shape{}, fmt.Errorf("reads %v as %v", in[0], r.To)
	}
	return r.To, nil
}

func (Reshape) run(y []float32, x [][]float32, _ []Shape) { copy(y, x[0]) }

// Embedding is a row of a table for each index: places of one channel to places of Size channels.
type Embedding struct {
	Count, Size int
	Weight      []float32 // (Count, Size)
}

func (e Embedding) shape(in []Shape) (Shape, error) {
	if err := arity(in, 1); err != nil {
		return Shape{}, err
	}
	if in[0].Channels != 1 {
		return Shape{}, fmt.Errorf("indices have the shape %v", in[0])
	}
	return Shape{in[0].Height, in[0].Width, e.Size}, weights(e.Weight, e.Count*e.Size, nil, 0)
}

func (e Embedding) run(y []float32, x [][]float32, _ []Shape) {
	for i, v := range x[0] {
		copy(y[i*e.Size:(i+1)*e.Size], e.Weight[int(v)*e.Size:])
	}
}

// Bag is the sum of the table's rows at all indices of a sample, divided by the root of how many
// there are. The index Count stands for none, so that samples with fewer have the same shape.
type Bag struct {
	Count, Size int
	Weight      []float32 // (Count, Size)
}

func (b Bag) shape(in []Shape) (Shape, error) {
	if err := arity(in, 1); err != nil {
		return Shape{}, err
	}
	if in[0].Channels != 1 {
		return Shape{}, fmt.Errorf("indices have the shape %v", in[0])
	}
	return Vector(b.Size), weights(b.Weight, b.Count*b.Size, nil, 0)
}

func (b Bag) run(y []float32, x [][]float32, _ []Shape) {
	n := 0
	for _, v := range x[0] {
		if int(v) < b.Count {
			axpy(y, 1, b.Weight[int(v)*b.Size:])
			n++
		}
	}
	for i := range y {
		y[i] *= float32(1 / math.Sqrt(float64(max(n, 1))))
	}
}

// LSTM is one layer of a long short-term memory over the places of x, in order, from a zero state:
//
//	i, f, o = σ(x·Wx + h·Wh + Bias)    each with its quarter, in the order i, f, g, o
//	g       = tanh(x·Wx + h·Wh + Bias)
//	c       = f·c + i·g
//	h       = o·tanh(c)
//
// The result is h at every place.
type LSTM struct {
	Hidden int
	Wx     []float32 // (channels of x, 4·Hidden)
	Wh     []float32 // (Hidden, 4·Hidden)
	Bias   []float32 // (4·Hidden)
}

func (l LSTM) shape(in []Shape) (Shape, error) {
	if err := arity(in, 1); err != nil {
		return Shape{}, err
	}
	if in[0].Height != 1 {
		return Shape{}, fmt.Errorf("a sequence has the shape %v", in[0])
	}
	if err := weights(l.Wh, l.Hidden*4*l.Hidden, nil, 0); err != nil {
		return Shape{}, err
	}
	return Sequence(in[0].Width, l.Hidden), weights(l.Wx, in[0].Channels*4*l.Hidden, l.Bias, 4*l.Hidden)
}

func (l LSTM) run(y []float32, x [][]float32, in []Shape) {
	width, hidden := in[0].Channels, l.Hidden
	gates, c := make([]float32, 4*hidden), make([]float32, hidden)
	var h []float32
	for t := range in[0].Width {
		copy(gates, l.Bias)
		for i, v := range x[0][t*width : (t+1)*width] {
			axpy(gates, v, l.Wx[i*4*hidden:])
		}
		for i, v := range h {
			axpy(gates, v, l.Wh[i*4*hidden:])
		}
		h = y[t*hidden : (t+1)*hidden]
		for k := range hidden {
			c[k] = sigmoid(gates[hidden+k])*c[k] + sigmoid(gates[k])*tanh(gates[2*hidden+k])
			h[k] = sigmoid(gates[3*hidden+k]) * tanh(c[k])
		}
	}
}

// Softmax is eˣ / Σ eˣ over the channels of each place.
type Softmax struct{}

func (Softmax) shape(in []Shape) (Shape, error) { return same(in, 1) }
func (Softmax) run(y []float32, x [][]float32, in []Shape) {
	width := in[0].Channels
	for p := range in[0].Places() {
		row := x[0][p*width : (p+1)*width]
		top, sum := row[0], 0.0
		for _, v := range row {
			top = max(top, v)
		}
		for _, v := range row {
			sum += math.Exp(float64(v - top))
		}
		for i, v := range row {
			y[p*width+i] = float32(math.Exp(float64(v-top)) / sum)
		}
	}
}

func arity(in []Shape, want int) error {
	if len(in) != want {
		return fmt.Errorf("%d inputs, want %d", len(in), want)
	}
	return nil
}

// same is the shape of elementwise operators.
func same(in []Shape, want int) (Shape, error) {
	if err := arity(in, want); err != nil {
		return Shape{}, err
	}
	for _, s := range in[1:] {
		if s != in[0] {
			return Shape{}, fmt.Errorf("joins %v and %v", in[0], s)
		}
	}
	return in[0], nil
}

// weights checks the sizes of weights and of a bias that may be missing.
func weights(w []float32, want int, bias []float32, out int) error {
	if len(w) != want || want == 0 {
		return fmt.Errorf("%d weights, want %d", len(w), want)
	}
	if bias != nil && len(bias) != out {
		return fmt.Errorf("a bias of %d values, want %d", len(bias), out)
	}
	return nil
}

func axpy(dst []float32, a float32, x []float32) {
	for i, v := range x[:len(dst)] {
		dst[i] += a * v
	}
}

func sigmoid(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }
func tanh(x float32) float32    { return float32(math.Tanh(float64(x))) }
