package kernel

import "fmt"

// The packed products serve inference: the right matrix is packed once, may be shared by any
// number of goroutines, and is multiplied with rows that are taken from where they lie. One
// description of such rows covers convolutions, dense layers and recurrent ones, so that nothing
// is copied into a matrix of patches first.
//
// The rows of a product are the places of a Grid, the places of an image; a matrix of m rows is a
// grid of height 1 and width m. The row of place (y, x) consists of one or two parts, one behind
// the other, and part p of runs of elements:
//
//	for s := range Segments {
//		for e := range Length {
//			A[p].Data[y*A[p].RowStride + x*A[p].ColStride + s*A[p].SegmentStride + e]
//		}
//	}
//
// With an image of (H, W, C) values in a frame of padding, (H+2, W+2, C) altogether,
//
//	1×1 convolution          Runs{1, C}    rows (W+2)·C, columns C apart, from place (1, 1) on
//	3×3 convolution          Runs{3, 3·C}  rows (W+2)·C, columns C, segments (W+2)·C apart
//	the same with stride 2   Runs{3, 3·C}  rows 2·(W+2)·C, columns 2·C, segments (W+2)·C apart
//	1-D, width w, stride s   Runs{1, w·C}  columns s·C apart
//	dense layer              Runs{1, C}    columns C apart
//	LSTM gates               Runs{1, In}, Runs{1, Hidden}: x and h, with W above U
//	end of a residual block  Runs{1, C}, Runs{1, D}: the convolution and the projected shortcut
//
// What is written must not overlap what is read, but for the residual, which may be the
// destination itself: that adds to what is there.

// Grid is the shape of a product: its rows are the places of an image.
type Grid struct{ Height, Width int }

// Runs are what a part of a row of the left matrix consists of.
type Runs struct {
	Segments, Length int

	// Zero is the byte that stands for the number 0, for bytes of which some are negative. Floats
	// have none.
	Zero uint8
}

// Left is a part of the left matrix: where the runs of its rows lie.
type Left[T float32 | uint8] struct {
	Data          []T
	RowStride     int // elements from a place to the one below
	ColStride     int // elements from a place to the next in its line
	SegmentStride int // elements from a run to the next of the same place
}

// Places is where rows as long as a product is wide lie: that of place (y, x) starts at
// Data[y*RowStride + x*ColStride].
type Places[T float32 | uint8] struct {
	Data                 []T
	RowStride, ColStride int
}

// panelCols is the width of a panel of packed weights: one AVX-512 vector of sums.
const panelCols = 16

// FloatWeights is a right matrix of float32 with a bias, packed for the variant in use. It is
// read-only.
type FloatWeights struct {
	runs  [2]Runs
	n, k  int
	made  variant
	data  []float32 // panel after panel: 16 columns for each of the k rows
	bias  []float32 // filled up with zeros to whole panels, as the last panel is
	parts int
}

// PackFloats packs the k×n matrix w, whose rows lie one after the other, where k is the number of
// elements in one or two parts. bias has n values; nil stands for zeros. Both are copied.
func PackFloats(w []float32, n int, bias []float32, parts ...Runs) *FloatWeights {
	f := &FloatWeights{n: n, made: active, parts: len(parts)}
	f.k = checkParts("PackFloats", len(w), n, f.runs[:], parts)
	if bias != nil && len(bias) != n {
		panic(fmt.Sprintf("kernel: PackFloats: %d biases for %d columns", len(bias), n))
	}
	panels := (n + panelCols - 1) / panelCols
	f.bias = make([]float32, panels*panelCols)
	copy(f.bias, bias)
	f.data = make([]float32, panels*panelCols*f.k)
	packB(f.data, w, false, f.k, n, n, panelCols)
	return f
}

// FloatProduct is one product with packed weights.
type FloatProduct struct {
	Grid
	A        [2]Left[float32] // as many as the weights have parts
	Residual Places[float32]  // added before the ReLU; none without Data
	ReLU     bool
	Dst      Places[float32]

	// Cut says that in every row the last part, of one run, has zeros from element Cut on, and
	// leaves them out; 0: it does not say.
	Cut int
}

