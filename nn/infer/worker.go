package infer

import (
	"fmt"

	"github.com/weirnet/weir/nn/graph"
)

// Worker runs a program. It is used by one goroutine.
type Worker struct {
	p       *Program
	floats  []float32
	bytes   []uint8
	indices [][]uint16 // by input: (batch, size)
	counts  [][]int    // by input and sample: how many bytes or indices the caller gave
	h, c    [][]float32
	lines   []int // by value.lines, and by sample where each has its own
	tails   []int // by tableLookup.tail and sample: how many rows are other than those of padding
	out     []float32
}

// NewWorker returns a worker with memory of its own.
func (p *Program) NewWorker() *Worker {
	w := &Worker{
		p:       p,
		floats:  make([]float32, p.floats),
		bytes:   make([]uint8, p.bytes+slack),
		indices: make([][]uint16, len(p.inputs)),
		counts:  make([][]int, len(p.inputs)),
		lines:   make([]int, p.lines),
		tails:   make([]int, p.tails),
		h:       make([][]float32, p.batch),
		c:       make([][]float32, p.batch),
	}
	// Nothing is there yet.
	for i := range p.values {
		if v := &p.values[i]; v.lines > 0 {
			for s := range p.batch {
				*v.live(w, s) = v.shape.Height
			}
		}
	}
	for i := range w.tails {
		w.tails[i] = maxIndex
	}
	for i := range p.inputs {
		if p.inputs[i].index {
			w.indices[i] = make([]uint16, p.batch*p.inputs[i].size)
		}
		w.counts[i] = make([]int, p.batch)
	}
	return w
}

// slack is what products of bytes may read behind the last.
const slack = 4

// Batch returns how many samples the worker takes at once.
func (w *Worker) Batch() int { return w.p.batch }

// SetFloats gives a sample of an input of floats. It panics when x has another length than the
// input.
func (w *Worker) SetFloats(input, sample int, x []float32) {
	in := w.input(input, sample, graph.Float)
	if len(x) != in.size {
		panic(fmt.Sprintf("infer: input %s: %d values, want %d", in.name, len(x), in.size))
	}
	if in.value != nil {
		w.write(in.value, sample, x)
	}
}

// SetBytes gives a sample of an input of bytes. Where x is shorter than the input, zeros follow.
func (w *Worker) SetBytes(input, sample int, x []byte) {
	in := w.input(input, sample, graph.Byte)
	if len(x) > in.size {
		panic(fmt.Sprintf("infer: input %s: %d bytes, want at most %d", in.name, len(x), in.size))
	}
	w.end(input, sample, len(x))
	if v := in.bytes; v != nil {
		run := v.run()
		for i := 0; i < in.size; i += run {
			at := v.first(sample) + v.offset(i)
			y := w.bytes[at : at+run]
			clear(y[copy(y, x[min(i, len(x)):]):])
		}
	}
	if v := in.value; v != nil {
		run := v.run()
		for i := 0; i < in.size; i += run {
			at := v.first(sample) + v.offset(i)
			y := w.floats[at : at+run]
			used := min(max(len(x)-i, 0), run)
			for k, b := range x[min(i, len(x)):][:used] {
				y[k] = float32(b)
			}
			clear(y[used:])
		}
	}
}

// end notes that a sample of an input of bytes ends after n.
func (w *Worker) end(number, sample, n int) {
	w.counts[number][sample] = n
	in := &w.p.inputs[number]
	for _, v := range [...]*value{in.value, in.bytes} {
		if v != nil && v.lines > 0 {
			line := v.shape.Width * v.shape.Channels
			*v.live(w, sample) = (n + line - 1) / line
		}
	}
}

// SetIndices gives a sample of an input of indices. Where x is shorter than the input, those of an
// embedding are filled up with Options.Padding; a bag takes what there is.
func (w *Worker) SetIndices(input, sample int, x []uint16) {
	in := w.input(input, sample, graph.Index)
	if len(x) > in.size {
		panic(fmt.Sprintf("infer: input %s: %d indices, want at most %d", in.name, len(x), in.size))
	}
	all := w.indices[input][sample*in.size:][:in.size]
	copy(all, x)
	if rest := all[len(x):]; len(rest) > 0 {
		rest[0] = w.p.padding
		for n := 1; n < len(rest); n *= 2 { // copied, which is faster than written
			copy(rest[n:], rest[:n])
		}
	}
	w.counts[input][sample] = len(x)
}

