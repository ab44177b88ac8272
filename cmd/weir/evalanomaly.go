package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/evaluate"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/window"
)

func newEvalAnomaly(g *shared) *cobra.Command {
	var (
		in           input
		late         latenessFlag
		labels, name string
		zone         zoneFlag
		least        []int
		out          results
	)
	c := &cobra.Command{
		Use:   "anomaly -r FILE --labels FILE",
		Short: "Evaluate an anomaly detector on a labelled capture",
		Long: `Evaluate an anomaly detector on a capture whose attacks are known (docs/formats.md tells the forms of
labels). The capture may be the one that the detector learned its normal from: windows up to the end
of the training part are then scored but not counted.`,
		Example: `  weir eval anomaly -r attack.pcap --labels attack.csv --report anomaly.html`,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.evalAnomaly(c, &in, &late, labels, &zone, name, least, &out)
		},
	}
	in.flags(c)
	late.flags(c)
	c.Flags().StringVar(&labels, "labels", "", "labels of packets, flows or times")
	zone.flags(c)
	c.Flags().StringVar(&name, "model", "anomaly", "model: NAME or NAME@VERSION")
	c.Flags().IntSliceVar(&least, "attack-packets", []int{1, 10, 20}, "values of P: a window is an attack's when it holds at least P of its packets")
	out.flags(c)
	require(c, "labels")
	return c
}

func (g *shared) evalAnomaly(c *cobra.Command, in *input, late *latenessFlag, labelFile string, written *zoneFlag, name string, least []int, out *results) error {
	zone, err := written.location()
	if err := errors.Join(err, late.check()); err != nil {
		return err
	}
	m, p, err := g.loadAnomaly(name)
	if err != nil {
		return err
	}
	if err := errors.Join(in.follow(p.Ref(), m.Tunnels), in.filter.compare(p)); err != nil {
		return err
	}
	labels, err := dataset.OpenWindowLabels(labelFile, zone)
	if err != nil {
		return err
	}
	if labels.ByNumber() && in.filter.String() != "" {
		return usageError{fmt.Errorf("%s labels packets by number: they must all be read, without %s", labelFile, in.filter.String())}
	}
	rows, attacks, readErr := g.readWindows(c.Context(), in, meter.Config{Window: m.Length, Home: m.Home, Lateness: late.lateness}, labels)
	if readErr != nil && !errors.Is(readErr, errPartly) {
		return readErr
	}
	if err := labels.Finish(); err != nil {
		return err
	}
	var learned anomalyTraining
	if err := json.Unmarshal(p.Training.Options, &learned); err != nil {
		return fmt.Errorf("%s: options: %w", p.Ref(), err)
	}
	from, split, err := apart(in, p, &learned)
	if err != nil {
		return err
	}
	detector := m.NewDetector()
	var windows []evaluate.WindowResult
	for i := range rows {
		r := &rows[i]
		if r.gap {
			detector.Reset()
		}
		s := detector.Score(r.vector)
		if r.start < from {
			continue
		}
		w := evaluate.WindowResult{
			Start: r.start, Score: s.Score, Threshold: s.Threshold, Anomalous: s.Anomalous,
			Packets: int(r.packets), Lost: r.lost, Features: r.vector[:],
		}
		if !s.Scored {
			w.Score = math.NaN()
		}
		for id, n := range attacks[window.Index(r.start, m.Length)] {
			w.Attacks = append(w.Attacks, evaluate.AttackPackets{Attack: labels.Name(id), Packets: n})
		}
		slices.SortFunc(w.Attacks, func(a, b evaluate.AttackPackets) int { return cmp.Compare(a.Attack, b.Attack) })
		windows = append(windows, w)
	}
	if !slices.ContainsFunc(windows, func(w evaluate.WindowResult) bool { return len(w.Attacks) > 0 }) {
		slog.Warn(fmt.Sprintf("%s: no attack in the windows that count: only false alarms can be measured; are the labels, their clock and --label-zone of this capture?", labelFile))
	}
	var baseline *evaluate.ZScore
	if p.Baseline != nil {
		if err := json.Unmarshal(p.Baseline, &baseline); err != nil {
			return fmt.Errorf("%s: baseline: %w", p.Ref(), err)
		}
	}
	var promise *evaluate.Promise
	if p := m.Threshold.Promise; p != nil {
		promise = &evaluate.Promise{PerDay: p.PerDay, Low: p.Low, High: p.High}
	}
	result, err := evaluate.Anomaly(evaluate.AnomalyInput{
		Promise: promise,
		Model:   p.Ref(), Split: split, TrainedOn: evaluate.Side{Windows: learned.Windows, Captures: len(p.Training.Files)},
		Length: m.Length, Windows: windows, AttackPackets: least, Baseline: baseline,
	})
	if err != nil {
		return err
	}
	if err := g.publish(c, out, result, func() error { return writePage(out.report, evaluate.AnomalyReport(result)) }); err != nil {
		return err
	}
	if out.json != "-" {
		if err := printAnomaly(c.OutOrStdout(), result, labels); err != nil {
			return err
		}
	}
	return readErr
}

