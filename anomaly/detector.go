package anomaly

import (
	"slices"
	"time"

	"github.com/weirnet/weir/nn/infer"
	"github.com/weirnet/weir/window"
)

// Result is the judgement of one window.
type Result struct {
	// Scored is false for the first two windows of a stream in the profile Paper, which needs
	// three: everything else is then zero but Threshold.
	Scored    bool
	Score     float64
	Threshold float64
	Anomalous bool // Score is at least Threshold
	// Shares are the parts of the score by feature: none is negative, and added up in order they
	// are the score exactly.
	Shares [features]float64
	// Expected is the window as the network gave it back, in the features' own units.
	Expected window.Vector
}

// Detector judges the windows of one stream, one after the other. It is used by one goroutine.
type Detector struct {
	model *Model
	net   *infer.Worker
	seen  int       // windows since the start, at most steps
	x     []float32 // (steps, features), scaled, the newest last

	before []float32 // x when last was made, nil at first
	last   Result
}

// NewDetector returns a detector at the start of a stream.
func (m *Model) NewDetector() *Detector {
	m.once.Do(func() { m.program = m.net.compile(1) })
	return &Detector{model: m, net: m.program.NewWorker(), x: make([]float32, steps*features)}
}

// Reset forgets the windows seen: the next one starts a stream, or comes after a gap.
func (d *Detector) Reset() {
	d.seen = 0
	clear(d.x)
}

// Score judges the next window.
//
// Profile Default: with z the scaled window, which is 0 where it is as usual, y what the network
// makes of it after the two before, and w the distance's matrix, the share of feature i is
//
//	½ · ((zᵢ − yᵢ)² / ErrorVarianceᵢ / ErrorScale + (w·z)ᵢ² / DistanceScale)
//
// so that a window which in both respects is like the oddest benign one in a hundred scores 1.
// Windows before the start of the stream and anomalous ones count as usual for those after them.
//
// Profile Paper: equation 1, the squared errors of all three windows.
func (d *Detector) Score(v window.Vector) Result {
	m := d.model
	copy(d.x, d.x[features:])
	newest := d.x[(steps-1)*features:]
	m.Scaling.apply(newest, &v)
	d.seen = min(d.seen+1, steps)
	r := Result{Threshold: m.Threshold.Value}
	if m.Profile == Paper && d.seen < steps {
		return r
	}
	if slices.Equal(d.x, d.before) { // a long silence need not be judged a million times
		r = d.last
		d.usual(newest, &r)
		return r
	}
	d.net.SetFloats(0, 0, d.x)
	d.net.Run(1)
	y := d.net.Output(0, 0)
	last := y[(steps-1)*features:]
	if m.Profile == Paper {
		equation1(&r.Shares, d.x, y)
	} else {
		m.shares(&r.Shares, newest, last)
	}
	r.Scored = true
	for i, share := range r.Shares {
		r.Score += share
		r.Expected[i] = m.Scaling.invert(i, float64(last[i]), &v)
	}
	r.Anomalous = r.Score >= r.Threshold
	d.before, d.last = append(d.before[:0], d.x...), r
	d.usual(newest, &r)
	return r
}

// usual puts a usual window in the place of an anomalous one, for those after it.
func (d *Detector) usual(newest []float32, r *Result) {
	if d.model.Profile == Default && r.Anomalous {
		clear(newest)
	}
}

// equation1 is paper B's score by feature: Σ over windows of (t' − y')².
func equation1(shares *[features]float64, x, y []float32) {
	for k := range x {
		e := float64(x[k]) - float64(y[k])
		shares[k%features] += e * e
	}
}

// shares is the default profile's score by feature.
func (m *Model) shares(dst *[features]float64, x, y []float32) {
	m.distance.parts(dst, x)
	for i := range dst {
		e := float64(x[i]) - float64(y[i])
		dst[i] = (e*e/m.ErrorVariance[i]/m.ErrorScale + dst[i]/m.DistanceScale) / 2
	}
}

// IncidentGap is how many windows apart two alarms may be and still belong to one incident.
const IncidentGap = 2

// Incident is alarms of one stream that belong together.
type Incident struct {
	First, Last int64 // starts of its first and last anomalous window, nanoseconds since the Unix epoch
	Windows     int   // anomalous ones
	Peak        float64
}

// Join adds the alarm of a window to the incident, or reports that it is the first of another.
// The zero Incident takes any alarm. Alarms come in order of time.
func (i *Incident) Join(start int64, length time.Duration, score float64) bool {
	if i.Windows == 0 {
		i.First = start
	} else if start-i.Last > IncidentGap*int64(length) {
		return false
	}
	i.Last = start
	i.Windows++
	i.Peak = max(i.Peak, score)
	return true
}
