//go:build !purego

package kernel

import (
	"sync"
	"unsafe"
)

//go:noescape
func floatsAVX512(s *strip)

//go:noescape
func floatsAVX2(s *strip)

//go:noescape
func bytesAVX512VNNI(s *strip)

//go:noescape
func bytesAVX512(s *strip)

//go:noescape
func bytesAVX2VNNI(s *strip)

//go:noescape
func bytesAVX2(s *strip)

// A tile is what one run of the assembly's inner loop computes: some rows from one base address,
// or as many from each of two, times some panels of columns. The two bases are what lets a tile of
// 14 rows take half a line of 28 places, a line of 14, or two lines of 7, with padding between.
//
// tiling says which tiles a variant has. They fill the registers with sums.
type tiling struct {
	group    int // most rows from each of two bases
	single   int // most rows from one
	pair     int // most panels of a tile, a power of two as all numbers of panels
	wide     int // the same of a tile
	wideRows int // of at most so many rows
}

var tilings = [...]tiling{
	avx2:       {group: 3, single: 6, pair: 1, wide: 4, wideRows: 1},
	avx2VNNI:   {group: 3, single: 6, pair: 1, wide: 4, wideRows: 1},
	avx512:     {group: 7, single: 7, pair: 2, wide: 8, wideRows: 3},
	avx512VNNI: {group: 7, single: 7, pair: 2, wide: 8, wideRows: 3},
}

// strip is the work of one call of the assembly: tiles of the same kind, one behind the other, of
// the same columns. Pointers stay where they are and offsets move on, so that a pointer never
// leaves its slice. All distances are bytes.
type strip struct {
	left          [2]left
	weights       unsafe.Pointer
	panel         int            // from a panel to the next
	start         unsafe.Pointer // what sums start with: 4 bytes per column
	scale, bias   unsafe.Pointer // of bytes
	dst, residual side
	tile, tiles   int
	floor, top    float32 // bounds of what is written: of floats, of bytes
	residualScale float32
	add           bool // the residual
	floats        bool // bytes are written as floats
}

// side is where the rows of one of the matrices lie.
type side struct {
	base  unsafe.Pointer
	at    int // from base to the tile
	row   int // from a place to the next of its line
	line  int // from a line to the next
	group int // from the first base of a tile to the second
	next  int // from a tile to the next
}

// left is a part of the left matrix.
type left struct {
	side
	gap   int // from the end of a run to the next
	runs  int
	steps int // of 4 bytes in a run
	last  bool
}

func sideOf[T float32 | uint8](data []T, row, line int) side {
	size := int(unsafe.Sizeof(data[0]))
	return side{base: unsafe.Pointer(&data[0]), row: row * size, line: line * size}
}

func leftOf[T float32 | uint8](l *Left[T], r Runs, last bool) left {
	size := int(unsafe.Sizeof(l.Data[0]))
	steps := (r.Length*size + 3) / 4
	return left{side: sideOf(l.Data, l.ColStride, l.RowStride),
		gap: l.SegmentStride*size - 4*steps, runs: r.Segments, steps: steps, last: last}
}

// pass is one product on its way through the assembly.
type pass struct {
	strip
	tiling
	grid      Grid
	made      variant
	bytes     bool // on the left
	parts     int
	columns   int  // of a tile
	whole     bool // they fill its panels
	dstSize   int  // of elements
	otherSize int  // of the residual
}

func (f *FloatWeights) multiply(p *FloatProduct, runs [2]Runs) {
	if f.made == plain {
		f.multiplyPlain(p, runs)
		return
	}
	s := pass{grid: p.Grid, made: f.made, tiling: tilings[f.made], parts: f.parts, dstSize: 4, otherSize: 4}
	for i := range f.parts {
		s.left[i] = leftOf(&p.A[i], runs[i], i == f.parts-1)
	}
	s.panel = f.k * panelCols * 4
	s.dst = sideOf(p.Dst.Data, p.Dst.ColStride, p.Dst.RowStride)
	if p.Residual.Data != nil {
		s.add, s.residual = true, sideOf(p.Residual.Data, p.Residual.ColStride, p.Residual.RowStride)
	}
	s.floor = floor(p.ReLU)
	s.flatten()
	for j := 0; j < f.n; {
		panels := s.panels(j, f.n)
		s.weights = unsafe.Pointer(&f.data[j*f.k])
		s.start = unsafe.Pointer(&f.bias[j])
		s.column(j, panels)
		j += panels * panelCols
	}
}

