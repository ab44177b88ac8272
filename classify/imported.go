package classify

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
	"github.com/weirnet/weir/nn/safetensors"
)

// Foreign is the profile of models whose packet network was made elsewhere, see Import.
const Foreign = "imported"

// Imported is a packet network that was not trained here, from bytes to encoding.
type Imported struct {
	Plan    *graph.Plan `json:"plan"`
	Padding bool        `json:"padding"` // it knows the index 256, for places after the payload's end; otherwise they are 0

	graph *graph.Graph
}

// Names of the inputs that an imported network may have.
const (
	bytesInput = "bytes"
	gramsInput = "grams"
)

// importedTensor is the prefix of its weights among the model's.
const importedTensor = "packet.network."

// ImportOptions say how payloads are fed to a network that was made elsewhere.
type ImportOptions struct {
	Output     string     // that has the class scores, or probabilities [the only one, or "scores"]
	Scale      float32    // what bytes are multiplied by for an input of floats [1/255]
	Normaliser Normaliser // Bytes is the network's [payloads as they are]
	Packets    int        // T [10]
	// Temperature divides class scores, see Settings [1].
	Temperature float64
}

// Import makes a model of a network that labels payloads: one sample of its input is the bytes of
// one packet's payload, and of its output the scores of the labels in order. Flows have the normalised product
// of their packets' probabilities. The network's last layer becomes the model's; its input is what
// State knows flows by.
//
// Bytes are fed as they are to an input of bytes, as indices to one of indices, where 256 stands for
// places after the payload's end if the table has a row for it, and scaled to one of floats.
func Import(g *graph.Graph, labels []string, o ImportOptions) (*Model, error) {
	scores, err := scoresOf(g, o.Output)
	if err != nil {
		return nil, err
	}
	if s := g.Nodes[scores].Shape; s.Places() != 1 || s.Channels != len(labels) {
		return nil, fmt.Errorf("classify: the network gives %v values, there are %d labels", s, len(labels))
	}
	a := Architecture{
		Profile: Foreign, Classes: len(labels), Packets: o.Packets, Normaliser: o.Normaliser, Early: 2,
		Imported: new(Imported),
	}
	if a.Packets == 0 {
		a.Packets = 10
	}
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	encoding := scores
	var head graph.Dense
	last := &g.Nodes[scores]
	if dense, ok := last.Op.(graph.Dense); ok && g.Nodes[last.In[0]].Shape.Channels <= maxEncoding {
		head, encoding = dense, last.In[0]
	} else {
		head = identity(len(labels))
	}
	a.Encoding = g.Nodes[encoding].Shape.Size()
	if o.Scale == 0 {
		o.Scale = 1. / 255
	}
	if err := a.adopt(g, encoding, o.Scale); err != nil {
		return nil, err
	}
	if err := a.Check(); err != nil {
		return nil, err
	}
	if err := a.Imported.check(&a); err != nil {
		return nil, err
	}
	if !(o.Temperature > 0) {
		return nil, fmt.Errorf("classify: a temperature of %v", o.Temperature)
	}
	n := NewNetwork(a)
	params := n.Params()
	nn.Init(params, 0)
	copy(n.packetHead.Weight.Value, head.Weight)
	clear(n.packetHead.Bias.Value)
	copy(n.packetHead.Bias.Value, head.Bias)
	if _, err := n.compile(nil, nil, 1); err != nil {
		return nil, fmt.Errorf("classify: %w", err)
	}
	return NewModel(Settings{Arch: a, PacketTemperature: o.Temperature, FlowTemperature: 1}, labels, params)
}

// maxEncoding is what Architecture.Check allows.
const maxEncoding = 4096

// identity is the last layer of a network that has none of its own.
func identity(n int) graph.Dense {
	d := graph.Dense{Out: n, Weight: make([]float32, n*n)}
	for i := range n {
		d.Weight[i*n+i] = 1
	}
	return d
}

