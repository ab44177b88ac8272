package nn

import (
	"fmt"

	"github.com/weirnet/weir/internal/kernel"
)

// LSTM is a multi-layer long short-term memory (Hochreiter and Schmidhuber 1997, with the forget
// gate of Gers et al. 2000). Per layer, with x the input row and h, c zero before the first step:
//
//	i, f, o = σ(x·W + b + h·U + b')    each with its quarter of W, U, b, b'
//	g       = tanh(x·W + b + h·U + b')
//	c       = f·c + i·g
//	h       = o·tanh(c)
//
// The order of the gates in the weights is i, f, g, o, and there are two biases, as in PyTorch;
// W is (In, 4·Hidden) and U (Hidden, 4·Hidden), the transposes of PyTorch's. Between the layers there may be dropout.
type LSTM struct {
	In, Hidden int

	// Leaf says that x needs no gradient: Backward returns nil.
	Leaf bool

	layers  []*lstmLayer
	dropout []*Dropout // one between each two layers
	pack    packing
	in      []float32 // packed input
	y, dx   []float32
	dh      []float32
	gates   []float32 // of Step
}

// NewLSTM returns an LSTM of one or more layers, with dropout of that rate between them.
func NewLSTM(name string, in, hidden, layers int, dropout float64) *LSTM {
	if layers < 1 {
		panic("nn: an LSTM without layers")
	}
	l := &LSTM{In: in, Hidden: hidden}
	for k := range layers {
		l.layers = append(l.layers, newLSTMLayer(name, k, in, hidden))
		in = hidden
		if k+1 < layers {
			l.dropout = append(l.dropout, NewDropout(fmt.Sprintf("%s.dropout%d", name, k), dropout))
		}
	}
	return l
}

// Layers returns the number of layers.
func (l *LSTM) Layers() int { return len(l.layers) }

// Params returns weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, and those of the next layers.
func (l *LSTM) Params() []*Param {
	var ps []*Param
	for _, k := range l.layers {
		ps = append(ps, k.wx, k.wh, k.bx, k.bh)
	}
	return ps
}

// Forward runs sequences of the given lengths, each from a zero state. x is ragged,
// (Σ lengths, In); so is the result, (Σ lengths, Hidden): the last layer's h after each step.
func (l *LSTM) Forward(p Pass, x []float32, lengths []int) []float32 {
	n := rows("LSTM", x, l.In)
	l.pack.set(lengths)
	if n != len(l.pack.row) {
		panic(fmt.Sprintf("nn: LSTM: %d rows for lengths that add up to %d", n, len(l.pack.row)))
	}
	l.in = sized(l.in, len(x))
	l.pack.gather(l.in, x, l.In)
	h := l.in
	for k, layer := range l.layers {
		if k > 0 {
			h = l.dropout[k-1].Forward(p, h)
		}
		h = layer.forward(h, &l.pack)
	}
	l.y = sized(l.y, n*l.Hidden)
	l.pack.scatter(l.y, h, l.Hidden)
	return l.y
}

// Backward maps ragged (Σ lengths, Hidden) to ragged (Σ lengths, In).
func (l *LSTM) Backward(dy []float32) []float32 {
	l.dh = sized(l.dh, len(dy))
	l.pack.gather(l.dh, dy, l.Hidden)
	dh := l.dh
	for k := len(l.layers) - 1; k >= 0; k-- {
		dh = l.layers[k].backward(dh, &l.pack, k == 0 && l.Leaf)
		if k > 0 {
			dh = l.dropout[k-1].Backward(dh)
		}
	}
	if l.Leaf {
		return nil
	}
	l.dx = sized(l.dx, len(dh))
	l.pack.scatter(l.dx, dh, l.In)
	return l.dx
}

