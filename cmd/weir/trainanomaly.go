package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/evaluate"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/train"
	"github.com/weirnet/weir/window"
)

func newTrain(g *shared) *cobra.Command {
	c := &cobra.Command{
		Use: "train", Short: "Train models",
		Long: `Train models from captures: of applications from labelled ones, of what is normal from normal ones. Each training makes a new
version, which becomes the live one unless --no-promote is given.`,
	}
	c.AddCommand(newTrainApps(g), newTrainAnomaly(g))
	return c
}

// anomalyFlags are the flags of `weir train anomaly`.
type anomalyFlags struct {
	in        input
	win       windowFlags
	late      latenessFlag
	model     string
	from      string
	until     string
	options   anomaly.Options
	fresh     bool
	noPromote bool
	report    string
	onEpoch   func(done, of int) // nil: a bar shows it
}

// anomalyTraining is how a detector was trained, as its model keeps it.
type anomalyTraining struct {
	From      int64   `json:"from,omitempty"`  // Unix nanoseconds; 0: from the start
	Until     int64   `json:"until,omitempty"` // Unix nanoseconds; 0: to the end
	Windows   int     `json:"windows"`
	Seed      uint64  `json:"seed"`
	Epochs    int     `json:"epochs,omitempty"`
	Rate      float64 `json:"wanted_false_alarms,omitempty"`
	PerDay    float64 `json:"wanted_per_day,omitempty"`
	Promise   float64 `json:"wanted_promise,omitempty"`
	Threshold float64 `json:"given_threshold,omitempty"`
	Filter    string  `json:"filter,omitempty"` // flag that said which packets count
}

func newTrainAnomaly(g *shared) *cobra.Command {
	f := new(anomalyFlags)
	c := &cobra.Command{
		Use:   "anomaly -r FILE…",
		Short: "Train an anomaly detector from normal traffic",
		Long: `Train an anomaly detector from captures of normal traffic. What is in them is normal by
definition: leave attacks out, with --until if they come later in the file. Interrupted with Ctrl-C,
the same command goes on where it stopped.`,
		Example: `  weir train anomaly -r normal.pcap --window 5s
  weir train anomaly -r week.pcap --until +24h --window 5s --false-alarms-per-day 2`,
		RunE: func(c *cobra.Command, _ []string) error { return g.trainAnomaly(c.Context(), f) },
	}
	f.in.flags(c)
	f.win.flags(c)
	f.late.flags(c)
	flags := c.Flags()
	flags.StringVar(&f.model, "model", "anomaly", "name of the model")
	flags.StringVar(&f.options.Profile, "profile", anomaly.Default, "detector: default, or paper")
	flags.StringVar(&f.from, "from", "", "learn from this time on: RFC 3339, Unix seconds, or +DURATION after the first packet")
	flags.StringVar(&f.until, "until", "", "learn up to this time, in the forms of --from")
	flags.Float64Var(&f.options.FalseAlarms, "false-alarms", 0, "share of normal windows that may raise an alert (default 0.01)")
	flags.Float64Var(&f.options.PerDay, "per-day", 0, "false alarms a day instead of a share, by the highest scores seen alone")
	flags.Float64Var(&f.options.Promise, "false-alarms-per-day", 0, "promise at most so many false alarms a day: the highest normal scores are fitted; what cannot be promised is refused")
	flags.Float64Var(&f.options.Threshold, "threshold", 0, "fixed threshold of the score instead")
	flags.IntVar(&f.options.Epochs, "epochs", 0, "passes over the windows (default by profile)")
	flags.Uint64Var(&f.options.Seed, "seed", 1, "seed of everything random")
	flags.BoolVar(&f.fresh, "fresh", false, "do not go on from an interrupted run")
	flags.StringVar(&f.report, "report", "", "file for the curves of loss, one HTML page")
	flags.BoolVar(&f.noPromote, "no-promote", false, "keep the version that is live")
	return c
}

// check refuses numbers that cannot be meant: 0 is the default, what is below it is nothing.
func (f *anomalyFlags) check() error {
	o := &f.options
	if o.Epochs < 0 {
		return fmt.Errorf("--epochs %d: must not be negative", o.Epochs)
	}
	if !(o.FalseAlarms >= 0 && o.FalseAlarms < 1) {
		return fmt.Errorf("--false-alarms %g: is a share, 0 (the default) or more and less than 1", o.FalseAlarms)
	}
	if !(o.PerDay >= 0) || math.IsInf(o.PerDay, 1) {
		return fmt.Errorf("--per-day %g: must be a number and not negative", o.PerDay)
	}
	if !(o.Promise >= 0) || math.IsInf(o.Promise, 1) {
		return fmt.Errorf("--false-alarms-per-day %g: must be a number and not negative", o.Promise)
	}
	given := 0
	for _, v := range []float64{o.FalseAlarms, o.PerDay, o.Promise, o.Threshold} {
		if v > 0 {
			given++
		}
	}
	if o.Promise > 0 && given > 1 {
		return errors.New("--false-alarms-per-day goes without --false-alarms, --per-day and --threshold")
	}
	if !(o.Threshold >= 0) || math.IsInf(o.Threshold, 1) {
		return fmt.Errorf("--threshold %g: must be a number and not negative", o.Threshold)
	}
	return nil
}

