package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Every variant writes the sums of the doc comment, bit for bit, and touches nothing else.
func TestTable(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(16, 17))
		rowsMem, dstMem := newBuffer(t, 1<<17), newBuffer(t, 1<<14)
		for _, width := range []int{1, 7, 15, 16, 17, 31, 32, 48, 64, 100, 128, 130} {
			for range 6 {
				window, symbols, stride := 1+r.IntN(9), 1+r.IntN(40), 1+r.IntN(6)
				rows := rowsMem.last(window*symbols*width, normal(r))
				for i := range rows {
					rows[i] *= 50
				}
				table := NewTable(rows, window, symbols, width, stride)
				text := make([]uint16, r.IntN(60))
				for i := range text {
					text[i] = uint16(r.IntN(symbols))
				}
				places := table.Places(len(text))
				n := places * width
				want := make([]float32, n)
				for i := range want {
					place, j := i/width, i%width
					for w := range window {
						v := rows[(w*symbols+int(text[place*stride+w]))*width+j]
						if w == 0 {
							want[i] = v
						} else {
							want[i] += v
						}
					}
				}
				floats := dstMem.last(n, normal(r))
				table.Floats(floats, text, false)
				if i := sameBits(floats, want); i >= 0 {
					t.Fatalf("window %d, width %d, stride %d: value %d is %v, want %v", window, width, stride, i, floats[i], want[i])
				}
				table.Floats(floats, text, true)
				for i, v := range want {
					if floats[i] != max(0, v) {
						t.Fatalf("window %d, width %d, stride %d: value %d is %v, want max(0, %v)", window, width, stride, i, floats[i], v)
					}
				}
				rowsMem.check(t, "rows", len(rows))
				dstMem.check(t, "dst", n)
			}
		}
	})
}

func TestSumRows(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(18, 19))
		mem, dstMem := newBuffer(t, 1<<14), newBuffer(t, 1<<10)
		for _, width := range []int{1, 7, 16, 17, 32, 50, 64, 130} {
			for range 6 {
				count := 1 + r.IntN(50)
				table := mem.last(count*width, normal(r))
				index := make([]uint16, r.IntN(30))
				want := make([]float32, width)
				for i := range index {
					index[i] = uint16(r.IntN(count))
					for j := range want {
						want[j] += table[int(index[i])*width+j]
					}
				}
				dst := dstMem.last(width, normal(r))
				SumRows(dst, table, index)
				dstMem.check(t, "dst", width)
				if i := sameBits(dst, want); i >= 0 {
					t.Fatalf("sum of %d rows of %d: value %d is %v, want %v", len(index), width, i, dst[i], want[i])
				}
			}
		}
	})
}

// A symbol that the table does not have is a bug, whichever variant meets it.
func TestTableRefuses(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		table := NewTable(make([]float32, 2*5*16), 2, 5, 16, 1)
		tests := []struct {
			name string
			run  func()
		}{
			{"symbol", func() { table.Floats(make([]float32, 3*16), []uint16{0, 4, 5, 1}, false) }},
			{"last symbol", func() { table.Floats(make([]float32, 3*16), []uint16{0, 4, 1, 65535}, false) }},
			{"row", func() { SumRows(make([]float32, 16), make([]float32, 3*16), []uint16{0, 1, 2, 3}) }},
			{"short destination", func() { table.Floats(make([]float32, 3*16-1), []uint16{0, 4, 2, 1}, false) }},
			{"rows", func() { NewTable(make([]float32, 9), 2, 5, 1, 1) }},
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
	})
}

func TestQuantise(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(20, 21))
		in, out := newBuffer(t, 1<<10), newBuffer(t, 1<<10)
		for n := range 140 {
			next := awkward(r)
			x := in.last(n, func() float32 { return 30 * next() })
			if n > 4 {
				x[0], x[1], x[2], x[3] = 0.25, 0.75, 1.25, 1e30
			}
			dst := out.lastBytes(n, func() uint8 { return 7 })
			Quantise(dst, x, 2, 3)
			out.checkBytes(t, "dst", n)
			for i, v := range x {
				y := float64(v*2 + 3)
				want := uint8(0)
				if y > 0 {
					want = uint8(math.RoundToEven(min(y, 255)))
				}
				if dst[i] != want {
					t.Fatalf("byte %d of %d: %v becomes %d, want %d", i, n, v, dst[i], want)
				}
			}
		}
	})
}

func TestAverageBytes(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(22, 23))
		in, out := newBuffer(t, 1<<10), newBuffer(t, 1<<10)
		for _, width := range []int{1, 3, 15, 16, 17, 32, 63, 64, 100} {
			for rows := range 20 {
				x := in.lastBytes(rows*width, func() uint8 { return uint8(r.Uint32() | 0x80) })
				dst := out.last(width, normal(r))
				AverageBytes(dst, x, 0.37)
				out.check(t, "dst", width)
				for j, got := range dst {
					sum := 0
					for i := range rows {
						sum += int(x[i*width+j])
					}
					if want := float32(sum) * 0.37; got != want {
						t.Fatalf("column %d of %d rows of %d: %v, want %v", j, rows, width, got, want)
					}
				}
			}
		}
	})
}
