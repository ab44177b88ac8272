package onnx

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn/graph"
)

// modelOf is a model of one node over the inputs "x" (batch, 1, 4, 6), "v" (batch, 4), "s" (batch, 3, 4) and
// "i" (batch, 5), indices, and constants of ones.
func modelOf(n node) *modelProto {
	n.name, n.out = "it", append(n.out, "y")
	ones := func(name string, dims ...int64) tensorProto { return filled(name, 1, dims...) }
	numbers := func(name string, x ...int64) tensorProto {
		t := tensorProto{name: name, dims: []int64{int64(len(x))}, typ: typeInt64}
		for _, v := range x {
			t.raw = binary.LittleEndian.AppendUint64(t.raw, uint64(v))
		}
		return t
	}
	return &modelProto{ir: irVersion, opsets: []opset{{"", Opset}}, graph: graphProto{
		nodes: []node{n},
		initializers: []tensorProto{
			ones("w33", 2, 1, 3, 3), ones("w4", 4, 2), ones("w5", 5, 2), ones("four", 4), ones("two", 2), ones("column", 4, 1),
			ones("gates", 1, 8, 4), ones("state", 1, 8, 2), ones("h", 1, 1, 2),
			numbers("zero", 0), numbers("one", 1), numbers("flat", 0, 24), numbers("twice", 1, 0, 1), numbers("line", -1, 12),
		},
		inputs: []valueInfo{
			{name: "x", typ: typeFloat, dims: []int64{dynamic, 1, 4, 6}}, {name: "v", typ: typeFloat, dims: []int64{dynamic, 4}},
			{name: "s", typ: typeFloat, dims: []int64{dynamic, 3, 4}}, {name: "i", typ: typeInt64, dims: []int64{dynamic, 5}},
			{name: "t", typ: typeFloat, dims: []int64{dynamic, 3, 2, 2}},
		},
		outputs: []valueInfo{{name: "y"}},
	}}
}

// filled is a constant of one number everywhere.
func filled(name string, value float32, dims ...int64) tensorProto {
	t := tensorProto{name: name, dims: dims, typ: typeFloat}
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	for range n {
		t.raw = binary.LittleEndian.AppendUint32(t.raw, math.Float32bits(value))
	}
	return t
}

