package kernel

func copyStridedPlain(dst, src []float32, n, width, dstStep, srcStep int) {
	for i := range n {
		copy(dst[i*dstStep:][:width], src[i*srcStep:])
	}
}

func addStridedPlain(dst, src []float32, n, width, dstStep, srcStep int) {
	for i := range n {
		addPlain(dst[i*dstStep:][:width], src[i*srcStep:][:width])
	}
}

func scatterRowsPlain(table []float32, index []uint16, x []float32, width, step int) {
	for i, k := range index {
		addPlain(table[int(k)*width:][:width], x[i*step:][:width])
	}
}
