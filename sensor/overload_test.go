package sensor

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weirnet/weir/classify"
)

func TestOverloadGivesUpInOrder(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	type step struct {
		at     time.Duration
		fill   float64
		behind time.Duration
		want   classify.Effort
	}
	for name, steps := range map[string][]step{
		"calm":            {{0, 0, 0, 0}, {s, 0.49, 900 * ms, 0}, {2 * s, 0.1, 0, 0}},
		"rings fill":      {{0, 0.4, 0, 0}, {s, 0.5, 0, 1}, {s, 0.64, 0, 1}, {s, 0.65, 0, 2}, {s, 0.8, 0, 3}, {s, 1, 0, 3}},
		"at once":         {{0, 0.9, 0, 3}},
		"packets are old": {{0, 0, 999 * ms, 0}, {s, 0, s, 1}, {s, 0, 2 * s, 2}, {s, 0, 4 * s, 3}},
		"back step by step": {
			{0, 0.9, 0, 3}, {s, 0.2, 0, 3}, {2900 * ms, 0.2, 0, 3}, {3 * s, 0.2, 0, 2}, {4 * s, 0.2, 0, 2},
			{5 * s, 0.2, 0, 1}, {7 * s, 0.2, 0, 0}, {9 * s, 0.2, 0, 0},
		},
		"calm must last": {{0, 0.5, 0, 1}, {s, 0.1, 0, 1}, {2 * s, 0.3, 0, 1}, {3 * s, 0.1, 0, 1}, {4900 * ms, 0.1, 300 * ms, 1}, {5 * s, 0.1, 0, 1}, {7 * s, 0.1, 0, 0}},
		"patience grows": {
			{0, 0.5, 0, 1}, {s, 0, 0, 1}, {3 * s, 0, 0, 0}, {4 * s, 0.5, 0, 1}, // too early
			{5 * s, 0, 0, 1}, {7 * s, 0, 0, 1}, {9 * s, 0, 0, 0}, // 4 s now
			{100 * s, 0.5, 0, 1}, {101 * s, 0, 0, 1}, {103 * s, 0, 0, 0}, // long after it: 2 s again
		},
	} {
		var o overload
		for i, step := range steps {
			before := o.effort
			if changed := o.observe(step.at, step.fill, step.behind); o.effort != step.want || changed != (o.effort != before) {
				t.Errorf("%s, step %d: effort %v, changed %v; want %v", name, i, o.effort, changed, step.want)
			}
		}
	}
}

// An overload that would last for an hour is told seldom.
func TestOverloadIsToldSeldom(t *testing.T) {
	var o overload
	var changes []time.Duration
	fill := 0.0
	for now := time.Duration(0); now < time.Hour; now += 10 * time.Millisecond {
		if o.effort == classify.Full {
			fill = min(fill+0.01, 1) // with all the work the rings are full within a second
		} else {
			fill = max(fill-0.01, 0)
		}
		if o.observe(now, fill, 0) {
			changes = append(changes, now)
		}
	}
	late := slices.IndexFunc(changes, func(at time.Duration) bool { return at > 10*time.Minute })
	if n := len(changes) - late; n > 110 || late > 40 {
		t.Errorf("%d changes in the first ten minutes, %d in the fifty after them; want fewer: %v", late, n, fmt.Sprint(changes[:10]))
	}
}
