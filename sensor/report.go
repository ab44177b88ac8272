package sensor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/report"
)

// Report returns the page of a run with the figures of both papers: packets and payload bytes per
// application (paper A, figure 5), the score over time with its threshold (paper B), and the alerts.
func Report(s *Summary, inputs []string) *report.Page {
	c := &s.Counters
	page := &report.Page{
		Title: "What passed",
		Facts: []report.Fact{
			{Name: "Input", Value: strings.Join(inputs, ", ")},
			{Name: "Packets", Value: fmt.Sprintf("%s, %s", report.Count(c.Packets), report.Bytes(float64(c.Bytes)))},
			{Name: "Flows", Value: report.Count(c.Flow.Flows)},
		},
	}
	var apps report.Applications
	table := report.Table{Head: []string{"application", "flows", "packets", "bytes on the wire", "payload bytes"}, Align: "lrrrr"}
	for _, a := range s.Apps {
		name := a.Name
		switch {
		case name == "":
			name = "no label"
		case a.Novel:
			name = "novel, nearest " + name
		}
		apps.Rows = append(apps.Rows, report.Application{Name: name, Packets: a.Packets, Bytes: a.Payload})
		table.Rows = append(table.Rows, []string{name, report.Count(a.Flows), report.Count(a.Packets), report.Count(a.Bytes), report.Count(a.Payload)})
	}
	apps.Caption = "Packets per application as bars, payload bytes as a line"
	page.Sections = append(page.Sections, report.Section{
		Title: "Applications", Note: "Flows count under the label they ended with; novel ones are unlike everything in training.",
		Blocks: []report.Block{apps, table},
	})
	if c.Window.Windows > 0 {
		page.Facts = append(page.Facts, report.Fact{Name: "Windows", Value: fmt.Sprintf("%s, %s alerts in %s incidents",
			report.Count(c.Window.Windows), report.Count(s.AlertCount), report.Count(s.Incidents))})
		line := report.Timeline{Caption: "Score of every window with the threshold", Y: "score"}
		for _, p := range s.Timeline {
			line.Points = append(line.Points, report.TimePoint{Nanos: p.Nanos, Score: p.Score, Threshold: p.Threshold})
		}
		page.Sections = append(page.Sections, report.Section{Title: "Windows", Blocks: []report.Block{line}})
	}
	if len(s.Alerts) > 0 {
		page.Sections = append(page.Sections, alertSection(s))
	}
	page.Sections = append(page.Sections, report.Section{
		Title: "What was not counted whole", Blocks: []report.Block{counts("not decoded, by reason", DecodeErrors(c)), counts("dropped, by reason", Drops(c))},
	})
	return page
}

// reportAlerts is how many alerts a page shows, the highest scores first.
const reportAlerts = 20

func alertSection(s *Summary) report.Section {
	alerts := slices.Clone(s.Alerts)
	slices.SortStableFunc(alerts, func(a, b event.Alert) int { return cmp.Compare(*b.Score, *a.Score) })
	section := report.Section{Title: "Alerts"}
	if uint64(reportAlerts) < s.AlertCount {
		section.Note = fmt.Sprintf("The %d with the highest scores of %d.", reportAlerts, s.AlertCount)
	}
	var list report.Alerts
	for i := range alerts[:min(len(alerts), reportAlerts)] {
		a := &alerts[i]
		one := report.Alert{
			When:  fmt.Sprintf("%s, %g s", time.Unix(0, int64(a.Start)).UTC().Format("2006-01-02 15:04:05.000"), a.Length),
			Score: fmt.Sprintf("%s (threshold %s)", report.Plain(*a.Score), report.Plain(a.Threshold)),
			Note:  Explain(a), Evidence: a.Evidence.How,
		}
		for _, f := range a.Features[:min(8, len(a.Features))] {
			one.Features = append(one.Features, report.Bar{
				Name: fmt.Sprintf("%s: %s, expected %s%s", f.Name, report.Plain(f.Observed), report.Plain(f.Expected), usually(&f)), Value: f.Share / *a.Score,
			})
		}
		for _, t := range []struct {
			name   string
			counts []event.Count
		}{{"From", a.Top.Sources}, {"To", a.Top.Destinations}, {"To port", a.Top.Ports}, {"Applications", a.Top.Apps}} {
			if len(t.counts) > 0 {
				one.Top = append(one.Top, report.Fact{Name: t.name, Value: listCounts(t.counts)})
			}
		}
		list = append(list, one)
	}
	section.Blocks = []report.Block{list}
	return section
}

// usually says what a feature usually is, where the model knows.
func usually(f *event.Feature) string {
	if f.Usual == nil {
		return ""
	}
	return fmt.Sprintf(", usually %s to %s", report.Plain(f.Usual[0]), report.Plain(f.Usual[1]))
}

func listCounts(counts []event.Count) string {
	parts := make([]string, len(counts))
	for i, c := range counts {
		parts[i] = fmt.Sprintf("%s (%s)", c.Name, report.Count(c.Packets))
	}
	return strings.Join(parts, ", ")
}

func counts(caption string, by map[string]uint64) report.Block {
	if len(by) == 0 {
		return report.Text("Nothing " + caption + ".")
	}
	t := report.Table{Caption: caption, Head: []string{"reason", "count"}, Align: "lr"}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		t.Rows = append(t.Rows, []string{name, report.Count(by[name])})
	}
	return t
}

// Explain says in one sentence what made a window anomalous; of alerts of earlier versions, which have no summary, by their
// leading features.
func Explain(a *event.Alert) string {
	if a.Summary != "" {
		return a.Summary
	}
	var parts []string
	for _, f := range a.Features[:min(3, len(a.Features))] {
		if *a.Score <= 0 || f.Share <= 0 {
			break
		}
		parts = append(parts, fmt.Sprintf("%s %s, expected %s (%.0f %% of the score)", f.Name, report.Plain(f.Observed), report.Plain(f.Expected), 100*f.Share / *a.Score))
	}
	if len(a.Top.Sources) > 0 {
		s := a.Top.Sources[0]
		parts = append(parts, fmt.Sprintf("most packets from %s (%d of %d)", s.Name, s.Packets, a.Packets))
	}
	return strings.Join(parts, "; ")
}
