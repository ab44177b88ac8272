package flow

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// TestCountsBeyondTheCell sends packets of sizes that fill the cell's counts quickly, and others that
// do not fit them at all: a link header of less than nothing, lengths of billions.
func TestCountsBeyondTheCell(t *testing.T) {
	sizes := []struct{ wire, ip, payload int }{
		{1 << 20, 1<<20 - 14, 1<<20 - 54},
		{math.MaxInt32, math.MaxInt32 - 14, math.MaxInt32 - 54},
		{1 << 35, 1<<35 - 14, 1 << 34},
		{60, 65_535, 65_495},     // an IP length beyond the frame
		{262_144, 40, 0},         // a frame of padding
		{65_536 + 39, 40, 0},     // link bytes that fill their count to the brim
		{65_536 + 40, 40, 0},     // and over
		{40, 40, math.MaxUint32}, // the most that fits
		{40, math.MaxUint32, 1},  //
		{40, math.MaxUint32 + 1, 0},
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for seed := range 30 {
		s := newScript(Config{OpeningPackets: -1})
		p := newPlain(Config{OpeningPackets: -1})
		var want []Flow
		p.cfg.OnEnd = func(f *Flow) { want = append(want, *f) }
		h := headersOf(packet.UDP, []string{"10.0.0.1", "2001:db8::1"}[seed%2], []string{"10.0.0.2", "2001:db8::2"}[seed%2], 1000, 53)
		for i := range 3000 {
			size := sizes[rng.IntN(len(sizes))]
			if seed < len(sizes) {
				size = sizes[seed] // this alone
			}
			h.IPLen, h.PayloadWireLen = size.ip, size.payload
			if rng.IntN(3) == 0 {
				h.Src, h.Dst, h.SrcPort, h.DstPort = h.Dst, h.Src, h.DstPort, h.SrcPort
			}
			c := capture.Packet{WireLen: size.wire, Nanos: int64(i)}
			f, _, _ := s.Update(&h, &c, uint64(i))
			twin, _, _ := p.Update(&h, &c, uint64(i))
			if i%500 == 0 {
				var r Flow
				f.Record(&r)
				if !same(r, twin.Flow) {
					t.Fatalf("%d packets:\n got %+v\nwant %+v", i+1, r, twin.Flow)
				}
				if f.PacketCount() != twin.PacketCount() || f.Key() != twin.Key || f.ID() != idOf(&twin.Flow) {
					t.Fatalf("%d packets: count %d, key %v, want %d and %v", i+1, f.PacketCount(), f.Key(), twin.PacketCount(), twin.Key)
				}
			}
		}
		s.Flush(ForcedEnd)
		p.Flush(ForcedEnd)
		if !slices.EqualFunc(s.ended, want, same) {
			t.Errorf("ended:\n got %+v\nwant %+v", s.ended, want)
		}
		if s.room != s.maxCells {
			t.Errorf("%d cells are missing after all flows have ended", s.maxCells-s.room)
		}
	}
}

// TestManyPackets counts more packets than 16 bits hold.
func TestManyPackets(t *testing.T) {
	s := newScript(Config{OpeningPackets: -1})
	h := headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
	h.IPLen = 40
	const n = 1<<17 + 3
	for i := range uint64(n) {
		s.Update(&h, &capture.Packet{WireLen: 54}, i)
	}
	s.Flush(ForcedEnd)
	got := s.ended[0]
	if want := [2]uint64{n, 0}; got.Packets != want || got.Bytes[0] != 54*n || got.IPBytes[0] != 40*n {
		t.Errorf("%d packets of %d bytes, %d of IP, want %d, %d and %d", got.Packets[0], got.Bytes[0], got.IPBytes[0], n, 54*n, 40*n)
	}
}

// TestLongLives keeps flows for longer than 48 bits of nanoseconds hold: 78 hours.
func TestLongLives(t *testing.T) {
	const hour = int64(time.Hour)
	times := []int64{0, hour, 77 * hour, 79 * hour, 78 * hour, 100 * hour, 99 * hour, 1e6 * hour, 2e6 * hour}
	for _, start := range []int64{0, math.MinInt64, -hour} {
		s := newScript(Config{Lifetime: math.MaxInt64})
		latest := start
		for _, nanos := range times {
			f, _, _ := s.tcp(start+nanos, 1, 1, 2, packet.ACK, 0)
			latest = max(latest, start+nanos)
			var r Flow
			if f.Record(&r); r.Start != start || r.Last != latest {
				t.Errorf("flow from %d to %d, want from %d to %d", r.Start, r.Last, start, latest)
			}
		}
		s.Flush(ForcedEnd)
	}
	s := newScript(Config{Lifetime: math.MaxInt64})
	s.tcp(math.MinInt64, 1, 1, 2, packet.ACK, 0)
	s.tcp(-2, 1, 1, 2, packet.ACK, 0)
	s.tcp(math.MaxInt64-3, 1, 1, 2, packet.ACK, 0)
	s.Flush(ForcedEnd)
	if got := s.ended[0]; got.Start != math.MinInt64 || got.Last != math.MaxInt64-3 || got.PacketCount() != 3 {
		t.Errorf("a flow through all time: %d packets from %d to %d", got.PacketCount(), got.Start, got.Last)
	}
}

// TestOrdinals gives flows ordinals of all lengths and looks at them some 2⁴⁵ packets later.
func TestOrdinals(t *testing.T) {
	for _, first := range []uint64{0, 1, 1 << 31, 1 << 32, 1<<46 - 1, 1 << 46, 1<<47 + 5, 1<<60 + 1<<46 - 3, math.MaxUint64 - 1<<46} {
		s := newScript(Config{})
		s.ordinal = first
		f, _, _ := s.tcp(0, 1, 1, 2, packet.ACK, 0)
		for _, later := range []uint64{1, 1 << 20, 1 << 33, 1 << 45, 1<<46 - 1} {
			s.ordinal = first + later
			s.tcp(0, 3, 3, 2, packet.ACK, 0)
			if got := f.FirstPacket(); got != first {
				t.Errorf("first packet %d, want %d, %d packets later", got, first, later)
			}
		}
	}
}

func TestLabelsAndTags(t *testing.T) {
	for _, src := range []string{"10.0.0.1", "2001:db8::1"} {
		s := newScript(Config{})
		f, _, _ := s.send(headersOf(packet.UDP, src, src, 1, 2), 0, 0)
		if got := f.Label(); got != (Label{Class: NoClass}) || f.Tag() != 0 || f.Final() {
			t.Errorf("a new flow has the label %+v and the tag %d", got, f.Tag())
		}
		for _, want := range []Label{
			{Class: 0, Confidence: 0.25, Source: FromPacket, Packets: 1},
			{Class: 7, Confidence: 1, Source: FromFlow, Novel: true, Packets: 10, NoveltyBin: 31},
			{Class: 1<<24 - 2, Source: NoSource, Packets: 65_535, NoveltyBin: 1},
			{Class: NoClass},
			{Class: 3, Confidence: 0.5, Source: FromFlow, Final: true, Packets: 3},
		} {
			f.SetTag(uint32(want.Class) + 5)
			f.SetLabel(want)
			if got := f.Label(); got != want || f.Final() != want.Final || f.Tag() != uint32(want.Class)+5 {
				t.Errorf("label %+v, final %v, tag %d, want %+v and %d", got, f.Final(), f.Tag(), want, uint32(want.Class)+5)
			}
		}
		s.Flush(ForcedEnd)
		if got := s.ended[0]; got.Label.Class != 3 || !got.Label.Final || got.Tag != 8 || got.Key.Source().Addr().String() != src {
			t.Errorf("the flow ended as %+v", got)
		}
		if s.room != s.maxCells {
			t.Errorf("%d cells are missing after all flows have ended", s.maxCells-s.room)
		}
	}
}

// TestMemoryOfOtherSystems runs a table in Go memory.
func TestMemoryOfOtherSystems(t *testing.T) {
	m := &memory{onHeap: true}
	b := m.piece(pieceLen, true)
	as[[chunkCells]cell](b)[chunkCells-1].start = 1
	if len(b) != pieceLen || len(m.mapped) != 0 {
		t.Errorf("a piece of %d bytes and %d mapped", len(b), len(m.mapped))
	}
	cfg := Config{OpeningPackets: 3}.withDefaults()
	var want, got []Flow
	steps := stepsAmong(rand.New(rand.NewPCG(5, 5)), 20_000, 20, 20)
	cfg.OnEnd = func(f *Flow) { want = append(want, recordOf(f)) }
	table := New(cfg)
	for i := range steps {
		(&feeder{Table: table, steps: steps}).do(i)
	}
	table.Flush(ForcedEnd)
	table.Close()
	cfg.OnEnd = func(f *Flow) { got = append(got, recordOf(f)) }
	heap := newTableIn(&memory{onHeap: true}, cfg, secret)
	for i := range steps {
		(&feeder{Table: heap, steps: steps}).do(i)
	}
	heap.Flush(ForcedEnd)
	if len(heap.memory.mapped) != 0 || !slices.EqualFunc(got, want, same) {
		t.Errorf("%d flows in Go memory, %d in the system's, or not the same ones", len(got), len(want))
	}
	heap.Close()
}

func TestPiecesAreAligned(t *testing.T) {
	m := new(memory)
	for range 5 {
		if b := m.piece(pieceLen, true); len(m.mapped) > 0 && gap(b) != 0 || len(b) != pieceLen {
			t.Errorf("a piece of %d bytes begins %d bytes before a multiple of %d", len(b), gap(b), pieceLen)
		}
	}
	m.free()
	m.free() // again: nothing happens
}
