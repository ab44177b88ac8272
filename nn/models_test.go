package nn_test

import (
	"math"
	"slices"

	"github.com/weirnet/weir/nn"
)

// batch is the input of the test networks: whatever each of them reads of it.
type batch struct {
	x       []float32 // images, rows of sequences, or windows
	text    []uint16  // (packets, places)
	sizes   []uint16  // (packets)
	scalars []float32 // (packets, 2)
	lengths []int     // rows per sequence; nil where a sample is one row
	labels  []int32   // one per sample, or one per row
	weights []float32 // like labels; nil for 1 each
}

// cut returns samples [lo, hi) of n.
func (b *batch) cut(lo, hi, n int) *batch {
	rowLo, rowHi, rows := lo, hi, n
	if b.lengths != nil {
		rowLo, rowHi, rows = sum(b.lengths[:lo]), sum(b.lengths[:hi]), sum(b.lengths)
	}
	part := &batch{
		x: share(b.x, rowLo, rowHi, rows), text: share(b.text, rowLo, rowHi, rows),
		sizes: share(b.sizes, rowLo, rowHi, rows), scalars: share(b.scalars, rowLo, rowHi, rows),
		labels: share(b.labels, lo, hi, n), weights: share(b.weights, lo, hi, n),
	}
	if len(b.labels) == rows {
		part.labels, part.weights = share(b.labels, rowLo, rowHi, rows), share(b.weights, rowLo, rowHi, rows)
	}
	if b.lengths != nil {
		part.lengths = b.lengths[lo:hi]
	}
	return part
}

// share returns rows [lo, hi) of x, which has that many rows of any width.
func share[T any](x []T, lo, hi, rows int) []T {
	width := len(x) / rows
	return x[lo*width : hi*width]
}

func sum(lengths []int) int {
	total := 0
	for _, n := range lengths {
		total += n
	}
	return total
}

// network is a model put together by hand, with its loss.
type network interface {
	nn.Model
	forward(p nn.Pass, b *batch) []float32
	total(b *batch) float64 // what a mean of the loss divides by
	loss(y []float32, b *batch, scale float64) float64
	backward(dy []float32)
}

// imageNet is the packet network of paper A: a stem, three bottleneck blocks, a dense layer.
type imageNet struct {
	layers nn.Sequential
	nn.CrossEntropy
}

func newImageNet(stem int, blocks [3]int, classes int) *imageNet {
	first := nn.NewConv2D("stem", nn.Image{Height: 28, Width: 28, Channels: 1}, stem, 3, 2, 1)
	first.Leaf = true
	block1 := nn.NewBottleneck("block1", first.Out, blocks[0]/4, blocks[0], 1)
	block2 := nn.NewBottleneck("block2", block1.Out, blocks[1]/4, blocks[1], 2)
	block3 := nn.NewBottleneck("block3", block2.Out, blocks[2]/4, blocks[2], 2)
	return &imageNet{
		layers: nn.Sequential{
			nn.NewConvNorm(first, nn.NewBatchNormReLU("bn", stem)), block1, block2, block3,
			nn.NewGlobalAvgPool(block3.Out), nn.NewDense("dense", blocks[2], classes),
		},
		CrossEntropy: nn.CrossEntropy{Classes: classes},
	}
}

func (m *imageNet) Params() []*nn.Param                   { return m.layers.Params() }
func (m *imageNet) forward(p nn.Pass, b *batch) []float32 { return m.layers.Forward(p, b.x) }
func (m *imageNet) backward(dy []float32)                 { m.layers.Backward(dy) }
func (m *imageNet) total(b *batch) float64                { return m.Total(b.labels, b.weights) }
func (m *imageNet) loss(y []float32, b *batch, scale float64) float64 {
	return m.Loss(y, b.labels, b.weights, scale)
}

// sequenceNet is the flow network of paper A: an LSTM over rows of bytes, a class from the last.
type sequenceNet struct {
	lstm  *nn.LSTM
	last  nn.LastStep
	dense *nn.Dense
	nn.CrossEntropy
}

