package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/evaluate"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/train"
)

// appsFlags are the flags of `weir train apps`.
type appsFlags struct {
	data        dataFlags
	model       string
	profile     string
	splitColumn string
	validation  float64
	minFlows    int
	minCaptures int
	packets     int
	options     train.AppsOptions
	noPromote   bool
	report      string
	fresh       bool
	corrections string
}

func newTrainApps(g *shared) *cobra.Command {
	f := new(appsFlags)
	c := &cobra.Command{
		Use:   "apps --data DIR",
		Short: "Train packet CNN and flow LSTM from labelled captures",
		Long: `Train the packet network and the flow network from a directory of labelled captures
(docs/formats.md tells the forms). The captures are split by capture and time: the latest of each
label validate. Interrupted with Ctrl-C, the same command goes on where it stopped.`,
		Example: `  weir train apps --data captures/
  weir train apps --data captures/ --model office --profile paper --report training.html`,
		RunE: func(c *cobra.Command, _ []string) error { return g.trainApps(c.Context(), f) },
	}
	flags := c.Flags()
	f.data.flags(c)
	flags.StringVar(&f.corrections, "corrections", "", "directory of a history whose corrected labels (weir labels) are trained on as well")
	flags.StringVar(&f.model, "model", "apps", "name of the model")
	flags.StringVar(&f.profile, "profile", classify.Default, "networks: default, or paper")
	flags.StringVar(&f.splitColumn, "split-column", "", "column of labels.csv that splits instead of time")
	flags.Float64Var(&f.validation, "validation", 0.25, "share of the captures that validate")
	flags.IntVar(&f.minFlows, "min-flows", 10, "labels with fewer flows are pooled as Etc.")
	flags.IntVar(&f.minCaptures, "min-captures", 1, "labels with fewer captures are pooled as Etc.")
	flags.IntVar(&f.packets, "packets", 0, "T: payload packets of a flow that are looked at (default 10)")
	flags.IntVar(&f.options.Epochs, "epochs", 0, "passes over the data (default 8; images 12; profile paper 12 to 40, more for fewer flows)")
	flags.IntVar(&f.options.Batch, "batch", 0, "flows per step (default 64)")
	flags.Float64Var(&f.options.Rate, "rate", 0, "peak learning rate (default 0.002)")
	flags.IntVar(&f.options.Patience, "patience", 0, "epochs without improvement before stopping (default half of them, at least 5)")
	flags.Uint64Var(&f.options.Seed, "seed", 1, "seed of everything random")
	flags.BoolVar(&f.options.Refit, "refit", true, "train again on all data once the number of epochs is known")
	flags.BoolVar(&f.fresh, "fresh", false, "do not go on from an interrupted run")
	flags.BoolVar(&f.noPromote, "no-promote", false, "keep the version that is live")
	flags.StringVar(&f.report, "report", "", "file for the curves of loss and validation, one HTML page")
	return c
}

// check refuses numbers that cannot be meant: 0 is the default, what is below it trains nothing.
func (f *appsFlags) check() error {
	for _, n := range []struct {
		flag  string
		value int
	}{{"packets", f.packets}, {"epochs", f.options.Epochs}, {"batch", f.options.Batch}, {"patience", f.options.Patience}} {
		if n.value < 0 {
			return fmt.Errorf("--%s %d: must not be negative", n.flag, n.value)
		}
	}
	if !(f.options.Rate >= 0) || math.IsInf(f.options.Rate, 1) {
		return fmt.Errorf("--rate %g: must be a number and not negative", f.options.Rate)
	}
	if !(f.validation > 0 && f.validation < 1) {
		return fmt.Errorf("--validation %g: must be more than 0 and less than 1", f.validation)
	}
	return nil
}

