package nn

import "github.com/weirnet/weir/internal/kernel"

// Bottleneck is a residual block (He et al. 2016, figure 5 right): 1×1 down to few channels, 3×3,
// 1×1 up, each normalised; the input is added before the last ReLU. Where the shape changes, the
// input goes through a 1×1 projection. The stride is that of the 3×3 convolution.
type Bottleneck struct {
	In, Out Image

	body       Sequential
	projection Sequential // empty where the shape stays

	y, dy []float32
}

// NewBottleneck returns a block from in to out channels through mid, its sides divided by stride.
func NewBottleneck(name string, in Image, mid, out, stride int) *Bottleneck {
	narrow := NewConv2D(name+".conv1", in, mid, 1, 1, 0)
	middle := NewConv2D(name+".conv2", narrow.Out, mid, 3, stride, 1)
	widen := NewConv2D(name+".conv3", middle.Out, out, 1, 1, 0)
	b := &Bottleneck{
		In: in, Out: widen.Out,
		body: Sequential{
			narrow, NewBatchNormReLU(name+".bn1", mid),
			middle, NewBatchNormReLU(name+".bn2", mid),
			widen, NewBatchNorm(name+".bn3", out),
		},
	}
	if b.In != b.Out {
		b.projection = Sequential{
			NewConv2D(name+".projection.conv", in, out, 1, stride, 0),
			NewBatchNorm(name+".projection.bn", out),
		}
	}
	return b
}

// Forward maps (n, In) to (n, Out).
func (b *Bottleneck) Forward(p Pass, x []float32) []float32 {
	body := b.body.Forward(p, x)
	shortcut := b.projection.Forward(p, x)
	b.y = sized(b.y, len(body))
	kernel.AddReLU(b.y, body, shortcut)
	return b.y
}

// Backward maps (n, Out) to (n, In).
func (b *Bottleneck) Backward(dy []float32) []float32 {
	kernel.ReLUGrad(dy, dy, b.y)
	b.dy = sized(b.dy, len(dy))
	copy(b.dy, dy)
	body := b.body.Backward(dy)
	shortcut := b.projection.Backward(b.dy)
	kernel.Add(body, shortcut)
	return body
}

// Params returns those of the body, then those of the projection.
func (b *Bottleneck) Params() []*Param { return append(b.body.Params(), b.projection.Params()...) }
