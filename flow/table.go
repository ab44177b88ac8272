package flow

import (
	"hash/maphash"
	"math"
	"runtime"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// Config is how a Table keeps flows. The zero value takes the defaults.
type Config struct {
	Lifetime       time.Duration // without a packet until a flow ends; default 3600 s (paper A)
	Active         time.Duration // from the first packet until a flow is cut; default 0: never
	Directional    bool          // each direction is a flow of its own, all of it by the Originator
	Memory         int           // bytes of flows and what finds them; default 1 GiB
	MaxFlows       int           // flows at a time; default 0: as many as fit in Memory
	OpeningPackets int           // payloads kept per flow (paper A: T), at most 65,535; default 10, negative for none
	OpeningBytes   int           // captured bytes kept per payload; default 784
	PayloadMemory  int           // bytes of all openings at a time; default 128 MiB
	FragmentCache  int           // first fragments remembered at a time; default 4096

	// OnEnd is called for each flow that ends; the flow is valid until it returns. It must not call the
	// table.
	OnEnd func(*Flow)

	// OnSettle is called when flows Wait and the table is about to do something that their labels may count
	// for. It must label, and release, those that are to be, and call the table for nothing else.
	OnSettle func()
}

// Defaults and bounds of Config.
const (
	DefaultMemory = 1 << 30
	MinMemory     = 64 << 10 // of a table: less is taken for as much
	maxOpening    = math.MaxUint16
)

func (c Config) withDefaults() Config {
	if c.Lifetime <= 0 {
		c.Lifetime = 3600 * time.Second
	}
	if c.Memory <= 0 {
		c.Memory = DefaultMemory
	}
	c.Memory = max(c.Memory, MinMemory)
	if c.MaxFlows <= 0 {
		c.MaxFlows = math.MaxInt
	}
	if c.OpeningPackets == 0 {
		c.OpeningPackets = 10
	}
	c.OpeningPackets = min(c.OpeningPackets, maxOpening)
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
	if c.OnSettle == nil {
		c.OnSettle = func() {}
	}
	return c
}

// Share returns the configuration of each of n tables that keep to c's limits together.
func (c Config) Share(n int) Config {
	c = c.withDefaults()
	c.Memory = max(c.Memory/n, MinMemory)
	c.MaxFlows = max(c.MaxFlows/n, 1)
	c.PayloadMemory = max(c.PayloadMemory/n, 1)
	c.FragmentCache = max(c.FragmentCache/n, 1)
	return c
}

// Stats counts what a Table has seen. Only Alive, Memory and PayloadMemory ever go back.
type Stats struct {
	Flows            uint64                // flows started
	Alive            int                   // flows in the table now
	Ended            [NumEndReasons]uint64 // flows by reason
	Evicted          [NumWorths]uint64     // flows ended because the table was full, closed ones too
	Memory           int                   // bytes that flows hold now, without what finds them
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
// packets of one stream are spread over several tables by ShardHash and Sweep is called for all of them
// at the same points of the stream, they hold together the flows that one table would, as long as none
// reaches a limit of its Config. At a limit, what goes depends on all packets of the table, but not on
// the secret that keys its hash.
//
// A packet of a known flow allocates nothing, and memory outside Go's heap holds the flows, so that ten
// million of them are no work for the garbage collector.
type Table struct {
	cfg       Config
	seed      maphash.Seed
	mask      uint64 // of hashes: all ones, less in tests
	memory    *memory
	cells     []*[chunkCells]cell
	blocks    []block
	maxCells  int    // that fit in Config.Memory
	used      uint32 // cells that were ever taken, and number 0
	free      uint32 // the first free one of them; each names the next
	room      int    // cells that can be taken
	index     index
	due       int64  // no later than the deadline of any flow
	hand      uint32 // cell from which eviction looks on
	alive     int
	newest    uint64 // ordinal of the packet at hand
	ended     uint32 // flows so far, modulo 2³²
	fragments fragments
	pool      *pool
	ahead     lookahead
	ending    []ending // of the Sweep at work
	waiting   []uint32 // cells of flows that Wait
	parts     parts
	most      int  // mostEnding, less in tests
	record    Flow // given to OnEnd
	stats     Stats
}

// New returns an empty table. Close gives its memory back.
func New(cfg Config) *Table { return newTable(cfg, secret) }

func newTable(cfg Config, seed maphash.Seed) *Table { return newTableIn(new(memory), cfg, seed) }

func newTableIn(m *memory, cfg Config, seed maphash.Seed) *Table {
	cfg = cfg.withDefaults()
	maxCells, depth := capacity(cfg.Memory)
	t := &Table{
		cfg: cfg, seed: seed, mask: math.MaxUint64, memory: m,
		maxCells: maxCells, used: 1, room: maxCells,
		index:     newIndex(depth, m),
		due:       math.MaxInt64,
		most:      mostEnding,
		fragments: newFragments(cfg.FragmentCache),
		pool:      newPool(cfg.PayloadMemory, cfg.OpeningPackets, cfg.OpeningBytes, m),
	}
	t.grow()
	t.cell(0).rest = noFlow
	runtime.AddCleanup(t, (*memory).free, m)
	return t
}

// capacity returns how many cells, each of which may be a flow, fit in so many bytes with what finds
// them, and how far the index may be split for it. Pages are no fuller than three quarters on the
// average, so that of some hundred thousand none is ever full.
func capacity(memory int) (cells int, depth uint8) {
	const perBlock = cellLen*blockLen + blockSize
	for d := 1; d <= deepest; d++ {
		pages := 1 << d
		left := memory - pages*(pageSize+8) - chunkCells/blockLen*blockSize // blocks come by the chunk
		if n := min(left/perBlock*blockLen, pages*(pageLen*3/4)); n > cells {
			cells, depth = n, uint8(d)
		}
	}
	return min(cells, math.MaxUint32-1), depth
}

// Close gives back the table's memory, whatever is still in it. Nothing but Stats may be called after.
func (t *Table) Close() {
	t.memory.free()
	t.cells, t.index.pages, t.pool.chunks = nil, nil, nil
}

// Update counts a packet, the ordinal-th of the stream, into its flow and returns the flow, the
// packet's direction in it and whether the packet's payload joined the opening. A packet without a
// valid IP header has no flow: f is the zero Ref.
//
// A packet starts a new flow, and thereby ends the old one with its key, when the old one's lifetime
// was over before it, or when it is a SYN without ACK and the old one is closed. FIN and RST alone end
// nothing: what trails behind them belongs to the flow.
func (t *Table) Update(h *packet.Headers, p *capture.Packet, ordinal uint64) (f Ref, dir Direction, payload bool) {
	if h.Version == 0 {
		t.next(h)
		return Ref{}, Originator, false
	}
	if t.room == 0 {
		t.evict(0)
	}
	t.newest = ordinal
	at := t.next(h)
	if h.Has&packet.Fragment != 0 {
		if id, reversed := identOf(t.fragments.key(h, p.Nanos, &t.stats), t.cfg.Directional); id != at.id || reversed != at.reversed {
			at.id, at.reversed, at.stage = id, reversed, identified
		}
	}
	e := endsOf(h, at.reversed) // a fragment's key has its addresses too
	n := at.cell
	if at.stage != looked || at.ended != t.ended || n == 0 || !t.matches(t.cell(n), &at.id, e) {
		if at.stage == identified {
			at.hash = t.hash(&at.id, e)
		}
		n = t.find(at.hash, &at.id, e)
	}
	var salt uint64
	if n != 0 {
		c := t.cell(n)
		if h.PayloadWireLen > 0 && (Ref{t, n}).Waits() {
			t.Settle()
		}
		if reason := t.over(c, h, p.Nanos); reason != Alive {
			if c.start == p.Nanos {
				salt = t.id(c)
			}
			t.end(n, reason)
			n = 0
		}
	}
	if n == 0 {
		n = t.start(at, e, salt, p.Nanos)
	}

	c := t.cell(n)
	if at.reversed != (c.rest&isReversed != 0) {
		dir = Responder
	}
	if last := t.last(c); p.Nanos > last {
		t.renew(n, c, p.Nanos)
	} else if p.Nanos < last {
		t.stats.TimeBackwards++
	}
	c.rest |= uint64(h.TCPFlags) << (flags + 8*dir)
	t.count(n, c, dir, p.WireLen, h.IPLen, h.PayloadWireLen)
	return Ref{t, n}, dir, c.rest&(isReleased|isFinal) == 0 && t.keep(n, dir, h, p)
}

// over returns why a packet at nanos cannot belong to a flow with its key, or Alive when it does.
func (t *Table) over(c *cell, h *packet.Headers, nanos int64) EndReason {
	const request = packet.SYN | packet.ACK | packet.FIN | packet.RST
	switch {
	case t.deadline(c) <= nanos:
		return t.timeout(c)
	case h.TCPFlags&request == packet.SYN && c.closed():
		return EndOfFlow
	}
	return Alive
}

// start puts a blank flow into the table and returns its cell.
func (t *Table) start(at *expected, e ends, salt uint64, nanos int64) uint32 {
	if t.alive >= t.cfg.MaxFlows {
		t.evict(0)
	}
	// All room is made at once, so that the flow gets the cells of the one that goes, in their order:
	// see evict.
	needs := 1
	if at.id.rest&isIPv6 != 0 || salt != 0 {
		needs++
	}
	t.makeRoom(needs, 0)
	n := t.take(0)
	c := t.cell(n)
	*c = cell{
		addrs: at.id.addrs, rest: at.id.rest,
		start: nanos, first: uint32(t.newest), firstHigh: uint16(t.newest>>32) & (1<<(firstBits-32) - 1),
	}
	if at.reversed {
		c.rest |= isReversed
	}
	if t.cfg.OpeningPackets < 0 {
		c.rest |= isReleased
	}
	if c.rest&isIPv6 != 0 {
		s := t.sideOf(n)
		s.src, s.dst = *e.a, *e.b
	}
	if salt != 0 {
		t.sideOf(n).salt = salt
	}
	for !t.index.insert(at.hash, n) {
		t.evictFrom(t.index.page(t.index.pageOf(at.hash)))
	}
	b := &t.blocks[n/blockLen]
	b.flows |= 1 << (n % blockLen)
	b.due = min(b.due, t.deadline(c))
	t.due = min(t.due, b.due)
	t.alive++
	t.stats.Flows++
	return n
}

// end takes a flow out of the table.
func (t *Table) end(n uint32, reason EndReason) {
	t.endTagged(n, tagOf(t.hashOf(t.cell(n))), reason)
}

// endTagged is end for a flow of whose hash the tag is known.
func (t *Table) endTagged(n, tag uint32, reason EndReason) {
	t.Settle()
	c := t.cell(n)
	if c.closed() {
		reason = EndOfFlow
	}
	t.stats.Ended[reason]++
	r := &t.record
	t.fill(c, r)
	r.Reason = reason
	if c.side != 0 {
		r.Opening = t.pool.payloads(t.sideCell(c.side).opening, r.Opening)
	}
	t.index.remove(tag, n)
	t.blocks[n/blockLen].flows &^= 1 << (n % blockLen)
	t.alive--
	t.ended++
	t.cfg.OnEnd(r)
	clear(r.Opening)
	r.Opening = r.Opening[:0]
	if c.side != 0 {
		s := t.sideCell(c.side)
		t.pool.give(s.opening)
		if s.long != 0 {
			t.give(s.long)
		}
		t.give(c.side)
	}
	t.give(n)
}

// fill makes r the account of a flow, but for its opening.
func (t *Table) fill(c *cell, r *Flow) {
	// Field by field: a literal would be built elsewhere and copied.
	r.Key, r.reversed, r.salt = t.key(c), c.rest&isReversed != 0, 0
	r.Start, r.Last = c.start, t.last(c)
	r.Flags, r.FirstPacket, r.Reason = c.flags(), t.firstPacket(c), Alive
	r.Label, r.Tag = t.label(c), 0
	r.Opening, r.OpeningShort = r.Opening[:0], c.rest&isShort != 0
	var l long
	if c.side != 0 {
		s := t.sideCell(c.side)
		r.salt, r.Tag = s.salt, s.tag
		if s.long != 0 {
			l = *t.longCell(s.long)
		}
	}
	for dir := range 2 {
		r.Packets[dir] = uint64(c.packets[dir]) + l.packets[dir]
		r.IPBytes[dir] = uint64(c.ip[dir]) + l.ip[dir]
		r.Bytes[dir] = r.IPBytes[dir] + uint64(c.link[dir]) + uint64(l.link[dir])
		r.PayloadBytes[dir] = uint64(c.payload[dir]) + l.payload[dir]
	}
}

// keep adds the packet's payload to the flow's opening if it is among those to be kept.
func (t *Table) keep(n uint32, dir Direction, h *packet.Headers, p *capture.Packet) bool {
	if h.Proto != packet.TCP && h.Proto != packet.UDP || h.Has&packet.HasPayload == 0 || h.PayloadWireLen == 0 {
		return false
	}
	s, c := t.sideOf(n), t.cell(n)
	payload := Payload{Nanos: p.Nanos, Dir: dir, Len: h.PayloadWireLen, Data: h.Payload(p.Data)}
	count, ok := t.pool.add(&s.opening, payload)
	if !ok && t.Settle() {
		count, ok = t.pool.add(&s.opening, payload)
	}
	if !ok {
		// An opening is the first payloads without a gap, so it ends here.
		t.stats.OpeningsShort++
		c.rest |= isShort | isReleased
		return false
	}
	t.stats.PayloadsKept++
	if count == t.cfg.OpeningPackets {
		c.rest |= isReleased
	}
	return true
}

// Settle has the flows that Wait labelled and reports whether there were any.
func (t *Table) Settle() bool {
	if len(t.waiting) == 0 {
		return false
	}
	t.waiting = t.waiting[:0]
	t.cfg.OnSettle()
	return true
}

// Stats returns the counters.
func (t *Table) Stats() Stats {
	stats := t.stats
	stats.Alive = t.alive
	stats.Memory = (t.maxCells - t.room) * cellLen
	stats.PayloadMemory = t.pool.lent
	return stats
}

// footprint returns the bytes that were ever used for flows and what finds them.
func (t *Table) footprint() int {
	return int(t.used)*cellLen + len(t.blocks)*blockSize + len(t.index.info)*(pageSize+4) + len(t.index.directory)*4
}
