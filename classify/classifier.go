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
	input  Input
	buf    []float32
}

// New returns a classifier of a model.
func New(m *Model) *Classifier {
	return &Classifier{
		model: m, net: m.Network(),
		tracks: map[uint64]*Track{},
		buf:    make([]float32, m.Arch.StateSize()),
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
		var alone = c.net.NewTrack()
		scores, _ := c.net.Step(alone, &c.input)
		return c.label(f, scores, flow.FromPacket, c.model.PacketTemperature)
	}
	opening := f.Opening.Payloads
	last := len(opening) - 1
	before := int64(0)
	if last > 0 {
		before = opening[last-1].Nanos
	}
	a.Fill(&c.input, &opening[last], f.Key.Proto, last, before)
	t := c.track(f)
	packetScores, flowScores := c.net.Step(t, &c.input)
	if flowScores != nil {
		probs := probabilities(flowScores, c.model.FlowTemperature)
		_, confidence := best(probs)
		if t.Packets >= a.Packets || float64(confidence) >= a.Early {
			changed = c.set(f, probs, flow.FromFlow)
			c.finish(f, t)
			return changed
		}
	}
	changed = c.label(f, packetScores, flow.FromPacket, c.model.PacketTemperature)
	if flowScores == nil && t.Packets >= a.Packets {
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
		h := t.h[(c.model.Arch.Layers-1)*c.model.Arch.Hidden:]
		probs := probabilities(c.net.scoreState(h), c.model.FlowTemperature)
		changed = c.set(f, probs, flow.FromFlow)
	}
	c.finish(f, t)
	return changed
}

func (c *Classifier) label(f *flow.Flow, scores []float32, source flow.Source, temperature float64) bool {
	return c.set(f, probabilities(scores, temperature), source)
}

// set writes the label and reports whether its class is another than before.
func (c *Classifier) set(f *flow.Flow, probs []float32, source flow.Source) bool {
	class, confidence := best(probs)
	changed := class != f.Label.Class || source != f.Label.Source
	f.Label.Class, f.Label.Confidence, f.Label.Source = class, confidence, source
	f.Label.Packets = f.PacketCount()
	return changed
}

// finish makes the label final and judges novelty.
func (c *Classifier) finish(f *flow.Flow, t *Track) {
	f.Label.Final = true
	n := &c.model.Novelty
	f.Label.Novel = n.Threshold > 0 && n.Score(c.net.State(t), c.buf) >= n.Threshold
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
