package infer

import (
	"math"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/nn/graph"
)

// tableLookup is a convolution over symbols as a table of their products.
type tableLookup struct {
	table          *kernel.Table
	to             *value
	input          int
	relu           bool
	window, stride int
	scratch        int       // in the arena of floats, for bytes
	tail           int       // in Worker.tails
	padFloats      []float32 // all rows as they are where there is nothing but padding
	padBytes       []uint8
}

func (c *compiler) table(v graph.Value, l *table) operation {
	rows := l.rows
	if code := c.codes[v]; code.gain != nil {
		// Bytes take the sums as they stand.
		rows = make([]float32, len(rows))
		for i, x := range l.rows {
			if i < l.symbols*l.width { // the first place's, one of which is in each sum
				x -= code.offset[0]
			}
			rows[i] = x / code.gain[0]
		}
	}
	to := &c.values[v]
	o := &tableLookup{
		table: kernel.NewTable(rows, l.window, l.symbols, l.width, l.stride), to: to,
		input: c.input(l.in), relu: l.relu, window: l.window, stride: l.stride,
	}
	size := to.shape.Size()
	if to.bytes {
		o.scratch = c.floats(size, false)
	}
	c.texts[v] = o
	if int(c.p.padding) >= l.symbols {
		return o
	}
	o.tail = c.p.tails
	c.p.tails += c.p.batch
	text := make([]uint16, c.p.inputs[o.input].size)
	for i := range text {
		text[i] = c.p.padding
	}
	o.padFloats = make([]float32, size)
	o.table.Floats(o.padFloats, text, o.relu)
	if to.bytes {
		o.padBytes = make([]uint8, size)
		kernel.Quantise(o.padBytes, o.padFloats, 1, 0)
	}
	return o
}

func (o *tableLookup) run(w *Worker, from, to int) {
	width := o.to.shape.Channels
	for s := from; s < to; s++ {
		text, n := w.index(o.input, s), o.to.shape.Places()
		before := n
		if o.padFloats != nil {
			// Windows that begin behind the text have nothing but padding.
			n = min(n, (w.counts[o.input][s]+o.stride-1)/o.stride)
			before = min(before, w.tails[o.tail+s])
			w.tails[o.tail+s] = n
		}
		at := o.to.first(s)
		if n > 0 {
			text = text[:(n-1)*o.stride+o.window]
		} else {
			text = nil
		}
		end := max(before, n)
		if !o.to.bytes {
			y := w.floats[at : at+o.to.shape.Size()]
			o.table.Floats(y[:n*width], text, o.relu)
			copy(y[n*width:end*width], o.padFloats[min(n*width, len(o.padFloats)):])
			continue
		}
		y := w.bytes[at : at+o.to.shape.Size()]
		sums := w.floats[o.scratch:][:n*width]
		o.table.Floats(sums, text, false)
		kernel.Quantise(y[:n*width], sums, 1, 0)
		copy(y[n*width:end*width], o.padBytes[min(n*width, len(o.padBytes)):])
	}
}

// input returns the number of the input that a value is.
func (p *plan) input(v graph.Value) int {
	from, _ := p.source(v)
	return p.layers[from].(*source).input
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
		at := o.to.first(s)
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
		at := o.to.first(s)
		for i, k := range w.index(o.input, s) {
			y, x := i/o.to.shape.Width, i%o.to.shape.Width
			copy(w.floats[at+y*o.to.line+x*o.to.place:], o.rows[int(k)*o.size:(int(k)+1)*o.size])
		}
	}
}
