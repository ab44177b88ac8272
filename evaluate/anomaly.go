package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/weirnet/weir/report"
)

// A WindowResult is what a detector said about one window, and what it held.
type WindowResult struct {
	Start     int64   // nanoseconds since the Unix epoch
	Score     float64 // higher is more anomalous; NaN: not scored, such as the first windows of a stream
	Threshold float64 // in force for this window
	Anomalous bool    // the detector's verdict
	Packets   int
	Lost      uint64          // packets known to be missing from the window
	Attacks   []AttackPackets // attacks in the window, each at most once
	Features  []float64       // for the baseline; nil when there is none
}

// AttackPackets counts a window's packets of one attack.
type AttackPackets struct {
	Attack  string
	Packets int
}

// AnomalyInput is what Anomaly evaluates.
type AnomalyInput struct {
	Model         string
	Split         string // one sentence: how test was kept apart from training
	TrainedOn     Side
	TestedOn      Side           // files; Anomaly fills in counts and times
	Length        time.Duration  // of a window
	Windows       []WindowResult // every window of the test, quiet ones too
	AttackPackets []int          // values of P; nil means 1, 10, 20
	Baseline      *ZScore        // fitted on the detector's training windows; may be nil
	Promise       *Promise       // of the detector's threshold; nil: none was made
}

// Promise is how many false alarms a day a threshold is to keep to, and what came of it in the test.
type Promise struct {
	PerDay   float64 `json:"per_day"`
	Low      float64 `json:"low_per_day"` // where nine times in ten it was expected to end
	High     float64 `json:"high_per_day"`
	Achieved Number  `json:"achieved_per_day"` // in windows without attack
	Days     Number  `json:"days"`             // that these make
	// Kept reports whether so many false alarms are no more than chance makes of the promise: at most the 97.5 %
	// point of a Poisson distribution with the mean that was promised.
	Kept bool `json:"kept"`
}

// AnomalyResult is the evaluation of a detector. The fields of Detection are
// the detector's; Baseline has the same ones of trivial detectors.
type AnomalyResult struct {
	Model     string `json:"model,omitempty"`
	Split     string `json:"split"`
	TrainedOn Side   `json:"trained_on"`
	TestedOn  Side   `json:"tested_on"`

	Window        string  `json:"window"` // length, such as 5s
	WindowSeconds float64 `json:"window_seconds"`
	Windows       int     `json:"windows"`
	Unscored      int     `json:"unscored,omitempty"`     // windows that the detector gave no score
	LostPackets   uint64  `json:"lost_packets,omitempty"` // known to be missing
	LostWindows   int     `json:"lost_windows,omitempty"` // windows that miss some

	Detection
	Promise  *Promise             `json:"promise,omitempty"` // absent when none was made
	Baseline map[string]Detection `json:"baseline"`

	Series Series `json:"series"`
	Spans  []Span `json:"spans,omitempty"`
}

// A Detection is how well scores and verdicts found the windows of attacks.
//
// A window is positive for P when it holds at least P packets of attacks, of
// all attacks together; every other window is negative, also one with fewer
// (paper B, at figure 2). The numbers at the threshold, false alarms,
// incidents and Attacks are for the first P asked for.
type Detection struct {
	P []AtLeast `json:"p"`

	Threshold     Number `json:"threshold"` // in force at the last window
	AttackPackets int    `json:"attack_packets"`
	AtThreshold

	// FalseAlarmsPerDay is the number of anomalous negative windows per day of negative windows.
	FalseAlarmsPerDay Number `json:"false_alarms_per_day"`

	// Incidents are alarms merged: one goes on while the next alarm starts at most two window
	// lengths later. It is false when no window from its first to its last alarm is positive.
	Incidents            int    `json:"incidents"`
	FalseIncidents       int    `json:"false_incidents"`
	IncidentsPerDay      Number `json:"incidents_per_day"`       // per day of all windows
	FalseIncidentsPerDay Number `json:"false_incidents_per_day"` // per day of negative windows
	ObservedDays         Number `json:"observed_days"`
	NegativeDays         Number `json:"negative_days"`

	Attacks []Attack `json:"attacks"`
}

