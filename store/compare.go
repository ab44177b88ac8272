package store

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"

	"github.com/weirnet/weir/event"
)

// Comparison is how models on trial did beside those in use, by what is stored.
type Comparison struct {
	Apps    []AppsComparison    `json:"apps"`    // a pair of models each, in order of time
	Anomaly []AnomalyComparison `json:"anomaly"` // a pair of detectors each, in order of time
}

// AppsComparison compares two models of applications on the flows that both labelled.
type AppsComparison struct {
	Live  string     `json:"live"`  // in use
	Model string     `json:"model"` // on trial
	Since event.Time `json:"since"` // of the first flow
	Until event.Time `json:"until"` // of the last one
	Flows uint64     `json:"flows"`
	Agree uint64     `json:"agree"` // the same application, novel or not
	// Low and High bound the share of flows that the models agree on, were there many more of the same kind: Wilson's interval of
	// 95 % (Journal of the American Statistical Association 22, 1927). Flows of one capture are more alike than it assumes.
	Low        float64        `json:"agree_low"`
	High       float64        `json:"agree_high"`
	NovelLive  uint64         `json:"novel_live"` // to the model in use
	Novel      uint64         `json:"novel"`      // to the one on trial
	NovelBoth  uint64         `json:"novel_both"`
	Labels     []LabelCounts  `json:"labels"`      // of each application how many flows, most first
	Pairs      []Disagreement `json:"pairs"`       // most flows first, at most MaxPairs
	OtherPairs uint64         `json:"other_pairs"` // flows of pairs beyond those
}

// MaxPairs is how many pairs of labels a comparison tells of.
const MaxPairs = 1 << 10

// LabelCounts is how many flows have a label from the model in use, and from the one on trial.
type LabelCounts struct {
	App   string `json:"app"`
	Live  uint64 `json:"live"`
	Model uint64 `json:"model"`
}

// Disagreement is how many flows have one label from the model in use and another from the one on trial.
type Disagreement struct {
	Live  string `json:"live"`
	Model string `json:"model"`
	Flows uint64 `json:"flows"`
}

// AnomalyComparison compares two detectors on the windows that both scored.
type AnomalyComparison struct {
	Live      string     `json:"live"`  // in use
	Model     string     `json:"model"` // on trial
	Since     event.Time `json:"since"` // start of the first window
	Until     event.Time `json:"until"` // of the last one
	Windows   uint64     `json:"windows"`
	AboveLive uint64     `json:"above_live"` // anomalous to the detector in use
	Above     uint64     `json:"above"`      // to the one on trial
	AboveBoth uint64     `json:"above_both"`
	// Correlation is Pearson's, of the logarithms of scores; 0 when one of both never moves.
	Correlation float64 `json:"correlation"`
	// LiveQuantiles and ModelQuantiles are what Quantiles of the windows have at most, as multiples of the threshold.
	LiveQuantiles  [len(Quantiles)]float64 `json:"live_quantiles"`
	ModelQuantiles [len(Quantiles)]float64 `json:"model_quantiles"`
	// Differ are windows that are anomalous to one alone, those first that are furthest apart, at most MaxDiffer.
	Differ []event.Window `json:"differ"`
	// Of the windows whose alert a person has confirmed or dismissed, how many are anomalous to the detector on trial.
	Confirmed      uint64 `json:"confirmed"`
	ConfirmedAbove uint64 `json:"confirmed_above"`
	Dismissed      uint64 `json:"dismissed"`
	DismissedAbove uint64 `json:"dismissed_above"`
}

// Quantiles are those that an AnomalyComparison tells.
var Quantiles = [...]float64{0.5, 0.9, 0.99, 0.999}

// MaxDiffer is how many windows an AnomalyComparison tells of.
const MaxDiffer = 20

