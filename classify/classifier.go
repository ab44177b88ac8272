package classify

import (
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/packet"
)

// Classifier labels the flows of one worker by paper A's cascade (figure 4): a flow with a final
// label keeps it; otherwise the packet network labels the packet at hand; at T payload packets,
// or as soon as the flow network is sure enough, its word is final. It is used by one goroutine.
type Classifier struct {
	model  *Model
	net    *Network
	tracks map[uint64]*Track // by flow identifier, of flows without a final label
	free   []*Track
	alone  *Track // for packets whose flow has no opening
	input  Input
}

// New returns a classifier of a model.
func New(m *Model) *Classifier {
	net := m.Network()
	return &Classifier{
		model: m, net: net,
		tracks: map[uint64]*Track{},
		alone:  net.NewTrack(),
	}
}

// Classifiable reports whether a packet has something to classify: a TCP or UDP payload.
// Pure acknowledgements are packets of a flow but are not classified (paper A, our reading).
func Classifiable(h *packet.Headers) bool {
	return h.PayloadLen > 0 && (h.Proto == packet.TCP || h.Proto == packet.UDP)
}

// Packet takes a packet and reports whether its flow's label changed. It writes Flow.Label.
func (c *Classifier) Packet(p *meter.Packet) (changed bool) {
	f := p.Flow
	if f.Label.Final || !Classifiable(p.Headers) {
		return false
	}
	a := &c.model.Arch
	if !p.Joined {
		// The pool of openings is full: the packet network's word is all there is.
		payload := flow.Payload{Nanos: p.Capture.Nanos, Dir: p.Dir, Len: p.Headers.PayloadWireLen, Data: p.Payload()}
		a.Fill(&c.input, &payload, f.Key.Proto, 0, 0)
		c.alone.Reset()
		return set(f, c.model.step(c.net, c.alone, &c.input).packet, flow.FromPacket)
	}
	opening := f.Opening.Payloads
	last := len(opening) - 1
	before := int64(0)
	if last > 0 {
		before = opening[last-1].Nanos
	}
	a.Fill(&c.input, &opening[last], f.Key.Proto, last, before)
	t := c.track(f)
	s := c.model.step(c.net, t, &c.input)
	if s.final && s.flow != nil {
		changed = set(f, s.flow, flow.FromFlow)
	} else {
		changed = set(f, s.packet, flow.FromPacket)
	}
	if s.final {
		c.finish(f, t)
	}
	return changed
}

// Ended gives a flow that ends before it was decided its label from what it had, and reports
// whether the label changed.
func (c *Classifier) Ended(f *flow.Flow) (changed bool) {
	t := c.tracks[f.ID]
	if t == nil {
		return false
	}
	if c.model.Arch.Flow {
		changed = set(f, t.flow, flow.FromFlow)
	}
	c.finish(f, t)
	return changed
}

// set writes the label of most probability and reports whether it is another than before.
func set(f *flow.Flow, probabilities []float32, source flow.Source) bool {
	class, confidence := best(probabilities)
	changed := class != f.Label.Class || source != f.Label.Source
	f.Label.Class, f.Label.Confidence, f.Label.Source = class, confidence, source
	f.Label.Packets = f.PacketCount()
	return changed
}

// finish makes the label final and judges novelty.
func (c *Classifier) finish(f *flow.Flow, t *Track) {
	f.Label.Final = true
	f.Label.Novel = c.model.novelty(c.net, t) >= 1
	delete(c.tracks, f.ID)
	c.free = append(c.free, t)
}

func (c *Classifier) track(f *flow.Flow) *Track {
	t := c.tracks[f.ID]
	if t == nil {
		if k := len(c.free); k > 0 {
			t, c.free = c.free[k-1], c.free[:k-1]
			t.Reset()
		} else {
			t = c.net.NewTrack()
		}
		c.tracks[f.ID] = t
	}
	return t
}
