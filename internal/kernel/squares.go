package kernel

// SumSquares returns Σ x². The products are exact; they are added in float64, in 32 sums of every
// 32nd element, which are then added in pairs. It gives the same bits in every variant.
//
//	for i, v := range x {
//		s[i%32] += v * v
//	}
func SumSquares(x []float32) float64 {
	var s [32]float64
	whole := len(x) &^ 31
	if whole > 0 {
		squares(&s, x[:whole])
	}
	squaresPlain(&s, x[whole:])
	for half := 16; half > 0; half /= 2 {
		for i := range half {
			s[i] += s[i+half]
		}
	}
	return s[0]
}

func squaresPlain(s *[32]float64, x []float32) {
	for ; len(x) >= 32; x = x[32:] {
		for i, v := range x[:32] {
			s[i] += float64(v) * float64(v)
		}
	}
	for i, v := range x {
		s[i] += float64(v) * float64(v)
	}
}
