package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// kernelCase is one elementwise kernel: sizes are the lengths of its slices for a number of rows
// and columns; run calls it.
type kernelCase struct {
	name  string
	sizes func(rows, columns int) []int
	run   func(x [][]float32)
}

func same(n int) func(rows, columns int) []int {
	return func(rows, columns int) []int {
		list := make([]int, n)
		for i := range list {
			list[i] = rows * columns
		}
		return list
	}
}

// columned has some slices with an element per row and column, then some with one per column.
func columned(matrices, columns int) func(rows, columns int) []int {
	return func(r, c int) []int {
		list := same(matrices)(r, c)
		for range columns {
			list = append(list, c)
		}
		return list
	}
}

// cell has a slice of four gates, then others.
func cell(others int) func(rows, columns int) []int {
	return func(r, c int) []int { return append([]int{4 * r * c}, same(others)(r, c)...) }
}

var kernelCases = []kernelCase{
	{"Add", same(2), func(x [][]float32) { Add(x[0], x[1]) }},
	{"Mul", same(2), func(x [][]float32) { Mul(x[0], x[1]) }},
	{"Scale", same(1), func(x [][]float32) { Scale(x[0], 0.3) }},
	{"ReLU", same(2), func(x [][]float32) { ReLU(x[0], x[1]) }},
	{"ReLU in place", same(1), func(x [][]float32) { ReLU(x[0], x[0]) }},
	{"AddReLU", same(3), func(x [][]float32) { AddReLU(x[0], x[1], x[2]) }},
	{"ReLUGrad", same(3), func(x [][]float32) { ReLUGrad(x[0], x[1], x[2]) }},
	{"Exp", same(2), func(x [][]float32) { Exp(x[0], x[1]) }},
	{"Sigmoid", same(2), func(x [][]float32) { Sigmoid(x[0], x[1]) }},
	{"Tanh", same(2), func(x [][]float32) { Tanh(x[0], x[1]) }},
	{"Tanh in place", same(1), func(x [][]float32) { Tanh(x[0], x[0]) }},
	{"Softmax", same(1), func(x [][]float32) { Softmax(x[0]) }},
	{"LSTMCell", cell(4), func(x [][]float32) { LSTMCell(x[0], x[1], x[2], x[3], x[4]) }},
	{"LSTMCell in place", cell(2), func(x [][]float32) { LSTMCell(x[0], x[1], x[1], x[2], x[2]) }},
	{"LSTMCellGrad", cell(4), func(x [][]float32) { LSTMCellGrad(x[0], x[1], x[2], x[3], x[4]) }},
	{"Adam", same(4), func(x [][]float32) {
		for i, v := range x[3] {
			x[3][i] = v * v
		}
		Adam(x[0], x[1], x[2], x[3], AdamRates{Beta1: 0.9, Beta2: 0.999, Step: 0.01, Root: 3, Eps: 1e-8, Keep: 0.999})
	}},
	{"Affine", columned(2, 2), func(x [][]float32) { Affine(x[0], x[1], x[2], x[3]) }},
	{"AffineReLU", columned(2, 2), func(x [][]float32) { AffineReLU(x[0], x[1], x[2], x[3]) }},
	{"Affine2", columned(3, 3), func(x [][]float32) { Affine2(x[0], x[1], x[2], x[3], x[4], x[5]) }},
	{"Affine2 in place", columned(2, 3), func(x [][]float32) { Affine2(x[0], x[0], x[1], x[2], x[3], x[4]) }},
	{"AddColumnSums", columned(1, 1), func(x [][]float32) { AddColumnSums(x[1], x[0]) }},
	{"AddSquaredDeviations", columned(1, 2), func(x [][]float32) { AddSquaredDeviations(x[1], x[0], x[2]) }},
	{"AddGradSums", columned(2, 3), func(x [][]float32) { AddGradSums(x[2], x[3], x[0], x[1], x[4]) }},
}

// awkward draws normal numbers, with zeros of both signs, infinities, NaN, huge and tiny numbers
// among them.
func awkward(r *rand.Rand) func() float32 {
	strange := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)),
		float32(math.NaN()), 1e-42, -1e-42, 3e38, -3e38, 88.5, -87.5, 104, -104, 9.5, -9.5, 0.5 * math.Ln2, 1e-5}
	return func() float32 {
		switch r.IntN(12) {
		case 0:
			return strange[r.IntN(len(strange))]
		case 1:
			return float32(r.NormFloat64() * 40)
		}
		return float32(r.NormFloat64())
	}
}

// Every variant leaves the same bits in every slice as the plain one and touches nothing else.
func TestElementwise(t *testing.T) {
	columns := []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129}
	var mem [6]*buffer
	for i := range mem {
		mem[i] = newBuffer(t, 1<<12)
	}
	before := active
	defer func() { active = before }()
	for _, k := range kernelCases {
		t.Run(k.name, func(t *testing.T) {
			for _, c := range columns {
				for _, rows := range []int{1, 2, 3, 7} {
					checkElementwise(t, k, mem[:], rows, c, uint64(rows*1000+c))
				}
			}
		})
	}
}

