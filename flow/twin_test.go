package flow

import (
	"cmp"
	"encoding/binary"
	fnv1a "hash/fnv"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// step is something that happens to a table: a packet, or a sweep.
type step struct {
	sweep bool
	nanos int64
	h     packet.Headers
	n     int // payload bytes
}

// recordOf is a copy of a flow that has ended.
func recordOf(f *Flow) Flow {
	r := *f
	r.Opening = slices.Clone(r.Opening)
	for i := range r.Opening {
		r.Opening[i].Data = slices.Clone(r.Opening[i].Data)
	}
	return r
}

// same reports whether two records are equal. It names every field, so that none is forgotten.
func same(a, b Flow) bool {
	openings := slices.EqualFunc(a.Opening, b.Opening, func(a, b Payload) bool {
		return a.Nanos == b.Nanos && a.Dir == b.Dir && a.Len == b.Len && string(a.Data) == string(b.Data)
	})
	a.Opening, b.Opening = nil, nil
	return openings && a.ID() == idOf(&b) && reflect.DeepEqual(a, b)
}

// twin is the table as one would write it on paper: a list of flows, looked through from its beginning
// for every packet. It has no limits.
type twin struct {
	cfg    Config
	flows  []*Flow
	firsts []step // first fragments, latest last
	ended  []Flow
}

func (w *twin) end(done func(*Flow) (EndReason, bool)) {
	var alive []*Flow
	for _, r := range w.flows {
		reason, over := done(r)
		if !over {
			alive = append(alive, r)
			continue
		}
		if w.closed(r) {
			reason = EndOfFlow
		}
		r.Reason = reason
		w.ended = append(w.ended, *r)
	}
	w.flows = alive
}

func (w *twin) closed(f *Flow) bool {
	var fins, rsts, seen int
	for dir := range 2 {
		if f.Packets[dir] > 0 {
			seen++
		}
		if f.Flags[dir]&packet.FIN != 0 {
			fins++
		}
		if f.Flags[dir]&packet.RST != 0 {
			rsts++
		}
	}
	return rsts > 0 || fins == seen
}

func (w *twin) timedOut(r *Flow, now int64) (EndReason, bool) {
	idle, active := r.Last+int64(w.cfg.Lifetime), r.Start+int64(w.cfg.Active)
	if w.cfg.Active > 0 && active < idle {
		return ActiveTimeout, now >= active
	}
	return IdleTimeout, now >= idle
}

func (w *twin) do(s step, ordinal uint64) {
	if s.sweep {
		w.end(func(r *Flow) (EndReason, bool) { return w.timedOut(r, s.nanos) }) // w.flows is in order of first packets
		return
	}
	if s.h.Version == 0 {
		return
	}
	key := KeyOf(&s.h)
	if s.h.Has&packet.LaterFragment != 0 {
		for _, first := range slices.Backward(w.firsts) {
			same := first.h.Src == s.h.Src && first.h.Dst == s.h.Dst && first.h.FragID == s.h.FragID && first.h.Version == s.h.Version
			if same && (s.h.Version == 6 || first.h.Proto == s.h.Proto) {
				if gap := first.nanos - s.nanos; gap < int64(30*time.Second) && gap > -int64(30*time.Second) {
					key = KeyOf(&first.h)
				}
				break
			}
		}
	} else if s.h.Has&packet.Fragment != 0 {
		w.firsts = append(w.firsts, s)
	}
	back := Key{Src: key.Dst, Dst: key.Src, SrcPort: key.DstPort, DstPort: key.SrcPort, Version: key.Version, Proto: key.Proto, Kind: key.Kind}
	turns := !w.cfg.Directional && key.Kind != OneWay && key.Kind != Fragments
	var salt uint64
	w.end(func(r *Flow) (EndReason, bool) {
		if r.Key != key && !(turns && r.Key == back) {
			return Alive, false
		}
		reason, over := w.timedOut(r, s.nanos)
		if !over && w.closed(r) && s.h.TCPFlags&0x17 == packet.SYN {
			reason, over = EndOfFlow, true
		}
		if over && r.Start == s.nanos {
			salt = idOf(r)
		}
		return reason, over
	})
	var r *Flow
	dir := Originator
	for _, candidate := range w.flows {
		if candidate.Key == key {
			r = candidate
		} else if turns && candidate.Key == back {
			r, dir = candidate, Responder
		}
	}
	if r == nil {
		reversed := false
		if turns {
			_, reversed = key.Canonical()
		}
		r = &Flow{salt: salt, reversed: reversed, Key: key, Start: s.nanos, Last: s.nanos, FirstPacket: ordinal, Label: Label{Class: NoClass}}
		w.flows = append(w.flows, r)
	}
	f := r
	f.Last = max(f.Last, s.nanos)
	f.Packets[dir]++
	f.Bytes[dir] += uint64(14 + s.h.IPLen)
	f.IPBytes[dir] += uint64(s.h.IPLen)
	f.PayloadBytes[dir] += uint64(s.h.PayloadWireLen)
	f.Flags[dir] |= s.h.TCPFlags
	if (s.h.Proto == packet.TCP || s.h.Proto == packet.UDP) && s.h.Has&packet.HasPayload != 0 && s.n > 0 && len(r.Opening) < w.cfg.OpeningPackets {
		r.Opening = append(r.Opening, Payload{Nanos: s.nanos, Dir: dir, Len: s.n, Data: dataOf(s)[:min(s.n, w.cfg.OpeningBytes)]})
	}
}

// idOf is Flow.ID byte by byte.
func idOf(f *Flow) uint64 {
	if f.reversed {
		back, _ := f.Key.Canonical()
		return plainID(back, f.Start, f.salt)
	}
	return plainID(f.Key, f.Start, f.salt)
}

// plainID is Key.id byte by byte.
func plainID(k Key, start int64, salt uint64) uint64 {
	b := slices.Concat(k.Src[:], k.Dst[:])
	b = binary.BigEndian.AppendUint16(b, k.SrcPort)
	b = binary.BigEndian.AppendUint16(b, k.DstPort)
	b = binary.BigEndian.AppendUint32(b, k.FragID)
	b = append(b, k.Version, k.Proto, uint8(k.Kind))
	b = binary.BigEndian.AppendUint64(b, uint64(start))
	b = binary.BigEndian.AppendUint64(b, salt)
	f := fnv1a.New64a()
	f.Write(b)
	h := f.Sum64()
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// dataOf returns the frame of a packet: its payload alone, filled with what tells packets apart.
func dataOf(s step) []byte {
	data := make([]byte, s.n)
	for i := range data {
		data[i] = byte(s.nanos>>8) ^ byte(s.n)
	}
	return data
}

// feeder gives a table steps, and lets it expect the packets of so many steps ahead. Now and then it
// gives it another packet than the expected one.
type feeder struct {
	*Table
	steps []step
	lead  int
	next  int // step to expect
}

func (f *feeder) do(i int) {
	for f.next = max(f.next, i); f.next < min(i+f.lead, len(f.steps)); f.next++ {
		if s := &f.steps[f.next]; !s.sweep {
			f.Expect(&s.h)
		}
	}
	s := &f.steps[i]
	if s.sweep {
		f.Sweep(s.nanos)
		return
	}
	h := &s.h
	if i%97 == 0 {
		h = new(packet.Headers)
		*h = s.h
	}
	f.Update(h, &capture.Packet{Nanos: s.nanos, Data: dataOf(*s), WireLen: 14 + s.h.IPLen}, uint64(i))
}

// randomSteps makes traffic among few hosts, ports and identifications, so that all that can happen to
// a flow happens often. Time mostly goes on, sometimes far, sometimes back.
func randomSteps(rng *rand.Rand, n int) []step { return stepsAmong(rng, n, 3, 2) }

// stepsAmong is randomSteps with so many hosts and ports.
func stepsAmong(rng *rand.Rand, n, hosts, ports int) []step {
	steps := make([]step, 0, n)
	now := int64(1_700_000_000) * second
	for range n {
		switch rng.IntN(40) {
		case 0:
			now += rng.Int64N(4000 * second)
		case 1:
			now -= rng.Int64N(100 * second)
		case 2: // no time passes
		default:
			now += rng.Int64N(second)
		}
		if rng.IntN(10) == 0 {
			steps = append(steps, step{sweep: true, nanos: now})
			continue
		}
		var h packet.Headers
		h.Version = 4 + 2*uint8(rng.IntN(2))
		h.Src[0], h.Dst[0] = byte(rng.IntN(hosts)), byte(rng.IntN(hosts))
		if h.Version == 6 {
			h.Src[15], h.Dst[9] = byte(rng.IntN(2)), byte(rng.IntN(2))
		}
		h.FragID = uint32(rng.IntN(3))
		payloadLen := rng.IntN(20)
		h.PayloadWireLen, h.PayloadLen = payloadLen, payloadLen
		h.IPLen = 40 + payloadLen
		switch kind := rng.IntN(20); {
		case kind < 9:
			h.Proto, h.Has = packet.TCP, packet.HasPorts|packet.HasFlags|packet.HasPayload
			h.TCPFlags = []uint8{packet.SYN, packet.SYN | packet.ACK, packet.ACK, packet.ACK, packet.FIN | packet.ACK, packet.RST}[rng.IntN(6)]
		case kind < 13:
			h.Proto, h.Has = packet.UDP, packet.HasPorts|packet.HasPayload
		case kind < 15:
			h.Proto, h.Has = packet.ICMP, packet.HasICMP|packet.HasPayload
			h.ICMPType = []uint8{0, 8, 3, 11}[rng.IntN(4)]
			h.ICMPCode = uint8(rng.IntN(2))
		case kind < 17:
			h.Proto, h.Has = packet.UDP, packet.HasPorts|packet.HasPayload|packet.Fragment
		case kind < 19:
			h.Proto, h.Has = packet.UDP, packet.Fragment|packet.LaterFragment
		default:
			h.Proto = 47
			if rng.IntN(3) == 0 {
				h = packet.Headers{}
			}
		}
		if h.Has&packet.HasPorts != 0 {
			h.SrcPort, h.DstPort = uint16(rng.IntN(ports)), uint16(rng.IntN(ports))
		}
		if h.Has&packet.Fragment == 0 {
			h.FragID = 0
		}
		steps = append(steps, step{nanos: now, h: h, n: h.PayloadLen})
	}
	return steps
}

// configs are settings without limits that come into play.
var configs = []Config{
	{Lifetime: 3600 * time.Second, OpeningPackets: 10, OpeningBytes: 784},
	{Lifetime: 10 * time.Second, OpeningPackets: 3, OpeningBytes: 8},
	{Lifetime: 100 * time.Second, Active: 60 * time.Second, OpeningPackets: 1, OpeningBytes: 1},
	{Lifetime: 60 * time.Second, Active: 60 * time.Second, OpeningPackets: 10, OpeningBytes: 784},
	{Lifetime: 3600 * time.Second, Directional: true, OpeningPackets: 10, OpeningBytes: 784},
}

func compareWithTwin(t *testing.T, cfg Config, steps []step, lead int) {
	t.Helper()
	w := &twin{cfg: cfg}
	var ended []Flow
	cfg.OnEnd = func(f *Flow) { ended = append(ended, recordOf(f)) }
	table := New(cfg)
	f := feeder{Table: table, steps: steps, lead: lead}
	for i, s := range steps {
		f.do(i)
		w.do(s, uint64(i))
		if len(ended) != len(w.ended) || table.Stats().Alive != len(w.flows) {
			t.Fatalf("step %d, %+v: %d flows ended and %d alive, twin %d and %d", i, s, len(ended), table.Stats().Alive, len(w.ended), len(w.flows))
		}
	}
	table.Flush(ForcedEnd)
	w.end(func(*Flow) (EndReason, bool) { return ForcedEnd, true })
	for i := range max(len(ended), len(w.ended)) {
		if i >= len(ended) || i >= len(w.ended) || !same(ended[i], w.ended[i]) {
			t.Fatalf("flow %d of %d:\n got %+v\nwant %+v", i, len(w.ended), ended[i], w.ended[i])
		}
	}
	if got := table.Stats(); got.PayloadMemory != 0 || got.Alive != 0 || got.OpeningsShort != 0 || got.Evicted != [NumWorths]uint64{} {
		t.Errorf("at the end %+v: want no flow, no memory, no limit reached", got)
	}
	table.Close()
}

func TestTableAgreesWithTwin(t *testing.T) {
	for seed := range uint64(40) {
		for _, cfg := range configs {
			compareWithTwin(t, cfg, randomSteps(rand.New(rand.NewPCG(seed, 1)), 600), int(seed)*2%(MaxExpected+1))
		}
	}
}

func FuzzTable(f *testing.F) {
	for seed := range uint64(5) {
		f.Add(seed, uint8(seed), []byte("some steps to leave out and times to change"))
	}
	f.Fuzz(func(t *testing.T, seed uint64, config uint8, edits []byte) {
		steps := randomSteps(rand.New(rand.NewPCG(seed, 2)), 200)
		for ; len(edits) >= 3; edits = edits[3:] {
			s := &steps[int(edits[0])%len(steps)]
			s.nanos += int64(int16(binary.BigEndian.Uint16(edits[1:]))) * second / 4
			s.h.TCPFlags ^= edits[1] & 0x17 * (s.h.TCPFlags & 1)
		}
		compareWithTwin(t, configs[int(config)%len(configs)], steps, int(config)%(MaxExpected+1))
	})
}

// TestShardsAddUpToOneTable spreads packets over tables as workers do.
func TestShardsAddUpToOneTable(t *testing.T) {
	inOrder := func(a, b Flow) int { return cmp.Compare(a.FirstPacket, b.FirstPacket) }
	for _, cfg := range configs {
		steps := randomSteps(rand.New(rand.NewPCG(9, 9)), 5000)
		var want []Flow
		for _, shards := range []int{1, 2, 3, 8} {
			var got []Flow
			cfg.OnEnd = func(f *Flow) { got = append(got, recordOf(f)) }
			tables := make([]*Table, shards)
			for i := range tables {
				tables[i] = New(cfg)
			}
			for i, s := range steps {
				one := feeder{Table: tables[ShardHash(&s.h)%uint64(shards)], steps: steps}
				if !s.sweep {
					one.do(i)
					continue
				}
				for _, table := range tables {
					table.Sweep(s.nanos)
				}
			}
			for _, table := range tables {
				table.Flush(ForcedEnd)
			}
			slices.SortFunc(got, inOrder)
			if shards == 1 {
				want = got
			}
			if !slices.EqualFunc(got, want, same) {
				t.Errorf("lifetime %v, active %v: %d tables found %d flows, one table %d, and not the same", cfg.Lifetime, cfg.Active, shards, len(got), len(want))
			}
		}
	}
}

// TestTableAtItsLimits looks at what must hold however little room there is.
func TestTableAtItsLimits(t *testing.T) {
	for seed := range uint64(20) {
		var ended uint64
		cfg := Config{Lifetime: 100 * time.Second, MaxFlows: 7, PayloadMemory: 2000, FragmentCache: 2}
		cfg.OnEnd = func(*Flow) { ended++ }
		table := New(cfg)
		f := feeder{Table: table, steps: randomSteps(rand.New(rand.NewPCG(seed, 3)), 2000), lead: 40}
		for i := range f.steps {
			f.do(i)
			stats := table.Stats()
			if stats.Alive > 7 || stats.PayloadMemory > 2000 {
				t.Fatalf("seed %d, step %d: %+v", seed, i, stats)
			}
			if stats.Flows != ended+uint64(stats.Alive) {
				t.Fatalf("seed %d, step %d: %d flows started, %d ended, %d alive", seed, i, stats.Flows, ended, stats.Alive)
			}
		}
		table.Flush(ForcedEnd)
		stats := table.Stats()
		var sum uint64
		for _, n := range stats.Ended {
			sum += n
		}
		if sum != stats.Flows || ended != stats.Flows || stats.Alive != 0 || stats.PayloadMemory != 0 {
			t.Errorf("seed %d: %d flows started, %d ended by reason, %d by call; %+v", seed, stats.Flows, sum, ended, stats)
		}
		if stats.Evicted == [NumWorths]uint64{} || stats.OpeningsShort == 0 || stats.FragmentsEvicted == 0 {
			t.Errorf("seed %d: the traffic came to no limit: %+v", seed, stats)
		}
	}
}

// TestSweepsInParts ends what is over part by part, and wants of each part what Next says of it, and of
// all what one Sweep ends.
func TestSweepsInParts(t *testing.T) {
	for _, most := range []int{1, 7, 100, 1 << 20} {
		var got, want []Flow
		steps := stepsAmong(rand.New(rand.NewPCG(6, 6)), 5000, 60, 10)
		tables := [2]*Table{}
		for i, ended := range []*[]Flow{&want, &got} {
			tables[i] = New(Config{Active: 50 * time.Minute, OnEnd: func(f *Flow) { *ended = append(*ended, recordOf(f)) }})
			defer tables[i].Close()
		}
		whole, parts := tables[0], tables[1]
		parts.most = most
		for i := range steps {
			s := &steps[i]
			s.nanos = steps[0].nanos + (s.nanos-steps[0].nanos)/20
			if i%1000 != 999 {
				if !s.sweep {
					for _, table := range tables {
						(&feeder{Table: table, steps: steps}).do(i)
					}
				}
				continue
			}
			if got, want := parts.Over(s.nanos), whole.Over(s.nanos); got != want {
				t.Errorf("%d flows are over, want %d", got, want)
			}
			over, before := whole.Over(s.nanos), len(want)
			whole.Sweep(s.nanos)
			if len(want)-before != over {
				t.Errorf("%d flows ended, %d were over", len(want)-before, over)
			}
			for next := uint64(0); next != math.MaxUint64; {
				next = parts.Next(s.nanos, 10)
				ended := len(got)
				parts.SweepBefore(s.nanos, next)
				if n := len(got) - ended; n > 10 || n == 0 && next != math.MaxUint64 {
					t.Errorf("a part of %d flows, want up to 10", n)
				}
			}
			if !slices.EqualFunc(got, want, same) {
				t.Fatalf("step %d: %d flows ended in parts of %d, %d at once, and not the same ones", i, len(got), most, len(want))
			}
		}
		if len(want) < 500 || whole.alive == 0 {
			t.Errorf("%d flows ended, %d are alive: the traffic is too dull", len(want), whole.alive)
		}
	}
}