func newSequenceNet(in, hidden, classes int) *sequenceNet {
	m := &sequenceNet{
		lstm:         nn.NewLSTM("lstm", in, hidden, 2, 0),
		last:         nn.LastStep{Width: hidden},
		dense:        nn.NewDense("dense", hidden, classes),
		CrossEntropy: nn.CrossEntropy{Classes: classes},
	}
	m.lstm.Leaf = true
	return m
}

func (m *sequenceNet) Params() []*nn.Param { return append(m.lstm.Params(), m.dense.Params()...) }
func (m *sequenceNet) forward(p nn.Pass, b *batch) []float32 {
	return m.dense.Forward(p, m.last.Forward(m.lstm.Forward(p, b.x, b.lengths), b.lengths))
}
func (m *sequenceNet) backward(dy []float32) {
	m.lstm.Backward(m.last.Backward(m.dense.Backward(dy)))
}
func (m *sequenceNet) total(b *batch) float64 { return m.Total(b.labels, b.weights) }
func (m *sequenceNet) loss(y []float32, b *batch, scale float64) float64 {
	return m.Loss(y, b.labels, b.weights, scale)
}

// windowNet is the network of paper B: three windows through an LSTM, trained to give them back.
type windowNet struct {
	features int
	lstm     *nn.LSTM
	dense    *nn.Dense
}

func newWindowNet(features, hidden int) *windowNet {
	m := &windowNet{features, nn.NewLSTM("lstm", features, hidden, 1, 0), nn.NewDense("dense", hidden, features)}
	m.lstm.Leaf = true
	return m
}

func (m *windowNet) Params() []*nn.Param { return append(m.lstm.Params(), m.dense.Params()...) }
func (m *windowNet) forward(p nn.Pass, b *batch) []float32 {
	return m.dense.Forward(p, m.lstm.Forward(p, b.x, b.lengths))
}
func (m *windowNet) backward(dy []float32)  { m.lstm.Backward(m.dense.Backward(dy)) }
func (m *windowNet) total(b *batch) float64 { return float64(len(b.x)) }
func (m *windowNet) loss(y []float32, b *batch, scale float64) float64 {
	return nn.MSE(y, b.x, m.features, nil, scale)
}

// stepNet reads packets of bytes one by one and says a class after each: bytes to vectors,
// convolution, dense; beside the vector of the packet's length and two scalars into an LSTM; a
// head at every step. The encoder sees all packets of all flows as one batch.
type stepNet struct {
	bytes   *nn.Embedding
	encoder nn.Sequential
	sizes   *nn.Embedding
	join    nn.Concat
	lstm    *nn.LSTM
	drop    *nn.Dropout
	head    *nn.Dense
	nn.CrossEntropy
}

type stepShape struct {
	vocabulary, vector, places, channels int
	encoding, sizes, sizeVector          int
	hidden, classes                      int
	dropout                              float64
}

func newStepNet(s stepShape) *stepNet {
	conv := nn.NewConv1D("conv", s.places, s.vector, s.channels, 8, 4)
	dense := nn.NewDense("dense", conv.Out.Size(), s.encoding)
	dense.Bias = nil
	return &stepNet{
		bytes: nn.NewEmbedding("embedding", s.vocabulary, s.vector),
		encoder: nn.Sequential{
			nn.NewConvNorm(conv, nn.NewBatchNormReLU("bn1", s.channels)),
			dense, nn.NewBatchNormReLU("bn2", s.encoding),
		},
		sizes:        nn.NewEmbedding("size_embedding", s.sizes, s.sizeVector),
		join:         nn.Concat{Widths: []int{s.encoding, s.sizeVector, 2}},
		lstm:         nn.NewLSTM("lstm", s.encoding+s.sizeVector+2, s.hidden, 1, 0),
		drop:         nn.NewDropout("drop", s.dropout),
		head:         nn.NewDense("head", s.hidden, s.classes),
		CrossEntropy: nn.CrossEntropy{Classes: s.classes},
	}
}

func (m *stepNet) Params() []*nn.Param {
	return slices.Concat(m.bytes.Params(), m.encoder.Params(), m.sizes.Params(), m.lstm.Params(), m.head.Params())
}

