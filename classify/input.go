package classify

import (
	"math"

	"github.com/weirnet/weir/flow"
)

// Input is one payload packet as the networks see it. No addresses and no client ports: they
// would let a network recognise the capture instead of the application.
type Input struct {
	Bytes   []uint16         // normalised bytes; padding (256) after the end
	Length  uint16           // index of the length embedding: wire length and direction
	Scalars [scalars]float32 // direction, lengths, time since the packet before, transport, position

	// Repeat marks a payload, of validation or test, that training holds too: the flow network
	// reads it, but the packet network is not judged by it.
	Repeat bool
}

// Fill sets in from a payload, its transport protocol, its place among the flow's payloads
// (from 0) and the time of the payload before it. It reuses in.Bytes.
func (a *Architecture) Fill(in *Input, p *flow.Payload, proto uint8, place int, before int64) {
	a.fillBytes(in, p.Data)
	in.Length = uint16(min(p.Len, lengthBuckets-1))
	direction := float32(-1)
	if p.Dir == flow.Responder {
		in.Length += lengthBuckets
		direction = 1
	}
	gap := float64(0)
	if place > 0 && p.Nanos > before {
		gap = math.Log1p(float64(p.Nanos-before)/float64(timeScale)*1000) / 10
	}
	transport := float32(0)
	if proto == 17 {
		transport = 1
	}
	in.Scalars = [scalars]float32{
		direction,
		float32(math.Log1p(float64(p.Len)) / 7),
		float32(min(float64(p.Len)/750, 4)),
		float32(gap),
		transport,
		float32(place) / float32(a.Packets),
	}
}

// FillImage sets in from a payload image: bytes and nothing else.
func (a *Architecture) FillImage(in *Input, image []byte) {
	end := len(image)
	for end > 0 && image[end-1] == 0 {
		end--
	}
	a.fillBytes(in, image[:end])
}

func (a *Architecture) fillBytes(in *Input, payload []byte) {
	n := a.Normaliser.Bytes
	if cap(in.Bytes) < n {
		in.Bytes = make([]uint16, n)
	}
	in.Bytes = in.Bytes[:n]
	for rest := in.Bytes[apply(&a.Normaliser, in.Bytes, payload):]; len(rest) > 0; {
		rest = rest[copy(rest, paddings[:]):]
	}
}

// paddings are copied, which is faster than writing one after the other.
var paddings = func() (all [256]uint16) {
	for i := range all {
		all[i] = padding
	}
	return all
}()

// maxBytes is the most that a Normaliser may keep: Architecture.Check sees to it.
const maxBytes = 4096

// Sample is a flow in training and evaluation: the inputs of its first payload packets.
type Sample struct {
	Inputs []Input
	Class  int32
	Group  int32   // label before rare ones were pooled, for novelty
	Weight float32 // of the sample in the loss
}

// Inputs returns the inputs of an opening, at most a.Packets.
func (a *Architecture) Inputs(payloads []flow.Payload, proto uint8) []Input {
	payloads = payloads[:min(len(payloads), a.Packets)]
	ins := make([]Input, len(payloads))
	before := int64(0)
	for i := range payloads {
		a.Fill(&ins[i], &payloads[i], proto, i, before)
		before = payloads[i].Nanos
	}
	return ins
}
