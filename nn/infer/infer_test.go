package infer

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
)

// network is a graph of fresh weights and a way to make inputs for it.
type network struct {
	g      *graph.Graph
	sample func(r *nn.Rand) [][]float32 // one slice per input
}

// networks are what weir compiles, in small, and what a graph may hold besides.
var networks = map[string]func(r *nn.Rand) network{
	"image": func(r *nn.Rand) network {
		image := nn.Image{Height: 12, Width: 11, Channels: 1}
		stem := nn.NewConv2D("stem", image, 6, 3, 2, 1)
		block1 := nn.NewBottleneck("block1", stem.Out, 5, 9, 1)
		block2 := nn.NewBottleneck("block2", block1.Out, 6, 20, 2)
		block3 := nn.NewBottleneck("block3", block2.Out, 6, 20, 1)
		layers := nn.Sequential{
			stem, nn.NewBatchNormReLU("stem.bn", 6), block1, block2, block3, nn.NewGlobalAvgPool(block3.Out),
			nn.NewDense("dense", 20, 17), new(nn.ReLU),
		}
		head := nn.NewDense("head", 17, 5)
		fresh(r, layers.Params(), head.Params())
		g := new(graph.Graph)
		bytes := g.Input("bytes", graph.Byte, image)
		pixels := g.Apply("pixels", graph.Affine{Gain: []float32{1. / 255}, Offset: []float32{0}}, bytes)
		encoding := layers.Graph(g, pixels)
		g.Output("encoding", encoding)
		g.Output("scores", head.Graph(g, encoding))
		return network{g, func(r *nn.Rand) [][]float32 {
			return [][]float32{payload(r, image.Size(), 0)}
		}}
	},
	"text": func(r *nn.Rand) network {
		const length, symbols, count, most = 40, 257, 50, 37
		embedding := nn.NewEmbedding("embedding", symbols, 3)
		conv := nn.NewConv1D("conv", length, 3, 7, 8, 4)
		norm := nn.NewBatchNormReLU("conv.bn", 7)
		bag, bagNorm := nn.NewBag("bag", count, 6), nn.NewBatchNorm("bag.bn", 6)
		dense := nn.NewDense("dense", conv.Out.Size()+6, 19)
		denseNorm, head := nn.NewBatchNormReLU("dense.bn", 19), nn.NewDense("head", 19, 4)
		fresh(r, embedding.Params(), conv.Params(), norm.Params(), bag.Params(), bagNorm.Params(), dense.Params(), denseNorm.Params(), head.Params())
		g := new(graph.Graph)
		x := norm.Graph(g, conv.Graph(g, embedding.Graph(g, g.Input("text", graph.Index, graph.Sequence(length, 1)))))
		x = g.Apply("reshape", graph.Reshape{To: graph.Vector(g.Nodes[x].Shape.Size())}, x)
		grams := bagNorm.Graph(g, bag.Graph(g, g.Input("grams", graph.Index, graph.Sequence(most, 1))))
		x = denseNorm.Graph(g, dense.Graph(g, g.Apply("concat", graph.Concat{}, x, grams)))
		g.Output("encoding", x)
		g.Output("scores", head.Graph(g, x))
		return network{g, func(r *nn.Rand) [][]float32 {
			text := payload(r, length, symbols-1)
			runs := make([]float32, most)
			n := int(r.Uint64() % (most + 1))
			for i := range runs {
				runs[i] = count
				if i < n {
					runs[i] = float32(r.Uint64() % count)
				}
			}
			return [][]float32{text, runs}
		}}
	},
	"sequence of bytes": func(r *nn.Rand) network {
		const steps, width = 3, 50
		lstm, head := nn.NewLSTM("lstm", width, 18, 2, 0), nn.NewDense("head", 18, 4)
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
	},
	"sequence": func(r *nn.Rand) network {
		const steps = 4
		return sequence(r, steps)
	},
	"step": func(r *nn.Rand) network { return sequence(r, 1) },
	"windows": func(r *nn.Rand) network {
		lstm, out := nn.NewLSTM("lstm", 53, 32, 1, 0), nn.NewDense("out", 32, 53)
		fresh(r, lstm.Params(), out.Params())
		g := new(graph.Graph)
		g.Output("expected", out.Graph(g, lstm.Graph(g, g.Input("windows", graph.Float, graph.Sequence(3, 53)))))
		return network{g, func(r *nn.Rand) [][]float32 { return [][]float32{normal(r, 3*53)} }}
	},
	// What training does not make, but others may bring.
	"foreign": func(r *nn.Rand) network {
		g := new(graph.Graph)
		image := g.Input("image", graph.Float, graph.Shape{Height: 5, Width: 6, Channels: 3})
		three := graph.Geometry{KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 2, PadH: 1, PadW: 1}
		one := graph.Geometry{KernelH: 1, KernelW: 1, StrideH: 1, StrideW: 1}
		conv := graph.Conv{Geometry: three, Out: 4, Weight: normal(r, 9*3*4), Bias: normal(r, 4)}
		a := g.Apply("affine", graph.Affine{Gain: normal(r, 3), Offset: normal(r, 3)}, image) // not into a padded convolution
		b := g.Apply("conv", conv, a)
		c := g.Apply("relu", graph.ReLU{}, b) // b is read twice
		d := g.Apply("add", graph.Add{}, b, c)
		e := g.Apply("one", graph.Conv{Geometry: one, Out: 4, Weight: normal(r, 16)}, d)
		f := g.Apply("residual", graph.Add{}, d, e)
		h := g.Apply("join", graph.Concat{}, g.Apply("relu", graph.ReLU{}, f), c)
		p := g.Apply("softmax", graph.Softmax{}, h)
		m := g.Apply("mean", graph.Mean{}, h)
		q := g.Apply("reshape", graph.Reshape{To: graph.Vector(15 * 8)}, p)
		g.Output("probabilities", p)
		g.Output("both", g.Apply("both", graph.Concat{}, m, g.Apply("dense", graph.Dense{Out: 3, Weight: normal(r, 15*8*3)}, q)))
		g.Output("image", image)
		return network{g, func(r *nn.Rand) [][]float32 { return [][]float32{normal(r, 90)} }}
	},
}

