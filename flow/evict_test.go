package flow

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// flood sends a table SYNs of flows that nobody answers, from n on.
func flood(t *Table, h packet.Headers, n, count int) {
	h.TCPFlags = packet.SYN
	h.IPLen = 40
	for i := n; i < n+count; i++ {
		binary.BigEndian.PutUint32(h.Src[len(h.Src)-4:], uint32(i)*2654435761)
		binary.BigEndian.PutUint32(h.Src[:4], uint32(i)*2654435761)
		t.Update(&h, &capture.Packet{WireLen: 54, Nanos: int64(i)}, uint64(i))
	}
}

// TestFlood fills a table with traffic worth keeping and floods it with a hundred times more flows than
// fit. Memory stays flat, everything is counted, what is labelled stays and of what is answered all but
// one in 64.
func TestFlood(t *testing.T) {
	for _, version := range []int{4, 6} {
		h := headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
		if version == 6 {
			h = headersOf(packet.TCP, "2001:db8::1", "2001:db8::2", 1000, 80)
		}
		t.Run(fmt.Sprint("IPv", version), func(t *testing.T) {
			var ended [NumWorths]int
			kept := 0
			table := New(Config{Memory: 1 << 20, OnEnd: func(f *Flow) {
				worth := Unanswered
				if f.Label.Class != NoClass {
					worth = Labelled
				} else if f.Packets[Responder] > 0 {
					worth = Answered
				}
				ended[worth]++
				if f.Reason == ForcedEnd && worth != Unanswered {
					kept++
				}
			}})
			defer table.Close()
			const answered, labelled = 1024, 256
			for i := range answered + labelled {
				there := h
				there.SrcPort = uint16(i)
				there.IPLen = 40
				back := there
				back.Src, back.Dst, back.SrcPort, back.DstPort = there.Dst, there.Src, there.DstPort, there.SrcPort
				f, _, _ := table.Update(&there, &capture.Packet{WireLen: 54}, uint64(i))
				table.Update(&back, &capture.Packet{WireLen: 54}, uint64(i))
				if i%5 == 0 {
					f.SetLabel(Label{Class: 1})
				}
			}
			flood(table, h, 10_000, 2*table.maxCells)
			capacity := table.alive
			rounds := 100
			if testing.Short() {
				rounds = 10
			}
			flood(table, h, 10_000_000, rounds*table.maxCells)
			if got := table.footprint(); got > 1<<20 {
				t.Errorf("%d bytes after the flood, want at most a MiB", got)
			}
			if table.alive < capacity-64 || table.room > 2 {
				t.Errorf("%d flows in the table and room for %d cells, %d at the first peak", table.alive, table.room, capacity)
			}
			stats := table.Stats()
			if stats.Flows != uint64(answered+labelled+(rounds+2)*table.maxCells) || stats.Flows != uint64(ended[0]+ended[1]+ended[2]+table.alive) {
				t.Errorf("%d flows started, %d ended, %d alive", stats.Flows, ended, table.alive)
			}
			if stats.Evicted[Labelled] != 0 || stats.Evicted[Answered] > answered/64*5/4 || stats.Evicted[Unanswered] != uint64(ended[Unanswered]) {
				t.Errorf("evicted %d of %d answered and %d labelled flows, and %d others; want some %d, none and %d",
					stats.Evicted[Answered], answered, stats.Evicted[Labelled], stats.Evicted[Unanswered], answered/64, ended[Unanswered])
			}
			table.Flush(ForcedEnd)
			if want := answered + labelled - int(stats.Evicted[Answered]); kept != want {
				t.Errorf("%d flows worth keeping were there to the end, want %d", kept, want)
			}
			if table.room != table.maxCells {
				t.Errorf("%d cells are missing after all flows have ended", table.maxCells-table.room)
			}
		})
	}
}

// TestNoRoomAtAll gives flows everything that takes cells, in the smallest table, in all orders.
func TestNoRoomAtAll(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	var ended uint64
	table := New(Config{Memory: 1, PayloadMemory: 5000, OnEnd: func(*Flow) { ended++ }})
	defer table.Close()
	h4, h6 := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 1000, 80), headersOf(packet.UDP, "2001:db8::1", "2001:db8::2", 1000, 80)
	for i := range 200_000 {
		h := h4
		if rng.IntN(2) == 0 {
			h = h6
		}
		h.SrcPort = uint16(rng.IntN(1000))
		h.IPLen = []int{40, 40, 40, 1 << 33}[rng.IntN(4)]
		h.PayloadWireLen = rng.IntN(3)
		f, _, _ := table.Update(&h, &capture.Packet{WireLen: 54}, uint64(i))
		switch rng.IntN(4) {
		case 0:
			f.SetLabel(Label{Class: 1, Final: rng.IntN(2) == 0})
		case 1:
			f.SetTag(3)
		}
		if f.PacketCount() == 0 || f.Key().SrcPort != h.SrcPort || f.Key().Src != h.Src {
			t.Fatalf("packet %d: a label ended the flow that it was for", i)
		}
		if table.alive < 100 && i > 1000 {
			t.Fatalf("packet %d: %d flows in a table of %d cells", i, table.alive, table.maxCells)
		}
	}
	if stats := table.Stats(); stats.Evicted[Labelled] == 0 || stats.Flows != ended+uint64(stats.Alive) {
		t.Errorf("%+v: %d flows ended", stats, ended)
	}
	table.Flush(ForcedEnd)
	if table.room != table.maxCells || table.pool.lent != 0 {
		t.Errorf("%d cells and %d bytes of openings are missing after all flows have ended", table.maxCells-table.room, table.pool.lent)
	}
}

// TestCapacity holds tables to their memory, whatever it is, when it is full of flows.
func TestCapacity(t *testing.T) {
	for _, memory := range []int{MinMemory, 100_000, 1 << 20, 5_000_000, 1 << 24} {
		table := New(Config{Memory: memory, OpeningPackets: -1})
		flood(table, headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80), 0, 3*table.maxCells)
		got := table.footprint()
		if got > memory || got < memory/2 || table.alive != table.maxCells-1 {
			t.Errorf("a table of %d bytes takes %d for %d of %d flows", memory, got, table.alive, table.maxCells)
		}
		if n := table.Stats().Evicted[Unanswered]; int(n) != 2*table.maxCells+1 {
			t.Errorf("a table of %d bytes: %d flows evicted, want %d: no page of the index may overflow", memory, n, 2*table.maxCells+1)
		}
		table.Close()
	}
	if cells, _ := capacity(DefaultMemory); cells < 12_000_000 {
		t.Errorf("%d flows by default, want twelve million", cells)
	}
}
