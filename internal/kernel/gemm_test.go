package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// gemmCase is one product in guarded memory.
type gemmCase struct {
	transA, transB bool
	m, n, k        int
	lda, ldb, ldc  int
	beta           float32
}

func (g gemmCase) String() string {
	return fmt.Sprintf("transA %v transB %v m %d n %d k %d lda %d ldb %d ldc %d beta %v",
		g.transA, g.transB, g.m, g.n, g.k, g.lda, g.ldb, g.ldc, g.beta)
}

func need(rows, cols, stride int) int {
	if rows == 0 || cols == 0 {
		return 0
	}
	return (rows-1)*stride + cols
}

// lens are the floats that Gemm may touch in a, b and c.
func (g gemmCase) lens() (a, b, c int) {
	a, b, c = need(g.m, g.k, g.lda), need(g.k, g.n, g.ldb), need(g.m, g.n, g.ldc)
	if g.transA {
		a = need(g.k, g.m, g.lda)
	}
	if g.transB {
		b = need(g.n, g.k, g.ldb)
	}
	return a, b, c
}

// twin is Gemm as its doc comment has it, in float64, with the bound of the error.
func (g gemmCase) twin(a, b, c []float32) (want, bound []float64) {
	want, bound = make([]float64, len(c)), make([]float64, len(c))
	for i := range c {
		want[i] = float64(c[i])
	}
	for i := range g.m {
		for j := range g.n {
			var s, size float64
			if g.beta != 0 {
				s = float64(g.beta) * float64(c[i*g.ldc+j])
				size = math.Abs(s)
			}
			for p := range g.k {
				x, y := i*g.lda+p, p*g.ldb+j
				if g.transA {
					x = p*g.lda + i
				}
				if g.transB {
					y = j*g.ldb + p
				}
				s += float64(a[x]) * float64(b[y])
				size += math.Abs(float64(a[x]) * float64(b[y]))
			}
			want[i*g.ldc+j], bound[i*g.ldc+j] = s, size*float64(g.k+2)*0x1p-24
		}
	}
	return want, bound
}

type gemmMemory struct{ a, b, c *buffer }

func newGemmMemory(t testing.TB) gemmMemory {
	return gemmMemory{newBuffer(t, 1<<18), newBuffer(t, 1<<18), newBuffer(t, 1<<18)}
}

func (mem gemmMemory) check(t testing.TB, g gemmCase, r *rand.Rand) {
	t.Helper()
	lenA, lenB, lenC := g.lens()
	a, b, c := mem.a.last(lenA, normal(r)), mem.b.last(lenB, normal(r)), mem.c.last(lenC, normal(r))
	if g.beta == 0 && lenC > 0 {
		c[0] = float32(math.NaN()) // must not matter
	}
	want, bound := g.twin(a, b, c)
	Gemm(g.transA, g.transB, g.m, g.n, g.k, a, g.lda, b, g.ldb, g.beta, c, g.ldc)
	mem.a.check(t, "a", lenA)
	mem.b.check(t, "b", lenB)
	mem.c.check(t, "c", lenC)
	for i, x := range c {
		if !(math.Abs(float64(x)-want[i]) <= bound[i]) {
			t.Fatalf("%v: c[%d,%d] is %v, want %v ± %.3g", g, i/g.ldc, i%g.ldc, x, want[i], bound[i])
		}
	}
}

func TestGemm(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 31, 32, 33, 47, 49, 63, 64, 65, 127, 128, 129}
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		mem := newGemmMemory(t)
		pick := func() int { return sizes[r.IntN(len(sizes))] }
		for range 400 {
			g := gemmCase{transA: r.IntN(2) == 1, transB: r.IntN(2) == 1, m: pick(), n: pick(), k: pick()}
			if r.IntN(20) == 0 {
				g.k, g.m = g.k+254, g.m%32
			}
			if r.IntN(40) == 0 {
				g.n, g.k = g.n+1000, g.k%64
			} else if r.IntN(12) == 0 {
				g.m, g.k = g.m+packRows, g.k%64
			}
			g.beta = []float32{0, 1, -0.5}[r.IntN(3)]
			g.lda, g.ldb, g.ldc = g.k, g.n, g.n+r.IntN(3)
			if g.transA {
				g.lda = g.m
			}
			if g.transB {
				g.ldb = g.k
			}
			if r.IntN(3) == 0 { // rows that overlap, or lie apart
				g.lda = r.IntN(g.lda + 3)
				g.ldb = r.IntN(g.ldb + 3)
			}
			mem.check(t, g, r)
		}
	})
}

