package infer

import (
	"fmt"
	"slices"

	"github.com/weirnet/weir/nn/graph"
)

// layer is what is computed in one go: an operator, or several that became one.
type layer interface {
	reads() []graph.Value
}

// product is a convolution or a dense layer with what stands behind it: scaling, the sum with
// another value or another product, ReLU.
type product struct {
	parts    []part
	out      int
	bias     []float32     // (out)
	residual []graph.Value // none or one
	relu     bool
	bytes    bool // it reads bytes and has weights of int8
}

// part is a convolution of one value; a dense layer is one of 1×1.
type part struct {
	in graph.Value
	graph.Geometry
	channels int
	weight   []float32 // (KernelH, KernelW, channels, out)
}

// bag is a graph.Bag and the scaling behind it, which went into its rows.
type bag struct {
	in     graph.Value
	count  int
	table  []float32 // (count, len(offset))
	offset []float32
	relu   bool
}

// recurrent is a graph.LSTM.
type recurrent struct {
	in    graph.Value
	lstm  graph.LSTM
	bytes bool // it reads bytes, turns its state into some, and has weights of int8
}

// single is an operator of one input that is computed as it stands: Affine, ReLU, Mean, Softmax,
// Embedding.
type single struct {
	in graph.Value
	op graph.Operator
}

// sum is a graph.Add that no product took over.
type sum struct {
	a, b graph.Value
	relu bool
}

type concat struct{ in []graph.Value }

// reshape is a graph.Reshape, or an Affine that went into those that read it.
type reshape struct{ in graph.Value }

// source is an input of the graph, by number.
type source struct {
	input int
	kind  graph.Kind
}

// rounding turns a value of floats into bytes.
type rounding struct{ in graph.Value }

func (l *product) reads() (in []graph.Value) {
	for _, p := range l.parts {
		in = append(in, p.in)
	}
	return append(in, l.residual...)
}
func (l *bag) reads() []graph.Value       { return []graph.Value{l.in} }
func (l *recurrent) reads() []graph.Value { return []graph.Value{l.in} }
func (l *single) reads() []graph.Value    { return []graph.Value{l.in} }
func (l *sum) reads() []graph.Value       { return []graph.Value{l.a, l.b} }
func (l *concat) reads() []graph.Value    { return l.in }
func (l *reshape) reads() []graph.Value   { return []graph.Value{l.in} }
func (l *source) reads() []graph.Value    { return nil }
func (l *rounding) reads() []graph.Value  { return []graph.Value{l.in} }

// affine is what a stored value must go through to be the graph's: gain·x + offset, per channel,
// or the same for all.
type affine struct{ gain, offset []float32 }

// plan is the layers of a network in order, each with the value that it produces. Values are
// numbered by layer.
type plan struct {
	layers  []layer // nil where a later layer took it over
	names   []string
	shapes  []graph.Shape
	codes   []affine // of values that are stored as bytes; without gain where they are floats
	outputs []graph.Value
}

func (p *plan) add(l layer, name string, shape graph.Shape, code affine) graph.Value {
	p.layers = append(p.layers, l)
	p.names = append(p.names, name)
	p.shapes = append(p.shapes, shape)
	p.codes = append(p.codes, code)
	return graph.Value(len(p.layers) - 1)
}

// fusion turns the nodes of a graph into layers.
type fusion struct {
	g      *graph.Graph
	uses   []int                  // how many nodes and outputs read a value
	layers []layer                // by value; nil where a later layer took it over
	behind map[graph.Value]affine // values that are stored without their scaling
}

// fuse returns the layers of a graph, by node.
func fuse(g *graph.Graph) (*plan, error) {
	f := &fusion{g: g, uses: make([]int, len(g.Nodes)), layers: make([]layer, len(g.Nodes)), behind: map[graph.Value]affine{}}
	for i := range g.Nodes {
		for _, v := range g.Nodes[i].In {
			f.uses[v]++
		}
	}
	for _, o := range g.Outputs {
		f.uses[o.Value]++
	}
	for i := range g.Nodes {
		if err := f.node(graph.Value(i)); err != nil {
			return nil, fmt.Errorf("infer: %s: %w", g.Nodes[i].Name, err)
		}
	}
	f.tables()
	f.drop()
	p := new(plan)
	for i, l := range f.layers {
		p.add(l, g.Nodes[i].Name, g.Nodes[i].Shape, affine{})
	}
	for _, o := range g.Outputs {
		p.outputs = append(p.outputs, o.Value)
	}
	return p, nil
}

