package onnx

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/weirnet/weir/nn/graph"
)

// layout is an order of axes in which an ONNX tensor holds a value (H, W, C) of the graph.
type layout uint8

const (
	vector layout = iota // (batch, C), one place
	places               // (batch, W), one line of one channel
	rows                 // (batch, W, C), one line
	steps                // (W, batch, C), one line: what LSTM takes
	last                 // (batch, H, W, C)
	planes               // (batch, C, H, W): what Conv takes
	layouts
)

// natural is the layout that inputs and outputs of a shape have.
func natural(s graph.Shape) layout {
	switch {
	case s.Height > 1:
		return planes
	case s.Width > 1:
		return rows
	}
	return vector
}

// dims returns the dimensions of a layout, the batch given as such.
func (l layout) dims(s graph.Shape, batch int64) []int64 {
	h, w, c := int64(s.Height), int64(s.Width), int64(s.Channels)
	switch l {
	case vector:
		return []int64{batch, c}
	case places:
		return []int64{batch, w}
	case rows:
		return []int64{batch, w, c}
	case steps:
		return []int64{w, batch, c}
	case last:
		return []int64{batch, h, w, c}
	}
	return []int64{batch, c, h, w}
}

// writer makes the nodes of an ONNX graph for those of a graph.
type writer struct {
	g     *graph.Graph
	out   graphProto
	taken map[string]bool
	// at holds, by value, the names of the tensors that hold it, by layout; "" for none so far.
	at    [][layouts]string
	typ   []elemType // by value
	index []string   // by value: the tensor that holds it as int64, (batch, places)
	final []string   // by value: name of the output it is, until a tensor has it
	node  *graph.Node
}

func export(m *Model) (*modelProto, error) {
	g := m.Graph
	w := &writer{
		g: g, taken: map[string]bool{"": true}, at: make([][layouts]string, len(g.Nodes)),
		typ: make([]elemType, len(g.Nodes)), index: make([]string, len(g.Nodes)), final: make([]string, len(g.Nodes)),
	}
	w.out.name = "network"
	for _, o := range g.Outputs {
		if w.taken[o.Name] {
			return nil, fmt.Errorf("output %q: the name is empty or taken", o.Name)
		}
		w.taken[o.Name] = true
		if _, input := g.Nodes[o.Value].Op.(graph.Input); !input && w.final[o.Value] == "" {
			w.final[o.Value] = o.Name
		}
	}
	for _, v := range g.Inputs {
		name := g.Nodes[v].Name
		if w.taken[name] {
			return nil, fmt.Errorf("input %q: the name is empty or taken", name)
		}
		w.taken[name] = true
	}
	for i := range g.Nodes {
		w.node = &g.Nodes[i]
		w.typ[i] = typeFloat
		if err := w.apply(graph.Value(i)); err != nil {
			return nil, fmt.Errorf("%s: %w", w.node.Name, err)
		}
	}
	for _, o := range g.Outputs {
		w.node = &g.Nodes[o.Value]
		to := natural(w.node.Shape)
		if name := w.as(o.Value, to); name != o.Name {
			w.addTo(o.Name, "Identity", nil, name)
		}
		w.out.outputs = append(w.out.outputs, valueInfo{name: o.Name, typ: typeFloat, dims: to.dims(w.node.Shape, dynamic)})
	}
	p := &modelProto{
		ir: irVersion, producer: m.Producer, version: m.Version,
		graph: w.out, opsets: []opset{{"", Opset}},
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		p.metadata = append(p.metadata, entry{key, m.Metadata[key]})
	}
	return p, nil
}

