package train

import (
	"slices"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/flow"
)

// Samples turns one side of a split into what the networks see, flows first, then images. Payloads
// that an earlier side holds are marked as repeats.
func Samples(set *dataset.Set, part dataset.Part, arch *classify.Architecture) []*classify.Sample {
	// Every side numbers the groups alike: by the order of all labels of the set.
	var labels []string
	for i := range set.Flows {
		labels = append(labels, set.Flows[i].Label)
	}
	for i := range set.Images {
		labels = append(labels, set.Images[i].Label)
	}
	slices.Sort(labels)
	groups := map[string]int32{}
	for g, label := range slices.Compact(labels) {
		groups[label] = int32(g)
	}
	samples := make([]*classify.Sample, 0, len(part.Flows)+len(part.Images))
	for k, i := range part.Flows {
		f := &set.Flows[i]
		s := &classify.Sample{Inputs: arch.Inputs(f.Opening, f.Key.Proto), Class: int32(f.Class), Group: groups[f.Label]}
		if part.Repeats != nil {
			for n := range s.Inputs {
				s.Inputs[n].Repeat = part.Repeats[k][n]
			}
		}
		samples = append(samples, s)
	}
	for _, i := range part.Images {
		m := &set.Images[i]
		s := &classify.Sample{Inputs: make([]classify.Input, 1), Class: int32(m.Class), Group: groups[m.Label]}
		arch.FillImage(&s.Inputs[0], m.Pixels)
		samples = append(samples, s)
	}
	return samples
}

// Known returns the flows of a side whose whole opening an earlier side holds. All their payloads
// are repeats.
func Known(set *dataset.Set, part dataset.Part, arch *classify.Architecture) []*classify.Sample {
	samples := Samples(set, dataset.Part{Flows: part.Seen}, arch)
	for _, s := range samples {
		for n := range s.Inputs {
			s.Inputs[n].Repeat = true
		}
	}
	return samples
}

// Normaliser returns what dataset.Split compares openings by: the payload as the networks see it.
func Normaliser(arch *classify.Architecture) func([]byte) []byte {
	buf := make([]byte, arch.Normaliser.Bytes)
	return func(payload []byte) []byte {
		return buf[:arch.Normaliser.Apply(buf, payload)]
	}
}

// OpeningConfig is how flows must be metered for an architecture, in training as in service.
func OpeningConfig(arch *classify.Architecture) flow.Config {
	return flow.Config{OpeningPackets: arch.Packets, OpeningBytes: max(784, arch.Normaliser.Bytes)}
}
