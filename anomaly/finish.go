package anomaly

import (
	"slices"

	"github.com/weirnet/weir/drift"
	"github.com/weirnet/weir/window"
)

// model puts the detector together when all stages are done.
func (t *trainer) model() (*Model, error) {
	last := t.stages - 1
	inner, outer, scaling := t.sides(last)
	m := &Model{
		Settings: Settings{
			Profile:  t.o.Profile,
			Features: window.FeatureVersion,
			Length:   t.o.Length,
			Home:     t.o.Home,
			Hidden:   t.o.Hidden,
			Scaling:  scaling,
			Usual:    usual(t.windows),
		},
		net: t.nets[last],
	}
	var scores []float64
	if t.o.Profile == Paper {
		each(m.net, outer, func(_ int, x, y []float32) {
			var shares [features]float64
			equation1(&shares, x, y)
			scores = append(scores, total(&shares))
		})
	} else {
		var err error
		if m.distance, err = fitDistance(inner.x); err != nil {
			return nil, err
		}
		if scores, err = t.leftOut(m); err != nil {
			return nil, err
		}
	}
	m.Scores = drift.Of(scores)
	switch {
	case t.o.Threshold > 0:
		m.Threshold = Threshold{Value: t.o.Threshold, Given: true}
		m.Threshold.measure(scores)
	case t.o.Promise > 0:
		var err error
		if m.Threshold, err = fitPromise(scores, t.o.Promise, t.o.Length); err != nil {
			return nil, err
		}
	default:
		m.Threshold = fitThreshold(scores, t.o.FalseAlarms, t.o.Length)
	}
	return m, m.check()
}

// usualTail is the share of training windows that lie below the usual range of a feature, and above it.
const usualTail = 0.01

// usual returns the usual range of each feature.
func usual(windows []window.Vector) *[features][2]float64 {
	var all [features][2]float64
	values := make([]float64, len(windows))
	for i := range all {
		for j := range windows {
			values[j] = windows[j][i]
		}
		slices.Sort(values)
		out := int(usualTail * float64(len(values)))
		all[i] = [2]float64{values[out], values[len(values)-1-out]}
	}
	return &all
}

// minVariance is the least error variance of a scaled feature. A network gives back what never
// moved in training almost exactly; without a floor the least step of it would be an alarm.
const minVariance = 0.01

// scaleRate is the share of benign windows that reach ErrorScale and DistanceScale.
const scaleRate = 0.01

// leftOut scores every window by the stage that did not train on it, sets what the default
// profile's score is measured by, and returns the scores.
func (t *trainer) leftOut(m *Model) ([]float64, error) {
	var squares, parts [][features]float64
	for stage := range blocks {
		inner, outer, _ := t.sides(stage)
		d, err := fitDistance(inner.x)
		if err != nil {
			return nil, err
		}
		each(t.nets[stage], outer, func(_ int, x, y []float32) {
			x, y = x[(steps-1)*features:], y[(steps-1)*features:]
			var square, part [features]float64
			for i := range square {
				e := float64(x[i]) - float64(y[i])
				square[i] = e * e
			}
			d.parts(&part, x)
			squares, parts = append(squares, square), append(parts, part)
		})
	}
	n := float64(len(squares))
	for k := range squares {
		for i, sq := range squares[k] {
			m.ErrorVariance[i] += sq / n
		}
	}
	for i, v := range m.ErrorVariance {
		m.ErrorVariance[i] = max(v, minVariance)
	}
	errs, distances := make([]float64, len(squares)), make([]float64, len(squares))
	for k := range squares {
		for i, sq := range squares[k] {
			errs[k] += sq / m.ErrorVariance[i]
		}
		distances[k] = total(&parts[k])
	}
	m.ErrorScale, m.DistanceScale = upper(errs), upper(distances)
	scores := make([]float64, len(squares))
	for k := range scores {
		scores[k] = (errs[k]/m.ErrorScale + distances[k]/m.DistanceScale) / 2
	}
	return scores, nil
}

// upper is the value that scaleRate of the values reach; 1 when that is 0.
func upper(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if v := sorted[len(sorted)-1-int(scaleRate*float64(len(sorted)))]; v > 0 {
		return v
	}
	return 1
}

func total(shares *[features]float64) (sum float64) {
	for _, s := range shares {
		sum += s
	}
	return sum
}
