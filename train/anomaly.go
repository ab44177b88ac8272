package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/nn/safetensors"
	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/window"
)

// AnomalyResult is a trained detector and how it came to be.
type AnomalyResult struct {
	Model   *anomaly.Model
	History []AnomalyEpoch
	Resumed bool // it went on from a checkpoint; History begins there
}

// AnomalyEpoch is one pass over the training windows of one stage.
type AnomalyEpoch struct {
	Stage   int      `json:"stage"` // from 1
	Epoch   int      `json:"epoch"` // from 1
	Loss    float64  `json:"loss"`
	HeldOut *float64 `json:"held_out_loss"` // of the windows left out; nil when none were
}

// Anomaly trains a detector with anomaly.Train and keeps its state in the file checkpoint, from
// which the same call goes on after an interruption; an empty name keeps none. The file stays
// until the caller, who has the model safe then, removes it.
func Anomaly(ctx context.Context, segments [][]window.Vector, o anomaly.Options, checkpoint string) (*AnomalyResult, error) {
	r := new(AnomalyResult)
	told := o.OnEpoch
	o.OnEpoch = func(e anomaly.Epoch) {
		line := AnomalyEpoch{Stage: e.Stage, Epoch: e.Number, Loss: e.Loss}
		if !math.IsNaN(e.HeldOut) {
			line.HeldOut = &e.HeldOut
		}
		r.History = append(r.History, line)
		if told != nil {
			told(e)
		}
	}
	if checkpoint != "" {
		var err error
		if o.Resume, err = ReadCheckpoint(checkpoint); err != nil {
			return nil, err
		}
		// A run takes seconds: a checkpoint a second is often enough and costs nothing.
		saved := time.Now()
		o.Checkpoint = func(state *safetensors.File) error {
			if time.Since(saved) < time.Second {
				return nil
			}
			saved = time.Now()
			return WriteCheckpoint(checkpoint, state)
		}
	}
	r.Resumed = o.Resume != nil
	var err error
	r.Model, err = anomaly.Train(ctx, segments, o)
	if errors.Is(err, anomaly.ErrOtherRun) {
		r.Resumed, o.Resume = false, nil
		r.Model, err = anomaly.Train(ctx, segments, o)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// RemoveCheckpoint removes a checkpoint that is of no more use. Where it stays it does no harm.
func RemoveCheckpoint(path string) { os.Remove(path) }

// AnomalyReport returns the page with the curves of a training run. name is the model's.
func AnomalyReport(r *AnomalyResult, name string) *report.Page {
	loss := report.Lines{Caption: "Mean squared error by epoch", X: "epoch, over all stages", Y: "error", Log: true}
	trained, heldOut := report.Series{Name: "windows trained on"}, report.Series{Name: "windows left out", Dashed: true}
	for i, e := range r.History {
		x := float64(i + 1)
		trained.X, trained.Y = append(trained.X, x), append(trained.Y, e.Loss)
		if e.HeldOut != nil {
			heldOut.X, heldOut.Y = append(heldOut.X, x), append(heldOut.Y, *e.HeldOut)
		}
	}
	loss.Series = []report.Series{trained, heldOut}
	return &report.Page{
		Title: "Training of " + name,
		Facts: []report.Fact{
			{Name: "Windows", Value: fmt.Sprintf("of %v, profile %s", r.Model.Length, r.Model.Profile)},
			{Name: "Threshold", Value: r.Model.Threshold.String()},
		},
		Sections: []report.Section{{
			Title:  "Curves",
			Note:   "The profile default trains several stages one after the other: each leaves out a block of windows and is judged by it, the last one has them all.",
			Blocks: []report.Block{loss},
		}},
	}
}
