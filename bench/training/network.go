//go:build unix

package main

import (
	"fmt"
	"slices"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/nn"
)

// network is one that trains on samples [lo, hi) of a batch of its own.
type network interface {
	nn.Model
	train(p nn.Pass, lo, hi int) float64
}

const (
	classes = 27
	packets = 10 // of each flow
)

// builder returns what makes a network of a kind and a profile; its packets have payloads of so
// many bytes.
func builder(kind, profile string, batch, payload int) (func() network, error) {
	switch kind {
	case "window": // both profiles have the same network
		return func() network { return newWindows(batch) }, nil
	case "flow", "packet":
		arch, err := classify.NewArchitecture(profile, classes)
		if err != nil {
			return nil, err
		}
		if kind == "flow" && arch.RawBytes {
			return func() network { return newRawFlows(&arch, batch, payload) }, nil
		}
		arch.Flow = kind == "flow"
		return func() network { return newApps(arch, batch, payload) }, nil
	}
	return nil, fmt.Errorf("network %q: there are packet, flow and window", kind)
}

// apps is classify's network: packets alone, or flows whose packets the packet network encodes.
type apps struct {
	*classify.Network
	samples []*classify.Sample
}

func newApps(arch classify.Architecture, batch, payload int) *apps {
	r := nn.NewRand(1)
	a := &apps{Network: classify.NewNetwork(arch)}
	for range batch {
		s := &classify.Sample{Class: int32(r.Uint64() % classes), Weight: 1}
		s.Inputs = make([]classify.Input, 1)
		if arch.Flow {
			s.Inputs = make([]classify.Input, packets)
		}
		for i := range s.Inputs {
			in := &s.Inputs[i]
			in.Length = uint16(r.Uint64() % 2048)
			in.Bytes = make([]uint16, arch.Normaliser.Bytes)
			for k := range in.Bytes {
				in.Bytes[k] = uint16(r.Uint64() % 256)
				if k >= payload {
					in.Bytes[k] = 256 // padding
				}
			}
			nn.Uniform(1)(r, in.Scalars[:])
		}
		a.samples = append(a.samples, s)
	}
	return a
}

func (a *apps) train(p nn.Pass, lo, hi int) float64 {
	return a.Train(p, a.samples[lo:hi], float64(len(a.samples)), 0.05)
}

// rawFlows is the paper's flow network alone: an LSTM over rows of bytes, a class after each.
type rawFlows struct {
	lstm   *nn.LSTM
	head   *nn.Dense
	before *nn.Dropout
	after  *nn.Dropout
	loss   nn.CrossEntropy

	bytes   int
	rows    []float32
	labels  []int32
	lengths []int
}

func newRawFlows(arch *classify.Architecture, batch, payload int) *rawFlows {
	n := &rawFlows{
		before: nn.NewDropout("before", arch.Dropout),
		lstm:   nn.NewLSTM("lstm", arch.Normaliser.Bytes, arch.Hidden, arch.Layers, arch.Dropout),
		after:  nn.NewDropout("after", arch.Dropout),
		head:   nn.NewDense("head", arch.Hidden, classes),
		loss:   nn.CrossEntropy{Classes: classes, Smoothing: 0.05},

		bytes:   arch.Normaliser.Bytes,
		rows:    make([]float32, batch*packets*arch.Normaliser.Bytes),
		labels:  make([]int32, batch*packets),
		lengths: slices.Repeat([]int{packets}, batch),
	}
	n.lstm.Leaf = true
	r := nn.NewRand(1)
	for i := range n.rows {
		if i%n.bytes < payload {
			n.rows[i] = float32(r.Uint64()%256) / 255
		}
	}
	for i := range n.labels {
		n.labels[i] = int32(r.Uint64() % classes)
	}
	return n
}

func (n *rawFlows) Params() []*nn.Param { return append(n.lstm.Params(), n.head.Params()...) }

func (n *rawFlows) train(p nn.Pass, lo, hi int) float64 {
	x := n.rows[lo*packets*n.bytes : hi*packets*n.bytes]
	y := n.head.Forward(p, n.after.Forward(p, n.lstm.Forward(p, x, n.lengths[lo:hi])))
	loss := n.loss.Loss(y, n.labels[lo*packets:hi*packets], nil, 1/float64(len(n.labels)))
	n.lstm.Backward(n.after.Backward(n.head.Backward(y)))
	return loss
}

// windows is anomaly's network: three windows through an LSTM, trained to give them back.
type windows struct {
	lstm    *nn.LSTM
	out     *nn.Dense
	x       []float32
	lengths []int
}

const (
	features = 53
	steps    = 3
	hidden   = 64
)

func newWindows(batch int) *windows {
	n := &windows{
		lstm:    nn.NewLSTM("lstm", features, hidden, 1, 0),
		out:     nn.NewDense("out", hidden, features),
		x:       make([]float32, batch*steps*features),
		lengths: slices.Repeat([]int{steps}, batch),
	}
	n.lstm.Leaf = true
	nn.Uniform(1)(nn.NewRand(1), n.x)
	return n
}

func (n *windows) Params() []*nn.Param { return append(n.lstm.Params(), n.out.Params()...) }

func (n *windows) train(p nn.Pass, lo, hi int) float64 {
	x := n.x[lo*steps*features : hi*steps*features]
	y := n.out.Forward(p, n.lstm.Forward(p, x, n.lengths[lo:hi]))
	loss := nn.MSE(y, x, features, nil, 1/float64(len(n.x)))
	n.lstm.Backward(n.out.Backward(y))
	return loss
}
