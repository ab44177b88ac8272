package flow

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

func TestUpdateDoesNotAllocate(t *testing.T) {
	table := New(Config{})
	h := headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
	h.PayloadLen, h.PayloadWireLen = 500, 500
	p := capture.Packet{Data: make([]byte, 500), WireLen: 554}
	for range 20 {
		table.Update(&h, &p, 0)
	}
	if n := testing.AllocsPerRun(1000, func() {
		p.Nanos++
		table.Update(&h, &p, 1)
		table.Sweep(p.Nanos)
	}); n != 0 {
		t.Errorf("a packet of a known flow allocates %v times", n)
	}
	if n := testing.AllocsPerRun(1000, func() { ShardHash(&h) }); n != 0 {
		t.Errorf("ShardHash allocates %v times", n)
	}
	// Flows that come and go allocate nothing either, once there is memory from those before.
	h.TCPFlags = packet.SYN | packet.RST
	table.Update(&h, &p, 1)
	h.TCPFlags = packet.SYN
	if n := testing.AllocsPerRun(1000, func() {
		h.TCPFlags = packet.SYN
		table.Update(&h, &p, 1)
		h.TCPFlags = packet.RST
		table.Update(&h, &p, 1)
	}); n != 0 {
		t.Errorf("a flow that takes the place of another allocates %v times", n)
	}
}

// BenchmarkUpdate counts packets into many flows in turn, so that each comes from far away in memory.
func BenchmarkUpdate(b *testing.B) {
	for _, flows := range []int{1000, 200_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			table := New(Config{})
			h := headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
			h.TCPFlags = packet.ACK
			p := capture.Packet{WireLen: 60}
			i := uint32(0)
			next := func() {
				i++
				binary.BigEndian.PutUint32(h.Src[:], i*2654435761%uint32(flows))
				p.Nanos += 100
				table.Update(&h, &p, uint64(i))
			}
			for range 2 * flows {
				next()
			}
			for b.Loop() {
				next()
			}
		})
	}
}

// BenchmarkFlood is a SYN flood against a full table: every packet starts a flow and evicts one.
func BenchmarkFlood(b *testing.B) {
	table := New(Config{MaxFlows: 200_000})
	h := headersOf(packet.TCP, "10.0.0.1", "10.0.0.2", 1000, 80)
	h.TCPFlags = packet.SYN
	p := capture.Packet{WireLen: 60}
	i := uint32(0)
	next := func() {
		i++
		binary.BigEndian.PutUint32(h.Src[:], i*2654435761)
		p.Nanos += 100
		table.Update(&h, &p, uint64(i))
	}
	for range 200_000 {
		next()
	}
	for b.Loop() {
		next()
	}
}