// apply adds the nodes of a node of the graph.
func (w *writer) apply(v graph.Value) error {
	in, shape := w.node.In, w.node.Shape
	switch op := w.node.Op.(type) {
	case graph.Input:
		w.input(v, op.Kind)
	case graph.Conv:
		x := w.as(in[0], planes)
		channels := w.g.Nodes[in[0]].Shape.Channels
		args := []string{x, w.floats("weight", filtersFirst(op, channels), op.Out, channels, op.KernelH, op.KernelW)}
		if op.Bias != nil {
			args = append(args, w.floats("bias", op.Bias, op.Out))
		}
		w.put(v, planes, "Conv", []attribute{
			ints("kernel_shape", op.KernelH, op.KernelW), ints("pads", op.PadH, op.PadW, op.PadH, op.PadW), ints("strides", op.StrideH, op.StrideW),
		}, args...)
	case graph.Affine:
		w.affine(v, op)
	case graph.ReLU:
		x, l := w.any(in[0])
		w.put(v, l, "Relu", nil, x)
	case graph.Add:
		x, l := w.any(in[0])
		w.put(v, l, "Add", nil, x, w.as(in[1], l))
	case graph.Mean:
		if x, l := w.any(in[0]); l == planes {
			w.put(v, vector, "Flatten", []attribute{integer("axis", 1)}, w.add("mean", "GlobalAveragePool", nil, x))
		} else {
			w.put(v, vector, "ReduceMean", []attribute{ints("axes", 1), integer("keepdims", 0)}, w.as(in[0], rows))
		}
	case graph.Dense:
		w.dense(v, op)
	case graph.Concat:
		l := natural(shape)
		args := make([]string, len(in))
		for i, x := range in {
			args[i] = w.as(x, l)
		}
		axis := 1
		if l == rows {
			axis = 2
		}
		w.put(v, l, "Concat", []attribute{integer("axis", axis)}, args...)
	case graph.Reshape:
		l := natural(shape)
		if l == planes {
			l = last // the values stay where they are
		}
		from := w.flat(in[0])
		w.put(v, l, "Reshape", nil, from, w.sizes(l.dims(shape, 0)))
	case graph.Embedding:
		gathered := []string{w.floats("weight", op.Weight, op.Count, op.Size), w.indices(in[0])}
		if shape.Height == 1 {
			w.put(v, rows, "Gather", nil, gathered...)
		} else {
			w.put(v, last, "Reshape", nil, w.add("rows", "Gather", nil, gathered...), w.sizes(last.dims(shape, 0)))
		}
	case graph.Bag:
		w.bag(v, op)
	case graph.LSTM:
		return w.lstm(v, op)
	case graph.Softmax:
		x, l := w.any(in[0])
		axis := -1
		if l == planes {
			axis = 1
		}
		w.put(v, l, "Softmax", []attribute{integer("axis", axis)}, x)
	default:
		return fmt.Errorf("there is no ONNX for %T", op)
	}
	return nil
}

func (w *writer) input(v graph.Value, kind graph.Kind) {
	w.typ[v] = map[graph.Kind]elemType{graph.Float: typeFloat, graph.Byte: typeUint8, graph.Index: typeInt64}[kind]
	l := natural(w.node.Shape)
	if kind != graph.Float && l != planes && w.node.Shape.Channels == 1 {
		l = places
	}
	w.at[v][l] = w.node.Name
	if kind == graph.Index && l == places {
		w.index[v] = w.node.Name
	}
	w.out.inputs = append(w.out.inputs, valueInfo{name: w.node.Name, typ: w.typ[v], dims: l.dims(w.node.Shape, dynamic)})
}

// affine is a batch normalisation with mean 0 and variance 1 where the channels are the second axis,
// which others know to fold into a convolution, and otherwise a product and a sum.
func (w *writer) affine(v graph.Value, op graph.Affine) {
	x, l := w.any(w.node.In[0])
	channels := len(op.Gain)
	shifts := op.Offset != nil && slices.ContainsFunc(op.Offset, func(v float32) bool { return v != 0 })
	if shifts && (l == planes || l == vector) {
		zeros, ones := make([]float32, channels), make([]float32, channels)
		for i := range ones {
			ones[i] = 1
		}
		w.put(v, l, "BatchNormalization", []attribute{{name: "epsilon", kind: attrFloat}}, x,
			w.floats("gain", op.Gain, channels), w.floats("offset", op.Offset, channels),
			w.floats("mean", zeros, channels), w.floats("var", ones, channels))
		return
	}
	dims := []int{channels}
	if l == planes {
		dims = []int{channels, 1, 1}
	}
	if !shifts {
		w.put(v, l, "Mul", nil, x, w.floats("gain", op.Gain, dims...))
		return
	}
	w.put(v, l, "Add", nil, w.add("scaled", "Mul", nil, x, w.floats("gain", op.Gain, dims...)), w.floats("offset", op.Offset, dims...))
}

func (w *writer) dense(v graph.Value, op graph.Dense) {
	l := natural(w.node.Shape)
	if l == planes {
		l = last
	}
	x := w.as(w.node.In[0], l)
	weight := w.floats("weight", op.Weight, len(op.Weight)/op.Out, op.Out)
	switch {
	case l == vector && op.Bias != nil:
		w.put(v, l, "Gemm", nil, x, weight, w.floats("bias", op.Bias, op.Out))
	case op.Bias != nil:
		w.put(v, l, "Add", nil, w.add("product", "MatMul", nil, x, weight), w.floats("bias", op.Bias, op.Out))
	default:
		w.put(v, l, "MatMul", nil, x, weight)
	}
}