// Multiply computes, for each place and each column j of the weights,
//
//	s := bias[j]
//	for k, v := range the elements of the place {
//		s += v * w[k, j]
//	}
//	s += Residual[place, j]
//	Dst[place, j] = s // max(0, s) with ReLU
//
// in this order. An element depends on its place and its column alone, so the same row gives the
// same bits in any grid. The assembly variants fuse multiply and add and agree with one another in
// every bit; with the Go variant they agree up to |error| <= (k+2)·2^-24·(|bias| + Σ|a·w| + |residual|).
//
// Multiply allocates nothing. It panics when a slice is too short.
func (f *FloatWeights) Multiply(p *FloatProduct) {
	m := p.Height * p.Width
	if m == 0 || f.n == 0 {
		return
	}
	p.check()
	runs := cut(f.runs, f.parts, p.Cut)
	for i := range f.parts {
		checkLeft("float", &p.A[i], p.Grid, runs[i], runs[i].Length)
	}
	checkPlaces("Dst", &p.Dst, p.Grid, f.n)
	if p.Residual.Data != nil {
		checkPlaces("Residual", &p.Residual, p.Grid, f.n)
	}
	f.multiply(p, runs)
}

// ByteWeights is a right matrix of int8 with a scale and a bias for each column, packed for the
// variant in use. It is read-only.
type ByteWeights struct {
	runs  [2]Runs
	n, k  int
	made  variant
	parts int
	data  []int8    // panel after panel: for each four rows of a run, 16 columns of four
	words []int16   // in place of data, for variants that multiply words: for each four rows, 16 columns of the first and third, then of the second and fourth
	start []int32   // -Σ Zero·w of each column
	scale []float32 // these three filled up with zeros to whole panels, as the last panel is
	bias  []float32
}

// maxBytes is how many products of a byte and an int8 an int32 can add up.
const maxBytes = 1 << 16

// PackBytes packs the k×n matrix w, whose rows lie one after the other, where k is the number of
// elements in one or two parts, at most 65536. scale and bias have n finite values. All three are
// copied.
func PackBytes(w []int8, n int, scale, bias []float32, parts ...Runs) *ByteWeights {
	b := &ByteWeights{n: n, made: active, parts: len(parts)}
	b.k = checkParts("PackBytes", len(w), n, b.runs[:], parts)
	if b.k > maxBytes {
		panic(fmt.Sprintf("kernel: PackBytes: sums of %d products leave an int32", b.k))
	}
	if len(scale) != n || len(bias) != n {
		panic(fmt.Sprintf("kernel: PackBytes: %d scales and %d biases for %d columns", len(scale), len(bias), n))
	}
	panels := (n + panelCols - 1) / panelCols
	b.scale, b.bias = make([]float32, panels*panelCols), make([]float32, panels*panelCols)
	b.start = make([]int32, panels*panelCols)
	copy(b.scale, scale)
	copy(b.bias, bias)
	row := 0
	for _, r := range parts {
		for range r.Segments * r.Length {
			for j := range n {
				b.start[j] -= int32(r.Zero) * int32(w[row*n+j])
			}
			row++
		}
	}
	b.pack(w)
	return b
}

// ByteProduct is one product with packed weights, written as bytes or as floats.
type ByteProduct struct {
	Grid
	A             [2]Left[uint8] // as many as the weights have parts
	Residual      Places[uint8]  // added before the ReLU, times ResidualScale; none without Data
	ResidualScale float32
	Dst           Places[uint8] // either this

	Floats Places[float32] // or this
	ReLU   bool            // for Floats; bytes have no negative numbers

	// Cut says that in every row the last part, of one run, has zero bytes from element Cut on, as
	// numbers too, and leaves them out; 0: it does not say.
	Cut int

	// Start is what the sums of the columns start with, for what Cut leaves out; nil: zeros. It has
	// a number for every column of whole panels of 16, and no part has a Zero then. Cut is a multiple
	// of four then, or there are zeros up to the next.
	Start []int32
}

