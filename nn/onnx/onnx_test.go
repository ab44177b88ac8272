package onnx_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
	"github.com/weirnet/weir/nn/onnx"
)

var update = flag.Bool("update", false, "write golden files")

// network is a graph with a name.
type network struct {
	name string
	*graph.Graph
}

// networks are those that weir trains, small ones that have every operator in every layout, and
// their inputs by name where they are not any numbers.
func networks(t testing.TB) []network {
	t.Helper()
	var all []network
	for _, profile := range []string{classify.Default, classify.Paper} {
		a, err := classify.NewArchitecture(profile, 5)
		if err != nil {
			t.Fatal(err)
		}
		n := classify.NewNetwork(a)
		fresh(n.Params())
		all = append(all, network{profile + " packet", n.PacketGraph()}, network{profile + " flow", n.FlowGraph(3)})
	}
	lstm, dense := nn.NewLSTM("lstm", 53, 12, 1, 0), nn.NewDense("out", 12, 53)
	fresh(append(lstm.Params(), dense.Params()...))
	windows := new(graph.Graph)
	windows.Output("windows_expected", dense.Graph(windows, lstm.Graph(windows, windows.Input("windows", graph.Float, graph.Sequence(3, 53)))))
	return append(all, network{"windows", windows}, network{"small", small()}, network{"image", image()})
}

// small has an operator of every kind on a text.
func small() *graph.Graph {
	embedding, conv := nn.NewEmbedding("embedding", 9, 3), nn.NewConv1D("conv", 12, 3, 4, 4, 2).AddBias("conv")
	norm, dense, bag := nn.NewBatchNormReLU("norm", 4), nn.NewDense("dense", 20, 5), nn.NewBag("bag", 6, 5)
	lstm := nn.NewLSTM("lstm", 10, 4, 2, 0)
	for _, ps := range [][]*nn.Param{embedding.Params(), conv.Params(), norm.Params(), dense.Params(), bag.Params(), lstm.Params()} {
		fresh(ps)
	}
	g := new(graph.Graph)
	words := g.Input("text", graph.Index, graph.Sequence(12, 1))
	grams := g.Input("grams", graph.Index, graph.Sequence(4, 1))
	x := dense.Graph(g, norm.Graph(g, conv.Graph(g, embedding.Graph(g, words))))
	x = g.Apply("concat", graph.Concat{}, x, bag.Graph(g, grams))
	state := lstm.Graph(g, x)
	g.Output("state", state)
	g.Output("share", g.Apply("softmax", graph.Softmax{}, state))
	return g
}

// image has an image with several channels in and out, and values that ONNX must move.
func image() *graph.Graph {
	shape := graph.Shape{Height: 4, Width: 6, Channels: 3}
	conv := nn.NewConv2D("conv", shape, 5, 3, 1, 1)
	dense, all := nn.NewDense("places", 5, 4), nn.NewDense("all", 4*6*4, 3)
	fresh(append(append(conv.Params(), dense.Params()...), all.Params()...))
	g := new(graph.Graph)
	x := g.Input("image", graph.Float, shape)
	b := g.Apply("scale", graph.Affine{Gain: []float32{0.5}, Offset: []float32{0.25}}, g.Input("bytes", graph.Byte, graph.Sequence(6, 1)))
	h := conv.Graph(g, x)
	h = g.Apply("softmax", graph.Softmax{}, g.Apply("concat", graph.Concat{}, h, x))
	h = g.Apply("places", graph.Dense{Out: 4, Weight: append(dense.Weight.Value, dense.Weight.Value[:12]...)}, h)
	g.Output("pixels", h)
	v := all.Graph(g, h)
	rows := g.Apply("rows", graph.Reshape{To: graph.Sequence(2, 3)}, b)
	mean := g.Apply("mean", graph.Mean{}, g.Apply("shifted", graph.Affine{Gain: []float32{1, 2, 3}, Offset: []float32{3, 2, 1}}, rows))
	g.Output("sum", g.Apply("add", graph.Add{}, v, mean))
	g.Output("folded", g.Apply("fold", graph.Reshape{To: graph.Shape{Height: 2, Width: 4, Channels: 12}}, h))
	return g
}

// fresh gives weights and running statistics values that are not the first ones.
func fresh(params []*nn.Param) {
	nn.Init(params, 3)
	r := nn.NewRand(5)
	for _, p := range params {
		for i := range p.Value {
			p.Value[i] += float32(0.1 * r.Float64())
		}
	}
}

