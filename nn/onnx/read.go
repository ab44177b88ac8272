package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/weirnet/weir/nn/graph"
)

// Opsets that are read.
const (
	oldestOpset = 7
	newestOpset = 23
)

// operators are the ONNX operators that are read, by name. Those that compute something become
// operators of the graph, those that move axes or compute sizes leave nothing behind.
var operators = map[string]func(r *reader) error{
	"Conv":               (*reader).conv,
	"BatchNormalization": (*reader).batchNorm,
	"Relu":               (*reader).relu,
	"Gemm":               (*reader).gemm,
	"MatMul":             (*reader).matMul,
	"LSTM":               (*reader).lstm,
	"Softmax":            (*reader).softmax,
	"GlobalAveragePool":  (*reader).globalAverage,
	"AveragePool":        (*reader).averagePool,
	"ReduceMean":         (*reader).reduceMean,
	"Add":                (*reader).add,
	"Sub":                (*reader).sub,
	"Mul":                (*reader).mul,
	"Div":                (*reader).div,
	"Concat":             (*reader).concat,
	"Gather":             (*reader).gather, // rows of a table, or a step of a sequence
	"Slice":              (*reader).slice,
	"Identity":           (*reader).identity,
	"Dropout":            (*reader).identity,
	"Cast":               (*reader).cast,
	"Reshape":            (*reader).reshape,
	"Flatten":            (*reader).flatten,
	"Transpose":          (*reader).transpose,
	"Squeeze":            (*reader).squeeze,
	"Unsqueeze":          (*reader).unsqueeze,
	"Constant":           (*reader).constant,
	"ConstantOfShape":    (*reader).constantOfShape,
	"Expand":             (*reader).expand, // of a constant
	"Shape":              (*reader).shape,
	// The parts of graph.Bag, see bag.go.
	"Less":      (*reader).less,
	"Max":       (*reader).max,
	"Sqrt":      (*reader).sqrt,
	"ReduceSum": (*reader).reduceSum,
}

// operand is what a name of the ONNX graph stands for: one of these.
type operand struct {
	tensor   *tensor
	constant *constant
	proto    *tensorProto // a constant that was not decoded yet
	bag      *bag
}

// reader makes the nodes of a graph for those of an ONNX graph.
type reader struct {
	g      *graph.Graph
	opset  int64
	batch  int // the batch's size in the file, dynamic as a rule
	values map[string]operand
	uses   map[string]int // how many nodes and outputs read a name
	budget int            // numbers that may still be kept
	n      *node
}

func read(p *modelProto, bytes int) (*Model, error) {
	opset, err := opsetOf(p.opsets)
	if err != nil {
		return nil, err
	}
	r := &reader{
		g: new(graph.Graph), opset: opset, batch: dynamic, values: map[string]operand{}, uses: map[string]int{},
		budget: 1<<23 + bytes,
	}
	for i := range p.graph.initializers {
		t := &p.graph.initializers[i]
		if _, ok := r.values[t.name]; ok || t.name == "" {
			return nil, fault(t.at, "constant %q: the name is empty or taken", t.name)
		}
		r.values[t.name] = operand{proto: t}
	}
	for i := range p.graph.inputs {
		in := &p.graph.inputs[i]
		if r.values[in.name].proto != nil {
			continue // files before IR version 4 list constants among the inputs
		}
		if err := r.input(in); err != nil {
			return nil, fault(in.at, "input %q: %w", in.name, err)
		}
	}
	for i := range p.graph.nodes {
		for _, name := range p.graph.nodes[i].in {
			r.uses[name]++
		}
	}
	for _, o := range p.graph.outputs {
		r.uses[o.name]++
	}
	for i := range p.graph.nodes {
		r.n = &p.graph.nodes[i]
		if err := r.node(); err != nil {
			return nil, fault(r.n.at, "node %q (%s): %w", r.name(), r.n.op, err)
		}
	}
	if len(p.graph.outputs) == 0 {
		return nil, errors.New("the graph has no outputs")
	}
	for i := range p.graph.outputs {
		if err := r.output(p.graph.outputs[i].name); err != nil {
			return nil, fault(p.graph.outputs[i].at, "output %q: %w", p.graph.outputs[i].name, err)
		}
	}
	m := &Model{Graph: used(r.g), Producer: p.producer, Version: p.version}
	if err := finite(m.Graph); err != nil {
		return nil, err
	}
	for _, e := range p.metadata {
		if m.Metadata == nil {
			m.Metadata = map[string]string{}
		}
		m.Metadata[e.key] = e.value
	}
	return m, nil
}

// opsetOf returns the version of the standard operators.
func opsetOf(opsets []opset) (int64, error) {
	for _, o := range opsets {
		if o.domain == "" || o.domain == "ai.onnx" {
			if o.version < oldestOpset || o.version > newestOpset {
				return 0, fmt.Errorf("opset %d: want %d to %d", o.version, oldestOpset, newestOpset)
			}
			return o.version, nil
		}
	}
	return 0, errors.New("the file names no opset of standard operators")
}

