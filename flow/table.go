package flow

import (
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// Config is how a Table keeps flows. The zero value takes the defaults.
type Config struct {
	Lifetime       time.Duration // without a packet until a flow ends; default 3600 s (paper A)
	Active         time.Duration // from the first packet until a flow is cut; default 0: never
	Directional    bool          // each direction is a flow of its own, all of it by the Originator
	MaxFlows       int           // flows at a time; default 1,000,000
	OpeningPackets int           // payloads kept per flow (paper A: T); default 10, negative for none
	OpeningBytes   int           // captured bytes kept per payload; default 784
	PayloadMemory  int           // bytes of all openings at a time; default 128 MiB
	FragmentCache  int           // first fragments remembered at a time; default 4096

	// OnEnd is called for each flow that ends; the flow is valid until it returns. It must not call
	// the table.
	OnEnd func(*Flow)
}

func (c Config) withDefaults() Config {
	if c.Lifetime <= 0 {
		c.Lifetime = 3600 * time.Second
	}
	if c.MaxFlows <= 0 {
		c.MaxFlows = 1_000_000
	}
	if c.OpeningPackets == 0 {
		c.OpeningPackets = 10
	}
	if c.OpeningBytes <= 0 {
		c.OpeningBytes = 784
	}
	if c.PayloadMemory <= 0 {
		c.PayloadMemory = 128 << 20
	}
	if c.FragmentCache <= 0 {
		c.FragmentCache = 4096
	}
	if c.OnEnd == nil {
		c.OnEnd = func(*Flow) {}
	}
	return c
}

// Share returns the configuration of each of n tables that keep to c's limits together.
func (c Config) Share(n int) Config {
	c = c.withDefaults()
	c.MaxFlows = max(c.MaxFlows/n, 1)
	c.PayloadMemory = max(c.PayloadMemory/n, 1)
	c.FragmentCache = max(c.FragmentCache/n, 1)
	return c
}

// Stats counts what a Table has seen. Only Alive and PayloadMemory ever go back.
type Stats struct {
	Flows            uint64                // flows started
	Alive            int                   // flows in the table now
	Ended            [NumEndReasons]uint64 // flows by reason
	Evicted          uint64                // flows ended because the table was full, closed ones too
	PayloadsKept     uint64                // payloads that joined an opening
	OpeningsShort    uint64                // flows whose opening stayed short because PayloadMemory was used up
	PayloadMemory    int                   // bytes that openings hold now
	FragmentsJoined  uint64                // later fragments that joined the flow of their first fragment
	FragmentsAlone   uint64                // later fragments whose first fragment was not known
	FragmentsEvicted uint64                // first fragments forgotten early because FragmentCache was used up
	TimeBackwards    uint64                // packets older than the latest one of their flow
}

// Table is paper A's flow table. It is used by one goroutine.
//
// What becomes of a flow depends on its own packets and on the calls of Sweep alone. So when the
// packets of one stream are spread over several tables by ShardHash and Sweep is called for all of
// them at the same points of the stream, they hold together the flows that one table would, as long
// as none reaches a limit of its Config.
//
// Flows lie in chunks that never move and are reused; a Go map, whose hash is keyed at random, finds
// them by key. A packet of a known flow allocates nothing.
type Table struct {
	cfg       Config
	flows     map[Key]uint32 // slots, by canonical key (Directional: by key)
	chunks    [][]Flow       // slot s is chunks[s/chunkLen][s%chunkLen]
	free      []uint32       // slots without a flow
	queues    [numQueues]queue
	fragments fragments
	pool      *pool
	ending    []*Flow // of the Sweep or Flush at work
	stats     Stats
}

const chunkLen = 256 // flows

// New returns an empty table.
func New(cfg Config) *Table {
	cfg = cfg.withDefaults()
	return &Table{
		cfg:       cfg,
		flows:     make(map[Key]uint32),
		fragments: newFragments(cfg.FragmentCache),
		pool:      newPool(cfg.PayloadMemory, cfg.OpeningPackets, cfg.OpeningBytes),
	}
}

// Update counts a packet, the ordinal-th of the stream, into its flow and returns the flow, the
// packet's direction in it and whether the packet's payload joined the opening. A packet without a
// valid IP header has no flow: f is nil.
//
// A packet starts a new flow, and thereby ends the old one with its key, when the old one's lifetime
// was over before it, or when it is a SYN without ACK and the old one is closed. FIN and RST alone
// end nothing: what trails behind them belongs to the flow.
func (t *Table) Update(h *packet.Headers, p *capture.Packet, ordinal uint64) (f *Flow, dir Direction, payload bool) {
	if h.Version == 0 {
		return nil, Originator, false
	}
	var key Key
	if h.Has&packet.Fragment != 0 {
		key = t.fragments.key(h, p.Nanos, &t.stats)
	} else {
		key = KeyOf(h)
	}
	tableKey, reversed := key, false
	if !t.cfg.Directional {
		tableKey, reversed = key.Canonical()
	}

	var salt uint64
	if slot, ok := t.flows[tableKey]; ok {
		f = t.at(slot)
		if reason := t.over(f, h, p.Nanos); reason != Alive {
			if f.Start == p.Nanos {
				salt = f.ID
			}
			t.leave(f)
			t.end(f, reason)
			f = nil
		}
	}
	if f == nil {
		f = t.start(key, tableKey, reversed)
		f.ID = tableKey.id(p.Nanos, salt)
		f.Start, f.Last = p.Nanos, p.Nanos
		f.FirstPacket = ordinal
		t.enter(f)
	}

	if reversed != f.reversed {
		dir = Responder
	}
	if p.Nanos < f.Last {
		t.stats.TimeBackwards++
	}
	f.Last = max(f.Last, p.Nanos)
	f.Packets[dir]++
	f.Bytes[dir] += uint64(p.WireLen)
	f.IPBytes[dir] += uint64(h.IPLen)
	f.PayloadBytes[dir] += uint64(h.PayloadWireLen)
	f.Flags[dir] |= h.TCPFlags
	if f.queue != worth(f) {
		t.leave(f)
		t.enter(f)
	}
	return f, dir, t.keep(f, dir, h, p)
}

// over returns why a packet at nanos cannot belong to a flow with its key, or Alive when it does.
func (t *Table) over(f *Flow, h *packet.Headers, nanos int64) EndReason {
	const request = packet.SYN | packet.ACK | packet.FIN | packet.RST
	switch {
	case t.deadline(f) <= nanos:
		return t.timeout(f)
	case h.TCPFlags&request == packet.SYN && f.Closed():
		return EndOfFlow
	}
	return Alive
}

// start puts a blank flow into the table.
func (t *Table) start(key, tableKey Key, reversed bool) *Flow {
	if len(t.flows) >= t.cfg.MaxFlows {
		t.evict()
	}
	if len(t.free) == 0 {
		slot := uint32(len(t.chunks) * chunkLen)
		t.chunks = append(t.chunks, make([]Flow, chunkLen))
		for i := uint32(chunkLen); i > 0; i-- {
			t.free = append(t.free, slot+i-1)
		}
	}
	slot := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	t.flows[tableKey] = slot
	t.stats.Flows++
	f := t.at(slot)
	*f = Flow{Key: key, Label: Label{Class: NoClass}, reversed: reversed, slot: slot}
	return f
}

// end takes a flow, which stands in no queue any more, out of the table.
func (t *Table) end(f *Flow, reason EndReason) {
	if f.Closed() {
		reason = EndOfFlow
	}
	f.Reason = reason
	t.stats.Ended[reason]++
	tableKey := f.Key
	if f.reversed {
		tableKey, _ = f.Key.Canonical()
	}
	delete(t.flows, tableKey)
	t.cfg.OnEnd(f)
	t.Release(f)
	t.free = append(t.free, f.slot)
}

// keep adds the packet's payload to the flow's opening if it is among those to be kept.
func (t *Table) keep(f *Flow, dir Direction, h *packet.Headers, p *capture.Packet) bool {
	if f.released || f.Label.Final || t.cfg.OpeningPackets < 0 ||
		h.Proto != packet.TCP && h.Proto != packet.UDP || h.Has&packet.HasPayload == 0 || h.PayloadWireLen == 0 {
		return false
	}
	if f.Opening == nil {
		f.Opening = t.pool.opening()
	}
	payload := Payload{Nanos: p.Nanos, Dir: dir, Len: h.PayloadWireLen, Data: h.Payload(p.Data)}
	if f.Opening == nil || !t.pool.add(f.Opening, payload) {
		// An opening is the first payloads without a gap, so it ends here.
		t.stats.OpeningsShort++
		f.OpeningShort, f.released = true, true
		return false
	}
	t.stats.PayloadsKept++
	f.released = len(f.Opening.Payloads) == t.cfg.OpeningPackets
	return true
}

// Release gives the opening of a flow back to the pool; no further payload of the flow is kept.
func (t *Table) Release(f *Flow) {
	if f.Opening != nil {
		t.pool.release(f.Opening)
		f.Opening = nil
	}
	f.released = true
}

// Stats returns the counters.
func (t *Table) Stats() Stats {
	stats := t.stats
	stats.Alive = len(t.flows)
	stats.PayloadMemory = t.pool.lent
	return stats
}

func (t *Table) at(slot uint32) *Flow { return &t.chunks[slot/chunkLen][slot%chunkLen] }
