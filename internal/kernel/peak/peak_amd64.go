//go:build !purego

package peak

//go:noescape
func loopFloatsAVX512(rounds int)

//go:noescape
func loopFloatsAVX2(rounds int)

//go:noescape
func loopBytesAVX512VNNI(rounds int)

//go:noescape
func loopBytesAVX512(rounds int)

//go:noescape
func loopBytesAVX2VNNI(rounds int)

//go:noescape
func loopBytesAVX2(rounds int)

// Floats returns the loop of a variant of package kernel that multiplies floats, false for one
// without vectors. The machine must be able to run the variant.
func Floats(variant string) (Loop, bool) {
	switch variant {
	case "avx512", "avx512-vnni":
		return Loop{28 * 16, loopFloatsAVX512}, true
	case "avx2", "avx2-vnni":
		return Loop{12 * 8, loopFloatsAVX2}, true
	}
	return Loop{}, false
}

// Bytes is Floats for bytes.
func Bytes(variant string) (Loop, bool) {
	switch variant {
	case "avx512-vnni":
		return Loop{28 * 64, loopBytesAVX512VNNI}, true
	case "avx512":
		return Loop{28 * 32, loopBytesAVX512}, true
	case "avx2-vnni":
		return Loop{12 * 32, loopBytesAVX2VNNI}, true
	case "avx2":
		return Loop{12 * 16, loopBytesAVX2}, true
	}
	return Loop{}, false
}
