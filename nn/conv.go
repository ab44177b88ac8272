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
	padded   []float32 // an image in its frame of zeros
	dpadded  []float32
	turned   []float32 // the weights transposed, once for all images of a backward pass
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
	in, out, step := c.In.Size(), c.Out.Size(), c.imagesAtATime()
	for i := 0; i < n; i += step {
		m := min(step, n-i)
		c.images(c.y[i*out:(i+m)*out], x[i*in:(i+m)*in], m)
	}
	return c.y
}

// Backward maps (n, Out) to (n, In).
func (c *Conv2D) Backward(dy []float32) []float32 {
	n := rows("Conv2D", dy, c.Out.Size())
	in, out, step := c.In.Size(), c.Out.Size(), c.imagesAtATime()
	if !c.Leaf {
		c.turn()
		c.dx = sized(c.dx, n*in)
	}
	for i := 0; i < n; i += step {
		m := min(step, n-i)
		d, x := dy[i*out:(i+m)*out], c.x[i*in:(i+m)*in]
		c.weightGrad(d, x, m)
		if !c.Leaf {
			c.inputGrad(c.dx[i*in:(i+m)*in], d, m, false)
		}
	}
	if c.Leaf {
		return nil
	}
	return c.dx
}

// Params returns the weight, and the bias if there is one.
func (c *Conv2D) Params() []*Param { return withBias(c.Weight, c.Bias) }

// imagesAtATime is how many images are taken through a product together. What the product reads
// and writes stays within 256 kB, a share of a core's L2 cache, so that what is done to it before
// and after finds it there.
func (c *Conv2D) imagesAtATime() int {
	size := c.In.Size() + c.Out.Size()
	if c.gathers() {
		size += c.Out.Height * c.Out.Width * c.patch()
	}
	return max(1, 64<<10/size)
}

// gathers reports whether the patches of images are copied before they are multiplied.
func (c *Conv2D) gathers() bool { return !c.pointwise() && !c.overlapping() }

// images computes m images of the output.
func (c *Conv2D) images(y, x []float32, m int) {
	places, patch, out := c.Out.Height*c.Out.Width, c.patch(), c.Out.Channels
	switch {
	case c.pointwise():
		product(y, x, c.Weight, c.Bias, m*places, patch, out, patch)
	case c.overlapping():
		for i := range m {
			product(y[i*c.Out.Size():], x[i*c.In.Size():], c.Weight, c.Bias, places, patch, out, c.StrideW*c.In.Channels)
		}
	default:
		c.gather(x, m)
		product(y, c.patches, c.Weight, c.Bias, m*places, patch, out, patch)
	}
}

// weightGrad adds what m images say to the gradients of weight and bias. After it, inputGrad may
// be asked for the same images.
func (c *Conv2D) weightGrad(dy, x []float32, m int) {
	places, patch, out := c.Out.Height*c.Out.Width, c.patch(), c.Out.Channels
	switch {
	case c.pointwise():
		weightGrad(c.Weight, c.Bias, dy, x, m*places, patch, out, patch)
	case c.overlapping():
		for i := range m {
			weightGrad(c.Weight, c.Bias, dy[i*c.Out.Size():][:c.Out.Size()], x[i*c.In.Size():], places, patch, out, c.StrideW*c.In.Channels)
		}
	default:
		c.gather(x, m)
		weightGrad(c.Weight, c.Bias, dy, c.patches, m*places, patch, out, patch)
	}
}

// turn readies inputGrad for weights as they are now.
func (c *Conv2D) turn() {
	c.turned = sized(c.turned, c.Weight.Size())
	kernel.Transpose(c.turned, c.Weight.Value, c.patch(), c.Out.Channels)
}

// inputGrad computes the gradient of m images of x, or adds it to what dx holds.
func (c *Conv2D) inputGrad(dx, dy []float32, m int, add bool) {
	places, patch, out := c.Out.Height*c.Out.Width, c.patch(), c.Out.Channels
	if c.pointwise() {
		kernel.Gemm(false, false, m*places, patch, out, dy, out, c.turned, patch, beta(add), dx, patch)
		return
	}
	if !add {
		clear(dx)
	}
	if c.overlapping() {
		// The patches of one output value and the next overlap: but StrideW places of each patch
		// do not, so the gradient is a sum of products without overlap, each a stride further on.
		step := c.StrideW * c.In.Channels
		for i := range m {
			image, d := dx[i*c.In.Size():], dy[i*c.Out.Size():]
			for at := 0; at < patch; at += step {
				kernel.Gemm(false, false, places, min(step, patch-at), out, d, out, c.turned[at:], patch, 1, image[at:], step)
			}
		}
		return
	}
	c.dpatches = sized(c.dpatches, m*places*patch)
	kernel.Gemm(false, false, m*places, patch, out, dy, out, c.turned, patch, 0, c.dpatches, patch)
	c.scatter(dx, m)
}

func beta(add bool) float32 {
	if add {
		return 1
	}
	return 0
}

// frame is the shape of an image with its padding.
func (c *Conv2D) frame() Image {
	return Image{Height: c.In.Height + 2*c.PadH, Width: c.In.Width + 2*c.PadW, Channels: c.In.Channels}
}

// gather copies the patches of m images, zero where they reach into the padding.
func (c *Conv2D) gather(x []float32, m int) {
	places, patch, run := c.Out.Height*c.Out.Width, c.patch(), c.KernelW*c.In.Channels
	c.patches = sized(c.patches, m*places*patch)
	frame := c.frame()
	for i := range m {
		image := c.inFrame(x[i*c.In.Size() : (i+1)*c.In.Size()])
		for oy := range c.Out.Height {
			for u := range c.KernelH {
				dst := c.patches[(i*places+oy*c.Out.Width)*patch+u*run:]
				src := image[(oy*c.StrideH+u)*frame.Width*frame.Channels:]
				kernel.CopyRows(dst, src, c.Out.Width, run, patch, c.StrideW*frame.Channels)
			}
		}
	}
}

// inFrame returns the image with its padding, valid until the next call.
func (c *Conv2D) inFrame(image []float32) []float32 {
	frame := c.frame()
	if frame == c.In {
		return image
	}
	if c.padded == nil {
		c.padded = make([]float32, frame.Size())
	}
	row, step := c.In.Width*c.In.Channels, frame.Width*frame.Channels
	kernel.CopyRows(c.padded[(c.PadH*frame.Width+c.PadW)*frame.Channels:], image, c.In.Height, row, step, row)
	return c.padded
}

// scatter adds the gradients of patches to those of the m images that gather took them from.
func (c *Conv2D) scatter(dx []float32, m int) {
	places, patch, run := c.Out.Height*c.Out.Width, c.patch(), c.KernelW*c.In.Channels
	frame := c.frame()
	row, step := c.In.Width*c.In.Channels, frame.Width*frame.Channels
	for i := range m {
		image := dx[i*c.In.Size() : (i+1)*c.In.Size()]
		framed := image
		if frame != c.In {
			c.dpadded = sized(c.dpadded, frame.Size())
			clear(c.dpadded)
			framed = c.dpadded
		}
		for oy := range c.Out.Height {
			for u := range c.KernelH {
				dst := framed[(oy*c.StrideH+u)*step:]
				src := c.dpatches[(i*places+oy*c.Out.Width)*patch+u*run:]
				kernel.AddRows(dst, src, c.Out.Width, run, c.StrideW*frame.Channels, patch)
			}
		}
		if frame != c.In {
			kernel.AddRows(image, framed[(c.PadH*frame.Width+c.PadW)*frame.Channels:], c.In.Height, row, row, step)
		}
	}
}
