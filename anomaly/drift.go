package anomaly

import (
	"math"
	"slices"
)

// driftBins is how many parts the scores of benign windows are cut into for Drift, all of the same size.
const driftBins = 10

// driftWindows is how many windows Drift looks back; leastDriftWindows how many it needs: from fewer, chance alone moves the index
// by a tenth (it is about (driftBins − 1) / windows when nothing has changed).
const (
	driftWindows      = 1000
	leastDriftWindows = 200
)

// deciles returns the scores that one, two, … nine tenths of the benign windows stay below; nil when these are too few.
func deciles(scores []float64) *[driftBins - 1]float64 {
	if len(scores) < MinWindows {
		return nil
	}
	sorted := slices.Sorted(slices.Values(scores))
	var d [driftBins - 1]float64
	for i := range d {
		d[i] = quantile(sorted, float64(i+1)/driftBins)
	}
	return &d
}

// Drift holds the scores of the last windows against those of the benign windows that the model was made from. The zero value knows
// no model. It is used by one goroutine.
type Drift struct {
	deciles *[driftBins - 1]float64
	last    []uint8 // bins, a ring of driftWindows
	next    int
	counts  [driftBins]int
}

// NewDrift returns a Drift that has seen no window. Of models of earlier versions nothing is known.
func (m *Model) NewDrift() Drift { return Drift{deciles: m.Deciles} }

// Add takes the score of a window.
func (d *Drift) Add(score float64) {
	if d.deciles == nil {
		return
	}
	bin := 0
	for bin < len(d.deciles) && score >= d.deciles[bin] {
		bin++
	}
	if len(d.last) < driftWindows {
		d.last = append(d.last, uint8(bin))
	} else {
		d.counts[d.last[d.next]]--
		d.last[d.next] = uint8(bin)
		d.next = (d.next + 1) % driftWindows
	}
	d.counts[bin]++
}

// Index returns the population stability index of the last windows (Siddiqi, Credit Risk Scorecards, 2006), and how many they are:
//
//	Σ (p − q) ln(p / q)
//
// with p the share of windows in a bin, counted with half a window more so that an empty bin is no infinity, and q = 1/10, which was its share in
// training. By custom, below 0.1 nothing has changed, and above 0.25 much has. known is false before 200 windows.
func (d *Drift) Index() (index float64, windows int, known bool) {
	windows = len(d.last)
	if windows < leastDriftWindows {
		return 0, windows, false
	}
	const q = 1.0 / driftBins
	for _, n := range d.counts {
		p := (float64(n) + 0.5) / (float64(windows) + 0.5*driftBins)
		index += (p - q) * math.Log(p/q)
	}
	return index, windows, true
}