// AtLeast is the ranking and the verdicts for one P.
type AtLeast struct {
	AttackPackets    int    `json:"attack_packets"` // P
	Windows          int    `json:"windows"`        // positive ones
	AUC              Number `json:"auc"`
	AveragePrecision Number `json:"average_precision"`
	AtThreshold
	ROC             *Curve `json:"roc,omitempty"`
	PrecisionRecall *Curve `json:"precision_recall,omitempty"`
}

// AtThreshold is how the verdicts fared. Precision is undefined without alarms,
// recall and F1 without positive windows, FPR without negative ones.
type AtThreshold struct {
	Precision Number `json:"precision"`
	Recall    Number `json:"recall"`
	F1        Number `json:"f1"`
	FPR       Number `json:"fpr"`

	TruePositives  int `json:"true_positives"`
	FalsePositives int `json:"false_positives"`
	FalseNegatives int `json:"false_negatives"`
	TrueNegatives  int `json:"true_negatives"`
}

// An Attack is one kind of attack: the windows with at least P of its packets.
type Attack struct {
	Attack   string `json:"attack"`
	Windows  int    `json:"windows"`
	Detected int    `json:"detected"` // of these windows, anomalous ones
	Packets  int    `json:"packets"`

	// DelaySeconds runs from the start of the first of these windows to the end of the first
	// that is anomalous, when the alarm is known; it is at least one window long. Undefined
	// when none is.
	DelaySeconds Number `json:"delay_seconds"`
}

// A Series is the score over time, at most 2000 points: the highest score of each stretch.
type Series struct {
	Start     []Number `json:"start"` // of the window, Unix seconds
	Score     []Number `json:"score"`
	Threshold []Number `json:"threshold"`
}

const seriesPoints = 2000

// A Span is a time without pause in which an attack had packets in every window.
type Span struct {
	Attack string `json:"attack"`
	From   Number `json:"from"` // Unix seconds
	To     Number `json:"to"`
}

// ErrNoWindows is returned when there is nothing to evaluate.
var ErrNoWindows = errors.New("evaluate: no windows")

// Anomaly evaluates a detector. The windows may come in any order.
func Anomaly(in AnomalyInput) (*AnomalyResult, error) {
	switch {
	case len(in.Windows) == 0:
		return nil, ErrNoWindows
	case in.Length <= 0:
		return nil, fmt.Errorf("evaluate: a window of %v is none", in.Length)
	}
	if len(in.AttackPackets) == 0 {
		in.AttackPackets = []int{1, 10, 20}
	}
	for _, p := range in.AttackPackets {
		if p < 1 {
			return nil, fmt.Errorf("evaluate: %d attack packets make no attack; give at least 1", p)
		}
	}
	in.Windows = slices.Clone(in.Windows)
	slices.SortStableFunc(in.Windows, func(a, b WindowResult) int { return cmp.Compare(a.Start, b.Start) })

	r := &AnomalyResult{
		Model: in.Model, Split: in.Split, TrainedOn: in.TrainedOn, TestedOn: in.TestedOn,
		Window: in.Length.String(), WindowSeconds: in.Length.Seconds(), Windows: len(in.Windows),
		Baseline: map[string]Detection{},
	}
	r.TestedOn.Packets = 0
	verdicts := make([]verdict, len(in.Windows))
	points := make([]report.TimePoint, len(in.Windows))
	for i, w := range in.Windows {
		scored := !math.IsNaN(w.Score)
		verdicts[i] = verdict{w.Score, w.Threshold, w.Anomalous && scored}
		points[i] = report.TimePoint{Nanos: w.Start, Score: w.Score, Threshold: w.Threshold}
		if !scored {
			r.Unscored++
		}
		if w.Lost > 0 {
			r.LostWindows++
			r.LostPackets += w.Lost
		}
		r.TestedOn.Packets += w.Packets
	}
	first, last := in.Windows[0].Start, in.Windows[len(in.Windows)-1].Start
	r.TestedOn.Windows = len(in.Windows)
	r.TestedOn.From, r.TestedOn.To = stamp(first), stamp(last+int64(in.Length))

	r.Detection = in.detect(verdicts)
	if in.Promise != nil {
		p := *in.Promise
		p.Achieved, p.Days = r.FalseAlarmsPerDay, r.NegativeDays
		p.Kept = r.FalsePositives <= poissonLimit(p.PerDay*float64(r.NegativeDays))
		r.Promise = &p
	}
	if z := in.Baseline; z != nil && hasFeatures(in.Windows) {
		for i, w := range in.Windows {
			s := z.Score(w.Features)
			verdicts[i] = verdict{s, z.Threshold, s >= z.Threshold}
		}
		r.Baseline["z_score"] = in.detect(verdicts)
	}
	for _, p := range (report.Timeline{Points: points}).Columns(seriesPoints) {
		r.Series.Start = append(r.Series.Start, seconds(p.Nanos))
		r.Series.Score = append(r.Series.Score, Number(p.Score))
		r.Series.Threshold = append(r.Series.Threshold, Number(p.Threshold))
	}
	r.Spans = spans(in.Windows, in.Length)
	return r, nil
}