func (w *Worker) input(input, sample int, kind graph.Kind) *input {
	in := &w.p.inputs[input]
	if in.kind != kind {
		panic(fmt.Sprintf("infer: input %s takes %v, not %v", in.name, in.kind, kind))
	}
	if sample >= w.p.batch {
		panic(fmt.Sprintf("infer: sample %d of a batch of %d", sample, w.p.batch))
	}
	return in
}

// set gives a sample of an input as graph.Graph.Run takes it.
func (w *Worker) set(input, sample int, x []float32) {
	in := &w.p.inputs[input]
	if in.index {
		all := w.indices[input][sample*in.size:][:in.size]
		n := 0
		for _, v := range x {
			if in.none > 0 && int(v) >= in.none {
				continue // a bag of fewer
			}
			all[n] = uint16(v)
			n++
		}
		w.counts[input][sample] = n
	}
	if in.value != nil {
		w.write(in.value, sample, x)
	}
	if in.kind == graph.Byte {
		end := len(x)
		for end > 0 && x[end-1] == 0 {
			end--
		}
		w.end(input, sample, end)
	}
	if v := in.bytes; v != nil {
		for i, b := range x {
			w.bytes[v.first(sample)+v.offset(i)] = uint8(b)
		}
	}
}

// write puts x, in the order of the shape, where the value lies.
func (w *Worker) write(v *value, sample int, x []float32) {
	run := v.run()
	for i := 0; i < len(x); i += run {
		at := v.first(sample) + v.offset(i)
		copy(w.floats[at:at+run], x[i:])
	}
}

// run is how many values lie side by side.
func (v *value) run() int {
	switch {
	case v.tight():
		return v.shape.Size()
	case v.tightLines():
		return v.shape.Width * v.shape.Channels
	}
	return v.shape.Channels
}

// SetState gives the state that a sample's recurrent layers go on from, h and c of all layers one
// after the other, State values each. Run changes it. It is forgotten after Run; without one,
// layers start from zero.
func (w *Worker) SetState(sample int, h, c []float32) {
	if len(h) != w.p.hidden || len(c) != w.p.hidden {
		panic(fmt.Sprintf("infer: a state of %d and %d values, want %d", len(h), len(c), w.p.hidden))
	}
	w.h[sample], w.c[sample] = h, c
}

// State returns the length of h and of c of all recurrent layers.
func (p *Program) State() int { return p.hidden }

func (w *Worker) load(h, c []float32, from, to, at, n int) {
	for s := from; s < to; s++ {
		if w.h[s] == nil {
			clear(h[(s-from)*n : (s-from+1)*n])
			clear(c[(s-from)*n : (s-from+1)*n])
			continue
		}
		copy(h[(s-from)*n:(s-from+1)*n], w.h[s][at:])
		copy(c[(s-from)*n:(s-from+1)*n], w.c[s][at:])
	}
}

func (w *Worker) store(h, c []float32, from, to, at, n int) {
	for s := from; s < to; s++ {
		if w.h[s] != nil {
			copy(w.h[s][at:at+n], h[(s-from)*n:])
			copy(w.c[s][at:at+n], c[(s-from)*n:])
		}
	}
}

// Run computes the outputs of samples 0 to n−1, whose inputs must have been set.
func (w *Worker) Run(n int) {
	if n > w.p.batch {
		panic(fmt.Sprintf("infer: %d samples in a batch of %d", n, w.p.batch))
	}
	for i := range w.p.stages {
		s := &w.p.stages[i]
		by := n
		if s.single {
			by = 1
		}
		for k := 0; k < n; k += by {
			for _, op := range s.ops {
				op.run(w, k, k+by)
			}
		}
	}
	clear(w.h[:n])
	clear(w.c[:n])
}

// Output returns an output of a sample, valid until the next Run or Output.
func (w *Worker) Output(output, sample int) []float32 {
	v := w.p.outputs[output]
	if v.tight() {
		at := v.first(sample)
		return w.floats[at : at+v.shape.Size()]
	}
	w.out = w.out[:0]
	run := v.run()
	for i := 0; i < v.shape.Size(); i += run {
		at := v.first(sample) + v.offset(i)
		w.out = append(w.out, w.floats[at:at+run]...)
	}
	return w.out
}

// index returns the indices of a sample.
func (w *Worker) index(input, sample int) []uint16 {
	size := w.p.inputs[input].size
	return w.indices[input][sample*size:][:size]
}

// present returns those that the caller gave.
func (w *Worker) present(input, sample int) []uint16 {
	return w.index(input, sample)[:w.counts[input][sample]]
}
