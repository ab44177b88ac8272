package kernel

import "fmt"

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
	t.check(len(dst), n)
	for i := range n {
		y := dst[i*t.width : (i+1)*t.width]
		sumRows(y, t.rows, text[i*t.stride:][:t.window], t.symbols, t.symbols)
		if relu {
			ReLU(y, y)
		}
	}
}

// Bytes writes the nearest bytes to the same sums: uint8(min(max(0, roundToEven(y)), 255)).
func (t *Table) Bytes(dst []uint8, text []uint16) {
	n := t.Places(len(text))
	t.check(len(dst), n)
	y := make([]float32, t.width)
	for i := range n {
		sumRows(y, t.rows, text[i*t.stride:][:t.window], t.symbols, t.symbols)
		Quantise(dst[i*t.width:(i+1)*t.width], y, 1, 0)
	}
}

func (t *Table) check(dst, places int) {
	if dst < places*t.width {
		panic(fmt.Sprintf("kernel: table: %d values for %d rows of %d", dst, places, t.width))
	}
}

// SumRows is dst = Σ table[i] over the index, in its order, for a table of rows as long as dst;
// zeros for none. A row that the table does not have panics.
func SumRows(dst, table []float32, index []uint16) {
	sumRows(dst, table, index, len(table)/max(1, len(dst)), 0)
}

// sumRows is dst = Σ table[w·step + index[w]], where every index must be below limit.
func sumRows(dst, table []float32, index []uint16, limit, step int) {
	clear(dst)
	for w, k := range index {
		if int(k) >= limit {
			panic(fmt.Sprintf("kernel: row %d of a table of %d", k, limit))
		}
		row := table[(w*step+int(k))*len(dst):][:len(dst)]
		if w == 0 {
			copy(dst, row)
			continue
		}
		add(dst, row)
	}
}