// Step advances n independent sequences by one row each, in evaluation: x is (n, In); h and c
// are (n, Layers, Hidden), the caller's memory, zero before the first step and changed in place.
// The last layer's h of sequence i is h[(i·Layers + Layers−1)·Hidden:]. Step leaves what
// a Backward needs alone. It allocates nothing once the largest n was seen.
func (l *LSTM) Step(x, h, c []float32) {
	n := rows("LSTM", x, l.In)
	state := len(l.layers) * l.Hidden
	if len(h) != n*state || len(c) != n*state {
		panic(fmt.Sprintf("nn: LSTM: state of %d and %d values for %d rows of %d", len(h), len(c), n, state))
	}
	if n == 0 {
		return
	}
	width := 4 * l.Hidden
	l.gates = sized(l.gates, n*width)
	in, stride := x, l.In
	for k, layer := range l.layers {
		hk, ck := h[k*l.Hidden:], c[k*l.Hidden:]
		layer.input(l.gates, in, n, stride)
		kernel.Gemm(false, false, n, width, l.Hidden, hk, state, layer.wh.Value, width, 1, l.gates, width)
		for i := range n {
			c, h := ck[i*state:][:l.Hidden], hk[i*state:][:l.Hidden]
			kernel.LSTMCell(l.gates[i*width:(i+1)*width], c, c, h, h)
		}
		in, stride = hk, state
	}
}

// lstmLayer is one layer over packed rows.
type lstmLayer struct {
	in, hidden     int
	wx, wh, bx, bh *Param

	x     []float32 // packed input, not owned
	reach reach     // of the rows of x
	short bool      // some rows of x end before others
	gates []float32 // (rows, 4, hidden): activated; in backward their gradients
	c     []float32 // (rows, hidden)
	tanhC []float32
	h     []float32
	hPrev []float32 // h of the step before, for all rows but those of step 0
	dc    []float32 // (sequences, hidden), carried from step to step
	dx    []float32
	zero  []float32 // c before step 0
	whT   []float32 // the recurrent weights transposed, once for all steps of a backward pass
}

func newLSTMLayer(name string, k, in, hidden int) *lstmLayer {
	bound := FanIn(hidden)
	param := func(kind string, shape ...int) *Param {
		return newParam(fmt.Sprintf("%s.%s_l%d", name, kind, k), bound, shape...)
	}
	return &lstmLayer{
		in: in, hidden: hidden, zero: make([]float32, hidden),
		wx: param("weight_ih", in, 4*hidden),
		wh: param("weight_hh", hidden, 4*hidden),
		bx: param("bias_ih", 4*hidden),
		bh: param("bias_hh", 4*hidden),
	}
}

// input is gates = x·W + b + b', the part that needs no recurrence; row i of x starts at
// i·stride.
func (l *lstmLayer) input(gates, x []float32, n, stride int) {
	width := 4 * l.hidden
	l.bias(gates[:n*width])
	kernel.Gemm(false, false, n, width, l.in, x, stride, l.wx.Value, width, 1, gates, width)
}

// bias fills rows of gates with b + b'.
func (l *lstmLayer) bias(gates []float32) {
	width := 4 * l.hidden
	first := gates[:width]
	for j, v := range l.bx.Value {
		first[j] = v + l.bh.Value[j]
	}
	fillRows(gates[width:], first)
}

func (l *lstmLayer) forward(x []float32, p *packing) []float32 {
	n, hid, width := len(p.row), l.hidden, 4*l.hidden
	l.x = x
	l.gates = sized(l.gates, n*width)
	l.c, l.tanhC, l.h = sized(l.c, n*hid), sized(l.tanhC, n*hid), sized(l.h, n*hid)
	if n == 0 {
		return l.h
	}
	if l.short = l.reach.set(x, l.in); l.short {
		l.bias(l.gates)
		l.reach.multiply(l.gates, l.wx.Value, width)
	} else {
		l.input(l.gates, x, n, l.in)
	}
	for t := range p.steps() {
		lo, hi := p.start[t], p.start[t+1]
		gates := l.gates[lo*width : hi*width]
		if t > 0 {
			kernel.Gemm(false, false, hi-lo, width, hid, l.h[p.start[t-1]*hid:], hid, l.wh.Value, width, 1, gates, width)
		}
		for i := range hi - lo {
			at := (lo + i) * hid
			kernel.LSTMCell(gates[i*width:(i+1)*width], l.before(p, t, i), l.c[at:at+hid], l.tanhC[at:at+hid], l.h[at:at+hid])
		}
	}
	return l.h
}

