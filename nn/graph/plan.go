package graph

import (
	"errors"
	"fmt"
)

// Plan is a graph without its weights, in a form for JSON. The weights go beside it by name:
// [Graph.Weights] gives them, [Plan.Graph] takes them.
type Plan struct {
	Nodes   []PlanNode   `json:"nodes"`
	Outputs []PlanOutput `json:"outputs"`
}

// PlanNode is a node. Which fields it has depends on the operator.
type PlanNode struct {
	Name   string  `json:"name"`
	Op     string  `json:"op"`              // the operator's type in lower case
	In     []Value `json:"in,omitempty"`    // of lower index
	Kind   string  `json:"kind,omitempty"`  // of an input: float, byte, index
	Shape  *[3]int `json:"shape,omitempty"` // of an input and of a reshape: height, width, channels
	Kernel *[2]int `json:"kernel,omitempty"`
	Stride *[2]int `json:"stride,omitempty"`
	Pad    *[2]int `json:"pad,omitempty"`
	Out    int     `json:"out,omitempty"`   // of conv and dense; of an lstm, its hidden size
	Count  int     `json:"count,omitempty"` // of embedding and bag
	Size   int     `json:"size,omitempty"`  // of embedding and bag
	Bias   bool    `json:"bias,omitempty"`  // of conv and dense: there is one
}

// PlanOutput is an output.
type PlanOutput struct {
	Name  string `json:"name"`
	Value Value  `json:"value"`
}

var kindNames = [...]string{Float: "float", Byte: "byte", Index: "index"}

// Plan returns the graph without its weights.
func (g *Graph) Plan() *Plan {
	p := new(Plan)
	for i := range g.Nodes {
		n := &g.Nodes[i]
		s := &[3]int{n.Shape.Height, n.Shape.Width, n.Shape.Channels}
		d := PlanNode{Name: n.Name, In: n.In}
		switch op := n.Op.(type) {
		case Input:
			d.Op, d.Kind, d.Shape = "input", kindNames[op.Kind], s
		case Conv:
			d.Op, d.Out, d.Bias = "conv", op.Out, op.Bias != nil
			d.Kernel, d.Stride, d.Pad = &[2]int{op.KernelH, op.KernelW}, &[2]int{op.StrideH, op.StrideW}, &[2]int{op.PadH, op.PadW}
		case Affine:
			d.Op = "affine"
		case ReLU:
			d.Op = "relu"
		case Add:
			d.Op = "add"
		case Mean:
			d.Op = "mean"
		case Dense:
			d.Op, d.Out, d.Bias = "dense", op.Out, op.Bias != nil
		case Concat:
			d.Op = "concat"
		case Reshape:
			d.Op, d.Shape = "reshape", s
		case Embedding:
			d.Op, d.Count, d.Size = "embedding", op.Count, op.Size
		case Bag:
			d.Op, d.Count, d.Size = "bag", op.Count, op.Size
		case LSTM:
			d.Op, d.Out = "lstm", op.Hidden
		case Softmax:
			d.Op = "softmax"
		}
		p.Nodes = append(p.Nodes, d)
	}
	for _, o := range g.Outputs {
		p.Outputs = append(p.Outputs, PlanOutput(o))
	}
	return p
}

// Weights calls take for all weights, which are those of the graph and not copied. Names are unique:
// the node's, a dot, and what the weights are to it.
func (g *Graph) Weights(take func(name string, shape []int, values []float32)) {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		give := func(part string, values []float32, shape ...int) {
			if values != nil {
				take(n.Name+"."+part, shape, values)
			}
		}
		switch op := n.Op.(type) {
		case Conv:
			give("weight", op.Weight, op.KernelH, op.KernelW, g.Nodes[n.In[0]].Shape.Channels, op.Out)
			give("bias", op.Bias, op.Out)
		case Affine:
			give("gain", op.Gain, len(op.Gain))
			give("offset", op.Offset, len(op.Offset))
		case Dense:
			give("weight", op.Weight, g.Nodes[n.In[0]].Shape.Channels, op.Out)
			give("bias", op.Bias, op.Out)
		case Embedding:
			give("weight", op.Weight, op.Count, op.Size)
		case Bag:
			give("weight", op.Weight, op.Count, op.Size)
		case LSTM:
			give("wx", op.Wx, g.Nodes[n.In[0]].Shape.Channels, 4*op.Hidden)
			give("wh", op.Wh, op.Hidden, 4*op.Hidden)
			give("bias", op.Bias, 4*op.Hidden)
		}
	}
}

// maxPlan bounds the nodes of a plan and the values of one sample of each.
const (
	maxPlan   = 1 << 16
	maxValues = 1 << 22
)