func (b *ByteWeights) multiply(p *ByteProduct, runs [2]Runs) {
	if b.made == plain {
		b.multiplyPlain(p, runs)
		return
	}
	s := pass{grid: p.Grid, made: b.made, tiling: tilings[b.made], parts: b.parts, bytes: true, dstSize: 1, otherSize: 1}
	for i := range b.parts {
		s.left[i] = leftOf(&p.A[i], runs[i], i == b.parts-1)
	}
	panels := len(b.start) / panelCols
	if b.made.words() {
		s.panel = len(b.words) / panels * 2
	} else {
		s.panel = len(b.data) / panels
	}
	if p.Dst.Data != nil {
		s.dst = sideOf(p.Dst.Data, p.Dst.ColStride, p.Dst.RowStride)
	} else {
		s.floats, s.dstSize = true, 4
		s.dst = sideOf(p.Floats.Data, p.Floats.ColStride, p.Floats.RowStride)
	}
	if p.Residual.Data != nil {
		s.add, s.residual = true, sideOf(p.Residual.Data, p.Residual.ColStride, p.Residual.RowStride)
		s.residualScale = p.ResidualScale
	}
	s.floor = floor(p.ReLU)
	s.top = 255
	start := b.start
	if p.Start != nil {
		start = p.Start
	}
	s.flatten()
	for j := 0; j < b.n; {
		panels := s.panels(j, b.n)
		if b.made.words() {
			s.weights = unsafe.Pointer(&b.words[j/panelCols*s.panel/2])
		} else {
			s.weights = unsafe.Pointer(&b.data[j/panelCols*s.panel])
		}
		s.start = unsafe.Pointer(&start[j])
		s.scale, s.bias = unsafe.Pointer(&b.scale[j]), unsafe.Pointer(&b.bias[j])
		s.column(j, panels)
		j += panels * panelCols
	}
}

// words reports whether the variant multiplies bytes as words.
func (v variant) words() bool { return v == avx512 || v == avx2 }

// flatten makes one line of the grid where places are equally far apart throughout.
func (s *pass) flatten() {
	g := s.grid
	flat := s.dst.line == g.Width*s.dst.row && (!s.add || s.residual.line == g.Width*s.residual.row)
	for i := range s.parts {
		flat = flat && s.left[i].line == g.Width*s.left[i].row
	}
	if g.Width == 1 && !flat {
		s.dst.row, s.residual.row = s.dst.line, s.residual.line
		for i := range s.parts {
			s.left[i].row = s.left[i].line
		}
		flat = true
	}
	if flat {
		s.grid = Grid{1, g.Height * g.Width}
	}
}

// panels is how many panels the tiles from column j on take; the last may be cut.
func (s *pass) panels(j, n int) int {
	panels, there := s.pair, (n-j+panelCols-1)/panelCols
	if s.grid.Height == 1 && s.grid.Width <= s.wideRows {
		panels = s.wide
	}
	for panels > there {
		panels /= 2
	}
	s.columns = min(panels*panelCols, n-j)
	s.whole = s.columns == panels*panelCols
	return panels
}

// column computes all places of the columns from j on.
func (s *pass) column(j, panels int) {
	if s.grid.Height == 1 {
		s.line(j, panels)
		return
	}
	groups := (s.grid.Width + s.group - 1) / s.group
	for i := range groups {
		x := s.grid.Width * i / groups
		high := s.grid.Width*(i+1)/groups - x
		even := s.grid.Height / 2
		s.band(0, x, j, panels, 2, high, even)
		s.band(2*even, x, j, panels, 1, high, s.grid.Height%2)
	}
}

