//go:build !purego

package kernel

import "unsafe"

//go:noescape
func sumRowsAVX512(s *lookup)

//go:noescape
func sumRowsAVX2(s *lookup)

//go:noescape
func quantiseAVX512(dst *uint8, x *float32, vectors int, scale, zero float32)

//go:noescape
func quantiseAVX2(dst *uint8, x *float32, vectors int, scale, zero float32)

//go:noescape
func averageBytesAVX512(dst *float32, x *uint8, rows, columns, vectors int, scale float32)

//go:noescape
func averageBytesAVX2(dst *float32, x *uint8, rows, columns, vectors int, scale float32)

// lookup is the work of sumRows as the assembly takes it. Distances are bytes.
type lookup struct {
	dst, rows, text unsafe.Pointer
	row             int // from a row to the next
	place           int // from the rows of a place of the window to those of the next
	window          int // rows of a sum
	stride          int // in the text, from sum to sum
	sums            int
	width           int // floats of a row
	floor           float32
}

func sumRows(dst, table []float32, text []uint16, s sums) {
	if active == plain || len(dst) == 0 {
		sumRowsPlain(dst, table, text, s)
		return
	}
	checkIndex(text, s.symbols)
	l := lookup{
		dst: unsafe.Pointer(&dst[0]), rows: unsafe.Pointer(&table[0]), text: unsafe.Pointer(&text[0]),
		row: 4 * s.width, place: 4 * s.width * s.place, window: s.window, stride: 2 * s.stride,
		sums: len(dst) / s.width, width: s.width, floor: s.floor,
	}
	switch active {
	case avx512, avx512VNNI:
		sumRowsAVX512(&l)
	default:
		sumRowsAVX2(&l)
	}
}

func quantise(dst []uint8, x []float32, scale, zero float32) {
	done := 0
	switch active {
	case avx512, avx512VNNI:
		if n := len(x) / 16; n > 0 {
			quantiseAVX512(&dst[0], &x[0], n, scale, zero)
			done = 16 * n
		}
	case avx2, avx2VNNI:
		if n := len(x) / 8; n > 0 {
			quantiseAVX2(&dst[0], &x[0], n, scale, zero)
			done = 8 * n
		}
	}
	quantisePlain(dst[done:], x[done:], scale, zero)
}

func averageBytes(dst []float32, x []uint8, scale float32) {
	rows, done := len(x)/max(1, len(dst)), 0
	if rows > 0 {
		switch active {
		case avx512, avx512VNNI:
			if n := len(dst) / 16; n > 0 {
				averageBytesAVX512(&dst[0], &x[0], rows, len(dst), n, scale)
				done = 16 * n
			}
		case avx2, avx2VNNI:
			if n := len(dst) / 8; n > 0 {
				averageBytesAVX2(&dst[0], &x[0], rows, len(dst), n, scale)
				done = 8 * n
			}
		}
	}
	averageBytesPlain(dst, x, done, scale)
}
