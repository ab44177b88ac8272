//go:build !purego

package kernel

//go:noescape
func transpose8AVX2(dst *float32, dstStride int, src *float32, srcStride int, blocks int)

// transpose8 sets dst[p*dstStride+j] = src[j*srcStride+p] for eight j and some p from 0 on, and
// returns how many.
func transpose8(dst []float32, dstStride int, src []float32, srcStride, n int) int {
	blocks := n / 8
	if active == plain || blocks == 0 {
		return 0
	}
	_, _ = dst[(blocks*8-1)*dstStride+7], src[7*srcStride+blocks*8-1]
	transpose8AVX2(&dst[0], dstStride, &src[0], srcStride, blocks)
	return blocks * 8
}
