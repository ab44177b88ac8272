package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/store"
)

func newModelCompare(g *shared) *cobra.Command {
	var (
		asked  past
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "compare",
		Short: "Compare models on trial with those in use, by what is stored",
		Long: `Tell how models on trial did beside those in use, by what weir run --shadow-apps and --shadow-anomaly stored: on how many
flows both give the same application, which they disagree about, which windows are anomalous to one alone, and what a
detector on trial says of the windows whose alerts were confirmed and dismissed.

weir model promote makes a version the live one, weir model rollback takes that back; a weir that watches follows.`,
		Example: `  sudo weir run -i eth0 --apps apps --shadow-apps apps@20261120-1 --store history
  weir model compare --store history --since 24h`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, when, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			found, err := store.Compare(c.Context(), s, when)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(found)
			}
			g.info("%s", showRange(when))
			if len(found.Apps)+len(found.Anomaly) == 0 {
				return errors.New("nothing was on trial in that time: weir run --shadow-apps or --shadow-anomaly with --store does that")
			}
			return printTrials(c.OutOrStdout(), &found)
		},
	}
	asked.flags(c, "")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printTrials prints comparisons for people.
func printTrials(out io.Writer, c *store.Comparison) error {
	first := true
	head := func(model, live string, since, until int64) {
		if !first {
			fmt.Fprintln(out)
		}
		first = false
		fmt.Fprintf(out, "on trial: %s beside %s, %s\n", printable(model), printable(live), showRange(store.Range{Since: since, Until: until}))
	}
	for i := range c.Apps {
		a := &c.Apps[i]
		head(a.Model, a.Live, int64(a.Since), int64(a.Until))
		fmt.Fprintf(out, "  %s flows labelled by both, the same application for %s (%s; %.1f to %.1f %% with 95 %% confidence)\n",
			report.Count(a.Flows), report.Count(a.Agree), percent(a.Agree, a.Flows), 100*a.Low, 100*a.High)
		fmt.Fprintf(out, "  novel in use %s, on trial %s, to both %s\n", report.Count(a.NovelLive), report.Count(a.Novel), report.Count(a.NovelBoth))
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		rows(w, a.Labels, "application\tin use\ton trial\t", func(l store.LabelCounts) {
			fmt.Fprintf(w, "  %s\t%s\t%s\t\n", shownLabel(l.App), report.Count(l.Live), report.Count(l.Model))
		})
		rows(w, a.Pairs, "flows\tin use\ton trial\t", func(p store.Disagreement) {
			fmt.Fprintf(w, "  %s\t%s\t%s\t\n", report.Count(p.Flows), shownLabel(p.Live), shownLabel(p.Model))
		})
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for i := range c.Anomaly {
		a := &c.Anomaly[i]
		head(a.Model, a.Live, int64(a.Since), int64(a.Until))
		fmt.Fprintf(out, "  %s windows scored by both; anomalous in use %s, on trial %s, to both %s; correlation of the logarithms of scores %.3f\n",
			report.Count(a.Windows), report.Count(a.AboveLive), report.Count(a.Above), report.Count(a.AboveBoth), a.Correlation)
		fmt.Fprintf(out, "  of %d confirmed alerts %d are anomalous on trial, of %d dismissed ones %d\n", a.Confirmed, a.ConfirmedAbove, a.Dismissed, a.DismissedAbove)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(w, "  score in thresholds\tin use\ton trial\t\n")
		for k, q := range store.Quantiles {
			fmt.Fprintf(w, "  %g %%\t%.3f\t%.3f\t\n", 100*q, a.LiveQuantiles[k], a.ModelQuantiles[k])
		}
		rows(w, a.Differ, "anomalous to one alone\tin use\ton trial\t", func(o event.Window) {
			fmt.Fprintf(w, "  %s\t%.3f\t%.3f\t\n", time.Unix(0, int64(o.Start)).UTC().Format(time.DateTime), *o.Score/o.Threshold, *o.Shadow.Score/o.Shadow.Threshold)
		})
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// comparedRows is how many rows of each table of a comparison people get; --json has them all.
const comparedRows = 15

// rows prints the first rows of a table, with its head if there are any.
func rows[T any](w io.Writer, all []T, head string, row func(T)) {
	for i, one := range all {
		if i == 0 {
			fmt.Fprintf(w, "  %s\n", head)
		}
		if i == comparedRows {
			fmt.Fprintf(w, "  and %d more\t\t\t\n", len(all)-i)
			return
		}
		row(one)
	}
}

// shownLabel is a label for people.
func shownLabel(app string) string {
	if app == "" {
		return "no label"
	}
	return printable(app)
}
