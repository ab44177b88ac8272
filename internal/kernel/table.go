package kernel

import (
	"fmt"
	"math"
)

// Table is a one-dimensional convolution over a text of symbols, whose products with the symbols'
// vectors are there as rows: one for each symbol at each place of the window. A bias is part of
// the rows of place 0. It is read-only.
type Table struct {
	window, symbols, width, stride int
	rows                           []float32
}

// NewTable copies the rows (window, symbols, width); stride is the number of symbols from window to window.
func NewTable(rows []float32, window, symbols, width, stride int) *Table {
	if window < 1 || symbols < 1 || symbols > 1<<16 || width < 1 || stride < 1 || len(rows) != window*symbols*width {
		panic(fmt.Sprintf("kernel: table of %d values for windows of %d places, %d symbols, rows of %d, stride %d", len(rows), window, symbols, width, stride))
	}
	return &Table{window, symbols, width, stride, append([]float32(nil), rows...)}
}

// Places returns how many windows a text has.
func (t *Table) Places(text int) int {
	if text < t.window {
		return 0
	}
	return (text-t.window)/t.stride + 1
}

// Floats writes a row for each window of the text, one behind the other:
//
//	y = rows[0, text[at]] + rows[1, text[at+1]] + …    // in this order
//	dst[place] = y                                     // max(0, y) with relu
//
// All variants agree in every bit. A symbol that the table does not have panics.
func (t *Table) Floats(dst []float32, text []uint16, relu bool) {
	n := t.Places(len(text))
	if n == 0 {
		return
	}
	if len(dst) < n*t.width {
		panic(fmt.Sprintf("kernel: table: %d values for %d rows of %d", len(dst), n, t.width))
	}
	sumRows(dst[:n*t.width], t.rows, text[:(n-1)*t.stride+t.window],
		sums{window: t.window, symbols: t.symbols, place: t.symbols, stride: t.stride, width: t.width, floor: floor(relu)})
}

// floor is the least value that is written.
func floor(relu bool) float32 {
	if relu {
		return 0
	}
	return float32(math.Inf(-1))
}

// SumRows is dst = Σ table[i] over the index, in its order, for a table of rows as long as dst;
// zeros for none. A row that the table does not have panics.
func SumRows(dst, table []float32, index []uint16) {
	if len(index) == 0 || len(dst) == 0 {
		clear(dst)
		return
	}
	sumRows(dst, table, index, sums{window: len(index), symbols: len(table) / len(dst), width: len(dst), floor: floor(false)})
}
