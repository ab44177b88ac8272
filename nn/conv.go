package nn

import (
	"fmt"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/nn/graph"
)

// Image is the shape of one sample of a convolution: (Height, Width, Channels).
// A text of L places is an Image of height 1 and width L.
type Image = graph.Shape

// Conv2D is a convolution over (n, H, W, C) with weights (kernel height, kernel width, C, out):
// PyTorch's with its first two dimensions moved last and exchanged.
//
//	y[i, j, o] = b[o] + Σ W[u, v, c, o] · x[i·StrideH + u − PadH, j·StrideW + v − PadW, c]
//
// It is one matrix product of patches with W. Where the patches lie in x as they are (1×1, or
// rows of a text that overlap) nothing is copied.
type Conv2D struct {
	In, Out Image
	graph.Geometry

	Weight *Param // (KernelH, KernelW, In.Channels, Out.Channels)
	Bias   *Param // (Out.Channels); nil for none

	// Leaf says that x needs no gradient: Backward returns nil.
	Leaf bool

	x, y, dx []float32
	patches  []float32 // (images at a time · Out.Height · Out.Width, patch)
	dpatches []float32
}

// NewConv2D returns a square convolution without a bias, as before a BatchNorm; AddBias adds one.
func NewConv2D(name string, in Image, out, kernel, stride, pad int) *Conv2D {
	return newConv(name, Conv2D{
		In: in, Out: Image{Channels: out},
		Geometry: graph.Geometry{KernelH: kernel, KernelW: kernel, StrideH: stride, StrideW: stride, PadH: pad, PadW: pad},
	})
}

// NewConv1D returns a convolution over a text of length places, without padding and without a
// bias: x is (n, length, in), y is (n, (length−width)/stride + 1, out).
func NewConv1D(name string, length, in, out, width, stride int) *Conv2D {
	return newConv(name, Conv2D{
		In: graph.Sequence(length, in), Out: Image{Channels: out},
		Geometry: graph.Geometry{KernelH: 1, KernelW: width, StrideH: 1, StrideW: stride},
	})
}

func newConv(name string, c Conv2D) *Conv2D {
	var err error
	if c.Out.Height, c.Out.Width, err = c.Over(c.In); err != nil {
		panic(fmt.Sprintf("nn: convolution %s: %v", name, err))
	}
	c.Weight = newParam(name+".weight", FanIn(c.patch()), c.KernelH, c.KernelW, c.In.Channels, c.Out.Channels)
	return &c
}

// AddBias gives the convolution a bias with PyTorch's default start and returns it.
func (c *Conv2D) AddBias(name string) *Conv2D {
	c.Bias = newParam(name+".bias", FanIn(c.patch()), c.Out.Channels)
	return c
}

// patch is the number of values that one output value looks at: a row of the matrix product.
func (c *Conv2D) patch() int { return c.KernelH * c.KernelW * c.In.Channels }

// pointwise reports whether x itself is the matrix of patches.
func (c *Conv2D) pointwise() bool {
	return c.KernelH == 1 && c.KernelW == 1 && c.StrideH == 1 && c.StrideW == 1 && c.PadH == 0 && c.PadW == 0
}

// overlapping reports whether the patches of one sample are runs of x, StrideW places apart.
func (c *Conv2D) overlapping() bool {
	return c.KernelH == 1 && c.In.Height == 1 && c.PadH == 0 && c.PadW == 0
}

// Forward maps (n, In) to (n, Out).
func (c *Conv2D) Forward(_ Pass, x []float32) []float32 {
	n := rows("Conv2D", x, c.In.Size())
	c.x = x
	c.y = sized(c.y, n*c.Out.Size())
	places, patch, out := c.Out.Height*c.Out.Width, c.patch(), c.Out.Channels
	switch {
	case c.pointwise():
		product(c.y, x, c.Weight, c.Bias, n*places, patch, out, patch)
	case c.overlapping():
		for i := range n {
			product(c.y[i*c.Out.Size():], x[i*c.In.Size():], c.Weight, c.Bias, places, patch, out, c.StrideW*c.In.Channels)
		}
	default:
		step := c.imagesAtATime()
		for i := 0; i < n; i += step {
			m := min(step, n-i)
			c.gather(x[i*c.In.Size():], m)
			product(c.y[i*c.Out.Size():], c.patches, c.Weight, c.Bias, m*places, patch, out, patch)
		}
	}
	return c.y
}

