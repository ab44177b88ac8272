package kernel

// Quantise is dst = uint8(min(max(0, roundToEven(x·scale + zero)), 255)), product and sum rounded
// by themselves; NaN gives 0. dst has the length of x, or more.
func Quantise(dst []uint8, x []float32, scale, zero float32) {
	quantise(dst[:len(x)], x, scale, zero)
}

// AverageBytes is dst = Σ x · scale over the rows of x, which are as long as dst and at most 2^16:
// the sum is exact, then rounded to float32, then multiplied.
func AverageBytes(dst []float32, x []uint8, scale float32) {
	checkRows("AverageBytes", len(x), len(dst))
	averageBytes(dst, x, scale)
}