// bag sums rows of the table with one of zeros behind it, which stands for none, and divides by the
// root of how many indices there are.
func (w *writer) bag(v graph.Value, op graph.Bag) {
	index := w.indices(w.node.In[0])
	table := append(slices.Clone(op.Weight), make([]float32, op.Size)...)
	sum := w.sum(w.add("rows", "Gather", nil, w.floats("weight", table, op.Count+1, op.Size), index), 0, "sum")
	there := w.add("there", "Less", nil, index, w.integers("count", []int64{int64(op.Count)}))
	number := w.sum(w.add("ones", "Cast", []attribute{integer("to", int(typeFloat))}, there), 1, "number")
	root := w.add("root", "Sqrt", nil, w.add("most", "Max", nil, number, w.floats("one", []float32{1}, 1)))
	w.put(v, vector, "Div", nil, sum, root)
}

// sum adds up over the second axis.
func (w *writer) sum(x string, keep int, name string) string {
	return w.add(name, "ReduceSum", []attribute{integer("keepdims", keep)}, x, w.integers("axis", []int64{1}))
}

// lstm has its gates in the order i, o, f, c in ONNX, its weights transposed, and two biases.
func (w *writer) lstm(v graph.Value, op graph.LSTM) error {
	if op.Bias == nil {
		op.Bias = make([]float32, 4*op.Hidden)
	}
	width := len(op.Wx) / (4 * op.Hidden)
	x := w.as(w.node.In[0], steps)
	y := w.add("states", "LSTM", []attribute{integer("hidden_size", op.Hidden)}, x,
		w.floats("wx", gatesFirst(op.Wx, width, op.Hidden), 1, 4*op.Hidden, width),
		w.floats("wh", gatesFirst(op.Wh, op.Hidden, op.Hidden), 1, 4*op.Hidden, op.Hidden),
		w.floats("bias", append(gatesFirst(op.Bias, 1, op.Hidden), make([]float32, 4*op.Hidden)...), 1, 8*op.Hidden))
	w.put(v, steps, "Squeeze", nil, y, w.integers("direction", []int64{1}))
	return nil
}

// gateOrder says which of the graph's gates i, f, g, o stands in each place in ONNX: i, o, f, c.
var gateOrder = [4]int{0, 3, 1, 2}

// gatesFirst turns weights (width, 4·hidden) into ONNX's (4·hidden, width).
func gatesFirst(x []float32, width, hidden int) []float32 {
	y := make([]float32, 0, len(x))
	for _, gate := range gateOrder {
		for k := range hidden {
			for i := range width {
				y = append(y, x[i*4*hidden+gate*hidden+k])
			}
		}
	}
	return y
}

// filtersFirst turns the weights of a convolution into ONNX's (Out, channels, KernelH, KernelW).
func filtersFirst(op graph.Conv, channels int) []float32 {
	y := make([]float32, 0, len(op.Weight))
	kernel := op.KernelH * op.KernelW
	for o := range op.Out {
		for c := range channels {
			for k := range kernel {
				y = append(y, op.Weight[(k*channels+c)*op.Out+o])
			}
		}
	}
	return y
}

// any returns a tensor that holds a value as floats, in the layout that it is in.
func (w *writer) any(v graph.Value) (string, layout) {
	s := w.g.Nodes[v].Shape
	l := natural(s)
	if w.at[v][l] == "" {
		for k := range layouts {
			if w.at[v][k] != "" {
				l = k
			}
		}
	}
	return w.as(v, l), l
}

// flat returns a tensor that holds a value as floats with its channels last.
func (w *writer) flat(v graph.Value) string {
	for l := range layouts {
		if l != planes && l != steps && w.at[v][l] != "" {
			return w.as(v, l)
		}
	}
	if w.g.Nodes[v].Shape.Height == 1 {
		return w.as(v, rows)
	}
	return w.as(v, last)
}

