//go:build unix

package main

import (
	"fmt"

	"github.com/weirnet/weir/nn"
)

// training trains one of the papers' networks on one batch of random samples, a step after the other, in
// shards of 16 as weir trains: forward, loss, backward, AdamW.
type training struct {
	replicas *nn.Replicas[*network]
	adam     *nn.Adam
	x        []float32
	labels   []int32
	batch    int
	steps    int // rows of a sample
}

// network is layers with a loss, by sequence where it has an LSTM.
type network struct {
	images nn.Sequential // cnn
	lstm   *nn.LSTM      // flow, windows
	head   *nn.Dense
	loss   nn.CrossEntropy
	mse    bool // windows
	steps  []int
}

func (m *network) Params() []*nn.Param {
	if m.lstm == nil {
		return m.images.Params()
	}
	return append(m.lstm.Params(), m.head.Params()...)
}

// classes is how many labels the networks tell apart.
const classes = 12

func newTraining(name string, batch int) (*training, error) {
	t := &training{batch: batch, steps: 1}
	width := 784
	var build func() *network
	switch name {
	case "cnn":
		build = func() *network {
			stem := nn.NewConv2D("stem", nn.Image{Height: 28, Width: 28, Channels: 1}, 16, 3, 2, 1)
			stem.Leaf = true
			b1 := nn.NewBottleneck("block1", stem.Out, 16, 64, 1)
			b2 := nn.NewBottleneck("block2", b1.Out, 32, 128, 2)
			b3 := nn.NewBottleneck("block3", b2.Out, 64, 256, 2)
			return &network{loss: nn.CrossEntropy{Classes: classes}, images: nn.Sequential{
				stem, nn.NewBatchNormReLU("bn", 16), b1, b2, b3, nn.NewGlobalAvgPool(b3.Out),
				nn.NewDense("dense", 256, 128), new(nn.ReLU), nn.NewDense("head", 128, classes),
			}}
		}
	case "flow":
		t.steps = 10
		build = func() *network {
			m := &network{lstm: nn.NewLSTM("lstm", 784, 128, 2, 0), head: nn.NewDense("head", 128, classes), loss: nn.CrossEntropy{Classes: classes}}
			m.lstm.Leaf = true
			return m
		}
	case "windows":
		t.steps, width = 3, 53
		build = func() *network {
			m := &network{lstm: nn.NewLSTM("lstm", 53, 64, 1, 0), head: nn.NewDense("head", 64, 53), mse: true}
			m.lstm.Leaf = true
			return m
		}
	default:
		return nil, fmt.Errorf("no network %q: there are cnn, flow and windows", name)
	}
	main := build()
	nn.Init(main.Params(), 1)
	t.replicas = nn.NewReplicas(main, build, 1)
	t.adam = nn.NewAdam(main.Params(), 0.01)
	r := nn.NewRand(1)
	t.x = make([]float32, batch*t.steps*width)
	for i := range t.x {
		t.x[i] = float32(r.Float64())
	}
	for range batch * t.steps {
		t.labels = append(t.labels, int32(r.Uint64()%classes))
	}
	return t, nil
}

// shard is how many samples weir computes gradients of at once.
const shard = 16

func (t *training) next() {
	width := len(t.x) / (t.batch * t.steps)
	scale := 1 / float64(t.batch*t.steps)
	t.replicas.Train(nn.Pass{}, t.batch, shard, func(m *network, p nn.Pass, lo, hi int) float64 {
		x := t.x[lo*t.steps*width : hi*t.steps*width]
		if m.lstm == nil {
			y := m.images.Forward(p, x)
			loss := m.loss.Loss(y, t.labels[lo:hi], nil, scale)
			m.images.Backward(y)
			return loss
		}
		m.steps = m.steps[:0]
		for range hi - lo {
			m.steps = append(m.steps, t.steps)
		}
		y := m.head.Forward(p, m.lstm.Forward(p, x, m.steps))
		loss := 0.0
		if m.mse {
			loss = nn.MSE(y, x, width, nil, scale)
		} else {
			loss = m.loss.Loss(y, t.labels[lo*t.steps:hi*t.steps], nil, scale)
		}
		m.lstm.Backward(m.head.Backward(y))
		return loss
	})
	t.adam.Step(1e-4)
}

func (t *training) first() map[string][]float32 {
	t.next()
	return map[string][]float32{}
}
