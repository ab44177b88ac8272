package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// shape is a product on strided rows, small enough for a slow twin.
type shape struct {
	grid     Grid
	n        int
	parts    []Runs
	apart    [2][3]int // row, column and segment stride of each part
	dst      [2]int    // row and column stride
	residual bool
	inPlace  bool // the residual is the destination
	relu     bool
	floats   bool // bytes are written as floats
}

func (s shape) String() string {
	return fmt.Sprintf("%d×%d places, %d columns, parts %v, strides %v, destination %v, residual %v in place %v, relu %v, floats %v",
		s.grid.Height, s.grid.Width, s.n, s.parts, s.apart, s.dst, s.residual, s.inPlace, s.relu, s.floats)
}

// randomShape draws grids, runs and strides as convolutions have them, and ragged ones.
func randomShape(r *rand.Rand) shape {
	pick := func(list ...int) int { return list[r.IntN(len(list))] }
	s := shape{n: pick(1, 2, 3, 7, 12, 15, 16, 17, 31, 32, 33, 47, 48, 64, 65, 96, 128, 130, 160)}
	s.grid = Grid{1, r.IntN(36)}
	if r.IntN(2) == 0 {
		s.grid = Grid{r.IntN(9), pick(1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 28)}
	}
	for range 1 + r.IntN(2) {
		s.parts = append(s.parts, Runs{Segments: pick(1, 1, 1, 2, 3, 5), Length: pick(1, 2, 3, 4, 5, 7, 8, 12, 16, 17, 31, 48, 64)})
	}
	s.residual, s.relu, s.floats = r.IntN(2) == 0, r.IntN(2) == 0, r.IntN(2) == 0
	s.inPlace = s.residual && r.IntN(3) == 0
	for i, p := range s.parts {
		col := pick(1, 2, p.Length, p.Length+3)
		row := col * s.grid.Width
		if r.IntN(2) == 0 {
			row += r.IntN(40)
		}
		s.apart[i] = [3]int{row, col, pick(p.Length, p.Length+1, row)}
	}
	s.dst[1] = s.n + pick(0, 0, 1, 16)
	s.dst[0] = s.grid.Width*s.dst[1] + pick(0, 0, 5)
	return s
}

func (s shape) k() (k int) {
	for _, p := range s.parts {
		k += p.Segments * p.Length
	}
	return k
}

// lenLeft is how much of part i is read, with up to round-1 elements behind the last run.
func (s shape) lenLeft(i, round int) int {
	p, a := s.parts[i], s.apart[i]
	if s.grid.Height*s.grid.Width == 0 {
		return 0
	}
	return (s.grid.Height-1)*a[0] + (s.grid.Width-1)*a[1] + (p.Segments-1)*a[2] + (p.Length+round-1)/round*round
}

func (s shape) lenDst() int {
	if s.grid.Height*s.grid.Width == 0 {
		return 0
	}
	return (s.grid.Height-1)*s.dst[0] + (s.grid.Width-1)*s.dst[1] + s.n
}

// each calls f with every place and column: which destination, and for every k which element of
// which part.
func (s shape) each(f func(dst, j int, elements func(g func(k, part, at int)))) {
	for y := range s.grid.Height {
		for x := range s.grid.Width {
			for j := range s.n {
				f(y*s.dst[0]+x*s.dst[1]+j, j, func(g func(k, part, at int)) {
					k := 0
					for i, p := range s.parts {
						for seg := range p.Segments {
							for e := range p.Length {
								g(k, i, y*s.apart[i][0]+x*s.apart[i][1]+seg*s.apart[i][2]+e)
								k++
							}
						}
					}
				})
			}
		}
	}
}

// byteBuffer is the same test memory, seen as bytes.
func (b *buffer) bytes() []uint8 {
	return unsafe.Slice((*uint8)(unsafe.Pointer(unsafe.SliceData(b.floats))), 4*len(b.floats))
}

// lastBytes returns the last n bytes of the memory, filled by next, behind 64 canaries.
func (b *buffer) lastBytes(n int, next func() uint8) []uint8 {
	mem := b.bytes()
	end := len(mem)
	for i := end - n - 64; i < end-n; i++ {
		mem[i] = 0xa5
	}
	x := mem[end-n : end : end]
	for i := range x {
		x[i] = next()
	}
	return x
}

