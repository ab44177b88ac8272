package classify

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
	"github.com/weirnet/weir/nn/onnx"
	"github.com/weirnet/weir/nn/safetensors"
)

// payloads are inputs of random bytes of several lengths.
func payloads(a *Architecture, n int) []Input {
	r := nn.NewRand(4)
	ins := make([]Input, n)
	for i := range ins {
		image := make([]byte, 1+int(r.Uint64()%uint64(a.Normaliser.Bytes)))
		for k := range image {
			image[k] = byte(r.Uint64())
		}
		a.FillImage(&ins[i], image)
	}
	return ins
}

// A packet network that went out and came back says what it said, saved and loaded too.
func TestImportedSaysTheSame(t *testing.T) {
	for _, profile := range []string{Default, Paper} {
		a, err := NewArchitecture(profile, 3)
		if err != nil {
			t.Fatal(err)
		}
		own := NewNetwork(a)
		nn.Init(own.Params(), 11)
		labels := []string{"a", "b", "c"}
		m, err := Import(own.PacketGraph(), labels, ImportOptions{Normaliser: a.Normaliser, Packets: 4})
		if err != nil {
			t.Fatal(err)
		}
		if m.Arch.Encoding != a.Encoding || m.Arch.Grams != a.Grams || m.Arch.Packets != 4 || m.Arch.Imported.Padding == a.Residual {
			t.Errorf("%s: architecture %+v", profile, m.Arch)
		}
		settings, weights, err := m.Save()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Load(settings, labels, weights)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again.PacketGraph(), m.PacketGraph()) {
			t.Errorf("%s: saved and loaded, it is another network", profile)
		}
		net, e, track, fast, ownTrack := again.network(), again.Engine(), own.NewTrack(), own.NewTrack(), own.NewTrack()
		for _, in := range payloads(&a, 5) {
			got, _ := net.Step(track, &in)
			want, _ := own.Step(ownTrack, &in)
			alike(t, profile+" scores", got, want)
			alike(t, profile+" encoding", net.encoding, own.encoding)
			got, _ = e.Step(fast, &in)
			alike(t, profile+" scores, compiled", got, want)
			alike(t, profile+" encodings, compiled", fast.sum, ownTrack.sum)
		}
		if v := again.Judge(e, payloads(&a, 6)); v.Decided != 4 || v.Novel || len(v.Packets) != 6 {
			t.Errorf("%s: verdict %+v", profile, v)
		}
	}
}