// poissonLimit is the largest count that a Poisson variable of this mean exceeds in no more than one of forty cases.
func poissonLimit(mean float64) int {
	if mean > 1000 {
		return int(mean + 1.96*math.Sqrt(mean))
	}
	term := math.Exp(-mean)
	sum := term
	n := 0
	for ; sum < 0.975; n++ {
		term *= mean / float64(n+1)
		sum += term
	}
	return n
}

func hasFeatures(windows []WindowResult) bool {
	return slices.ContainsFunc(windows, func(w WindowResult) bool { return len(w.Features) > 0 })
}

func stamp(nanos int64) string { return time.Unix(0, nanos).UTC().Format(time.RFC3339Nano) }

func seconds(nanos int64) Number { return Number(float64(nanos) / 1e9) }

// A verdict is a detector's answer for a window.
type verdict struct {
	score, threshold float64
	anomalous        bool
}

// detect scores one detector's verdicts, one for each window in order of time.
func (in *AnomalyInput) detect(verdicts []verdict) Detection {
	d := Detection{AttackPackets: in.AttackPackets[0], Threshold: Number(verdicts[len(verdicts)-1].threshold)}
	scores := make([]float64, len(verdicts))
	for i, v := range verdicts {
		scores[i] = v.score
	}
	for _, p := range in.AttackPackets {
		positive := in.positive(p)
		ranking := Rank(scores, positive)
		d.P = append(d.P, AtLeast{
			AttackPackets: p, Windows: ranking.positives, AUC: ranking.AUC(), AveragePrecision: ranking.AveragePrecision(),
			AtThreshold: atThreshold(verdicts, positive), ROC: ranking.ROC(), PrecisionRecall: ranking.PrecisionRecall(),
		})
	}
	d.AtThreshold = d.P[0].AtThreshold
	in.perDay(&d, verdicts)
	d.Attacks = in.attacks(verdicts)
	return d
}

// positive says of each window whether it holds at least p packets of attacks.
func (in *AnomalyInput) positive(p int) []bool {
	out := make([]bool, len(in.Windows))
	for i, w := range in.Windows {
		sum := 0
		for _, a := range w.Attacks {
			sum += a.Packets
		}
		out[i] = sum >= p
	}
	return out
}

