package kernel

import "fmt"

// The kernels below move rows that do not lie one behind the other: patches of images, and vectors
// of tables. They give the same bits in every variant.

// CopyRows copies n rows of width floats that start srcStep apart to rows that start dstStep apart.
//
//	for i := range n {
//		copy(dst[i*dstStep:][:width], src[i*srcStep:])
//	}
func CopyRows(dst, src []float32, n, width, dstStep, srcStep int) {
	if checkSteps("CopyRows", len(dst), len(src), n, width, dstStep, srcStep) {
		copyStrided(dst, src, n, width, dstStep, srcStep)
	}
}

// AddRows adds rows instead, one after the other: rows of dst may overlap, dstStep < width.
//
//	for i := range n {
//		dst[i*dstStep+j] += src[i*srcStep+j] // for j < width
//	}
func AddRows(dst, src []float32, n, width, dstStep, srcStep int) {
	if checkSteps("AddRows", len(dst), len(src), n, width, dstStep, srcStep) {
		addStrided(dst, src, n, width, dstStep, srcStep)
	}
}

func checkSteps(name string, dst, src, n, width, dstStep, srcStep int) bool {
	if n < 0 || width < 0 || dstStep < 0 || srcStep < 0 {
		panic(fmt.Sprintf("kernel: %s: %d rows of %d, steps %d and %d", name, n, width, dstStep, srcStep))
	}
	if n == 0 || width == 0 {
		return false
	}
	if dst < (n-1)*dstStep+width || src < (n-1)*srcStep+width {
		panic(fmt.Sprintf("kernel: %s: %d and %d floats for %d rows of %d, steps %d and %d", name, dst, src, n, width, dstStep, srcStep))
	}
	return true
}

// ScatterRows adds a row of x to the row of table that each index names, in the order of the
// indices. Rows have width floats; those of x start step apart, which may be 0. An index beyond the
// table is a bug and panics.
//
//	for i, k := range index {
//		table[k*width+j] += x[i*step+j] // for j < width
//	}
func ScatterRows(table []float32, index []uint16, x []float32, width, step int) {
	if width <= 0 || step < 0 {
		panic(fmt.Sprintf("kernel: ScatterRows: rows of %d, step %d", width, step))
	}
	if len(index) == 0 {
		return
	}
	if len(x) < (len(index)-1)*step+width {
		panic(fmt.Sprintf("kernel: ScatterRows: %d floats for %d rows of %d, step %d", len(x), len(index), width, step))
	}
	checkIndex(index, len(table)/width)
	scatterRows(table, index, x, width, step)
}

// checkIndex panics when an index names a row that a table of so many does not have: it would be another's memory.
func checkIndex(index []uint16, rows int) {
	all, rest := uint16(0), index
	for ; len(rest) >= 4; rest = rest[4:] {
		all |= rest[0] | rest[1] | rest[2] | rest[3]
	}
	for _, k := range rest {
		all |= k
	}
	if int(all) < rows { // no less than any of them, and most often enough
		return
	}
	top := uint16(0)
	for _, k := range index {
		top = max(top, k)
	}
	if int(top) >= rows && len(index) > 0 {
		panic(fmt.Sprintf("kernel: row %d of a table of %d", top, rows))
	}
}
