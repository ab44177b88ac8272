//go:build !race

package kernel

import "testing"

// Not under the race detector: there sync.Pool forgets at random.
func TestAllocates(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		a, b, c := make([]float32, 64*300), make([]float32, 300*100), make([]float32, 64*100)
		none(t, "three products", func() {
			Gemm(false, false, 64, 100, 300, a, 300, b, 100, 0, c, 100)
			Gemm(false, true, 64, 100, 300, a, 300, b, 300, 1, c, 100)
			Gemm(false, false, 1, 100, 300, a, 300, b, 100, 0, c, 100)
		})
		bytes, out := make([]uint8, 64*300), make([]uint8, 64*100)
		one, two := Runs{Segments: 1, Length: 100}, Runs{Segments: 2, Length: 100}
		floats := PackFloats(b, 100, nil, one, two)
		whole := PackBytes(make([]int8, 300*96), 96, b[:96], b[:96], one, two)
		cut := PackBytes(make([]int8, 300*100), 100, b[:100], b[:100], one, two)
		none(t, "packed products", func() {
			floats.Multiply(&FloatProduct{Grid: Grid{4, 15}, A: [2]Left[float32]{{a, 4500, 300, 0}, {a[100:], 4500, 300, 100}}, Dst: Places[float32]{c, 1600, 100}})
			for _, w := range []*ByteWeights{whole, cut} {
				w.Multiply(&ByteProduct{Grid: Grid{4, 15}, A: [2]Left[uint8]{{bytes, 4500, 300, 0}, {bytes[100:], 4500, 300, 100}},
					Residual: Places[uint8]{out, 1600, 100}, Dst: Places[uint8]{out, 1600, 100}})
			}
		})
		table := NewTable(b, 3, 100, 100, 2)
		text := make([]uint16, 40)
		none(t, "sums of rows", func() {
			table.Floats(c, text, true)
			SumRows(c[:100], b, text)
			Quantise(out, c, 1, 0)
			AverageBytes(c[:100], out, 1)
		})
	})
}

func none(t *testing.T, what string, run func()) {
	t.Helper()
	if got := testing.AllocsPerRun(20, run); got != 0 {
		t.Errorf("%s allocate %v times, want 0", what, got)
	}
}
