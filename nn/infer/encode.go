package infer

import (
	"fmt"
	"slices"

	"github.com/weirnet/weir/nn/graph"
)

// Ranges are the least and the greatest number that values take, by the name of the node that
// produces them, as far as bytes need to tell them apart: an Observer's choice.
type Ranges map[string][2]float32

// leastWork is how many multiplications a product must have per sample for bytes to be worth it:
// what turns floats into bytes has its price, and in the last layers rounding tells most.
const leastWork = 1 << 14

// encoder decides which layers read bytes, and puts in what makes bytes of floats.
type encoder struct {
	from, to *plan
	ranges   Ranges

	wantFloats, wantBytes []bool        // by value of from: some layer reads it so
	floats, bytes         []graph.Value // by value of from: where it is in to
}

// encode returns a plan in which all products read bytes that are worth it and whose values' ranges
// are known. A byte q stands for gain·q + offset, which goes into the weights of those that read it.
func encode(p *plan, ranges Ranges) *plan {
	n := len(p.layers)
	e := &encoder{
		from: p, to: new(plan), ranges: ranges,
		wantFloats: make([]bool, n), wantBytes: make([]bool, n),
		floats: make([]graph.Value, n), bytes: make([]graph.Value, n),
	}
	if len(ranges) > 0 {
		for v := range p.layers {
			e.choose(graph.Value(v))
		}
	}
	e.want()
	e.emit()
	return e.to
}

// choose makes a layer read bytes if it may.
func (e *encoder) choose(v graph.Value) {
	switch l := e.from.layers[v].(type) {
	case *product:
		work := 0
		for _, q := range l.parts {
			work += len(q.weight) * e.from.shapes[v].Places()
			// The frame of zeros around an image is one of zero bytes.
			if !e.codable(q.in) || (q.PadH > 0 || q.PadW > 0) && !e.positive(q.in) {
				return
			}
		}
		for _, r := range l.residual {
			if !e.codable(r) || len(e.code(r).gain) != 1 {
				return
			}
		}
		_, known := e.ranges[e.from.names[v]]
		if l.bytes = work >= leastWork && known; l.bytes {
			e.split(l)
		}
	case *recurrent:
		l.bytes = len(l.lstm.Wx)+len(l.lstm.Wh) >= leastWork && e.codable(l.in)
	}
}

// split reads the two values of a concatenation as two parts, that of a text last: windows of
// nothing but padding add the same to every product, see byteProduct.text.
func (e *encoder) split(l *product) {
	if len(l.parts) != 1 || l.parts[0].KernelH*l.parts[0].KernelW != 1 {
		return
	}
	c, ok := e.from.layers[l.parts[0].in].(*concat)
	if !ok || len(c.in) != 2 || e.from.shapes[l.parts[0].in].Places() != 1 {
		return
	}
	whole := l.parts[0]
	first := e.from.shapes[c.in[0]].Channels
	a, b := whole, whole
	a.in, a.channels, a.weight = c.in[0], first, whole.weight[:first*l.out]
	b.in, b.channels, b.weight = c.in[1], whole.channels-first, whole.weight[first*l.out:]
	switch {
	case e.from.text(b.in) >= 0:
		l.parts = []part{a, b}
	case e.from.text(a.in) >= 0:
		l.parts = []part{b, a}
	}
}

// text returns the value of the table that a value is, as such or in another shape; -1 if it is none.
func (p *plan) text(v graph.Value) graph.Value {
	for {
		switch l := p.layers[v].(type) {
		case *table:
			return v
		case *reshape:
			v = l.in
		default:
			return -1
		}
	}
}

// codable reports whether it is known which numbers the bytes of a value would stand for.
func (e *encoder) codable(v graph.Value) bool {
	switch l := e.from.layers[v].(type) {
	case *source:
		if l.kind != graph.Float {
			return l.kind == graph.Byte
		}
	case *recurrent:
		return true
	case *concat:
		return !slices.ContainsFunc(l.in, func(in graph.Value) bool { return !e.codable(in) })
	case *reshape:
		if e.codable(l.in) && e.passes(v, l) {
			return true
		}
	}
	_, ok := e.ranges[e.from.names[v]]
	return ok
}

// passes reports whether a reshape can hand on the bytes of what it reads: one code fits them all,
// or as many as there are channels in each place.
func (e *encoder) passes(v graph.Value, l *reshape) bool {
	return e.codable(l.in) && e.from.shapes[v].Channels%len(e.code(l.in).gain) == 0
}

// positive reports whether a value has no negative numbers.
func (e *encoder) positive(v graph.Value) bool {
	return !slices.ContainsFunc(e.code(v).offset, func(o float32) bool { return o != 0 })
}

// stateCode is the code of what lies between -1 and 1, with 0 among its numbers.
var stateCode = affine{[]float32{1. / 127}, []float32{-128. / 127}}

