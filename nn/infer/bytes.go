package infer

import (
	"slices"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/nn/graph"
)

// quantised is a matrix of weights over bytes as int8, with a scale for each column:
//
//	Σ (gain·q + offset)·w  ≈  scale·Σ q·int8 + bias
type quantised struct {
	weight      []int8
	scale, bias []float32
}

// quantise takes rows of weights, a gain and an offset of the byte before each, and a bias. What
// the offsets add is taken from the weights as they are rounded, so that a byte which stands for 0
// adds nothing.
func quantise(weight, gain, offset, bias []float32) *quantised {
	n := len(bias)
	z := &quantised{make([]int8, len(weight)), make([]float32, n), slices.Clone(bias)}
	for i, w := range weight {
		z.scale[i%n] = max(z.scale[i%n], abs(w*gain[i/n])/127)
	}
	sums := make([]float64, n)
	for i, w := range weight {
		scale := z.scale[i%n]
		if scale == 0 {
			continue
		}
		q := nearest(w * gain[i/n] / scale)
		z.weight[i] = q
		sums[i%n] += float64(q) * float64(scale) * float64(offset[i/n]) / float64(gain[i/n])
	}
	for j, s := range sums {
		z.bias[j] += float32(s)
	}
	return z
}

func abs(x float32) float32 { return max(x, -x) }

// nearest returns the nearest whole number of what lies between -127 and 127.
func nearest(x float32) int8 {
	if x < 0 {
		return -int8(0.5 - x)
	}
	return int8(x + 0.5)
}

// rows appends the codes of the bytes before the rows of a matrix: as many places of channels as
// there are.
func (a *affine) rows(gain, offset []float32, n int) (gains, offsets []float32) {
	for i := range n {
		gain = append(gain, a.gain[i%len(a.gain)])
		offset = append(offset, a.offset[i%len(a.offset)])
	}
	return gain, offset
}

// byteProduct is a product with packed weights of int8.
type byteProduct struct {
	operands
	weights  *kernel.ByteWeights
	template kernel.ByteProduct

	// text is what the last part, of one place, reads if that is a table's lookup. starts are the sums
	// that its windows from each number on add where they have nothing but padding.
	text   *tableLookup
	starts [][]int32
}

func (c *compiler) byteProduct(v graph.Value, l *product) operation {
	to := &c.values[v]
	o := &byteProduct{operands: operands{to: to, single: c.batchless(l)}}
	o.template.ReLU = l.relu
	var weight, gain, offset []float32
	var runs []kernel.Runs
	for i, q := range l.parts {
		from := &c.values[q.in]
		weight = append(weight, q.weight...)
		gain, offset = c.codes[q.in].rows(gain, offset, len(q.weight)/l.out)
		o.parts = append(o.parts, window{from, -q.PadH*from.line - q.PadW*from.place, q.PadH, q.StrideH})
		a := &o.template.A[i]
		a.RowStride, a.ColStride, a.SegmentStride = q.StrideH*from.line, q.StrideW*from.place, from.line
		if !o.single {
			a.RowStride = from.stride()
		}
		runs = append(runs, kernel.Runs{Segments: q.KernelH, Length: q.KernelW * from.shape.Channels})
	}
	z := quantise(weight, gain, offset, l.bias)
	for _, r := range l.residual {
		o.residual = &c.values[r]
		p := &o.template.Residual
		p.RowStride, p.ColStride = o.residual.line, o.residual.place
		if !o.single {
			p.RowStride = o.residual.stride()
		}
		code := &c.codes[r]
		o.template.ResidualScale = code.gain[0]
		for j := range z.bias {
			z.bias[j] += code.offset[0]
		}
	}
	row := to.line
	if !o.single {
		row = to.stride()
	}
	if to.bytes {
		o.template.Dst.RowStride, o.template.Dst.ColStride = row, to.place
		code := &c.codes[v]
		o.template.ResidualScale /= code.gain[0]
		for j := range z.bias {
			z.scale[j] /= code.gain[0]
			z.bias[j] = (z.bias[j] - code.offset[0]) / code.gain[0]
		}
	} else {
		o.template.Floats.RowStride, o.template.Floats.ColStride = row, to.place
	}
	o.weights = kernel.PackBytes(z.weight, l.out, z.scale, z.bias, runs...)
	last := l.parts[len(l.parts)-1]
	if text := c.texts[c.plan.text(last.in)]; text != nil && !o.single && text.padBytes != nil && text.to.shape.Channels%4 == 0 &&
		c.values[last.in].shape.Places() == 1 && last.KernelW == 1 {
		o.text = text
		o.sumPadding(z.weight[len(z.weight)-len(last.weight):], l.out)
	}
	return o
}

