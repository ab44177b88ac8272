package anomaly

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// pareto draws from a generalised Pareto distribution.
func pareto(r *rand.Rand, shape, scale float64) float64 {
	u := 1 - r.Float64()
	if shape == 0 {
		return -scale * math.Log(u)
	}
	return scale / shape * (math.Pow(u, -shape) - 1)
}

func TestFitTailFindsTheDistribution(t *testing.T) {
	for _, shape := range []float64{-0.3, 0, 0.2, 0.4} {
		r := rand.New(rand.NewPCG(1, 1))
		scores := make([]float64, 200_000)
		for i := range scores {
			scores[i] = 0.5 + pareto(r, shape, 0.3)
		}
		got, err := fitTail(scores)
		if err != nil {
			t.Fatal(err)
		}
		// Above any threshold u a Pareto tail keeps its shape, and its scale is σ + ξ·u.
		want := 0.3 + shape*(got.From-0.5)
		if math.Abs(got.Shape-shape) > 0.04 || math.Abs(got.Scale/want-1) > 0.06 || got.Peaks != 10_000 {
			t.Errorf("shape %g: got %+v, want scale %g", shape, got, want)
		}
		for _, rate := range []float64{0.05, 0.01, 1e-3, 1e-5} {
			if back := got.Rate(got.Score(rate)); math.Abs(back/rate-1) > 1e-6 {
				t.Errorf("shape %g: the score of rate %g has rate %g", shape, rate, back)
			}
			true := 0.5 + func() float64 {
				if shape == 0 {
					return -0.3 * math.Log(rate)
				}
				return 0.3 / shape * (math.Pow(rate, -shape) - 1)
			}()
			if rate >= 1e-3 && math.Abs(got.Score(rate)/true-1) > 0.05 {
				t.Errorf("shape %g: rate %g at %g, want %g", shape, rate, got.Score(rate), true)
			}
		}
	}
}

func TestFitTailTakesWhateverScoresThereAre(t *testing.T) {
	equal := make([]float64, 1000)
	tied := make([]float64, 1000)
	for i := range tied {
		tied[i] = float64(i % 3)
	}
	huge := make([]float64, 1000)
	huge[7] = 1e300
	for _, scores := range [][]float64{equal, tied, huge} {
		tail, err := fitTail(scores)
		if err != nil {
			t.Fatal(err)
		}
		for _, rate := range []float64{1, 0.05, 1e-3, 1e-9} {
			if s := tail.Score(rate); math.IsNaN(s) || s < tail.From {
				t.Errorf("%+v: score %v at rate %g", tail, s, rate)
			}
		}
		for _, s := range []float64{-1, 0, tail.From, 5, 1e301} {
			if r := tail.Rate(s); !(r >= 0 && r <= tail.Share) {
				t.Errorf("%+v: rate %v of score %g", tail, r, s)
			}
		}
	}
	if _, err := fitTail(make([]float64, MinTailWindows-1)); err == nil {
		t.Error("a tail was fitted to too few windows")
	}
}

func TestAPromiseIsKeptOrRefused(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	draw := func(n int) []float64 {
		scores := make([]float64, n)
		for i := range scores {
			scores[i] = pareto(r, 0.2, 1)
		}
		return scores
	}
	length := 5 * time.Minute // 288 a day
	scores := draw(30 * 288)
	got, err := fitPromise(scores, 1, length)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Promise
	later := draw(1000 * 288)
	alarms := 0
	for _, s := range later {
		if s >= got.Value {
			alarms++
		}
	}
	if rate := float64(alarms) / 1000; rate > 1.5 || rate < 0.3 {
		t.Errorf("promised 1 a day, got %g (threshold %g, %+v)", rate, got.Value, p)
	}
	if !p.Sure || !(p.Low <= p.Expected && p.Expected <= p.High) || p.Achieved > 2 || p.Days != 30 {
		t.Errorf("%+v", p)
	}
	rare, err := fitPromise(scores, 0.02, length)
	if err != nil || rare.Promise.Sure || !strings.Contains(rare.String(), "100 days would do") {
		t.Errorf("0.02 a day from 30 days: %v, %v", &rare, err)
	}
	if rare.Value <= got.Value {
		t.Errorf("fewer alarms from a lower threshold: %g, %g", rare.Value, got.Value)
	}
	if _, err := fitPromise(scores, 0.001, length); err == nil || !strings.Contains(err.Error(), "at least 200 days are needed") {
		t.Errorf("0.001 a day from 30 days: %v", err)
	}
	if _, err := fitPromise(scores, 288, length); err == nil {
		t.Error("more alarms than windows were promised")
	}
	if _, err := fitPromise(scores[:100], 5, length); err == nil {
		t.Error("a promise from a hundred windows")
	}
}
