package classify

import (
	"math/bits"
	"sort"

	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/nn/infer"
)

// Engine is the networks of a model compiled for service: what Network computes, in int8 where the
// model says so (Int8). It has the memory of a run, so each goroutine needs its own; the weights are
// shared.
type Engine struct {
	arch   *Architecture
	packet *infer.Worker
	flow   *infer.Worker // nil without a flow network

	asBytes bool   // the packet network takes bytes; otherwise indices
	bytes   []byte // scratch where a network takes bytes
	grams   []uint16
	shift   int
	lengths [1]uint16
	order   []int     // of Steps: which packet is at a place of the batch
	places  []int     // and at which place a packet is
	state   []float32 // see State
	scratch []float32 // of the state's length, for novelty
}

// programs are the compiled networks of a model.
type programs struct{ packet, flow *infer.Program }

// compile compiles the networks for batches of packets, those that have ranges in int8.
func (n *Network) compile(packet, flow infer.Ranges, batch int) (programs, error) {
	var p programs
	var err error
	o := infer.Options{Batch: batch, Padding: padding, Ranges: packet}
	if n.Arch.Imported != nil && !n.Arch.Imported.Padding {
		o.Padding = 0
	}
	if p.packet, err = infer.Compile(n.PacketGraph(), o); err != nil {
		return p, err
	}
	if g := n.FlowGraph(1); g != nil {
		p.flow, err = infer.Compile(g, infer.Options{Batch: batch, Ranges: flow})
	}
	return p, err
}

// Engine returns an engine of the model for one goroutine. The networks are compiled once.
func (m *Model) Engine() *Engine {
	m.once.Do(func() {
		var err error
		packet, flow := m.Int8.ranges()
		if m.programs, err = m.network().compile(packet, flow, meter.MaxWaiting); err != nil {
			panic(err) // an architecture has nothing that cannot be compiled
		}
	})
	return m.Arch.engine(m.programs)
}

func (a *Architecture) engine(p programs) *Engine {
	e := &Engine{arch: a, packet: p.packet.NewWorker(), asBytes: a.Residual}
	if a.Imported != nil {
		e.asBytes = a.Imported.asBytes()
	}
	if p.flow != nil {
		e.flow = p.flow.NewWorker()
	}
	if a.Grams > 0 {
		e.shift = 32 - bits.Len(uint(a.Grams-1))
	}
	return e
}

// end returns how many bytes of a row stand before its padding.
func end(row []uint16) int {
	return sort.Search(len(row), func(i int) bool { return row[i] == padding })
}

// Packet returns the class scores of one packet by the packet network alone. They are valid until the engine's
// next call.
func (e *Engine) Packet(in *Input) []float32 {
	e.setPacket(0, in)
	e.packet.Run(1)
	return e.packet.Output(1, 0)
}

// setPacket gives the packet network a packet of a batch.
func (e *Engine) setPacket(at int, in *Input) {
	used := in.Bytes[:end(in.Bytes)]
	if e.asBytes {
		e.packet.SetBytes(0, at, e.narrow(used))
	} else {
		e.packet.SetIndices(0, at, used)
	}
	if e.arch.Grams > 0 {
		e.grams = appendGrams(e.grams[:0], used, e.shift)
		e.packet.SetIndices(1, at, e.grams)
	}
}

func (e *Engine) narrow(row []uint16) []byte {
	e.bytes = e.bytes[:0]
	for _, b := range row {
		e.bytes = append(e.bytes, byte(b))
	}
	return e.bytes
}

// Step takes the next payload packet of a flow and returns the class scores of the packet alone
// and of the flow so far; flow is nil without a flow network. They are valid until the engine's
// next call.
func (e *Engine) Step(t *Track, in *Input) (packet, flow []float32) {
	e.setPacket(0, in)
	e.packet.Run(1)
	e.setStep(0, t, in)
	e.runFlow(1)
	return e.outputs(0)
}

// Steps takes the next payload packets of some flows, each of another, in[i] of the flow t[i], no more than meter.MaxWaiting. It
// does for all what Step does for one, to the last bit, but reads the weights of layers that have a row for a packet once for
// several. What scores returns of them is valid until the engine's next call.
func (e *Engine) Steps(t []*Track, in []Input) {
	e.arrange(in)
	for at, i := range e.order {
		e.setPacket(at, &in[i])
	}
	e.packet.Run(len(t))
	for at, i := range e.order {
		e.setStep(at, t[i], &in[i])
	}
	e.runFlow(len(t))
}

// arrange puts the packets in order of their lengths, since rows multiplied together take as long as the longest of them.
func (e *Engine) arrange(in []Input) {
	e.order, e.places = e.order[:0], e.places[:0]
	var ends [meter.MaxWaiting]int
	for i := range in {
		ends[i] = end(in[i].Bytes)
		at := len(e.order)
		e.order, e.places = append(e.order, i), append(e.places, 0)
		for ; at > 0 && ends[e.order[at-1]] > ends[i]; at-- {
			e.order[at] = e.order[at-1]
		}
		e.order[at] = i
	}
	for at, i := range e.order {
		e.places[i] = at
	}
}

// setStep takes a packet whose encoding is known into its track, and gives it to the flow network.
func (e *Engine) setStep(at int, t *Track, in *Input) {
	encoding := e.packet.Output(0, at)
	t.add(encoding)
	if e.flow == nil {
		return
	}
	if e.arch.RawBytes {
		e.flow.SetBytes(0, at, e.narrow(in.Bytes[:end(in.Bytes)]))
	} else {
		e.lengths[0] = in.Length
		e.flow.SetFloats(0, at, encoding)
		e.flow.SetIndices(1, at, e.lengths[:])
		e.flow.SetFloats(2, at, in.Scalars[:])
	}
	e.flow.SetState(at, t.h, t.c)
}

func (e *Engine) runFlow(n int) {
	if e.flow != nil {
		e.flow.Run(n)
	}
}

// scores returns what Step does, of the i-th packet of the last Steps.
func (e *Engine) scores(i int) (packet, flow []float32) { return e.outputs(e.places[i]) }

func (e *Engine) outputs(at int) (packet, flow []float32) {
	packet = e.packet.Output(1, at)
	if e.flow != nil {
		flow = e.flow.Output(1, at)
	}
	return packet, flow
}

// NewTrack returns the track of a flow that has begun.
func (e *Engine) NewTrack() *Track { return e.arch.newTrack() }

// State is as Network.State, valid until the next State.
func (e *Engine) State(t *Track) []float32 {
	e.state = t.state(e.arch, e.state)
	return e.state
}
