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
// there are no more of them than openings fit into flow.Config.PayloadMemory: at T = 10 no more than
// 2,200 to a MiB, where the tracks of profile Default take up to four times what the openings do.
type Classifier struct {
	model  *Model
	net    *Network
	tracks map[*flow.Flow]*Track // a flow's address is its own until it has ended
	free   []*Track
	input  Input
	logs   []float32 // scratch
	effort Effort
	shed   Shed
}

// maxFree bounds the tracks that are kept for the next flows.
const maxFree = 1024

// New returns a classifier of a model.
func New(m *Model) *Classifier {
	net := m.Network()
	return &Classifier{
		model: m, net: net,
		tracks: map[*flow.Flow]*Track{},
	}
}

// Packet takes a packet and reports whether its flow's label changed. It writes Flow.Label.
// Packets are classified that carry TCP or UDP payload, however much of it was captured; pure
// acknowledgements are packets of a flow but are not (paper A, our reading), nor are later fragments.
func (c *Classifier) Packet(p *meter.Packet) (changed bool) {
	f := p.Flow
	switch {
	case f.Label.Final:
		return false
	case p.Joined && c.effort == Full:
		t := c.track(f)
		probabilities, final := c.catchUp(f, t)
		if final {
			return c.finish(f, t)
		}
		return set(f, probabilities)
	case p.Joined:
		return c.shedJoined(f)
	case f.OpeningShort && payload(p.Headers):
		// The memory for openings is used up: the packet network's word is all there is.
		if c.effort >= NoNetworks {
			c.shed.Packets[c.effort]++
			return false
		}
		alone := flow.Payload{Nanos: p.Capture.Nanos, Dir: p.Dir, Len: p.Headers.PayloadWireLen, Data: p.Payload()}
		c.model.Arch.Fill(&c.input, &alone, f.Key.Proto, 0, 0)
		return set(f, c.packet())
	}
	return false
}

// catchUp gives the networks the payloads of a flow's opening that they have not seen: the last one, or more after a
// time of less effort. It returns what the packet network says of the last, and whether the flow is decided. There must be one.
func (c *Classifier) catchUp(f *flow.Flow, t *Track) (probabilities []float32, final bool) {
	for t.Packets < len(f.Opening.Payloads) && !final {
		c.fill(f, t.Packets)
		s := c.model.step(c.net, t, &c.input)
		probabilities, final = s.packet, s.final
	}
	return probabilities, final
}

// fill makes the input of the i-th payload of a flow's opening.
func (c *Classifier) fill(f *flow.Flow, i int) {
	opening := f.Opening.Payloads
	before := int64(0)
	if i > 0 {
		before = opening[i-1].Nanos
	}
	c.model.Arch.Fill(&c.input, &opening[i], f.Key.Proto, i, before)
}

// packet returns what the packet network says of the input.
func (c *Classifier) packet() []float32 {
	return probabilities(c.net.Packet(&c.input), c.model.PacketTemperature)
}

// shedJoined does for a payload that joined its flow's opening what there is time for. With the last payload of the opening
// the flow is given up, so that the memory of its opening is free again.
func (c *Classifier) shedJoined(f *flow.Flow) (changed bool) {
	c.shed.Packets[c.effort]++
	last := len(f.Opening.Payloads) - 1
	if c.effort == NoFlowNetwork {
		c.fill(f, last)
		changed = set(f, c.packet())
	}
	if c.effort == NoLabels || last+1 >= c.model.Arch.Packets {
		return c.giveUp(f) || changed
	}
	return changed
}

// giveUp makes the label of a flow final for want of time: what the flow network said before, or else what the packet network
// did, or none.
func (c *Classifier) giveUp(f *flow.Flow) (changed bool) {
	c.shed.Flows[c.effort]++
	if t := c.tracks[f]; t != nil {
		return c.finish(f, t)
	}
	f.Label.Final = true
	return false
}

// payload reports whether a packet has what flow.Table would have kept.
func payload(h *packet.Headers) bool {
	return h.Has&packet.HasPayload != 0 && h.PayloadWireLen > 0 && (h.Proto == packet.TCP || h.Proto == packet.UDP)
}

// Ended gives a flow that ends before it was decided its label from what it had, and reports
// whether the label changed. It must be called for every flow that Packet was given.
func (c *Classifier) Ended(f *flow.Flow) (changed bool) {
	t := c.tracks[f]
	if f.Label.Final || t == nil && (f.Opening == nil || len(f.Opening.Payloads) == 0) {
		return false
	}
	if t != nil && t.Packets == len(f.Opening.Payloads) {
		return c.finish(f, t)
	}
	// Some of it came when there was no time.
	if c.effort == Full {
		t = c.track(f)
		c.catchUp(f, t)
		return c.finish(f, t)
	}
	return c.giveUp(f)
}

// set writes the packet network's label and reports whether it is another than before.
func set(f *flow.Flow, probabilities []float32) bool {
	class, confidence := best(probabilities)
	before := f.Label
	f.Label = flow.Label{Class: class, Confidence: confidence, Source: flow.FromPacket, Packets: 1}
	return class != before.Class || before.Source != flow.FromPacket
}

// finish writes the final label, judges novelty, and reports whether the label is another than
// before.
func (c *Classifier) finish(f *flow.Flow, t *Track) (changed bool) {
	var answer Answer
	c.logs, answer = t.decide(c.logs)
	before := f.Label
	f.Label = flow.Label{
		Class: answer.Class, Confidence: answer.Confidence, Source: flow.FromPacket, Packets: uint64(t.Packets),
		Novel: c.model.novelty(c.net, t) >= 1, Final: true,
	}
	if c.model.Arch.Flow {
		f.Label.Source = flow.FromFlow
	}
	delete(c.tracks, f)
	if len(c.free) < maxFree {
		c.free = append(c.free, t)
	}
	return f.Label.Class != before.Class || f.Label.Source != before.Source || f.Label.Novel != before.Novel
}

func (c *Classifier) track(f *flow.Flow) *Track {
	t := c.tracks[f]
	if t == nil {
		if k := len(c.free); k > 0 {
			t, c.free = c.free[k-1], c.free[:k-1]
			t.Reset()
		} else {
			t = c.net.NewTrack()
		}
		c.tracks[f] = t
	}
	return t
}