// Compare compares models on trial with those in use over a range.
func Compare(ctx context.Context, s Reader, when Range) (Comparison, error) {
	apps, detectors := map[[2]string]*appsTrial{}, map[[2]string]*anomalyTrial{}
	c := Comparison{[]AppsComparison{}, []AnomalyComparison{}}
	verdicts := map[int64]Verdict{}
	for a, err := range s.Alerts(ctx, AlertQuery{Range: when}) {
		if err != nil {
			return c, err
		}
		if v := a.Triage.Verdict; v == Confirmed || v == Dismissed {
			verdicts[int64(a.Alert.Start)] = v
		}
	}
	for t, err := range s.Tried(ctx, when) {
		switch {
		case err != nil:
			return c, err
		case t.Flow != nil:
			of(apps, [2]string{t.Flow.LiveModel, t.Flow.Model}).add(t)
		case t.Window.Score != nil && t.Window.Shadow.Score != nil:
			of(detectors, [2]string{t.Window.Model, t.Window.Shadow.Model}).add(t.Window, verdicts[int64(t.Window.Start)])
		}
	}
	for models, t := range apps {
		c.Apps = append(c.Apps, t.comparison(models))
	}
	for models, t := range detectors {
		c.Anomaly = append(c.Anomaly, t.comparison(models))
	}
	slices.SortFunc(c.Apps, func(a, b AppsComparison) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Live, b.Live), cmp.Compare(a.Model, b.Model))
	})
	slices.SortFunc(c.Anomaly, func(a, b AnomalyComparison) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.Live, b.Live), cmp.Compare(a.Model, b.Model))
	})
	return c, nil
}

// of returns what a map has of a key, new when it has nothing.
func of[T any](m map[[2]string]*T, key [2]string) *T {
	if m[key] == nil {
		m[key] = new(T)
	}
	return m[key]
}

// span widens a range of times by one; the range is empty while n is 0.
func span(since, until *event.Time, t event.Time, n uint64) {
	if n == 0 {
		*since, *until = t, t
	}
	*since, *until = min(*since, t), max(*until, t)
}

// appsTrial sums up what two models say of flows.
type appsTrial struct {
	AppsComparison
	pairs map[[2]string]uint64 // by what the one in use says and the one on trial
}

func (t *appsTrial) add(one *Tried) {
	f := one.Flow
	span(&t.Since, &t.Until, event.Time(one.Nanos), t.Flows)
	t.Flows++
	if t.pairs == nil {
		t.pairs = map[[2]string]uint64{}
	}
	t.pairs[[2]string{f.LiveApp, f.App}]++ // models have few labels
	if f.LiveNovel {
		t.NovelLive++
	}
	if f.Novel {
		t.Novel++
	}
	if f.LiveNovel && f.Novel {
		t.NovelBoth++
	}
}

func (t *appsTrial) comparison(models [2]string) AppsComparison {
	c := t.AppsComparison
	c.Live, c.Model, c.Pairs = models[0], models[1], []Disagreement{}
	labels := map[string]*LabelCounts{}
	label := func(app string) *LabelCounts {
		if labels[app] == nil {
			labels[app] = &LabelCounts{App: app}
		}
		return labels[app]
	}
	for pair, n := range t.pairs {
		label(pair[0]).Live += n
		label(pair[1]).Model += n
		if pair[0] == pair[1] {
			c.Agree += n
		} else {
			c.Pairs = append(c.Pairs, Disagreement{pair[0], pair[1], n})
		}
	}
	slices.SortFunc(c.Pairs, func(a, b Disagreement) int {
		return cmp.Or(cmp.Compare(b.Flows, a.Flows), cmp.Compare(a.Live, b.Live), cmp.Compare(a.Model, b.Model))
	})
	if len(c.Pairs) > MaxPairs {
		for _, p := range c.Pairs[MaxPairs:] {
			c.OtherPairs += p.Flows
		}
		c.Pairs = c.Pairs[:MaxPairs]
	}
	for _, l := range slices.SortedFunc(maps.Values(labels), func(a, b *LabelCounts) int {
		return cmp.Or(cmp.Compare(max(b.Live, b.Model), max(a.Live, a.Model)), cmp.Compare(a.App, b.App))
	}) {
		c.Labels = append(c.Labels, *l)
	}
	c.Low, c.High = wilson(c.Agree, c.Flows)
	return c
}

