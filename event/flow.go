package event

import "github.com/weirnet/weir/flow"

// TupleOf returns the tuple of a flow.
func TupleOf(f *flow.Flow) *Tuple {
	src, dst := f.Key.Source(), f.Key.Destination()
	return &Tuple{
		FlowID:      f.ID & (1<<53 - 1),
		CommunityID: flow.CommunityID(f.Key),
		SrcIP:       src.Addr().String(), SrcPort: src.Port(),
		DestIP: dst.Addr().String(), DestPort: dst.Port(),
		Proto: ProtoName(f.Key.Proto),
	}
}

// OfFlow returns the account of an ended flow; app is the name of its label and model what gave it, both
// empty without one.
func OfFlow(f *flow.Flow, app, model string) *Event {
	e := &Event{Nanos: f.Last, Type: TypeFlow, Tuple: TupleOf(f), Flow: &Flow{
		PacketsToServer: f.Packets[flow.Originator], PacketsToClient: f.Packets[flow.Responder],
		BytesToServer: f.Bytes[flow.Originator], BytesToClient: f.Bytes[flow.Responder],
		IPToServer: f.IPBytes[flow.Originator], IPToClient: f.IPBytes[flow.Responder],
		PayloadToServer: f.PayloadBytes[flow.Originator], PayloadToClient: f.PayloadBytes[flow.Responder],
		Start: Time(f.Start), End: Time(f.Last), Reason: f.Reason.String(),
	}}
	if app != "" {
		confidence := float64(f.Label.Confidence)
		e.Flow.App, e.Flow.Confidence, e.Flow.Novel = app, &confidence, f.Label.Novel
		e.Flow.LabelSource, e.Flow.LabelPackets, e.Flow.Model = f.Label.Source.String(), int(f.Label.Packets), model
	}
	return e
}
