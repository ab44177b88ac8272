package nn

import "github.com/weirnet/weir/internal/kernel"

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
	out, step := c.Conv.Out.Size(), c.Conv.imagesAtATime()
	c.in = in
	c.z = sized(c.z, n*out)
	c.Norm.begin(p, c.z)
	for lo := 0; lo < n; lo += step {
		hi := min(lo+step, n)
		c.Conv.images(c.z[lo*out:hi*out], in.images(lo, hi), hi-lo)
		c.Norm.observe(hi * out)
	}
	c.Norm.settle()
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
	block := blockRows * c.Norm.Channels
	for lo := 0; lo < len(dy); lo += block {
		d := dy[lo:min(lo+block, len(dy))]
		if c.Norm.ReLU {
			kernel.ReLUGrad(d, d, c.y[lo:])
		}
		c.Norm.observeGrad(d)
	}
	if c.Conv.Leaf {
		c.back(nil, dy, nil, false)
		return nil
	}
	c.dx = sized(c.dx, len(dy)/c.Conv.Out.Size()*c.Conv.In.Size())
	c.back(c.dx, dy, nil, false)
	return c.dx
}

// back goes back through the convolution after the gradient dy of the output was observed. It
// writes the gradient of the input to dx, or adds it. before is the layer that the input came
// from, if there is one: the gradient of its output goes through its ReLU and is observed there.
func (c *ConvNorm) back(dx, dy []float32, before *ConvNorm, add bool) {
	in, out, step := c.Conv.In.Size(), c.Conv.Out.Size(), c.Conv.imagesAtATime()
	n := len(dy) / out
	if n > 0 {
		c.Norm.settleGrad()
	}
	if dx != nil {
		c.Conv.turn()
	}
	if before != nil {
		before.Norm.beginGrad(n * in)
	}
	for lo := 0; lo < n; lo += step {
		hi := min(lo+step, n)
		c.dpart = sized(c.dpart, (hi-lo)*out)
		c.Norm.inputGrad(c.dpart, dy[lo*out:hi*out], c.z[lo*out:hi*out])
		x := c.in.images(lo, hi)
		c.Conv.weightGrad(c.dpart, x, hi-lo)
		if dx == nil {
			continue
		}
		d := dx[lo*in : hi*in]
		c.Conv.inputGrad(d, c.dpart, hi-lo, add)
		if before != nil {
			if before.Norm.ReLU {
				kernel.ReLUGrad(d, d, x)
			}
			before.Norm.observeGrad(d)
		}
	}
}

// Params returns those of the convolution, then those of the normalisation.
func (c *ConvNorm) Params() []*Param { return append(c.Conv.Params(), c.Norm.Params()...) }
