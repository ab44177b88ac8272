// Package kernel holds the loops under packages nn and nn/infer: the matrix product of training,
// the packed products of inference in float32 and in bytes, sums of table rows, and the elementwise
// passes that stand between them. It knows numbers and strides, no layers.
//
// Everything here runs on the caller's goroutine, may be called from many at once and allocates
// nothing once warm. The same arguments give the same bits, whichever goroutine asks.
//
//	// y = x·w + bias, 64 rows of 784 features to 128 outputs
//	for i := range 64 {
//		copy(y[i*128:], bias)
//	}
//	kernel.Gemm(false, false, 64, 128, 784, x, 784, w, 128, 1, y, 128)
package kernel

import (
	"fmt"
	"sync"
)

// Blocking of Gemm. depth is part of what Gemm promises, since it fixes the order of a sum and
// so its bits; the other two only decide which data stay in which cache.
const (
	depth     = 256      // longest run of k that is summed in one accumulator
	blockA    = 32 << 10 // floats of A that all panels of B pass over: half of a 256 KiB L2
	blockCols = 1024     // columns of B that are packed at once: at most 1 MiB with depth
	packRows  = 256      // with more rows of C than this, copying B into panels pays
)

// Gemm computes C = op(A)·op(B) + beta·C for row-major matrices, where op(A) is m×k, op(B) is
// k×n and C is m×n. Row i of C starts at c[i*ldc].
//
// Without transA, A is stored as m rows of k floats that start lda apart; with transA as k rows
// of m floats. B likewise: k rows of n floats, or with transB n rows of k floats. Rows of A and
// of B may overlap (lda < k): a strided one-dimensional convolution is such a product. C must
// overlap neither A nor B, nor its own rows (ldc >= n). With beta = 0, what C held is ignored,
// NaN included.
//
// k is cut into ceil(k/256) runs of equal length, rounded up to a multiple of 8 (the last is
// shorter); within a run the products are added in the order of k, and the runs in their order to
// beta·C:
//
//	c[i,j] *= beta
//	for each run {
//		s := 0
//		for p := range run {
//			s += a[i,p] * b[p,j]
//		}
//		c[i,j] += s
//	}
//
// So an element depends on its row of op(A), its column of op(B) and k alone, never on m, n or
// its place: a batch of one gives the bits that the same row gets in a batch of a thousand. The
// assembly variants fuse multiply and add, so they agree with one another in every bit, and with
// the Go variant up to rounding: |error| <= (k+2)·2^-24·Σ|a·b| for all of them.
//
// B is read as it lies, but for transB and for tall products, which copy it first: for a product
// that is repeated, B stored k×n is the better order.
//
// Gemm panics when a slice is too short for its shape.
func Gemm(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m < 0 || n < 0 || k < 0 || lda < 0 || ldb < 0 || ldc < n && m > 1 {
		panic(fmt.Sprintf("kernel: Gemm of bad shape: m %d, n %d, k %d, lda %d, ldb %d, ldc %d", m, n, k, lda, ldb, ldc))
	}
	if m == 0 || n == 0 {
		return
	}
	checkMatrix("C", c, m, n, ldc)
	if beta != 0 && beta != 1 {
		for i := range m {
			Scale(c[i*ldc:i*ldc+n], beta)
		}
		beta = 1
	}
	if k == 0 {
		if beta == 0 {
			for i := range m {
				clear(c[i*ldc : i*ldc+n])
			}
		}
		return
	}
	p := product{m: m, n: n, a: a, b: b, c: c, transB: transB, ldb: ldb, ldc: ldc, add: beta == 1}
	if transA {
		checkMatrix("A", a, k, m, lda)
		p.aRow, p.aStep = 1, lda
	} else {
		checkMatrix("A", a, m, k, lda)
		p.aRow, p.aStep = lda, 1
	}
	if transB {
		checkMatrix("B", b, n, k, ldb)
		p.bCol, p.bStep = ldb, 1
	} else {
		checkMatrix("B", b, k, n, ldb)
		p.bCol, p.bStep = 1, ldb
	}
	length := Run(k)
	for from := 0; from < k; from += length {
		p.run(from, min(length, k-from))
		p.add = true
	}
}

// Run is how many products Gemm adds up in one sum when there are k of them: a product of the
// first few runs is summed like the beginning of the whole one.
func Run(k int) int {
	runs := max(1, (k+depth-1)/depth)
	return ((k+runs-1)/runs + 7) &^ 7
}

func checkMatrix(name string, x []float32, rows, cols, stride int) {
	if need := (rows-1)*stride + cols; len(x) < need {
		panic(fmt.Sprintf("kernel: Gemm needs %d floats for %s (%d rows of %d, %d apart), has %d", need, name, rows, cols, stride, len(x)))
	}
}

// product is one call of Gemm: a[i*aRow + p*aStep] times b[p*bStep + j*bCol].
type product struct {
	m, n        int
	a, b, c     []float32
	aRow, aStep int
	bCol, bStep int
	transB      bool
	ldb, ldc    int
	add         bool // to what c holds, rather than overwrite it
}

