package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// rowWidths are narrower and wider than vectors of every variant, whole and cut.
var rowWidths = []int{1, 3, 7, 8, 9, 16, 17, 31, 32, 33, 48, 50, 64, 100}

// TestRows runs every variant against the plain loops, at the end of a page and behind canaries.
func TestRows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	dst, src := newBuffer(t, 1<<14), newBuffer(t, 1<<14)
	eachVariant(t, func(t *testing.T) {
		for _, width := range rowWidths {
			for _, n := range []int{1, 2, 5, 14} {
				for _, dstStep := range []int{width, width + 3, (width + 1) / 2} {
					for _, srcStep := range []int{width, width + 5, (width + 2) / 3} {
						name := fmt.Sprintf("%d rows of %d, steps %d and %d", n, width, dstStep, srcStep)
						x := src.last((n-1)*srcStep+width, normal(r))
						y := dst.last((n-1)*dstStep+width, normal(r))
						for _, k := range []struct {
							name       string
							run, plain func(dst, src []float32, n, width, dstStep, srcStep int)
						}{{"CopyRows", CopyRows, copyStridedPlain}, {"AddRows", AddRows, addStridedPlain}} {
							want := append([]float32(nil), y...)
							k.plain(want, x, n, width, dstStep, srcStep)
							k.run(y, x, n, width, dstStep, srcStep)
							if i := sameBits(y, want); i >= 0 {
								t.Fatalf("%s of %s: float %d is %v, want %v", k.name, name, i, y[i], want[i])
							}
							dst.check(t, k.name+" of "+name, len(y))
						}
					}
				}
			}
		}
	})
}

func TestScatterRows(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	tables, rows := newBuffer(t, 1<<14), newBuffer(t, 1<<14)
	eachVariant(t, func(t *testing.T) {
		for _, width := range rowWidths {
			for _, n := range []int{1, 2, 7, 40} {
				const count = 20
				index := make([]uint16, n)
				for i := range index {
					index[i] = uint16(r.IntN(count))
				}
				table := tables.last(count*width, normal(r))
				for _, step := range []int{0, width, width + 2} {
					x := rows.last((n-1)*step+width, normal(r))
					want := append([]float32(nil), table...)
					scatterRowsPlain(want, index, x, width, step)
					ScatterRows(table, index, x, width, step)
					if i := sameBits(table, want); i >= 0 {
						t.Fatalf("ScatterRows of %d rows of %d, step %d: float %d is %v, want %v", n, width, step, i, table[i], want[i])
					}
					tables.check(t, "ScatterRows", len(table))
				}
			}
		}
	})
}

// What does not fit its slices must not reach the assembly.
func TestRowsRefuse(t *testing.T) {
	x := make([]float32, 10)
	for name, f := range map[string]func(){
		"destination too short": func() { CopyRows(x[:9], x, 2, 5, 5, 5) },
		"source too short":      func() { AddRows(x, x[:9], 2, 5, 5, 5) },
		"negative step":         func() { AddRows(x, x, 2, 5, -5, 5) },
		"index beyond table":    func() { ScatterRows(x, []uint16{0, 2}, x, 5, 5) },
		"rows too short":        func() { ScatterRows(x, []uint16{0, 1}, x[:9], 5, 5) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