func (m *stepNet) forward(p nn.Pass, b *batch) []float32 {
	packets := m.encoder.Forward(p, m.bytes.Forward(b.text))
	rows := m.join.Forward(packets, m.sizes.Forward(b.sizes), b.scalars)
	return m.head.Forward(p, m.drop.Forward(p, m.lstm.Forward(p, rows, b.lengths)))
}

func (m *stepNet) backward(dy []float32) {
	parts := m.join.Backward(m.lstm.Backward(m.drop.Backward(m.head.Backward(dy))))
	m.bytes.Backward(m.encoder.Backward(parts[0]))
	m.sizes.Backward(parts[1])
}

func (m *stepNet) total(b *batch) float64 { return m.Total(b.labels, b.weights) }
func (m *stepNet) loss(y []float32, b *batch, scale float64) float64 {
	return m.Loss(y, b.labels, b.weights, scale)
}

// sample makes a random batch for a network of the kind of m.
func sample(m network, n int, seed uint64) *batch {
	r := nn.NewRand(seed)
	below := func(k int) int { return int(r.Uint64() % uint64(k)) }
	values := func(count int) []float32 {
		x := make([]float32, count)
		nn.Uniform(1)(r, x)
		return x
	}
	indices := func(count, below int) []uint16 {
		x := make([]uint16, count)
		for i := range x {
			x[i] = uint16(r.Uint64() % uint64(below))
		}
		return x
	}
	b := &batch{}
	classes := 1
	switch m := m.(type) {
	case *imageNet:
		classes = m.Classes
		b.x = values(n * 28 * 28)
	case *sequenceNet:
		classes = m.Classes
		for range n {
			b.lengths = append(b.lengths, 1+below(10))
		}
		b.x = values(sum(b.lengths) * m.lstm.In)
	case *windowNet:
		b.lengths = slices.Repeat([]int{3}, n)
		b.x = values(n * 3 * m.features)
	case *stepNet:
		classes = m.Classes
		for range n {
			b.lengths = append(b.lengths, 1+below(10))
		}
		packets := sum(b.lengths)
		b.text = indices(packets*m.encoder[0].(*nn.ConvNorm).Conv.In.Width, m.bytes.Count)
		b.sizes = indices(packets, m.sizes.Count)
		b.scalars = values(packets * 2)
		b.labels = make([]int32, packets)
	}
	if b.labels == nil {
		b.labels = make([]int32, n)
	}
	b.weights = make([]float32, len(b.labels))
	for i := range b.labels {
		b.labels[i] = int32(below(classes))
		b.weights[i] = float32(below(3))
	}
	return b
}

// smallNets are the four networks, narrow.
var smallNets = map[string]func() network{
	"cnn":    func() network { return newImageNet(4, [3]int{8, 16, 32}, 5) },
	"flow":   func() network { return newSequenceNet(49, 8, 5) },
	"window": func() network { return newWindowNet(20, 16) },
	"steps": func() network {
		return newStepNet(stepShape{
			vocabulary: 32, vector: 4, places: 32, channels: 6, encoding: 12, sizes: 10, sizeVector: 3, hidden: 10, classes: 5,
		})
	},
}

// fullNets are the four networks as wide as they are used.
var fullNets = map[string]func() network{
	"cnn":    func() network { return newImageNet(16, [3]int{64, 128, 256}, 27) },
	"flow":   func() network { return newSequenceNet(784, 128, 27) },
	"window": func() network { return newWindowNet(53, 64) },
	"steps": func() network {
		return newStepNet(stepShape{
			vocabulary: 257, vector: 8, places: 256, channels: 32, encoding: 96, sizes: 2048, sizeVector: 16, hidden: 128, classes: 27,
		})
	},
}

// near reports how far got is from want, relative to the largest value of want.
func near(got []float32, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	worst, top := 0.0, 1e-30
	for i, w := range want {
		worst = math.Max(worst, math.Abs(float64(got[i])-float64(w)))
		top = math.Max(top, math.Abs(float64(w)))
		if got[i] != got[i] {
			return math.Inf(1)
		}
	}
	return worst / top
}