func FuzzGemm(f *testing.F) {
	f.Add(uint64(1), false, false, uint8(14), uint8(32), uint16(256), uint8(0))
	f.Add(uint64(2), true, true, uint8(15), uint8(33), uint16(257), uint8(9))
	f.Fuzz(func(t *testing.T, seed uint64, transA, transB bool, m, n uint8, k uint16, apart uint8) {
		g := gemmCase{transA: transA, transB: transB, m: int(m % 80), n: int(n), k: int(k % 300), beta: float32(seed % 3)}
		g.lda, g.ldb, g.ldc = g.k, g.n, g.n+int(apart%4)
		if transA {
			g.lda = g.m
		}
		if transB {
			g.ldb = g.k
		}
		g.lda, g.ldb = max(0, g.lda+int(apart%7)-3), max(0, g.ldb+int(apart%5)-2)
		eachVariant(t, func(t *testing.T) {
			newGemmMemory(t).check(t, g, rand.New(rand.NewPCG(seed, 0)))
		})
	})
}

// A row of C has the same bits alone, among others, and for every variant that fuses.
func TestGemmRowAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, transB := range []bool{false, true} {
		const m, n, k = packRows + 30, 140, 300
		a, b := randomFloats(r, m*k), randomFloats(r, k*n)
		ldb := n
		if transB {
			ldb = k
		}
		var fused []float32
		eachVariant(t, func(t *testing.T) {
			all := make([]float32, m*n)
			Gemm(false, transB, m, n, k, a, k, b, ldb, 0, all, n)
			for _, rows := range []int{1, 3, 14, 61, packRows, m} {
				for _, cols := range []int{1, 17, 130, n} {
					part := make([]float32, rows*cols)
					Gemm(false, transB, rows, cols, k, a[(m-rows)*k:], k, b, ldb, 0, part, cols)
					for i := range rows {
						if j := sameBits(part[i*cols:(i+1)*cols], all[(m-rows+i)*n:]); j >= 0 {
							t.Fatalf("transB %v: c[%d,%d] of %d×%d is %v, of %d×%d it was %v", transB,
								i, j, rows, cols, part[i*cols+j], m, n, all[(m-rows+i)*n+j])
						}
					}
				}
			}
			if active == plain {
				return
			}
			if fused == nil {
				fused = all
			} else if i := sameBits(fused, all); i >= 0 {
				t.Fatalf("transB %v: c[%d,%d] is %v, with %v it was %v", transB, i/n, i%n, all[i], supported()[0], fused[i])
			}
		})
	}
}

func TestGemmConcurrent(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const m, n, k = 100, 70, 300
	a, b, want := randomFloats(r, m*k), randomFloats(r, k*n), make([]float32, m*n)
	Gemm(false, true, m, n, k, a, k, b, k, 0, want, n)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := make([]float32, m*n)
			for range 10 {
				Gemm(false, true, m, n, k, a, k, b, k, 0, c, n)
				if i := sameBits(c, want); i >= 0 {
					t.Errorf("c[%d] is %v beside other goroutines, %v alone", i, c[i], want[i])
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestGemmRefuses(t *testing.T) {
	tests := []struct {
		name             string
		m, n, k          int
		lenA, lenB, lenC int
		ldc              int
	}{
		{name: "short A", m: 3, n: 4, k: 5, lenA: 14, lenB: 20, lenC: 12, ldc: 4},
		{name: "short B", m: 3, n: 4, k: 5, lenA: 15, lenB: 19, lenC: 12, ldc: 4},
		{name: "short C", m: 3, n: 4, k: 5, lenA: 15, lenB: 20, lenC: 11, ldc: 4},
		{name: "rows of C overlap", m: 3, n: 4, k: 5, lenA: 15, lenB: 20, lenC: 12, ldc: 3},
		{name: "negative", m: -1, n: 4, k: 5, lenA: 15, lenB: 20, lenC: 12, ldc: 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			Gemm(false, false, test.m, test.n, test.k, make([]float32, test.lenA), test.k, make([]float32, test.lenB), test.n, 0, make([]float32, test.lenC), test.ldc)
		})
	}
}

func TestTranspose(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(10, 11))
		x, y := newBuffer(t, 1<<13), newBuffer(t, 1<<13)
		for _, rows := range []int{0, 1, 3, 7, 8, 9, 16, 17, 65} {
			for _, cols := range []int{0, 1, 7, 8, 9, 31, 64, 100} {
				n := rows * cols
				in, out := x.last(n, normal(r)), y.last(n, normal(r))
				Transpose(out, in, rows, cols)
				y.check(t, "dst", n)
				for i := range rows {
					for j := range cols {
						if got, want := out[j*rows+i], in[i*cols+j]; got != want {
							t.Fatalf("%d×%d: dst[%d,%d] is %v, want %v", rows, cols, j, i, got, want)
						}
					}
				}
			}
		}
	})
}
