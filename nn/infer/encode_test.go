package infer

import (
	"math"
	"slices"
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
)

// large makes the network of a name so large that bytes are worth it.
var large = map[string]func(r *nn.Rand) network{
	"image": func(r *nn.Rand) network {
		image := nn.Image{Height: 20, Width: 20, Channels: 1}
		stem := nn.NewConv2D("stem", image, 32, 3, 2, 1)
		block1 := nn.NewBottleneck("block1", stem.Out, 18, 40, 1)
		block2 := nn.NewBottleneck("block2", block1.Out, 24, 48, 2)
		layers := nn.Sequential{
			stem, nn.NewBatchNormReLU("stem.bn", 32), block1, block2, nn.NewGlobalAvgPool(block2.Out),
			nn.NewDense("dense", 48, 350), new(nn.ReLU),
		}
		head := nn.NewDense("head", 350, 5)
		fresh(r, layers.Params(), head.Params())
		g := new(graph.Graph)
		bytes := g.Input("bytes", graph.Byte, image)
		pixels := g.Apply("pixels", graph.Affine{Gain: []float32{1. / 255}, Offset: []float32{0}}, bytes)
		encoding := layers.Graph(g, pixels)
		g.Output("encoding", encoding)
		g.Output("scores", head.Graph(g, encoding))
		return network{g, func(r *nn.Rand) [][]float32 { return [][]float32{payload(r, image.Size(), 0)} }}
	},
	"text": func(r *nn.Rand) network {
		const length, symbols, count, most = 64, 257, 100, 61
		embedding := nn.NewEmbedding("embedding", symbols, 4)
		conv := nn.NewConv1D("conv", length, 4, 24, 8, 4)
		norm := nn.NewBatchNormReLU("conv.bn", 24)
		bag, bagNorm := nn.NewBag("bag", count, 10), nn.NewBatchNorm("bag.bn", 10)
		dense := nn.NewDense("dense", conv.Out.Size()+10, 50)
		denseNorm, head := nn.NewBatchNormReLU("dense.bn", 50), nn.NewDense("head", 50, 4)
		fresh(r, embedding.Params(), conv.Params(), norm.Params(), bag.Params(), bagNorm.Params(), dense.Params(), denseNorm.Params(), head.Params())
		g := new(graph.Graph)
		x := norm.Graph(g, conv.Graph(g, embedding.Graph(g, g.Input("text", graph.Index, graph.Sequence(length, 1)))))
		x = g.Apply("reshape", graph.Reshape{To: graph.Vector(g.Nodes[x].Shape.Size())}, x)
		grams := bagNorm.Graph(g, bag.Graph(g, g.Input("grams", graph.Index, graph.Sequence(most, 1))))
		x = denseNorm.Graph(g, dense.Graph(g, g.Apply("concat", graph.Concat{}, x, grams)))
		g.Output("encoding", x)
		g.Output("scores", head.Graph(g, x))
		return network{g, func(r *nn.Rand) [][]float32 {
			runs := make([]float32, most)
			for i := range runs {
				runs[i] = float32(r.Uint64() % (count + 1))
			}
			return [][]float32{payload(r, length, symbols-1), runs}
		}}
	},
	"rows": func(r *nn.Rand) network { return rows(r, 3) },
	"row":  func(r *nn.Rand) network { return rows(r, 1) },
	"sequence": func(r *nn.Rand) network {
		lengths := nn.NewEmbedding("length", 30, 5)
		lstm, head := nn.NewLSTM("lstm", 20+5+6, 60, 2, 0), nn.NewDense("head", 60, 4)
		fresh(r, lengths.Params(), lstm.Params(), head.Params())
		g := new(graph.Graph)
		x := g.Apply("concat", graph.Concat{},
			g.Input("encoding", graph.Float, graph.Sequence(3, 20)),
			lengths.Graph(g, g.Input("length", graph.Index, graph.Sequence(3, 1))),
			g.Input("scalars", graph.Float, graph.Sequence(3, 6)))
		state := lstm.Graph(g, x)
		g.Output("state", state)
		g.Output("scores", head.Graph(g, state))
		return network{g, func(r *nn.Rand) [][]float32 {
			return [][]float32{normal(r, 3*20), {float32(r.Uint64() % 30), 2, 29}, normal(r, 3*6)}
		}}
	},
	// A residual of another value, sums without ReLU, a value that is read both ways.
	"foreign": func(r *nn.Rand) network {
		g := new(graph.Graph)
		one := graph.Geometry{KernelH: 1, KernelW: 1, StrideH: 1, StrideW: 1}
		three := graph.Geometry{KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1, PadH: 1, PadW: 1}
		conv := func(in graph.Value, k graph.Geometry, channels int, name string) graph.Value {
			w := normal(r, k.KernelH*k.KernelW*channels*20)
			for i := range w {
				w[i] *= 0.1
			}
			return g.Apply(name, graph.Conv{Geometry: k, Out: 20, Weight: w, Bias: normal(r, 20)}, in)
		}
		a := conv(g.Input("image", graph.Float, graph.Shape{Height: 8, Width: 8, Channels: 21}), one, 21, "a")
		b := g.Apply("b", graph.ReLU{}, conv(a, one, 20, "b.conv"))
		c := g.Apply("c", graph.Add{}, conv(b, three, 20, "c.conv"), a)
		d := g.Apply("d", graph.ReLU{}, g.Apply("d.add", graph.Add{}, conv(c, one, 20, "d.conv"), b))
		g.Output("b", b)
		g.Output("c", c)
		g.Output("mean", g.Apply("mean", graph.Mean{}, d))
		return network{g, func(r *nn.Rand) [][]float32 { return [][]float32{normal(r, 8*8*21)} }}
	},
}

