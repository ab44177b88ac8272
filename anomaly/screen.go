package anomaly

import (
	"cmp"
	"math"
	"slices"

	"github.com/weirnet/weir/window"
)

// Screening says which of the windows that are to be learned from are unlike the others, so that an attack among them does not
// become normal.
type Screening struct {
	Oddness  []float64                 // of each window, 0 or more
	Limit    float64                   // windows whose oddness is above stand out
	Features [][oddFeatures]OddFeature // of each window, what made most of its oddness, most first
}

// OddFeature is a feature with its value in a window and in the middle one of all.
type OddFeature struct {
	Index         int // in window.Names
	Value, Median float64
}

const oddFeatures = 3

// Of a screening: how many widths a feature may count for at most, the least width of a share and of a logarithm, and how many
// widths from the middle the logarithm of the oddness stands out. The last was chosen where all windows of the sample attacks stand
// out and few others (docs/rationale.md).
const (
	mostWidths    = 20
	leastShare    = 0.02
	leastLog      = 0.25
	screeningFrom = 3
)

// Screen compares each window with all of them, in any order. With x the value of a feature, or log(1 + x) where it is no share, and
// m its median over all windows, the oddness is
//
//	Σ min(|x − m| / s, 20)²
//
// where the width s is that of a normal distribution with the features' median absolute deviation, or with the distance of its tenths
// if that is more. Medians and tenths stay where they are whatever less than a tenth of the windows hold. The limit lies three such
// widths above the median of the logarithms of the oddness. An attack that lasts for most of the time is not seen: it is what is usual.
func Screen(windows []window.Vector) *Screening {
	s := &Screening{Oddness: make([]float64, len(windows)), Features: make([][oddFeatures]OddFeature, len(windows))}
	if len(windows) == 0 {
		return s
	}
	parts := make([][features]float64, len(windows))
	var medians [features]float64
	column := make([]float64, len(windows))
	for i := range features {
		least := leastLog
		for k := range windows {
			column[k] = windows[k][i]
			if window.KindOf(i) == window.Share {
				least = leastShare
			} else {
				column[k] = math.Log1p(column[k])
			}
		}
		sorted := slices.Sorted(slices.Values(column))
		m := quantile(sorted, 0.5)
		width := max(spread(column, m), (quantile(sorted, 0.9)-quantile(sorted, 0.1))/2.563, least)
		medians[i] = m
		if window.KindOf(i) != window.Share {
			medians[i] = math.Expm1(m)
		}
		for k, x := range column {
			z := min(math.Abs(x-m)/width, mostWidths)
			parts[k][i] = z * z
			s.Oddness[k] += z * z
		}
	}
	logs := make([]float64, len(windows))
	for k, odd := range s.Oddness {
		logs[k] = math.Log(max(odd, 1e-3))
		var order [features]int
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order[:], func(a, b int) int { return cmp.Compare(parts[k][b], parts[k][a]) })
		for n := range s.Features[k] {
			i := order[n]
			s.Features[k][n] = OddFeature{i, windows[k][i], medians[i]}
		}
	}
	m := quantile(slices.Sorted(slices.Values(logs)), 0.5)
	s.Limit = math.Exp(m + screeningFrom*max(spread(logs, m), 0.1))
	return s
}

// StandsOut reports whether a window does.
func (s *Screening) StandsOut(i int) bool { return s.Oddness[i] > s.Limit }

// spread is the standard deviation of a normal distribution with the values' median absolute deviation.
func spread(values []float64, median float64) float64 {
	far := make([]float64, len(values))
	for i, v := range values {
		far[i] = math.Abs(v - median)
	}
	slices.Sort(far)
	return 1.4826 * quantile(far, 0.5)
}

func quantile(sorted []float64, share float64) float64 {
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}
