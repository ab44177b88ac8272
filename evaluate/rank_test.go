package evaluate

import (
	"math"
	"math/rand/v2"
	"testing"
)

func near(t *testing.T, what string, got, want Number) {
	t.Helper()
	if math.IsNaN(float64(got)) && math.IsNaN(float64(want)) {
		return
	}
	if !(math.Abs(float64(got-want)) <= 1e-12) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// slowAUC compares every positive item with every negative one.
func slowAUC(scores []float64, positive []bool) Number {
	var won, pairs float64
	for i, a := range scores {
		for j, b := range scores {
			if !positive[i] || positive[j] {
				continue
			}
			pairs++
			switch {
			case a > b || math.IsNaN(b) && a > math.Inf(-1):
				won++
			case a == b, math.IsNaN(a) && (math.IsNaN(b) || b == math.Inf(-1)), math.IsNaN(b) && a == math.Inf(-1):
				won += 0.5
			}
		}
	}
	return share(won, pairs)
}

// slowAP takes each score that occurs as a threshold, from the highest down.
func slowAP(scores []float64, positive []bool) Number {
	lowest := func(s float64) float64 {
		if math.IsNaN(s) {
			return math.Inf(-1)
		}
		return s
	}
	var all, sum, before float64
	for _, p := range positive {
		if p {
			all++
		}
	}
	limit, first := 0.0, true
	for {
		next := math.Inf(-1)
		found := false
		for _, s := range scores {
			if s := lowest(s); (first || s < limit) && (!found || s > next) {
				next, found = s, true
			}
		}
		if !found {
			return share(sum, all)
		}
		limit, first = next, false
		var hit, taken float64
		for i, s := range scores {
			if lowest(s) >= limit {
				taken++
				if positive[i] {
					hit++
				}
			}
		}
		sum += (hit - before) * hit / taken
		before = hit
	}
}

func TestRankAgainstSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 400 {
		n := r.IntN(60)
		scores, positive := make([]float64, n), make([]bool, n)
		values := 1 + r.IntN(30) // few values: many ties
		for i := range scores {
			scores[i] = float64(r.IntN(values))
			switch r.IntN(25) {
			case 0:
				scores[i] = math.NaN()
			case 1:
				scores[i] = math.Inf(1 - 2*r.IntN(2))
			}
			positive[i] = r.IntN(4) == 0
		}
		ranking := Rank(scores, positive)
		near(t, "AUC", ranking.AUC(), slowAUC(scores, positive))
		near(t, "average precision", ranking.AveragePrecision(), slowAP(scores, positive))
		if t.Failed() {
			t.Fatalf("scores %v, positive %v", scores, positive)
		}
	}
}

func TestRankByHand(t *testing.T) {
	// By falling score: + | + - (tie) | - | + : of 3 × 2 pairs, 2 + 1.5 + 0 are won.
	scores := []float64{9, 7, 7, 5, 1}
	positive := []bool{true, true, false, false, true}
	r := Rank(scores, positive)
	near(t, "AUC", r.AUC(), 3.5/6)
	near(t, "average precision", r.AveragePrecision(), (1.0+2.0/3+3.0/5)/3)
	roc := r.ROC()
	want := Curve{X: []Number{0, 0, 0.5, 1}, Y: []Number{0, 1.0 / 3, 2.0 / 3, 2.0 / 3}}
	want.add(1, 1)
	if len(roc.X) != len(want.X) {
		t.Fatalf("ROC: got %v, want %v", *roc, want)
	}
	for i := range want.X {
		near(t, "ROC x", roc.X[i], want.X[i])
		near(t, "ROC y", roc.Y[i], want.Y[i])
	}
}

func TestRankWithoutOneKind(t *testing.T) {
	for name, positive := range map[string][]bool{"no positives": {false, false}, "no negatives": {true, true}, "nothing": {}} {
		r := Rank(make([]float64, len(positive)), positive)
		if r.AUC().Defined() || r.ROC() != nil {
			t.Errorf("%s: AUC %v, ROC %v", name, r.AUC(), r.ROC())
		}
		if got, want := r.AveragePrecision().Defined(), name == "no negatives"; got != want {
			t.Errorf("%s: average precision defined: got %v, want %v", name, got, want)
		}
	}
}

// Curves stay small, and a thinned ROC keeps its area.
func TestCurvesAreThin(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const n = 100_000
	scores, positive := make([]float64, n), make([]bool, n)
	for i := range scores {
		positive[i] = r.IntN(10) == 0
		scores[i] = r.NormFloat64()
		if positive[i] {
			scores[i]++
		}
	}
	ranking := Rank(scores, positive)
	roc, pr := ranking.ROC(), ranking.PrecisionRecall()
	if len(roc.X) > curvePoints+2 || len(pr.X) > curvePoints {
		t.Fatalf("ROC has %d points, precision against recall %d", len(roc.X), len(pr.X))
	}
	var area Number
	for i := 1; i < len(roc.X); i++ {
		if roc.X[i] < roc.X[i-1] || roc.Y[i] < roc.Y[i-1] {
			t.Fatalf("ROC falls at point %d", i)
		}
		area += (roc.X[i] - roc.X[i-1]) * (roc.Y[i] + roc.Y[i-1]) / 2
	}
	if math.Abs(float64(area-ranking.AUC())) > 0.001 {
		t.Errorf("area under the thinned curve: %v, AUC %v", area, ranking.AUC())
	}
	if last := len(pr.X) - 1; pr.X[last] != 1 {
		t.Errorf("recall ends at %v", pr.X[last])
	}
	for i := range pr.X {
		if i > 0 && pr.X[i] <= pr.X[i-1] {
			t.Fatalf("recall does not rise at point %d", i)
		}
	}
}
