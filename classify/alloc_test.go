//go:build !race

package classify

import "testing"

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
