package event

import "github.com/weirnet/weir/flow"

// FlowID returns the number that events name a flow by.
func FlowID(f *flow.Flow) uint64 { return f.ID() & (1<<53 - 1) }

// TupleOf returns the tuple of a flow.
func TupleOf(f *flow.Flow) *Tuple {
	t := new(Tuple)
	t.of(f)
	return t
}

// of makes t the tuple of a flow. Its texts are cut from one string.
func (t *Tuple) of(f *flow.Flow) {
	src, dst := f.Key.Source(), f.Key.Destination()
	var buf [128]byte
	b := flow.AppendCommunityID(buf[:0], f.Key)
	id := len(b)
	b = src.Addr().AppendTo(b)
	from := len(b)
	text := string(dst.Addr().AppendTo(b))
	*t = Tuple{
		FlowID:      FlowID(f),
		CommunityID: text[:id],
		SrcIP:       text[id:from], SrcPort: src.Port(),
		DestIP: text[from:], DestPort: dst.Port(),
		Proto: ProtoName(f.Key.Proto),
	}
}

// OfFlow returns the account of an ended flow; app is the name of its label and model what gave it, both
// empty without one.
func OfFlow(f *flow.Flow, app, model string) *Event {
	all := new(struct {
		Event
		Tuple
		Flow
		confidence float64
	})
	all.Tuple.of(f)
	all.Flow = Flow{
		PacketsToServer: f.Packets[flow.Originator], PacketsToClient: f.Packets[flow.Responder],
		BytesToServer: f.Bytes[flow.Originator], BytesToClient: f.Bytes[flow.Responder],
		IPToServer: f.IPBytes[flow.Originator], IPToClient: f.IPBytes[flow.Responder],
		PayloadToServer: f.PayloadBytes[flow.Originator], PayloadToClient: f.PayloadBytes[flow.Responder],
		Start: Time(f.Start), End: Time(f.Last), Reason: f.Reason.String(),
	}
	if app != "" {
		all.confidence = float64(f.Label.Confidence)
		all.Flow.App, all.Flow.Confidence, all.Flow.Novel = app, &all.confidence, f.Label.Novel
		all.Flow.LabelSource, all.Flow.LabelPackets, all.Flow.Model = f.Label.Source.String(), int(f.Label.Packets), model
		all.Flow.NoveltyBin = f.Label.NoveltyBin
	}
	all.Event = Event{Nanos: f.Last, Type: TypeFlow, Tuple: &all.Tuple, Flow: &all.Flow}
	return &all.Event
}
