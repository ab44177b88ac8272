package classify

import (
	"sync/atomic"

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
	base   int32 // flow.Label.Class of the model's first label
	engine *Engine
	tracks []*Track // by tag of the flow less 1; nil where none has the tag
	tags   []uint32 // that no flow has
	free   []*Track
	input  Input
	logs   []float32      // scratch
	first  []flow.Payload // scratch
	effort atomic.Uint32  // an Effort
	shed   shed

	novel [][]float32 // mean encodings of the flows that the last call found novel, in order; see Novel
	found int         // how many they are

	// Packets that Wait, in order: their flows, and what is known of them.
	flows   []flow.Ref
	steps   []*Track
	inputs  [meter.MaxWaiting]Input
	changed []bool // what Settle returned
}

// maxFree bounds the tracks that are kept for the next flows.
const maxFree = 1024

// New returns a classifier of a model.
func New(m *Model) *Classifier { return NewBeside(m, 0) }

// NewBeside returns a classifier of a model whose labels have the classes from first on, so that the flows of a worker
// can be labelled by several models, one after the other.
func NewBeside(m *Model, first int32) *Classifier {
	return &Classifier{model: m, base: first, engine: m.Engine()}
}

// Gave reports whether a class is one of the classifier's.
func (c *Classifier) Gave(class int32) bool {
	return class >= c.base && class < c.base+int32(len(c.model.Labels))
}

// Undecided is how many flows the classifier remembers.
func (c *Classifier) Undecided() int { return len(c.tracks) - len(c.tags) }

// Packet takes a packet and reports whether its flow's label changed. It writes the label.
// Packets are classified that carry TCP or UDP payload, however much of it was captured; pure
// acknowledgements are packets of a flow but are not (paper A, our reading), nor are later fragments.
func (c *Classifier) Packet(p *meter.Packet) (changed bool) {
	f := p.Flow
	c.found = 0
	effort := Effort(c.effort.Load())
	var label flow.Label
	switch {
	case f.Final():
		return false
	case p.Joined && effort == Full:
		c.first = f.Opening(c.first[:0])
		label, changed = c.labelOf(f, c.catchUp(c.first, f.Proto(), c.track(f)))
	case p.Joined:
		return c.shedJoined(f, effort)
	case f.OpeningShort() && payload(p.Headers):
		// The memory for openings is used up: the packet network's word is all there is.
		if effort >= NoNetworks {
			c.shed.packets[effort].Add(1)
			return false
		}
		alone := flow.Payload{Nanos: p.Capture.Nanos, Dir: p.Dir, Len: p.Headers.PayloadWireLen, Data: p.Payload()}
		c.model.Arch.Fill(&c.input, &alone, f.Proto(), 0, 0)
		label, changed = c.packetLabel(f.Label(), c.packet())
	default:
		return false
	}
	f.SetLabel(label)
	return changed
}

// Wait is Packet for one that can be classified together with others: Settle does it, and says what Packet would have. It
// returns false, and has done nothing, where that is not so, for Packet to be called at once. Between Wait and Settle nothing else of the
// flow may be given to the classifier but packets without a payload; there is room for meter.MaxWaiting.
func (c *Classifier) Wait(p *meter.Packet) bool {
	f := p.Flow
	if !p.Joined || f.Final() || Effort(c.effort.Load()) != Full {
		return false
	}
	seen := 0
	if tag := f.Tag(); tag != 0 {
		seen = c.tracks[tag-1].Packets
	}
	c.first = f.Opening(c.first[:0])
	if seen != len(c.first)-1 { // There is something to catch up with. Nor may the flow have a track for it: by Packet there may be less effort.
		return false
	}
	c.fill(&c.inputs[len(c.flows)], c.first, f.Proto(), seen)
	c.flows, c.steps = append(c.flows, f), append(c.steps, c.track(f))
	return true
}

// Settle classifies the packets that Wait, writes the labels of their flows, and reports for each, in their order, whether it
// changed. What it returns is valid until the next Settle.
func (c *Classifier) Settle() (changed []bool) {
	c.changed, c.found = c.changed[:0], 0
	if len(c.flows) == 0 {
		return c.changed
	}
	c.engine.Steps(c.steps, c.inputs[:len(c.steps)])
	for i, f := range c.flows {
		packet, flow := c.engine.scores(i)
		label, changed := c.labelOf(f, c.model.word(c.engine, c.steps[i], packet, flow))
		f.SetLabel(label)
		c.changed = append(c.changed, changed)
	}
	clear(c.flows)
	clear(c.steps)
	c.flows, c.steps = c.flows[:0], c.steps[:0]
	return c.changed
}

// labelOf returns the label of a flow after a step, and whether it is another than before.
func (c *Classifier) labelOf(f flow.Ref, s step) (label flow.Label, changed bool) {
	if !s.final {
		return c.packetLabel(f.Label(), s.packet)
	}
	label, changed = c.finish(f.Label(), f.Tag())
	f.SetTag(0)
	return label, changed
}

// catchUp gives the networks the payloads of a flow's opening that they have not seen: the last one, or more after a
// time of less effort. It returns what they say after the last. There must be one.
func (c *Classifier) catchUp(opening []flow.Payload, proto uint8, t *Track) (s step) {
	for t.Packets < len(opening) && !s.final {
		c.fill(&c.input, opening, proto, t.Packets)
		s = c.model.step(c.engine, t, &c.input)
	}
	return s
}

