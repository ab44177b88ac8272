package classify

import (
	"github.com/weirnet/weir/nn"
)

// Network is the packet network and the flow network of one model. It has the state of a forward
// pass, so each goroutine needs its own; nn.Share lets them use the same weights.
type Network struct {
	Arch Architecture

	packet     packetNetwork
	packetHead *nn.Dense // encoding → class scores

	lengths *nn.Embedding
	concat  *nn.Concat
	before  *nn.Dropout
	lstm    *nn.LSTM
	after   *nn.Dropout
	head    *nn.Dense // state → class scores

	batch    batch
	loss     nn.CrossEntropy
	pixels   []float32
	shifted  []uint16
	dropped  []bool // packets whose encoding was kept from the flow network
	encoding []float32
	state    []float32 // see State
}

// NewNetwork builds the layers of an architecture that passed Check; their weights have no
// values yet.
func NewNetwork(a Architecture) *Network {
	n := &Network{
		Arch:       a,
		packet:     a.newPacketNetwork(),
		packetHead: nn.NewDense("packet.head", a.Encoding, a.Classes),
		loss:       nn.CrossEntropy{Classes: a.Classes},
	}
	if !a.Flow {
		return n
	}
	in := a.Normaliser.Bytes
	if !a.RawBytes {
		n.lengths = nn.NewEmbedding("flow.length", 2*lengthBuckets, a.LengthSize)
		n.lengths.Weight.Init = nn.Normal(0.1) // a length that training never meets should say little
		n.concat = &nn.Concat{Widths: []int{a.Encoding, a.LengthSize, scalars}}
		in = a.Encoding + a.LengthSize + scalars
	}
	n.before = nn.NewDropout("flow.before", a.Dropout)
	n.lstm = nn.NewLSTM("flow.lstm", in, a.Hidden, a.Layers, a.Dropout)
	n.lstm.Leaf = a.RawBytes
	n.after = nn.NewDropout("flow.after", a.Dropout)
	n.head = nn.NewDense("flow.head", a.Hidden, a.Classes)
	return n
}

// Params returns all weights, in a fixed order.
func (n *Network) Params() []*nn.Param {
	ps := append(n.packet.Params(), n.packetHead.Params()...)
	if n.Arch.Flow {
		if n.lengths != nil {
			ps = append(ps, n.lengths.Params()...)
		}
		ps = append(ps, n.lstm.Params()...)
		ps = append(ps, n.head.Params()...)
	}
	return ps
}

// batch is the inputs of several flows, row after row.
type batch struct {
	bytes   []uint16  // (rows, Bytes)
	lengths []uint16  // (rows)
	scalars []float32 // (rows, scalars)
	steps   []int     // rows of each flow
	labels  []int32   // (rows)
	weights []float32 // (rows), of the flow network's loss
	packets []float32 // (rows), of the packet network's loss
}

func (b *batch) reset() {
	b.bytes, b.lengths, b.scalars = b.bytes[:0], b.lengths[:0], b.scalars[:0]
	b.steps, b.labels, b.weights, b.packets = b.steps[:0], b.labels[:0], b.weights[:0], b.packets[:0]
}

func (b *batch) add(in *Input) {
	b.bytes = append(b.bytes, in.Bytes...)
	b.lengths = append(b.lengths, in.Length)
	b.scalars = append(b.scalars, in.Scalars[:]...)
}

// forward runs both networks over the batch. It returns the class scores of each row by the
// packet network, (rows, Classes), and by the flow network after that row; flow is nil without
// a flow network.
func (n *Network) forward(p nn.Pass) (packet, flow []float32) {
	n.encoding = n.packet.Forward(p, n.batch.bytes)
	packet = n.packetHead.Forward(p, n.encoding)
	if !n.Arch.Flow {
		return packet, nil
	}
	h := n.lstm.Forward(p, n.flowInput(p), n.batch.steps)
	return packet, n.head.Forward(p, n.after.Forward(p, h))
}

