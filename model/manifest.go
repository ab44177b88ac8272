// Package model is the model package on disk: one directory per version with the weights and
// everything needed to use them honestly, and the registry of names and versions above it.
// It does not know what the weights mean; classify and anomaly do.
//
//	reg := model.Registry{Dir: "models"}
//	pkg, err := reg.Load("apps")          // the promoted version
//	pkg, err = reg.Load("apps@20261122-1") // a certain one
package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weirnet/weir/nn/safetensors"
)

// Format is the version of the directory's layout.
const Format = 1

// Kind is what a model is for.
type Kind string

// The kinds of models.
const (
	Apps    Kind = "apps"    // packet CNN and flow LSTM, paper A
	Anomaly Kind = "anomaly" // window LSTM, paper B
)

// Names of the files in a version's directory.
const (
	manifestFile   = "model.json"
	weightsFile    = "weights.safetensors"
	evaluationFile = "evaluation.json"
)

// Package is one version of a model.
type Package struct {
	Manifest
	Weights    map[string]safetensors.Tensor
	Evaluation json.RawMessage // result of the validation after training, nil without one
}

// Manifest is model.json: what the weights are, how they came to be, and what checks them.
type Manifest struct {
	Format   int             `json:"format"`
	Kind     Kind            `json:"kind"`
	Name     string          `json:"name"`
	Version  string          `json:"version"`
	Created  time.Time       `json:"created"`
	Weir     string          `json:"weir"`               // version of the program that trained it
	Profile  string          `json:"profile"`            // paper or default
	Features string          `json:"features"`           // version of the feature code; another is refused
	Labels   []string        `json:"labels,omitempty"`   // class names in the order of the outputs
	Settings json.RawMessage `json:"settings"`           // architecture, normaliser, calibration, thresholds
	Training Training        `json:"trained_on"`         // data, split and settings
	Files    map[string]Sum  `json:"files"`              // every other file of the directory
	Notes    []string        `json:"notes,omitempty"`    // what a user of the model should know
	Baseline json.RawMessage `json:"baseline,omitempty"` // trivial classifiers fitted on the same data
}

// Training is what a model was trained on.
type Training struct {
	Files   []DataFile      `json:"files"`
	Split   json.RawMessage `json:"split,omitempty"`
	Options json.RawMessage `json:"options,omitempty"`
	History json.RawMessage `json:"history,omitempty"` // loss and validation by epoch
	Seconds float64         `json:"seconds"`           // wall time
}

// DataFile is one capture that a model was trained or validated on.
type DataFile struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// Sum is the size and hash of a file in the package.
type Sum struct {
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// Errors that callers tell apart.
var (
	ErrNotFound = errors.New("model: not found")
	ErrCorrupt  = errors.New("model: corrupt")
	ErrMismatch = errors.New("model: does not fit")
)

// Check refuses a package of another kind or of other features than this program makes.
func (p *Package) Check(kind Kind, features string) error {
	switch {
	case p.Kind != kind:
		return fmt.Errorf("%w: %s is a model for %q, %q is needed", ErrMismatch, p.Ref(), p.Kind, kind)
	case p.Features != features:
		return fmt.Errorf("%w: %s was trained on features %q, this weir makes %q: train it again", ErrMismatch, p.Ref(), p.Features, features)
	}
	return nil
}

// Ref is NAME@VERSION, as Load takes it and events show it.
func (m *Manifest) Ref() string { return m.Name + "@" + m.Version }
