package classify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
)

// told is what a classifier says of a packet or of a flow that ends.
type told struct {
	first, at uint64
	label     flow.Label
	changed   bool
}

// together classifies packets that came together in one go; with alone set, one by one.
type together struct {
	*Classifier
	alone   bool
	waiting []told
	refs    []flow.Ref
	queue   *meter.Queue[told]
	most    int // that waited together
}

func (h *together) Packet(p *meter.Packet) {
	if !h.alone && h.Wait(p) {
		p.Wait()
		h.waiting = append(h.waiting, told{first: p.Flow.FirstPacket(), at: p.Ordinal})
		h.refs = append(h.refs, p.Flow)
		return
	}
	changed := h.Classifier.Packet(p)
	if p.Headers.PayloadWireLen == 0 && !changed {
		return // the label of its flow may wait
	}
	h.queue.Put(p.Ordinal, p.Flow.FirstPacket(), told{p.Flow.FirstPacket(), p.Ordinal, p.Flow.Label(), changed})
}

func (h *together) Settle() {
	h.most = max(h.most, len(h.waiting))
	for i, changed := range h.Classifier.Settle() {
		w := h.waiting[i]
		w.label, w.changed = h.refs[i].Label(), changed
		h.queue.Put(w.at, w.first, w)
	}
	h.waiting, h.refs = h.waiting[:0], h.refs[:0]
}

func (h *together) Ended(f *flow.Flow, at uint64) {
	changed := h.Classifier.Ended(f)
	h.queue.Put(at, f.FirstPacket, told{f.FirstPacket, at, f.Label, changed})
}

// tell classifies packets that come in parts, and returns all that is said of them and how many waited together at most.
func tell(t *testing.T, m *Model, workers int, parts [][]capture.Packet, alone bool) (all []told, most int) {
	t.Helper()
	found := meter.NewFindings(func(s told) { all = append(all, s) })
	var handlers []*together
	in, err := meter.New(meter.Config{Flow: flow.Config{OpeningPackets: m.Arch.Packets}, Found: found}, workers, func(i int) meter.Handler {
		h := &together{Classifier: New(m), alone: alone, queue: found.Queue(i)}
		handlers = append(handlers, h)
		return h
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts {
		in.Add(part)
	}
	in.Close()
	for _, h := range handlers {
		if n := h.remembered(); n != 0 || len(h.waiting) != 0 {
			t.Errorf("%d flows are remembered, %d packets wait after all have ended", n, len(h.waiting))
		}
		most = max(most, h.most)
	}
	return all, most
}

// What a classifier says does not depend on what is classified together, nor on how many do it: with every way to cut the packets into
// batches, and with any number of workers, it is what it says of each packet alone, to the last bit.
func TestTogetherIsAlone(t *testing.T) {
	all := conversations(t, 1200, 1500)
	r := rand.New(rand.NewPCG(1, 2))
	architectures := architectures(t)
	if testing.Short() {
		architectures = small()
	}
	for name, a := range architectures {
		a.Classes = 3
		for _, int8 := range []bool{false, true} {
			a.Early = 0.4
			m := randomModel(t, a)
			m.FlowTemperature = 0.1 // random weights are sure of nothing
			for i := range m.Novelty.Thresholds {
				m.Novelty.Thresholds[i] *= 4 // and much is novel to them
			}
			if int8 {
				var err error
				if m.Int8, err = m.network().MeasureInt8(ragged(&a, 30), 1); err != nil {
					t.Fatal(err)
				}
				m.Int8.Packet.Used = true
				if m.Int8.Flow != nil {
					m.Int8.Flow.Used = true
				}
			}
			want, _ := tell(t, m, 1, [][]capture.Packet{all}, true)
			decided := 0
			for _, s := range want {
				if s.label.Final && s.changed && int(s.label.Packets) < a.Packets {
					decided++
				}
			}
			if a.Flow && decided < 5 {
				t.Errorf("%s: %d flows are decided early: the traffic is too dull", name, decided)
			}
			for _, workers := range []int{1, 2, 8} {
				what := fmt.Sprintf("%s, int8 %t, %d workers", name, int8, workers)
				var parts [][]capture.Packet
				for at := 0; at < len(all); {
					n := min(1+r.IntN(1<<r.IntN(9)), len(all)-at)
					parts = append(parts, all[at:at+n])
					at += n
				}
				for _, parts := range [][][]capture.Packet{parts, {all}} {
					got, most := tell(t, m, workers, parts, false)
					if !slices.Equal(got, want) {
						for i := range min(len(got), len(want)) {
							if got[i] != want[i] {
								t.Errorf("%s: says\n%+v, alone\n%+v", what, got[i], want[i])
								break
							}
						}
						t.Fatalf("%s: says %d things, alone %d", what, len(got), len(want))
					}
					if len(parts) == 1 && most < 4 {
						t.Errorf("%s: no more than %d packets were classified together", what, most)
					}
				}
			}
		}
	}
}