func (b *buffer) checkBytes(t testing.TB, name string, n int) {
	t.Helper()
	mem := b.bytes()
	for i := len(mem) - n - 64; i < len(mem)-n; i++ {
		if mem[i] != 0xa5 {
			t.Fatalf("%s: wrote %d to byte %d before the buffer", name, mem[i], len(mem)-n-i)
		}
	}
}

type packedMemory struct{ a, a2, residual, dst *buffer }

func newPackedMemory(t testing.TB) packedMemory {
	return packedMemory{newBuffer(t, 1<<16), newBuffer(t, 1<<16), newBuffer(t, 1<<17), newBuffer(t, 1<<17)}
}

// checkFloats multiplies once with every variant.
func (mem packedMemory) checkFloats(t testing.TB, s shape, seed uint64) {
	t.Helper()
	var fused []float32
	for _, v := range supported() {
		active = v
		r := rand.New(rand.NewPCG(seed, 1))
		w, bias := randomFloats(r, s.k()*s.n), randomFloats(r, s.n)
		f := PackFloats(w, s.n, bias, s.parts...)
		p := FloatProduct{Grid: s.grid, ReLU: s.relu}
		for i := range s.parts {
			p.A[i] = Left[float32]{[]*buffer{mem.a, mem.a2}[i].last(s.lenLeft(i, 1), normal(r)), s.apart[i][0], s.apart[i][1], s.apart[i][2]}
		}
		p.Dst = Places[float32]{mem.dst.last(s.lenDst(), normal(r)), s.dst[0], s.dst[1]}
		if s.residual {
			p.Residual = Places[float32]{mem.residual.last(s.lenDst(), normal(r)), s.dst[0], s.dst[1]}
		}
		if s.inPlace {
			p.Residual = p.Dst
		}
		want, bound := make([]float64, len(p.Dst.Data)), make([]float64, len(p.Dst.Data))
		for i, v := range p.Dst.Data {
			want[i] = float64(v)
		}
		s.each(func(dst, j int, elements func(func(k, part, at int))) {
			sum := float64(bias[j])
			size := math.Abs(sum)
			elements(func(k, part, at int) {
				product := float64(p.A[part].Data[at]) * float64(w[k*s.n+j])
				sum += product
				size += math.Abs(product)
			})
			if s.residual {
				sum += float64(p.Residual.Data[dst])
				size += math.Abs(float64(p.Residual.Data[dst]))
			}
			if s.relu {
				sum = max(0, sum)
			}
			want[dst], bound[dst] = sum, size*float64(s.k()+2)*0x1p-24
		})
		f.Multiply(&p)
		for i := range s.parts {
			[]*buffer{mem.a, mem.a2}[i].check(t, "a", s.lenLeft(i, 1))
		}
		mem.dst.check(t, "dst", s.lenDst())
		for i, x := range p.Dst.Data {
			if !(math.Abs(float64(x)-want[i]) <= bound[i]) {
				t.Fatalf("%v, %v: dst[%d] is %v, want %v ± %.3g", v, s, i, x, want[i], bound[i])
			}
		}
		if v == plain {
			continue
		}
		if fused == nil {
			fused = append(fused, p.Dst.Data...)
		} else if i := sameBits(fused, p.Dst.Data); i >= 0 {
			t.Fatalf("%v, %v: dst[%d] is %v, with %v it was %v", v, s, i, p.Dst.Data[i], supported()[0], fused[i])
		}
	}
}

