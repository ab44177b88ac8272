package infer

import "math"

// Observer is a worker of a program, compiled without Ranges and for one sample at once, that finds
// out which numbers values take.
type Observer struct {
	*Worker
	seen []histogram // by Program.computed
}

// NewObserver returns an observer of a program.
func (p *Program) NewObserver() *Observer {
	if p.batch != 1 {
		panic("infer: an observer of batches")
	}
	return &Observer{p.NewWorker(), make([]histogram, len(p.computed))}
}

// Look takes note of all values of the sample that was run last.
func (o *Observer) Look() {
	for i, v := range o.p.computed {
		value := &o.p.values[v]
		if value.bytes {
			continue
		}
		run := value.run()
		for e := 0; e < value.shape.Size(); e += run {
			at := value.first(0) + value.offset(e)
			for _, x := range o.floats[at : at+run] {
				o.seen[i].add(x)
			}
		}
	}
}

// Ranges returns, of what was seen so far, for each value the range in which bytes come closest to
// its numbers: rare large ones are cut off where that lets the others be told apart.
func (o *Observer) Ranges() Ranges {
	r := Ranges{}
	for i := range o.seen {
		if h := &o.seen[i]; h.count > 0 {
			low, high := h.choose()
			r[o.p.names[o.p.computed[i]]] = [2]float32{low, high}
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
