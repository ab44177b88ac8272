package anomaly

import (
	"math"

	"github.com/weirnet/weir/window"
)

// Scaling turns features into what the network sees: (x − Shift) / Scale. Without Bend x is the
// feature. With it x is log(1 + feature), but a share is multiplied by n/(n + shareWeight), n being
// the TCP packets it is a share of: half of two packets says less than half of two hundred.
type Scaling struct {
	Bend  bool              `json:"bend"`
	Shift [features]float64 `json:"shift"`
	Scale [features]float64 `json:"scale"`
	Limit float64           `json:"limit"` // scaled values are cut to ±Limit; 0: not at all
}

// Of the default profile. The floors keep a feature that hardly moved in training from turning
// one packet more into an alarm: 0.25 on the logarithmic scale is about one packet in four.
const (
	logFloor    = 0.25
	shareFloor  = 0.05
	scaledLimit = 30
	shareWeight = 20
)

// minMax is paper B's scaling: the smallest training value becomes 0, the largest 1, others may
// lie outside; a feature constant in training is only shifted.
func minMax(windows []window.Vector) Scaling {
	var s Scaling
	for i := range features {
		lo, hi := math.Inf(1), math.Inf(-1)
		for j := range windows {
			lo, hi = min(lo, windows[j][i]), max(hi, windows[j][i])
		}
		s.Shift[i], s.Scale[i] = lo, hi-lo
		if hi == lo {
			s.Scale[i] = 1
		}
	}
	return s
}

// standard is the default profile's scaling: mean 0 and variance 1 in training, on a logarithmic
// scale, with floors.
func standard(windows []window.Vector) Scaling {
	s := Scaling{Bend: true, Limit: scaledLimit}
	n := float64(len(windows))
	for i := range features {
		mean, sq := 0.0, 0.0
		for j := range windows {
			mean += s.bend(i, &windows[j]) / n
		}
		for j := range windows {
			d := s.bend(i, &windows[j]) - mean
			sq += d * d / n
		}
		floor := logFloor
		if window.KindOf(i) == window.Share {
			floor = shareFloor
		}
		s.Shift[i], s.Scale[i] = mean, max(math.Sqrt(sq), floor)
	}
	return s
}

// bend puts feature i of a window on the scale on which it is shifted and stretched.
func (s *Scaling) bend(i int, v *window.Vector) float64 {
	switch {
	case !s.Bend:
		return v[i]
	case window.KindOf(i) == window.Share:
		return v[i] * v.TCP() / (v.TCP() + shareWeight)
	}
	return math.Log1p(v[i])
}

// apply writes the scaled features of a window, features values.
func (s *Scaling) apply(dst []float32, v *window.Vector) {
	for i := range v {
		z := (s.bend(i, v) - s.Shift[i]) / s.Scale[i]
		if s.Limit > 0 {
			z = max(-s.Limit, min(s.Limit, z))
		}
		dst[i] = float32(z)
	}
}

// invert returns the value of feature i, in its own unit, that would be scaled to z in a window
// that is otherwise like v. What a network puts out need not be possible: no feature is below 0,
// and no share above 1.
func (s *Scaling) invert(i int, z float64, v *window.Vector) float64 {
	x := z*s.Scale[i] + s.Shift[i]
	share := window.KindOf(i) == window.Share
	switch {
	case s.Bend && share && v.TCP() > 0:
		x *= (v.TCP() + shareWeight) / v.TCP()
	case s.Bend && share:
		x = 0
	case s.Bend:
		x = math.Expm1(x)
	}
	if share {
		x = min(x, 1)
	}
	return max(x, 0)
}