// finite refuses weights that are none: constants are finite, but not all that is made of them.
func finite(g *graph.Graph) (err error) {
	g.Weights(func(name string, _ []int, values []float32) {
		for i, v := range values {
			if v-v != 0 && err == nil {
				err = fmt.Errorf("%s: value %d is %v", name, i, v)
			}
		}
	})
	return err
}

// input adds an input of the graph.
func (r *reader) input(in *valueInfo) error {
	if _, ok := r.values[in.name]; ok || in.name == "" {
		return errors.New("the name is empty or taken")
	}
	kind := graph.Float
	switch in.typ {
	case typeFloat:
	case typeUint8:
		kind = graph.Byte
	case typeInt64, typeInt32:
		kind = graph.Index
	default:
		return fmt.Errorf("of %v, want float32, uint8, int32 or int64", in.typ)
	}
	if len(in.dims) < 2 || len(in.dims) > 4 {
		return fmt.Errorf("%d dimensions, want 2 to 4, the batch first", len(in.dims))
	}
	dims := []int{dynamic}
	for _, d := range in.dims[1:] {
		if d < 1 || d > maxSize {
			return fmt.Errorf("dimensions %v: only the batch may be dynamic", in.dims)
		}
		dims = append(dims, int(d))
	}
	if b := in.dims[0]; b != dynamic {
		if b < 1 || b > maxSize || r.batch != dynamic && int(b) != r.batch {
			return fmt.Errorf("a batch of %d", b)
		}
		r.batch = int(b)
	}
	t := &tensor{dims: dims}
	size, err := r.spend(dims)
	if err != nil {
		return err
	}
	shape := graph.Vector(size)
	switch {
	case len(dims) == 4:
		shape = graph.Shape{Height: dims[2], Width: dims[3], Channels: dims[1]}
		t.at = planesOf(shape)
	case len(dims) == 3:
		shape = graph.Sequence(dims[1], dims[2])
	case kind != graph.Float:
		shape = graph.Sequence(size, 1)
	}
	t.value = r.g.Input(in.name, kind, shape)
	r.values[in.name] = operand{tensor: t}
	return nil
}

// node reads one node.
func (r *reader) node() error {
	if r.n.domain != "" && r.n.domain != "ai.onnx" {
		return fmt.Errorf("an operator of %q: only the standard ones are read", r.n.domain)
	}
	apply := operators[r.n.op]
	if apply == nil {
		return fmt.Errorf("an operator that weir's networks do not have; there are %v", slices.Sorted(maps.Keys(operators)))
	}
	for _, name := range r.n.in {
		if _, ok := r.values[name]; !ok && name != "" {
			return fmt.Errorf("reads %q, which is not there", name)
		}
	}
	for i, name := range r.n.out {
		if _, ok := r.values[name]; ok || slices.Contains(r.n.out[:i], name) && name != "" {
			return fmt.Errorf("gives %q, which is there", name)
		}
	}
	return apply(r)
}

// name is that of the node, or of what it gives.
func (r *reader) name() string {
	if r.n.name == "" && len(r.n.out) > 0 {
		return r.n.out[0]
	}
	return r.n.name
}

// give makes an operand the node's output. Outputs that nothing reads need no operand.
func (r *reader) give(i int, o operand) error {
	if i >= len(r.n.out) || r.n.out[i] == "" {
		return nil
	}
	r.values[r.n.out[i]] = o
	return nil
}

// put adds a node to the graph.
func (r *reader) put(op graph.Operator, in ...graph.Value) (graph.Value, error) {
	return r.g.TryApply(r.name(), op, in...)
}

// operand returns an input of the node, empty if it has none.
func (r *reader) operand(i int) operand {
	if i >= len(r.n.in) || r.n.in[i] == "" {
		return operand{}
	}
	return r.values[r.n.in[i]]
}

func (r *reader) has(i int) bool { return i < len(r.n.in) && r.n.in[i] != "" }

// tensor returns an input of the node that must be computed from the inputs of the graph.
func (r *reader) tensor(i int) (*tensor, error) {
	if t := r.operand(i).tensor; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("input %d is not computed from the network's inputs by operators of the graph", i)
}

// isConstant reports whether an input of the node is one.
func (r *reader) isConstant(i int) bool {
	o := r.operand(i)
	return o.constant != nil || o.proto != nil
}

// constantOf returns an input of the node that must be a constant.
func (r *reader) constantOf(i int) (*constant, error) {
	o := r.operand(i)
	switch {
	case o.constant != nil:
		return o.constant, nil
	case o.proto != nil:
		c, err := o.proto.decode()
		if err != nil {
			return nil, fmt.Errorf("constant %q: %w", o.proto.name, err)
		}
		r.values[r.n.in[i]] = operand{constant: c}
		return c, nil
	}
	return nil, fmt.Errorf("input %d is not a constant", i)
}

