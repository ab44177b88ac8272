package flow

import (
	"math/rand/v2"
	"testing"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

func TestOpening(t *testing.T) {
	s := newScript(Config{OpeningPackets: 3})
	s.tcp(0, 1, 1, 2, packet.SYN, 0)
	if f, _, added := s.tcp(1, 2, 1, 2, packet.SYN|packet.ACK, 0); added || f.Opening != nil {
		t.Errorf("a packet without payload joined the opening")
	}
	var f *Flow
	for i, n := range []int{1, 100, 2000, 5} {
		from := byte(1 + i%2)
		var dir Direction
		var added bool
		if f, dir, added = s.tcp(int64(10+i), from, 1, 2, packet.ACK, n); added != (i < 3) {
			t.Errorf("payload %d added: %v, want %v", i, added, i < 3)
		}
		if i >= 3 {
			continue
		}
		if len(f.Opening.Payloads) != i+1 {
			t.Fatalf("%d payloads, want %d", len(f.Opening.Payloads), i+1)
		}
		p := f.Opening.Payloads[i]
		if p.Nanos != int64(10+i) || p.Dir != dir || p.Len != n || len(p.Data) != min(n, 784) {
			t.Errorf("payload %d: %d at %d from %d with %d bytes of data; want %d from %d", i, p.Len, p.Nanos, p.Dir, len(p.Data), n, dir)
		}
		for _, b := range p.Data {
			if b != byte(2+i) {
				t.Fatalf("payload %d holds another packet's bytes: %d, want %d", i, b, 2+i)
			}
		}
	}
	if got := s.Stats(); got.PayloadsKept != 3 || got.PayloadMemory == 0 {
		t.Errorf("kept %d payloads in %d bytes, want 3 in some", got.PayloadsKept, got.PayloadMemory)
	}
	s.Release(f)
	if f.Opening != nil || s.Stats().PayloadMemory != 0 {
		t.Errorf("after Release: opening %v, %d bytes lent", f.Opening, s.Stats().PayloadMemory)
	}
	if _, _, added := s.tcp(20, 1, 1, 2, packet.ACK, 10); added {
		t.Errorf("a payload joined a released opening")
	}
	s.Release(f) // again: nothing happens
	s.Flush(ForcedEnd)
}

func TestOpeningOfWhatNot(t *testing.T) {
	s := newScript(Config{})
	f, _, _ := s.tcp(0, 1, 1, 2, packet.ACK, 10)
	f.Label.Final = true
	if _, _, added := s.tcp(1, 1, 1, 2, packet.ACK, 10); added {
		t.Errorf("a payload joined the opening of a flow with a final label")
	}
	for _, proto := range []uint8{packet.ICMP, packet.SCTP, 47} {
		if f, _, added := s.send(headersOf(proto, "10.0.0.1", "10.0.0.2", 8, 0), 0, 10); added || f.Opening != nil {
			t.Errorf("a payload of protocol %d joined an opening", proto)
		}
	}
	cut := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 1, 2)
	cut.PayloadWireLen = 100 // none of it was captured
	f, _, added := s.Update(&cut, &capture.Packet{}, 99)
	if !added || f.Opening.Payloads[0].Len != 100 || len(f.Opening.Payloads[0].Data) != 0 {
		t.Errorf("a payload cut off by the snap length: added %v, %+v; want 100 bytes, none captured", added, f.Opening)
	}
	off := newScript(Config{OpeningPackets: -1})
	if f, _, added := off.tcp(0, 1, 1, 2, packet.ACK, 10); added || f.Opening != nil {
		t.Errorf("openings are off, and a payload joined one")
	}
}

func TestPayloadMemory(t *testing.T) {
	perOpening := 10 * payloadSize
	s := newScript(Config{PayloadMemory: 2*perOpening + 784 + 98})
	s.tcp(0, 1, 1, 9, packet.ACK, 784)
	if _, _, added := s.tcp(1, 1, 1, 9, packet.ACK, 98); !added {
		t.Errorf("a payload that fits was refused")
	}
	f, _, added := s.tcp(2, 1, 1, 9, packet.ACK, 1000)
	if added || !f.OpeningShort || len(f.Opening.Payloads) != 2 {
		t.Errorf("a payload beyond the memory: added %v, short %v, %d payloads; want false, true, 2", added, f.OpeningShort, len(f.Opening.Payloads))
	}
	if _, _, added := s.tcp(3, 1, 1, 9, packet.ACK, 1); added {
		t.Errorf("a payload joined behind a gap")
	}
	f2, _, added := s.tcp(4, 2, 2, 9, packet.ACK, 1) // an opening fits, its payload does not
	if added || !f2.OpeningShort {
		t.Errorf("second flow: added %v, short %v; want false, true", added, f2.OpeningShort)
	}
	if f3, _, added := s.tcp(5, 3, 3, 9, packet.ACK, 1); added || f3.Opening != nil {
		t.Errorf("third flow: added %v, opening %v; want none", added, f3.Opening)
	}
	s.Release(f)
	s.Release(f2)
	// All is kept for reuse in the sizes 784 and 98; payloads of another size push it out.
	for i := range 4 {
		if _, _, added := s.tcp(6, 4, 4, 9, packet.ACK, 200); added != (i < 3) {
			t.Errorf("payload %d of 200 bytes after the release: added %v, want %v", i, added, i < 3)
		}
	}
	if got := s.Stats(); got.OpeningsShort != 4 || s.pool.held > s.pool.limit {
		t.Errorf("%d openings short, %d bytes held of %d; want 4 and no more than the limit", got.OpeningsShort, s.pool.held, s.pool.limit)
	}
}

// TestPoolNeverHoldsMoreThanItsLimit lends and takes back at random, and counts what is held.
func TestPoolNeverHoldsMoreThanItsLimit(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	p := newPool(100_000, 10, 784)
	var lent []*Opening
	for i := range 100_000 {
		switch {
		case len(lent) > 0 && rng.IntN(8) == 0:
			k := rng.IntN(len(lent))
			p.release(lent[k])
			lent[k] = lent[len(lent)-1]
			lent = lent[:len(lent)-1]
		case len(lent) > 0 && rng.IntN(4) != 0:
			if o := lent[rng.IntN(len(lent))]; len(o.Payloads) < 10 {
				p.add(o, Payload{Data: make([]byte, rng.IntN(900))})
			}
		default:
			if o := p.opening(); o != nil {
				lent = append(lent, o)
			}
		}
		if i%1000 != 0 {
			continue
		}
		inUse, kept := 0, len(p.openings)*10*payloadSize
		for _, o := range lent {
			inUse += 10 * payloadSize
			for _, payload := range o.Payloads {
				inUse += cap(payload.Data)
			}
		}
		for _, blocks := range p.blocks {
			for _, block := range blocks {
				kept += cap(block)
			}
		}
		if p.lent != inUse || p.held != inUse+kept || p.held > p.limit {
			t.Fatalf("step %d: the pool says %d lent, %d held of %d; it is %d and %d", i, p.lent, p.held, p.limit, inUse, inUse+kept)
		}
	}
}
