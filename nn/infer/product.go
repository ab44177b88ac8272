package infer

import (
	"github.com/weirnet/weir/internal/kernel"
)

// floatProduct is a product with packed weights of float32.
type floatProduct struct {
	operands
	weights  *kernel.FloatWeights
	template kernel.FloatProduct
}

func (c *compiler) product(to *value, l *product) operation {
	o := &floatProduct{operands: operands{to: to, single: c.batchless(l)}}
	o.template.ReLU = l.relu
	var weight []float32
	var runs []kernel.Runs
	for i, q := range l.parts {
		from := &c.values[q.in]
		weight = append(weight, q.weight...)
		o.parts = append(o.parts, window{from, -q.PadH*from.line - q.PadW*from.place, q.PadH, q.StrideH})
		a := &o.template.A[i]
		a.RowStride, a.ColStride, a.SegmentStride = q.StrideH*from.line, q.StrideW*from.place, from.line
		runs = append(runs, kernel.Runs{Segments: q.KernelH, Length: q.KernelW * from.shape.Channels})
		if !o.single {
			a.RowStride = from.stride()
		}
	}
	d := &o.template.Dst
	d.RowStride, d.ColStride = to.line, to.place
	if !o.single {
		d.RowStride = to.stride()
	}
	for _, v := range l.residual {
		o.residual = &c.values[v]
		r := &o.template.Residual
		r.RowStride, r.ColStride = o.residual.line, o.residual.place
		if !o.single {
			r.RowStride = o.residual.stride()
		}
	}
	o.weights = kernel.PackFloats(weight, l.out, l.bias, runs...)
	return o
}

// together is how many rows of a batch are multiplied at a time where each may end before its shape does: all take as
// long as the longest of them. In a batch in order of lengths these are neighbours.
const together = 8

// batchless reports whether the lines of a product are those of an image, so that the samples of
// a batch cannot be.
func (c *compiler) batchless(l *product) bool {
	for _, q := range l.parts {
		if c.values[q.in].shape.Height > 1 || q.KernelH > 1 || q.PadH > 0 {
			return true
		}
	}
	return false
}

func (o *floatProduct) run(w *Worker, from, to int) {
	if !o.single {
		o.multiply(w, from, kernel.Grid{Height: to - from, Width: o.to.shape.Width})
		return
	}
	for s := from; s < to; s++ {
		o.multiply(w, s, kernel.Grid{Height: o.lines(w, s), Width: o.to.shape.Width})
	}
}

func (o *floatProduct) multiply(w *Worker, sample int, g kernel.Grid) {
	p := o.template
	p.Grid = g
	for i := range o.parts {
		q := &o.parts[i]
		p.A[i].Data = w.floats[q.from.first(sample)+q.at:]
	}
	if o.residual != nil {
		p.Residual.Data = w.floats[o.residual.first(sample):]
	}
	p.Dst.Data = w.floats[o.to.first(sample):]
	o.weights.Multiply(&p)
}
