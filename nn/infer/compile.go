package infer

import (
	"fmt"

	"github.com/weirnet/weir/nn/graph"
)

// compiler turns layers into operations on memory.
type compiler struct {
	g      *graph.Graph
	layers []layer // by value, nil for none
	values []value
	index  []bool // by value: an input that tables read
	stored []bool // by value: it lies in the arena
	stages []int  // by value: where it is computed; -1 where nothing is to do
	p      *Program
}

// source returns the input that a value is, as such or in another shape.
func (c *compiler) source(v graph.Value) (graph.Value, bool) {
	for {
		switch l := c.layers[v].(type) {
		case *source:
			return v, true
		case *reshape:
			v = l.in
		default:
			return 0, false
		}
	}
}

// inputs finds out how values are read: by tables, which take their indices from the caller, or
// from the arena.
func (c *compiler) inputs() error {
	none := make([]int, len(c.values))
	for _, o := range c.g.Outputs {
		c.stored[o.Value] = true
	}
	for i := len(c.layers) - 1; i >= 0; i-- {
		l := c.layers[i]
		if l == nil {
			continue
		}
		if r, ok := l.(*reshape); ok {
			c.stored[r.in] = c.stored[r.in] || c.stored[i]
			continue
		}
		_, input := l.(*source)
		c.stored[i] = c.stored[i] || !input
		for _, in := range l.reads() {
			if !indexed(l) {
				c.stored[in] = true
				continue
			}
			from, ok := c.source(in)
			if !ok {
				return fmt.Errorf("infer: %s: its indices are not an input", c.g.Nodes[i].Name)
			}
			c.index[from] = true
			if b, ok := l.(*bag); ok {
				if none[from] != 0 && none[from] != b.count {
					return fmt.Errorf("infer: %s: shares its indices with a bag of another size", c.g.Nodes[i].Name)
				}
				none[from] = b.count
			}
		}
	}
	for _, v := range c.g.Inputs {
		n := &c.g.Nodes[v]
		in := input{name: n.Name, kind: n.Op.(graph.Input).Kind, index: c.index[v], none: none[v], size: n.Shape.Size()}
		if c.stored[v] {
			in.value = &c.values[v]
		}
		c.p.inputs = append(c.p.inputs, in)
	}
	return nil
}

// idle reports whether a layer leaves nothing to compute: its values lie where they are wanted.
func (c *compiler) idle(v graph.Value) bool {
	switch l := c.layers[v].(type) {
	case nil, *source:
		return true
	case *reshape:
		return !c.stored[v] || c.values[v].buffer == c.values[l.in].buffer
	case *concat:
		for _, in := range l.in {
			if c.values[in].buffer != c.values[v].buffer {
				return false
			}
		}
		return true
	}
	return false
}

// schedule groups operations into stages and finds out which values outlive the sample at hand.
func (c *compiler) schedule() {
	c.stages = make([]int, len(c.values))
	first := map[*buffer]int{} // the stage that touches a buffer
	touch := func(v graph.Value, stage int) {
		b := c.values[v].buffer
		if b == nil {
			return
		}
		if was, ok := first[b]; ok && was != stage {
			b.many = true
		}
		first[b] = stage
		if !c.p.stages[stage].single {
			b.many = true
		}
	}
	for i, l := range c.layers {
		v := graph.Value(i)
		if c.stages[i] = -1; c.idle(v) {
			continue
		}
		single := c.single(v)
		last := len(c.p.stages) - 1
		if last < 0 || c.p.stages[last].single != single {
			c.p.stages = append(c.p.stages, stage{single: single})
			last++
		}
		c.stages[i] = last
		touch(v, last)
		for _, in := range l.reads() {
			touch(in, last)
		}
	}
	for i := range c.p.inputs {
		if v := c.p.inputs[i].value; v != nil {
			v.buffer.many = true
		}
	}
	for _, o := range c.g.Outputs {
		v := &c.values[o.Value]
		v.buffer.many = true
		c.p.outputs = append(c.p.outputs, v)
	}
}

// single reports whether a value is better computed for one sample after the other: images, which
// should stay in the cache.
func (c *compiler) single(v graph.Value) bool {
	if c.values[v].shape.Height > 1 {
		return true
	}
	for _, in := range c.layers[v].reads() {
		if c.stored[in] && c.values[in].shape.Height > 1 {
			return true
		}
	}
	if p, ok := c.layers[v].(*product); ok {
		for _, q := range p.parts {
			if q.KernelH > 1 || q.PadH > 0 {
				return true
			}
		}
	}
	return false
}

// arena gives buffers their places.
func (c *compiler) arena() {
	seen := map[*buffer]bool{}
	for i := range c.values {
		b := c.values[i].buffer
		if b == nil || seen[b] {
			continue
		}
		seen[b] = true
		b.floats = c.floats(b.size, b.many)
	}
}

// floats takes memory in the arena of floats: for every sample of a batch, or once. It starts at a
// cache line.
func (c *compiler) floats(size int, many bool) int {
	at := c.p.floats
	if many {
		size *= c.p.batch
	}
	c.p.floats += (size + 15) &^ 15
	return at
}

// build adds the operations that compute a value.
func (c *compiler) build(v graph.Value, l layer) error {
	if c.idle(v) {
		return nil
	}
	var op operation
	to := &c.values[v]
	switch l := l.(type) {
	case *product:
		op = c.product(to, l)
	case *table:
		op = c.table(to, l)
	case *bag:
		op = c.bag(to, l)
	case *recurrent:
		op = c.recurrent(to, l)
	case *sum:
		op = &addition{to, &c.values[l.a], &c.values[l.b], l.relu}
	case *concat:
		op = c.joining(to, l)
	case *reshape:
		op = &copying{to, &c.values[l.in]}
	case *single:
		switch o := l.op.(type) {
		case graph.Affine:
			op = &scaling{to, &c.values[l.in], o.Gain, o.Offset}
		case graph.ReLU:
			op = &rectifying{to, &c.values[l.in]}
		case graph.Mean:
			op = &averaging{to, &c.values[l.in]}
		case graph.Softmax:
			op = &normalising{to, &c.values[l.in]}
		case graph.Embedding:
			op = c.embedding(to, l.in, o)
		default:
			return fmt.Errorf("no way to compute %T", o)
		}
	}
	s := &c.p.stages[c.stages[v]]
	s.ops = append(s.ops, op)
	return nil
}