func TestReadRefuses(t *testing.T) {
	for _, test := range []struct {
		n    node
		want string
	}{
		{node{op: "MaxPool", in: []string{"x"}}, `node "it" (MaxPool): an operator that weir's networks do not have`},
		{node{op: "Conv", in: []string{"x", "w33"}, attributes: []attribute{integer("group", 2)}}, "(Conv): group is 2, only 1"},
		{node{op: "Conv", in: []string{"x", "w33"}, attributes: []attribute{ints("dilations", 2, 2)}}, "dilations other than 1"},
		{node{op: "Conv", in: []string{"x", "w33"}, attributes: []attribute{ints("pads", 0, 0, 1, 1)}}, "the same on both sides"},
		{node{op: "Conv", in: []string{"x", "w33"}, attributes: []attribute{ints("pads", 3, 3, 3, 3)}}, "padding 3×3"},
		{node{op: "Conv", in: []string{"x", "w33"}, attributes: []attribute{ints("strides", 0, 1)}}, "strides are [0 1]"},
		{node{op: "Conv", in: []string{"x", "w33"}, attributes: []attribute{ints("kernel_shape", 5, 5)}}, "kernel_shape is [5 5], the weights' 3×3"},
		{node{op: "Conv", in: []string{"t", "w33"}}, "weights [2 1 3 3]"},
		{node{op: "Conv", in: []string{"x", "w4"}}, "want 4 dimensions of float32"},
		{node{op: "Conv", in: []string{"v", "w4"}}, "over dimensions [-1 4]"},
		{node{op: "Conv", in: []string{"x", "v"}}, "input 1 is not a constant"},
		{node{op: "Conv", in: []string{"w33", "w33"}}, "input 0 is not computed from the network's inputs"},
		{node{op: "Conv"}, "input 0 is not computed"},
		{node{op: "Gemm", in: []string{"v", "w4"}, attributes: []attribute{integer("transA", 1)}}, "transA is 1"},
		{node{op: "Gemm", in: []string{"v", "w4"}, attributes: []attribute{{name: "alpha", kind: attrFloat, f: 2}}}, "alpha 2"},
		{node{op: "Gemm", in: []string{"s", "w4"}}, "of dimensions [-1 3 4], want (batch, C)"},
		{node{op: "Gemm", in: []string{"v", "w5"}}, "of dimensions [-1 4] with weights [5 2]"},
		{node{op: "Gemm", in: []string{"v", "w4", "four"}}, "want 2 values"},
		{node{op: "MatMul", in: []string{"v", "s"}}, "input 1 is not a constant"},
		{node{op: "Mul", in: []string{"v", "v"}}, "joins two computed tensors"},
		{node{op: "Div", in: []string{"four", "v"}}, "scales or shifts"},
		{node{op: "Add", in: []string{"v", "two"}}, "joins [-1 4] and a constant of [2]"},
		{node{op: "Add", in: []string{"v", "s"}}, "joins [-1 4] and [-1 3 4]"},
		{node{op: "BatchNormalization", in: []string{"v", "four", "four", "four"}}, "input 4 is not a constant"},
		{node{op: "LSTM", in: []string{"s", "gates", "state"}}, "over dimensions [-1 3 4], want (W, batch, C)"},
		{node{op: "LSTM", in: []string{"s", "gates", "state", "", "", "h"}, attributes: []attribute{integer("layout", 1)}}, "starts from another state than zero"},
		{node{op: "LSTM", in: []string{"s", "gates", "state", "", "zero"}, attributes: []attribute{integer("layout", 1)}}, "sequence_lens"},
		{node{op: "LSTM", in: []string{"s", "gates", "state"}, attributes: []attribute{integer("layout", 1), integer("hidden_size", 3)}}, "hidden_size is 3"},
		{node{op: "LSTM", in: []string{"s", "gates", "gates"}, attributes: []attribute{integer("layout", 1)}}, "weights [1 8 4] and [1 8 4]"},
		{node{op: "LSTM", in: []string{"s", "gates", "state"}, out: []string{"a", "b"}, attributes: []attribute{integer("layout", 1)}}, "the last cell state"},
		{node{op: "Softmax", in: []string{"s"}, attributes: []attribute{integer("axis", 0)}}, "over the batch"},
		{node{op: "ReduceMean", in: []string{"s"}}, "over the batch"},
		{node{op: "ReduceMean", in: []string{"s"}, attributes: []attribute{ints("axes", 2)}}, "not one of each channel"},
		{node{op: "AveragePool", in: []string{"x"}, attributes: []attribute{ints("kernel_shape", 2, 2)}}, "only the mean over all of an image"},
		{node{op: "Reshape", in: []string{"x", "line"}}, "the batch must stay an axis of its own"},
		{node{op: "Reshape", in: []string{"x", "v"}}, "input 1 is not a constant"},
		{node{op: "Flatten", in: []string{"x"}, attributes: []attribute{integer("axis", 3)}}, "the batch must stay an axis of its own"},
		{node{op: "Transpose", in: []string{"x"}, attributes: []attribute{ints("perm", 0, 1, 1, 2)}}, "perm [0 1 1 2]"},
		{node{op: "Transpose", in: []string{"t"}}, "want 2 to 4, the batch first"},
		{node{op: "Squeeze", in: []string{"x"}, attributes: []attribute{ints("axes", 2)}}, "axis 2 of [-1 1 4 6] is not of size 1"},
		{node{op: "Gather", in: []string{"v", "zero"}}, "picks samples of the batch"},
		{node{op: "Gather", in: []string{"v", "flat"}, attributes: []attribute{integer("axis", 1)}}, "index 24 of 4"},
		{node{op: "Gather", in: []string{"v", "twice"}, attributes: []attribute{integer("axis", 1)}}, "picks index 1 twice"},
		{node{op: "Gather", in: []string{"w4", "v"}}, "not an input of the network of whole numbers"},
		{node{op: "Slice", in: []string{"v", "zero", "zero", "one"}}, "is nothing"},
		{node{op: "Concat", in: []string{"v", "s"}, attributes: []attribute{integer("axis", 1)}}, "joins [-1 4] and [-1 3 4]"},
		{node{op: "Concat", in: []string{"v", "v"}, attributes: []attribute{integer("axis", 0)}}, "along the batch"},
		{node{op: "Cast", in: []string{"v"}, attributes: []attribute{integer("to", 7)}}, "to int64"},
		{node{op: "ReduceSum", in: []string{"s", "one"}}, "only as a part of a sum"},
		{node{op: "Sqrt", in: []string{"v"}}, "only as a part of a sum"},
		{node{op: "Max", in: []string{"v", "two"}}, "only as a part of a sum"},
		{node{op: "Less", in: []string{"v", "one"}}, "indices are not an input"},
		{node{op: "Expand", in: []string{"v", "flat"}}, "input 0 is not a constant"},
		{node{op: "Expand", in: []string{"w4", "one"}}, "of a constant of [4 2] to [1]"},
		{node{op: "Shape", in: []string{"v"}, attributes: []attribute{integer("start", 1)}}, "of some dimensions"},
		{node{op: "Shape", in: []string{"v"}}, `output "y": not computed`},
		{node{op: "Relu", in: []string{"nothing"}}, `reads "nothing", which is not there`},
		{node{op: "Relu", in: []string{"v"}, out: []string{"x"}}, `gives "x", which is there`},
		{node{op: "Identity", in: []string{"t"}, out: []string{"", "z"}}, `output "y": not computed`},
	} {
		data := modelOf(test.n).encode()
		_, err := Parse(data)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "onnx: offset ") {
			t.Errorf("%s of %q: %v, want %q", test.n.op, test.n.in, err, test.want)
		}
	}
}

