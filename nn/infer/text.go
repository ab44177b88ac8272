package infer

import (
	"math"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/nn/graph"
)

// tableLookup is a convolution over symbols as a table of their products.
type tableLookup struct {
	table *kernel.Table
	to    *value
	input int
	relu  bool
}

func (c *compiler) table(to *value, l *table) operation {
	return &tableLookup{kernel.NewTable(l.rows, l.window, l.symbols, l.width, l.stride), to, c.input(l.in), l.relu}
}

// input returns the number of the input that a value is.
func (c *compiler) input(v graph.Value) int {
	from, _ := c.source(v)
	for i, in := range c.g.Inputs {
		if in == from {
			return i
		}
	}
	panic("infer: a source that is no input")
}

func (o *tableLookup) run(w *Worker, from, to int) {
	for s := from; s < to; s++ {
		at := o.to.floats(s)
		o.table.Floats(w.floats[at:at+o.to.shape.Size()], w.index(o.input, s), o.relu)
	}
}

// bagSum is the scaled sum of a table's rows.
type bagSum struct {
	table  []float32
	offset []float32
	to     *value
	input  int
	relu   bool
}

func (c *compiler) bag(to *value, l *bag) operation {
	return &bagSum{l.table, l.offset, to, c.input(l.in), l.relu}
}

func (o *bagSum) run(w *Worker, from, to int) {
	for s := from; s < to; s++ {
		at := o.to.floats(s)
		y := w.floats[at : at+len(o.offset)]
		index := w.present(o.input, s)
		kernel.SumRows(y, o.table, index)
		kernel.Scale(y, float32(1/math.Sqrt(float64(max(len(index), 1)))))
		kernel.Add(y, o.offset)
		if o.relu {
			kernel.ReLU(y, y)
		}
	}
}

// rowLookup is an embedding.
type rowLookup struct {
	rows  []float32
	size  int
	to    *value
	input int
}

func (c *compiler) embedding(to *value, in graph.Value, e graph.Embedding) operation {
	return &rowLookup{e.Weight, e.Size, to, c.input(in)}
}

func (o *rowLookup) run(w *Worker, from, to int) {
	for s := from; s < to; s++ {
		at := o.to.floats(s)
		for i, k := range w.index(o.input, s) {
			y, x := i/o.to.shape.Width, i%o.to.shape.Width
			copy(w.floats[at+y*o.to.line+x*o.to.place:], o.rows[int(k)*o.size:(int(k)+1)*o.size])
		}
	}
}