// before returns c of sequence i before step t.
func (l *lstmLayer) before(p *packing, t, i int) []float32 {
	if t == 0 {
		return l.zero
	}
	at := (p.start[t-1] + i) * l.hidden
	return l.c[at : at+l.hidden]
}

// backward takes the gradient of h after each step and overwrites it.
func (l *lstmLayer) backward(dh []float32, p *packing, leaf bool) []float32 {
	n, hid, width := len(p.row), l.hidden, 4*l.hidden
	if n == 0 {
		return l.dx[:0]
	}
	first := p.start[1] // rows of step 0: as many as there are sequences that are not empty
	l.whT = sized(l.whT, width*hid)
	kernel.Transpose(l.whT, l.wh.Value, hid, width)
	l.dc = sized(l.dc, first*hid)
	clear(l.dc)
	for t := p.steps() - 1; t >= 0; t-- {
		lo, hi := p.start[t], p.start[t+1]
		gates := l.gates[lo*width : hi*width]
		for i := range hi - lo {
			at := (lo + i) * hid
			kernel.LSTMCellGrad(gates[i*width:(i+1)*width], l.before(p, t, i), l.tanhC[at:at+hid], dh[at:at+hid], l.dc[i*hid:(i+1)*hid])
		}
		if t > 0 {
			prev := p.start[t-1]
			kernel.Gemm(false, false, hi-lo, hid, width, gates, width, l.whT, hid, 1, dh[prev*hid:], hid)
		}
	}
	if l.short {
		l.reach.weightGrad(l.wx.grad(), l.gates, width)
	} else {
		l.wx.addGrad(l.x, l.gates, n, l.in, width, l.in)
	}
	if n > first {
		l.hPrev = sized(l.hPrev, (n-first)*hid)
		for t := 1; t < p.steps(); t++ {
			size := (p.start[t+1] - p.start[t]) * hid
			copy(l.hPrev[(p.start[t]-first)*hid:][:size], l.h[p.start[t-1]*hid:])
		}
		l.wh.addGrad(l.hPrev, l.gates[first*width:], n-first, hid, width, hid)
	}
	kernel.AddColumnSums(l.bx.grad(), l.gates)
	kernel.AddColumnSums(l.bh.grad(), l.gates)
	if leaf {
		return nil
	}
	l.dx = sized(l.dx, n*l.in)
	inputGrad(l.dx, l.gates, l.wx, n, l.in, width)
	return l.dx
}

// packing orders the rows of ragged sequences by step, the longest sequence first: the rows of a
// step stand together, and continue the first ones of the step before.
type packing struct {
	start []int   // first packed row of each step, then the number of rows
	row   []int32 // ragged row of each packed row
	order []int32 // sequences, longest first; equal lengths keep their order
	first []int   // ragged row at which each sequence starts
	count []int
}

func (p *packing) steps() int { return len(p.start) - 1 }

func (p *packing) set(lengths []int) {
	longest, total := 0, 0
	p.first = sized(p.first, len(lengths))
	for i, n := range lengths {
		p.first[i] = total
		longest = max(longest, n)
		total += n
	}
	// Counting sort: after the loop count[n] is the number of sequences longer than n.
	p.count = sized(p.count, longest+2)
	clear(p.count)
	for _, n := range lengths {
		p.count[n]++
	}
	longer := 0
	for n := longest; n >= 0; n-- {
		p.count[n], longer = longer, longer+p.count[n]
	}
	p.start = sized(p.start, longest+1)
	p.start[0] = 0
	for t := range longest {
		p.start[t+1] = p.start[t] + p.count[t]
	}
	p.order = sized(p.order, len(lengths))
	for i, n := range lengths {
		p.order[p.count[n]] = int32(i)
		p.count[n]++
	}
	p.row = sized(p.row, total)
	for t := range longest {
		for i := range p.start[t+1] - p.start[t] {
			p.row[p.start[t]+i] = int32(p.first[p.order[i]] + t)
		}
	}
}

func (p *packing) gather(dst, src []float32, width int) {
	for i, r := range p.row {
		copy(dst[i*width:(i+1)*width], src[int(r)*width:])
	}
}

func (p *packing) scatter(dst, src []float32, width int) {
	for i, r := range p.row {
		copy(dst[int(r)*width:(int(r)+1)*width], src[i*width:])
	}
}