// run adds the products of k from..from+k-1.
func (p *product) run(from, k int) {
	shape := shapes[active]
	pack := p.transB || p.m > packRows && p.n > shape.cols
	if !pack {
		p.columns(from, k, 0, p.n, p.b[from*p.bStep:], p.bStep, shape.cols)
		return
	}
	scratch := panels.Get().(*[]float32)
	for j := 0; j < p.n; j += blockCols {
		cols := min(blockCols, p.n-j)
		width := (cols + shape.cols - 1) / shape.cols * shape.cols
		if cap(*scratch) < width*k {
			*scratch = make([]float32, max(width*k, leastScratch))
		}
		packed := (*scratch)[:width*k]
		packB(packed, p.b[from*p.bStep+j*p.bCol:], p.transB, k, cols, p.ldb, shape.cols)
		p.columns(from, k, j, cols, packed, shape.cols, k*shape.cols)
	}
	panels.Put(scratch)
}

// columns computes c[:, j:j+cols] from panels of B as wide as a tile: row p of a panel starts at
// p*step, and the next panel at panel floats behind. Where B is not packed the panels lie side by
// side, and a few rows are taken through several of them at once.
func (p *product) columns(from, k, j, cols int, b []float32, step, panel int) {
	shape := shapes[active]
	rowsAtOnce := max(1, blockA/k/shape.rows) * shape.rows
	var t tile
	t.k, t.aRow, t.aStep, t.bStep, t.cRow, t.add = k, p.aRow, p.aStep, step, p.ldc, p.add
	collide := p.collides(cols)
	var scratch *[]float32
	if collide {
		scratch = panels.Get().(*[]float32)
		t.aRow = k + shape.cols
		if need := min(rowsAtOnce, p.m) * t.aRow; cap(*scratch) < need {
			*scratch = make([]float32, max(need, leastScratch))
		}
	}
	for top := 0; top < p.m; top += rowsAtOnce {
		rows := min(rowsAtOnce, p.m-top)
		a := p.a[top*p.aRow+from*p.aStep:]
		if collide {
			apart := (*scratch)[:rows*t.aRow]
			copyStrided(apart, a, rows, k, t.aRow, p.aRow)
			a = apart
		}
		tiles := (rows + shape.rows - 1) / shape.rows
		for x := 0; x < cols; x += t.cols {
			t.cols = min(shape.cols, cols-x)
			if rows <= shape.wideRows && panel == shape.cols && cols-x >= shape.wideCols {
				t.cols = shape.wideCols
			}
			t.b = b[x/shape.cols*panel:]
			// Tiles of equal height: 16 rows are 8 + 8, not 14 + 2.
			for i := range tiles {
				first := top + rows*i/tiles
				t.rows = top + rows*(i+1)/tiles - first
				t.a = a[(first-top)*t.aRow:]
				t.c = p.c[first*p.ldc+j+x:]
				t.run()
			}
		}
	}
	if collide {
		panels.Put(scratch)
	}
}

// collides reports whether rows of A are so far apart that they fall into the same few sets of an
// L1 cache, where a tile's rows displace one another: 160×96×2048 ran at 48 GF/s with rows 8 KiB
// apart, and at 105 from a copy with rows further on by a tile's width. The copy pays when several
// tiles read it.
func (p *product) collides(cols int) bool {
	return p.aStep == 1 && p.aRow%512 == 0 && p.m > 8 && cols > shapes[active].cols
}

// shapes of the micro-kernels' largest tiles. They fill the registers with sums: 14×2 vectors of
// 16 floats, 6×2 of 8, 2×4 of 1. A tile of at most wideRows rows may instead have exactly wideCols
// columns, so that a product of one row has more than two sums under way.
var shapes = [...]struct{ rows, cols, wideRows, wideCols int }{
	plain:      {rows: 2, cols: 4},
	avx2:       {rows: 6, cols: 16, wideRows: 1, wideCols: 64},
	avx2VNNI:   {rows: 6, cols: 16, wideRows: 1, wideCols: 64},
	avx512:     {rows: 14, cols: 32, wideRows: 3, wideCols: 128},
	avx512VNNI: {rows: 14, cols: 32, wideRows: 3, wideCols: 128},
}

// tile is the work of one call of a micro-kernel: rows×cols of C, at most as large as
// the shape, kept in registers while k goes by.
//
//	for i := range rows {
//		for j := range cols {
//			s := 0
//			for p := range k {
//				s += a[i*aRow+p*aStep] * b[p*bStep+j]
//			}
//			c[i*cRow+j] = s // += s with add
//		}
//	}
type tile struct {
	a, b, c     []float32
	aRow, aStep int
	bStep, cRow int
	rows, cols  int
	k           int
	add         bool
}

// panels keeps the scratch memory into which B is packed.
var panels = sync.Pool{New: func() any { return new([]float32) }}

// leastScratch floats are what Go's allocator places at the start of a page, so that panels start
// at a cache line.
const leastScratch = 16 << 10
