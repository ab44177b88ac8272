// Package onnx writes networks as ONNX models and reads ONNX models as networks, so that they come
// from and go to PyTorch, ONNX Runtime and whatever else speaks the format
// (https://github.com/onnx/onnx/blob/main/docs/IR.md). It runs nothing: what it reads is a
// graph.Graph, what it cannot say as one is refused with the operator's name.
//
//	err := onnx.Write(w, &onnx.Model{Graph: g, Metadata: map[string]string{"labels": `["dns","http"]`}})
//	m, err := onnx.Parse(data)
//
// # What is written
//
// Standard operators of opset 13 alone. The batch is the first dimension of every input and output, is
// called "batch" and has no fixed size. An image is (batch, C, H, W), a sequence (batch, W, C), a
// vector (batch, C); bytes are uint8 and indices int64, both (batch, W) when they have one channel.
//
// # What is read
//
// Opsets 7 to 23 with the same shapes of inputs; the operators are those of the table in read.go. ONNX
// keeps channels first and moves axes about; here every value has its channels last. So the reader
// remembers of each ONNX tensor where its elements lie in a value of the graph: transposing,
// flattening and picking steps of a sequence cost nothing, and weights are put in the order of what
// they meet. What would have to move values at run time is refused.
//
// Models may come from strangers: memory is bounded by a small multiple of the file's length and
// 100 MB, and faults name the byte or the operator.
package onnx

import (
	"fmt"
	"io"

	"github.com/weirnet/weir/nn/graph"
)

// Opset is the version of the standard operators that Write uses.
const Opset = 13

// irVersion is that of the file format, the one that came with Opset.
const irVersion = 7

// Model is a network and what its file says of it.
type Model struct {
	Graph    *graph.Graph
	Producer string            // program that wrote it, "pytorch" or "weir"
	Version  string            // of that program
	Metadata map[string]string // free, for people and for programs that know the keys
}

// Write writes a model. It returns an error when the graph has an operator or a size that ONNX
// cannot hold, before anything is written, and that of w otherwise. Equal models give equal bytes.
func Write(w io.Writer, m *Model) error {
	data, err := Marshal(m)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// Marshal returns the bytes that Write writes.
func Marshal(m *Model) ([]byte, error) {
	p, err := export(m)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return p.encode(), nil
}

// Parse reads a model that is in memory. Weights are copied out of data.
func Parse(data []byte) (*Model, error) {
	p, err := decodeModel(data)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	m, err := read(p, len(data))
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return m, nil
}
