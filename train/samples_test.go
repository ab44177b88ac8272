package train

import (
	"testing"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/flow"
)

// Payloads that an earlier side holds are marked, and all of a flow whose whole opening is known.
func TestSamplesMarkRepeats(t *testing.T) {
	arch := smallArch()
	payload := func(text string) flow.Payload { return flow.Payload{Data: []byte(text), Len: len(text)} }
	set := &dataset.Set{Flows: []dataset.Flow{
		{Label: "a", Opening: []flow.Payload{payload("banner"), payload("mine"), payload("banner")}},
		{Label: "b", Opening: []flow.Payload{payload("banner"), payload("banner")}},
	}}
	part := dataset.Part{Flows: []int{0}, Repeats: [][]bool{{true, false, true}}, Seen: []int{1}}
	marks := func(samples []*classify.Sample) (list []bool) {
		for _, s := range samples {
			for _, in := range s.Inputs {
				list = append(list, in.Repeat)
			}
		}
		return list
	}
	if got := marks(Samples(set, part, &arch)); len(got) != 3 || !got[0] || got[1] || !got[2] {
		t.Errorf("marks %v, want the first and the last", got)
	}
	if got := marks(Known(set, part, &arch)); len(got) != 2 || !got[0] || !got[1] {
		t.Errorf("marks %v of a known opening, want all", got)
	}
	if got := marks(Samples(set, dataset.Part{Flows: []int{0}}, &arch)); got[0] || got[1] || got[2] {
		t.Errorf("marks %v of training, want none", got)
	}
}

// Repeats are neither scored nor calibrated on as packets; their flows are.
func TestPredictLeavesRepeatsOut(t *testing.T) {
	r := newRun(smallRun(1))
	samples := speech(&r.o.Arch, 4, 1)
	all, repeats := 0, 0
	for i, s := range samples {
		for k := range s.Inputs {
			all++
			if (i+k)%3 == 0 {
				s.Inputs[k].Repeat = true
				repeats++
			}
		}
	}
	packets, flows := r.predict(samples)
	if len(packets.labels) != all-repeats || len(packets.values) != (all-repeats)*r.o.Arch.Classes {
		t.Errorf("%d packets are scored, want %d without the repeats", len(packets.labels), all-repeats)
	}
	if len(flows.labels) != len(samples) {
		t.Errorf("%d flows are scored, want %d", len(flows.labels), len(samples))
	}
}