func sequence(r *nn.Rand, steps int) network {
	lengths := nn.NewEmbedding("length", 30, 5)
	lstm, head := nn.NewLSTM("lstm", 9+5+6, 17, 1, 0), nn.NewDense("head", 17, 4)
	fresh(r, lengths.Params(), lstm.Params(), head.Params())
	g := new(graph.Graph)
	x := g.Apply("concat", graph.Concat{},
		g.Input("encoding", graph.Float, graph.Sequence(steps, 9)),
		lengths.Graph(g, g.Input("length", graph.Index, graph.Sequence(steps, 1))),
		g.Input("scalars", graph.Float, graph.Sequence(steps, 6)))
	state := lstm.Graph(g, x)
	g.Output("state", state)
	g.Output("scores", head.Graph(g, state))
	return network{g, func(r *nn.Rand) [][]float32 {
		index := make([]float32, steps)
		for i := range index {
			index[i] = float32(r.Uint64() % 30)
		}
		return [][]float32{normal(r, steps*9), index, normal(r, steps*6)}
	}}
}

// fresh gives weights and running statistics values that are not the first ones.
func fresh(r *nn.Rand, all ...[]*nn.Param) {
	for _, params := range all {
		nn.Init(params, r.Uint64()>>1)
		for _, p := range params {
			for i := range p.Value {
				p.Value[i] += float32(0.1 * r.Float64())
			}
		}
	}
}

func normal(r *nn.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.Normal())
	}
	return x
}

// payload is a row of bytes that ends anywhere, with padding behind it.
func payload(r *nn.Rand, n int, padding float32) []float32 {
	x := make([]float32, n)
	end := int(r.Uint64() % uint64(n+1))
	for i := range x {
		x[i] = padding
		if i < end {
			x[i] = float32(r.Uint64() % 256)
		}
	}
	return x
}

// each runs a test for every network.
func each(t *testing.T, f func(t *testing.T, n network, r *nn.Rand)) {
	for name, build := range networks {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				r := nn.NewRand(seed)
				f(t, build(r), r)
			}
		})
	}
}