// as returns a tensor that holds a value as floats in a layout, adding nodes where there is none.
func (w *writer) as(v graph.Value, to layout) string {
	w.float(v)
	if name := w.at[v][to]; name != "" {
		return name
	}
	s := w.g.Nodes[v].Shape
	has := func(l layout) bool { return w.at[v][l] != "" }
	permuted := s.Channels > 1 && s.Places() > 1 // planes lie otherwise in memory
	reshape := func(from layout) string {
		return w.put(v, to, "Reshape", nil, w.at[v][from], w.sizes(to.dims(s, 0)))
	}
	switch {
	case to == steps:
		return w.put(v, to, "Transpose", []attribute{ints("perm", 1, 0, 2)}, w.as(v, rows))
	case has(steps) && to == rows:
		return w.put(v, to, "Transpose", []attribute{ints("perm", 1, 0, 2)}, w.at[v][steps])
	case to == planes && permuted:
		return w.put(v, to, "Transpose", []attribute{ints("perm", 0, 3, 1, 2)}, w.as(v, last))
	case to == last && permuted && has(planes):
		return w.put(v, to, "Transpose", []attribute{ints("perm", 0, 2, 3, 1)}, w.at[v][planes])
	}
	for l := range layouts {
		if has(l) && l != steps && !(l == planes && permuted) {
			return reshape(l)
		}
	}
	if has(steps) {
		w.as(v, rows)
		return reshape(rows)
	}
	w.as(v, last)
	return reshape(last)
}

// float casts an input of bytes or indices.
func (w *writer) float(v graph.Value) {
	if w.typ[v] == typeFloat {
		return
	}
	w.typ[v] = typeFloat
	for l := range layouts {
		if name := w.at[v][l]; name != "" {
			w.at[v][l] = ""
			w.put(v, l, "Cast", []attribute{integer("to", int(typeFloat))}, name)
		}
	}
}

// indices returns a value as int64, (batch, places).
func (w *writer) indices(v graph.Value) string {
	if w.index[v] == "" {
		sizes := w.sizes([]int64{0, int64(w.g.Nodes[v].Shape.Places())})
		w.index[v] = w.add("indices", "Cast", []attribute{integer("to", int(typeInt64))}, w.add("places", "Reshape", nil, w.flat(v), sizes))
	}
	return w.index[v]
}

// put adds the node that gives a value in a layout, and returns the tensor's name.
func (w *writer) put(v graph.Value, l layout, op string, attributes []attribute, in ...string) string {
	n := &w.g.Nodes[v]
	name := w.final[v]
	if name != "" && l == natural(n.Shape) {
		w.final[v] = ""
	} else {
		name = w.name(n.Name)
	}
	w.at[v][l] = name
	return w.addTo(name, op, attributes, in...)
}

// add adds a node that gives part of a value, and returns its tensor's name.
func (w *writer) add(part, op string, attributes []attribute, in ...string) string {
	return w.addTo(w.name(w.node.Name+"/"+part), op, attributes, in...)
}

func (w *writer) addTo(name, op string, attributes []attribute, in ...string) string {
	w.out.nodes = append(w.out.nodes, node{name: name, op: op, attributes: attributes, in: in, out: []string{name}})
	return name
}

// name returns a name that no tensor has: the one asked for, or with a number behind it.
func (w *writer) name(want string) string {
	name := want
	for i := 2; w.taken[name]; i++ {
		name = fmt.Sprintf("%s.%d", want, i)
	}
	w.taken[name] = true
	return name
}

func (w *writer) floats(part string, x []float32, dims ...int) string {
	raw := make([]byte, 0, 4*len(x))
	for _, v := range x {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return w.constant(part, typeFloat, raw, ints("", dims...).ints)
}

func (w *writer) integers(part string, x []int64) string {
	raw := make([]byte, 0, 8*len(x))
	for _, v := range x {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return w.constant(part, typeInt64, raw, []int64{int64(len(x))})
}

// sizes is the constant that Reshape reads; 0 keeps the size of the batch.
func (w *writer) sizes(dims []int64) string { return w.integers("shape", dims) }

func (w *writer) constant(part string, typ elemType, raw []byte, dims []int64) string {
	name := w.name(w.node.Name + "." + part)
	w.out.initializers = append(w.out.initializers, tensorProto{name: name, dims: dims, typ: typ, raw: raw})
	return name
}

func integer(name string, v int) attribute { return attribute{name: name, kind: attrInt, i: int64(v)} }

func ints(name string, x ...int) attribute {
	a := attribute{name: name, kind: attrInts}
	for _, v := range x {
		a.ints = append(a.ints, int64(v))
	}
	return a
}
