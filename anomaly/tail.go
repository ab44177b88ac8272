package anomaly

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Tail is how rare high scores are on benign windows: of the share Share of windows that score more than From, the
// excess over From follows a generalised Pareto distribution (peaks over threshold; Pickands, Annals of Statistics 3,
// 1975).
type Tail struct {
	From    float64 `json:"from"`
	Share   float64 `json:"share"`
	Shape   float64 `json:"shape"` // ξ; below 0 the tail ends
	Scale   float64 `json:"scale"` // σ
	Peaks   int     `json:"peaks"` // windows that it is fitted to
	Windows int     `json:"windows"`
}

// Bounds of the fit. Fewer peaks than minPeaks say nothing about the shape of a tail; a twentieth of the windows was
// measured to be better than a tenth or a fifth. Shapes beyond maxShape have no variance, and the estimate none either.
const (
	minPeaks  = 20
	peakShare = 0.05
	maxShape  = 0.5
)

// MinTailWindows is the fewest benign windows that a tail is fitted to.
const MinTailWindows = minPeaks * 20

// fitTail fits to the scores of benign windows, in any order. Shape and scale are found by probability-weighted moments
// (Hosking and Wallis, Technometrics 29, 1987, section 3): with few peaks they err less than the likelihood, and they
// always exist.
func fitTail(scores []float64) (Tail, error) {
	n := len(scores)
	if n < MinTailWindows {
		return Tail{}, fmt.Errorf("anomaly: the highest scores of %d benign windows are too few to fit: want at least %d windows", n, MinTailWindows)
	}
	sorted := slices.Sorted(slices.Values(scores))
	k := int(peakShare * float64(n))
	t := Tail{From: sorted[n-k], Share: float64(k) / float64(n), Peaks: k, Windows: n}
	mean, weighted := 0.0, 0.0 // α₀ = E[x] and α₁ = E[x·(1 − F(x))]
	for i, s := range sorted[n-k:] {
		x := s - t.From
		mean += x / float64(k)
		weighted += x * (1 - (float64(i)+0.65)/float64(k)) / float64(k)
	}
	if !(mean > 0) { // all peaks are equal: what lies higher was never seen
		return t, nil
	}
	t.Shape = 2 - mean/(mean-2*weighted)
	t.Shape = min(max(t.Shape, -maxShape), maxShape)
	t.Scale = mean * (1 - t.Shape) // since the mean of the distribution is σ/(1 − ξ)
	return t, nil
}

// Rate is the share of benign windows that is expected to reach a score; Share for any score up to From.
func (t *Tail) Rate(score float64) float64 {
	switch z := (score - t.From) / t.Scale; {
	case score <= t.From:
		return t.Share
	case t.Scale == 0 || 1+t.Shape*z <= 0:
		return 0
	case math.Abs(t.Shape) < flat:
		return t.Share * math.Exp(-z)
	default:
		return t.Share * math.Pow(1+t.Shape*z, -1/t.Shape)
	}
}

// flat is a shape that is as good as 0, where the distribution is exponential.
const flat = 1e-9

// Score is the score that the share rate of benign windows is expected to reach; From for any rate from Share on.
func (t *Tail) Score(rate float64) float64 {
	switch r := math.Log(t.Share / rate); {
	case rate >= t.Share:
		return t.From
	case math.Abs(t.Shape) < flat:
		return t.From + t.Scale*r
	default:
		return t.From + t.Scale/t.Shape*math.Expm1(t.Shape*r)
	}
}

// Promise is a number of false alarms a day that a threshold was to keep to, and what is known of whether it does.
type Promise struct {
	PerDay float64 `json:"per_day"` // what was asked for, at most
	Tail   Tail    `json:"tail"`    // of benign windows that were left out of training
	// Expected is what the tail says of the threshold, Low and High where that lies with a probability of nine in ten, by
	// how far those windows tell. That the network may change is not in it.
	Expected float64 `json:"expected_per_day"`
	Low      float64 `json:"low_per_day"`
	High     float64 `json:"high_per_day"`
	// Achieved is what came of the same promise on windows that neither network nor threshold had seen: five times, one
	// block of the windows against the threshold from the others.
	Achieved float64 `json:"achieved_per_day"`
	Days     float64 `json:"days"` // that the benign windows make
	Sure     bool    `json:"sure"` // as many alarms as asked for were to be expected in these windows to see how high they score
}

