package graph_test

import (
	"strings"
	"testing"

	"github.com/weirnet/weir/nn/graph"
)

func TestShapesThatDoNotFit(t *testing.T) {
	g := new(graph.Graph)
	image := g.Input("image", graph.Float, graph.Shape{Height: 4, Width: 4, Channels: 2})
	other := g.Input("other", graph.Float, graph.Shape{Height: 4, Width: 3, Channels: 2})
	three := graph.Geometry{KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1}
	five := graph.Geometry{KernelH: 5, KernelW: 5, StrideH: 1, StrideW: 1}
	for _, test := range []struct {
		op   graph.Operator
		in   []graph.Value
		want string
	}{
		{graph.Conv{Geometry: five, Out: 1, Weight: make([]float32, 50)}, []graph.Value{image}, "kernel 5×5"},
		{graph.Conv{Geometry: three, Out: 3, Weight: make([]float32, 53)}, []graph.Value{image}, "53 weights, want 54"},
		{graph.Conv{Geometry: three, Out: 3, Weight: make([]float32, 54), Bias: make([]float32, 2)}, []graph.Value{image}, "a bias of 2 values, want 3"},
		{graph.Conv{Geometry: three, Out: 0}, []graph.Value{image}, "0 weights"},
		{graph.Add{}, []graph.Value{image, other}, "joins 4×4×2 and 4×3×2"},
		{graph.Concat{}, []graph.Value{image, other}, "joins 4×4×2 and 4×3×2"},
		{graph.Concat{}, []graph.Value{image}, "1 inputs, want at least 2"},
		{graph.ReLU{}, []graph.Value{image, other}, "2 inputs, want 1"},
		{graph.Reshape{To: graph.Vector(31)}, []graph.Value{image}, "reads 4×4×2 as 1×1×31"},
		{graph.Affine{Gain: make([]float32, 2), Offset: make([]float32, 1)}, []graph.Value{image}, "a bias of 1 values, want 2"},
		{graph.Embedding{Count: 4, Size: 2, Weight: make([]float32, 8)}, []graph.Value{image}, "indices have the shape"},
		{graph.LSTM{Hidden: 1, Wx: make([]float32, 8), Wh: make([]float32, 4)}, []graph.Value{image}, "a sequence has the shape"},
		{graph.Input{}, nil, "Graph.Input"},
	} {
		if _, err := g.TryApply("node", test.op, test.in...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%T of %v: %v, want %q", test.op, test.in, err, test.want)
		}
	}
	if len(g.Nodes) != 2 {
		t.Errorf("%d nodes were added", len(g.Nodes))
	}
}

func TestRunRefusesInputs(t *testing.T) {
	g := new(graph.Graph)
	g.Input("bytes", graph.Byte, graph.Vector(2))
	g.Input("index", graph.Index, graph.Vector(1))
	nan := float32(0)
	nan /= nan
	for _, test := range []struct {
		inputs [][]float32
		want   string
	}{
		{[][]float32{{1, 2}}, "1 inputs given, want 2"},
		{[][]float32{{1, 2, 3}, {1}}, "input bytes has 3 values"},
		{[][]float32{{1, 2, 3, 4}, {1}}, "input index has 1 values"},
		{[][]float32{{1, 256}, {1}}, "value 1 is 256, want a byte"},
		{[][]float32{{1, 2}, {-1}}, "value 0 is -1, want an index"},
		{[][]float32{{1, 2}, {0.5}}, "value 0 is 0.5"},
		{[][]float32{{nan, 2}, {1}}, "value 0 is NaN"},
	} {
		if _, err := g.Run(test.inputs); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.inputs, err, test.want)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	g := new(graph.Graph)
	x := g.Input("x", graph.Float, graph.Vector(1))
	for range 2 {
		x = g.Apply("relu", graph.ReLU{}, x)
	}
	if a, b := g.Nodes[1].Name, g.Nodes[2].Name; a != "relu" || b != "relu.2" {
		t.Errorf("nodes are named %q and %q", a, b)
	}
}