// sumPadding sets starts, for the weights of the last part.
func (o *byteProduct) sumPadding(weight []int8, out int) {
	places, width := o.text.to.shape.Places(), o.text.to.shape.Channels
	o.starts = make([][]int32, places+1)
	sums := make([]int32, (out+15)&^15)
	o.starts[places] = slices.Clone(sums)
	for n := places - 1; n >= 0; n-- {
		for i := n * width; i < (n+1)*width; i++ {
			for j, w := range weight[i*out : (i+1)*out] {
				sums[j] += int32(o.text.padBytes[i]) * int32(w)
			}
		}
		o.starts[n] = slices.Clone(sums)
	}
}

func (o *byteProduct) run(w *Worker, from, to int) {
	if o.text != nil {
		for ; from < to; from += together {
			rows := min(to-from, together)
			tails := w.tails[o.text.tail+from:][:rows]
			// Windows that have more than padding in some sample.
			o.multiply(w, from, kernel.Grid{Height: rows, Width: o.to.shape.Width}, max(1, slices.Max(tails)))
		}
		return
	}
	if !o.single {
		o.multiply(w, from, kernel.Grid{Height: to - from, Width: o.to.shape.Width}, 0)
		return
	}
	for s := from; s < to; s++ {
		o.multiply(w, s, kernel.Grid{Height: o.lines(w, s), Width: o.to.shape.Width}, 0)
	}
}

func (o *byteProduct) multiply(w *Worker, sample int, g kernel.Grid, windows int) {
	p := o.template
	p.Grid = g
	if windows > 0 {
		p.Cut, p.Start = windows*o.text.to.shape.Channels, o.starts[windows]
	}
	for i := range o.parts {
		q := &o.parts[i]
		p.A[i].Data = w.bytes[q.from.first(sample)+q.at:]
	}
	if o.residual != nil {
		p.Residual.Data = w.bytes[o.residual.first(sample):]
	}
	if o.to.bytes {
		p.Dst.Data = w.bytes[o.to.first(sample):]
	} else {
		p.Floats.Data = w.floats[o.to.first(sample):]
	}
	o.weights.Multiply(&p)
}

// quantising makes bytes of floats.
type quantising struct {
	to, from    *value
	scale, zero float32
}

func (c *compiler) rounding(v graph.Value, l *rounding) operation {
	code := &c.codes[v]
	return &quantising{&c.values[v], &c.values[l.in], 1 / code.gain[0], -code.offset[0] / code.gain[0]}
}

func (o *quantising) run(w *Worker, from, to int) {
	eachRun(w.bytes, w.floats, o.to, o.from, from, to, func(y []uint8, x []float32) {
		kernel.Quantise(y, x, o.scale, o.zero)
	})
}

// byteMean is the mean of each channel over all places, whose bytes have no offset.
type byteMean struct {
	to, from *value
	scale    float32
}

func (c *compiler) byteMean(to *value, in graph.Value) operation {
	from := &c.values[in]
	return &byteMean{to, from, c.codes[in].gain[0] / float32(from.shape.Places())}
}

func (o *byteMean) run(w *Worker, from, to int) {
	for s := from; s < to; s++ {
		at := o.from.first(s)
		kernel.AverageBytes(o.to.row(w, s, 0, 0, o.from.shape.Channels), w.bytes[at:at+o.from.shape.Size()], o.scale)
	}
}
