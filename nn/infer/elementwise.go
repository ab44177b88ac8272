package infer

import (
	"github.com/weirnet/weir/internal/kernel"
)

// row returns n floats of a sample from a place on.
func (v *value) row(w *Worker, sample, y, x, n int) []float32 {
	at := v.first(sample) + y*v.line + x*v.place
	return w.floats[at : at+n]
}

// eachRun calls f with runs of places that lie side by side in both values, which have one shape,
// or as many values in another, for the samples [first, end). The values lie in arenas ys and xs.
func eachRun[Y, X float32 | uint8](ys []Y, xs []X, to, from *value, first, end int, f func(y []Y, x []X)) {
	for s := first; s < end; s++ {
		i, j := to.first(s), from.first(s)
		switch {
		case to.tight() && from.tight():
			n := to.shape.Size()
			f(ys[i:i+n], xs[j:j+n])
		case to.shape != from.shape:
			// Channels of one may be several places of the other.
			n := step(to.shape.Channels, from.shape.Channels)
			for e := 0; e < to.shape.Size(); e += n {
				y, x := i+to.offset(e), j+from.offset(e)
				f(ys[y:y+n], xs[x:x+n])
			}
		default:
			n := to.shape.Channels
			for line := range to.shape.Height {
				for place := range to.shape.Width {
					y, x := i+line*to.line+place*to.place, j+line*from.line+place*from.place
					f(ys[y:y+n], xs[x:x+n])
				}
			}
		}
	}
}

// step returns the greatest common divisor.
func step(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// offset returns where, from the first place on, value i of a sample lies, in the order of the shape.
func (v *value) offset(i int) int {
	c, width := v.shape.Channels, v.shape.Width
	return i/c/width*v.line + i/c%width*v.place + i%c
}

type copying struct{ to, from *value }

func (o *copying) run(w *Worker, from, to int) {
	if o.to.bytes {
		eachRun(w.bytes, w.bytes, o.to, o.from, from, to, func(y, x []uint8) { copy(y, x) })
		return
	}
	eachRun(w.floats, w.floats, o.to, o.from, from, to, func(y, x []float32) { copy(y, x) })
}

type scaling struct {
	to, from     *value
	gain, offset []float32
}

func (o *scaling) run(w *Worker, from, to int) {
	eachRun(w.floats, w.floats, o.to, o.from, from, to, func(y, x []float32) { kernel.Affine(y, x, o.gain, o.offset) })
}

type rectifying struct{ to, from *value }

func (o *rectifying) run(w *Worker, from, to int) {
	eachRun(w.floats, w.floats, o.to, o.from, from, to, kernel.ReLU)
}

type normalising struct{ to, from *value }

func (o *normalising) run(w *Worker, from, to int) {
	n := o.to.shape.Channels
	eachRun(w.floats, w.floats, o.to, o.from, from, to, func(y, x []float32) {
		copy(y, x)
		for ; len(y) > 0; y = y[n:] {
			kernel.Softmax(y[:n])
		}
	})
}

type addition struct {
	to, a, b *value
	relu     bool
}

func (o *addition) run(w *Worker, from, to int) {
	eachRun(w.floats, w.floats, o.to, o.a, from, to, func(y, x []float32) { copy(y, x) })
	eachRun(w.floats, w.floats, o.to, o.b, from, to, func(y, x []float32) {
		if o.relu {
			kernel.AddReLU(y, y, x)
		} else {
			kernel.Add(y, x)
		}
	})
}

// averaging is the mean of each channel over all places: those of a line are added up in order,
// then the lines from the last to the first.
type averaging struct{ to, from *value }

func (o *averaging) run(w *Worker, from, to int) {
	shape := &o.from.shape
	for s := from; s < to; s++ {
		sums := o.to.row(w, s, 0, 0, shape.Channels)
		clear(sums)
		for y := shape.Height - 1; y >= 0; y-- {
			if o.from.tightLines() {
				kernel.AddColumnSums(sums, o.from.row(w, s, y, 0, shape.Width*shape.Channels))
				continue
			}
			for x := range shape.Width {
				kernel.Add(sums, o.from.row(w, s, y, x, shape.Channels))
			}
		}
		kernel.Scale(sums, 1/float32(shape.Places()))
	}
}

// joins copies the parts of a concatenation that do not lie in it.
type joins []copying

func (c *compiler) joining(to *value, l *concat) operation {
	var all joins
	at := to.at
	for _, in := range l.in {
		v := &c.values[in]
		if v.buffer != to.buffer {
			part := &value{shape: v.shape, bytes: v.bytes}
			part.inside(to.buffer, at, to.place)
			part.line = to.line
			all = append(all, copying{part, v})
		}
		at += v.shape.Channels
	}
	return all
}

func (o joins) run(w *Worker, from, to int) {
	for i := range o {
		o[i].run(w, from, to)
	}
}