func checkElementwise(t *testing.T, k kernelCase, mem []*buffer, rows, columns int, seed uint64) {
	t.Helper()
	sizes := k.sizes(rows, columns)
	fill := func(v variant) [][]float32 {
		active = v
		next := awkward(rand.New(rand.NewPCG(seed, 7)))
		var x [][]float32
		for i, n := range sizes {
			x = append(x, mem[i].last(n, next))
		}
		k.run(x)
		var copies [][]float32
		for i, n := range sizes {
			mem[i].check(t, fmt.Sprintf("%s, %v, slice %d", k.name, v, i), n)
			copies = append(copies, append([]float32(nil), x[i]...))
		}
		return copies
	}
	want := fill(plain)
	for _, v := range supported() {
		got := fill(v)
		for i := range sizes {
			for j := range got[i] {
				g, w := got[i][j], want[i][j]
				if math.Float32bits(g) != math.Float32bits(w) && !(g != g && w != w) {
					t.Fatalf("%s, %v, %d rows of %d: slice %d holds %v at %d, want %v as the plain variant", k.name, v, rows, columns, i, g, j, w)
				}
			}
		}
	}
}

func FuzzElementwise(f *testing.F) {
	f.Add(uint64(1), uint8(3), uint8(17))
	f.Fuzz(func(t *testing.T, seed uint64, rows, columns uint8) {
		var mem [6]*buffer
		for i := range mem {
			mem[i] = newBuffer(t, 1<<13)
		}
		before := active
		defer func() { active = before }()
		for _, k := range kernelCases {
			checkElementwise(t, k, mem[:], int(rows%8), int(columns), seed)
		}
	})
}

// ulps is the distance of got from want in units of the last place of want.
func ulps(got float32, want float64) float64 {
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
}

// The stated error bounds, on a grid that is dense where the functions bend.
func TestAccuracy(t *testing.T) {
	tests := []struct {
		name     string
		f        func(dst, x []float32)
		exact    func(x float64) float64
		from, to float64
		bound    float64
	}{
		{"Exp", Exp, math.Exp, -87.3, 88.7, 1.3},
		{"Sigmoid", Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, -87, 100, 2.5},
		{"Tanh", Tanh, math.Tanh, -12, 12, 3},
		{"Tanh near 0", Tanh, math.Tanh, -0x1p-8, 0x1p-8, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			const n = 1 << 20
			x, y := make([]float32, n), make([]float32, n)
			for i := range x {
				x[i] = float32(test.from + (test.to-test.from)*float64(i)/(n-1))
			}
			test.f(y, x)
			worst, at := 0.0, 0
			for i := range x {
				if d := ulps(y[i], test.exact(float64(x[i]))); !(d <= worst) {
					worst, at = d, i
				}
			}
			t.Logf("worst error %.3f units in the last place, at %v", worst, x[at])
			if !(worst <= test.bound) {
				t.Errorf("error %.3f units in the last place at %v (got %v, want %v), want at most %v", worst, x[at], y[at], test.exact(float64(x[at])), test.bound)
			}
		})
	}
}

// The stated bound, on rows of which some have one large value, others many.
func TestSoftmaxAccuracy(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(24, 25))
		for n := 1; n < 400; n += 1 + n/7 {
			for _, spread := range []float64{0.01, 1, 10, 25} {
				x := randomFloats(r, n)
				top := float32(math.Inf(-1))
				for i := range x {
					x[i] *= float32(spread)
					top = max(top, x[i])
				}
				sum, want := 0.0, make([]float64, n)
				for i, v := range x {
					want[i] = math.Exp(float64(v) - float64(top))
					sum += want[i]
				}
				y := append([]float32(nil), x...)
				Softmax(y)
				for i := range y {
					w := want[i] / sum
					bound := (float64(top) - float64(x[i]) + math.Log(float64(n)) + 8) * 0x1p-24 * w
					if w > 0x1p-126 && !(math.Abs(float64(y[i])-w) <= bound) {
						t.Fatalf("value %d of %d, %v below the largest: %v, want %v ± %.3g", i, n, top-x[i], y[i], w, bound)
					}
				}
			}
		}
	})
}

func TestExtremes(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	tests := []struct {
		name    string
		f       func(dst, x []float32)
		x, want float32
	}{
		{"Exp", Exp, inf, inf}, {"Exp", Exp, -inf, 0}, {"Exp", Exp, nan, nan}, {"Exp", Exp, 0, 1}, {"Exp", Exp, 89, inf},
		{"Sigmoid", Sigmoid, inf, 1}, {"Sigmoid", Sigmoid, nan, nan}, {"Sigmoid", Sigmoid, 0, 0.5},
		{"Tanh", Tanh, inf, 1}, {"Tanh", Tanh, -inf, -1}, {"Tanh", Tanh, nan, nan}, {"Tanh", Tanh, 0, 0}, {"Tanh", Tanh, 1e-40, 1e-40},
		{"ReLU", ReLU, nan, nan}, {"ReLU", ReLU, -inf, 0}, {"ReLU", ReLU, inf, inf},
	}
	eachVariant(t, func(t *testing.T) {
		for _, test := range tests {
			y := []float32{0}
			test.f(y, []float32{test.x})
			if y[0] != test.want && !(y[0] != y[0] && test.want != test.want) {
				t.Errorf("%s(%v) = %v, want %v", test.name, test.x, y[0], test.want)
			}
		}
		low := []float32{-1e30}
		Sigmoid(low, low)
		if !(low[0] >= 0 && low[0] < 0x1p-125) {
			t.Errorf("Sigmoid(-1e30) = %v, want less than 2^-125", low[0])
		}
	})
}

func TestSumSquares(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for n := range 40 {
		x := randomFloats(r, n)
		want := 0.0
		for _, v := range x {
			want += float64(v) * float64(v)
		}
		if got := SumSquares(x); math.Abs(got-want) > 1e-14*want {
			t.Errorf("sum of %d squares is %v, want %v", n, got, want)
		}
	}
}

func TestColumnsRefuse(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("7 values as rows of 3: no panic")
		}
	}()
	AddColumnSums(make([]float32, 3), make([]float32, 7))
}