// flowInput is what the flow network reads of the batch, after n.encoding was computed.
func (n *Network) flowInput(p nn.Pass) []float32 {
	if n.Arch.RawBytes {
		rows := n.batch.bytes
		if p.Train && n.Arch.Shift > 0 {
			n.shifted = append(n.shifted[:0], rows...)
			n.Arch.shift(random(p, drawShift), n.shifted)
			rows = n.shifted
		}
		n.pixels = scaleBytes(n.pixels, rows)
		return n.pixels
	}
	x := n.concat.Forward(n.encoding, n.lengths.Forward(n.batch.lengths), n.batch.scalars)
	n.dropEncodings(p, x)
	return n.before.Forward(p, x)
}

// dropEncodings hides the encodings of some packets in training, so that the flow network
// learns to do with lengths and times: bytes change with every version of a protocol.
func (n *Network) dropEncodings(p nn.Pass, x []float32) {
	if !p.Train || n.Arch.ByteDrop == 0 {
		n.dropped = n.dropped[:0]
		return
	}
	r := random(p, drawEncodings)
	width := n.Arch.Encoding + n.Arch.LengthSize + scalars
	n.dropped = n.dropped[:0]
	// All packets of a flow share their fate.
	row := 0
	for _, steps := range n.batch.steps {
		drop := r.Float64() < n.Arch.ByteDrop
		for range steps {
			n.dropped = append(n.dropped, drop)
			if drop {
				clear(x[row*width : row*width+n.Arch.Encoding])
			}
			row++
		}
	}
}

// shift moves, in some of the rows, everything behind a random place by up to eight bytes to either
// side. In raw bytes a token of another length moves all text behind it; a network that saw that
// happen leans less on where things stand, which Normaliser.Collapse spares the profile default.
func (a *Architecture) shift(r *nn.Rand, rows []uint16) {
	for ; len(rows) > 0; rows = rows[a.Normaliser.Bytes:] {
		row := rows[:a.Normaliser.Bytes]
		end := len(row)
		for end > 1 && row[end-1] == padding {
			end--
		}
		if r.Float64() >= a.Shift {
			continue
		}
		at := int(r.Uint64() % uint64(end))
		by := min(at+1+int(r.Uint64()%8), len(row))
		if r.Float64() < 0.5 {
			copy(row[by:], row[at:]) // what stood at the place stands there twice
		} else {
			copy(row[at:], row[by:]) // what stood at the end stands there twice
		}
	}
}

// What random numbers are drawn for; each draws from a stream of its own.
const (
	drawEncodings = iota + 1
	drawGrams
	drawShift
)

// random returns the stream of a draw in a pass: the same for the same shard of the same step,
// whoever computes it.
func random(p nn.Pass, draw uint64) *nn.Rand {
	r := nn.NewRand(p.Seed + draw<<56)
	return nn.NewRand(r.Uint64() ^ (p.Step+1)*0x9e3779b97f4a7c15 ^ uint64(p.Shard)<<48)
}

// packetShare is the weight of the packet network's loss beside the flow network's.
const packetShare = 0.5

// Train runs forward, loss and backward over samples and returns the loss. total is the sum of
// the weights of all samples of the batch that these are a shard of.
func (n *Network) Train(p nn.Pass, samples []*Sample, total, smoothing float64) float64 {
	n.batch.reset()
	for _, s := range samples {
		for i := range s.Inputs {
			n.batch.add(&s.Inputs[i])
			n.batch.labels = append(n.batch.labels, s.Class)
			n.batch.weights = append(n.batch.weights, s.Weight/float32(len(s.Inputs)))
			n.batch.packets = append(n.batch.packets, s.Weight/float32(len(s.Inputs)))
		}
		n.batch.steps = append(n.batch.steps, len(s.Inputs))
	}
	packet, flow := n.forward(p)
	n.loss.Smoothing = smoothing
	share := 1.0
	if n.Arch.Flow && !n.Arch.RawBytes {
		share = packetShare
	}
	loss := n.loss.Loss(packet, n.batch.labels, n.batch.packets, share/total)
	dEncoding := n.packetHead.Backward(packet)
	if flow != nil {
		loss += n.loss.Loss(flow, n.batch.labels, n.batch.weights, 1/total)
		dx := n.lstm.Backward(n.after.Backward(n.head.Backward(flow)))
		if !n.Arch.RawBytes {
			ds := n.concat.Backward(n.before.Backward(dx))
			n.lengths.Backward(ds[1])
			for i, drop := range n.dropped {
				if drop {
					clear(ds[0][i*n.Arch.Encoding : (i+1)*n.Arch.Encoding])
				}
			}
			for i, d := range ds[0] {
				dEncoding[i] += d
			}
		}
	}
	n.packet.Backward(dEncoding)
	return loss
}