// How rare a promise may be, in alarms that the benign windows would have had. From sureAlarms on it was kept, within a factor of
// three, on all 23 stretches of traffic that it was measured on; below, on 19 of them. Less than leastAlarms is refused.
const (
	sureAlarms  = 2
	leastAlarms = 0.2
)

// fitPromise finds a threshold that keeps a promise of so many false alarms a day, from the scores of benign windows in order of
// time. It is the higher of what the tail says and what was seen: either alone was measured to fall short
// where the other holds.
func fitPromise(scores []float64, wanted float64, length time.Duration) (Threshold, error) {
	n := float64(len(scores))
	windows := perDay(length)
	days := n / windows
	if wanted*days < leastAlarms {
		return Threshold{}, fmt.Errorf("anomaly: %.3g days of benign windows cannot promise %.3g false alarms a day: at least %.3g days are needed for that, or ask for %.3g a day",
			days, wanted, leastAlarms/wanted, leastAlarms/days)
	}
	rate := wanted / windows
	if rate >= 1 {
		return Threshold{}, fmt.Errorf("anomaly: %.3g false alarms a day: there are only %.6g windows of %v in a day", wanted, windows, length)
	}
	value, tail, err := promised(scores, rate)
	if err != nil {
		return Threshold{}, err
	}
	t := Threshold{Value: value, Wanted: rate, Rate: max(rate, 1/n), PerDay: wanted}
	t.measure(scores)
	p := &Promise{PerDay: wanted, Tail: tail, Expected: tail.Rate(value) * windows, Days: days, Sure: wanted*days >= sureAlarms}
	p.Low, p.High = interval(scores, value)
	p.Low, p.High = p.Low*windows, p.High*windows
	alarms := 0
	for b := range blocks {
		lo, hi := len(scores)*b/blocks, len(scores)*(b+1)/blocks
		others := slices.Concat(scores[:lo], scores[hi:])
		value := fitThreshold(others, rate, length).Value
		if v, _, err := promised(others, rate); err == nil {
			value = v
		}
		for _, s := range scores[lo:hi] {
			if s >= value {
				alarms++
			}
		}
	}
	p.Achieved = float64(alarms) / days
	t.Promise = p
	return t, nil
}

// promised is the higher of the two thresholds.
func promised(scores []float64, rate float64) (float64, Tail, error) {
	tail, err := fitTail(scores)
	if err != nil {
		return 0, tail, err
	}
	return max(fitThreshold(scores, rate, time.Hour).Value, tail.Score(rate)), tail, nil
}

// Of the interval: so many repetitions, of blocks of a fiftieth of the windows, since windows in a row are alike.
const (
	repetitions = 400
	tailBlocks  = 50
	coverage    = 0.9
)

// interval is where the rate of a score lies with a probability of coverage, by a bootstrap of blocks of windows, which
// come in order of time.
func interval(scores []float64, score float64) (low, high float64) {
	random := rand.New(rand.NewPCG(1, 2))
	n := len(scores)
	length := n/tailBlocks + 1
	rates := make([]float64, 0, repetitions)
	sample := make([]float64, 0, n+length)
	for range repetitions {
		sample = sample[:0]
		for len(sample) < n {
			at := random.IntN(n - length + 1)
			sample = append(sample, scores[at:at+length]...)
		}
		if t, err := fitTail(sample[:n]); err == nil {
			rates = append(rates, t.Rate(score))
		}
	}
	slices.Sort(rates)
	at := func(q float64) float64 { return rates[int(q*float64(len(rates)-1))] }
	return at((1 - coverage) / 2), at((1 + coverage) / 2)
}

// String says what was promised and what came of it.
func (p *Promise) String() string {
	text := fmt.Sprintf("promised: at most %.3g false alarms a day; expected %.3g (nine times in ten %.3g to %.3g); achieved %.3g on %.3g days of benign windows that neither network nor threshold had seen",
		p.PerDay, p.Expected, p.Low, p.High, p.Achieved, p.Days)
	if !p.Sure {
		text += fmt.Sprintf("; that is little to promise it from: %.3g days would do", sureAlarms/p.PerDay)
	}
	return text
}