// scoresOf finds the class scores: the model has a softmax of its own.
func scoresOf(g *graph.Graph, name string) (graph.Value, error) {
	var names []string
	found := -1
	for i, o := range g.Outputs {
		names = append(names, o.Name)
		if o.Name == name || name == "" && (o.Name == "scores" || len(g.Outputs) == 1) {
			found = i
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("classify: which of the outputs %q has the scores?", names)
	}
	v := g.Outputs[found].Value
	if _, ok := g.Nodes[v].Op.(graph.Softmax); ok {
		v = g.Nodes[v].In[0]
	}
	return v, nil
}

// adopt sets a.Imported, a.Normaliser.Bytes and a.Grams to what a network has up to its encoding.
func (a *Architecture) adopt(g *graph.Graph, encoding graph.Value, scale float32) error {
	var bytes, grams graph.Value = -1, -1
	for _, v := range g.Inputs {
		switch n := &g.Nodes[v]; {
		case n.Name == gramsInput && len(g.Inputs) == 2:
			grams = v
		case bytes < 0:
			bytes = v
		default:
			return fmt.Errorf("classify: the network has the inputs %q and %q: only payload bytes can be fed", g.Nodes[bytes].Name, n.Name)
		}
	}
	if bytes < 0 {
		return errors.New("classify: the network has no input")
	}
	in := &g.Nodes[bytes]
	if in.Shape.Height > 1 && in.Shape.Channels > 1 {
		return fmt.Errorf("classify: input %q is an image of %d channels: bytes have one", in.Name, in.Shape.Channels)
	}
	a.Normaliser.Bytes = in.Shape.Size()
	need := make([]bool, len(g.Nodes))
	need[encoding] = true
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		for _, v := range g.Nodes[i].In {
			need[v] = need[v] || need[i]
		}
	}
	body := new(graph.Graph)
	to := make([]graph.Value, len(g.Nodes))
	to[bytes] = feed(body, in, scale)
	if grams >= 0 {
		to[grams] = body.Input(gramsInput, graph.Index, graph.Sequence(g.Nodes[grams].Shape.Size(), 1))
	}
	least := 1 << 16 // rows of the smallest table that bytes are looked up in
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if v := graph.Value(i); v == bytes || v == grams || !need[i] {
			continue
		}
		switch op := n.Op.(type) {
		case graph.Embedding:
			least = min(least, op.Count)
		case graph.Bag:
			if n.In[0] == grams {
				a.Grams, a.GramSize = op.Count, op.Size
			} else {
				least = min(least, op.Count)
			}
		}
		ins := make([]graph.Value, len(n.In))
		for k, v := range n.In {
			ins[k] = to[v]
		}
		var err error
		if to[i], err = body.TryApply(n.Name, n.Op, ins...); err != nil {
			return fmt.Errorf("classify: %w", err)
		}
	}
	body.Output("encoding", to[encoding])
	a.Imported.Plan, a.Imported.graph = body.Plan(), body
	a.Imported.Padding = in.Op == (graph.Input{Kind: graph.Index}) && least > padding
	return nil
}

// feed adds the input of bytes and what scales them, and returns the value that stands for the
// network's own input.
func feed(body *graph.Graph, in *graph.Node, scale float32) graph.Value {
	kind := in.Op.(graph.Input).Kind
	if kind != graph.Float {
		return body.Input(bytesInput, kind, in.Shape)
	}
	shape := in.Shape
	if shape.Channels > 1 {
		shape = graph.Sequence(shape.Size(), 1)
	}
	x := body.Input(bytesInput, graph.Byte, shape)
	x = body.Apply("scale", graph.Affine{Gain: []float32{scale}, Offset: []float32{0}}, x)
	if shape != in.Shape {
		x = body.Apply("shape", graph.Reshape{To: in.Shape}, x)
	}
	return x
}

// load makes the network of its plan and weights.
func (m *Imported) load(a *Architecture, weights map[string]safetensors.Tensor) (err error) {
	if m.Plan == nil {
		return errors.New("classify: an imported network without plan")
	}
	m.graph, err = m.Plan.Graph(func(name string, shape ...int) ([]float32, error) {
		t, ok := weights[importedTensor+name]
		if !ok || !slices.Equal(t.Shape, shape) {
			return nil, fmt.Errorf("tensor %q has the shape %v, want %v", importedTensor+name, t.Shape, shape)
		}
		for i, v := range t.Data {
			if v-v != 0 {
				return nil, fmt.Errorf("tensor %q: value %d is %v", importedTensor+name, i, v)
			}
		}
		return t.Data, nil
	})
	if err != nil {
		return fmt.Errorf("classify: %w", err)
	}
	return m.check(a)
}

