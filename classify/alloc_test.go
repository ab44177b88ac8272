//go:build !race

package classify

import (
	"testing"
	"time"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
)

// Not under the race detector: there sync.Pool forgets at random.
func TestEngineAllocates(t *testing.T) {
	for name, a := range architectures(t) {
		n := initialised(a, 4)
		samples := ragged(&a, 6)
		q, err := n.MeasureInt8(samples, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, int8 := range []*Int8{nil, q} {
			m := &Model{Settings: Settings{Arch: a, Int8: int8}, params: n.Params()}
			e := m.Engine()
			track := e.NewTrack()
			e.Step(track, &samples[0].Inputs[0])
			e.State(track)
			if got := testing.AllocsPerRun(10, func() {
				for i := range samples {
					e.Step(track, &samples[i].Inputs[0])
					e.State(track)
				}
			}); got != 0 {
				t.Errorf("%s: six packets allocate %v times, want 0", name, got)
			}
			var tracks []*Track
			var inputs []Input
			for i := range samples {
				tracks, inputs = append(tracks, e.NewTrack()), append(inputs, samples[i].Inputs[0])
			}
			e.Steps(tracks, inputs)
			if got := testing.AllocsPerRun(10, func() { e.Steps(tracks, inputs) }); got != 0 {
				t.Errorf("%s: six packets together allocate %v times, want 0", name, got)
			}
		}
	}
}

// silent is a handler that keeps nothing.
type silent struct{ *Classifier }

func (h silent) Packet(p *meter.Packet) {
	if h.Wait(p) {
		p.Wait()
		return
	}
	h.Classifier.Packet(p)
}
func (h silent) Settle()                      { h.Classifier.Settle() }
func (h silent) Ended(f *flow.Flow, _ uint64) { h.Classifier.Ended(f) }

// The whole path, from packets to labels.
func TestLabellingAllocates(t *testing.T) {
	a, err := NewArchitecture(Default, 3)
	if err != nil {
		t.Fatal(err)
	}
	m := randomModel(t, a)
	all := conversations(t, 400, 1500)
	c := New(m)
	in, err := meter.New(meter.Config{Flow: flow.Config{OpeningPackets: a.Packets, Lifetime: 300 * time.Millisecond}}, 1, func(int) meter.Handler { return silent{c} })
	if err != nil {
		t.Fatal(err)
	}
	round := func() {
		in.Add(all)
		for i := range all {
			all[i].Nanos += 10e9
		}
	}
	for range 20 {
		round()
	}
	if got := testing.AllocsPerRun(20, round); got != 0 {
		t.Errorf("400 packets allocate %v times", got)
	}
	in.Close()
	if n := c.Undecided(); n != 0 {
		t.Errorf("%d flows are undecided after all have ended", n)
	}
}