func (g *shared) trainAnomaly(ctx context.Context, f *anomalyFlags) error {
	if err := g.checkModelName(f.model, model.Anomaly); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return usageError{err}
	}
	cfg, err := f.win.config()
	if err := errors.Join(err, f.late.check()); err != nil {
		return err
	}
	cfg.Lateness = f.late.lateness
	started := time.Now()
	rows, _, readErr := g.readWindows(ctx, &f.in, cfg, nil)
	if readErr != nil && !errors.Is(readErr, errPartly) {
		return readErr
	}
	if len(rows) == 0 {
		return errors.New("the captures hold no IP packet that counts")
	}
	from, err := parseTime(f.from, rows[0].start, math.MinInt64)
	if err != nil {
		return err
	}
	until, err := parseTime(f.until, rows[0].start, math.MaxInt64)
	if err != nil {
		return err
	}
	var segments [][]window.Vector
	for i := range rows {
		r := &rows[i]
		if r.start < from || r.start+int64(cfg.Window) > until {
			continue
		}
		if len(segments) == 0 || r.gap {
			segments = append(segments, nil)
		}
		last := len(segments) - 1
		segments[last] = append(segments[last], r.vector)
	}
	learned := anomalyTraining{}
	if f.from != "" {
		learned.From = from
	}
	if f.until != "" {
		learned.Until = until
	}
	if _, err := g.fitAnomaly(ctx, f, cfg, segments, learned, nil, started); err != nil {
		return err
	}
	return readErr
}

// fitAnomaly trains a detector on normal windows, keeps it with what is known of them, and returns its NAME@VERSION.
func (g *shared) fitAnomaly(ctx context.Context, f *anomalyFlags, cfg meter.Config, segments [][]window.Vector, learned anomalyTraining, notes []string, started time.Time) (ref string, err error) {
	var vectors [][]float64
	for _, s := range segments {
		for i := range s {
			vectors = append(vectors, s[i][:])
		}
	}
	o := f.options
	o.Length, o.Home, o.Workers = cfg.Window, cfg.Home, g.workers
	checkpoint := filepath.Join(g.registry().Dir, f.model, ".training", "anomaly.safetensors")
	if f.fresh {
		train.RemoveCheckpoint(checkpoint)
	}
	bar := g.bar("training")
	show := bar.set
	if f.onEpoch != nil {
		show = f.onEpoch
	}
	o.OnEpoch = func(e anomaly.Epoch) { show((e.Stage-1)*e.Of+e.Number, e.Stages*e.Of) }
	result, err := train.Anomaly(ctx, segments, o, checkpoint)
	bar.done()
	if err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("%w; the same command goes on from the last whole epoch", err)
		}
		return "", err
	}
	if result.Resumed {
		g.info("went on from where an interrupted run had stopped")
	}
	m := result.Model
	m.Tunnels = f.in.tunnels
	settings, weights, err := m.Save()
	if err != nil {
		return "", err
	}
	p := &model.Package{Weights: weights, Manifest: model.Manifest{
		Kind: model.Anomaly, Name: f.model, Weir: version, Profile: m.Profile, Features: m.Features, Settings: settings,
		Training: model.Training{Seconds: time.Since(started).Seconds()}, Notes: append([]string{m.Threshold.String()}, notes...),
	}}
	learned.Windows, learned.Seed, learned.Epochs, learned.Filter = len(vectors), o.Seed, o.Epochs, cmp.Or(learned.Filter, f.in.filter.String())
	learned.Rate, learned.PerDay, learned.Promise, learned.Threshold = o.FalseAlarms, o.PerDay, o.Promise, o.Threshold
	if p.Training.Options, err = json.Marshal(learned); err != nil {
		return "", err
	}
	if p.Training.History, err = json.Marshal(result.History); err != nil {
		return "", err
	}
	if p.Evaluation, err = json.Marshal(anomalyValidation{anomalySplit(m), m.Threshold}); err != nil {
		return "", err
	}
	if p.Training.Files = f.in.hashes(); unknown(p.Training.Files) {
		p.Notes = append(p.Notes, "some of the training came through a pipe and is not known: evaluation cannot tell whether it is given the same traffic")
	}
	rate := m.Threshold.Wanted
	if m.Threshold.Given {
		rate = defaultBaselineRate
	}
	if p.Baseline, err = json.Marshal(evaluate.FitZScore(vectors, rate)); err != nil {
		return "", err
	}
	g.info("learned from %d windows of %v; %s", len(vectors), cfg.Window, &m.Threshold)
	if err := g.keep(p, !f.noPromote); err != nil {
		return "", err
	}
	train.RemoveCheckpoint(checkpoint)
	if f.report != "" {
		if err := writePage(f.report, train.AnomalyReport(result, p.Ref())); err != nil {
			return "", err
		}
	}
	return p.Ref(), nil
}

// anomalyValidation is the evaluation that a detector carries: what is known of its false alarms
// on normal windows that it was not trained on.
type anomalyValidation struct {
	Split     string            `json:"split"`
	Threshold anomaly.Threshold `json:"threshold"`
}

// anomalySplit says which windows the threshold was found on.
func anomalySplit(m *anomaly.Model) string {
	if m.Profile == anomaly.Paper {
		return "by time: trained on the first four fifths of the normal windows, threshold from the last"
	}
	return "by time: five blocks of the normal windows, each scored by what was fitted to the other four"
}

// defaultBaselineRate is the share of training windows that the z-score baseline may alarm on
// when the detector's threshold was given.
const defaultBaselineRate = 0.01

// parseTime reads a time as RFC 3339, as Unix seconds, or as +DURATION after the first window.
func parseTime(text string, first, otherwise int64) (int64, error) {
	if text == "" {
		return otherwise, nil
	}
	if text[0] == '+' {
		if d, err := time.ParseDuration(text[1:]); err == nil {
			return first + int64(d), nil
		}
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UnixNano(), nil
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(seconds) < 9e9 {
		whole, part := math.Modf(seconds)
		return int64(whole)*1e9 + int64(math.Round(part*1e9)), nil
	}
	return 0, usageError{fmt.Errorf("time %q: use RFC 3339, Unix seconds, or +DURATION after the first packet", text)}
}
