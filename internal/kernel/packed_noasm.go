//go:build !amd64 || purego

package kernel

func (f *FloatWeights) multiply(p *FloatProduct) { f.multiplyPlain(p) }
func (b *ByteWeights) multiply(p *ByteProduct)   { b.multiplyPlain(p) }

// words reports whether the variant multiplies words.
func (v variant) words() bool { return false }
