package evaluate

import (
	"math"
	"slices"
)

// A Ranking holds scored items, some of them positive, by falling score. Items
// of equal score are one step: no order among them is ever assumed.
type Ranking struct {
	steps                []step
	positives, negatives int
}

type step struct {
	score                float64
	positives, negatives int // of this score or a higher one
}

// Rank sorts items by score. positive says which items are to be found; both
// slices have one entry per item. NaN ranks lowest.
func Rank(scores []float64, positive []bool) Ranking {
	if len(scores) != len(positive) {
		panic("evaluate: Rank needs as many verdicts as scores")
	}
	order := make([]int, len(scores))
	key := make([]float64, len(scores))
	for i, s := range scores {
		order[i], key[i] = i, s
		if math.IsNaN(s) {
			key[i] = math.Inf(-1)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case key[a] > key[b]:
			return -1
		case key[a] < key[b]:
			return 1
		}
		return 0
	})
	var r Ranking
	for n, i := range order {
		if positive[i] {
			r.positives++
		} else {
			r.negatives++
		}
		s := step{key[i], r.positives, r.negatives}
		if n > 0 && r.steps[len(r.steps)-1].score == key[i] {
			r.steps[len(r.steps)-1] = s
		} else {
			r.steps = append(r.steps, s)
		}
	}
	return r
}

// AUC is the area under the ROC curve: the probability that a positive item
// scores above a negative one, ties counting one half. Undefined without both.
func (r Ranking) AUC() Number {
	if r.positives == 0 || r.negatives == 0 {
		return Undefined
	}
	var area float64 // in pairs; exact for any data that fit into memory
	var before step
	for _, s := range r.steps {
		area += float64(s.negatives-before.negatives) * (float64(s.positives) + float64(before.positives)) / 2
		before = s
	}
	return Number(area / float64(r.positives) / float64(r.negatives))
}

// AveragePrecision is the sum over the steps of precision times the gain in
// recall; no interpolation. Undefined without positives.
func (r Ranking) AveragePrecision() Number {
	if r.positives == 0 {
		return Undefined
	}
	var sum float64
	var before step
	for _, s := range r.steps {
		sum += float64(s.positives-before.positives) * float64(s.positives) / float64(s.positives+s.negatives)
		before = s
	}
	return Number(sum / float64(r.positives))
}

// A Curve is a list of points, in order.
type Curve struct {
	X []Number `json:"x"`
	Y []Number `json:"y"`
}

func (c *Curve) add(x, y Number) {
	c.X = append(c.X, x)
	c.Y = append(c.Y, y)
}

// curvePoints bounds the points of the curves kept for JSON and figures.
const curvePoints = 400

// ROC is the curve of false positive rate (x) and true positive rate (y) from
// (0,0) to (1,1), thinned to points at least 1/200 apart, at most 400 and the
// ends, and only the ends of straight stretches. nil without both kinds.
func (r Ranking) ROC() *Curve {
	if r.positives == 0 || r.negatives == 0 {
		return nil
	}
	const apart = 2.0 / curvePoints
	c := &Curve{X: []Number{0}, Y: []Number{0}}
	for i, s := range r.steps {
		x, y := share(s.negatives, r.negatives), share(s.positives, r.positives)
		n := len(c.X)
		if x-c.X[n-1] < apart && y-c.Y[n-1] < apart && i < len(r.steps)-1 {
			continue
		}
		if n > 1 && (x == c.X[n-1] && x == c.X[n-2] || y == c.Y[n-1] && y == c.Y[n-2]) {
			c.X[n-1], c.Y[n-1] = x, y
		} else {
			c.add(x, y)
		}
	}
	return c
}

// PrecisionRecall is the precision (y) at the highest threshold that reaches
// each recall (x), at up to 400 recalls. nil without positives.
func (r Ranking) PrecisionRecall() *Curve {
	if r.positives == 0 {
		return nil
	}
	c := &Curve{}
	next := 1
	for _, s := range r.steps {
		// The n-th recall asked for is n/curvePoints.
		if s.positives*curvePoints < next*r.positives {
			continue
		}
		c.add(share(s.positives, r.positives), share(s.positives, s.positives+s.negatives))
		next = s.positives*curvePoints/r.positives + 1
	}
	return c
}