// check refuses networks that cannot be fed, and indices beyond their tables.
func (m *Imported) check(a *Architecture) error {
	g := m.graph
	if len(g.Outputs) != 1 || g.Nodes[g.Outputs[0].Value].Shape != graph.Vector(a.Encoding) {
		return fmt.Errorf("classify: an imported network without an encoding of %d values", a.Encoding)
	}
	want := []string{bytesInput}
	if a.Grams > 0 {
		want = append(want, gramsInput)
	}
	sizes := map[string]int{bytesInput: a.Normaliser.Bytes, gramsInput: a.Normaliser.Bytes - gramSize + 1}
	var got []string
	for _, v := range g.Inputs {
		n := &g.Nodes[v]
		got = append(got, n.Name)
		if n.Shape.Size() != sizes[n.Name] || n.Op == (graph.Input{Kind: graph.Float}) || n.Name == gramsInput && n.Op != (graph.Input{Kind: graph.Index}) {
			return fmt.Errorf("classify: input %q of an imported network takes %v values of kind %v", n.Name, n.Shape, n.Op)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("classify: an imported network has the inputs %q, want %q", got, want)
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		rows := 0
		switch op := n.Op.(type) {
		case graph.Embedding:
			rows = op.Count
		case graph.Bag: // takes any index
		default:
			continue
		}
		in := &g.Nodes[n.In[0]]
		for in.Op == (graph.Reshape{To: in.Shape}) {
			in = &g.Nodes[in.In[0]]
		}
		most := padding
		if m.Padding {
			most++
		}
		switch {
		case in.Op == (graph.Input{Kind: graph.Index}), in.Op == (graph.Input{Kind: graph.Byte}):
		default:
			return fmt.Errorf("classify: %s looks up what is computed", n.Name)
		}
		if in.Name == gramsInput {
			most = a.Grams + 1
		}
		if rows != 0 && rows < most {
			return fmt.Errorf("classify: %s has %d rows for %d indices", n.Name, rows, most)
		}
	}
	return nil
}

// asBytes reports whether the network takes bytes, not indices.
func (m *Imported) asBytes() bool {
	return m.graph.Nodes[m.graph.Inputs[0]].Op == graph.Input{Kind: graph.Byte}
}

// importedNetwork runs an imported network, the plain way: the twin of Engine.
type importedNetwork struct {
	arch   *Architecture
	inputs [][]float32
	runs   []uint16
}

func (m *importedNetwork) Forward(_ nn.Pass, rows []uint16) []float32 {
	a, g := m.arch, m.arch.Imported.graph
	width := a.Normaliser.Bytes
	m.inputs = make([][]float32, len(g.Inputs))
	for k, v := range g.Inputs {
		in := &g.Nodes[v]
		if in.Name == gramsInput {
			for i := 0; i < len(rows); i += width {
				m.runs = appendGrams(m.runs[:0], rows[i:i+width], 32-bits.Len(uint(a.Grams-1)))
				for _, r := range m.runs {
					m.inputs[k] = append(m.inputs[k], float32(r))
				}
				for range in.Shape.Size() - len(m.runs) {
					m.inputs[k] = append(m.inputs[k], float32(a.Grams))
				}
			}
			continue
		}
		for _, b := range rows {
			if !a.Imported.Padding {
				b &^= padding
			}
			m.inputs[k] = append(m.inputs[k], float32(b))
		}
	}
	out, err := g.Run(m.inputs)
	if err != nil {
		panic(err) // check saw to it that the inputs fit
	}
	return out[0]
}

func (m *importedNetwork) Backward([]float32)  { panic("classify: an imported network is not trained") }
func (m *importedNetwork) Params() []*nn.Param { return nil }

func (m *importedNetwork) graph(g *graph.Graph) graph.Value {
	from := m.arch.Imported.graph
	to := make([]graph.Value, len(from.Nodes))
	for i, n := range from.Nodes {
		if in, ok := n.Op.(graph.Input); ok {
			to[i] = g.Input(n.Name, in.Kind, n.Shape)
			continue
		}
		ins := make([]graph.Value, len(n.In))
		for k, v := range n.In {
			ins[k] = to[v]
		}
		to[i] = g.Apply(n.Name, n.Op, ins...)
	}
	return to[from.Outputs[0].Value]
}

// weights calls take for the network's weights.
func (m *Imported) weights(take func(name string, shape []int, values []float32)) {
	if m != nil {
		m.graph.Weights(func(name string, shape []int, values []float32) { take(importedTensor+name, shape, values) })
	}
}
