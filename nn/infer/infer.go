// Package infer compiles a trained network for speed. Scaling and batch normalisation go into the
// weights, an embedding and the convolution over it become a table, what follows a product is done
// where its sums end, and the weights are packed once, for any number of workers. A worker has an
// arena for all values: running allocates nothing. It trains nothing and knows no packets.
//
//	p, err := infer.Compile(g, infer.Options{})
//	w := p.NewWorker()            // one per goroutine
//	w.SetBytes(0, 0, payload)     // input 0 of sample 0
//	w.Run(1)
//	scores := w.Output(1, 0)      // output 1 of sample 0
//
// What a sample gives depends on it alone, not on the batch it is in, on the worker or on what the
// worker ran before, down to the last bit.
package infer

import (
	"fmt"

	"github.com/weirnet/weir/nn/graph"
)

// Options says how a network is compiled.
type Options struct {
	// Batch is how many samples a worker takes at once [1].
	Batch int
	// Padding is the index that fills up inputs of an embedding that are shorter than their shape.
	Padding uint16
	// Ranges are what an Observer saw of the network's values. With them, what is worth it is
	// computed with int8 weights on bytes; without, everything in float32.
	Ranges Ranges
}

// Program is a compiled network. It is read-only and may be shared by any number of workers.
type Program struct {
	batch   int
	padding uint16
	inputs  []input
	outputs []*value
	values  []value
	names   []string // of values
	// computed are the values that operations compute, and inputs that are read as floats.
	computed []graph.Value
	stages   []stage
	floats   int // sizes of the arenas
	bytes    int
	hidden   int // of all recurrent layers together
	int8     bool
	lines    int // sizes of Worker.lines and Worker.tails
	tails    int

	// The arenas begin with what one sample after the other uses. This is how it looks behind an
	// image of zeros.
	singleFloats, singleBytes int
	zeroFloats                []float32
	zeroBytes                 []uint8
}

// input is an input of the graph.
type input struct {
	name  string
	kind  graph.Kind
	value *value // nil where nothing reads it as floats
	bytes *value // nil where nothing reads it as bytes
	index bool   // tables read it
	none  int    // the index that stands for none, above all others
	size  int
}

// stage is operations that samples go through one after the other, or all of a batch at once.
type stage struct {
	single bool
	ops    []operation
}

// operation computes a value for the samples [from, to).
type operation interface {
	run(w *Worker, from, to int)
}

// Compile compiles a network. It fails on what the package has no way to compute, with the name of
// the node.
func Compile(g *graph.Graph, o Options) (*Program, error) {
	plan, err := fuse(g)
	if err != nil {
		return nil, err
	}
	plan = encode(plan, o.Ranges)
	c := &compiler{
		plan:   plan,
		values: make([]value, len(plan.layers)),
		index:  make([]bool, len(plan.layers)),
		stored: make([]bool, len(plan.layers)),
		texts:  map[graph.Value]*tableLookup{},
		p:      &Program{batch: max(o.Batch, 1), padding: o.Padding, names: plan.names},
	}
	for i := range c.values {
		c.values[i].shape = plan.shapes[i]
		c.values[i].bytes = plan.codes[i].gain != nil
	}
	for _, v := range g.Inputs {
		n := &g.Nodes[v]
		c.p.inputs = append(c.p.inputs, input{name: n.Name, kind: n.Op.(graph.Input).Kind, size: n.Shape.Size()})
	}
	if err := c.inputs(); err != nil {
		return nil, err
	}
	c.framing()
	c.housing()
	c.schedule()
	c.arena()
	c.tails()
	for i, l := range c.layers {
		if l != nil {
			if err := c.build(graph.Value(i), l); err != nil {
				return nil, fmt.Errorf("infer: %s: %w", c.names[i], err)
			}
		}
	}
	c.p.values = c.values
	c.p.zeros()
	return c.p, nil
}

// Int8 reports whether some of the network is computed with int8 weights.
func (p *Program) Int8() bool { return p.int8 }

// Run computes all outputs for a batch of any size as graph.Graph.Run does: one slice per input and
// one per output, (n, its shape). It is for tests and for use off the hot path.
func (p *Program) Run(inputs [][]float32) ([][]float32, error) {
	if len(inputs) != len(p.inputs) {
		return nil, fmt.Errorf("infer: %d inputs given, want %d", len(inputs), len(p.inputs))
	}
	n := -1
	for k := range p.inputs {
		in := &p.inputs[k]
		if len(inputs[k])%in.size != 0 || n >= 0 && len(inputs[k]) != n*in.size {
			return nil, fmt.Errorf("infer: input %s has %d values, want samples of %d, as many as the other inputs", in.name, len(inputs[k]), in.size)
		}
		n = len(inputs[k]) / in.size
	}
	w := p.NewWorker()
	outputs := make([][]float32, len(p.outputs))
	for done := 0; done < n; {
		some := min(p.batch, n-done)
		for k := range p.inputs {
			for s := range some {
				w.set(k, s, inputs[k][(done+s)*p.inputs[k].size:][:p.inputs[k].size])
			}
		}
		w.Run(some)
		for k := range outputs {
			for s := range some {
				outputs[k] = append(outputs[k], w.Output(k, s)...)
			}
		}
		done += some
	}
	return outputs, nil
}
