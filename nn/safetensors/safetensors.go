// Package safetensors reads and writes named float32 tensors in the safetensors format
// (https://huggingface.co/docs/safetensors): eight bytes of header length, a JSON header, the
// values. PyTorch, NumPy and JAX read and write the same files.
//
// Only F32 is supported: it is what weir trains in. The reader is made for files from strangers:
// it refuses whatever the format does not allow, and allocates no more than a small multiple of
// the bytes that are really there.
//
//	err := safetensors.Write(w, &safetensors.File{
//		Metadata: map[string]string{"features": "3"},
//		Tensors:  map[string]safetensors.Tensor{"head.bias": {Shape: []int{2}, Data: []float32{0, 1}}},
//	})
package safetensors

import (
	"fmt"
	"math"
	"slices"
)

// Tensor is a row-major float32 array. A tensor without dimensions is a scalar and holds one value.
type Tensor struct {
	Shape []int
	Data  []float32
}

// File is the content of a safetensors file.
type File struct {
	Metadata map[string]string
	Tensors  map[string]Tensor
}

// metadataKey is the one name in a header that is no tensor.
const metadataKey = "__metadata__"

// maxHeader is the format's own limit of a header's length in bytes.
const maxHeader = 100_000_000

// size returns the number of values of a shape, or an error when a dimension is negative or the
// bytes would not fit in an int.
func size(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", shape)
		}
		if d > 0 && n > math.MaxInt/4/d {
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		n *= d
	}
	return n, nil
}

// names returns the names of the tensors in the order in which they are written.
func (f *File) names() []string {
	names := make([]string, 0, len(f.Tensors))
	for name := range f.Tensors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
