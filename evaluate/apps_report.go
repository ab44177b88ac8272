package evaluate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/weirnet/weir/report"
)

// AppsReport is the page of an evaluation: the split first, then the headline
// numbers beside the baselines, then where they come from.
func AppsReport(r *AppsResult) *report.Page {
	p := &report.Page{
		Title: "Naming applications",
		Lead:  "How often packets, flows and captures got the right label, on traffic kept apart from training.",
		Facts: facts(r.Model, r.Split, r.TrainedOn, r.TestedOn),
	}
	p.Facts = append(p.Facts, report.Fact{Name: "Labels", Value: fmt.Sprintf("%d known to the model, %d of them in the test", len(r.Labels), r.Flow.Classes)})
	if r.Unseen != nil {
		p.Facts = append(p.Facts, report.Fact{Name: "Never seen", Value: fmt.Sprintf("%s flows of %d labels that training did not have: only in the section on novelty", report.Count(r.Unseen.Flows), len(r.Unseen.Labels))})
	}
	p.Sections = append(p.Sections, r.headline(), r.classSection())
	if len(r.PacketsSeen) > 0 {
		p.Sections = append(p.Sections, r.soonerSection())
	}
	p.Sections = append(p.Sections, r.calibrationSection())
	if r.Unseen != nil {
		p.Sections = append(p.Sections, r.noveltySection())
	}
	p.Sections = append(p.Sections, r.trafficSection())
	return p
}

func facts(model, split string, trained, tested Side) []report.Fact {
	if split == "" {
		split = "not stated: do not trust the numbers below"
	}
	out := []report.Fact{{Name: "Split", Value: split}}
	if model != "" {
		out = append(out, report.Fact{Name: "Model", Value: model})
	}
	if s := trained.String(); s != "" {
		out = append(out, report.Fact{Name: "Trained on", Value: s})
	}
	if s := tested.String(); s != "" {
		out = append(out, report.Fact{Name: "Tested on", Value: s})
	}
	return out
}

// String says in words what a side holds; empty when nothing is known of it.
func (s Side) String() string {
	var parts []string
	for _, n := range []struct {
		count int
		noun  string
	}{{s.Captures, "captures"}, {s.Flows, "flows"}, {s.Windows, "windows"}, {s.Packets, "packets"}} {
		if n.count > 0 {
			parts = append(parts, report.Count(n.count)+" "+n.noun)
		}
	}
	if s.From != "" && s.To != "" {
		parts = append(parts, s.From+" to "+s.To)
	}
	const most = 4
	if n := len(s.Files); n > most {
		parts = append(parts, strings.Join(s.Files[:most], ", ")+fmt.Sprintf(" and %d more files", n-most))
	} else if n > 0 {
		parts = append(parts, strings.Join(s.Files, ", "))
	}
	return strings.Join(parts, " · ")
}

func ratio(n Number) string   { return report.Ratio(float64(n)) }
func percent(n Number) string { return report.Percent(float64(n)) }

// baselines are the names of the baselines, weakest first.
func (r *AppsResult) baselines() []string {
	names := sortedKeys(r.Baseline)
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Compare(r.Baseline[a].Accuracy, r.Baseline[b].Accuracy)
	})
	return names
}

