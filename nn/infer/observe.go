package infer

import (
	"math"

	"github.com/weirnet/weir/nn/graph"
)

// Observer runs a program, compiled without Ranges, and finds out which numbers its values take.
// It is used by one goroutine.
type Observer struct {
	*Worker
	seen []histogram // by value
}

// NewObserver returns an observer of a program.
func (p *Program) NewObserver() *Observer {
	return &Observer{p.NewWorker(), make([]histogram, len(p.values))}
}

// Run computes the outputs of samples 0 to n−1, as [Worker.Run] does, and looks at all values.
func (o *Observer) Run(n int) {
	for i := range o.p.inputs {
		if in := &o.p.inputs[i]; in.value != nil {
			o.look(in.at, 0, n)
		}
	}
	o.run(n, o.look)
}

func (o *Observer) look(v graph.Value, from, to int) {
	value := &o.p.values[v]
	run := value.run()
	for s := from; s < to; s++ {
		for i := 0; i < value.shape.Size(); i += run {
			at := value.first(s) + value.offset(i)
			for _, x := range o.floats[at : at+run] {
				o.seen[v].add(x)
			}
		}
	}
}

// Ranges returns, of what was seen so far, for each value the range in which bytes come closest to
// its numbers: rare large ones are cut off where that lets the others be told apart.
func (o *Observer) Ranges() Ranges {
	r := Ranges{}
	for v := range o.seen {
		if h := &o.seen[v]; h.count > 0 {
			low, high := h.choose()
			r[o.p.names[v]] = [2]float32{low, high}
		}
	}
	return r
}

// bins is the number of bins of a histogram.
const bins = 4096

// histogram counts numbers in bins of equal width around zero. It grows with what comes.
type histogram struct {
	bins      []uint64 // the lower half for negative numbers
	reach     float64  // of the upper half
	low, high float64
	count     uint64
}

func (h *histogram) add(x float32) {
	v := float64(x)
	if v-v != 0 {
		return
	}
	if h.bins == nil {
		h.bins, h.reach = make([]uint64, bins), 1./1024
	}
	for v >= h.reach || v < -h.reach {
		h.double()
	}
	h.bins[h.bin(v)]++
	h.count++
	h.low, h.high = min(h.low, v), max(h.high, v)
}

func (h *histogram) bin(v float64) int {
	return min(max(int(math.Floor((v/h.reach+1)*bins/2)), 0), bins-1)
}

// double makes each bin twice as wide.
func (h *histogram) double() {
	wide := make([]uint64, bins)
	for i, n := range h.bins {
		wide[bins/4+i/2] += n
	}
	h.bins = wide
	h.reach *= 2
}

// choose returns the range, a share of what was seen, with the least squared error of bytes over
// it: a step of it squared over 12 for what lies inside, the distance squared for what lies outside.
func (h *histogram) choose() (low, high float32) {
	least := math.Inf(1)
	for share := 1.0; share > 0.2; share -= 0.02 {
		a, b := h.low*share, h.high*share
		step := (b - a) / 255
		sum := 0.0
		for i, n := range h.bins {
			if n == 0 {
				continue
			}
			v := (float64(i)+0.5)*h.reach*2/bins - h.reach
			d := max(a-v, v-b, 0)
			sum += float64(n) * (d*d + step*step/12)
		}
		if sum < least {
			least, low, high = sum, float32(a), float32(b)
		}
	}
	return low, high
}