// inputs are n random samples.
func inputs(g *graph.Graph, n int) [][]float32 {
	r := nn.NewRand(11)
	all := make([][]float32, len(g.Inputs))
	for k, v := range g.Inputs {
		in := &g.Nodes[v]
		most := uint64(256)
		for i := range g.Nodes {
			if len(g.Nodes[i].In) > 0 && g.Nodes[i].In[0] == v {
				switch op := g.Nodes[i].Op.(type) {
				case graph.Embedding:
					most = uint64(op.Count)
				case graph.Bag:
					most = uint64(op.Count) + 1
				}
			}
		}
		for range n * in.Shape.Size() {
			x := float32(r.Normal())
			if in.Op.(graph.Input).Kind != graph.Float {
				x = float32(r.Uint64() % most)
			}
			all[k] = append(all[k], x)
		}
	}
	return all
}

func marshal(t testing.TB, g *graph.Graph) []byte {
	t.Helper()
	data, err := onnx.Marshal(&onnx.Model{Graph: g, Producer: "weir", Version: "test", Metadata: map[string]string{"b": "2", "a": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func run(t testing.TB, g *graph.Graph, in [][]float32) [][]float32 {
	t.Helper()
	out, err := g.Run(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// near wants equal values, within 10⁻⁴ of the largest.
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	largest := 1.0
	for _, v := range want {
		largest = max(largest, math.Abs(float64(v)))
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= 1e-4*largest) {
			t.Errorf("%s: value %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

// What is written and read again computes the same, from inputs and to outputs of the same names,
// and says the same when it is written once more.
func TestWrittenAndRead(t *testing.T) {
	for _, n := range networks(t) {
		t.Run(n.name, func(t *testing.T) {
			data := marshal(t, n.Graph)
			m, err := onnx.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if m.Producer != "weir" || m.Version != "test" || m.Metadata["a"] != "1" || m.Metadata["b"] != "2" {
				t.Errorf("producer %q, version %q, metadata %v", m.Producer, m.Version, m.Metadata)
			}
			for i, v := range n.Inputs {
				got, want := m.Graph.Nodes[m.Graph.Inputs[i]], n.Nodes[v]
				if got.Name != want.Name || got.Op != want.Op || got.Shape != want.Shape {
					t.Errorf("input %d is %s %v %v, want %s %v %v", i, got.Name, got.Op, got.Shape, want.Name, want.Op, want.Shape)
				}
			}
			in := inputs(n.Graph, 2)
			got, want := run(t, m.Graph, in), run(t, n.Graph, in)
			for i := range want {
				if m.Graph.Outputs[i].Name != n.Outputs[i].Name {
					t.Errorf("output %d is %q, want %q", i, m.Graph.Outputs[i].Name, n.Outputs[i].Name)
				}
				near(t, n.Outputs[i].Name, got[i], want[i])
			}
			if len(m.Graph.Nodes) > len(n.Nodes) {
				t.Errorf("%d nodes became %d", len(n.Nodes), len(m.Graph.Nodes))
			}
			again, err := onnx.Parse(marshal(t, m.Graph))
			if err != nil {
				t.Fatal(err)
			}
			for i, out := range run(t, again.Graph, in) {
				near(t, n.Outputs[i].Name+" written twice", out, want[i])
			}
		})
	}
}

// The bytes of a small network do not change from one version to the next unnoticed.
func TestGolden(t *testing.T) {
	file := filepath.Join("testdata", "small.onnx")
	data := marshal(t, small())
	if *update {
		if err := os.WriteFile(file, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, want) {
		t.Errorf("another file than %s (%d bytes, it has %d); if it should be, run with -update", file, len(data), len(want))
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, build := range map[string]func(g *graph.Graph){
		`output "x": the name is empty or taken`: func(g *graph.Graph) {
			v := g.Input("a", graph.Float, graph.Vector(2))
			g.Output("x", v)
			g.Output("x", v)
		},
		`input "y": the name is empty or taken`: func(g *graph.Graph) { g.Output("y", g.Input("y", graph.Float, graph.Vector(2))) },
	} {
		g := new(graph.Graph)
		build(g)
		var b bytes.Buffer
		if err := onnx.Write(&b, &onnx.Model{Graph: g}); err == nil || !strings.Contains(err.Error(), name) || b.Len() > 0 {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// ONNX Runtime computes the same. It needs node and the package that .ci/run installs; with
// WEIR_REQUIRE naming onnxruntime, as in CI, it fails without.
func TestONNXRuntime(t *testing.T) {
	needONNXRuntime(t)
	for _, n := range networks(t) {
		t.Run(n.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(file, marshal(t, n.Graph), 0o666); err != nil {
				t.Fatal(err)
			}
			for _, samples := range []int{1, 3} { // the batch is dynamic
				in := inputs(n.Graph, samples)
				got := onnxRuntime(t, file, n.Graph, in, samples)
				for i, want := range run(t, n.Graph, in) {
					o := n.Outputs[i]
					if got[i].Name != o.Name {
						t.Errorf("output %d is %q, want %q", i, got[i].Name, o.Name)
					}
					near(t, o.Name, lastChannels(got[i].Data, n.Nodes[o.Value].Shape), want)
				}
			}
		})
	}
}

func needONNXRuntime(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join("testdata", "onnxruntime", "node_modules", "onnxruntime-node"))
	}
	if err == nil {
		return
	}
	if strings.Contains(os.Getenv("WEIR_REQUIRE"), "onnxruntime") {
		t.Fatalf("%v: run `make onnxruntime`", err)
	}
	t.Skipf("%v: `make onnxruntime` installs what it is compared with", err)
}

// array is a tensor as testdata/onnxruntime/run.mjs knows it.
type array struct {
	Name string    `json:"name"`
	Type string    `json:"type"`
	Dims []int     `json:"dims"`
	Data []float32 `json:"data"`
}

func onnxRuntime(t *testing.T, file string, g *graph.Graph, in [][]float32, samples int) []array {
	t.Helper()
	var feeds []array
	for k, v := range g.Inputs {
		node := g.Nodes[v]
		s := node.Shape
		a := array{Name: node.Name, Type: "float32", Data: in[k]}
		kind := node.Op.(graph.Input).Kind
		if kind != graph.Float {
			a.Type = map[graph.Kind]string{graph.Byte: "uint8", graph.Index: "int64"}[kind]
		}
		switch {
		case s.Height > 1:
			a.Dims = []int{samples, s.Channels, s.Height, s.Width}
			a.Data = firstChannels(in[k], s)
		case kind != graph.Float && s.Channels == 1:
			a.Dims = []int{samples, s.Width}
		case s.Width > 1:
			a.Dims = []int{samples, s.Width, s.Channels}
		default:
			a.Dims = []int{samples, s.Channels}
		}
		feeds = append(feeds, a)
	}
	text, err := json.Marshal(feeds)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", filepath.Join("testdata", "onnxruntime", "run.mjs"), file)
	cmd.Stdin = bytes.NewReader(text)
	cmd.Stderr = new(bytes.Buffer)
	data, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, cmd.Stderr)
	}
	var out []array
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// firstChannels moves the channels of images to the front, lastChannels to the end.
func firstChannels(x []float32, s graph.Shape) []float32 { return turned(x, s.Places(), s.Channels) }
func lastChannels(x []float32, s graph.Shape) []float32 {
	if s.Height == 1 {
		return x
	}
	return turned(x, s.Channels, s.Places())
}

func turned(x []float32, rows, width int) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		sample, at := i/(rows*width), i%(rows*width)
		y[sample*rows*width+at%width*rows+at/width] = v
	}
	return y
}

func FuzzParse(f *testing.F) {
	f.Add(marshal(f, small()))
	f.Add(marshal(f, image()))
	files, err := filepath.Glob("testdata/*.onnx")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := onnx.Parse(data)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 300<<20+uint64(600*len(data)) {
			t.Errorf("%d bytes allocated for a file of %d", grown, len(data))
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "onnx: ") {
				t.Errorf("error %q does not say where it is from", err)
			}
			return
		}
		again, err := onnx.Marshal(m)
		if err != nil {
			return // names that Write does not take
		}
		if _, err := onnx.Parse(again); err != nil {
			t.Errorf("written again: %v", err)
		}
	})
}

// Networks as PyTorch 1.13 exports them compute what PyTorch computes: testdata/pytorch.py.
func TestPyTorch(t *testing.T) {
	files, err := filepath.Glob("testdata/pytorch-*.onnx")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d networks, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnx.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if m.Producer != "pytorch" {
				t.Errorf("producer %q", m.Producer)
			}
			text, err := os.ReadFile(strings.TrimSuffix(file, "onnx") + "json")
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				X []float32   `json:"x"`
				Y [][]float32 `json:"y"`
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			for i, y := range run(t, m.Graph, [][]float32{want.X}) {
				near(t, m.Graph.Outputs[i].Name, y, want.Y[i])
			}
		})
	}
}