func (r *AppsResult) headline() report.Section {
	names := r.baselines()
	beside := func(of func(BaselineScore) Number) []report.Fact {
		var out []report.Fact
		for _, n := range names {
			out = append(out, report.Fact{Name: n, Value: ratio(of(r.Baseline[n]))})
		}
		return out
	}
	note := func(s Score, noun string, i *Interval) string {
		text := report.Count(s.Items) + " " + noun
		if i != nil {
			text += fmt.Sprintf(", %s–%s", ratio(i.Low), ratio(i.High))
		}
		return text
	}
	lines := report.Headlines{
		{Name: "Flows, accuracy", Value: ratio(r.Flow.Accuracy), Note: note(r.Flow, "flows", r.Flow.AccuracyInterval),
			Beside: beside(func(b BaselineScore) Number { return b.Accuracy })},
		{Name: "Flows, macro-F1", Value: ratio(r.Flow.MacroF1), Note: note(Score{Items: r.Flow.Classes}, "classes", r.Flow.MacroF1Interval),
			Beside: beside(func(b BaselineScore) Number { return b.MacroF1 })},
		{Name: "Captures, accuracy", Value: ratio(r.Capture.Accuracy), Note: r.captureNote(note(r.Capture, "captures", nil)),
			Beside: beside(func(b BaselineScore) Number { return b.Capture.Accuracy })},
		{Name: "Packets, accuracy", Value: ratio(r.Packet.Accuracy), Note: note(r.Packet, "packets alone", nil),
			Beside: beside(func(b BaselineScore) Number { return b.Packet.Accuracy })},
	}
	table := report.Table{
		Caption: "The model beside what anybody would think of first",
		Head:    []string{"", "packets", "macro-F1", "flows", "macro-F1", "captures", "macro-F1"},
		Align:   "lrrrrrr",
	}
	row := func(name string, packet, flow, capture Score) {
		table.Rows = append(table.Rows, []string{name, ratio(packet.Accuracy), ratio(packet.MacroF1),
			ratio(flow.Accuracy), ratio(flow.MacroF1), ratio(capture.Accuracy), ratio(capture.MacroF1)})
	}
	row("model", r.Packet, r.Flow, r.Capture)
	for _, n := range slices.Backward(names) {
		b := r.Baseline[n]
		row(n, b.Packet, b.Score, b.Capture)
	}
	return report.Section{
		Title: "At a glance",
		Note: "Accuracy is the share that is right; macro-F1 is the mean of F1 over the classes that occur. Ranges hold 95 of 100 resamplings of the captures of each label. " +
			"Packets: each payload packet alone. Flows: the cascade's final label. Captures: all flows of a capture together, where they are of one label. " +
			"Baselines answer the label that most training flows with the same key had.",
		Blocks: []report.Block{lines, table},
	}
}

// captureNote adds to a note how many captures are not scored.
func (r *AppsResult) captureNote(note string) string {
	if r.MixedCaptures > 0 {
		note += fmt.Sprintf(", %s of several labels left out", report.Count(r.MixedCaptures))
	}
	return note
}

// strongest is the baseline of the highest macro-F1, empty without baselines.
func (r *AppsResult) strongest() string {
	best := ""
	for _, n := range r.baselines() {
		if best == "" || r.Baseline[n].MacroF1 > r.Baseline[best].MacroF1 {
			best = n
		}
	}
	return best
}

func (r *AppsResult) classSection() report.Section {
	bars := report.Bars{Caption: "F1 of each class, over flows", Max: 1, Format: report.Ratio, Name: "model"}
	best := r.strongest()
	marks := map[string]Number{}
	if best != "" {
		bars.Mark = "best baseline: " + best
		for _, c := range r.Baseline[best].Classes {
			marks[c.Label] = c.F1
		}
	}
	table := report.Table{Caption: "Classes, over flows", Head: []string{"class", "precision", "recall", "F1", "flows", "answers"}, Align: "lrrrrr"}
	byF1 := slices.Clone(r.Classes)
	slices.SortStableFunc(byF1, func(a, b ClassScore) int { return cmp.Compare(b.F1, a.F1) })
	for _, c := range byF1 {
		mark := Undefined
		if m, ok := marks[c.Label]; ok {
			mark = m
		}
		bars.Rows = append(bars.Rows, report.Bar{Name: c.Label, Value: float64(c.F1), Mark: float64(mark)})
		table.Rows = append(table.Rows, []string{c.Label, ratio(c.Precision), ratio(c.Recall), ratio(c.F1), report.Count(c.Support), report.Count(c.Predicted)})
	}
	return report.Section{
		Title: "Classes",
		Blocks: []report.Block{bars, table,
			report.Matrix{Caption: "What flows of each class were taken for", Labels: r.Confusion.Labels, Counts: r.Confusion.Counts}},
	}
}

