package classify

import (
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/packet"
)

// Classifier labels the flows of one worker by paper A's cascade (figure 4): a flow with a final
// label keeps it; otherwise the packet network labels the packet at hand; at T payload packets,
// or as soon as the flow network is sure enough, its word is final. A flow that ends before has it
// from what there was. Judge says the same of the same openings. It is used by one goroutine.
//
// It remembers a Track of every flow that has an opening and no final label, and of no other. So
// there are no more of them than openings fit into flow.Config.PayloadMemory: no more than 2,048 to a
// MiB, where the tracks of profile Default take up to four times what the openings do.
type Classifier struct {
	model  *Model
	net    *Network
	tracks []*Track // by tag of the flow less 1; nil where none has the tag
	tags   []uint32 // that no flow has
	free   []*Track
	alone  *Track // for packets whose flow's opening had to stay short
	input  Input
	logs   []float32      // scratch
	first  []flow.Payload // scratch
}

// maxFree bounds the tracks that are kept for the next flows.
const maxFree = 1024

// New returns a classifier of a model.
func New(m *Model) *Classifier {
	net := m.Network()
	return &Classifier{
		model: m, net: net,
		alone: net.NewTrack(),
	}
}

// Packet takes a packet and reports whether its flow's label changed. It writes the label.
// Packets are classified that carry TCP or UDP payload, however much of it was captured; pure
// acknowledgements are packets of a flow but are not (paper A, our reading), nor are later fragments.
func (c *Classifier) Packet(p *meter.Packet) (changed bool) {
	f := p.Flow
	a := &c.model.Arch
	switch {
	case f.Final():
		return false
	case p.Joined:
		c.first = f.Opening(c.first[:0])
		last := len(c.first) - 1
		before := int64(0)
		if last > 0 {
			before = c.first[last-1].Nanos
		}
		a.Fill(&c.input, &c.first[last], f.Proto(), last, before)
		t := c.track(f)
		s := c.model.step(c.net, t, &c.input)
		var label flow.Label
		if s.final {
			label, changed = c.finish(f.Label(), f.Tag())
			f.SetTag(0)
		} else {
			label, changed = packetLabel(f.Label(), s.packet)
		}
		f.SetLabel(label)
		return changed
	case f.OpeningShort() && payload(p.Headers):
		// The memory for openings is used up: the packet network's word is all there is.
		alone := flow.Payload{Nanos: p.Capture.Nanos, Dir: p.Dir, Len: p.Headers.PayloadWireLen, Data: p.Payload()}
		a.Fill(&c.input, &alone, f.Proto(), 0, 0)
		c.alone.Reset()
		label, changed := packetLabel(f.Label(), c.model.step(c.net, c.alone, &c.input).packet)
		f.SetLabel(label)
		return changed
	}
	return false
}

// payload reports whether a packet has what flow.Table would have kept.
func payload(h *packet.Headers) bool {
	return h.Has&packet.HasPayload != 0 && h.PayloadWireLen > 0 && (h.Proto == packet.TCP || h.Proto == packet.UDP)
}

// Ended gives a flow that ends before it was decided its label from what it had, and reports
// whether the label changed. It must be called for every flow that Packet was given.
func (c *Classifier) Ended(f *flow.Flow) (changed bool) {
	if f.Tag != 0 {
		f.Label, changed = c.finish(f.Label, f.Tag)
	}
	return changed
}

// packetLabel returns the packet network's label and whether it is another than before.
func packetLabel(before flow.Label, probabilities []float32) (label flow.Label, changed bool) {
	class, confidence := best(probabilities)
	label = flow.Label{Class: class, Confidence: confidence, Source: flow.FromPacket, Packets: 1}
	return label, class != before.Class || before.Source != flow.FromPacket
}

// finish returns the final label of the flow with a tag, with its novelty, and whether it is another
// than before. It forgets the flow.
func (c *Classifier) finish(before flow.Label, tag uint32) (label flow.Label, changed bool) {
	t := c.tracks[tag-1]
	var answer Answer
	c.logs, answer = t.decide(c.logs)
	label = flow.Label{
		Class: answer.Class, Confidence: answer.Confidence, Source: flow.FromPacket, Packets: uint64(t.Packets),
		Novel: c.model.novelty(c.net, t) >= 1, Final: true,
	}
	if c.model.Arch.Flow {
		label.Source = flow.FromFlow
	}
	c.tracks[tag-1] = nil
	c.tags = append(c.tags, tag)
	if len(c.free) < maxFree {
		c.free = append(c.free, t)
	}
	return label, label.Class != before.Class || label.Source != before.Source || label.Novel != before.Novel
}

// track returns the track of a flow, which the flow's tag tells.
func (c *Classifier) track(f flow.Ref) *Track {
	if tag := f.Tag(); tag != 0 {
		return c.tracks[tag-1]
	}
	var t *Track
	if k := len(c.free); k > 0 {
		t, c.free = c.free[k-1], c.free[:k-1]
		t.Reset()
	} else {
		t = c.net.NewTrack()
	}
	tag := uint32(len(c.tracks) + 1)
	if k := len(c.tags); k > 0 {
		tag, c.tags = c.tags[k-1], c.tags[:k-1]
		c.tracks[tag-1] = t
	} else {
		c.tracks = append(c.tracks, t)
	}
	f.SetTag(tag)
	return t
}
