package infer

import (
	"fmt"

	"github.com/weirnet/weir/nn/graph"
)

// compiler turns layers into operations on memory.
type compiler struct {
	*plan
	values []value
	index  []bool // by value: an input that tables read
	stored []bool // by value: it lies in the arena
	texts  map[graph.Value]*tableLookup
	stages []int // by value: where it is computed; -1 where nothing is to do
	p      *Program
}

// source returns the input that a value is, as such or in another shape.
func (p *plan) source(v graph.Value) (at graph.Value, ok bool) {
	for {
		switch l := p.layers[v].(type) {
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
	for _, v := range c.outputs {
		c.stored[v] = true
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
				return fmt.Errorf("infer: %s: its indices are not an input", c.names[i])
			}
			c.index[from] = true
			if b, ok := l.(*bag); ok {
				if none[from] != 0 && none[from] != b.count {
					return fmt.Errorf("infer: %s: shares its indices with a bag of another size", c.names[i])
				}
				none[from] = b.count
			}
		}
	}
	for v, l := range c.layers {
		l, ok := l.(*source)
		if !ok {
			continue
		}
		in := &c.p.inputs[l.input]
		if c.values[v].bytes {
			in.bytes = &c.values[v]
			continue
		}
		in.index, in.none = c.index[v], none[v]
		if c.stored[v] {
			in.value = &c.values[v]
			c.p.computed = append(c.p.computed, graph.Value(v))
		}
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
		if v := c.p.inputs[i].bytes; v != nil {
			v.buffer.many = true
		}
	}
	for _, o := range c.outputs {
		v := &c.values[o]
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

// arena gives buffers their places: first those that one sample after the other uses.
func (c *compiler) arena() {
	seen := map[*buffer]bool{}
	for _, many := range []bool{false, true} {
		for i := range c.values {
			b := c.values[i].buffer
			if b == nil || seen[b] || b.many != many {
				continue
			}
			seen[b] = true
			if b.bytes {
				b.at = c.bytes(b.size, b.many)
			} else {
				b.at = c.floats(b.size, b.many)
			}
		}
		if !many {
			c.p.singleFloats, c.p.singleBytes = c.p.floats, c.p.bytes
		}
	}
}

// bytes takes memory in the arena of bytes, as floats does.
func (c *compiler) bytes(size int, many bool) int {
	at := c.p.bytes
	if many {
		size *= c.p.batch
	}
	c.p.bytes += (size + 63) &^ 63
	return at
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
		if l.bytes {
			op = c.byteProduct(v, l)
			c.p.int8 = true
		} else {
			op = c.product(to, l)
		}
	case *table:
		op = c.table(v, l)
	case *bag:
		op = c.bag(to, l)
	case *recurrent:
		if l.bytes {
			op = c.byteLSTM(to, l)
			c.p.int8 = true
		} else {
			op = c.recurrent(to, l)
		}
	case *rounding:
		op = c.rounding(v, l)
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
			if c.values[l.in].bytes {
				op = c.byteMean(to, l.in)
			} else {
				op = &averaging{to, &c.values[l.in]}
			}
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
	c.p.computed = append(c.p.computed, v)
	return nil
}
