//go:build !purego

package kernel

//go:noescape
func squaresAVX512(sums *[32]float64, x *float32, groups int)

//go:noescape
func squaresAVX2(sums *[32]float64, x *float32, groups int)

// squares adds the squares of whole groups of 32.
func squares(s *[32]float64, x []float32) {
	switch active {
	case avx512, avx512VNNI:
		squaresAVX512(s, &x[0], len(x)/32)
	case avx2, avx2VNNI:
		squaresAVX2(s, &x[0], len(x)/32)
	default:
		squaresPlain(s, x)
	}
}