// line computes places that are all equally far apart: as many of the largest tiles as there are,
// but the last two alike if the last would have few rows.
func (s *pass) line(j, panels int) {
	if s.collide() {
		s.band(0, 0, j, panels, 1, s.single, s.grid.Width/s.single)
		rest := s.grid.Width % s.single
		s.band(0, s.grid.Width-rest, j, panels, 1, rest, min(rest, 1))
		return
	}
	most := 2 * s.group
	tiles, rest := s.grid.Width/most, s.grid.Width%most
	if tiles > 0 && rest > 0 && rest < 4 {
		tiles, rest = tiles-1, rest+most
	}
	s.band(0, 0, j, panels, 2, s.group, tiles)
	for x := tiles * most; rest > 0; {
		rows := rest
		if rest > most || rest > s.single && rest%2 != 0 {
			rows = (rest + 1) / 2
		}
		if rows <= s.single {
			s.band(0, x, j, panels, 1, rows, 1)
		} else {
			rows += rows % 2
			s.band(0, x, j, panels, 2, rows/2, 1)
		}
		x += rows
		rest -= rows
	}
}

// collide reports whether rows lie so far apart that they fall into the same set of an L1 cache of
// eight ways, where those of the largest tile would displace one another. Tiles of fewer rows than
// ways are faster then: 32×2048 floats times 96 columns by a quarter.
func (s *pass) collide() bool {
	for i := range s.parts {
		if a := &s.left[i]; a.row%4096 == 0 && a.steps > 64 {
			return true
		}
	}
	return false
}

// band computes tiles that lie below one another in a grid of lines, or behind one another in a
// line.
func (s *pass) band(y, x, j, panels, bases, high, tiles int) {
	if tiles == 0 {
		return
	}
	s.tile = bases<<8 | high<<4 | panels
	if !s.whole {
		s.cut(y, x, j, bases, high, panels*panelCols, tiles)
		return
	}
	for i := range s.parts {
		s.left[i].set(s.grid, y, x, 0, bases, high)
	}
	s.dst.set(s.grid, y, x, j*s.dstSize, bases, high)
	if s.add {
		s.residual.set(s.grid, y, x, j*s.otherSize, bases, high)
	}
	s.tiles = tiles
	s.run()
}

// set points to the tile at a place and column.
func (s *side) set(g Grid, y, x, column, bases, high int) {
	s.at = y*s.line + x*s.row + column
	if g.Height == 1 {
		s.group = high * s.row
	} else {
		s.group = s.line
	}
	s.next = bases * s.group
}

func (s *pass) run() {
	switch {
	case !s.bytes && (s.made == avx512 || s.made == avx512VNNI):
		floatsAVX512(&s.strip)
	case !s.bytes:
		floatsAVX2(&s.strip)
	case s.made == avx512VNNI:
		bytesAVX512VNNI(&s.strip)
	case s.made == avx512:
		bytesAVX512(&s.strip)
	case s.made == avx2VNNI:
		bytesAVX2VNNI(&s.strip)
	default:
		bytesAVX2(&s.strip)
	}
}

// margin is memory for the largest tile: what is written, the residual.
type margin struct{ own, other [14 * 2 * panelCols * 4]byte }

var margins = sync.Pool{New: func() any { return new(margin) }}

// cut is band for tiles that are wider than the columns there are: each is computed into memory of
// its own, and what is there goes to and fro.
func (s *pass) cut(y, x, j, bases, high, width, tiles int) {
	m := margins.Get().(*margin)
	dst, residual := s.dst, s.residual
	dst.set(s.grid, y, x, j*s.dstSize, bases, high)
	residual.set(s.grid, y, x, j*s.otherSize, bases, high)
	for i := range s.parts {
		s.left[i].set(s.grid, y, x, 0, bases, high)
	}
	s.dst = side{base: unsafe.Pointer(&m.own), row: width * s.dstSize, group: high * width * s.dstSize}
	s.residual = side{base: unsafe.Pointer(&m.other), row: width * s.otherSize, group: high * width * s.otherSize}
	for range tiles {
		if s.add {
			copyRows(&s.residual, &residual, bases, high, s.columns*s.otherSize)
		}
		s.tiles = 1
		s.run()
		copyRows(&dst, &s.dst, bases, high, s.columns*s.dstSize)
		dst.at += dst.next
		residual.at += residual.next
	}
	s.dst, s.residual = dst, residual
	margins.Put(m)
}

// copyRows copies the rows of a tile.
func copyRows(to, from *side, bases, high, size int) {
	for i := range bases * high {
		a := unsafe.Add(to.base, to.at+i/high*to.group+i%high*to.row)
		b := unsafe.Add(from.base, from.at+i/high*from.group+i%high*from.row)
		copy(unsafe.Slice((*byte)(a), size), unsafe.Slice((*byte)(b), size))
	}
}