func atThreshold(verdicts []verdict, positive []bool) AtThreshold {
	var a AtThreshold
	for i, v := range verdicts {
		switch {
		case v.anomalous && positive[i]:
			a.TruePositives++
		case v.anomalous:
			a.FalsePositives++
		case positive[i]:
			a.FalseNegatives++
		default:
			a.TrueNegatives++
		}
	}
	found, missed, wrong := a.TruePositives, a.FalseNegatives, a.FalsePositives
	a.Precision = share(found, found+wrong)
	a.Recall = share(found, found+missed)
	a.F1 = Undefined
	if found+missed > 0 {
		a.F1 = share(2*found, 2*found+wrong+missed)
	}
	a.FPR = share(wrong, wrong+a.TrueNegatives)
	return a
}

const day = float64(24 * time.Hour)

// incidentGap is how many windows apart two alarms may start and still belong to one incident. It
// is that of anomaly.Incident; a test of cmd/weir holds the two together.
const incidentGap = 2

// perDay counts false alarms and incidents.
func (in *AnomalyInput) perDay(d *Detection, verdicts []verdict) {
	positive := in.positive(in.AttackPackets[0])
	days := func(windows int) float64 { return float64(windows) * float64(in.Length) / day }
	all, negative := days(len(verdicts)), days(d.FalsePositives+d.TrueNegatives)
	d.ObservedDays, d.NegativeDays = Number(all), Number(negative)

	last := -1 // the incident's last alarm so far
	real := false
	finish := func() {
		if last < 0 {
			return
		}
		d.Incidents++
		if !real {
			d.FalseIncidents++
		}
	}
	for i, v := range verdicts {
		if !v.anomalous {
			continue
		}
		if last < 0 || in.Windows[i].Start-in.Windows[last].Start > incidentGap*int64(in.Length) {
			finish()
			real = positive[i]
		} else {
			real = real || slices.Contains(positive[last:i+1], true)
		}
		last = i
	}
	finish()
	d.FalseAlarmsPerDay = share(float64(d.FalsePositives), negative)
	d.IncidentsPerDay = share(float64(d.Incidents), all)
	d.FalseIncidentsPerDay = share(float64(d.FalseIncidents), negative)
}

func (in *AnomalyInput) attacks(verdicts []verdict) []Attack {
	byName := map[string]*Attack{}
	begin := map[string]int64{}
	for i, w := range in.Windows {
		for _, p := range w.Attacks {
			if p.Packets <= 0 {
				continue
			}
			a := byName[p.Attack]
			if a == nil {
				a = &Attack{Attack: p.Attack, DelaySeconds: Undefined}
				byName[p.Attack] = a
			}
			a.Packets += p.Packets
			if p.Packets < in.AttackPackets[0] {
				continue
			}
			if a.Windows++; a.Windows == 1 {
				begin[p.Attack] = w.Start
			}
			if !verdicts[i].anomalous {
				continue
			}
			if a.Detected++; a.Detected == 1 {
				a.DelaySeconds = seconds(w.Start + int64(in.Length) - begin[p.Attack])
			}
		}
	}
	out := []Attack{}
	for _, a := range inOrder(byName) {
		out = append(out, *a)
	}
	return out
}

// spans joins neighbouring windows of one attack.
func spans(windows []WindowResult, length time.Duration) []Span {
	type span struct {
		attack   string
		from, to int64
	}
	open := map[string]int{} // index of an attack's latest span
	var found []span
	for _, w := range windows {
		for _, a := range w.Attacks {
			if a.Packets <= 0 {
				continue
			}
			end := w.Start + int64(length)
			if i, ok := open[a.Attack]; ok && w.Start <= found[i].to {
				found[i].to = max(found[i].to, end)
				continue
			}
			open[a.Attack] = len(found)
			found = append(found, span{a.Attack, w.Start, end})
		}
	}
	var out []Span
	for _, s := range found {
		out = append(out, Span{s.attack, seconds(s.from), seconds(s.to)})
	}
	return out
}