// apart finds the time from which windows of the input were not trained on, and says how test
// and training are apart. A capture that was trained on to its end is refused.
func apart(in *input, p *model.Package, learned *anomalyTraining) (from int64, split string, err error) {
	inputs := in.hashes()
	for _, f := range inputs {
		if f.SHA256 == "" || !slices.ContainsFunc(p.Training.Files, func(t model.DataFile) bool { return t.SHA256 == f.SHA256 }) {
			continue
		}
		if learned.Until == 0 {
			return 0, "", fmt.Errorf("%s was trained on the whole of %s: evaluate on another capture, or train with --until", p.Ref(), f.Name)
		}
		until := time.Unix(0, learned.Until).UTC().Format(time.RFC3339Nano)
		return learned.Until, "by time: trained on windows before " + until + ", tested on those from then on", nil
	}
	if unknown(inputs) || unknown(p.Training.Files) {
		return math.MinInt64, "not known: captures came through a pipe or weights from elsewhere, which cannot be recognised; that the detector was not trained on them is for you to know", nil
	}
	return math.MinInt64, "by capture: the detector was trained on none of the tested captures", nil
}

// printAnomaly writes the headline numbers beside the baselines.
func printAnomaly(out io.Writer, r *evaluate.AnomalyResult, labels *dataset.WindowLabels) error {
	packets, covered := labels.Coverage()
	fmt.Fprintf(out, "%s\n%d windows of %s; labels cover %d of %d packets", printable(r.Split), r.TestedOn.Windows, r.Window, covered, packets)
	if covered < packets {
		fmt.Fprint(out, ", the others count as normal")
	}
	fmt.Fprint(out, "\n\n")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := "\t"
	for _, p := range r.P {
		head += fmt.Sprintf("AUC P≥%d\tAP P≥%d\t", p.AttackPackets, p.AttackPackets)
	}
	fmt.Fprintln(w, head+"precision\trecall\tF1\tFPR\tincidents a day\t")
	row := func(name string, d *evaluate.Detection) {
		fmt.Fprintf(w, "%s\t", name)
		for _, p := range d.P {
			fmt.Fprintf(w, "%.3f\t%.3f\t", p.AUC, p.AveragePrecision)
		}
		fmt.Fprintf(w, "%.3f\t%.3f\t%.3f\t%.4f\t%.1f\t\n", d.Precision, d.Recall, d.F1, d.FPR, d.IncidentsPerDay)
	}
	row("weir", &r.Detection)
	for _, name := range slices.Sorted(maps.Keys(r.Baseline)) {
		d := r.Baseline[name]
		row(name, &d)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if p := r.Promise; p != nil {
		kept := "kept"
		if !p.Kept {
			kept = "broken"
		}
		fmt.Fprintf(out, "\npromised at most %.3g false alarms a day (expected %.3g to %.3g), achieved %.3g in %.3g days without attack: %s\n",
			p.PerDay, p.Low, p.High, p.Achieved, p.Days, kept)
	}
	fmt.Fprintln(out)
	for _, a := range r.Attacks {
		fmt.Fprintf(out, "%-32q %d of %d windows detected, after %.1f s\n", a.Attack, a.Detected, a.Windows, a.DelaySeconds)
	}
	return nil
}