// weightsOf returns a constant of floats with so many dimensions.
func (r *reader) weightsOf(i, rank int) (*constant, error) {
	c, err := r.constantOf(i)
	if err != nil {
		return nil, err
	}
	if c.floats == nil || c.fill || len(c.dims) != rank {
		return nil, fmt.Errorf("input %d has the shape %v of %s, want %d dimensions of float32", i, c.dims, c.kind(), rank)
	}
	return c, nil
}

// numbersOf returns a constant of integers with at most one dimension.
func (r *reader) numbersOf(i int) ([]int64, error) {
	c, err := r.constantOf(i)
	if err != nil {
		return nil, err
	}
	if c.ints == nil || c.fill || len(c.dims) > 1 {
		return nil, fmt.Errorf("input %d has the shape %v of %s, want a list of integers", i, c.dims, c.kind())
	}
	return c.ints, nil
}

// setting returns an attribute, nil when the node has none.
func (r *reader) setting(name string) *attribute {
	for i := range r.n.attributes {
		if r.n.attributes[i].name == name {
			return &r.n.attributes[i]
		}
	}
	return nil
}

func (r *reader) integer(name string, otherwise int64) int64 {
	if a := r.setting(name); a != nil {
		return a.i
	}
	return otherwise
}

func (r *reader) number(name string, otherwise float32) float32 {
	if a := r.setting(name); a != nil {
		return a.f
	}
	return otherwise
}

// only refuses a setting with another value than the one that there is an operator for.
func (r *reader) only(name string, want int64) error {
	if v := r.integer(name, want); v != want {
		return fmt.Errorf("%s is %d, only %d is read", name, v, want)
	}
	return nil
}

// axis returns an axis of a tensor of that many dimensions, counted from the end when negative.
func axis(v int64, rank int) (int, error) {
	if v < 0 {
		v += int64(rank)
	}
	if v < 0 || v >= int64(rank) {
		return 0, fmt.Errorf("axis %d of %d", v, rank)
	}
	return int(v), nil
}

// axes returns the axes that an attribute or, in later opsets, an input names; ok is false when
// neither is there.
func (r *reader) axes(rank int) (list []int, ok bool, err error) {
	var numbers []int64
	if a := r.setting("axes"); a != nil {
		numbers = a.ints
	} else if r.has(1) {
		if numbers, err = r.numbersOf(1); err != nil {
			return nil, false, err
		}
	} else {
		return nil, false, nil
	}
	for _, v := range numbers {
		k, err := axis(v, rank)
		if err != nil || slices.Contains(list, k) {
			return nil, false, fmt.Errorf("axes %s of %d", few(numbers), rank)
		}
		list = append(list, k)
	}
	return list, true, nil
}

// output makes a name an output of the graph.
func (r *reader) output(name string) error {
	t := r.values[name].tensor
	if t == nil {
		return errors.New("not computed from the network's inputs by operators of the graph")
	}
	if t.batch != 0 || len(t.dims) < 2 || len(t.dims) > 4 {
		return fmt.Errorf("dimensions %v, want 2 to 4, the batch first", t.dims)
	}
	shape := graph.Vector(t.dims[1])
	var order []int32
	switch len(t.dims) {
	case 3:
		shape = graph.Sequence(t.dims[1], t.dims[2])
	case 4:
		shape = graph.Shape{Height: t.dims[2], Width: t.dims[3], Channels: t.dims[1]}
		order = planesOf(shape)
	}
	r.n = &node{name: name}
	v, err := r.arranged(t, shape, order)
	if err != nil {
		return err
	}
	r.g.Output(name, v)
	return nil
}

// used returns the graph without the nodes that no output needs.
func used(g *graph.Graph) *graph.Graph {
	need := make([]bool, len(g.Nodes))
	for _, v := range g.Inputs {
		need[v] = true
	}
	for _, o := range g.Outputs {
		need[o.Value] = true
	}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		if need[i] {
			for _, v := range g.Nodes[i].In {
				need[v] = true
			}
		}
	}
	to := make([]graph.Value, len(g.Nodes))
	kept := new(graph.Graph)
	for i, n := range g.Nodes {
		if !need[i] {
			continue
		}
		n.In = slices.Clone(n.In)
		for k, v := range n.In {
			n.In[k] = to[v]
		}
		to[i] = graph.Value(len(kept.Nodes))
		kept.Nodes = append(kept.Nodes, n)
	}
	for _, v := range g.Inputs {
		kept.Inputs = append(kept.Inputs, to[v])
	}
	for _, o := range g.Outputs {
		kept.Output(o.Name, to[o.Value])
	}
	return kept
}
