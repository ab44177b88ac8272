package evaluate

import (
	"fmt"
	"time"

	"github.com/weirnet/weir/report"
)

// AnomalyReport is the page of an evaluation: the split first, then the
// headline numbers beside the baseline, then where they come from.
func AnomalyReport(r *AnomalyResult) *report.Page {
	p := &report.Page{
		Title: "Finding anomalies",
		Lead:  "How well the windows of attacks stand out, and what quiet windows cost in false alarms.",
		Facts: facts(r.Model, r.Split, r.TrainedOn, r.TestedOn),
	}
	p.Facts = append(p.Facts, report.Fact{Name: "Windows", Value: fmt.Sprintf("%s of %s each, %s of them positive at P = %d",
		report.Count(r.Windows), r.Window, report.Count(r.TruePositives+r.FalseNegatives), r.AttackPackets)})
	if v := r.Promise; v != nil {
		p.Facts = append(p.Facts, report.Fact{Name: "Promise", Value: fmt.Sprintf("at most %s false alarms a day (expected %s to %s); %s in %s days without attack",
			report.Plain(v.PerDay), report.Plain(v.Low), report.Plain(v.High), report.Plain(float64(v.Achieved)), report.Plain(float64(v.Days)))})
	}
	if r.LostPackets > 0 {
		p.Facts = append(p.Facts, report.Fact{Name: "Lost", Value: fmt.Sprintf("%s packets, from %s windows", report.Count(r.LostPackets), report.Count(r.LostWindows))})
	}
	if r.Unscored > 0 {
		p.Facts = append(p.Facts, report.Fact{Name: "Not scored", Value: report.Count(r.Unscored) + " windows, counted as not anomalous"})
	}
	p.Sections = append(p.Sections, r.headline(), r.timeSection(), r.curveSection(), r.attackSection())
	return p
}

// baselineTitles are the baselines' names in JSON and on the page.
var baselineTitles = map[string]string{"z_score": "z-score"}

func (r *AnomalyResult) headline() report.Section {
	beside := func(of func(Detection) string) []report.Fact {
		var out []report.Fact
		for _, name := range sortedKeys(r.Baseline) {
			out = append(out, report.Fact{Name: baselineTitles[name], Value: of(r.Baseline[name])})
		}
		return out
	}
	perDay := func(n Number) string { return report.Plain(float64(n)) }
	lines := report.Headlines{}
	add := func(name, note string, of func(Detection) string) {
		lines = append(lines, report.Headline{Name: name, Value: of(r.Detection), Note: note, Beside: beside(of)})
	}
	positives := fmt.Sprintf("windows at P = %d", r.AttackPackets)
	add("AUC", positives, func(d Detection) string { return ratio(d.P[0].AUC) })
	add("Average precision", positives, func(d Detection) string { return ratio(d.P[0].AveragePrecision) })
	add("F1 at the threshold", "threshold "+report.Plain(float64(r.Threshold)), func(d Detection) string { return ratio(d.F1) })
	add("False alarms a day", report.Plain(float64(r.NegativeDays))+" quiet days observed", func(d Detection) string { return perDay(d.FalseAlarmsPerDay) })

	table := report.Table{
		Caption: "Ranking and verdicts, for windows with at least P attack packets",
		Head:    []string{"", "P", "windows", "AUC", "average precision", "precision", "recall", "F1", "false positive rate"},
		Align:   "lrrrrrrrr",
	}
	days := report.Table{
		Caption: "Alarms",
		Head:    []string{"", "threshold", "false alarms", "a day", "incidents", "false incidents", "a day"},
		Align:   "lrrrrrr",
	}
	row := func(name string, d Detection) {
		for _, p := range d.P {
			table.Rows = append(table.Rows, []string{name, report.Count(p.AttackPackets), report.Count(p.Windows), ratio(p.AUC), ratio(p.AveragePrecision),
				ratio(p.Precision), ratio(p.Recall), ratio(p.F1), percent(p.FPR)})
		}
		days.Rows = append(days.Rows, []string{name, report.Plain(float64(d.Threshold)), report.Count(d.FalsePositives), perDay(d.FalseAlarmsPerDay),
			report.Count(d.Incidents), report.Count(d.FalseIncidents), perDay(d.FalseIncidentsPerDay)})
	}
	row("model", r.Detection)
	for _, name := range sortedKeys(r.Baseline) {
		row(baselineTitles[name], r.Baseline[name])
	}
	return report.Section{
		Title: "At a glance",
		Note: "A window is positive when it holds at least P attack packets, as in Urakawa, Aoki and Miyamoto. Alarms at most two windows apart are one incident; " +
			"it is false when it covers no positive window. Rates are per day of quiet windows. The z-score is the mean distance of the features from their training means, in standard deviations.",
		Blocks: []report.Block{lines, table, days},
	}
}