// Multiply computes, for each place and each column j of the weights,
//
//	s := 0 // int32, exact; or Start[j]
//	for k, v := range the elements of the place {
//		s += (v - Zero) * w[k, j]
//	}
//	y := float32(s)*scale[j] + bias[j]
//	y += float32(Residual[place, j]) * ResidualScale
//
//	Floats[place, j] = y                                  // max(0, y) with ReLU
//	Dst[place, j] = uint8(min(max(0, roundToEven(y)), 255)) // NaN gives 0
//
// where every conversion, product and sum is rounded to float32 by itself, so that all variants
// agree in every bit, plain Go included. Scales are the caller's: bytes that stand for y/o take
// scale, bias and ResidualScale divided by o.
//
// Runs are read in groups of four: where Length is not a multiple of four, A must have up to three
// elements more behind the last run, whose values do not matter.
//
// Multiply allocates nothing. It panics when a slice is too short.
func (b *ByteWeights) Multiply(p *ByteProduct) {
	m := p.Height * p.Width
	if m == 0 || b.n == 0 {
		return
	}
	p.check()
	runs := cut(b.runs, b.parts, p.Cut)
	for i := range b.parts {
		checkLeft("byte", &p.A[i], p.Grid, runs[i], (runs[i].Length+3)&^3)
	}
	if (p.Dst.Data == nil) == (p.Floats.Data == nil) {
		panic("kernel: a product of bytes is written either as bytes or as floats")
	}
	if p.Dst.Data != nil {
		checkPlaces("Dst", &p.Dst, p.Grid, b.n)
	} else {
		checkPlaces("Floats", &p.Floats, p.Grid, b.n)
	}
	if p.Residual.Data != nil {
		checkPlaces("Residual", &p.Residual, p.Grid, b.n)
	}
	if p.Start != nil && (len(p.Start) != len(b.start) || b.runs[0].Zero != 0 || b.runs[1].Zero != 0) {
		panic(fmt.Sprintf("kernel: %d sums to start with for %d columns", len(p.Start), len(b.start)))
	}
	b.multiply(p, runs)
}

// cut shortens the last part.
func cut(runs [2]Runs, parts, length int) [2]Runs {
	last := &runs[parts-1]
	if length == 0 {
		return runs
	}
	if last.Segments != 1 || length < 0 || length > last.Length || last.Zero != 0 {
		panic(fmt.Sprintf("kernel: %d runs of %d elements cut after %d", last.Segments, last.Length, length))
	}
	last.Length = length
	return runs
}

func (g Grid) check() {
	if g.Height < 0 || g.Width < 0 {
		panic(fmt.Sprintf("kernel: a product over a grid of %d×%d", g.Height, g.Width))
	}
}

// checkParts returns the number of elements of all parts.
func checkParts(name string, weights, n int, dst, parts []Runs) int {
	if len(parts) == 0 || len(parts) > len(dst) || n < 0 {
		panic(fmt.Sprintf("kernel: %s: %d parts, %d columns", name, len(parts), n))
	}
	k := 0
	for _, r := range parts {
		if r.Segments <= 0 || r.Length <= 0 {
			panic(fmt.Sprintf("kernel: %s: %d runs of %d elements", name, r.Segments, r.Length))
		}
		k += r.Segments * r.Length
	}
	if weights != k*n {
		panic(fmt.Sprintf("kernel: %s: %d weights for %d rows of %d columns", name, weights, k, n))
	}
	copy(dst, parts)
	return k
}

// checkLeft sees to it that every element that will be read is there; the last run is read up to
// length.
func checkLeft[T float32 | uint8](name string, l *Left[T], g Grid, r Runs, length int) {
	if l.RowStride < 0 || l.ColStride < 0 || l.SegmentStride < 0 {
		panic(fmt.Sprintf("kernel: %s product: strides %d, %d, %d", name, l.RowStride, l.ColStride, l.SegmentStride))
	}
	need := (g.Height-1)*l.RowStride + (g.Width-1)*l.ColStride + (r.Segments-1)*l.SegmentStride + length
	if len(l.Data) < need {
		panic(fmt.Sprintf("kernel: %s product: left matrix of %d elements, needs %d", name, len(l.Data), need))
	}
}

// checkPlaces sees to it that n elements are there at every place.
func checkPlaces[T float32 | uint8](name string, p *Places[T], g Grid, n int) {
	if p.RowStride < 0 || p.ColStride < 0 {
		panic(fmt.Sprintf("kernel: %s with strides %d, %d", name, p.RowStride, p.ColStride))
	}
	if need := (g.Height-1)*p.RowStride + (g.Width-1)*p.ColStride + n; len(p.Data) < need {
		panic(fmt.Sprintf("kernel: %s of %d elements, needs %d", name, len(p.Data), need))
	}
}
