package classify

import (
	"math/bits"
	"sort"

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
	state   []float32 // see State
	scratch []float32 // of the state's length, for novelty
}

// programs are the compiled networks of a model.
type programs struct{ packet, flow *infer.Program }

// compile compiles the networks, those that have ranges in int8. steps is how many packets of a flow
// are given at once, batch how many flows.
func (n *Network) compile(packet, flow infer.Ranges) (programs, error) {
	var p programs
	var err error
	o := infer.Options{Padding: padding, Ranges: packet}
	if n.Arch.Imported != nil && !n.Arch.Imported.Padding {
		o.Padding = 0
	}
	if p.packet, err = infer.Compile(n.PacketGraph(), o); err != nil {
		return p, err
	}
	if g := n.FlowGraph(1); g != nil {
		p.flow, err = infer.Compile(g, infer.Options{Ranges: flow})
	}
	return p, err
}

// Engine returns an engine of the model for one goroutine. The networks are compiled once.
func (m *Model) Engine() *Engine {
	m.once.Do(func() {
		var err error
		if m.programs, err = m.network().compile(m.Int8.ranges()); err != nil {
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
	used := in.Bytes[:end(in.Bytes)]
	if e.asBytes {
		e.packet.SetBytes(0, 0, e.narrow(used))
	} else {
		e.packet.SetIndices(0, 0, used)
	}
	if e.arch.Grams > 0 {
		e.grams = appendGrams(e.grams[:0], used, e.shift)
		e.packet.SetIndices(1, 0, e.grams)
	}
	e.packet.Run(1)
	return e.packet.Output(1, 0)
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
	packet = e.Packet(in)
	encoding := e.packet.Output(0, 0)
	t.add(encoding)
	if e.flow == nil {
		return packet, nil
	}
	if e.arch.RawBytes {
		used := in.Bytes[:end(in.Bytes)]
		e.flow.SetBytes(0, 0, e.narrow(used))
	} else {
		e.lengths[0] = in.Length
		e.flow.SetFloats(0, 0, encoding)
		e.flow.SetIndices(1, 0, e.lengths[:])
		e.flow.SetFloats(2, 0, in.Scalars[:])
	}
	e.flow.SetState(0, t.h, t.c)
	e.flow.Run(1)
	return packet, e.flow.Output(1, 0)
}

// NewTrack returns the track of a flow that has begun.
func (e *Engine) NewTrack() *Track { return e.arch.newTrack() }

// State is as Network.State, valid until the next State.
func (e *Engine) State(t *Track) []float32 {
	e.state = t.state(e.arch, e.state)
	return e.state
}
