//go:build !amd64 || purego

package kernel

func sumRows(dst, table []float32, text []uint16, s sums) { sumRowsPlain(dst, table, text, s) }

func quantise(dst []uint8, x []float32, scale, zero float32) { quantisePlain(dst, x, scale, zero) }

func averageBytes(dst []float32, x []uint8, scale float32) { averageBytesPlain(dst, x, 0, scale) }