func (r *AnomalyResult) timeSection() report.Section {
	line := report.Timeline{Caption: "Score over time, with the threshold; attacks shaded"}
	nanos := func(n Number) int64 { return int64(float64(n) * 1e9) }
	for i, s := range r.Series.Start {
		line.Points = append(line.Points, report.TimePoint{Nanos: nanos(s), Score: float64(r.Series.Score[i]), Threshold: float64(r.Series.Threshold[i])})
	}
	for _, s := range r.Spans {
		line.Spans = append(line.Spans, report.Span{Name: s.Attack, From: nanos(s.From), To: nanos(s.To)})
	}
	return report.Section{Title: "Over time", Note: "Each point is the highest score of its stretch of time.", Blocks: []report.Block{line}}
}

func (r *AnomalyResult) curveSection() report.Section {
	roc := report.Lines{Caption: "ROC", X: "false positive rate", Y: "true positive rate", Unit: true, Diagonal: true}
	pr := report.Lines{Caption: "Precision against recall", X: "recall", Y: "precision", Unit: true}
	add := func(l *report.Lines, name string, c *Curve, dashed bool) {
		if c == nil {
			return
		}
		s := report.Series{Name: name, Dashed: dashed}
		for i := range c.X {
			s.X, s.Y = append(s.X, float64(c.X[i])), append(s.Y, float64(c.Y[i]))
		}
		l.Series = append(l.Series, s)
	}
	for _, p := range r.P {
		name := fmt.Sprintf("P = %d", p.AttackPackets)
		add(&roc, name, p.ROC, false)
		add(&pr, name, p.PrecisionRecall, false)
	}
	for _, name := range sortedKeys(r.Baseline) {
		p := r.Baseline[name].P[0]
		title := fmt.Sprintf("%s, P = %d", baselineTitles[name], p.AttackPackets)
		add(&roc, title, p.ROC, true)
		add(&pr, title, p.PrecisionRecall, true)
	}
	return report.Section{Title: "At every threshold", Blocks: []report.Block{roc, pr}}
}

func (r *AnomalyResult) attackSection() report.Section {
	table := report.Table{Head: []string{"attack", "packets", "windows", "found", "share", "first alarm after"}, Align: "lrrrrr"}
	var others []map[string]Attack
	for _, name := range sortedKeys(r.Baseline) {
		table.Head = append(table.Head, "share, "+baselineTitles[name])
		table.Align += "r"
		found := map[string]Attack{}
		for _, a := range r.Baseline[name].Attacks {
			found[a.Attack] = a
		}
		others = append(others, found)
	}
	rate := func(a Attack) string { return percent(share(a.Detected, a.Windows)) }
	for _, a := range r.Attacks {
		delay := "never"
		if a.DelaySeconds.Defined() {
			delay = time.Duration(float64(a.DelaySeconds) * float64(time.Second)).String()
		}
		row := []string{a.Attack, report.Count(a.Packets), report.Count(a.Windows), report.Count(a.Detected), rate(a), delay}
		for _, found := range others {
			row = append(row, rate(found[a.Attack]))
		}
		table.Rows = append(table.Rows, row)
	}
	s := report.Section{
		Title: "Attacks",
		Note: fmt.Sprintf("Windows with at least P = %d packets of the attack. The delay runs from the start of the first of them to the end of the first that raised an alarm.",
			r.AttackPackets),
	}
	if len(r.Attacks) == 0 {
		s.Blocks = []report.Block{report.Text("The test holds no attack: precision, recall and the rankings are undefined, false alarms are not.")}
		return s
	}
	s.Blocks = []report.Block{table}
	return s
}