func (r *AppsResult) soonerSection() report.Section {
	var accuracy, f1 report.Series
	accuracy.Name, f1.Name = "accuracy", "macro-F1"
	accuracy.Dots, f1.Dots = true, true
	seen := report.Table{Caption: "Judged by the first payload packets", Head: []string{"packets", "accuracy", "macro-F1", "flows that have so many"}, Align: "rrrr"}
	for _, s := range r.PacketsSeen {
		accuracy.X, accuracy.Y = append(accuracy.X, float64(s.Packets)), append(accuracy.Y, float64(s.Accuracy))
		f1.X, f1.Y = append(f1.X, float64(s.Packets)), append(f1.Y, float64(s.MacroF1))
		seen.Rows = append(seen.Rows, []string{report.Count(s.Packets), ratio(s.Accuracy), ratio(s.MacroF1), percent(s.Longer)})
	}
	early := report.Table{
		Caption: "Decided at the first packet that is sure enough",
		Head:    []string{"confidence", "accuracy", "macro-F1", "decided early", "of these right", "packets needed", "packets if waiting"},
		Align:   "rrrrrrr",
	}
	for _, e := range r.Early {
		level := report.Plain(float64(e.Confidence))
		if e.Cascade {
			level += " (this model)"
		}
		early.Rows = append(early.Rows, []string{level, ratio(e.Accuracy), ratio(e.MacroF1), percent(e.Decided),
			percent(e.DecidedTrue), fmt.Sprintf("%.2f", e.MeanPackets), fmt.Sprintf("%.2f", e.MeanWaiting)})
	}
	return report.Section{
		Title: "How soon",
		Note: "Flows with fewer payload packets are judged by what they have. The model's own row is what it did: flows that look novel are looked at for longer; " +
			"the other rows go by confidence alone.",
		Blocks: []report.Block{
			report.Lines{Caption: "Accuracy against payload packets seen", X: "payload packets seen", Y: "share", Series: []report.Series{accuracy, f1}, Share: true, Whole: true},
			seen, early,
		},
	}
}

func (r *AppsResult) calibrationSection() report.Section {
	diagram := report.Reliability{Caption: "Flows: how often a confidence was right"}
	for _, b := range r.Calibration.Bins {
		diagram.Bins = append(diagram.Bins, report.ReliabilityBin{
			Low: float64(b.Low), High: float64(b.High), Count: b.Items, Confidence: float64(b.Confidence), Accuracy: float64(b.Accuracy)})
	}
	table := report.Table{Head: []string{"", "calibration error", "Brier", "negative log-likelihood"}, Align: "lrrr", Rows: [][]string{
		{"flows", ratio(r.Calibration.ECE), ratio(r.Calibration.Brier), ratio(r.Calibration.NLL)},
		{"packets", ratio(r.PacketCalibration.ECE), ratio(r.PacketCalibration.Brier), ratio(r.PacketCalibration.NLL)},
	}}
	return report.Section{
		Title:  "Confidence",
		Note:   "Calibration error: the mean gap between accuracy and confidence over 15 bins of equal width. Brier: the squared distance of all class probabilities from the truth, 0 to 2. Log-likelihood in nats.",
		Blocks: []report.Block{table, diagram},
	}
}

func (r *AppsResult) noveltySection() report.Section {
	u := r.Unseen
	table := report.Table{Caption: "Labels that training did not have", Head: []string{"label", "flows", "AUROC", "marked novel", "mostly taken for"}, Align: "lrrrl"}
	for _, l := range u.Labels {
		table.Rows = append(table.Rows, []string{l.Label, report.Count(l.Flows), ratio(l.AUROC), percent(l.MarkedNovel), l.TakenFor})
	}
	return report.Section{
		Title: "Novelty",
		Note:  "AUROC: how probably a flow of an unseen label has a higher novelty score than a flow of a known one; 0.5 is chance.",
		Blocks: []report.Block{report.Headlines{
			{Name: "AUROC per flow", Value: ratio(u.AUROC), Note: report.Count(u.Flows) + " unseen flows", Beside: []report.Fact{{Name: "chance", Value: "0.500"}}},
			{Name: "AUROC per capture", Value: ratio(u.CaptureAUROC), Beside: []report.Fact{{Name: "chance", Value: "0.500"}}},
			{Name: "Marked novel", Value: percent(u.MarkedNovel), Note: "of unseen flows", Beside: []report.Fact{{Name: "of known flows", Value: percent(r.KnownMarkedNovel)}}},
		}, table},
	}
}

func (r *AppsResult) trafficSection() report.Section {
	figure := report.Applications{Caption: "Packets per application as bars, sum of payload bytes as a line"}
	table := report.Table{Caption: "Tested traffic by true label", Head: []string{"label", "captures", "flows", "packets", "payload bytes"}, Align: "lrrrr"}
	for _, t := range r.Traffic {
		figure.Rows = append(figure.Rows, report.Application{Name: t.Label, Packets: t.Packets, Bytes: t.Bytes})
		table.Rows = append(table.Rows, []string{t.Label, report.Count(t.Captures), report.Count(t.Flows), report.Count(t.Packets), report.Count(t.Bytes)})
	}
	table.Folded = true
	return report.Section{Title: "What was tested", Note: "As in figure 5 of Lim, Kim and Han.", Blocks: []report.Block{figure, table}}
}