// wilson returns the interval of 95 % of a share of which so many of n were seen.
func wilson(seen, n uint64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959964
	p, m := float64(seen)/float64(n), float64(n)
	middle, half := p+z*z/(2*m), z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return max((middle-half)/(1+z*z/m), 0), min((middle+half)/(1+z*z/m), 1)
}

// anomalyTrial sums up what two detectors say of windows.
type anomalyTrial struct {
	AnomalyComparison
	live, model []float64 // scores as multiples of the threshold
}

// leastScore is what scores, as multiples of the threshold, are at least before their logarithm is taken.
const leastScore = 1e-9

func (t *anomalyTrial) add(w *event.Window, v Verdict) {
	s := w.Shadow
	span(&t.Since, &t.Until, w.Start, t.Windows)
	t.Windows++
	if w.Anomalous {
		t.AboveLive++
	}
	if s.Anomalous {
		t.Above++
	}
	if w.Anomalous && s.Anomalous {
		t.AboveBoth++
	}
	switch {
	case v == Confirmed:
		t.Confirmed++
		if s.Anomalous {
			t.ConfirmedAbove++
		}
	case v == Dismissed:
		t.Dismissed++
		if s.Anomalous {
			t.DismissedAbove++
		}
	}
	t.live, t.model = append(t.live, max(*w.Score/w.Threshold, leastScore)), append(t.model, max(*s.Score/s.Threshold, leastScore))
	if w.Anomalous != s.Anomalous {
		t.differ(w)
	}
}

// apart is how far apart the scores of a window are, in multiples of each other.
func apart(w *event.Window) float64 {
	return math.Abs(math.Log(max(*w.Score/w.Threshold, leastScore) / max(*w.Shadow.Score/w.Shadow.Threshold, leastScore)))
}

// differ keeps a window if it is among those that are furthest apart.
func (t *anomalyTrial) differ(w *event.Window) {
	at, _ := slices.BinarySearchFunc(t.Differ, w, func(a event.Window, b *event.Window) int {
		return cmp.Or(cmp.Compare(apart(b), apart(&a)), cmp.Compare(a.Start, b.Start))
	})
	if at == MaxDiffer {
		return
	}
	t.Differ = slices.Insert(t.Differ[:min(len(t.Differ), MaxDiffer-1)], at, *w)
}

func (t *anomalyTrial) comparison(models [2]string) AnomalyComparison {
	c := t.AnomalyComparison
	c.Live, c.Model = models[0], models[1]
	if c.Differ == nil {
		c.Differ = []event.Window{}
	}
	c.Correlation = correlation(t.live, t.model)
	slices.Sort(t.live)
	slices.Sort(t.model)
	for i, q := range Quantiles {
		at := max(int(math.Ceil(q*float64(len(t.live))))-1, 0)
		c.LiveQuantiles[i], c.ModelQuantiles[i] = t.live[at], t.model[at]
	}
	return c
}

// correlation returns Pearson's of the logarithms, 0 when one of both never moves.
func correlation(x, y []float64) float64 {
	var mx, my, xx, yy, xy float64
	for i := range x {
		mx += math.Log(x[i])
		my += math.Log(y[i])
	}
	mx, my = mx/float64(len(x)), my/float64(len(y))
	for i := range x {
		dx, dy := math.Log(x[i])-mx, math.Log(y[i])-my
		xx, yy, xy = xx+dx*dx, yy+dy*dy, xy+dx*dy
	}
	if !(xx > 0) || !(yy > 0) {
		return 0
	}
	return min(max(xy/math.Sqrt(xx*yy), -1), 1)
}
