// Package graph describes a trained network by what it computes in evaluation: operators with
// their weights, each applied to the values of operators before it. It is the one form that a
// network takes between package nn, which trains it, nn/infer, which compiles it for speed, and
// nn/onnx, which writes it for others and reads theirs. It knows no training and no packets.
//
// The operators are plain loops that can be read in a sitting: [Graph.Run] is the twin that every
// faster form is tested against.
//
//	g := new(graph.Graph)
//	x := g.Input("x", graph.Float, graph.Shape{Height: 1, Width: 1, Channels: 53})
//	h := g.Apply("relu", graph.ReLU{}, g.Apply("dense", dense, x))
//	g.Output("y", h)
//	y, err := g.Run([][]float32{rows})
package graph

import (
	"fmt"
	"slices"
)

// Shape is the shape of one sample of a value: (Height, Width, Channels), channels last. A text or
// a sequence of L places is an image of height 1 and width L, a vector one of a single place.
type Shape struct{ Height, Width, Channels int }

// Vector is the shape of a vector of n numbers.
func Vector(n int) Shape { return Shape{1, 1, n} }

// Sequence is the shape of n rows of a width.
func Sequence(n, width int) Shape { return Shape{1, n, width} }

// Size returns the number of values.
func (s Shape) Size() int { return s.Height * s.Width * s.Channels }

// Places returns the number of places, each with Channels values.
func (s Shape) Places() int { return s.Height * s.Width }

func (s Shape) String() string { return fmt.Sprintf("%d×%d×%d", s.Height, s.Width, s.Channels) }

// Value is what a node of a graph produces: the node's index in Graph.Nodes.
type Value int

// Node is an operator applied to values.
type Node struct {
	Name  string // unique in the graph: a name that is taken gets a number behind it
	Op    Operator
	In    []Value // of lower index
	Shape Shape   // of what it produces
}

// Output is a value that the network is run for.
type Output struct {
	Name  string
	Value Value
}

// Graph is a network. Nodes stand in an order in which each comes after those it uses. The weights
// that operators hold belong to whoever made them: a graph of a network shares the network's.
type Graph struct {
	Nodes   []Node
	Inputs  []Value // the nodes with the operator Input, in order
	Outputs []Output
}

// Operator is one of the types of this package: Input, Conv, Affine, ReLU, Add, Mean, Dense,
// Concat, Reshape, Embedding, Bag, LSTM, Softmax.
type Operator interface {
	// shape returns the shape of the result for inputs of the given shapes.
	shape(in []Shape) (Shape, error)
	// run computes one sample.
	run(y []float32, x [][]float32, in []Shape)
}

// Input adds an input of the graph and returns its value.
func (g *Graph) Input(name string, kind Kind, shape Shape) Value {
	v := g.add(Node{Name: name, Op: Input{kind}, Shape: shape})
	g.Inputs = append(g.Inputs, v)
	return v
}

// Apply adds a node and returns its value. It panics when shapes or weights do not fit; what is
// read from files goes through [Graph.TryApply].
func (g *Graph) Apply(name string, op Operator, in ...Value) Value {
	v, err := g.TryApply(name, op, in...)
	if err != nil {
		panic(err)
	}
	return v
}

// TryApply adds a node and returns its value, or says why shapes or weights do not fit.
func (g *Graph) TryApply(name string, op Operator, in ...Value) (Value, error) {
	shapes := make([]Shape, len(in))
	for i, v := range in {
		shapes[i] = g.Nodes[v].Shape
	}
	shape, err := op.shape(shapes)
	if err != nil {
		return 0, fmt.Errorf("graph: %s: %w", name, err)
	}
	return g.add(Node{Name: name, Op: op, In: in, Shape: shape}), nil
}

// Output makes a value an output of the graph.
func (g *Graph) Output(name string, v Value) { g.Outputs = append(g.Outputs, Output{name, v}) }

func (g *Graph) add(n Node) Value {
	name := n.Name
	for i := 2; g.has(n.Name); i++ {
		n.Name = fmt.Sprintf("%s.%d", name, i)
	}
	g.Nodes = append(g.Nodes, n)
	return Value(len(g.Nodes) - 1)
}

// Run computes all outputs for a batch. There is one slice per input, (n, its shape); indices and
// bytes are whole numbers. The result has one slice per output, (n, its shape).
func (g *Graph) Run(inputs [][]float32) ([][]float32, error) {
	if len(inputs) != len(g.Inputs) {
		return nil, fmt.Errorf("graph: %d inputs given, want %d", len(inputs), len(g.Inputs))
	}
	n := -1
	for i, v := range g.Inputs {
		node := &g.Nodes[v]
		size := node.Shape.Size()
		if len(inputs[i])%size != 0 || n >= 0 && len(inputs[i]) != n*size {
			return nil, fmt.Errorf("graph: input %s has %d values, want samples of %v, as many as the other inputs", node.Name, len(inputs[i]), node.Shape)
		}
		n = len(inputs[i]) / size
		if err := node.Op.(Input).Kind.check(inputs[i]); err != nil {
			return nil, fmt.Errorf("graph: input %s: %w", node.Name, err)
		}
	}
	outputs := make([][]float32, len(g.Outputs))
	values := make([][]float32, len(g.Nodes))
	for sample := range n {
		for i, v := range g.Inputs {
			size := g.Nodes[v].Shape.Size()
			values[v] = inputs[i][sample*size : (sample+1)*size]
		}
		for i := range g.Nodes {
			node := &g.Nodes[i]
			if _, ok := node.Op.(Input); ok {
				continue
			}
			x := make([][]float32, len(node.In))
			shapes := make([]Shape, len(node.In))
			for j, v := range node.In {
				x[j], shapes[j] = values[v], g.Nodes[v].Shape
			}
			values[i] = make([]float32, node.Shape.Size())
			node.Op.run(values[i], x, shapes)
		}
		for i, o := range g.Outputs {
			outputs[i] = append(outputs[i], values[o.Value]...)
		}
	}
	return outputs, nil
}

func (g *Graph) has(name string) bool {
	return slices.ContainsFunc(g.Nodes, func(n Node) bool { return n.Name == name })
}
