package nn_test

import (
	"fmt"

	"github.com/weirnet/weir/nn"
)

// talk is a model of several inputs, put together by hand: each message of a conversation is a
// text of 12 letters and a number; the encoder sees all messages of all conversations at once,
// the LSTM follows each conversation, and the head says after every message what it is about.
type talk struct {
	letters *nn.Embedding
	encoder nn.Sequential
	join    nn.Concat
	lstm    *nn.LSTM
	head    *nn.Dense
}

func newTalk() *talk {
	conv := nn.NewConv1D("conv", 12, 4, 8, 3, 1) // 12 places of 4 values to 10 places of 8
	return &talk{
		letters: nn.NewEmbedding("letters", 26, 4),
		encoder: nn.Sequential{conv, nn.NewBatchNormReLU("bn", 8), nn.NewDense("encoder", conv.Out.Size(), 16), &nn.ReLU{}},
		join:    nn.Concat{Widths: []int{16, 1}},
		lstm:    nn.NewLSTM("lstm", 17, 16, 1, 0),
		head:    nn.NewDense("head", 16, 2),
	}
}

func (m *talk) Params() []*nn.Param {
	ps := append(m.letters.Params(), m.encoder.Params()...)
	ps = append(ps, m.lstm.Params()...)
	return append(ps, m.head.Params()...)
}

func (m *talk) Forward(p nn.Pass, text []uint16, numbers []float32, lengths []int) []float32 {
	messages := m.encoder.Forward(p, m.letters.Forward(text))
	return m.head.Forward(p, m.lstm.Forward(p, m.join.Forward(messages, numbers), lengths))
}

func (m *talk) Backward(dy []float32) {
	parts := m.join.Backward(m.lstm.Backward(m.head.Backward(dy)))
	m.letters.Backward(m.encoder.Backward(parts[0]))
}

func Example() {
	// 32 conversations of 3 messages; what one is about shows in its last message alone.
	const conversations, messages, letters = 32, 3, 12
	r := nn.NewRand(1)
	text := make([]uint16, conversations*messages*letters)
	for i := range text {
		text[i] = uint16(r.Uint64() % 26)
	}
	numbers := make([]float32, conversations*messages)
	labels := make([]int32, conversations*messages)
	for i := range labels {
		labels[i] = -1 // only the last message counts
		if i%messages == messages-1 {
			labels[i] = int32(i / messages % 2)
			if labels[i] == 1 {
				copy(text[i*letters+4:], []uint16{7, 8})
			}
		}
	}
	lengths := make([]int, conversations)
	for i := range lengths {
		lengths[i] = messages
	}

	model := newTalk()
	nn.Init(model.Params(), 1)
	replicas := nn.NewReplicas(model, newTalk, 2)
	adam := nn.NewAdam(model.Params(), 0.01)
	rate := nn.CosineRate(0.01, 0, 10, 100)
	loss := nn.CrossEntropy{Classes: 2}
	scale := 1 / loss.Total(labels, nil)
	for step := range uint64(100) {
		replicas.Train(nn.Pass{Seed: 1, Step: step}, conversations, 16, func(m *talk, p nn.Pass, lo, hi int) float64 {
			first, last := lo*messages, hi*messages
			y := m.Forward(p, text[first*letters:last*letters], numbers[first:last], lengths[lo:hi])
			l := loss.Loss(y, labels[first:last], nil, scale) // y is its gradient now
			m.Backward(y)
			return l
		})
		nn.ClipGrad(model.Params(), 1)
		adam.Step(rate(step))
	}

	right := 0
	y := model.Forward(nn.Pass{}, text, numbers, lengths)
	for i, label := range labels {
		if label >= 0 && (y[2*i+1] > y[2*i]) == (label == 1) {
			right++
		}
	}
	fmt.Println(right, "of", conversations)
	// Output: 32 of 32
}
