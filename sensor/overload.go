package sensor

import (
	"time"

	"github.com/weirnet/weir/classify"
)

// overload decides how much of the classifier's work there is time for. Networks cost by far the most per packet, so they are
// given up first, and in the order of classify.Effort; windows and counts are never given up. It is used by one goroutine.
//
// Work is given up at once when the rings fill or packets grow old, and taken up again step by step, after a time of
// calm that doubles each time that it was too short: an overload that lasts is told a few times, not all the time.
type overload struct {
	effort   classify.Effort
	calm     time.Duration // when it became calm
	calmNow  bool
	patience time.Duration // how long it must be calm before more is done
	eased    time.Duration // when more was done last
}

// giveUp says from where on an effort is too much: share of the rings that is full, age of the packets.
var giveUp = [classify.NumEfforts]struct {
	fill   float64
	behind time.Duration
}{
	classify.NoFlowNetwork: {0.50, 1 * time.Second},
	classify.NoNetworks:    {0.65, 2 * time.Second},
	classify.NoLabels:      {0.80, 4 * time.Second},
}

// It is calm below these.
const (
	calmFill   = 0.25
	calmBehind = 250 * time.Millisecond
)

// The bounds of patience.
const (
	minPatience = 2 * time.Second
	maxPatience = time.Minute
)

// observe takes how far things are behind at a time, which is that of a clock that is never set, and reports whether
// the effort is another than before.
func (o *overload) observe(now time.Duration, fill float64, behind time.Duration) (changed bool) {
	for e := classify.NumEfforts - 1; e > int(o.effort); e-- {
		if fill >= giveUp[e].fill || behind >= giveUp[e].behind {
			if o.patience == 0 || now-o.eased > 4*o.patience {
				o.patience = minPatience
			} else {
				o.patience = min(2*o.patience, maxPatience)
			}
			o.effort, o.calmNow = classify.Effort(e), false
			return true
		}
	}
	switch {
	case o.effort == classify.Full:
	case fill >= calmFill || behind >= calmBehind:
		o.calmNow = false
	case !o.calmNow:
		o.calmNow, o.calm = true, now
	case now-o.calm >= o.patience:
		o.effort--
		o.calm, o.eased = now, now
		return true
	}
	return false
}
