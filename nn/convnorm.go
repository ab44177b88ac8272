package nn

import (
	"iter"

	"github.com/weirnet/weir/internal/kernel"
)

// ConvNorm is a convolution and the BatchNorm behind it, bit for bit what the two give one after
// the other. Each product of a few images is looked at by the next step while it lies in the
// cache, and between the layers of a [Bottleneck] only the sums of the convolutions are kept: what
// normalisation and ReLU make of them is made again where it is read. A training step moves less
// than half of the bytes so.
type ConvNorm struct {
	Conv *Conv2D
	Norm *BatchNorm

	given given     // the input, when it was handed to Forward
	in    source    // where the input is
	z     []float32 // sums of the convolution, (n, Out)
	y, dx []float32
	part  []float32 // images(lo, hi)
	dpart []float32 // gradient of some images of z
}

// source has the images that a convolution reads. What images returns is valid until its next
// call.
type source interface{ images(lo, hi int) []float32 }

// given is a source of images that are there.
type given struct {
	x    []float32
	size int
}

func (g *given) images(lo, hi int) []float32 { return g.x[lo*g.size : hi*g.size] }

// NewConvNorm returns a layer of a convolution without a bias and a normalisation.
func NewConvNorm(conv *Conv2D, norm *BatchNorm) *ConvNorm {
	return &ConvNorm{Conv: conv, Norm: norm}
}

// Forward maps (n, In) to (n, Out).
func (c *ConvNorm) Forward(p Pass, x []float32) []float32 {
	n := rows("ConvNorm", x, c.Conv.In.Size())
	c.given = given{x, c.Conv.In.Size()}
	c.run(p, n, &c.given)
	c.y = sized(c.y, len(c.z))
	c.Norm.apply(c.y, c.z)
	return c.y
}

// run computes the sums of n images and their statistics.
func (c *ConvNorm) run(p Pass, n int, in source) {
	c.begin(p, n, in)
	for lo, hi := range ranges(n, c.Conv.imagesAtATime()) {
		c.convolve(lo, hi)
	}
	c.Norm.settle()
}

// begin starts a run; convolve takes images in order.
func (c *ConvNorm) begin(p Pass, n int, in source) {
	c.in = in
	c.z = sized(c.z, n*c.Conv.Out.Size())
	c.Norm.begin(p, c.z)
}

func (c *ConvNorm) convolve(lo, hi int) {
	out := c.Conv.Out.Size()
	c.Conv.images(c.z[lo*out:hi*out], c.in.images(lo, hi), hi-lo)
	c.Norm.observe(hi * out)
}

// ranges cuts [0, n) into ranges of at most step.
func ranges(n, step int) iter.Seq2[int, int] {
	return func(yield func(lo, hi int) bool) {
		for lo := 0; lo < n && yield(lo, min(lo+step, n)); lo += step {
		}
	}
}

// images is the output for some images after run.
func (c *ConvNorm) images(lo, hi int) []float32 {
	out := c.Conv.Out.Size()
	c.part = sized(c.part, (hi-lo)*out)
	c.Norm.apply(c.part, c.z[lo*out:hi*out])
	return c.part
}

// Backward maps (n, Out) to (n, In).
func (c *ConvNorm) Backward(dy []float32) []float32 {
	c.Norm.beginGrad(len(dy))
	for lo, hi := range ranges(len(dy), blockRows*c.Norm.Channels) {
		d := dy[lo:hi]
		if c.Norm.ReLU {
			kernel.ReLUGrad(d, d, c.y[lo:])
		}
		c.Norm.observeGrad(d)
	}
	if !c.Conv.Leaf {
		c.dx = sized(c.dx, len(dy)/c.Conv.Out.Size()*c.Conv.In.Size())
	}
	c.back(c.dx, dy, nil)
	return c.dx
}

// back goes back through the layer after the gradient dy of the output was observed. It writes the
// gradient of the input to dx, if there is one. before is the layer that the input came from, if
// there is one: the gradient of its output goes through its ReLU and is observed there.
func (c *ConvNorm) back(dx, dy []float32, before *ConvNorm) {
	n := c.beginBack(dx != nil)
	if before != nil {
		before.Norm.beginGrad(len(dx))
	}
	for lo, hi := range ranges(n, c.Conv.imagesAtATime()) {
		x := c.in.images(lo, hi)
		c.correlate(dx, dy, x, lo, hi, false)
		if before != nil {
			d := dx[lo*c.Conv.In.Size() : hi*c.Conv.In.Size()]
			if before.Norm.ReLU {
				kernel.ReLUGrad(d, d, x)
			}
			before.Norm.observeGrad(d)
		}
	}
}

// beginBack starts going back and returns the number of images, which correlate takes in any
// order.
func (c *ConvNorm) beginBack(input bool) int {
	n := len(c.z) / c.Conv.Out.Size()
	if n > 0 {
		c.Norm.settleGrad()
	}
	if input {
		c.Conv.turn()
	}
	return n
}

// correlate goes back through the layer for images whose input is x.
func (c *ConvNorm) correlate(dx, dy, x []float32, lo, hi int, add bool) {
	in, out := c.Conv.In.Size(), c.Conv.Out.Size()
	c.dpart = sized(c.dpart, (hi-lo)*out)
	c.Norm.inputGrad(c.dpart, dy[lo*out:hi*out], c.z[lo*out:hi*out])
	c.Conv.weightGrad(c.dpart, x, hi-lo)
	if dx != nil {
		c.Conv.inputGrad(dx[lo*in:hi*in], c.dpart, hi-lo, add)
	}
}

// Params returns those of the convolution, then those of the normalisation.
func (c *ConvNorm) Params() []*Param { return append(c.Conv.Params(), c.Norm.Params()...) }
