// Package safetensors reads and writes named float32 tensors in the safetensors format
// (https://huggingface.co/docs/safetensors): eight bytes of header length, a JSON header, the
// values. PyTorch, NumPy and JAX read and write the same files.
//
// Only F32 is supported: it is what weir trains in. The reader is made for files from strangers:
// it refuses whatever the format does not allow, and never allocates more than the file is long.
package safetensors

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
