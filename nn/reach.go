package nn

import "github.com/weirnet/weir/internal/kernel"

// reach puts rows in an order of how far they reach: most payloads are shorter than the rows that
// hold them, and what lies behind their end are zeros, which need not be multiplied. Rows are told
// apart by whole runs of the product (kernel.Run), so that it is summed as if the zeros had been
// there and gives the same bits, but for the sign of a zero.
type reach struct {
	width, run int
	class      []int32   // runs that a row reaches into
	end        []int     // rows of at most so many runs
	place      []int32   // of a row in the order
	x          []float32 // the rows in order, (rows, width)
	y          []float32 // what is multiplied with them, in order
}

// set looks at rows of the given width and reports whether there is anything to be saved.
func (r *reach) set(x []float32, width int) bool {
	r.width, r.run = width, kernel.Run(width)
	classes := (width + r.run - 1) / r.run
	if classes < 2 {
		return false
	}
	n := len(x) / width
	r.class, r.place = sized(r.class, n), sized(r.place, n)
	r.end = sized(r.end, classes+2)
	clear(r.end)
	for i := range n {
		row := x[i*width : (i+1)*width]
		k := width
		for k > 0 && row[k-1] == 0 {
			k--
		}
		r.class[i] = int32((k + r.run - 1) / r.run)
		r.end[r.class[i]+1]++
	}
	if r.end[classes+1] == n {
		return false
	}
	for c := range classes + 1 {
		r.end[c+1] += r.end[c]
	}
	// end[c] is where class c begins; after the loop it is where it ends.
	r.x = sized(r.x, n*width)
	for i, c := range r.class {
		at := r.end[c]
		r.end[c]++
		r.place[i] = int32(at)
		reached := min(int(c)*r.run, width)
		copy(r.x[at*width:at*width+reached], x[i*width:])
	}
	r.end = r.end[:classes+1]
	return true
}

// each calls f with the rows [lo, hi) that reach k columns, for every k but 0.
func (r *reach) each(f func(lo, hi, k int)) {
	for c := 1; c < len(r.end); c++ {
		if lo, hi := r.end[c-1], r.end[c]; lo < hi {
			f(lo, hi, min(c*r.run, r.width))
		}
	}
}

// multiply adds the product of the rows with w, (width, out), to y.
func (r *reach) multiply(y, w []float32, out int) {
	r.y = sized(r.y, len(y))
	for i, at := range r.place {
		copy(r.y[int(at)*out:(int(at)+1)*out], y[i*out:])
	}
	r.each(func(lo, hi, k int) {
		kernel.Gemm(false, false, hi-lo, out, k, r.x[lo*r.width:], r.width, w, out, 1, r.y[lo*out:], out)
	})
	for i, at := range r.place {
		copy(y[i*out:(i+1)*out], r.y[int(at)*out:])
	}
}

// weightGrad adds xᵀ·dy to grad, (width, out).
func (r *reach) weightGrad(grad, dy []float32, out int) {
	r.y = sized(r.y, len(dy))
	for i, at := range r.place {
		copy(r.y[int(at)*out:(int(at)+1)*out], dy[i*out:])
	}
	r.each(func(lo, hi, k int) {
		kernel.Gemm(true, false, k, out, hi-lo, r.x[lo*r.width:], r.width, r.y[lo*out:], out, 1, grad, out)
	})
}
