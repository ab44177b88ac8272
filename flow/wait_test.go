package flow

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirnet/weir/packet"
)

// labelling gives flows labels that depend on their openings, at once or when the table asks for them.
type labelling struct {
	*script
	waits   bool
	waiting []func()
	longest int // that waited together
}

func newLabelling(cfg Config, waits bool) *labelling {
	l := &labelling{script: &script{}, waits: waits}
	cfg.OnEnd = func(f *Flow) { l.ended = append(l.ended, recordOf(f)) }
	cfg.OnSettle = func() {
		l.longest = max(l.longest, len(l.waiting))
		for _, label := range l.waiting {
			label()
		}
		l.waiting = nil
	}
	// Equal secrets, so that both tables look for what goes in the same order.
	l.Table = newTable(cfg, secret)
	return l
}

func (l *labelling) see(nanos int64, from, a, b byte, flags uint8, n int) {
	f, _, joined := l.tcp(nanos, from, a, b, flags, n)
	if !joined {
		return
	}
	age := uint64(len(f.Opening(nil)))
	label := func() {
		opening := f.Opening(nil)
		final := (f.FirstPacket()*7+age*3)%5 == 0
		f.SetLabel(Label{Class: int32(f.FirstPacket()+age) % 4, Confidence: float32(opening[age-1].Len), Packets: age, Final: final})
		f.SetTag(uint32(age))
		if final {
			f.Release()
		}
	}
	if !l.waits {
		label()
		return
	}
	l.waiting = append(l.waiting, label)
	f.Wait()
}

// Labels that come late change nothing: not which flows end and as what, not which payloads are kept, whatever limit is reached.
func TestLabelsThatWaitAreAsIfAtOnce(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no limit":       {OpeningPackets: 3},
		"few flows":      {OpeningPackets: 3, MaxFlows: 20},
		"little memory":  {OpeningPackets: 3, PayloadMemory: 12 * unitLen}, // an opening takes one unit here
		"short lives":    {OpeningPackets: 3, Lifetime: 40 * time.Millisecond, Active: 200 * time.Millisecond},
		"one payload":    {OpeningPackets: 1},
		"one direction":  {OpeningPackets: 3, Directional: true},
		"all of it":      {OpeningPackets: 3, MaxFlows: 25, PayloadMemory: 12 * unitLen, Lifetime: 40 * time.Millisecond},
		"smallest table": {OpeningPackets: 3, Memory: MinMemory},
	} {
		r := rand.New(rand.NewPCG(4, 5))
		once, late := newLabelling(cfg, false), newLabelling(cfg, true)
		now := int64(0)
		for range 20_000 {
			now += r.Int64N(2e6)
			a, b := byte(1+r.IntN(8)), byte(1+r.IntN(8))
			from, n := a, r.IntN(120)
			if r.IntN(2) == 0 {
				from = b
			}
			flags := uint8(packet.ACK)
			if r.IntN(8) == 0 {
				flags = packet.SYN
			}
			if r.IntN(20) == 0 {
				flags |= packet.FIN
			}
			once.see(now, from, a, b, flags, n)
			late.see(now, from, a, b, flags, n)
			switch r.IntN(60) {
			case 0:
				once.Sweep(now)
				late.Sweep(now)
			case 1:
				late.Settle()
			}
		}
		late.Settle()
		if got, want := late.Stats(), once.Stats(); got != want {
			t.Errorf("%s: counts\n got %+v\nwant %+v", name, got, want)
		}
		once.Flush(ForcedEnd)
		late.Flush(ForcedEnd)
		if len(late.ended) != len(once.ended) {
			t.Fatalf("%s: %d flows ended, want %d", name, len(late.ended), len(once.ended))
		}
		for i := range once.ended {
			if !same(late.ended[i], once.ended[i]) {
				t.Fatalf("%s: flow %d ended as\n got %+v\nwant %+v", name, i, late.ended[i], once.ended[i])
			}
		}
		if late.longest < 3 {
			t.Errorf("%s: no more than %d labels waited together", name, late.longest)
		}
	}
}