// Backward maps (n, Out) to (n, In).
func (c *Conv2D) Backward(dy []float32) []float32 {
	n := rows("Conv2D", dy, c.Out.Size())
	places, patch, out := c.Out.Height*c.Out.Width, c.patch(), c.Out.Channels
	if !c.Leaf {
		c.dx = sized(c.dx, n*c.In.Size())
	}
	if c.pointwise() {
		weightGrad(c.Weight, c.Bias, dy, c.x, n*places, patch, out)
		if c.Leaf {
			return nil
		}
		inputGrad(c.dx, dy, c.Weight, n*places, patch, out)
		return c.dx
	}
	clear(c.dx)
	step := c.imagesAtATime()
	for i := 0; i < n; i += step {
		m := min(step, n-i)
		d := dy[i*c.Out.Size() : (i+m)*c.Out.Size()]
		c.gather(c.x[i*c.In.Size():], m)
		weightGrad(c.Weight, c.Bias, d, c.patches, m*places, patch, out)
		if !c.Leaf {
			c.dpatches = sized(c.dpatches, m*places*patch)
			inputGrad(c.dpatches, d, c.Weight, m*places, patch, out)
			c.scatter(c.dx[i*c.In.Size():], m)
		}
	}
	if c.Leaf {
		return nil
	}
	return c.dx
}

// Params returns the weight, and the bias if there is one.
func (c *Conv2D) Params() []*Param { return withBias(c.Weight, c.Bias) }

// imagesAtATime keeps the patches within 512 kB, so that they stay in a core's L2 cache, and the
// product at least one image high.
func (c *Conv2D) imagesAtATime() int {
	return max(1, 128<<10/(c.Out.Height*c.Out.Width*c.patch()))
}

// gather copies the patches of m images, zero where they reach into the padding.
func (c *Conv2D) gather(x []float32, m int) {
	c.patches = sized(c.patches, m*c.Out.Height*c.Out.Width*c.patch())
	run := c.KernelW * c.In.Channels
	at := 0
	for i := range m {
		image := x[i*c.In.Size() : (i+1)*c.In.Size()]
		for oy := range c.Out.Height {
			for ox := range c.Out.Width {
				for u := range c.KernelH {
					dst := c.patches[at : at+run]
					at += run
					from, lo, hi := c.run(oy, ox, u)
					clear(dst[:lo])
					copy(dst[lo:hi], image[from:])
					clear(dst[hi:])
				}
			}
		}
	}
}

// scatter adds the gradients of patches to those of the m images that gather took them from.
func (c *Conv2D) scatter(dx []float32, m int) {
	run := c.KernelW * c.In.Channels
	at := 0
	for i := range m {
		image := dx[i*c.In.Size() : (i+1)*c.In.Size()]
		for oy := range c.Out.Height {
			for ox := range c.Out.Width {
				for u := range c.KernelH {
					src := c.dpatches[at : at+run]
					at += run
					from, lo, hi := c.run(oy, ox, u)
					kernel.Add(image[from:from+hi-lo], src[lo:hi])
				}
			}
		}
	}
}

// run says where row u of the patch at output place (oy, ox) lies in the image: values [lo, hi)
// of that row are image[from:from+hi−lo], the others are padding.
func (c *Conv2D) run(oy, ox, u int) (from, lo, hi int) {
	iy := oy*c.StrideH + u - c.PadH
	if iy < 0 || iy >= c.In.Height {
		return 0, 0, 0
	}
	ix := ox*c.StrideW - c.PadW
	first, last := max(ix, 0), min(ix+c.KernelW, c.In.Width)
	if first >= last {
		return 0, 0, 0
	}
	ch := c.In.Channels
	return (iy*c.In.Width + first) * ch, (first - ix) * ch, (last - ix) * ch
}