func (f *fusion) node(v graph.Value) error {
	n := &f.g.Nodes[v]
	switch op := n.Op.(type) {
	case graph.Input:
		f.layers[v] = &source{slices.Index(f.g.Inputs, v), op.Kind}
	case graph.Conv:
		f.layers[v] = f.product(n.In[0], op.Geometry, op.Out, op.Weight, op.Bias)
	case graph.Dense:
		f.layers[v] = f.product(n.In[0], graph.Geometry{KernelH: 1, KernelW: 1, StrideH: 1, StrideW: 1}, op.Out, op.Weight, op.Bias)
	case graph.Affine:
		f.affine(v, n.In[0], op)
	case graph.ReLU:
		if !f.relu(v, n.In[0]) {
			f.layers[v] = &single{n.In[0], op}
		}
	case graph.Add:
		f.add(v, n.In[0], n.In[1])
	case graph.Bag:
		if op.Count > maxIndex {
			return fmt.Errorf("a bag of %d rows: indices have 16 bits", op.Count)
		}
		f.layers[v] = &bag{in: n.In[0], count: op.Count, table: slices.Clone(op.Weight), offset: make([]float32, op.Size)}
	case graph.Embedding:
		if op.Count > maxIndex {
			return fmt.Errorf("a table of %d rows: indices have 16 bits", op.Count)
		}
		f.layers[v] = &single{n.In[0], op}
	case graph.LSTM:
		f.recurrent(v, n.In[0], op)
	case graph.Concat:
		f.layers[v] = &concat{n.In}
	case graph.Reshape:
		f.layers[v] = &reshape{n.In[0]}
		if a, ok := f.behind[n.In[0]]; ok {
			f.behind[v] = a
		}
	case graph.Mean, graph.Softmax:
		f.layers[v] = &single{n.In[0], op}
	default:
		return fmt.Errorf("no way to compute %T", op)
	}
	return nil
}

// maxIndex is how many rows the indices of an input can tell apart.
const maxIndex = 1 << 16

func (f *fusion) product(in graph.Value, g graph.Geometry, out int, weight, bias []float32) *product {
	p := &product{out: out, bias: make([]float32, out)}
	copy(p.bias, bias)
	channels := f.g.Nodes[in].Shape.Channels
	weight = slices.Clone(weight)
	if a, ok := f.behind[in]; ok {
		for i := range weight {
			c := i / out % channels
			p.bias[i%out] += a.offset[c%len(a.offset)] * weight[i]
			weight[i] *= a.gain[c%len(a.gain)]
		}
	}
	p.parts = []part{{in, g, channels, weight}}
	return p
}

// open returns the product that alone produces v for one reader, and can take more behind it.
func (f *fusion) open(v graph.Value) *product {
	p, ok := f.layers[v].(*product)
	if !ok || f.uses[v] != 1 || p.relu || len(p.residual) > 0 {
		return nil
	}
	return p
}

// become makes the layer of one value that of a later one.
func (f *fusion) become(v, from graph.Value) { f.layers[v], f.layers[from] = f.layers[from], nil }

// affine goes into the weights of what stands before it, or else of all that stand behind it.
func (f *fusion) affine(v, in graph.Value, a graph.Affine) {
	if p := f.open(in); p != nil {
		for i := range p.parts {
			scaleColumns(p.parts[i].weight, a.Gain)
		}
		shift(p.bias, a)
		f.become(v, in)
		return
	}
	if b, ok := f.layers[in].(*bag); ok && f.uses[in] == 1 && !b.relu {
		scaleColumns(b.table, a.Gain)
		shift(b.offset, a)
		f.become(v, in)
		return
	}
	if _, scaled := f.behind[in]; !scaled && f.takenOver(v, a) {
		f.layers[v] = &reshape{in}
		f.behind[v] = affine{a.Gain, a.Offset}
		return
	}
	f.layers[v] = &single{in, a}
}

func scaleColumns(rows, gain []float32) {
	for i := range rows {
		rows[i] *= gain[i%len(gain)]
	}
}

func shift(bias []float32, a graph.Affine) {
	for i := range bias {
		bias[i] = a.Gain[i]*bias[i] + a.Offset[i]
	}
}

