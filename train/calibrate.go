package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/drift"
)

// scores are class scores with the true class of each row.
type scores struct {
	classes int
	values  []float32
	labels  []int32
}

func (s *scores) add(row []float32, label int32) {
	s.values = append(s.values, row...)
	s.labels = append(s.labels, label)
}

func (s *scores) row(i int) []float32 { return s.values[i*s.classes : (i+1)*s.classes] }

// loss returns the mean negative log-likelihood at a temperature, 0 without rows.
func (s *scores) loss(temperature float64) float64 {
	if len(s.labels) == 0 {
		return 0
	}
	sum := 0.0
	for i, label := range s.labels {
		row := s.row(i)
		top := math.Inf(-1)
		for _, v := range row {
			top = max(top, float64(v)/temperature)
		}
		z := 0.0
		for _, v := range row {
			z += math.Exp(float64(v)/temperature - top)
		}
		sum += math.Log(z) + top - float64(row[label])/temperature
	}
	return sum / float64(len(s.labels))
}

// accuracy returns the share of rows whose largest score is the label's, 0 without rows.
func (s *scores) accuracy() float64 {
	right := 0
	for i, label := range s.labels {
		if s.best(i) == label {
			right++
		}
	}
	return float64(right) / float64(max(len(s.labels), 1))
}

// macroF1 returns the mean F1 of the classes that are labels of rows, 0 without rows.
func (s *scores) macroF1() float64 {
	type count struct{ right, said, there float64 }
	counts := make([]count, s.classes)
	for i, label := range s.labels {
		said := s.best(i)
		counts[said].said++
		counts[label].there++
		if said == label {
			counts[label].right++
		}
	}
	sum, classes := 0.0, 0
	for _, c := range counts {
		if c.there > 0 {
			sum += 2 * c.right / (c.said + c.there)
			classes++
		}
	}
	return sum / float64(max(classes, 1))
}

// best returns the class of row i's largest score, the first of equals.
func (s *scores) best(i int) int32 {
	best, row := 0, s.row(i)
	for c, v := range row {
		if v > row[best] {
			best = c
		}
	}
	return int32(best)
}

// temperature returns the temperature of least loss (Guo et al. 2017, section 4.2), by golden
// section on its logarithm: the loss has one minimum.
func (s *scores) temperature() float64 {
	if len(s.labels) == 0 {
		return 1
	}
	const ratio = 0.6180339887498949
	low, high := math.Log(0.05), math.Log(20)
	a, b := high-ratio*(high-low), low+ratio*(high-low)
	fa, fb := s.loss(math.Exp(a)), s.loss(math.Exp(b))
	for high-low > 1e-4 {
		if fa < fb {
			high, b, fb = b, a, fa
			a = high - ratio*(high-low)
			fa = s.loss(math.Exp(a))
		} else {
			low, a, fa = a, b, fb
			b = low + ratio*(high-low)
			fb = s.loss(math.Exp(b))
		}
	}
	return math.Exp((low + high) / 2)
}

// predict returns the class scores of every packet alone that is no repeat of one in training, and
// of every flow after its last packet.
func (r *run) predict(samples []*classify.Sample) (packets, flows scores) {
	classes := r.o.Arch.Classes
	first := make([]int, len(samples)+1) // row of each sample's first packet
	for i, s := range samples {
		first[i+1] = first[i] + len(s.Inputs)
	}
	packet := make([]float32, first[len(samples)]*classes)
	flow := make([]float32, len(packet))
	r.replicas.Each(len(samples), 64, func(n *classify.Network, lo, hi int) {
		p, f := n.Predict(samples[lo:hi])
		copy(packet[first[lo]*classes:], p)
		copy(flow[first[lo]*classes:], f)
	})
	packets, flows = scores{classes: classes}, scores{classes: classes}
	for i, s := range samples {
		for row := first[i]; row < first[i+1]; row++ {
			if !s.Inputs[row-first[i]].Repeat {
				packets.add(packet[row*classes:(row+1)*classes], s.Class)
			}
		}
		if last := first[i+1] - 1; r.o.Arch.Flow && last >= first[i] {
			flows.add(flow[last*classes:(last+1)*classes], s.Class)
		}
	}
	return packets, flows
}

