//go:build !amd64 || purego

package kernel

func copyStrided(dst, src []float32, n, width, dstStep, srcStep int) {
	copyStridedPlain(dst, src, n, width, dstStep, srcStep)
}

func addStrided(dst, src []float32, n, width, dstStep, srcStep int) {
	addStridedPlain(dst, src, n, width, dstStep, srcStep)
}

func scatterRows(table []float32, index []uint16, x []float32, width, step int) {
	scatterRowsPlain(table, index, x, width, step)
}
