package flow

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

func TestOpening(t *testing.T) {
	s := newScript(Config{OpeningPackets: 3})
	s.tcp(0, 1, 1, 2, packet.SYN, 0)
	if f, _, added := s.tcp(1, 2, 1, 2, packet.SYN|packet.ACK, 0); added || openingOf(f) != nil {
		t.Errorf("a packet without payload joined the opening")
	}
	var f Ref
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
		opening := openingOf(f)
		if len(opening) != i+1 {
			t.Fatalf("%d payloads, want %d", len(opening), i+1)
		}
		p := opening[i]
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
	f.Release()
	if openingOf(f) != nil || s.Stats().PayloadMemory != 0 {
		t.Errorf("after Release: opening %v, %d bytes lent", openingOf(f), s.Stats().PayloadMemory)
	}
	if _, _, added := s.tcp(20, 1, 1, 2, packet.ACK, 10); added {
		t.Errorf("a payload joined a released opening")
	}
	f.Release() // again: nothing happens
	s.Flush(ForcedEnd)
}

func TestOpeningOfWhatNot(t *testing.T) {
	s := newScript(Config{})
	f, _, _ := s.tcp(0, 1, 1, 2, packet.ACK, 10)
	f.SetLabel(Label{Final: true})
	if _, _, added := s.tcp(1, 1, 1, 2, packet.ACK, 10); added {
		t.Errorf("a payload joined the opening of a flow with a final label")
	}
	for _, proto := range []uint8{packet.ICMP, packet.SCTP, 47} {
		if f, _, added := s.send(headersOf(proto, "10.0.0.1", "10.0.0.2", 8, 0), 0, 10); added || openingOf(f) != nil {
			t.Errorf("a payload of protocol %d joined an opening", proto)
		}
	}
	cut := headersOf(packet.UDP, "10.0.0.1", "10.0.0.2", 1, 2)
	cut.PayloadWireLen = 100 // none of it was captured
	f, _, added := s.Update(&cut, &capture.Packet{}, 99)
	if !added || openingOf(f)[0].Len != 100 || len(openingOf(f)[0].Data) != 0 {
		t.Errorf("a payload cut off by the snap length: added %v, %+v; want 100 bytes, none captured", added, openingOf(f))
	}
	off := newScript(Config{OpeningPackets: -1})
	if f, _, added := off.tcp(0, 1, 1, 2, packet.ACK, 10); added || openingOf(f) != nil {
		t.Errorf("openings are off, and a payload joined one")
	}
}

func TestPayloadMemory(t *testing.T) {
	s := newScript(Config{PayloadMemory: 3*unitLen + unitLen/2, OpeningPackets: 4})
	f, _, added := s.tcp(0, 1, 1, 9, packet.ACK, 784) // takes two units, for a while three
	if !added {
		t.Errorf("a payload that fits was refused")
	}
	f2, _, added := s.tcp(1, 2, 2, 9, packet.ACK, 100) // the third
	if !added {
		t.Errorf("a payload that fits was refused")
	}
	_, _, added = s.tcp(2, 1, 1, 9, packet.ACK, 300)
	if added || !f.OpeningShort() || len(openingOf(f)) != 1 {
		t.Errorf("a payload beyond the memory: added %v, short %v, %d payloads; want false, true, 1", added, f.OpeningShort(), len(openingOf(f)))
	}
	if _, _, added := s.tcp(3, 1, 1, 9, packet.ACK, 1); added {
		t.Errorf("a payload joined behind a gap")
	}
	if _, _, added := s.tcp(4, 2, 2, 9, packet.ACK, 100); !added || f2.OpeningShort() {
		t.Errorf("a second payload that fits beside the first: added %v, short %v; want true, false", added, f2.OpeningShort())
	}
	if f3, _, added := s.tcp(5, 3, 3, 9, packet.ACK, 1); added || openingOf(f3) != nil || !f3.OpeningShort() {
		t.Errorf("third flow: added %v, opening %v; want none", added, openingOf(f3))
	}
	if got := s.Stats(); got.OpeningsShort != 2 || got.PayloadMemory != 3*unitLen || got.PayloadsKept != 3 {
		t.Errorf("%d openings short, %d bytes lent, %d payloads kept; want 2, %d and 3", got.OpeningsShort, got.PayloadMemory, got.PayloadsKept, 3*unitLen)
	}
	f.Release()
	f2.Release()
	for i := range 4 { // what was lent in other sizes is lent again
		if _, _, added := s.tcp(6, byte(4+i), byte(4+i), 9, packet.ACK, 400); added != (i < 3) {
			t.Errorf("flow %d after the release: added %v, want %v", i, added, i < 3)
		}
	}
}

