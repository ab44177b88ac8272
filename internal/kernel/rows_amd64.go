//go:build !purego

package kernel

//go:noescape
func copyStridedAVX512(dst, src *float32, n, width, dstStep, srcStep int)

//go:noescape
func copyStridedAVX2(dst, src *float32, n, width, dstStep, srcStep int)

func copyStrided(dst, src []float32, n, width, dstStep, srcStep int) {
	switch active {
	case avx512, avx512VNNI:
		copyStridedAVX512(&dst[0], &src[0], n, width, dstStep, srcStep)
	case avx2, avx2VNNI:
		copyStridedAVX2(&dst[0], &src[0], n, width, dstStep, srcStep)
	default:
		copyStridedPlain(dst, src, n, width, dstStep, srcStep)
	}
}

//go:noescape
func addStridedAVX512(dst, src *float32, n, width, dstStep, srcStep int)

//go:noescape
func addStridedAVX2(dst, src *float32, n, width, dstStep, srcStep int)

func addStrided(dst, src []float32, n, width, dstStep, srcStep int) {
	switch active {
	case avx512, avx512VNNI:
		addStridedAVX512(&dst[0], &src[0], n, width, dstStep, srcStep)
	case avx2, avx2VNNI:
		addStridedAVX2(&dst[0], &src[0], n, width, dstStep, srcStep)
	default:
		addStridedPlain(dst, src, n, width, dstStep, srcStep)
	}
}

//go:noescape
func scatterRowsAVX512(table *float32, index *uint16, x *float32, n, width, step int)

//go:noescape
func scatterRowsAVX2(table *float32, index *uint16, x *float32, n, width, step int)

func scatterRows(table []float32, index []uint16, x []float32, width, step int) {
	switch active {
	case avx512, avx512VNNI:
		scatterRowsAVX512(&table[0], &index[0], &x[0], len(index), width, step)
	case avx2, avx2VNNI:
		scatterRowsAVX2(&table[0], &index[0], &x[0], len(index), width, step)
	default:
		scatterRowsPlain(table, index, x, width, step)
	}
}