// batch makes the inputs of n samples.
func (n *network) batch(r *nn.Rand, samples int) [][]float32 {
	all := make([][]float32, len(n.g.Inputs))
	for range samples {
		for i, x := range n.sample(r) {
			all[i] = append(all[i], x...)
		}
	}
	return all
}

func TestProgramIsTheGraph(t *testing.T) {
	each(t, func(t *testing.T, n network, r *nn.Rand) {
		inputs := n.batch(r, 9)
		want, err := n.g.Run(inputs)
		if err != nil {
			t.Fatal(err)
		}
		for _, batch := range []int{1, 4, 9} {
			got := run(t, n.g, Options{Batch: batch}, inputs)
			for i := range want {
				if d := apart(got[i], want[i]); !(d < 1e-5) {
					t.Errorf("batches of %d: output %s is %g apart from the graph's", batch, n.g.Outputs[i].Name, d)
				}
			}
		}
	})
}

// A sample's result is the same alone and in any batch, at any place of it, whatever the worker ran
// before.
func TestResultsDependOnTheSampleAlone(t *testing.T) {
	each(t, func(t *testing.T, n network, r *nn.Rand) { alone(t, n, Options{}, r) })
}

func alone(t *testing.T, n network, o Options, r *nn.Rand) {
	t.Helper()
	const samples = 12
	inputs := n.batch(r, samples)
	var want [][]float32 // by sample: all outputs
	for s := range samples {
		one := make([][]float32, len(inputs))
		for i, x := range inputs {
			size := len(x) / samples
			one[i] = x[s*size : (s+1)*size]
		}
		var all []float32
		o.Batch = 1
		for _, y := range run(t, n.g, o, one) { // a worker of its own
			all = append(all, y...)
		}
		want = append(want, all)
	}
	o.Batch = 7
	p := compile(t, n.g, o)
	w := p.NewWorker()
	for range 6 {
		some := 1 + int(r.Uint64()%7)
		chosen := make([]int, some)
		for s := range chosen {
			chosen[s] = int(r.Uint64() % samples)
			for i, x := range inputs {
				size := len(x) / samples
				w.set(i, s, x[chosen[s]*size:][:size])
			}
		}
		w.Run(some)
		for s, k := range chosen {
			var got []float32
			for i := range p.outputs {
				got = append(got, w.Output(i, s)...)
			}
			if !slices.Equal(got, want[k]) {
				t.Fatalf("sample %d at place %d of %d is %g apart from the same alone", k, s, some, apart(got, want[k]))
			}
		}
	}
}

func TestStateIsThatOfTheWholeSequence(t *testing.T) { stepwise(t, Options{}, 1e-5) }

func stepwise(t *testing.T, o Options, tolerance float64) {
	t.Helper()
	const steps = 6
	r := nn.NewRand(5)
	whole, step := sequence(nn.NewRand(4), steps), sequence(nn.NewRand(4), 1)
	inputs := whole.batch(r, 1)
	want, err := whole.g.Run(inputs)
	if err != nil {
		t.Fatal(err)
	}
	o.Batch = 2
	p := compile(t, step.g, o)
	w := p.NewWorker()
	h, c := make([]float32, p.State()), make([]float32, p.State())
	other := step.batch(r, 1)
	for at := range steps {
		place := at % 2 // beside a flow that has just begun
		for i, x := range inputs {
			size := len(x) / steps
			w.set(i, place, x[at*size:(at+1)*size])
			w.set(i, 1-place, other[i])
		}
		w.SetState(place, h, c)
		w.Run(2)
		for i := range want {
			size := len(want[i]) / steps
			if d := apart(w.Output(i, place), want[i][at*size:(at+1)*size]); !(d < tolerance) {
				t.Errorf("step %d: output %d is %g apart from that of the whole", at, i, d)
			}
		}
	}
}