// Networks of others are fed floats, have another last layer or none, and end in a softmax.
func TestImportOfOthers(t *testing.T) {
	r := nn.NewRand(6)
	some := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.Normal())
		}
		return x
	}
	floats := new(graph.Graph)
	x := floats.Input("x", graph.Float, graph.Vector(16))
	x = floats.Apply("relu", graph.ReLU{}, floats.Apply("hidden", graph.Dense{Out: 5, Weight: some(80), Bias: some(5)}, x))
	floats.Output("probabilities", floats.Apply("softmax", graph.Softmax{}, floats.Apply("last", graph.Dense{Out: 2, Weight: some(10)}, x)))

	image := new(graph.Graph)
	y := image.Input("x", graph.Float, graph.Shape{Height: 4, Width: 4, Channels: 1})
	y = image.Apply("conv", graph.Conv{Geometry: graph.Geometry{KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1}, Out: 2, Weight: some(18)}, y)
	image.Output("scores", image.Apply("mean", graph.Mean{}, y))
	image.Output("other", y)

	table := new(graph.Graph) // without a row for places behind the end
	z := table.Input("x", graph.Index, graph.Sequence(16, 1))
	z = table.Apply("mean", graph.Mean{}, table.Apply("table", graph.Embedding{Count: 256, Size: 3, Weight: some(768)}, z))
	table.Output("scores", table.Apply("last", graph.Dense{Out: 2, Weight: some(6)}, z))

	for name, test := range map[string]struct {
		g        *graph.Graph
		encoding int
	}{"floats": {floats, 5}, "image": {image, 2}, "table": {table, 3}} {
		m, err := Import(test.g, []string{"a", "b"}, ImportOptions{Scale: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		if m.Arch.Encoding != test.encoding || m.Arch.Normaliser.Bytes != 16 {
			t.Errorf("%s: architecture %+v", name, m.Arch)
		}
		net, e := m.network(), m.Engine()
		for _, in := range payloads(&m.Arch, 3) {
			var scaled []float32
			for _, b := range in.Bytes {
				b &^= padding
				if name == "table" {
					scaled = append(scaled, float32(b))
				} else {
					scaled = append(scaled, 0.5*float32(b))
				}
			}
			want, err := test.g.Run([][]float32{scaled})
			if err != nil {
				t.Fatal(err)
			}
			got, _ := net.Step(net.NewTrack(), &in)
			if name == "floats" { // the network gives probabilities
				nn.Softmax(got, 2)
			}
			alike(t, name, got, want[0])
			fast := slices.Clone(e.Packet(&in))
			if name == "floats" {
				nn.Softmax(fast, 2)
			}
			alike(t, name+", compiled", fast, want[0])
		}
	}
}

func TestImportRefuses(t *testing.T) {
	build := func(f func(g *graph.Graph) graph.Value) *graph.Graph {
		g := new(graph.Graph)
		g.Output("y", f(g))
		return g
	}
	dense := func(in int) graph.Dense { return graph.Dense{Out: 2, Weight: make([]float32, 2*in)} }
	table := func(rows int) graph.Embedding {
		return graph.Embedding{Count: rows, Size: 2, Weight: make([]float32, 2*rows)}
	}
	two := build(func(g *graph.Graph) graph.Value { return g.Input("x", graph.Byte, graph.Vector(2)) })
	two.Output("z", 0)
	for want, g := range map[string]*graph.Graph{
		"there are 2 labels":             build(func(g *graph.Graph) graph.Value { return g.Input("x", graph.Byte, graph.Vector(16)) }),
		`which of the outputs ["y" "z"]`: two,
		`the inputs "x" and "extra"`: build(func(g *graph.Graph) graph.Value {
			x := g.Input("x", graph.Byte, graph.Vector(16))
			g.Input("extra", graph.Float, graph.Vector(1))
			return g.Apply("last", dense(16), x)
		}),
		"no input": build(func(g *graph.Graph) graph.Value {
			x := g.Input("x", graph.Byte, graph.Vector(16))
			g.Inputs = nil
			return g.Apply("last", dense(16), x)
		}),
		"bytes is 4": build(func(g *graph.Graph) graph.Value {
			return g.Apply("last", dense(4), g.Input("x", graph.Byte, graph.Vector(4)))
		}),
		"an image of 3 channels": build(func(g *graph.Graph) graph.Value {
			return g.Apply("last", dense(3), g.Apply("mean", graph.Mean{}, g.Input("x", graph.Float, graph.Shape{Height: 4, Width: 4, Channels: 3})))
		}),
		"table has 255 rows for 256": build(func(g *graph.Graph) graph.Value {
			x := g.Apply("table", table(255), g.Input("x", graph.Index, graph.Sequence(16, 1)))
			return g.Apply("last", dense(2), g.Apply("mean", graph.Mean{}, x))
		}),
		"looks up what is computed": build(func(g *graph.Graph) graph.Value {
			x := g.Apply("relu", graph.ReLU{}, g.Input("x", graph.Index, graph.Sequence(16, 1)))
			return g.Apply("last", dense(2), g.Apply("mean", graph.Mean{}, g.Apply("table", table(256), x)))
		}),
	} {
		if _, err := Import(g, []string{"a", "b"}, ImportOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Damaged models with imported networks are refused.
func TestLoadRefusesImported(t *testing.T) {
	a, err := NewArchitecture(Default, 2)
	if err != nil {
		t.Fatal(err)
	}
	own := NewNetwork(a)
	nn.Init(own.Params(), 1)
	labels := []string{"a", "b"}
	m, err := Import(own.PacketGraph(), labels, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	settings, weights, err := m.Save()
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(s map[string]any, w map[string]safetensors.Tensor){
		"belongs to nothing": func(_ map[string]any, w map[string]safetensors.Tensor) {
			w[importedTensor+"more"] = safetensors.Tensor{Shape: []int{1}, Data: []float32{1}}
		},
		"has the shape []": func(_ map[string]any, w map[string]safetensors.Tensor) {
			delete(w, importedTensor+"packet.grams.weight")
		},
		"has the shape [2 8]": func(_ map[string]any, w map[string]safetensors.Tensor) {
			w[importedTensor+"packet.embedding.weight"] = safetensors.Tensor{Shape: []int{2, 8}, Data: make([]float32, 16)}
		},
		"without plan":  func(s map[string]any, _ map[string]safetensors.Tensor) { s["imported"] = map[string]any{} },
		"encoding of 7": func(s map[string]any, w map[string]safetensors.Tensor) { s["encoding"] = 7 },
		`input "bytes" of an imported network takes`: func(s map[string]any, _ map[string]safetensors.Tensor) {
			s["normaliser"].(map[string]any)["bytes"] = 255
		},
		`has the inputs ["bytes" "grams"]`: func(s map[string]any, _ map[string]safetensors.Tensor) { s["grams"] = 0 },
	} {
		var s map[string]any
		if err := json.Unmarshal(settings, &s); err != nil {
			t.Fatal(err)
		}
		w := map[string]safetensors.Tensor{}
		for name, tensor := range weights {
			w[name] = tensor
		}
		change(s["architecture"].(map[string]any), w)
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(text, labels, w); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// foreign is a small network with every operator that packets can be fed to, as a file.
func foreign(tb testing.TB) []byte {
	tb.Helper()
	r := nn.NewRand(8)
	some := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.Normal())
		}
		return x
	}
	g := new(graph.Graph)
	x := g.Input("bytes", graph.Index, graph.Sequence(12, 1))
	y := g.Apply("table", graph.Embedding{Count: 257, Size: 2, Weight: some(514)}, x)
	y = g.Apply("conv", graph.Conv{Geometry: graph.Geometry{KernelH: 1, KernelW: 3, StrideH: 1, StrideW: 3}, Out: 4, Weight: some(24)}, y)
	y = g.Apply("norm", graph.Affine{Gain: some(4), Offset: some(4)}, y)
	y = g.Apply("lstm", graph.LSTM{Hidden: 3, Wx: some(48), Wh: some(36), Bias: some(12)}, g.Apply("relu", graph.ReLU{}, y))
	flat := g.Apply("flat", graph.Reshape{To: graph.Vector(12)}, y)
	bag := g.Apply("bag", graph.Bag{Count: 8, Size: 3, Weight: some(24)}, g.Input("grams", graph.Index, graph.Sequence(9, 1)))
	both := g.Apply("both", graph.Concat{}, flat, g.Apply("sum", graph.Add{}, bag, g.Apply("mean", graph.Mean{}, y)))
	g.Output("scores", g.Apply("softmax", graph.Softmax{}, g.Apply("last", graph.Dense{Out: 2, Weight: some(30)}, both)))
	data, err := onnx.Marshal(&onnx.Model{Graph: g})
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// judge runs a model on some payloads: whatever the network, nothing breaks.
func judge(t *testing.T, m *Model) {
	t.Helper()
	if v := m.Judge(m.Engine(), payloads(&m.Arch, 3)); len(v.Packets) != 3 || v.Decided < 1 {
		t.Errorf("verdict %+v", v)
	}
}

// Networks from strangers are refused or run.
func FuzzImport(f *testing.F) {
	f.Add(foreign(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		net, err := onnx.Parse(data)
		if err != nil {
			return
		}
		m, err := Import(net.Graph, []string{"a", "b"}, ImportOptions{})
		if err != nil {
			return
		}
		judge(t, m)
		settings, weights, err := m.Save()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Load(settings, m.Labels, weights); err != nil {
			t.Errorf("saved, it cannot be loaded: %v", err)
		}
	})
}

// So are models on disk that have one.
func FuzzLoadImported(f *testing.F) {
	net, err := onnx.Parse(foreign(f))
	if err != nil {
		f.Fatal(err)
	}
	m, err := Import(net.Graph, []string{"a", "b"}, ImportOptions{})
	if err != nil {
		f.Fatal(err)
	}
	settings, weights, err := m.Save()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(settings)
	f.Fuzz(func(t *testing.T, settings []byte) {
		if m, err := Load(settings, []string{"a", "b"}, weights); err == nil {
			judge(t, m)
		}
	})
}
