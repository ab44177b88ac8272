// Package flow keeps paper A's table of flows: packets of one 5-tuple that follow each other within a
// lifetime. It counts, keeps the first payloads of flows that have no final label, and says when and
// why a flow ended. It names no application: labels are written by whoever classifies.
//
//	table := flow.New(flow.Config{OnEnd: func(f *flow.Flow) { fmt.Println(f.Key, f.Reason) }})
//	f, dir, payload := table.Update(&headers, &packet, ordinal)
//	table.Sweep(packet.Nanos)
//	table.Flush(flow.ForcedEnd)
//	table.Close()
package flow

// Direction is which end of a flow sent a packet. It indexes a flow's counts.
type Direction uint8

const (
	Originator Direction = iota // the end that sent the first packet of the flow
	Responder
)

// EndReason is why a flow ended: IPFIX information element 136, flowEndReason, RFC 5102 section 5.11.3,
// with its numbers.
type EndReason uint8

const (
	Alive           EndReason = iota // the flow has not ended
	IdleTimeout                      // no packet for the lifetime
	ActiveTimeout                    // the flow went on for longer than Config.Active
	EndOfFlow                        // TCP closed it, see Flow.Closed
	ForcedEnd                        // the meter shut down or the input ended
	LackOfResources                  // the table was full
	NumEndReasons   = iota
)

var endReasonNames = [NumEndReasons]string{
	Alive: "alive", IdleTimeout: "idle_timeout", ActiveTimeout: "active_timeout",
	EndOfFlow: "end_of_flow", ForcedEnd: "forced_end", LackOfResources: "lack_of_resources",
}

// String returns the reason's name as it stands in events: stable, in snake case.
func (r EndReason) String() string {
	if int(r) >= len(endReasonNames) {
		return "unknown"
	}
	return endReasonNames[r]
}

// Flow is the account of a flow: a row of the table, written out. That which OnEnd is given is valid
// until it returns; OnEnd may write its Label, for whoever reads it next.
type Flow struct {
	Key          Key       // as its first packet had it: the originator is the source
	Start        int64     // time of the first packet in stream order, ns since the Unix epoch
	Last         int64     // latest time of a packet, ns since the Unix epoch; never before Start
	Packets      [2]uint64 // by Direction, as all counts
	Bytes        [2]uint64 // frames' bytes on the wire, link header included
	IPBytes      [2]uint64 // IP packets' bytes on the wire
	PayloadBytes [2]uint64 // application payloads' bytes on the wire, those of later fragments included
	Flags        [2]uint8  // TCP flags of all packets, or-ed
	FirstPacket  uint64    // ordinal of the first packet in the stream
	Reason       EndReason // Alive until OnEnd
	Label        Label
	Tag          uint32    // see Ref.SetTag
	Opening      []Payload // the first payloads, as far as they were not released; OnEnd alone has them
	OpeningShort bool      // Config.PayloadMemory ran out before the opening was complete

	salt     uint64 // see Key.id
	reversed bool   // Key is the reverse of the one that the table knows the flow by
}

// ID returns the flow's identifier: the same in every run and for every number of workers.
func (f *Flow) ID() uint64 {
	k := f.Key
	if f.reversed {
		k = k.reverse()
	}
	return k.id(f.Start, f.salt)
}

// PacketCount returns the packets of both directions: paper A's packet-in count.
func (f *Flow) PacketCount() uint64 { return f.Packets[0] + f.Packets[1] }

// Closed reports whether TCP has ended the flow: RST, or FIN from every end that was seen.
func (f *Flow) Closed() bool { return closed(f.Flags, f.Packets[Responder] != 0) }

// NoClass is the Class of a flow without a label.
const NoClass = -1

// Label is what classification has found for a flow so far.
type Label struct {
	Class      int32   // index into the model's labels, less than 2²⁴ - 1; NoClass without one
	Confidence float32 // calibrated, 0 to 1
	Source     Source  // what gave the label
	Novel      bool    // traffic of a kind that training did not hold
	Final      bool    // the label will not change; no more payloads are kept
	NoveltyBin uint8   // 1 + the bin that its novelty has among those of validation flows, less than 32; 0: not known
	Packets    uint64  // payload packets that the label rests on; the table keeps no more than 65,535
}

// Source is what gave a flow its label.
type Source uint8

const (
	NoSource   Source = iota
	FromPacket        // the packet network alone
	FromFlow          // the flow network
)

// String returns "packet" or "flow" as events have it, and nothing for NoSource.
func (s Source) String() string {
	switch s {
	case FromPacket:
		return "packet"
	case FromFlow:
		return "flow"
	}
	return ""
}
