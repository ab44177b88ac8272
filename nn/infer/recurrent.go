package infer

import (
	"slices"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/nn/graph"
)

// floatLSTM runs a recurrent layer from the state that the caller gave, or from zero. With one
// step, x and h are multiplied as one; with several, x of all steps first.
type floatLSTM struct {
	input, hidden *kernel.FloatWeights
	from, to      *value
	size          int // of h
	state         int // where h of this layer begins in the caller's
	gates, h, c   int // in the arena: (batch, steps, 4·size), (batch, size), (batch, size)
	payload       int // the input of bytes that x is, whose end is known; -1 for none
}

func (c *compiler) recurrent(to *value, l *recurrent) operation {
	from, n := &c.values[l.in], l.lstm.Hidden
	steps := from.shape.Width
	o := &floatLSTM{from: from, to: to, size: n, state: c.p.hidden, payload: c.payload(l.in)}
	c.p.hidden += n
	o.gates, o.h, o.c = c.floats(4*n*steps, true), c.floats(n, true), c.floats(n, true)
	in, own := kernel.Runs{Segments: 1, Length: from.shape.Channels}, kernel.Runs{Segments: 1, Length: n}
	if steps == 1 {
		both := append(append([]float32(nil), l.lstm.Wh...), l.lstm.Wx...)
		o.hidden = kernel.PackFloats(both, 4*n, l.lstm.Bias, own, in)
		return o
	}
	o.input = kernel.PackFloats(l.lstm.Wx, 4*n, l.lstm.Bias, in)
	o.hidden = kernel.PackFloats(l.lstm.Wh, 4*n, nil, own)
	return o
}

// payload returns the input of bytes that the x of a single step is, so that zeros behind its end
// need not be multiplied; -1 if it is none.
func (c *compiler) payload(v graph.Value) int {
	from, ok := c.source(v)
	if !ok || c.layers[from].(*source).kind != graph.Byte || c.values[v].shape.Width != 1 {
		return -1
	}
	return c.layers[from].(*source).input
}

// longest returns how many of an input's bytes are not behind the end in all samples, at least 1; 0
// if that is not known.
func (w *Worker) longest(input, from, to int) int {
	if input < 0 {
		return 0
	}
	return max(1, slices.Max(w.counts[input][from:to]))
}

func (o *floatLSTM) run(w *Worker, from, to int) {
	for ; o.payload >= 0 && to-from > together; from += together {
		o.rows(w, from, from+together)
	}
	o.rows(w, from, to)
}

func (o *floatLSTM) rows(w *Worker, from, to int) {
	n, width := o.size, 4*o.size
	steps := o.from.shape.Width
	gates := w.floats[o.gates+from*steps*width:][:(to-from)*steps*width]
	h, c := w.floats[o.h+from*n:][:(to-from)*n], w.floats[o.c+from*n:][:(to-from)*n]
	w.load(h, c, from, to, o.state, n)
	if steps > 1 {
		o.input.Multiply(&kernel.FloatProduct{
			Grid: kernel.Grid{Height: to - from, Width: steps},
			A:    [2]kernel.Left[float32]{{Data: w.floats[o.from.first(from):], RowStride: o.from.stride(), ColStride: o.from.place}},
			Dst:  kernel.Places[float32]{Data: gates, RowStride: steps * width, ColStride: width},
		})
	}
	for t := range steps {
		p := kernel.FloatProduct{
			Grid: kernel.Grid{Height: to - from, Width: 1},
			A:    [2]kernel.Left[float32]{{Data: h, RowStride: n}},
			Dst:  kernel.Places[float32]{Data: gates[t*width:], RowStride: steps * width},
		}
		if steps > 1 {
			p.Residual = p.Dst
		} else {
			p.A[1] = kernel.Left[float32]{Data: w.floats[o.from.first(from):], RowStride: o.from.stride()}
			p.Cut = w.longest(o.payload, from, to)
		}
		o.hidden.Multiply(&p)
		for s := range to - from {
			c, h := c[s*n:(s+1)*n], h[s*n:(s+1)*n]
			kernel.LSTMCell(gates[(s*steps+t)*width:][:width], c, c, h, h)
			copy(o.to.row(w, from+s, 0, t, n), h)
		}
	}
	w.store(h, c, from, to, o.state, n)
}

// byteLSTM is floatLSTM with weights of int8. State and input are multiplied as one at every step.
type byteLSTM struct {
	weights  *kernel.ByteWeights
	from, to *value
	size     int // of h
	state    int // where h of this layer begins in the caller's
	gates    int // in the arena: (batch, 4·size)
	h, c     int // (batch, size)
	bytes    int // in the arena of bytes: h, (batch, size)
	payload  int // the input of bytes that x is, whose end is known; -1 for none
}

func (c *compiler) byteLSTM(to *value, l *recurrent) operation {
	from, n := &c.values[l.in], l.lstm.Hidden
	o := &byteLSTM{from: from, to: to, size: n, state: c.p.hidden, payload: c.payload(l.in)}
	c.p.hidden += n
	o.gates, o.h, o.c = c.floats(4*n, true), c.floats(n, true), c.floats(n, true)
	o.bytes = c.bytes(n, true)
	gain, offset := stateCode.rows(nil, nil, n)
	gain, offset = c.codes[l.in].rows(gain, offset, from.shape.Channels)
	bias := make([]float32, 4*n)
	copy(bias, l.lstm.Bias)
	z := quantise(append(append([]float32(nil), l.lstm.Wh...), l.lstm.Wx...), gain, offset, bias)
	o.weights = kernel.PackBytes(z.weight, 4*n, z.scale, z.bias,
		kernel.Runs{Segments: 1, Length: n}, kernel.Runs{Segments: 1, Length: from.shape.Channels})
	return o
}

func (o *byteLSTM) run(w *Worker, from, to int) {
	for ; o.payload >= 0 && to-from > together; from += together {
		o.rows(w, from, from+together)
	}
	o.rows(w, from, to)
}

func (o *byteLSTM) rows(w *Worker, from, to int) {
	n, width := o.size, 4*o.size
	rows := to - from
	gates := w.floats[o.gates+from*width:][:rows*width]
	h, c := w.floats[o.h+from*n:][:rows*n], w.floats[o.c+from*n:][:rows*n]
	state := w.bytes[o.bytes+from*n:]
	w.load(h, c, from, to, o.state, n)
	for t := range o.from.shape.Width {
		kernel.Quantise(state[:rows*n], h, 1/stateCode.gain[0], -stateCode.offset[0]/stateCode.gain[0])
		o.weights.Multiply(&kernel.ByteProduct{
			Grid: kernel.Grid{Height: rows, Width: 1},
			A: [2]kernel.Left[uint8]{
				{Data: state, RowStride: n},
				{Data: w.bytes[o.from.first(from)+t*o.from.place:], RowStride: o.from.stride()},
			},
			Floats: kernel.Places[float32]{Data: gates, RowStride: width},
			Cut:    w.longest(o.payload, from, to),
		})
		for s := range rows {
			c, h := c[s*n:(s+1)*n], h[s*n:(s+1)*n]
			kernel.LSTMCell(gates[s*width:][:width], c, c, h, h)
			copy(o.to.row(w, from+s, 0, t, n), h)
		}
	}
	w.store(h, c, from, to, o.state, n)
}
