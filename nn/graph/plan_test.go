package graph_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn/graph"
)

// every is a graph with every operator.
func every() *graph.Graph {
	n := float32(0)
	some := func(k int) []float32 {
		x := make([]float32, k)
		for i := range x {
			n += 0.1
			x[i] = n
		}
		return x
	}
	g := new(graph.Graph)
	text := g.Input("text", graph.Index, graph.Sequence(4, 1))
	bytes := g.Input("bytes", graph.Byte, graph.Shape{Height: 2, Width: 3, Channels: 1})
	x := g.Apply("table", graph.Embedding{Count: 5, Size: 3, Weight: some(15)}, text)
	x = g.Apply("state", graph.LSTM{Hidden: 2, Wx: some(24), Wh: some(16), Bias: some(8)}, x)
	x = g.Apply("mean", graph.Mean{}, x)
	x = g.Apply("both", graph.Concat{}, x, g.Apply("bag", graph.Bag{Count: 4, Size: 2, Weight: some(8)}, text))
	y := g.Apply("scaled", graph.Affine{Gain: some(1), Offset: some(1)}, bytes)
	y = g.Apply("conv", graph.Conv{Geometry: graph.Geometry{KernelH: 2, KernelW: 2, StrideH: 1, StrideW: 2, PadW: 1}, Out: 2, Weight: some(8), Bias: some(2)}, y)
	y = g.Apply("flat", graph.Reshape{To: graph.Vector(4)}, g.Apply("relu", graph.ReLU{}, y))
	z := g.Apply("dense", graph.Dense{Out: 3, Weight: some(12)}, g.Apply("sum", graph.Add{}, x, y))
	g.Output("share", g.Apply("share", graph.Softmax{}, z))
	g.Output("flat", y)
	return g
}

func TestPlan(t *testing.T) {
	g := every()
	text, err := json.Marshal(g.Plan())
	if err != nil {
		t.Fatal(err)
	}
	type tensor struct {
		shape  []int
		values []float32
	}
	weights := map[string]tensor{}
	g.Weights(func(name string, shape []int, values []float32) {
		if _, ok := weights[name]; ok {
			t.Errorf("%s twice", name)
		}
		weights[name] = tensor{shape, values}
	})
	find := func(name string, shape ...int) ([]float32, error) {
		if w, ok := weights[name]; ok && slices.Equal(w.shape, shape) {
			return w.values, nil
		}
		return nil, fmt.Errorf("no weights %s of %v", name, shape)
	}
	var p graph.Plan
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	got, err := p.Graph(find)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, g) {
		t.Errorf("got %+v\nwant %+v", got, g)
	}

	// Nothing damaged is taken.
	for _, damage := range [][2]string{
		{`"op":"conv"`, `"op":"pool"`}, {`"op":"relu"`, `"op":"bag"`}, {`"name":"conv"`, `"name":"bag"`}, {`"name":"conv"`, `"name":""`},
		{`"kind":"index"`, `"kind":"text"`}, {`"shape":[1,4,1]`, `"shape":[1,4,0]`}, {`"shape":[1,4,1]`, `"shape":[65536,65536,65536]`},
		{`"shape":[1,1,4]`, `"shape":[1,1,5]`}, {`"kernel":[2,2],`, ``}, {`"stride":[1,2]`, `"stride":[0,2]`}, {`"pad":[0,1]`, `"pad":[0,-1]`},
		{`"kernel":[2,2]`, `"kernel":[2,9]`}, {`"in":[7]`, `"in":[99]`}, {`"in":[7]`, `"in":[-1]`}, {`"out":3`, `"out":4`}, {`"out":3`, `"out":-3`},
		{`"count":5`, `"count":1000000000000`}, {`"name":"flat","value":`, `"name":"flat","value":9`},
	} {
		damaged := strings.Replace(string(text), damage[0], damage[1], 1)
		if damaged == string(text) {
			t.Fatalf("%s has no %s", text, damage[0])
		}
		var p graph.Plan
		if err := json.Unmarshal([]byte(damaged), &p); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Graph(find); err == nil {
			t.Errorf("%s in place of %s was taken", damage[1], damage[0])
		}
	}
}