func rows(r *nn.Rand, steps int) network {
	const width = 150
	lstm, head := nn.NewLSTM("lstm", width, 52, 2, 0), nn.NewDense("head", 52, 4)
	fresh(r, lstm.Params(), head.Params())
	g := new(graph.Graph)
	bytes := g.Input("bytes", graph.Byte, graph.Sequence(steps*width, 1))
	pixels := g.Apply("pixels", graph.Affine{Gain: []float32{1. / 255}, Offset: []float32{0}}, bytes)
	state := lstm.Graph(g, g.Apply("rows", graph.Reshape{To: graph.Sequence(steps, width)}, pixels))
	g.Output("state", state)
	g.Output("scores", head.Graph(g, state))
	return network{g, func(r *nn.Rand) [][]float32 {
		var all []float32
		for range steps {
			all = append(all, payload(r, width, 0)...)
		}
		return [][]float32{all}
	}}
}

// observe finds the ranges of some samples.
func observe(t testing.TB, n network, r *nn.Rand) Ranges {
	t.Helper()
	o := compile(t, n.g, Options{}).NewObserver()
	for range 40 {
		for i, x := range n.sample(r) {
			o.set(i, 0, x)
		}
		o.Run(1)
		o.Look()
	}
	return o.Ranges()
}

// ofBytes counts the layers that read bytes.
func ofBytes(p *Program) (n int) {
	for _, s := range p.stages {
		for _, op := range s.ops {
			switch op.(type) {
			case *byteProduct, *byteLSTM, *byteMean:
				n++
			}
		}
	}
	return n
}

// leavesPadding reports whether a product leaves out windows of nothing but padding.
func leavesPadding(p *Program) bool {
	for _, s := range p.stages {
		for _, op := range s.ops {
			if o, ok := op.(*byteProduct); ok && o.text != nil {
				return true
			}
		}
	}
	return false
}

func TestBytesComeCloseToFloats(t *testing.T) {
	want := map[string]int{"image": 9, "text": 1, "rows": 2, "row": 2, "sequence": 2, "foreign": 5}
	for name, build := range large {
		t.Run(name, func(t *testing.T) {
			r := nn.NewRand(3)
			n := build(r)
			ranges := observe(t, n, r)
			inputs := n.batch(r, 8)
			exact, err := n.g.Run(inputs)
			if err != nil {
				t.Fatal(err)
			}
			p := compile(t, n.g, Options{Batch: 3, Ranges: ranges})
			if got := ofBytes(p); got != want[name] {
				t.Errorf("%d layers read bytes, want %d", got, want[name])
			}
			if left := leavesPadding(p); left != (name == "text") {
				t.Errorf("windows of padding are left out: %t", left)
			}
			got, err := p.Run(inputs)
			if err != nil {
				t.Fatal(err)
			}
			for i := range exact {
				if d := noise(got[i], exact[i]); !(d < 0.05) {
					t.Errorf("output %s: the error is %.3f of the values", n.g.Outputs[i].Name, d)
				}
			}
			alone(t, n, Options{Ranges: ranges}, r)
		})
	}
}

// noise is the root of the mean squared error over that of the mean square.
func noise(got, want []float32) float64 {
	e, s := 0.0, 0.0
	for i := range want {
		e += math.Pow(float64(got[i]-want[i]), 2)
		s += math.Pow(float64(want[i]), 2)
	}
	return math.Sqrt(e / s)
}

// Without the ranges of some values, those that read them read floats.
func TestMissingRanges(t *testing.T) {
	r := nn.NewRand(3)
	n := large["image"](r)
	ranges := observe(t, n, r)
	inputs := n.batch(r, 2)
	want := run(t, n.g, Options{}, inputs)
	for name := range ranges {
		fewer := Ranges{}
		for k, v := range ranges {
			if k != name {
				fewer[k] = v
			}
		}
		got := run(t, n.g, Options{Ranges: fewer}, inputs)
		if d := noise(got[0], want[0]); !(d < 0.05) {
			t.Errorf("without the range of %s the error is %.3f", name, d)
		}
	}
	if got := run(t, n.g, Options{Ranges: Ranges{}}, inputs); !slices.Equal(got[0], want[0]) {
		t.Error("without ranges bytes are read")
	}
}

func TestHistogramChooses(t *testing.T) {
	var h histogram
	r := nn.NewRand(1)
	for range 100000 {
		h.add(float32(r.Float64()))
	}
	if low, high := h.choose(); low != 0 || math.Abs(float64(high)-1) > 1e-3 {
		t.Errorf("of even numbers: from %v to %v, want 0 to 1", low, high)
	}
	for i := range h.bins {
		h.bins[i] *= 1000
	}
	h.add(10)
	if low, high := h.choose(); low != 0 || high > 4 || high < 1 {
		t.Errorf("with one large among many: from %v to %v, want it cut off", low, high)
	}
	h = histogram{}
	h.add(-3)
	h.add(1)
	if low, high := h.choose(); low != -3 || high != 1 {
		t.Errorf("of two numbers: from %v to %v, want -3 to 1", low, high)
	}
}