// checkBytes multiplies once with every variant. The twin is the doc comment in int and float32.
func (mem packedMemory) checkBytes(t testing.TB, s shape, seed uint64) {
	t.Helper()
	for _, v := range supported() {
		active = v
		r := rand.New(rand.NewPCG(seed, 2))
		anyByte := func() uint8 {
			if r.IntN(3) == 0 {
				return 255
			}
			return uint8(r.Uint32())
		}
		w := make([]int8, s.k()*s.n)
		for i := range w {
			w[i] = int8(anyByte())
			if r.IntN(3) == 0 {
				w[i] = -128
			}
		}
		parts := append([]Runs(nil), s.parts...)
		for i := range parts {
			parts[i].Zero = uint8(r.IntN(2) * r.IntN(256))
		}
		scale, bias := make([]float32, s.n), randomFloats(r, s.n)
		for i := range scale {
			scale[i] = float32(r.NormFloat64() * 0.02 / math.Sqrt(float64(s.k())))
			if r.IntN(40) == 0 {
				scale[i] *= 1e30
			}
			bias[i] *= 80
		}
		b := PackBytes(w, s.n, scale, bias, parts...)
		p := ByteProduct{Grid: s.grid, ReLU: s.relu && s.floats, ResidualScale: 0.7}
		for i := range s.parts {
			p.A[i] = Left[uint8]{[]*buffer{mem.a, mem.a2}[i].lastBytes(s.lenLeft(i, 4), anyByte), s.apart[i][0], s.apart[i][1], s.apart[i][2]}
		}
		var before []float32
		if s.floats {
			p.Floats = Places[float32]{mem.dst.last(s.lenDst(), normal(r)), s.dst[0], s.dst[1]}
			before = append(before, p.Floats.Data...)
		} else {
			p.Dst = Places[uint8]{mem.dst.lastBytes(s.lenDst(), anyByte), s.dst[0], s.dst[1]}
			for _, x := range p.Dst.Data {
				before = append(before, float32(x))
			}
		}
		if s.residual {
			p.Residual = Places[uint8]{mem.residual.lastBytes(s.lenDst(), anyByte), s.dst[0], s.dst[1]}
			if s.inPlace && !s.floats {
				p.Residual = p.Dst
			}
		}
		want := before
		s.each(func(dst, j int, elements func(func(k, part, at int))) {
			sum := 0
			elements(func(k, part, at int) {
				sum += (int(p.A[part].Data[at]) - int(parts[part].Zero)) * int(w[k*s.n+j])
			})
			y := float32(float32(sum)*scale[j]) + bias[j]
			if s.residual {
				y += float32(float32(p.Residual.Data[dst]) * p.ResidualScale)
			}
			switch {
			case !s.floats:
				y = float32(math.RoundToEven(min(max(0, float64(y)), 255)))
			case s.relu:
				y = max(0, y)
			}
			want[dst] = y
		})
		b.Multiply(&p)
		for i := range s.parts {
			[]*buffer{mem.a, mem.a2}[i].checkBytes(t, "a", s.lenLeft(i, 4))
		}
		for i, x := range want {
			got := float32(0)
			if s.floats {
				got = p.Floats.Data[i]
			} else {
				got = float32(p.Dst.Data[i])
			}
			if got != x {
				t.Fatalf("%v, %v: dst[%d] is %v, want %v", v, s, i, got, x)
			}
		}
		if s.floats {
			mem.dst.check(t, "floats", s.lenDst())
		} else {
			mem.dst.checkBytes(t, "dst", s.lenDst())
		}
	}
}

// Every variant agrees with the doc comments on ragged shapes and touches nothing else.
func TestPackedProducts(t *testing.T) {
	before := active
	defer func() { active = before }()
	mem := newPackedMemory(t)
	r := rand.New(rand.NewPCG(12, 13))
	shapes := 400
	if testing.Short() { // under the race detector, which knows nothing of assembly
		shapes = 40
	}
	for i := range shapes {
		s := randomShape(r)
		mem.checkFloats(t, s, uint64(i))
		mem.checkBytes(t, s, uint64(i))
	}
}

func FuzzPackedProducts(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(99))
	f.Fuzz(func(t *testing.T, seed uint64) {
		before := active
		defer func() { active = before }()
		mem := newPackedMemory(t)
		s := randomShape(rand.New(rand.NewPCG(seed, 3)))
		mem.checkFloats(t, s, seed)
		mem.checkBytes(t, s, seed)
	})
}

