package nn

import "github.com/weirnet/weir/internal/kernel"

// Embedding is a table of vectors looked up by index: a vector per byte value, per length, per
// position.
type Embedding struct {
	Count, Size int
	Weight      *Param // (Count, Size)

	index []uint16
	y     []float32
}

// NewEmbedding returns a table of count ≤ 65536 vectors, N(0, 1) at the start as in PyTorch.
func NewEmbedding(name string, count, size int) *Embedding {
	if count > 1<<16 {
		panic("nn: an embedding's index has 16 bits")
	}
	return &Embedding{Count: count, Size: size, Weight: newParam(name+".weight", Normal(1), count, size)}
}

// Forward returns (len(index), Size). The index must stay unchanged until Backward; a value of
// Count or more is a bug and panics.
func (e *Embedding) Forward(index []uint16) []float32 {
	e.index = index
	e.y = sized(e.y, len(index)*e.Size)
	for i, k := range index {
		copy(e.y[i*e.Size:(i+1)*e.Size], e.Weight.Value[int(k)*e.Size:(int(k)+1)*e.Size])
	}
	return e.y
}

// Backward adds each row of dy to the gradient of the vector it came from.
func (e *Embedding) Backward(dy []float32) {
	kernel.ScatterRows(e.Weight.grad(), e.index, dy, e.Size, e.Size)
}

// Params returns the table.
func (e *Embedding) Params() []*Param { return []*Param{e.Weight} }
