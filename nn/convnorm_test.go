package nn_test

import (
	"math"
	"slices"
	"testing"

	"github.com/weirnet/weir/nn"
)

// pair is a ConvNorm and its twin, the two layers one after the other, with the same weights.
func pair(conv func() *nn.Conv2D, norm func(int) *nn.BatchNorm) (*nn.ConvNorm, nn.Sequential) {
	fused := nn.NewConvNorm(conv(), norm(conv().Out.Channels))
	c := conv()
	twin := nn.Sequential{c, norm(c.Out.Channels)}
	nn.Init(fused.Params(), 3)
	nn.Share(twin.Params(), fused.Params())
	return fused, twin
}

// A ConvNorm gives the bits of a convolution and a normalisation, in training and evaluation.
func TestConvNormEqualsItsParts(t *testing.T) {
	plain := func(c int) *nn.BatchNorm { return nn.NewBatchNorm("n", c) }
	relu := func(c int) *nn.BatchNorm { return nn.NewBatchNormReLU("n", c) }
	leaf := nn.NewConv2D("c", nn.Image{Height: 12, Width: 12, Channels: 1}, 5, 3, 2, 1)
	leaf.Leaf = true
	for _, test := range []struct {
		name string
		conv func() *nn.Conv2D
		norm func(int) *nn.BatchNorm
		n    int
	}{
		{"1×1", func() *nn.Conv2D {
			return nn.NewConv2D("c", nn.Image{Height: 14, Width: 14, Channels: 64}, 16, 1, 1, 0)
		}, relu, 23},
		{"3×3", func() *nn.Conv2D {
			return nn.NewConv2D("c", nn.Image{Height: 7, Width: 9, Channels: 16}, 24, 3, 1, 1)
		}, relu, 17},
		{"3×3 with stride", func() *nn.Conv2D {
			return nn.NewConv2D("c", nn.Image{Height: 9, Width: 9, Channels: 32}, 8, 3, 2, 1)
		}, plain, 9},
		{"projection", func() *nn.Conv2D {
			return nn.NewConv2D("c", nn.Image{Height: 7, Width: 7, Channels: 12}, 40, 1, 2, 0)
		}, plain, 31},
		{"text", func() *nn.Conv2D { return nn.NewConv1D("c", 64, 8, 32, 8, 4) }, relu, 50},
		{"leaf", func() *nn.Conv2D { c := *leaf; return &c }, relu, 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			fused, twin := pair(test.conv, test.norm)
			x := normals(4, test.n*fused.Conv.In.Size())
			dy := normals(5, test.n*fused.Conv.Out.Size())
			for range 2 { // the second time in used buffers
				nn.ZeroGrad(fused.Params())
				nn.ZeroGrad(twin.Params())
				got, want := fused.Forward(nn.Pass{Train: true}, x), twin.Forward(nn.Pass{Train: true}, x)
				same(t, "output", got, want)
				same(t, "gradient of the input", fused.Backward(slices.Clone(dy)), twin.Backward(slices.Clone(dy)))
				for i, p := range fused.Params() {
					same(t, "gradient or observation of "+p.Name, p.Grad, twin.Params()[i].Grad)
				}
			}
			same(t, "output in evaluation", fused.Forward(nn.Pass{}, x), twin.Forward(nn.Pass{}, x))
		})
	}
}

func same(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: value %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

// plainBottleneck is the block as the paper draws it, one layer after the other.
type plainBottleneck struct {
	body, projection nn.Sequential
	relu             nn.ReLU
}

func newPlainBottleneck(in nn.Image, mid, out, stride int) *plainBottleneck {
	narrow := nn.NewConv2D("b.conv1", in, mid, 1, 1, 0)
	middle := nn.NewConv2D("b.conv2", narrow.Out, mid, 3, stride, 1)
	widen := nn.NewConv2D("b.conv3", middle.Out, out, 1, 1, 0)
	b := &plainBottleneck{body: nn.Sequential{
		narrow, nn.NewBatchNormReLU("b.bn1", mid), middle, nn.NewBatchNormReLU("b.bn2", mid), widen, nn.NewBatchNorm("b.bn3", out),
	}}
	if in != widen.Out {
		b.projection = nn.Sequential{nn.NewConv2D("b.projection.conv", in, out, 1, stride, 0), nn.NewBatchNorm("b.projection.bn", out)}
	}
	return b
}

func (b *plainBottleneck) forward(p nn.Pass, x []float32) []float32 {
	sum := slices.Clone(b.body.Forward(p, x))
	for i, v := range b.projection.Forward(p, x) {
		sum[i] += v
	}
	return b.relu.Forward(p, sum)
}

func (b *plainBottleneck) backward(dy []float32) []float32 {
	d := slices.Clone(b.relu.Backward(dy))
	dx := slices.Clone(b.body.Backward(slices.Clone(d)))
	for i, v := range b.projection.Backward(d) {
		dx[i] += v
	}
	return dx
}

func TestBottleneckEqualsItsLayers(t *testing.T) {
	for _, test := range []struct {
		name             string
		in               nn.Image
		mid, out, stride int
	}{
		{"projection", nn.Image{Height: 14, Width: 14, Channels: 16}, 16, 64, 1},
		{"stride", nn.Image{Height: 7, Width: 6, Channels: 24}, 16, 40, 2},
		{"same shape", nn.Image{Height: 5, Width: 5, Channels: 32}, 8, 32, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			const n = 21
			block := nn.NewBottleneck("b", test.in, test.mid, test.out, test.stride)
			plain := newPlainBottleneck(test.in, test.mid, test.out, test.stride)
			twin := append(plain.body.Params(), plain.projection.Params()...)
			nn.Init(block.Params(), 6)
			nn.Share(twin, block.Params())
			nn.ZeroGrad(block.Params())
			nn.ZeroGrad(twin)
			x, dy := normals(7, n*block.In.Size()), normals(8, n*block.Out.Size())
			close := func(name string, got, want []float32) {
				t.Helper()
				if far := near(got, want); !(far < 2e-5) {
					t.Errorf("%s is off by %.1e of its largest value", name, far)
				}
			}
			p := nn.Pass{Train: true}
			close("output", block.Forward(p, x), plain.forward(p, x))
			close("gradient of the input", block.Backward(slices.Clone(dy)), plain.backward(slices.Clone(dy)))
			for i, q := range block.Params() {
				close(q.Name, q.Grad, twin[i].Grad)
			}
			close("output in evaluation", block.Forward(nn.Pass{}, x), plain.forward(nn.Pass{}, x))
		})
	}
}
