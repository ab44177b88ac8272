package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
)

// Stages of a run.
const (
	fitting   = 0
	refitting = 1
)

// state is what a run needs beside its tensors to go on.
type state struct {
	Fingerprint string            `json:"fingerprint"`
	Stage       int               `json:"stage"`
	Epoch       int               `json:"epoch"` // whole epochs of this stage
	Best        int               `json:"best"`
	BestScore   float64           `json:"best_score"` // accuracy + macro-F1
	History     []Epoch           `json:"history"`
	Settings    classify.Settings `json:"settings"`
	Evaluation  json.RawMessage   `json:"evaluation,omitempty"`
}

const maxCheckpoint = 4 << 30 // bytes

// bestPrefix marks the weights of the best epoch in a checkpoint.
const bestPrefix = "best."

// save writes the checkpoint: weights, optimiser, best weights, history. One rename.
func (r *run) save() error {
	if r.o.Checkpoint == "" {
		return nil
	}
	tensors := map[string]safetensors.Tensor{}
	nn.Export(r.params, tensors)
	r.adam.Export(tensors)
	for i, p := range r.params {
		if r.best != nil {
			tensors[bestPrefix+p.Name] = safetensors.Tensor{Shape: p.Shape, Data: r.best[i]}
		}
	}
	r.state.Fingerprint = r.o.Fingerprint
	meta, err := json.Marshal(r.state)
	if err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	return WriteCheckpoint(r.o.Checkpoint, &safetensors.File{Metadata: map[string]string{"state": string(meta)}, Tensors: tensors})
}

// WriteCheckpoint stores the state of a run under a path, by one rename: a kill at any moment
// leaves the old state or the new one.
func WriteCheckpoint(path string, state *safetensors.File) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	tmp := path + ".new"
	f, err := os.Create(tmp)
	if err != nil {
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	err = errors.Join(safetensors.Write(f, state), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("train: checkpoint: %w", err)
	}
	return nil
}

// ReadCheckpoint returns what WriteCheckpoint stored, nil when there is nothing.
func ReadCheckpoint(path string) (*safetensors.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("train: checkpoint: %w", err)
	}
	defer f.Close()
	file, err := safetensors.Read(f, maxCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("train: checkpoint %s: %w: remove it to start anew", path, err)
	}
	return file, nil
}

// resume takes over the checkpoint, if there is one of the same data and settings. A checkpoint
// that cannot be read, or of another run, is left alone until the first save replaces it.
func (r *run) resume() error {
	if r.o.Checkpoint == "" {
		return nil
	}
	file, err := ReadCheckpoint(r.o.Checkpoint)
	if file == nil || err != nil {
		return err
	}
	var s state
	if err := json.Unmarshal([]byte(file.Metadata["state"]), &s); err != nil {
		return fmt.Errorf("train: checkpoint %s: %w: remove it to start anew", r.o.Checkpoint, err)
	}
	if s.Fingerprint != r.o.Fingerprint {
		return nil
	}
	if err := errors.Join(nn.Load(r.params, file.Tensors), r.adam.Import(file.Tensors)); err != nil {
		return fmt.Errorf("train: checkpoint %s: %w: remove it to start anew", r.o.Checkpoint, err)
	}
	if s.Best > 0 {
		r.best = make([][]float32, len(r.params))
		for i, p := range r.params {
			t, ok := file.Tensors[bestPrefix+p.Name]
			if !ok || len(t.Data) != p.Size() {
				return fmt.Errorf("train: checkpoint %s: no %s%s: remove it to start anew", r.o.Checkpoint, bestPrefix, p.Name)
			}
			r.best[i] = t.Data
		}
	}
	r.state = s
	r.resumed = len(s.History)
	return nil
}