func TestSetters(t *testing.T) {
	r := nn.NewRand(6)
	n := networks["text"](r)
	p := compile(t, n.g, Options{Padding: 256})
	w := p.NewWorker()
	long := make([]uint16, 40)
	for i := range long {
		long[i] = uint16(i)
	}
	w.SetIndices(0, 0, long)
	w.SetIndices(1, 0, nil)
	w.Run(1)
	w.SetIndices(0, 0, long[:5])
	w.SetIndices(1, 0, []uint16{3, 3, 7})
	w.Run(1)
	inputs := [][]float32{make([]float32, 40), make([]float32, 37)}
	for i := range inputs[0] {
		inputs[0][i] = 256
		if i < 5 {
			inputs[0][i] = float32(i)
		}
	}
	for i := range inputs[1] {
		inputs[1][i] = 50
	}
	copy(inputs[1], []float32{3, 3, 7})
	if got, want := w.Output(1, 0), run(t, n.g, Options{}, inputs)[1]; !slices.Equal(got, want) {
		t.Errorf("with short indices: %v, want %v", got, want)
	}

	n = networks["image"](r)
	p = compile(t, n.g, Options{})
	w = p.NewWorker()
	full := make([]byte, 132)
	for i := range full {
		full[i] = byte(r.Uint64())
	}
	for _, length := range []int{132, 3, 40, 0, 12, 132} {
		w.SetBytes(0, 0, full[:length])
		w.Run(1)
		pixels := make([]float32, 132)
		for i, b := range full[:length] {
			pixels[i] = float32(b)
		}
		if got, want := w.Output(1, 0), run(t, n.g, Options{}, [][]float32{pixels})[1]; !slices.Equal(got, want) {
			t.Errorf("with %d bytes: %v, want %v", length, got, want)
		}
	}
}

func TestWorkerPanics(t *testing.T) {
	n := networks["sequence"](nn.NewRand(1))
	w := compile(t, n.g, Options{}).NewWorker()
	for want, f := range map[string]func(){
		"encoding: 3 values, want 36":          func() { w.SetFloats(0, 0, make([]float32, 3)) },
		"encoding takes a float, not a byte":   func() { w.SetBytes(0, 0, nil) },
		"sample 1 of a batch of 1":             func() { w.SetFloats(0, 1, make([]float32, 36)) },
		"length: 5 indices, want at most 4":    func() { w.SetIndices(1, 0, make([]uint16, 5)) },
		"2 samples in a batch of 1":            func() { w.Run(2) },
		"a state of 3 and 17 values, want 17 ": func() { w.SetState(0, make([]float32, 3), make([]float32, 17)) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got+" ", want) {
					t.Errorf("panics with %q, want %q", got, want)
				}
			}()
			f()
		}()
	}
}

func TestCompileRefuses(t *testing.T) {
	g := new(graph.Graph)
	x := g.Input("x", graph.Float, graph.Vector(4))
	y := g.Apply("relu", graph.ReLU{}, x)
	g.Output("y", g.Apply("rows", graph.Embedding{Count: 3, Size: 2, Weight: make([]float32, 6)}, g.Apply("reshape", graph.Reshape{To: graph.Sequence(4, 1)}, y)))
	if _, err := Compile(g, Options{}); err == nil || !strings.Contains(err.Error(), "rows: its indices are not an input") {
		t.Errorf("computed indices: %v", err)
	}
	g = new(graph.Graph)
	x = g.Input("x", graph.Index, graph.Vector(1))
	g.Output("y", g.Apply("rows", graph.Embedding{Count: 1<<16 + 1, Size: 1, Weight: make([]float32, 1<<16+1)}, x))
	if _, err := Compile(g, Options{}); err == nil || !strings.Contains(err.Error(), "indices have 16 bits") {
		t.Errorf("a large table: %v", err)
	}
}

func compile(t testing.TB, g *graph.Graph, o Options) *Program {
	t.Helper()
	p, err := Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func run(t *testing.T, g *graph.Graph, o Options, inputs [][]float32) [][]float32 {
	t.Helper()
	y, err := compile(t, g, o).Run(inputs)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// apart is the largest difference, as a share of the largest value where that is above 1.
func apart(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	top, d := 1.0, 0.0
	for i := range want {
		top = max(top, math.Abs(float64(want[i])))
		d = max(d, math.Abs(float64(got[i]-want[i])))
		if got[i] != got[i] {
			return math.Inf(1)
		}
	}
	return d / top
}
