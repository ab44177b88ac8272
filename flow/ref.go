package flow

import "slices"

// Ref is a flow in a table: what Update returns. It is valid until the flow's OnEnd has returned, and
// at most until the next call of Update, which may end any flow; that of a flow that Waits until it was
// settled. Its zero value is no flow.
type Ref struct {
	table *Table
	n     uint32
}

// Exists reports whether the Ref is that of a flow.
func (f Ref) Exists() bool { return f.table != nil }

// ID returns Flow.ID.
func (f Ref) ID() uint64 { return f.table.id(f.table.cell(f.n)) }

// Key returns Flow.Key.
func (f Ref) Key() Key { return f.table.key(f.table.cell(f.n)) }

// Proto returns the IANA protocol number of the key.
func (f Ref) Proto() uint8 { return f.table.cell(f.n).proto() }

// FirstPacket returns Flow.FirstPacket.
func (f Ref) FirstPacket() uint64 { return f.table.firstPacket(f.table.cell(f.n)) }

// PacketCount returns the packets of both directions: paper A's packet-in count.
func (f Ref) PacketCount() uint64 { return f.table.packetCount(f.table.cell(f.n)) }

// Record fills r with the account of the flow so far, without its opening.
func (f Ref) Record(r *Flow) { f.table.fill(f.table.cell(f.n), r) }

// Final reports Label().Final; it is the fastest of all.
func (f Ref) Final() bool { return f.table.cell(f.n).rest&isFinal != 0 }

// Label returns the label that SetLabel gave the flow, one of NoClass before.
func (f Ref) Label() Label { return f.table.label(f.table.cell(f.n)) }

func (t *Table) label(c *cell) Label {
	if c.firstHigh&isLabelled == 0 {
		return Label{Class: NoClass, Final: c.rest&isFinal != 0}
	}
	s := t.sideCell(c.side)
	return Label{
		Class: int32(s.class>>classShift) - 1, Confidence: s.confidence, Source: Source(s.class & sourceMask),
		Novel: s.class&isNovel != 0, Final: c.rest&isFinal != 0, Packets: uint64(s.packets),
		NoveltyBin: uint8(s.class >> binShift & binMask),
	}
}

// SetLabel gives the flow a label. One without a class takes the label away. The table keeps room for
// the label of the flow that Update last returned; labels for more flows than that end others when the
// table is full.
func (f Ref) SetLabel(l Label) {
	c := f.table.cell(f.n)
	c.rest &^= isFinal
	if l.Final {
		c.rest |= isFinal
	}
	if l.Class == NoClass {
		c.firstHigh &^= isLabelled
		return
	}
	s := f.table.sideOf(f.n)
	c.firstHigh |= isLabelled
	s.class = uint32(l.Class+1)<<classShift | uint32(l.NoveltyBin)&binMask<<binShift | uint32(l.Source)&sourceMask
	if l.Novel {
		s.class |= isNovel
	}
	s.confidence = l.Confidence
	s.packets = uint16(min(l.Packets, maxOpening))
}

// Wait says that the label of the flow, which Update last returned and whose opening the payload joined,
// comes later: Config.OnSettle is called before anything happens for which labels count, that is before the
// flow's next packet with a payload, before any flow ends, before a payload is refused for want of memory, or by
// Settle. So all is as if the label had been set at once; only where PayloadMemory is nearly used up may its
// blocks be cut otherwise, and another payload be refused.
func (f Ref) Wait() { f.table.waiting = append(f.table.waiting, f.n) }

// Waits reports whether the flow's label is to come by OnSettle.
func (f Ref) Waits() bool {
	return len(f.table.waiting) > 0 && !f.Final() && slices.Contains(f.table.waiting, f.n)
}

// Tag returns the number that SetTag gave the flow, 0 before.
func (f Ref) Tag() uint32 {
	if side := f.table.cell(f.n).side; side != 0 {
		return f.table.sideCell(side).tag
	}
	return 0
}

// SetTag keeps a number with the flow, such as the place where its holder remembers more of it. What
// SetLabel says of room holds here too.
func (f Ref) SetTag(tag uint32) { f.table.sideOf(f.n).tag = tag }

// Opening appends the flow's first payloads to dst. Their Data is the table's, valid until the next
// call of Update or Release.
func (f Ref) Opening(dst []Payload) []Payload {
	if side := f.table.cell(f.n).side; side != 0 {
		return f.table.pool.payloads(f.table.sideCell(side).opening, dst)
	}
	return dst
}

// OpeningShort returns Flow.OpeningShort.
func (f Ref) OpeningShort() bool { return f.table.cell(f.n).rest&isShort != 0 }

// Release gives the memory of the flow's opening back; no further payload of the flow is kept.
func (f Ref) Release() {
	c := f.table.cell(f.n)
	c.rest |= isReleased
	if c.side != 0 {
		s := f.table.sideCell(c.side)
		f.table.pool.give(s.opening)
		s.opening = 0
	}
}