// takenOver reports whether every reader of v can scale its weights instead. Around an image stand
// zeros, so padded convolutions can take a gain, but no offset.
func (f *fusion) takenOver(v graph.Value, a graph.Affine) bool {
	for _, o := range f.g.Outputs {
		if o.Value == v {
			return false
		}
	}
	for i := range f.g.Nodes {
		n := &f.g.Nodes[i]
		if !slices.Contains(n.In, v) {
			continue
		}
		switch op := n.Op.(type) {
		case graph.Dense, graph.LSTM:
		case graph.Conv:
			if (op.PadH > 0 || op.PadW > 0) && slices.ContainsFunc(a.Offset, func(b float32) bool { return b != 0 }) {
				return false
			}
		case graph.Reshape:
			if len(a.Gain) != 1 || !f.takenOver(graph.Value(i), a) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (f *fusion) relu(v, in graph.Value) bool {
	if f.uses[in] != 1 {
		return false
	}
	switch l := f.layers[in].(type) {
	case *product:
		l.relu = true
	case *bag:
		l.relu = true
	case *sum:
		l.relu = true
	default:
		return false
	}
	f.become(v, in)
	return true
}

// add makes one product of two, or gives one of them the other value as its residual.
func (f *fusion) add(v, a, b graph.Value) {
	p, q := f.open(a), f.open(b)
	switch {
	case p != nil && q != nil && len(p.parts) == 1 && len(q.parts) == 1:
		p.parts = append(p.parts, q.parts[0])
		for i := range p.bias {
			p.bias[i] += q.bias[i]
		}
		f.become(v, a)
		f.layers[b] = nil
	case p != nil:
		p.residual = []graph.Value{b}
		f.become(v, a)
	case q != nil:
		q.residual = []graph.Value{a}
		f.become(v, b)
	default:
		f.layers[v] = &sum{a: a, b: b}
	}
}

func (f *fusion) recurrent(v, in graph.Value, op graph.LSTM) {
	if a, ok := f.behind[in]; ok {
		width := 4 * op.Hidden
		op.Wx = slices.Clone(op.Wx)
		bias := make([]float32, width)
		copy(bias, op.Bias)
		for i := range op.Wx {
			c := i / width
			bias[i%width] += a.offset[c%len(a.offset)] * op.Wx[i]
			op.Wx[i] *= a.gain[c%len(a.gain)]
		}
		op.Bias = bias
	}
	f.layers[v] = &recurrent{in: in, lstm: op}
}

// drop forgets what no output needs, but for the inputs.
func (f *fusion) drop() {
	needed := make([]bool, len(f.layers))
	for _, o := range f.g.Outputs {
		needed[o.Value] = true
	}
	for i := len(f.layers) - 1; i >= 0; i-- {
		l := f.layers[i]
		if _, input := l.(*source); !needed[i] && !input {
			f.layers[i] = nil
			continue
		}
		for _, v := range l.reads() {
			needed[v] = true
		}
	}
}

// table is an embedding and the convolution over it: the products of every symbol at every place of
// the window are there as rows.
type table struct {
	in              graph.Value
	symbols, window int
	width, stride   int
	rows            []float32 // (window, symbols, width); those of place 0 hold the bias
	relu            bool
}

func (l *table) reads() []graph.Value { return []graph.Value{l.in} }

// maxTable is how many numbers a table may have: what fits into a core's cache is worth it.
const maxTable = 1 << 20

// tables joins embeddings with convolutions over them.
func (f *fusion) tables() {
	for v, l := range f.layers {
		p, ok := l.(*product)
		if !ok || len(p.parts) != 1 || len(p.residual) > 0 {
			continue
		}
		q := &p.parts[0]
		s, ok := f.layers[q.in].(*single)
		if !ok {
			continue
		}
		e, ok := s.op.(graph.Embedding)
		if !ok || f.g.Nodes[q.in].Shape.Height != 1 || q.KernelH != 1 || q.PadH != 0 || q.PadW != 0 || q.KernelW*e.Count*p.out > maxTable {
			continue
		}
		t := &table{in: s.in, symbols: e.Count, window: q.KernelW, width: p.out, stride: q.StrideW, relu: p.relu}
		t.rows = make([]float32, t.window*t.symbols*t.width)
		sums := make([]float64, t.width)
		for w := range t.window {
			for k := range t.symbols {
				clear(sums)
				if w == 0 {
					for o, b := range p.bias {
						sums[o] = float64(b)
					}
				}
				for c, x := range e.Weight[k*e.Size : (k+1)*e.Size] {
					for o, y := range q.weight[(w*e.Size+c)*t.width:][:t.width] {
						sums[o] += float64(x) * float64(y)
					}
				}
				for o, y := range sums {
					t.rows[(w*t.symbols+k)*t.width+o] = float32(y)
				}
			}
		}
		f.layers[v] = t
	}
}