// A row has the same bits in any grid, alone as among others.
func TestPackedRowAlone(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		const m, n, k = 40, 150, 90
		r := rand.New(rand.NewPCG(14, 15))
		a := randomFloats(r, m*k)
		f := PackFloats(randomFloats(r, k*n), n, nil, Runs{Segments: 1, Length: k})
		all := make([]float32, m*n)
		f.Multiply(&FloatProduct{Grid: Grid{1, m}, A: [2]Left[float32]{{Data: a, ColStride: k}}, Dst: Places[float32]{all, 0, n}})
		for rows := 1; rows < m; rows++ {
			part := make([]float32, rows*n)
			f.Multiply(&FloatProduct{Grid: Grid{rows, 1}, A: [2]Left[float32]{{Data: a[(m-rows)*k:], RowStride: k}}, Dst: Places[float32]{part, n, 0}})
			if i := sameBits(part, all[(m-rows)*n:]); i >= 0 {
				t.Fatalf("element %d of the last %d rows is %v, of %d rows it was %v", i, rows, part[i], m, all[(m-rows)*n+i])
			}
		}
	})
}

// Rows that end in zeros give the same bits where the zeros are left out.
func TestPackedCut(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		const m, n, k, other = 9, 70, 61, 7
		r := rand.New(rand.NewPCG(16, 17))
		parts := []Runs{{Segments: 1, Length: other}, {Segments: 1, Length: k}}
		floats := PackFloats(randomFloats(r, (other+k)*n), n, randomFloats(r, n), parts...)
		w := make([]int8, (other+k)*n)
		for i := range w {
			w[i] = int8(r.Uint32())
		}
		bytes := PackBytes(w, n, randomFloats(r, n), randomFloats(r, n), parts...)
		for _, length := range []int{1, 2, 5, 16, 33, 52, 61} {
			a, x := randomFloats(r, m*other), make([]float32, m*k)
			b, y := make([]uint8, m*other+4), make([]uint8, m*k+4)
			for i := range b {
				b[i] = uint8(r.Uint32())
			}
			for i := range m {
				for j := range length {
					x[i*k+j], y[i*k+j] = float32(r.NormFloat64()), uint8(r.Uint32())
				}
			}
			var float, ofBytes [2][m * n]float32
			for i, cut := range []int{0, length} {
				floats.Multiply(&FloatProduct{
					Grid: Grid{m, 1}, A: [2]Left[float32]{{Data: a, RowStride: other}, {Data: x, RowStride: k}},
					Dst: Places[float32]{float[i][:], n, 0}, Cut: cut,
				})
				bytes.Multiply(&ByteProduct{
					Grid: Grid{m, 1}, A: [2]Left[uint8]{{Data: b, RowStride: other}, {Data: y, RowStride: k}},
					Floats: Places[float32]{ofBytes[i][:], n, 0}, Cut: cut,
				})
			}
			if float[0] != float[1] {
				t.Errorf("floats cut after %d give other sums", length)
			}
			if ofBytes[0] != ofBytes[1] {
				t.Errorf("bytes cut after %d give other sums", length)
			}

			// What is left out need not be zeros where sums start with it.
			start := make([]int32, (n+15)/16*16)
			for e := length; e < k; e++ {
				for i := range m {
					y[i*k+e] = uint8(e * 7)
				}
				for j := range n {
					start[j] += int32(uint8(e*7)) * int32(w[(other+e)*n+j])
				}
			}
			for i, cut := range []int{0, length} {
				p := ByteProduct{
					Grid: Grid{m, 1}, A: [2]Left[uint8]{{Data: b, RowStride: other}, {Data: y, RowStride: k}},
					Floats: Places[float32]{ofBytes[i][:], n, 0}, Cut: cut,
				}
				if length%4 != 0 {
					p.Cut = 0 // groups of four are not cut apart
				}
				if p.Cut > 0 {
					p.Start = start
				}
				bytes.Multiply(&p)
			}
			if ofBytes[0] != ofBytes[1] {
				t.Errorf("bytes cut after %d give other sums from a start", length)
			}
		}
	})
}

