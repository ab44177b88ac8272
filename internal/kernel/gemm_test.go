package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// gemmTwin is Gemm as its doc comment has it, summed in float64.
func gemmTwin(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) (want, bound []float64) {
	want, bound = make([]float64, m*n), make([]float64, m*n)
	for i := range m {
		for j := range n {
			var s, size float64
			if beta != 0 {
				s = float64(beta) * float64(c[i*ldc+j])
				size = math.Abs(s)
			}
			for p := range k {
				x, y := i*lda+p, p*ldb+j
				if transA {
					x = p*lda + i
				}
				if transB {
					y = j*ldb + p
				}
				s += float64(a[x]) * float64(b[y])
				size += math.Abs(float64(a[x]) * float64(b[y]))
			}
			want[i*n+j], bound[i*n+j] = s, size*float64(k+2)*0x1p-24
		}
	}
	return want, bound
}

func randomFloats(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// eachVariant runs a test under every variant that this machine can run.
func eachVariant(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	before := active
	defer func() { active = before }()
	for _, v := range supported() {
		active = v
		t.Run(v.String(), test)
	}
}

func TestGemm(t *testing.T) { eachVariant(t, testGemm) }

func testGemm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sizes := []int{1, 2, 3, 4, 5, 13, 14, 15, 31, 32, 33, 63, 65}
	for range 600 {
		m, n, k := sizes[r.IntN(len(sizes))], sizes[r.IntN(len(sizes))], sizes[r.IntN(len(sizes))]
		if r.IntN(20) == 0 {
			k += 500
		}
		checkGemm(t, r, r.IntN(2) == 1, r.IntN(2) == 1, m, n, k, []float32{0, 1, 0.5}[r.IntN(3)])
	}
}

func checkGemm(t *testing.T, r *rand.Rand, transA, transB bool, m, n, k int, beta float32) {
	t.Helper()
	lda, ldb, ldc := k, n, n+r.IntN(3)
	if transA {
		lda = m
	}
	if transB {
		ldb = k
	}
	lda = max(1, lda+r.IntN(5)-2) // rows of A may overlap
	ldb += r.IntN(3)
	a, b, c := randomFloats(r, max(m, k)*lda+max(m, k)), randomFloats(r, max(k, n)*ldb), randomFloats(r, m*ldc)
	want, bound := gemmTwin(transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc)
	got := append([]float32(nil), c...)
	Gemm(transA, transB, m, n, k, a, lda, b, ldb, beta, got, ldc)
	for i := range m {
		for j := range ldc {
			x := got[i*ldc+j]
			if j >= n {
				if x != c[i*ldc+j] {
					t.Fatalf("%v %v %dx%dx%d: wrote beyond row %d", transA, transB, m, n, k, i)
				}
			} else if math.Abs(float64(x)-want[i*n+j]) > bound[i*n+j] {
				t.Fatalf("%v %v %dx%dx%d beta %v: c[%d,%d] is %v, want %v", transA, transB, m, n, k, beta, i, j, x, want[i*n+j])
			}
		}
	}
}