func (g *shared) trainApps(ctx context.Context, f *appsFlags) error {
	if err := g.checkModelName(f.model, model.Apps); err != nil {
		return err
	}
	arch, err := classify.NewArchitecture(f.profile, 2)
	if err != nil {
		return usageError{err}
	}
	if err := f.check(); err != nil {
		return usageError{err}
	}
	if f.packets > 0 {
		arch.Packets = f.packets
	}
	started := time.Now()
	set, err := f.data.open(g, train.OpeningConfig(&arch))
	if err != nil {
		return err
	}
	tellProblems(set)
	if f.corrections != "" {
		if err := f.correct(ctx, g, set, &arch); err != nil {
			return err
		}
	}
	set.Pool(f.minFlows, f.minCaptures)
	arch.Classes = len(set.Classes)
	if arch.Classes < 2 {
		return fmt.Errorf("%s holds %d class of flows; at least two are needed", f.data.dir, arch.Classes)
	}
	arch.Flow = len(set.Flows) > 0
	split, err := set.Split(dataset.SplitOptions{
		Train: 1 - f.validation, Validation: f.validation, Column: f.splitColumn,
		Seed: f.options.Seed, Normalise: train.Normaliser(&arch),
	})
	if err != nil {
		return err
	}
	g.info("%s", split.Record.Summary)
	for _, note := range split.Record.Notes {
		g.info("note: %s", note)
	}

	f.options.Tunnels = f.data.tunnels
	o := f.options
	o.Arch, o.Labels, o.Workers = arch, set.Classes, g.workers
	o.Checkpoint = filepath.Join(g.registry().Dir, f.model, ".training", "apps.safetensors")
	if o.Fingerprint, err = fingerprint(split.Record, arch, f.options); err != nil {
		return err
	}
	if f.fresh {
		if err := os.Remove(o.Checkpoint); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	training := train.Samples(set, split.Sides[dataset.Train], &arch)
	validation := train.Samples(set, split.Sides[dataset.Validation], &arch)
	o.Known = train.Known(set, split.Sides[dataset.Validation], &arch)
	epochs := g.epochs()
	o.OnStep, o.OnEpoch = epochs.step, epochs.appsEpoch
	baselines := fitBaselines(set, split)
	o.Evaluate = func(m *classify.Model) (json.RawMessage, error) { return g.validationOf(m, set, split, baselines) }
	result, err := train.Apps(ctx, training, validation, o)
	epochs.done()
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%w; the same command goes on from the last whole epoch", err)
		}
		return err
	}
	if result.Resumed > 0 {
		g.info("went on from epoch %d of an interrupted run", result.Resumed)
	}
	if err := g.saveApps(f, set, split, result, baselines, time.Since(started)); err != nil {
		return err
	}
	os.Remove(o.Checkpoint) // of no more use, and no harm where it stays
	if set.Unreadable() {
		return errPartly
	}
	return nil
}

// saveApps stores the result as a new version and promotes it.
func (g *shared) saveApps(f *appsFlags, set *dataset.Set, split *dataset.Split, result *train.AppsResult, baselines []evaluate.Baseline, took time.Duration) error {
	settings, weights, err := result.Model.Save()
	if err != nil {
		return err
	}
	p := &model.Package{Weights: weights, Evaluation: result.Evaluation, Manifest: model.Manifest{
		Kind: model.Apps, Name: f.model, Weir: version, Profile: result.Model.Arch.Profile,
		Features: classify.FeatureVersion, Labels: result.Model.Labels, Settings: settings,
		Training: model.Training{Seconds: took.Seconds()},
		Notes:    slices.Concat(split.Record.Notes, honesty(f.options.Refit)),
	}}
	for i := range set.Captures {
		c := &set.Captures[i]
		p.Training.Files = append(p.Training.Files, model.DataFile{Name: c.Name, SHA256: c.SHA256, Bytes: c.Bytes})
	}
	if p.Training.Split, err = json.Marshal(split.Record); err != nil {
		return err
	}
	if p.Training.History, err = json.Marshal(result.History); err != nil {
		return err
	}
	if p.Baseline, err = json.Marshal(baselines); err != nil {
		return err
	}
	if p.Training.Options, err = json.Marshal(f.options); err != nil {
		return err
	}
	if err := g.keep(p, !f.noPromote); err != nil {
		return err
	}
	if f.report == "" {
		return nil
	}
	return writePage(f.report, train.AppsReport(result, p.Ref(), split.Record.Summary))
}

// honesty is what a reader of the evaluation that a model carries must know.
func honesty(refit bool) []string {
	notes := []string{"epoch, temperatures and thresholds of novelty were chosen on the validation captures that the evaluation is of: its calibration error is in-sample, its accuracy at best a little too high"}
	if refit {
		notes = append(notes, "the evaluation is of the network before it was trained again on all captures; the weights that are stored have seen the validation captures and are not evaluated")
	}
	return notes
}

// checkModelName refuses names that are not plain, and the name of a model of another kind: its live
// version would stop working where it is used.
func (g *shared) checkModelName(name string, kind model.Kind) error {
	if err := model.CheckName(name); err != nil {
		return usageError{err}
	}
	if p, err := g.registry().Load(name); err == nil && p.Kind != kind {
		return usageError{fmt.Errorf("%s is a model for %q: choose another name for one for %q", p.Ref(), p.Kind, kind)}
	}
	return nil
}

// keep saves a package, promotes it if asked to, and says what to do next.
func (g *shared) keep(p *model.Package, promote bool) error {
	registry := g.registry()
	if _, err := registry.Save(p); err != nil {
		return err
	}
	if promote {
		if err := registry.Promote(p.Ref()); err != nil {
			return err
		}
	}
	state := "live"
	if !promote {
		state = "not promoted"
	}
	g.info("%s in %s (%s)", p.Ref(), registry.Dir, state)
	return nil
}

// fingerprint hashes what a checkpoint must agree on to be gone on from.
func fingerprint(parts ...any) (string, error) {
	data, err := json.Marshal(parts)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8]), nil
}

// pooledLabels returns the labels that a record of a split pooled as Etc.
func pooledLabels(r *dataset.Record) []string {
	var labels []string
	for _, p := range r.Pooled {
		labels = append(labels, p.Label)
	}
	slices.Sort(labels)
	return labels
}
