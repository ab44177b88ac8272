package infer

import "github.com/weirnet/weir/nn/graph"

// Where a payload ends, zeros follow. The lines of an image that no byte of the payload reaches,
// through however many convolutions, are those of an image of zeros, which every payload shares:
// they are there already, and only the lines before them are computed. Since a line depends on what
// it reads alone, the bits are the same.

// operands are the values of a product.
type operands struct {
	to       *value
	parts    []window
	residual *value
	single   bool // the lines are those of an image; otherwise the samples of a batch
}

// window is how the filters of a part move over a value.
type window struct {
	from        *value
	at          int // of the first filter, from the first place on
	pad, stride int // of lines
}

// tails decides which images have lines that may be left out: inputs of bytes, and what products
// make of them and nothing else.
func (c *compiler) tails() {
	for i, l := range c.layers {
		v := &c.values[i]
		if v.shape.Height == 1 || v.buffer == nil || !v.tightLines() {
			continue
		}
		switch l := l.(type) {
		case *source:
			if c.stored[i] && l.kind == graph.Byte {
				v.lines = c.lines(c.p.batch)
			}
		case *reshape: // the same image, whose scaling went into those that read it
			if u := &c.values[l.in]; u.buffer == v.buffer && u.shape == v.shape {
				v.lines = u.lines
			}
		case *product:
			tracked := !v.buffer.many
			for _, in := range l.reads() {
				tracked = tracked && c.values[in].lines > 0
			}
			if tracked {
				v.lines = c.lines(1)
			}
		}
	}
}

// lines takes places in Worker.lines and returns the first, which is not 0.
func (c *compiler) lines(n int) int {
	at := max(c.p.lines, 1)
	c.p.lines = at + n
	return at
}

// live returns how many of a value's lines may be other than those of an image of zeros.
func (v *value) live(w *Worker, sample int) *int {
	at := v.lines
	if v.buffer.many {
		at += sample
	}
	return &w.lines[at]
}

// lines returns how many lines of an image are to be computed for a sample; those behind are there.
func (o *operands) lines(w *Worker, sample int) int {
	v := o.to
	if v.lines == 0 {
		return v.shape.Height
	}
	n := 0
	for i := range o.parts {
		p := &o.parts[i]
		n = max(n, (*p.from.live(w, sample)+p.pad+p.stride-1)/p.stride)
	}
	if o.residual != nil {
		n = max(n, *o.residual.live(w, sample))
	}
	n = min(n, v.shape.Height)
	before := v.live(w, sample)
	if at := v.first(sample); v.bytes {
		restore(w.bytes[at:], w.p.zeroBytes[at:], v, n, *before)
	} else {
		restore(w.floats[at:], w.p.zeroFloats[at:], v, n, *before)
	}
	*before = n
	return n
}

// restore copies the lines [from, to).
func restore[T float32 | uint8](dst, zero []T, v *value, from, to int) {
	for y := from; y < to; y++ {
		at := y * v.line
		copy(dst[at:at+v.shape.Width*v.place], zero[at:])
	}
}

// zeros runs an image of zeros, all lines of it, and keeps what comes of it.
func (p *Program) zeros() {
	if p.lines == 0 {
		return
	}
	w := p.NewWorker()
	p.zeroFloats, p.zeroBytes = w.floats, w.bytes // what stands there is not copied: all lines are live
	w.Run(1)
	p.zeroFloats, p.zeroBytes = w.floats[:p.singleFloats], w.bytes[:p.singleBytes]
}
