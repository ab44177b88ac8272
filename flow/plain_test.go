package flow

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// plain is the table without its own memory, index and layout: a Go map of keys, flows as they are
// written out, and a heap of deadlines. It has no limits. What it says must be what Table says.
type plain struct {
	cfg       Config
	flows     map[Key]*plainFlow // by canonical key (Directional: by key)
	deadlines []*plainFlow       // heap; a flow whose bound comes to the top is looked at
	fragments fragments
	stats     Stats
	free      []*plainFlow
}

type plainFlow struct {
	Flow
	reversed, released bool
	bound              int64 // no later than the deadline
	place              int   // in the heap
}

func newPlain(cfg Config) *plain {
	cfg = cfg.withDefaults()
	return &plain{cfg: cfg, flows: map[Key]*plainFlow{}, fragments: newFragments(cfg.FragmentCache)}
}

func (t *plain) Update(h *packet.Headers, p *capture.Packet, ordinal uint64) (f *plainFlow, dir Direction, payload bool) {
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
	f = t.flows[tableKey]
	if f != nil {
		if reason := t.over(f, h, p.Nanos); reason != Alive {
			if f.Start == p.Nanos {
				salt = idOf(&f.Flow)
			}
			t.leave(f)
			t.end(f, reason)
			f = nil
		}
	}
	if f == nil {
		f = new(plainFlow)
		if n := len(t.free); n > 0 {
			f, t.free = t.free[n-1], t.free[:n-1]
		}
		*f = plainFlow{Flow: Flow{
			salt: salt, reversed: reversed, Key: key, Start: p.Nanos, Last: p.Nanos, FirstPacket: ordinal,
			Label: Label{Class: NoClass},
		}, reversed: reversed}
		t.flows[tableKey] = f
		t.stats.Flows++
		f.bound = t.deadline(f)
		t.deadlines = append(t.deadlines, nil)
		t.up(len(t.deadlines)-1, f)
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
	return f, dir, t.keep(f, dir, h, p)
}

func (t *plain) over(f *plainFlow, h *packet.Headers, nanos int64) EndReason {
	if t.deadline(f) <= nanos {
		return t.timeout(f)
	}
	if h.TCPFlags&(packet.SYN|packet.ACK|packet.FIN|packet.RST) == packet.SYN && f.Closed() {
		return EndOfFlow
	}
	return Alive
}

func (t *plain) deadline(f *plainFlow) int64 {
	idle := after(f.Last, t.cfg.Lifetime)
	if t.cfg.Active > 0 {
		return min(idle, after(f.Start, t.cfg.Active))
	}
	return idle
}

func (t *plain) timeout(f *plainFlow) EndReason {
	if t.cfg.Active > 0 && after(f.Start, t.cfg.Active) < after(f.Last, t.cfg.Lifetime) {
		return ActiveTimeout
	}
	return IdleTimeout
}

func (t *plain) end(f *plainFlow, reason EndReason) {
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
	t.cfg.OnEnd(&f.Flow)
	t.free = append(t.free, f)
}

func (t *plain) keep(f *plainFlow, dir Direction, h *packet.Headers, p *capture.Packet) bool {
	if f.released || f.Label.Final || t.cfg.OpeningPackets < 0 ||
		h.Proto != packet.TCP && h.Proto != packet.UDP || h.Has&packet.HasPayload == 0 || h.PayloadWireLen == 0 {
		return false
	}
	data := h.Payload(p.Data)
	data = slices.Clone(data[:min(len(data), t.cfg.OpeningBytes)])
	f.Opening = append(f.Opening, Payload{Nanos: p.Nanos, Dir: dir, Len: h.PayloadWireLen, Data: data})
	t.stats.PayloadsKept++
	f.released = len(f.Opening) == t.cfg.OpeningPackets
	return true
}

func (t *plain) Sweep(now int64) {
	var over []*plainFlow
	for len(t.deadlines) > 0 && t.deadlines[0].bound <= now {
		f := t.deadlines[0]
		if f.bound = t.deadline(f); f.bound > now {
			t.down(0, f)
			continue
		}
		t.leave(f)
		over = append(over, f)
	}
	slices.SortFunc(over, func(a, b *plainFlow) int { return cmp.Compare(a.FirstPacket, b.FirstPacket) })
	for _, f := range over {
		t.end(f, t.timeout(f))
	}
}

func (t *plain) Flush(reason EndReason) {
	all := slices.Clone(t.deadlines)
	t.deadlines = nil
	slices.SortFunc(all, func(a, b *plainFlow) int { return cmp.Compare(a.FirstPacket, b.FirstPacket) })
	for _, f := range all {
		t.end(f, reason)
	}
}

// leave takes a flow out of the heap.
func (t *plain) leave(f *plainFlow) {
	last := len(t.deadlines) - 1
	moved := t.deadlines[last]
	t.deadlines = t.deadlines[:last]
	if moved != f {
		t.up(f.place, moved)
		t.down(moved.place, moved)
	}
}

func (t *plain) up(place int, f *plainFlow) {
	for place > 0 && t.deadlines[(place-1)/2].bound > f.bound {
		t.put(place, t.deadlines[(place-1)/2])
		place = (place - 1) / 2
	}
	t.put(place, f)
}

func (t *plain) down(place int, f *plainFlow) {
	for {
		child := 2*place + 1
		if child >= len(t.deadlines) {
			break
		}
		if child+1 < len(t.deadlines) && t.deadlines[child+1].bound < t.deadlines[child].bound {
			child++
		}
		if t.deadlines[child].bound >= f.bound {
			break
		}
		t.put(place, t.deadlines[child])
		place = child
	}
	t.put(place, f)
}

func (t *plain) put(place int, f *plainFlow) {
	t.deadlines[place] = f
	f.place = place
}

// TestTableAgreesWithPlain compares both on more flows than the twin on paper can hold, also where the
// hash is so poor that tags say nothing and buckets run over.
func TestTableAgreesWithPlain(t *testing.T) {
	for name, mask := range map[string]uint64{
		"hash":      math.MaxUint64,
		"poor hash": 0xfc00_0001 << 32, // 64 pages and two buckets
	} {
		for i, cfg := range configs {
			steps := stepsAmong(rand.New(rand.NewPCG(11, uint64(i))), 40_000, 60, 10)
			slow := i%2 == 0 // few flows are over before the end
			for k := range steps {
				if slow {
					steps[k].nanos = steps[0].nanos + (steps[k].nanos-steps[0].nanos)/5000
				}
			}
			var got, want []Flow
			cfg.OnEnd = func(f *Flow) { got = append(got, recordOf(f)) }
			table := New(cfg)
			table.mask, table.most = mask, 300
			f := feeder{Table: table, steps: steps, lead: 32}
			cfg.OnEnd = func(f *Flow) { want = append(want, *f) }
			p := newPlain(cfg)
			for k, s := range steps {
				f.do(k)
				if s.sweep {
					p.Sweep(s.nanos)
					if over := table.Over(s.nanos); over != 0 {
						t.Fatalf("%s, configuration %d, step %d: %d flows are over after a sweep", name, i, k, over)
					}
				} else {
					p.Update(&s.h, &capture.Packet{Nanos: s.nanos, Data: dataOf(s), WireLen: 14 + s.h.IPLen}, uint64(k))
				}
				if k%1000 == 0 && table.alive != len(p.flows) {
					t.Fatalf("%s, configuration %d, step %d: %d flows alive, want %d", name, i, k, table.alive, len(p.flows))
				}
			}
			if slow && table.alive < 5000 {
				t.Errorf("%s, configuration %d: only %d flows at a time", name, i, table.alive)
			}
			for before := uint64(0); before < uint64(len(steps)); before += 777 {
				table.FlushBefore(ForcedEnd, before)
			}
			table.Flush(ForcedEnd)
			p.Flush(ForcedEnd)
			if len(got) != len(want) {
				t.Fatalf("%s, configuration %d: %d flows ended, want %d", name, i, len(got), len(want))
			}
			for k := range got {
				if !same(got[k], want[k]) {
					t.Fatalf("%s, configuration %d: flow %d of %d\n got %+v\nwant %+v", name, i, k, len(want), got[k], want[k])
				}
			}
			stats, plain := table.Stats(), p.stats
			if stats.Flows != plain.Flows || stats.Ended != plain.Ended || stats.PayloadsKept != plain.PayloadsKept || stats.TimeBackwards != plain.TimeBackwards ||
				stats.FragmentsJoined != plain.FragmentsJoined || stats.FragmentsAlone != plain.FragmentsAlone {
				t.Errorf("%s, configuration %d:\n got %+v\nwant %+v", name, i, stats, plain)
			}
			if table.room != table.maxCells || table.pool.lent != 0 {
				t.Errorf("%s, configuration %d: %d cells and %d bytes of openings are missing", name, i, table.maxCells-table.room, table.pool.lent)
			}
			table.Close()
		}
	}
}

// Parts of a flush that others come between are no less right.
func TestFlushBetweenPackets(t *testing.T) {
	s := newScript(Config{})
	for i := range byte(100) {
		s.tcp(second, i, i, 200, packet.ACK, 0)
	}
	s.most = 5
	s.FlushBefore(ForcedEnd, 10)
	s.tcp(second, 150, 150, 200, packet.ACK, 0)
	s.FlushBefore(ForcedEnd, 20)
	s.tcp(second, 25, 25, 200, packet.SYN, 0)
	s.tcp(second, 25, 25, 200, packet.RST, 0)
	s.tcp(second, 25, 25, 200, packet.SYN, 0) // flow 25 ends before its time
	s.FlushBefore(ForcedEnd, 30)
	s.Sweep(1 << 62)
	s.Flush(ForcedEnd)
	var got []uint64
	for _, f := range s.ended {
		got = append(got, f.FirstPacket)
	}
	var want []uint64
	for i := range uint64(20) {
		want = append(want, i)
	}
	want = append(want, 25)
	for i := uint64(20); i < 100; i++ {
		if i != 25 {
			want = append(want, i)
		}
	}
	want = append(want, 100, 103)
	if !slices.Equal(got, want) {
		t.Errorf("flows ended in the order\n     %d, want\n     %d", got, want)
	}
}
