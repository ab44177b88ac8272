//go:build !amd64 || purego

package kernel

func (f *FloatWeights) multiply(p *FloatProduct, runs [2]Runs) { f.multiplyPlain(p, runs) }
func (b *ByteWeights) multiply(p *ByteProduct, runs [2]Runs)   { b.multiplyPlain(p, runs) }

// words reports whether the variant multiplies words.
func (v variant) words() bool { return false }
