package flow

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// TestIdentIsTheCanonicalKey takes the short way from headers to ident and the long one.
func TestIdentIsTheCanonicalKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50_000 {
		s := stepsAmong(rng, 1, 3, 3)[0]
		if s.sweep || s.h.Version == 0 {
			continue
		}
		key := KeyOf(&s.h)
		for _, directional := range []bool{false, true} {
			canonical, turned := key, false
			if !directional {
				canonical, turned = key.Canonical()
			}
			id, reversed := identOf(key, directional)
			if s.h.Has&packet.Fragment == 0 {
				if short, r := identify(&s.h, directional); short != id || r != reversed {
					t.Fatalf("%+v: ident %#x, reversed %v, the long way %#x, %v", key, short, r, id, reversed)
				}
			}
			if same, r := identOf(canonical, directional); reversed != turned || same != id || r {
				t.Fatalf("%+v: ident %#x, reversed %v; of its canonical key %#x, %v", key, id, reversed, same, r)
			}
		}
	}
}

// TestCellsHoldTheirKeys reads keys back, and looks them up among others that differ in one place.
func TestCellsHoldTheirKeys(t *testing.T) {
	table := New(Config{})
	defer table.Close()
	var keys []Key
	add := func(h packet.Headers) {
		f, dir, _ := table.Update(&h, &capture.Packet{}, uint64(len(keys)))
		if got, want := f.Key(), KeyOf(&h); got != want || dir != Originator || f.PacketCount() != 1 {
			t.Fatalf("a first packet of %+v came to flow %+v with %d packets", want, got, f.PacketCount())
		}
		keys = append(keys, f.Key())
	}
	base4 := headersOf(packet.TCP, "10.0.0.1", "192.0.2.7", 1000, 80)
	base6 := headersOf(packet.TCP, "2001:db8::1", "2001:db8::ffff", 1000, 80)
	for _, base := range []packet.Headers{base4, base6} {
		add(base)
		addrLen := 4
		if base.Version == 6 {
			addrLen = 16
		}
		for i := range addrLen {
			for bit := range 8 {
				h := base
				h.Src[i] ^= 1 << bit
				add(h)
				h = base
				h.Dst[i] ^= 1 << bit
				add(h)
			}
		}
		for bit := range 16 {
			h := base
			h.SrcPort ^= 1 << bit
			add(h)
			h = base
			h.DstPort ^= 1 << bit
			add(h)
		}
		for _, proto := range []uint8{packet.UDP, packet.SCTP} {
			h := base
			h.Proto = proto
			add(h)
		}
		h := base
		h.Has &^= packet.HasPorts
		add(h)
		for id := range uint32(40) {
			h.Has, h.FragID = packet.Fragment|packet.LaterFragment, id<<27|id
			add(h)
		}
		h = headersOf(packet.ICMP, "10.0.0.1", "192.0.2.7", 8, 0)
		h.Src, h.Dst, h.Version = base.Src, base.Dst, base.Version
		add(h)
		h.ICMPType = 3
		add(h)
		h.ICMPCode = 1
		add(h)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return slices.Compare(append(a.Src[:], a.Dst[:]...), append(b.Src[:], b.Dst[:]...))
	})
	if got := table.Stats().Flows; int(got) != len(keys) {
		t.Errorf("%d flows of %d keys", got, len(keys))
	}
}

// TestResultsDoNotDependOnTheKey meters the same packets under several keys, with room and without.
func TestResultsDoNotDependOnTheKey(t *testing.T) {
	steps := stepsAmong(rand.New(rand.NewPCG(7, 7)), 30_000, 40, 20)
	for _, cfg := range []Config{{}, {MaxFlows: 500, PayloadMemory: 30_000}, {Memory: MinMemory}} {
		cfg.Lifetime = 10_000 * time.Hour
		var want []Flow
		var wantStats Stats
		for run := range 4 {
			var got []Flow
			cfg.OnEnd = func(f *Flow) { got = append(got, recordOf(f)) }
			table := newTable(cfg, maphash.MakeSeed())
			f := feeder{Table: table, steps: steps, lead: 16 * run}
			for i := range steps {
				f.do(i)
			}
			table.Flush(ForcedEnd)
			if run == 0 {
				want, wantStats = got, table.Stats()
			}
			if !slices.EqualFunc(got, want, same) || table.Stats() != wantStats {
				t.Errorf("%d flows, at most %d at a time: under another key\n got %+v\nwant %+v", len(got), cfg.MaxFlows, table.Stats(), wantStats)
			}
			table.Close()
		}
		if limited := cfg.MaxFlows+cfg.Memory > 0; limited != (wantStats.Evicted[Unanswered] > 0) {
			t.Errorf("evicted %v", wantStats.Evicted)
		}
	}
}