// Rows that lie a power of two apart have the same bits as rows that lie close together.
func TestPackedRowsFarApart(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		const most, n, k, stride = 40, 40, 70, 1024
		r := rand.New(rand.NewPCG(26, 27))
		far, near := make([]float32, most*stride), make([]float32, most*k)
		for i := range most {
			copy(far[i*stride:], randomFloats(r, k))
			copy(near[i*k:], far[i*stride:][:k])
		}
		f := PackFloats(randomFloats(r, k*n), n, nil, Runs{Segments: 1, Length: k})
		for m := 1; m <= most; m++ {
			var got, want [most * n]float32
			f.Multiply(&FloatProduct{Grid: Grid{1, m}, A: [2]Left[float32]{{Data: far, ColStride: stride}}, Dst: Places[float32]{got[:], 0, n}})
			f.Multiply(&FloatProduct{Grid: Grid{1, m}, A: [2]Left[float32]{{Data: near, ColStride: k}}, Dst: Places[float32]{want[:], 0, n}})
			if i := sameBits(got[:], want[:]); i >= 0 {
				t.Fatalf("element %d of %d rows is %v, want %v", i, m, got[i], want[i])
			}
		}
	})
}

func TestPackedRefuses(t *testing.T) {
	bytes := PackBytes(make([]int8, 5*3), 3, make([]float32, 3), make([]float32, 3), Runs{Segments: 1, Length: 5})
	floats := PackFloats(make([]float32, 5*3), 3, nil, Runs{Segments: 1, Length: 5})
	tests := []struct {
		name string
		run  func()
	}{
		{"short left matrix", func() {
			floats.Multiply(&FloatProduct{Grid: Grid{1, 2}, A: [2]Left[float32]{{Data: make([]float32, 9), ColStride: 5}}, Dst: Places[float32]{make([]float32, 6), 0, 3}})
		}},
		{"short destination", func() {
			floats.Multiply(&FloatProduct{Grid: Grid{1, 2}, A: [2]Left[float32]{{Data: make([]float32, 10), ColStride: 5}}, Dst: Places[float32]{make([]float32, 5), 0, 3}})
		}},
		{"group of four cut", func() {
			bytes.Multiply(&ByteProduct{Grid: Grid{1, 2}, A: [2]Left[uint8]{{Data: make([]uint8, 12), ColStride: 5}}, Dst: Places[uint8]{make([]uint8, 6), 0, 3}})
		}},
		{"bytes and floats", func() {
			bytes.Multiply(&ByteProduct{Grid: Grid{1, 2}, A: [2]Left[uint8]{{Data: make([]uint8, 13), ColStride: 5}}, Dst: Places[uint8]{make([]uint8, 6), 0, 3}, Floats: Places[float32]{make([]float32, 6), 0, 3}})
		}},
		{"short residual", func() {
			bytes.Multiply(&ByteProduct{Grid: Grid{1, 2}, A: [2]Left[uint8]{{Data: make([]uint8, 13), ColStride: 5}}, Dst: Places[uint8]{make([]uint8, 6), 0, 3}, Residual: Places[uint8]{make([]uint8, 5), 0, 3}})
		}},
		{"cut too long", func() {
			floats.Multiply(&FloatProduct{Grid: Grid{1, 1}, A: [2]Left[float32]{{Data: make([]float32, 10)}}, Dst: Places[float32]{Data: make([]float32, 6)}, Cut: 6})
		}},
		{"sums too long", func() {
			PackBytes(make([]int8, maxBytes+1), 1, []float32{1}, []float32{1}, Runs{Segments: 1, Length: maxBytes + 1})
		}},
		{"other weights than parts", func() { PackFloats(make([]float32, 14), 3, nil, Runs{Segments: 1, Length: 5}) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			test.run()
		})
	}
}

// The largest sums that fit.
func TestPackedLongestSums(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		w, a := make([]int8, maxBytes), make([]uint8, maxBytes)
		for i := range w {
			w[i], a[i] = -128, 255
		}
		var y [1]float32
		PackBytes(w, 1, []float32{1}, []float32{0}, Runs{Segments: 1, Length: maxBytes}).
			Multiply(&ByteProduct{Grid: Grid{1, 1}, A: [2]Left[uint8]{{Data: a}}, Floats: Places[float32]{Data: y[:]}})
		if want := float32(-128 * 255 * maxBytes); y[0] != want {
			t.Errorf("sum is %v, want %v", y[0], want)
		}
	})
}
