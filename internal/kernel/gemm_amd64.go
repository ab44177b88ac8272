//go:build !purego

package kernel

//go:noescape
func tileAVX512(t *tile)

//go:noescape
func tileAVX2(t *tile)

// run computes a tile with the variant in use.
func (t *tile) run() {
	switch active {
	case avx512, avx512VNNI:
		tileAVX512(t)
	case avx2, avx2VNNI:
		tileAVX2(t)
	default:
		t.runPlain()
	}
}