// TestCraftedCollisions sends flows whose hashes collide under one key, as somebody who knew it would.
// Under that key a page of the index overflows; under another nothing happens, so who does not know it
// gains nothing.
func TestCraftedCollisions(t *testing.T) {
	const flows = 6000
	known := maphash.MakeSeed()
	var crafted []packet.Headers
	h := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 0, 0)
	for i := uint32(0); len(crafted) < flows; i++ {
		h.Src[1], h.SrcPort, h.DstPort = byte(i>>28), uint16(i>>14), uint16(i&(1<<14-1))
		id, _ := identify(&h, false)
		if id.hash(known)>>56 == 0x5a { // one in 256
			crafted = append(crafted, h)
		}
	}
	start := func(seed maphash.Seed) Stats {
		// Room for twice as many flows, in 2⁴ pages.
		table := newTable(Config{Memory: 2 * flows * 96}, seed)
		defer table.Close()
		for i := range crafted {
			table.Update(&crafted[i], &capture.Packet{WireLen: 114}, uint64(i))
		}
		return table.Stats()
	}
	if got := start(known); got.Alive > pageLen || got.Evicted[Unanswered] != flows-pageLen {
		t.Errorf("under the key that they are crafted for, %d of %d flows stayed in a page for %d", got.Alive, flows, pageLen)
	}
	for range 20 {
		if got := start(maphash.MakeSeed()); got.Alive != flows || got.Evicted[Unanswered] != 0 {
			t.Errorf("under another key, %d of %d flows are in the table and %d were evicted", got.Alive, flows, got.Evicted)
		}
	}
}

// TestHashSpreads counts how flows that scans and floods are made of fall into places: as many to each
// as a random hash would give.
func TestHashSpreads(t *testing.T) {
	const flows, places = 1 << 18, 1 << 10 // 256 each, with a deviation of 16
	for name, change := range map[string]func(uint32, *packet.Headers){
		"a scan of ports":     func(i uint32, h *packet.Headers) { h.DstPort, h.Src[3] = uint16(i), byte(i>>16) },
		"a scan of addresses": func(i uint32, h *packet.Headers) { h.Dst[1], h.Dst[2], h.Dst[3] = byte(i>>16), byte(i>>8), byte(i) },
		"a flood of both": func(i uint32, h *packet.Headers) {
			h.Src[0], h.Src[1], h.SrcPort = byte(i*2654435761>>24), byte(i*2654435761>>16), uint16(i*2654435761)
		},
		"high bits alone": func(i uint32, h *packet.Headers) {
			h.Src[0], h.Dst[0], h.SrcPort = byte(i), byte(i>>8), uint16(i>>16)<<14
		},
	} {
		for _, version := range []uint8{4, 6} {
			h := headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
			h.Version = version
			seed := maphash.MakeSeed()
			var high, low [places]int
			for i := range uint32(flows) {
				change(i, &h)
				id, reversed := identify(&h, true)
				hash := id.hash(seed)
				if version == 6 {
					hash = id.hash6(seed, endsOf(&h, reversed))
				}
				high[hash>>54]++
				low[hash>>32%places]++
			}
			for i := range high {
				for _, n := range []int{high[i], low[i]} {
					if n < 256-8*16 || n > 256+8*16 {
						t.Errorf("%s, IPv%d: %d flows in a place, want about 256", name, version, n)
					}
				}
			}
		}
	}
}