// openingOf returns the opening of a flow, nil without payloads.
func openingOf(f Ref) []Payload { return f.Opening(nil) }

// TestPoolLendsNothingTwice lends and takes back at random, and looks at who has what.
func TestPoolLendsNothingTwice(t *testing.T) {
	for _, limit := range []int{100_000, 1 << 20, 3<<20 + 12_345} {
		rng := rand.New(rand.NewPCG(1, uint64(limit)))
		m := new(memory)
		defer m.free()
		p := newPool(limit, 10, 784, m)
		type lent struct {
			opening uint32
			want    []Payload
		}
		var all []lent
		refused := 0
		for i := range 30_000 {
			switch {
			case len(all) > 0 && rng.IntN(8) == 0:
				k := rng.IntN(len(all))
				p.give(all[k].opening)
				all[k] = all[len(all)-1]
				all = all[:len(all)-1]
			case len(all) > 0 && rng.IntN(4) != 0:
				o := &all[rng.IntN(len(all))]
				if len(o.want) == 10 {
					continue
				}
				payload := Payload{Nanos: rng.Int64(), Dir: Direction(rng.IntN(2)), Len: rng.IntN(70_000), Data: make([]byte, rng.IntN(900))}
				for i := range payload.Data {
					payload.Data[i] = byte(i) ^ byte(payload.Nanos)
				}
				if n, ok := p.add(&o.opening, payload); ok {
					payload.Data = payload.Data[:min(len(payload.Data), 784)]
					if o.want = append(o.want, payload); n != len(o.want) {
						t.Fatalf("step %d: the pool counts %d payloads, want %d", i, n, len(o.want))
					}
				} else {
					refused++
				}
			default:
				all = append(all, lent{})
			}
			if i%1000 != 0 {
				continue
			}
			inUse := 0
			taken := map[int]bool{}
			for _, o := range all {
				if got := p.payloads(o.opening, nil); !same(Flow{Opening: got}, Flow{Opening: o.want}) {
					t.Fatalf("step %d: an opening changed", i)
				}
				if o.opening == 0 {
					continue
				}
				length := cap(p.opening(o.opening))
				inUse += length
				for unit := range length / unitLen {
					if unit += int(o.opening); taken[unit] {
						t.Fatalf("step %d: a unit is lent twice", i)
					}
					taken[unit] = true
				}
			}
			if p.lent != inUse || p.lent > limit {
				t.Fatalf("step %d: the pool says that %d of %d bytes are lent, it is %d", i, p.lent, limit, inUse)
			}
		}
		for _, o := range all {
			p.give(o.opening)
		}
		// All is one again, as large as the chunks and the limit allow.
		free, blocks := 0, 0
		for order := range p.free {
			for b := p.free[order]; b != 0; b = binary.LittleEndian.Uint32(p.block(b, 0)) {
				free += unitLen << order
				blocks++
			}
		}
		if refused == 0 || free != limit/unitLen*unitLen || blocks > 12 {
			t.Errorf("limit %d: %d refused, %d bytes free in %d blocks at the end; want some, %d, few", limit, refused, free, blocks, limit/unitLen*unitLen)
		}
	}
}
