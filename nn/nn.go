// Package nn trains and runs small neural networks in float32: layers with an explicit Forward
// and Backward, losses, optimisers, and the data-parallel step that spreads a batch over cores.
// It knows no packets, no architectures and no files; nn/safetensors holds weights on disk.
//
// # Values
//
// Activations are []float32, channels last: n images are (n, H, W, C), n texts (n, L, C). A layer
// knows the shape of one sample, so the number of samples is len(x) divided by it. Sequences of
// different lengths are ragged: the rows of sequence 0, then those of sequence 1, with a slice of
// lengths beside them. Nothing is padded, so an encoder, the recurrent layer, the head and the
// loss all see only rows that exist.
//
// # Contract of Forward and Backward
//
// A layer keeps what its Backward needs. The slice that Forward returns belongs to the layer and
// is valid until its next Forward; x must stay unchanged until Backward has run. Backward may
// overwrite dy, adds to the Grad of the layer's parameters, and returns the gradient of x, valid
// until the next Backward. A layer is used by one goroutine, and once per step; for more, build
// the model again and let it [Share] the weights. Buffers are reused: a step allocates nothing
// once the largest batch has been seen.
//
// # The same bits on any machine load
//
// A batch is cut into shards whose number depends only on its size. [Replicas] runs them on any
// number of workers and adds gradients and running statistics in the order of the shards, so that
// the worker count never shows in the result. Batch statistics are those of the shard ("ghost
// batch normalisation", Hoffer et al. 2017). Dropout is a function of seed, step, shard and
// position. Parameters start from a stream of their own, keyed by seed and name.
package nn

import (
	"fmt"

	"github.com/weirnet/weir/nn/graph"
)

// Pass says what a forward pass is for. The zero Pass is evaluation: running statistics, no
// dropout.
type Pass struct {
	Train bool   // batch statistics and dropout
	Seed  uint64 // of the training run
	Step  uint64 // optimiser step, from 0
	Shard int    // position of the shard in its batch, from 0
}

// Layer is what a [Sequential] chains: one input, one output. LSTM, Embedding and the other
// layers with further inputs have the same methods with those inputs added.
type Layer interface {
	Forward(p Pass, x []float32) []float32
	Backward(dy []float32) []float32
	Params() []*Param
	Graph(g *graph.Graph, x graph.Value) graph.Value
}

// Sequential is layers applied one after the other.
type Sequential []Layer

// Forward runs the layers in order.
func (s Sequential) Forward(p Pass, x []float32) []float32 {
	for _, l := range s {
		x = l.Forward(p, x)
	}
	return x
}

// Backward runs the layers in reverse. It returns nil when the first one is a leaf.
func (s Sequential) Backward(dy []float32) []float32 {
	for i := len(s) - 1; i >= 0; i-- {
		dy = s[i].Backward(dy)
	}
	return dy
}

// Params returns the parameters of all layers, in order.
func (s Sequential) Params() []*Param {
	var ps []*Param
	for _, l := range s {
		ps = append(ps, l.Params()...)
	}
	return ps
}

// sized returns a slice of n values, with the memory of buf when it suffices. The values are
// whatever was there.
func sized[T any](buf []T, n int) []T {
	if cap(buf) < n {
		return make([]T, n)
	}
	return buf[:n]
}

// rows returns how many rows of the given width x holds.
func rows(layer string, x []float32, width int) int {
	if width <= 0 || len(x)%width != 0 {
		panic(fmt.Sprintf("nn: %s: %d values are not rows of %d", layer, len(x), width))
	}
	return len(x) / width
}
