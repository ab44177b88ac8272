package nn

import (
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
	b.narrow.begin(p, n, &b.in)
	if b.projection != nil {
		b.projection.begin(p, n, &b.in)
	}
	for lo, hi := range ranges(n, b.imagesAtATime()) {
		b.narrow.convolve(lo, hi)
		if b.projection != nil {
			b.projection.convolve(lo, hi)
		}
	}
	b.narrow.Norm.settle()
	b.middle.run(p, n, b.narrow)
	b.widen.run(p, n, b.middle)
	b.y = sized(b.y, n*b.Out.Size())
	if b.projection == nil {
		b.widen.Norm.apply(b.y, b.widen.z)
		kernel.AddReLU(b.y, b.y, x)
		return b.y
	}
	b.projection.Norm.settle()
	body, shortcut := b.widen.Norm, b.projection.Norm
	b.offset = sized(b.offset, len(body.offset))
	for j := range b.offset {
		b.offset[j] = body.offset[j] + shortcut.offset[j]
	}
	for lo, hi := range ranges(len(b.y), blockRows*b.Out.Channels) {
		kernel.Affine2(b.y[lo:hi], b.widen.z[lo:hi], b.projection.z[lo:hi], body.gain, shortcut.gain, b.offset)
		kernel.ReLU(b.y[lo:hi], b.y[lo:hi])
	}
	return b.y
}

// imagesAtATime is how many images go through both ways together.
func (b *Bottleneck) imagesAtATime() int {
	n := b.narrow.Conv.imagesAtATime()
	if b.projection != nil {
		n = min(n, b.projection.Conv.imagesAtATime())
	}
	return n
}

// Backward maps (n, Out) to (n, In).
func (b *Bottleneck) Backward(dy []float32) []float32 {
	n := rows("Bottleneck", dy, b.Out.Size())
	b.widen.Norm.beginGrad(len(dy))
	if b.projection != nil {
		b.projection.Norm.beginGrad(len(dy))
	}
	for lo, hi := range ranges(len(dy), blockRows*b.Out.Channels) {
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
	b.widen.back(b.dWiden, dy, b.middle)
	b.middle.back(b.dNarrow, b.dWiden, b.narrow)
	b.narrow.beginBack(true)
	if b.projection != nil {
		b.projection.beginBack(true)
	}
	for lo, hi := range ranges(n, b.imagesAtATime()) {
		x := b.in.images(lo, hi)
		b.narrow.correlate(b.dx, b.dNarrow, x, lo, hi, false)
		if b.projection != nil {
			b.projection.correlate(b.dx, dy, x, lo, hi, true)
		} else {
			kernel.Add(b.dx[lo*b.In.Size():hi*b.In.Size()], dy[lo*b.In.Size():])
		}
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