// Models that are no models, or not of what is read, are refused.
func TestParseRefuses(t *testing.T) {
	relu := node{op: "Relu", in: []string{"v"}}
	change := func(f func(m *modelProto)) []byte {
		m := modelOf(relu)
		f(m)
		return m.encode()
	}
	good := change(func(*modelProto) {})
	if _, err := Parse(good); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":            {nil, "no model"},
		"text":               {[]byte("hello, this is no model"), "offset"},
		"cut":                {good[:len(good)-9], "offset"},
		"two graphs":         {append(good[:len(good):len(good)], good...), "holds no graph"},
		"opset 3":            {change(func(m *modelProto) { m.opsets[0].version = 3 }), "opset 3: want 7 to 23"},
		"opset 99":           {change(func(m *modelProto) { m.opsets[0].version = 99 }), "opset 99"},
		"no opset":           {change(func(m *modelProto) { m.opsets = nil }), "names no opset"},
		"no output":          {change(func(m *modelProto) { m.graph.outputs = nil }), "no outputs"},
		"input twice":        {change(func(m *modelProto) { m.graph.inputs[1].name = "x" }), `input "x": the name is empty or taken`},
		"name of bytes":      {change(func(m *modelProto) { m.graph.inputs[1].name = "\xff" }), "is no string"},
		"input of double":    {change(func(m *modelProto) { m.graph.inputs[0].typ = typeDouble }), `input "x": of float64`},
		"input of no type":   {change(func(m *modelProto) { m.graph.inputs[0].typ = 0 }), `of undefined`},
		"input of any width": {change(func(m *modelProto) { m.graph.inputs[0].dims[3] = dynamic }), "only the batch may be dynamic"},
		"input of 1 axis":    {change(func(m *modelProto) { m.graph.inputs[0].dims = []int64{1} }), "1 dimensions, want 2 to 4"},
		"huge input":         {change(func(m *modelProto) { m.graph.inputs[0].dims = []int64{1, 1 << 20, 1 << 20} }), "more than"},
		"negative input":     {change(func(m *modelProto) { m.graph.inputs[0].dims = []int64{1, -5} }), "only the batch may be dynamic"},
		"constant twice":     {change(func(m *modelProto) { m.graph.initializers[1].name = "w33" }), `constant "w33"`},
		"weights too short":  {weights(func(t *tensorProto) { t.raw = t.raw[1:] }), "other values than the 8"},
		"weights too many":   {weights(func(t *tensorProto) { t.dims[0] = 3 }), "other values than the 6"},
		"weights huge":       {weights(func(t *tensorProto) { t.dims[0], t.dims[1] = math.MaxInt64, math.MaxInt64 }), "dimensions [9223372036854775807 9223372036854775807]"},
		"weights negative":   {weights(func(t *tensorProto) { t.dims[0] = -4 }), "dimensions [-4 2]"},
		"weights empty":      {weights(func(t *tensorProto) { t.dims[0] = 0 }), "hold nothing"},
		"weights of double":  {weights(func(t *tensorProto) { t.typ = typeDouble }), "values of float64"},
		"softmax over rows": {change(func(m *modelProto) {
			m.opsets[0].version, m.graph.nodes[0].op, m.graph.nodes[0].in = 12, "Softmax", []string{"s"}
		}), "(Softmax): over all axes of [-1 3 4] from 1 on"},
		"scales not finite": {change(func(m *modelProto) {
			m.graph.nodes[0] = node{op: "BatchNormalization", in: []string{"v", "great", "four", "four", "small"}, out: []string{"y"}, attributes: []attribute{{name: "epsilon", kind: attrFloat}}}
			m.graph.initializers = append(m.graph.initializers, filled("great", 1e38, 4), filled("small", 1e-30, 4))
		}), "y.gain: value 0 is +Inf"},
		"weights not finite": {weights(func(t *tensorProto) { copy(t.raw, []byte{0, 0, 0xc0, 0x7f}) }), "value 0 is NaN"},
	} {
		if _, err := Parse(test.data); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// weights is a model of a product with damaged weights.
func weights(damage func(t *tensorProto)) []byte {
	m := modelOf(node{op: "Gemm", in: []string{"v", "w4"}})
	damage(&m.graph.initializers[1])
	return m.encode()
}

// Small files cannot ask for much memory.
func TestMemoryIsBounded(t *testing.T) {
	m := modelOf(node{op: "Transpose", in: []string{"big"}})
	m.graph.inputs = append(m.graph.inputs, valueInfo{name: "big", typ: typeFloat, dims: []int64{dynamic, 1 << 11, 1 << 11}})
	last := "big"
	m.graph.nodes = nil
	for i := range 9 {
		name := strings.Repeat("z", i+1)
		m.graph.nodes = append(m.graph.nodes, node{op: "Transpose", in: []string{last}, out: []string{name}, attributes: []attribute{ints("perm", 0, 2, 1)}})
		last = name
	}
	m.graph.outputs[0].name = last
	if _, err := Parse(m.encode()); err == nil || !strings.Contains(err.Error(), "too much memory") {
		t.Errorf("%v, want it to be too much", err)
	}
}

// An LSTM may be given its zero state, as exporters do.
func TestZeroState(t *testing.T) {
	m := modelOf(node{op: "LSTM", in: []string{"s", "gates", "state", "", "", "h0", "h0"}, out: []string{"every"}, attributes: []attribute{integer("layout", 1)}})
	expand := node{op: "Expand", in: []string{"nought", "sizes"}, out: []string{"h0"}}
	m.graph.nodes[0].out = []string{"every", "last"}
	m.graph.nodes = append([]node{expand}, append(m.graph.nodes, node{op: "MatMul", in: []string{"last", "both"}, out: []string{"y"}})...)
	m.graph.initializers = append(m.graph.initializers,
		tensorProto{name: "both", typ: typeFloat, dims: []int64{2, 1}, raw: []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}},
		tensorProto{name: "nought", typ: typeFloat, raw: make([]byte, 4)},
		tensorProto{name: "sizes", typ: typeInt64, dims: []int64{3}, raw: binary.LittleEndian.AppendUint64([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 2)})
	got, err := Parse(m.encode())
	if err != nil {
		t.Fatal(err)
	}
	// Only the last state of three rows is multiplied.
	out := got.Graph.Nodes[got.Graph.Outputs[0].Value]
	if d, ok := out.Op.(graph.Dense); !ok || !slices.Equal(d.Weight, []float32{0, 0, 0, 0, 1, 2}) {
		t.Errorf("the last node is %+v", out)
	}
}

// An error does not tell all of a list of a hundred thousand numbers.
func TestErrorsAreShort(t *testing.T) {
	const many = 100_000
	ones := slices.Repeat([]int64{1}, many)
	list := tensorProto{name: "many", dims: []int64{many}, typ: typeInt64, ints: ones}
	for name, n := range map[string]node{
		"Reshape":      {op: "Reshape", in: []string{"v", "many"}},
		"Expand":       {op: "Expand", in: []string{"two", "many"}},
		"Transpose":    {op: "Transpose", in: []string{"v"}, attributes: []attribute{{name: "perm", ints: ones}}},
		"Conv":         {op: "Conv", in: []string{"x", "w33"}, attributes: []attribute{{name: "pads", ints: ones}}},
		"a constant":   {op: "Add", in: []string{"v", "flatter"}},
		"another rank": {op: "MatMul", in: []string{"v", "flatter"}},
	} {
		m := modelOf(n)
		m.graph.initializers = append(m.graph.initializers, list, filled("flatter", 1, ones...))
		_, err := Parse(m.encode())
		if err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: the error is %.400v", name, err)
		}
	}
}
