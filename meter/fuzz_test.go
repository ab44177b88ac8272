package meter

import (
	"encoding/binary"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// accounts is a Handler that counts the packets of the flows that ended.
type accounts struct{ flows, packets uint64 }

func (a *accounts) Ended(f *flow.Flow, _ uint64) {
	a.flows++
	a.packets += f.PacketCount()
}

// FuzzStream gives a meter with little room any packets at any times. It must come to an end, take no
// more memory than the packets are worth, and account for all of them: in a flow that ends, or as what
// could not be decoded; in a window, or late.
func FuzzStream(f *testing.F) {
	packetAt := func(nanos uint64, frame ...byte) []byte {
		b := binary.BigEndian.AppendUint64(nil, nanos)
		return append(append(b, byte(len(frame))), frame...)
	}
	syn := []byte{
		0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0x08, 0x00, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
		4, 1, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x20, 0, 0, 0, 0, 0,
	}
	f.Add(append(packetAt(1, syn...), packetAt(1<<63, syn...)...), uint8(1))   // 1970 and 1677
	f.Add(append(packetAt(1<<63-1, syn...), packetAt(0, syn...)...), uint8(2)) // 2262
	var many []byte
	for i := range 40 {
		syn[29], syn[23] = byte(i), byte(6+i%3*11) // another host; TCP, UDP
		many = append(many, packetAt(uint64(i)*4e18, syn...)...)
	}
	f.Add(many, uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, workers uint8) {
		watchdog := time.AfterFunc(time.Minute, func() { panic("a stream of packets takes more than a minute") })
		defer watchdog.Stop()
		var batch []capture.Packet
		for len(data) > 9 {
			n := min(int(data[8]), len(data)-9)
			batch = append(batch, capture.Packet{Nanos: int64(binary.BigEndian.Uint64(data)), Data: data[9 : 9+n], WireLen: n, Link: packet.LinkEthernet})
			data = data[9+n:]
		}
		if len(batch) == 0 {
			return
		}
		const maxGap = 20
		var windows, inWindows uint64
		var handlers []*accounts
		before := allocated()
		m, err := New(Config{
			Flow:     flow.Config{MaxFlows: 8, PayloadMemory: 4096, FragmentCache: 4},
			Window:   time.Second,
			Lateness: time.Second,
			MaxGap:   maxGap,
			OnWindow: func(w *window.Window) {
				windows++
				inWindows += w.Packets()
			},
		}, 1+int(workers%3), func(int) Handler {
			handlers = append(handlers, new(accounts))
			return handlers[len(handlers)-1]
		})
		if err != nil {
			t.Fatal(err)
		}
		m.Add(batch)
		m.Close()
		took := allocated() - before

		packets := uint64(len(batch))
		c := m.Counters()
		decoded := c.Decoded[packet.OK]
		var flows, inFlows, bad uint64
		for _, h := range handlers {
			flows += h.flows
			inFlows += h.packets
		}
		for reason, n := range c.Decoded {
			if packet.Reason(reason) != packet.OK {
				bad += n
			}
		}
		if c.Packets != packets || decoded+bad != packets {
			t.Errorf("%d packets counted, %d decoded and %d not, of %d", c.Packets, decoded, bad, packets)
		}
		if flows != c.Flow.Flows {
			t.Errorf("%d flows began and %d ended", c.Flow.Flows, flows)
		}
		if inFlows < decoded || inFlows > packets {
			t.Errorf("%d packets in flows, %d decoded of %d", inFlows, decoded, packets)
		}
		if in := inWindows + c.Window.Late; in < decoded || in > packets {
			t.Errorf("%d packets in windows and %d late, %d decoded of %d", inWindows, c.Window.Late, decoded, packets)
		}
		if limit := packets + maxGap*(packets+1); windows > limit {
			t.Errorf("%d windows of %d packets, want at most %d", windows, packets, limit)
		}
		if limit := uint64(32<<20) + packets*32<<10; took > limit {
			t.Errorf("%d packets took %d bytes, want at most %d", packets, took, limit)
		}
	})
}

// allocated returns the bytes that were ever taken from the heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