// code returns what the bytes of a value stand for.
func (e *encoder) code(v graph.Value) affine {
	switch l := e.from.layers[v].(type) {
	case *source:
		if l.kind == graph.Byte {
			return affine{[]float32{1}, []float32{0}}
		}
	case *recurrent:
		return stateCode
	case *concat:
		var all affine
		for _, in := range l.in {
			c := e.code(in)
			for i := range e.from.shapes[in].Channels {
				all.gain = append(all.gain, c.gain[i%len(c.gain)])
				all.offset = append(all.offset, c.offset[i%len(c.offset)])
			}
		}
		return all
	case *reshape:
		if e.passes(v, l) {
			return e.code(l.in)
		}
	}
	r := e.ranges[e.from.names[v]]
	low, high := min(r[0], 0), max(r[1], 0)
	if low == high {
		high = 1
	}
	return affine{[]float32{(high - low) / 255}, []float32{low}}
}

// want finds out in which form values are read.
func (e *encoder) want() {
	for _, v := range e.from.outputs {
		e.wantFloats[v] = true
	}
	for i := len(e.from.layers) - 1; i >= 0; i-- {
		v := graph.Value(i)
		if e.wantBytes[v] && !e.writesBytes(v) {
			e.wantFloats[v] = true
		}
		l := e.from.layers[v]
		if l == nil {
			continue
		}
		for _, in := range l.reads() {
			switch l.(type) {
			case *reshape, *concat:
				e.wantFloats[in] = e.wantFloats[in] || e.wantFloats[v]
				e.wantBytes[in] = e.wantBytes[in] || e.wantBytes[v] && e.writesBytes(v)
			default:
				if e.readsBytes(l) {
					e.wantBytes[in] = true
				} else {
					e.wantFloats[in] = true
				}
			}
		}
	}
}

// readsBytes reports whether a layer reads its inputs as bytes.
func (e *encoder) readsBytes(l layer) bool {
	switch l := l.(type) {
	case *product:
		return l.bytes
	case *recurrent:
		return l.bytes
	case *single:
		_, mean := l.op.(graph.Mean)
		p, ok := e.from.layers[l.in].(*product)
		return mean && ok && p.bytes && p.relu
	}
	return false
}

// writesBytes reports whether the layer of a value that is read as bytes writes them itself.
func (e *encoder) writesBytes(v graph.Value) bool {
	switch l := e.from.layers[v].(type) {
	case *source:
		return l.kind == graph.Byte
	case *product:
		return l.bytes && !e.wantFloats[v]
	case *table:
		return !e.wantFloats[v]
	case *reshape:
		return e.passes(v, l)
	case *concat:
		return true
	}
	return false
}

// emit adds the layers to the new plan: for every value one in each of the forms in which it is
// read. Sources that nothing reads stay, since they have a number.
func (e *encoder) emit() {
	for i, l := range e.from.layers {
		if l == nil {
			continue
		}
		v := graph.Value(i)
		name, shape := e.from.names[v], e.from.shapes[v]
		_, input := l.(*source)
		in := e.floats
		if e.readsBytes(l) {
			in = e.bytes
		}
		if input || e.wantFloats[v] {
			e.floats[v] = e.to.add(reading(l, in), name, shape, affine{})
		}
		switch {
		case !e.wantBytes[v]:
		case e.writesBytes(v):
			switch l.(type) {
			case *reshape, *concat:
				in = e.bytes
			}
			e.bytes[v] = e.to.add(reading(l, in), name, shape, e.code(v))
		default:
			e.bytes[v] = e.to.add(&rounding{e.floats[v]}, name, shape, e.code(v))
		}
	}
	for _, v := range e.from.outputs {
		e.to.outputs = append(e.to.outputs, e.floats[v])
	}
}

// reading returns a copy of a layer that reads values where they are in the new plan.
func reading(l layer, at []graph.Value) layer {
	all := func(in []graph.Value) []graph.Value {
		out := make([]graph.Value, len(in))
		for i, v := range in {
			out[i] = at[v]
		}
		return out
	}
	switch l := l.(type) {
	case *source:
		return &source{l.input, l.kind}
	case *product:
		p := *l
		p.parts = slices.Clone(l.parts)
		for i := range p.parts {
			p.parts[i].in = at[p.parts[i].in]
		}
		p.residual = all(l.residual)
		return &p
	case *table:
		t := *l
		t.in = at[l.in]
		return &t
	case *bag:
		b := *l
		b.in = at[l.in]
		return &b
	case *recurrent:
		r := *l
		r.in = at[l.in]
		return &r
	case *sum:
		return &sum{at[l.a], at[l.b], l.relu}
	case *concat:
		return &concat{all(l.in)}
	case *reshape:
		return &reshape{at[l.in]}
	case *single:
		return &single{at[l.in], l.op}
	}
	panic(fmt.Sprintf("infer: a %T is of bytes already", l))
}