// Predict runs both networks over samples, in evaluation, and returns their class scores: the
// packet network's for every packet, (packets, Classes), and the flow network's after it, nil
// without one. They are valid until the network's next call.
func (n *Network) Predict(samples []*Sample) (packet, flow []float32) {
	n.batch.reset()
	for _, s := range samples {
		for i := range s.Inputs {
			n.batch.add(&s.Inputs[i])
		}
		n.batch.steps = append(n.batch.steps, len(s.Inputs))
	}
	return n.forward(nn.Pass{})
}

// Track is what the networks remember of a flow between its packets: about 8·Classes + 4·Encoding
// bytes, and 8·Layers·Hidden with a flow network.
type Track struct {
	Packets int       // payload packets seen
	h, c    []float32 // of the LSTM
	sum     []float32 // of the packet network's encodings
	logs    []float64 // logarithms of what the flow is so far, by class, see Model.step
	judged  int       // packets after which novelty was what it is; 0: never
	novelty float64
	last    bool // logs holds the flow network's last probabilities instead: only the decision needs their logarithms
}

// NewTrack returns the track of a flow that has begun.
func (n *Network) NewTrack() *Track { return n.Arch.newTrack() }

func (a *Architecture) newTrack() *Track {
	t := &Track{sum: make([]float32, a.Encoding), logs: make([]float64, a.Classes)}
	if a.Flow {
		t.h, t.c = make([]float32, a.Layers*a.Hidden), make([]float32, a.Layers*a.Hidden)
	}
	return t
}

// Reset makes t the track of another flow.
func (t *Track) Reset() {
	t.Packets, t.judged = 0, 0
	clear(t.h)
	clear(t.c)
	clear(t.sum)
	clear(t.logs)
}

// StateSize is the length of Network.State.
func (a *Architecture) StateSize() int {
	if a.Flow && !a.RawBytes {
		return a.Hidden
	}
	return a.Encoding
}

// State is where the flow lies among all flows, for novelty: the recurrent state where it is fed
// by the packet network, otherwise the mean of the packet network's encodings, which is paper A's
// word that the CNN's results decide. Valid until the next State.
func (n *Network) State(t *Track) []float32 {
	n.state = t.state(&n.Arch, n.state)
	return n.state
}

// state returns the state in the memory of dst, or where it is.
func (t *Track) state(a *Architecture, dst []float32) []float32 {
	if a.Flow && !a.RawBytes {
		return append(dst[:0], t.h[(a.Layers-1)*a.Hidden:]...)
	}
	inv := 1 / float32(max(t.Packets, 1))
	dst = dst[:0]
	for _, v := range t.sum {
		dst = append(dst, v*inv)
	}
	return dst
}

// add adds a packet's encoding.
func (t *Track) add(encoding []float32) {
	for i, v := range encoding {
		t.sum[i] += v
	}
	t.Packets++
}

// Step takes the next payload packet of a flow and returns the class scores of the packet alone
// and of the flow so far; flow is nil without a flow network. They are valid until the network's
// next call. It is the plain twin of Engine.Step.
func (n *Network) Step(t *Track, in *Input) (packet, flow []float32) {
	n.batch.reset()
	n.batch.add(in)
	n.batch.steps = append(n.batch.steps, 1)
	p := nn.Pass{}
	n.encoding = n.packet.Forward(p, n.batch.bytes)
	packet = n.packetHead.Forward(p, n.encoding)
	t.add(n.encoding)
	if !n.Arch.Flow {
		return packet, nil
	}
	n.lstm.Step(n.flowInput(p), t.h, t.c)
	return packet, n.head.Forward(p, t.h[(n.Arch.Layers-1)*n.Arch.Hidden:])
}
