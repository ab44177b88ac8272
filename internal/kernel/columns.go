package kernel

import "fmt"

// The kernels below walk over matrices whose columns are channels: one number per column stands
// in a slice as long as a row. The number of rows is len(x) divided by that.

// Affine is y = a·x + b, with a and b per column.
func Affine(y, x, a, b []float32) {
	checkRows("Affine", len(y), len(a))
	affine(y, x[:len(y)], a, b[:len(a)])
}

// AffineReLU is y = max(0, a·x + b), with a and b per column.
func AffineReLU(y, x, a, b []float32) {
	checkRows("AffineReLU", len(y), len(a))
	affineReLU(y, x[:len(y)], a, b[:len(a)])
}

// Affine2 is z = a·x + b·y + c, with a, b and c per column.
func Affine2(z, x, y, a, b, c []float32) {
	checkRows("Affine2", len(z), len(a))
	affine2(z, x[:len(z)], y[:len(z)], a, b[:len(a)], c[:len(a)])
}

// AddColumnSums adds Σ x of each column to sums, row after row.
func AddColumnSums(sums, x []float32) {
	checkRows("AddColumnSums", len(x), len(sums))
	columnSums(x, sums)
}

// AddSquaredDeviations adds Σ (x − mean)² of each column to sums, row after row.
func AddSquaredDeviations(sums, x, mean []float32) {
	checkRows("AddSquaredDeviations", len(x), len(sums))
	squaredDeviations(x, mean[:len(sums)], sums)
}

// AddGradSums adds Σ dy of each column to sums and Σ dy·(x − mean) to prods, row after row.
func AddGradSums(sums, prods, dy, x, mean []float32) {
	checkRows("AddGradSums", len(dy), len(sums))
	gradSums(dy, x[:len(dy)], mean[:len(sums)], sums, prods[:len(sums)])
}

func checkRows(name string, values, columns int) {
	if values != 0 && (columns == 0 || values%columns != 0) {
		panic(fmt.Sprintf("kernel: %s: %d values are not rows of %d", name, values, columns))
	}
}