// calibrate fits the temperatures to validation data.
func (r *run) calibrate(validation []*classify.Sample) {
	packets, flows := r.predict(validation)
	r.state.Settings.PacketTemperature = packets.temperature()
	r.state.Settings.FlowTemperature = flows.temperature()
}

// noveltyQuantile is the share of known validation flows that shall not be called novel.
const noveltyQuantile = 0.98

// judgeNovelty fits the distance to the training flows and its thresholds to validation flows.
func (r *run) judgeNovelty(training, validation []*classify.Sample) error {
	if err := r.refitNovelty(training); err != nil {
		return err
	}
	places, encoded, err := r.places(validation)
	if err != nil {
		return err
	}
	r.state.Settings.Embedding.SetSimilarity(encoded)
	r.state.Settings.Novelty.SetThresholds(places, noveltyQuantile)
	return nil
}

// refitNovelty fits the distance and the embedding anew and keeps their thresholds.
func (r *run) refitNovelty(samples []*classify.Sample) error {
	places, encoded, err := r.places(samples)
	if err != nil {
		return err
	}
	embedding := classify.FitEmbedding(encoded, r.o.Arch.Classes)
	if before := r.state.Settings.Embedding; before != nil {
		embedding.Similarity = before.Similarity
	}
	r.state.Settings.Embedding = &embedding
	n, err := classify.FitNovelty(places)
	if err != nil {
		return err
	}
	old := r.state.Settings.Novelty
	n.Thresholds, n.Quantile = old.Thresholds, old.Quantile
	r.state.Settings.Novelty = n
	return nil
}

// measureInt8 decides which networks run in int8 from here on, on validation data. After Refit that
// is data which the weights have seen; what is compared is rounded weights with the same weights
// as they are.
func (r *run) measureInt8(validation []*classify.Sample) (err error) {
	r.state.Settings.Int8, err = r.main.MeasureInt8(validation, max(r.o.Workers, 1))
	if err != nil {
		return fmt.Errorf("train: int8: %w", err)
	}
	return nil
}

// places returns where each flow lies after each of its packets, by the engine of service, and the mean of its encodings.
func (r *run) places(samples []*classify.Sample) ([]classify.Place, []classify.Encoded, error) {
	m, err := classify.NewModel(r.state.Settings, r.o.Labels, r.params)
	if err != nil {
		return nil, nil, err
	}
	bySample := make([][]classify.Place, len(samples))
	encoded := make([]classify.Encoded, len(samples))
	r.replicas.Each(len(samples), 64, func(_ *classify.Network, lo, hi int) {
		e := m.Engine()
		t := e.NewTrack()
		for i := lo; i < hi; i++ {
			t.Reset()
			for k := range samples[i].Inputs {
				e.Step(t, &samples[i].Inputs[k])
				bySample[i] = append(bySample[i], classify.Place{
					State: slices.Clone(e.State(t)), Packets: t.Packets, Group: samples[i].Group,
				})
			}
			encoded[i] = classify.Encoded{Mean: t.Mean(nil), Class: samples[i].Class}
		}
	})
	return slices.Concat(bySample...), encoded, nil
}

// spread stores how the final confidences and the novelty of validation flows are spread. Refit keeps it, as it does the temperatures and
// thresholds: what the weights have seen would tell of too much confidence.
func (r *run) spread(samples []*classify.Sample) error {
	m, err := classify.NewModel(r.state.Settings, r.o.Labels, r.params)
	if err != nil {
		return err
	}
	confidences, novelty := make([]float64, len(samples)), make([]float64, len(samples))
	r.replicas.Each(len(samples), 64, func(_ *classify.Network, lo, hi int) {
		e := m.Engine()
		for i := lo; i < hi; i++ {
			v := m.Judge(e, samples[i].Inputs)
			confidences[i], novelty[i] = float64(v.Confidence), v.Novelty
			if v.Decided == 0 { // without a payload
				confidences[i], novelty[i] = math.NaN(), math.NaN()
			}
		}
	})
	r.state.Settings.Confidences, r.state.Settings.Strangeness = drift.Of(confidences), drift.Of(novelty)
	return nil
}
