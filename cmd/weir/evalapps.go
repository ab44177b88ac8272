package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/evaluate"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/train"
)

func newEval(g *shared) *cobra.Command {
	c := &cobra.Command{Use: "eval", Short: "Evaluate models honestly"}
	c.AddCommand(newEvalApps(g), newEvalAnomaly(g))
	return c
}

// results are where an evaluation goes.
type results struct {
	json, report string
}

func (r *results) flags(c *cobra.Command) {
	c.Flags().StringVar(&r.json, "json", "", "file for the result as JSON (- for stdout)")
	c.Flags().StringVar(&r.report, "report", "", "file for the report with figures, one HTML page")
}

func newEvalApps(g *shared) *cobra.Command {
	var (
		data dataFlags
		name string
		int8 bool
		out  results
	)
	c := &cobra.Command{
		Use:   "apps --data DIR",
		Short: "Evaluate a model of applications on labelled captures",
		Long: `Evaluate a model of applications on captures that it was not trained on. Captures of the model's
training and validation, recognised by their content, are left out and named. Beside every number
stands that of trivial classifiers fitted on the model's training data.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.evalApps(c, &data, name, int8, &out)
		},
	}
	data.flags(c)
	c.Flags().StringVar(&name, "model", "apps", "model: NAME or NAME@VERSION")
	c.Flags().BoolVar(&int8, "compare-int8", false, "tell as well what int8 costs on these captures, against float32")
	out.flags(c)
	return c
}

func (g *shared) evalApps(c *cobra.Command, data *dataFlags, name string, int8 bool, out *results) error {
	m, p, err := g.loadApps(name)
	if err != nil {
		return err
	}
	if err := data.follow(p.Ref(), m.Tunnels); err != nil {
		return err
	}
	set, err := data.open(g, train.OpeningConfig(&m.Arch))
	if err != nil {
		return err
	}
	tellProblems(set)
	var split dataset.Record
	if err := json.Unmarshal(p.Training.Split, &split); err != nil {
		return fmt.Errorf("%s: split: %w", p.Ref(), err)
	}
	set.Adopt(m.Labels, pooledLabels(&split))
	known := split.Overlap(set)
	var part dataset.Part
	for i := range set.Flows {
		if !slices.Contains(known, set.Captures[set.Flows[i].Capture].Name) {
			part.Flows = append(part.Flows, i)
		}
	}
	for i := range set.Images {
		if !slices.Contains(known, set.Captures[set.Images[i].Capture].Name) {
			part.Images = append(part.Images, i)
		}
	}
	if len(known) > 0 {
		g.info("%d captures are left out because %s was trained or validated on them", len(known), p.Ref())
		if len(part.Flows)+len(part.Images) == 0 {
			return errors.New("nothing is left to evaluate on; 'weir model show --json " + p.Ref() + "' has the result on its validation data")
		}
	}
	var baselines []evaluate.Baseline
	if p.Baseline != nil {
		if err := json.Unmarshal(p.Baseline, &baselines); err != nil {
			return fmt.Errorf("%s: baseline: %w", p.Ref(), err)
		}
	}
	apart := "captures apart from the model's: none of them, by content, was trained or validated on. The model: " + split.Summary
	if split.Rule == dataset.Unknown {
		apart = "not known: that the model was not trained on these captures is for you to know. The model: " + split.Summary
	}
	result, err := evaluate.Apps(evaluate.AppsInput{
		Model: p.Ref(), Labels: m.Labels, Early: m.Arch.Early,
		Split:     apart,
		TrainedOn: trainedOn(&split),
		Flows:     g.judge(m, set, part),
		Baselines: baselines,
	})
	if err != nil {
		return err
	}
	if result.Flow.Items == 0 && result.Packet.Items == 0 {
		slog.Warn(fmt.Sprintf("%s: nothing bears a label of %s: neither accuracy nor calibration can be measured", data.dir, p.Ref()))
	}
	if err := g.publish(c, out, result, func() error { return writePage(out.report, evaluate.AppsReport(result)) }); err != nil {
		return err
	}
	if out.json != "-" {
		if err := printApps(c.OutOrStdout(), result); err != nil {
			return err
		}
	}
	if int8 {
		w := c.OutOrStdout()
		if out.json == "-" {
			w = c.ErrOrStderr()
		}
		if err := g.compareInt8(w, m, train.Samples(set, part, &m.Arch)); err != nil {
			return err
		}
	}
	if set.Unreadable() {
		return errPartly
	}
	return nil
}

// loadApps loads a model of applications and checks that this program can run it.
func (g *shared) loadApps(name string) (*classify.Model, *model.Package, error) {
	p, err := g.registry().Load(name)
	if err != nil {
		return nil, nil, err
	}
	if err := p.Check(model.Apps, classify.FeatureVersion); err != nil {
		return nil, nil, err
	}
	m, err := classify.Load(p.Settings, p.Labels, p.Weights)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", model.ErrMismatch, p.Ref(), err)
	}
	m.Name = p.Ref()
	return m, p, nil
}

// trainedOn tells how much a model was trained on.
func trainedOn(r *dataset.Record) evaluate.Side {
	s := r.Sides[dataset.Train]
	return evaluate.Side{Captures: s.Captures, Flows: s.Flows + s.Images}
}

// judge runs the cascade over one part of a set.
func (g *shared) judge(m *classify.Model, set *dataset.Set, part dataset.Part) []evaluate.FlowResult {
	samples := train.Samples(set, part, &m.Arch)
	results := make([]evaluate.FlowResult, len(samples))
	var wg sync.WaitGroup
	for w := range g.workers {
		wg.Go(func() {
			engine := m.Engine()
			for i := w; i < len(samples); i += g.workers {
				results[i] = flowResult(m.Judge(engine, samples[i].Inputs), samples[i].Inputs)
			}
		})
	}
	wg.Wait()
	for k, i := range part.Flows {
		f, r := &set.Flows[i], &results[k]
		r.Capture = set.Captures[f.Capture].Name
		r.Truth = truth(set, f.Class, f.Label)
		r.Outline = outline(f)
		r.PacketCount = f.Packets[0] + f.Packets[1]
		r.PayloadBytes = f.PayloadBytes[0] + f.PayloadBytes[1]
	}
	for k, i := range part.Images {
		image, r := &set.Images[i], &results[len(part.Flows)+k]
		// Images carry no capture: each is one of its own.
		r.Capture = fmt.Sprintf("%s#%d", set.Captures[image.Capture].Name, i)
		r.Truth = truth(set, image.Class, image.Label)
		r.Bytes = image.Pixels
		r.PacketCount, r.PayloadBytes = 1, uint64(len(image.Pixels))
	}
	return results
}

// truth is the label that a model must say: Etc. for what it learned as that.
func truth(set *dataset.Set, class int, label string) string {
	if class == dataset.NoClass {
		return label
	}
	return set.Classes[class]
}

// outline is what the trivial baselines may look at.
func outline(f *dataset.Flow) evaluate.Outline {
	o := evaluate.Outline{Proto: f.Key.Proto, ServerPort: f.Key.DstPort}
	for i, p := range f.Opening {
		n := int32(p.Len)
		if p.Dir == flow.Responder {
			n = -n
		}
		o.Lengths = append(o.Lengths, n)
		if i == 0 {
			o.Bytes = p.Data
		}
	}
	return o
}

// flowResult is a verdict for evaluation. Payloads that training holds too are not scored alone.
func flowResult(v classify.Verdict, inputs []classify.Input) evaluate.FlowResult {
	r := evaluate.FlowResult{Final: evaluate.FinalResult{
		Class: v.Class, Confidence: v.Confidence, Novel: v.Novel, Novelty: float32(v.Novelty), Decided: v.Decided, LogProbs: v.LogProbs,
	}}
	for i, a := range v.Packets {
		if !inputs[i].Repeat {
			r.Packets = append(r.Packets, evaluate.PacketResult(a))
		}
	}
	for _, a := range v.Steps {
		r.Steps = append(r.Steps, evaluate.StepResult(a))
	}
	return r
}

// fitBaselines fits the trivial classifiers on the training side of a split.
func fitBaselines(set *dataset.Set, split *dataset.Split) []evaluate.Baseline {
	training := split.Sides[dataset.Train]
	var outlines []evaluate.Outline
	var classes []int32
	for _, i := range training.Flows {
		outlines = append(outlines, outline(&set.Flows[i]))
		classes = append(classes, int32(set.Flows[i].Class))
	}
	for _, i := range training.Images {
		outlines = append(outlines, evaluate.Outline{Bytes: set.Images[i].Pixels})
		classes = append(classes, int32(set.Images[i].Class))
	}
	return evaluate.FitBaselines(outlines, classes)
}

// validationOf evaluates a model on the validation side of its own split.
func (g *shared) validationOf(m *classify.Model, set *dataset.Set, split *dataset.Split, baselines []evaluate.Baseline) (json.RawMessage, error) {
	result, err := evaluate.Apps(evaluate.AppsInput{
		Labels: m.Labels, Early: m.Arch.Early, Split: split.Record.Summary, TrainedOn: trainedOn(&split.Record),
		Flows: g.judge(m, set, split.Sides[dataset.Validation]), Baselines: baselines,
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// printApps writes the headline numbers, each beside its baselines.
func printApps(out io.Writer, r *evaluate.AppsResult) error {
	fmt.Fprintf(out, "%s\ntested on %d flows of %d captures\n\n", printable(r.Split), r.TestedOn.Flows, r.TestedOn.Captures)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "accuracy / macro-F1\tflow\tpacket\tcapture\t")
	row := func(name string, flow, packet, capture evaluate.Score) {
		fmt.Fprintf(w, "%s\t%.3f / %.3f\t%.3f / %.3f\t%.3f / %.3f\t\n", printable(name), flow.Accuracy, flow.MacroF1,
			packet.Accuracy, packet.MacroF1, capture.Accuracy, capture.MacroF1)
	}
	row("weir", r.Flow, r.Packet, r.Capture)
	for _, name := range slices.Sorted(maps.Keys(r.Baseline)) {
		b := r.Baseline[name]
		row(name, b.Score, b.Packet, b.Capture)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\ncalibration error of flows %.3f", r.Calibration.ECE)
	if r.MixedCaptures > 0 {
		fmt.Fprintf(out, "; %d captures hold several labels and are not scored as captures", r.MixedCaptures)
	}
	if r.Unseen != nil {
		fmt.Fprintf(out, "; %d flows of labels unseen in training: AUROC of novelty %.3f, marked novel %.1f %% (known flows %.1f %%)",
			r.Unseen.Flows, r.Unseen.AUROC, 100*r.Unseen.MarkedNovel, 100*r.KnownMarkedNovel)
	}
	_, err := fmt.Fprintln(out)
	return err
}
