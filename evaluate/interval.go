package evaluate

import (
	"math/rand/v2"
	"slices"
)

// An Interval is a range that a number keeps to in 95 of 100 resamplings.
type Interval struct {
	Low  Number `json:"low"`
	High Number `json:"high"`
}

const (
	resamples      = 1000
	fewestCaptures = 5 // fewer say nothing about the next
)

// intervals adds to s, the score of flows by answer, the spread of its numbers
// over resampled captures. Flows of one capture resemble each other, so that
// captures are drawn, not flows; and within their label, for a draw that lacks a
// label would have another macro-F1. A label with one capture adds no spread.
// The draws are the same at each call.
func (e *appsEvaluation) intervals(s *Score, answer func(*FlowResult) int) {
	if len(e.groups) < fewestCaptures {
		return
	}
	type given struct{ class, flows int }
	type group struct {
		flows int
		given []given // the classes answered
	}
	strata := make([][]group, len(e.Labels))
	counts := make([]int, len(e.Labels))
	for _, g := range e.groups {
		clear(counts)
		for _, f := range g.flows {
			if c := answer(f); c >= 0 && c < len(counts) {
				counts[c]++
			}
		}
		one := group{flows: len(g.flows)}
		for c, n := range counts {
			if n > 0 {
				one.given = append(one.given, given{c, n})
			}
		}
		strata[g.class] = append(strata[g.class], one)
	}
	r := rand.New(rand.NewPCG(1, uint64(len(e.groups))))
	var accuracy, f1 []float64
	for range resamples {
		t := newTally(len(e.Labels))
		for class, groups := range strata {
			for range groups {
				g := groups[r.IntN(len(groups))]
				t.truth[class] += g.flows
				for _, a := range g.given {
					t.answers[a.class] += a.flows
					if a.class == class {
						t.right[class] += a.flows
					}
				}
			}
		}
		drawn := t.score()
		accuracy, f1 = append(accuracy, float64(drawn.Accuracy)), append(f1, float64(drawn.MacroF1))
	}
	s.AccuracyInterval, s.MacroF1Interval = middle(accuracy), middle(f1)
}

// middle is the range of the middle 95 % of values, which it sorts.
func middle(values []float64) *Interval {
	slices.Sort(values)
	at := func(q float64) Number { return Number(values[int(q*float64(len(values)-1)+0.5)]) }
	return &Interval{at(0.025), at(0.975)}
}