// fill makes the input of the i-th payload of an opening.
func (c *Classifier) fill(in *Input, opening []flow.Payload, proto uint8, i int) {
	before := int64(0)
	if i > 0 {
		before = opening[i-1].Nanos
	}
	c.model.Arch.Fill(in, &opening[i], proto, i, before)
}

// packet returns what the packet network says of the input.
func (c *Classifier) packet() []float32 {
	return probabilities(c.engine.Packet(&c.input), c.model.PacketTemperature)
}

// shedJoined does for a payload that joined its flow's opening what there is time for. With the last payload of the opening
// the flow is given up, so that the memory of its opening is free again.
func (c *Classifier) shedJoined(f flow.Ref, effort Effort) (changed bool) {
	c.shed.packets[effort].Add(1)
	c.first = f.Opening(c.first[:0])
	last := len(c.first) - 1
	label := f.Label()
	if effort == NoFlowNetwork {
		c.fill(&c.input, c.first, f.Proto(), last)
		label, changed = c.packetLabel(label, c.packet())
	}
	if effort == NoLabels || last+1 >= c.model.Arch.Packets {
		var again bool
		label, again = c.giveUp(label, f.Tag(), effort)
		changed = changed || again
		if f.Tag() != 0 {
			f.SetTag(0)
		}
	}
	f.SetLabel(label)
	return changed
}

// giveUp returns the final label of a flow for which there is no time: what the flow network said before, or else what the
// packet network did, or none.
func (c *Classifier) giveUp(before flow.Label, tag uint32, effort Effort) (label flow.Label, changed bool) {
	c.shed.flows[effort].Add(1)
	if tag != 0 {
		label, changed = c.finish(before, tag)
		label.NoveltyBin = 0 // it would tell of the load
		return label, changed
	}
	before.Final = true
	return before, false
}

// payload reports whether a packet has what flow.Table would have kept.
func payload(h *packet.Headers) bool {
	return h.Has&packet.HasPayload != 0 && h.PayloadWireLen > 0 && (h.Proto == packet.TCP || h.Proto == packet.UDP)
}

// Ended gives a flow that ends before it was decided its label from what it had, and reports
// whether the label changed. It must be called for every flow that Packet was given.
func (c *Classifier) Ended(f *flow.Flow) (changed bool) {
	c.found = 0
	tag := f.Tag
	if f.Label.Final || tag == 0 && len(f.Opening) == 0 {
		return false
	}
	effort := Effort(c.effort.Load())
	if tag == 0 || c.tracks[tag-1].Packets < len(f.Opening) { // some of it came when there was no time
		if effort != Full {
			f.Label, changed = c.giveUp(f.Label, tag, effort)
			return changed
		}
		if tag == 0 {
			tag = c.newTrack()
		}
		c.catchUp(f.Opening, f.Key.Proto, c.tracks[tag-1])
	}
	f.Label, changed = c.finish(f.Label, tag)
	return changed
}

// packetLabel returns the packet network's label and whether it is another than before.
func (c *Classifier) packetLabel(before flow.Label, probabilities []float32) (label flow.Label, changed bool) {
	class, confidence := best(probabilities)
	class += c.base
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
		Class: c.base + answer.Class, Confidence: answer.Confidence, Source: flow.FromPacket, Packets: uint64(t.Packets),
		Novel: c.model.novelty(c.engine, t) >= 1, Final: true, NoveltyBin: c.model.noveltyBin(t),
	}
	if c.model.Arch.Flow {
		label.Source = flow.FromFlow
	}
	if label.Novel {
		if c.found == len(c.novel) {
			c.novel = append(c.novel, nil)
		}
		c.novel[c.found] = t.Mean(c.novel[c.found])
		c.found++
	}
	c.tracks[tag-1] = nil
	c.tags = append(c.tags, tag)
	if len(c.free) < maxFree {
		c.free = append(c.free, t)
	}
	return label, label.Class != before.Class || label.Source != before.Source || label.Novel != before.Novel
}

// Novel returns where the i-th of the flows lies that the last call of Packet, Settle or Ended found novel, in the order of their packets.
func (c *Classifier) Novel(i int) Embedded { return c.model.embed(c.novel[i]) }

// track returns the track of a flow, which the flow's tag tells.
func (c *Classifier) track(f flow.Ref) *Track {
	tag := f.Tag()
	if tag == 0 {
		tag = c.newTrack()
		f.SetTag(tag)
	}
	return c.tracks[tag-1]
}

// newTrack begins a track and returns its tag.
func (c *Classifier) newTrack() (tag uint32) {
	var t *Track
	if k := len(c.free); k > 0 {
		t, c.free = c.free[k-1], c.free[:k-1]
		t.Reset()
	} else {
		t = c.engine.NewTrack()
	}
	if k := len(c.tags); k > 0 {
		tag, c.tags = c.tags[k-1], c.tags[:k-1]
		c.tracks[tag-1] = t
		return tag
	}
	c.tracks = append(c.tracks, t)
	return uint32(len(c.tracks))
}
