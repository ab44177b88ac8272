//go:build !amd64 || purego

package kernel

func squares(s *[32]float64, x []float32) { squaresPlain(s, x) }