// Graph makes the graph of a plan, whose weights find returns: as many as the shape says, or an
// error. It refuses plans that make no sense: they may be of damaged or hostile files. Memory beside
// the weights is bounded by the plan's.
func (p *Plan) Graph(find func(name string, shape ...int) ([]float32, error)) (*Graph, error) {
	if len(p.Nodes) > maxPlan {
		return nil, fmt.Errorf("graph: a plan of %d nodes", len(p.Nodes))
	}
	g := new(Graph)
	names := make(map[string]bool, len(p.Nodes))
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Name == "" || names[n.Name] {
			return nil, fmt.Errorf("graph: node %d: the name %q is empty or taken", i, n.Name)
		}
		names[n.Name] = true
		if err := g.follow(n, find); err != nil {
			return nil, fmt.Errorf("graph: %s: %w", n.Name, err)
		}
	}
	for _, o := range p.Outputs {
		if o.Value < 0 || int(o.Value) >= len(g.Nodes) {
			return nil, fmt.Errorf("graph: output %s is of node %d of %d", o.Name, o.Value, len(g.Nodes))
		}
		g.Output(o.Name, o.Value)
	}
	return g, nil
}

// follow adds the node that a plan has.
func (g *Graph) follow(n *PlanNode, find func(name string, shape ...int) ([]float32, error)) (err error) {
	for _, v := range n.In {
		if v < 0 || int(v) >= len(g.Nodes) {
			return fmt.Errorf("input is node %d of %d before it", v, len(g.Nodes))
		}
	}
	for _, v := range [...]int{n.Out, n.Count, n.Size} {
		if v < 0 || v > maxValues {
			return fmt.Errorf("a size of %d", v)
		}
	}
	channels := 0
	if len(n.In) > 0 {
		channels = g.Nodes[n.In[0]].Shape.Channels
	}
	weights := func(dst *[]float32, part string, shape ...int) {
		if err == nil {
			*dst, err = find(n.Name+"."+part, shape...)
		}
	}
	var op Operator
	switch n.Op {
	case "input":
		kind := -1
		for k, name := range kindNames {
			if n.Kind == name {
				kind = k
			}
		}
		shape, err := n.shape()
		if err != nil || kind < 0 {
			return errors.Join(fmt.Errorf("an input of kind %q", n.Kind), err)
		}
		g.Input(n.Name, Kind(kind), shape)
		return nil
	case "conv":
		if n.Kernel == nil || n.Stride == nil || n.Pad == nil {
			return errors.New("no kernel, stride or pad")
		}
		for _, v := range [...]int{n.Kernel[0], n.Kernel[1], n.Stride[0], n.Stride[1], n.Pad[0] + 1, n.Pad[1] + 1} {
			if v < 1 || v > 1<<12 {
				return fmt.Errorf("kernel %v, stride %v, pad %v", *n.Kernel, *n.Stride, *n.Pad)
			}
		}
		c := Conv{Geometry: Geometry{n.Kernel[0], n.Kernel[1], n.Stride[0], n.Stride[1], n.Pad[0], n.Pad[1]}, Out: n.Out}
		weights(&c.Weight, "weight", c.KernelH, c.KernelW, channels, c.Out)
		if n.Bias {
			weights(&c.Bias, "bias", c.Out)
		}
		op = c
	case "affine":
		var a Affine
		weights(&a.Gain, "gain", channels)
		weights(&a.Offset, "offset", channels)
		op = a
	case "relu":
		op = ReLU{}
	case "add":
		op = Add{}
	case "mean":
		op = Mean{}
	case "dense":
		d := Dense{Out: n.Out}
		weights(&d.Weight, "weight", channels, d.Out)
		if n.Bias {
			weights(&d.Bias, "bias", d.Out)
		}
		op = d
	case "concat":
		op = Concat{}
	case "reshape":
		shape, err := n.shape()
		if err != nil {
			return err
		}
		op = Reshape{To: shape}
	case "embedding":
		e := Embedding{Count: n.Count, Size: n.Size}
		weights(&e.Weight, "weight", e.Count, e.Size)
		op = e
	case "bag":
		b := Bag{Count: n.Count, Size: n.Size}
		weights(&b.Weight, "weight", b.Count, b.Size)
		op = b
	case "lstm":
		l := LSTM{Hidden: n.Out}
		weights(&l.Wx, "wx", channels, 4*l.Hidden)
		weights(&l.Wh, "wh", l.Hidden, 4*l.Hidden)
		weights(&l.Bias, "bias", 4*l.Hidden)
		op = l
	case "softmax":
		op = Softmax{}
	default:
		return fmt.Errorf("no operator %q", n.Op)
	}
	if err != nil {
		return err
	}
	in := make([]Shape, len(n.In))
	for i, v := range n.In {
		in[i] = g.Nodes[v].Shape
	}
	shape, err := op.shape(in)
	if err == nil && !shape.fits() {
		err = fmt.Errorf("of shape %v", shape)
	}
	if err == nil {
		g.add(Node{Name: n.Name, Op: op, In: n.In, Shape: shape})
	}
	return err
}

// shape is that of an input or of a reshape.
func (n *PlanNode) shape() (Shape, error) {
	if n.Shape == nil {
		return Shape{}, errors.New("no shape")
	}
	s := Shape{n.Shape[0], n.Shape[1], n.Shape[2]}
	if !s.fits() {
		return Shape{}, fmt.Errorf("of shape %v", s)
	}
	return s, nil
}

// fits reports whether a shape holds at least one value and not too many.
func (s Shape) fits() bool {
	n := 1
	for _, d := range [...]int{s.Height, s.Width, s.Channels} {
		if d < 1 || n > maxValues/d {
			return false
		}
		n *= d
	}
	return true
}
