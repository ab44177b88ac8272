package nn

import (
	"iter"
	"slices"

	"github.com/weirnet/weir/internal/kernel"
)

// Bottleneck is a residual block (He et al. 2016, figure 5 right): 1×1 down to few channels, 3×3,
// 1×1 up, each normalised; the input is added before the last ReLU. Where the shape changes, the
// input goes through a 1×1 projection. The stride is that of the 3×3 convolution.
type Bottleneck struct {
	In, Out Image

	narrow, middle, widen *ConvNorm
	projection            *ConvNorm // nil where the shape stays

	in              given
	y, dx           []float32
	dNarrow, dWiden []float32 // gradients of what narrow and middle put out
	offset          []float32 // of body and projection together
}

// NewBottleneck returns a block from in to out channels through mid, its sides divided by stride.
func NewBottleneck(name string, in Image, mid, out, stride int) *Bottleneck {
	narrow := NewConv2D(name+".conv1", in, mid, 1, 1, 0)
	middle := NewConv2D(name+".conv2", narrow.Out, mid, 3, stride, 1)
	widen := NewConv2D(name+".conv3", middle.Out, out, 1, 1, 0)
	b := &Bottleneck{
		In: in, Out: widen.Out,
		narrow: NewConvNorm(narrow, NewBatchNormReLU(name+".bn1", mid)),
		middle: NewConvNorm(middle, NewBatchNormReLU(name+".bn2", mid)),
		widen:  NewConvNorm(widen, NewBatchNorm(name+".bn3", out)),
	}
	if b.In != b.Out {
		b.projection = NewConvNorm(NewConv2D(name+".projection.conv", in, out, 1, stride, 0), NewBatchNorm(name+".projection.bn", out))
	}
	return b
}

// Forward maps (n, In) to (n, Out).
func (b *Bottleneck) Forward(p Pass, x []float32) []float32 {
	n := rows("Bottleneck", x, b.In.Size())
	b.in = given{x, b.In.Size()}
	b.narrow.run(p, n, &b.in)
	b.middle.run(p, n, b.narrow)
	b.widen.run(p, n, b.middle)
	b.y = sized(b.y, n*b.Out.Size())
	if b.projection == nil {
		b.widen.Norm.apply(b.y, b.widen.z)
		kernel.AddReLU(b.y, b.y, x)
		return b.y
	}
	b.projection.run(p, n, &b.in)
	body, shortcut := b.widen.Norm, b.projection.Norm
	b.offset = sized(b.offset, len(body.offset))
	for j := range b.offset {
		b.offset[j] = body.offset[j] + shortcut.offset[j]
	}
	for lo, hi := range b.blocks() {
		kernel.Affine2(b.y[lo:hi], b.widen.z[lo:hi], b.projection.z[lo:hi], body.gain, shortcut.gain, b.offset)
		kernel.ReLU(b.y[lo:hi], b.y[lo:hi])
	}
	return b.y
}

// blocks are the ranges of y that hold blockRows rows each.
func (b *Bottleneck) blocks() iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		step := blockRows * b.Out.Channels
		for lo := 0; lo < len(b.y); lo += step {
			if !yield(lo, min(lo+step, len(b.y))) {
				return
			}
		}
	}
}

// Backward maps (n, Out) to (n, In).
func (b *Bottleneck) Backward(dy []float32) []float32 {
	n := rows("Bottleneck", dy, b.Out.Size())
	b.widen.Norm.beginGrad(len(dy))
	if b.projection != nil {
		b.projection.Norm.beginGrad(len(dy))
	}
	for lo, hi := range b.blocks() {
		d := dy[lo:hi]
		kernel.ReLUGrad(d, d, b.y[lo:hi])
		b.widen.Norm.observeGrad(d)
		if b.projection != nil {
			b.projection.Norm.observeGrad(d)
		}
	}
	b.dWiden = sized(b.dWiden, n*b.widen.Conv.In.Size())
	b.dNarrow = sized(b.dNarrow, n*b.middle.Conv.In.Size())
	b.dx = sized(b.dx, n*b.In.Size())
	b.widen.back(b.dWiden, dy, b.middle, false)
	b.middle.back(b.dNarrow, b.dWiden, b.narrow, false)
	b.narrow.back(b.dx, b.dNarrow, nil, false)
	if b.projection != nil {
		b.projection.back(b.dx, dy, nil, true)
	} else {
		kernel.Add(b.dx, dy)
	}
	return b.dx
}

// Params returns those of the body, then those of the projection.
func (b *Bottleneck) Params() []*Param {
	ps := slices.Concat(b.narrow.Params(), b.middle.Params(), b.widen.Params())
	if b.projection != nil {
		ps = append(ps, b.projection.Params()...)
	}
	return ps
}
