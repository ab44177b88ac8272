package anomaly

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Threshold is the score from which a window is anomalous, and what is known about how often
// benign windows reach it.
type Threshold struct {
	Value float64 `json:"value"`
	// Given says that the value was set by hand: nothing below is known but Windows and Above.
	Given   bool    `json:"given,omitempty"`
	Wanted  float64 `json:"wanted_rate"`    // share of benign windows that was asked to be at most above
	Rate    float64 `json:"rate"`           // the least that the benign windows can vouch for
	PerDay  float64 `json:"alarms_per_day"` // Rate as false alarms per day, if windows erred one by one
	Windows int     `json:"benign_windows"` // left out of training and scored
	Above   int     `json:"benign_above"`   // of them, those that reach Value
	// Promise is set when a number of false alarms a day was promised.
	Promise *Promise `json:"promise,omitempty"`
}

// Honest reports whether the wanted rate can be promised: of n benign windows none is known to
// be rarer than one in n.
func (t *Threshold) Honest() bool { return t.Given || t.Wanted >= t.Rate }

// String says what can be expected of the threshold, in one sentence.
func (t *Threshold) String() string {
	switch {
	case t.Promise != nil:
		return fmt.Sprintf("threshold %.4g; %s", t.Value, t.Promise)
	case t.Given:
		return fmt.Sprintf("threshold %.4g was given; %d of %d benign windows reach it", t.Value, t.Above, t.Windows)
	case !t.Honest():
		return fmt.Sprintf("threshold %.4g is above all %d benign windows; a false-alarm rate of %.3g cannot be promised from so few, only %.3g (%.3g a day)",
			t.Value, t.Windows, t.Wanted, t.Rate, t.PerDay)
	}
	return fmt.Sprintf("threshold %.4g: %d of %d benign windows reach it; expect at most %.3g of them to (%.3g a day)",
		t.Value, t.Above, t.Windows, t.Rate, t.PerDay)
}

// margin is how far at most the threshold lies above the highest score that must stay below it.
// The next score may be a hundred times as high: half way to it would be far beyond many attacks.
const margin = 1.05

// fitThreshold finds a threshold that at most the wanted share of the benign scores reach, and
// little higher than it must be for that.
func fitThreshold(scores []float64, wanted float64, length time.Duration) Threshold {
	scores = slices.Sorted(slices.Values(scores))
	n := len(scores)
	t := Threshold{Wanted: wanted, Windows: n}
	below := scores[n-1-min(int(wanted*float64(n)), n-1)] // the highest score that must stay below
	t.Value = below * margin
	for _, s := range scores {
		if s > below {
			t.Value = min(t.Value, (below+s)/2)
			break
		}
	}
	t.Value = max(t.Value, math.SmallestNonzeroFloat32) // benign windows may all score 0
	t.measure(scores)
	t.Rate = max(wanted, 1/float64(n))
	t.PerDay = t.Rate * perDay(length)
	return t
}

// measure counts the benign scores that reach the threshold.
func (t *Threshold) measure(scores []float64) {
	t.Windows, t.Above = len(scores), 0
	for _, s := range scores {
		if s >= t.Value {
			t.Above++
		}
	}
}

// perDay returns how many windows a day has.
func perDay(length time.Duration) float64 { return float64(24*time.Hour) / float64(length) }
