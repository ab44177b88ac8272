// Package anomaly learns what the windows of a network look like when all is well, and says of
// each further window how unlike that it is and why: paper B (Urakawa, Aoki, Miyamoto: anomaly
// detection of networks by LSTM). It sees vectors of 53 features, never packets, and knows no
// files and no events.
//
// There are two profiles. Paper is what the paper describes: three windows in a row, scaled to
// [0, 1] by the training data, go through an LSTM that was trained to give them back, and the
// score is the squared error of all three (equation 1). Default keeps the network and mends what
// was measured to be weak: counts on a logarithmic scale, only the error of the newest window,
// each feature's error measured by how large it is on benign windows that the network was not
// trained on, earlier windows that were themselves anomalous taken out of what the network sees,
// and beside the network the Mahalanobis distance of the window alone.
//
//	m, err := anomaly.Train(ctx, segments, anomaly.Options{Length: 5 * time.Second})
//	d := m.NewDetector()
//	for each window in order of time {
//		r := d.Score(w.Vector())
//		if r.Anomalous { … r.Shares adds up to r.Score … }
//	}
package anomaly

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/weirnet/weir/drift"
	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/infer"
	"github.com/weirnet/weir/nn/safetensors"
	"github.com/weirnet/weir/window"
)

// The profiles.
const (
	Paper   = "paper"
	Default = "default"
)

// steps is how many windows in a row the network sees.
const steps = 3

// features is the length of a vector.
const features = len(window.Vector{})

// ErrFeatures is returned for a model of another definition of the features.
var ErrFeatures = errors.New("anomaly: the model was trained on another version of the features")

// Settings are the parts of a model that are not weights.
type Settings struct {
	Profile  string         `json:"profile"`
	Features string         `json:"features"` // window.FeatureVersion it was trained on
	Length   time.Duration  `json:"window"`   // of a window, nanoseconds
	Home     []netip.Prefix `json:"home,omitempty"`
	Tunnels  bool           `json:"tunnels,omitempty"` // the windows were counted inside tunnels (meter.Config.Tunnels)
	Hidden   int            `json:"hidden"`            // size of the LSTM's state
	Scaling  Scaling        `json:"scaling"`
	// Of the default profile: the variance of the network's error of each scaled feature, and the
	// values of the two parts of the score that one benign window in a hundred reaches, all on
	// benign windows left out of training.
	ErrorVariance [features]float64 `json:"error_variance"`
	ErrorScale    float64           `json:"error_scale"`
	DistanceScale float64           `json:"distance_scale"`
	Threshold     Threshold         `json:"threshold"`
	// Usual is the range of each feature that ninety-eight in a hundred training windows lie in, in its own unit: for people. Nil
	// in models of earlier versions.
	Usual *[features][2]float64 `json:"usual,omitempty"`
	// Scores is how the scores of the benign windows left out of training are spread. Nil in models of earlier versions.
	Scores *drift.Reference `json:"validation_scores,omitempty"`
}

// Model is a trained detector: settings and weights. It is not changed after it was made and may
// be shared by any number of Detectors.
type Model struct {
	Settings
	net      *network
	distance distance // of the default profile

	once    sync.Once // see NewDetector
	program *infer.Program
}

// distanceTensor is the name of the matrix of the default profile's distance among the weights.
const distanceTensor = "distance.whiten"

// Load makes a model of what Save returned. It refuses settings that do not fit together, weights
// of another shape and, with ErrFeatures, another version of the features.
func Load(settings []byte, weights map[string]safetensors.Tensor) (*Model, error) {
	m := new(Model)
	if err := json.Unmarshal(settings, &m.Settings); err != nil {
		return nil, fmt.Errorf("anomaly: settings: %w", err)
	}
	if err := m.Settings.check(); err != nil {
		return nil, err
	}
	m.net = newNetwork(m.Hidden)
	if err := nn.Load(m.net.Params(), weights); err != nil {
		return nil, fmt.Errorf("anomaly: %w", err)
	}
	if m.Profile == Default {
		if err := m.distance.load(weights); err != nil {
			return nil, err
		}
	}
	for _, name := range nn.Unknown(m.net.Params(), weights) {
		if m.Profile != Default || name != distanceTensor {
			return nil, fmt.Errorf("anomaly: tensor %q belongs to nothing in the model", name)
		}
	}
	return m, nil
}

// Save returns the settings as JSON and the weights by name. The weights are not copied.
func (m *Model) Save() (settings []byte, weights map[string]safetensors.Tensor, err error) {
	weights = map[string]safetensors.Tensor{}
	nn.Export(m.net.Params(), weights)
	if m.Profile == Default {
		weights[distanceTensor] = safetensors.Tensor{Shape: []int{features, features}, Data: m.distance.whiten}
	}
	settings, err = json.Marshal(&m.Settings)
	return settings, weights, err
}

// maxHidden bounds what a file of settings can ask to be allocated.
const maxHidden = 4096

func (s *Settings) check() error {
	switch {
	case s.Features != window.FeatureVersion:
		return fmt.Errorf("%w: %q, this program computes %q", ErrFeatures, s.Features, window.FeatureVersion)
	case s.Profile != Paper && s.Profile != Default:
		return fmt.Errorf("anomaly: no profile %q: want %s or %s", s.Profile, Default, Paper)
	case s.Length <= 0:
		return fmt.Errorf("anomaly: window length %v", s.Length)
	case s.Hidden < 1 || s.Hidden > maxHidden:
		return fmt.Errorf("anomaly: hidden size %d", s.Hidden)
	case s.Scores.Check() != nil:
		return fmt.Errorf("anomaly: scores of validation: %w", s.Scores.Check())
	case !(s.Threshold.Value > 0) || math.IsInf(s.Threshold.Value, 0):
		return fmt.Errorf("anomaly: threshold %v", s.Threshold.Value)
	}
	for i, name := range window.Names {
		if !(s.Scaling.Scale[i] > 0) {
			return fmt.Errorf("anomaly: scale of %s is %v", name, s.Scaling.Scale[i])
		}
		if s.Profile == Default && !(s.ErrorVariance[i] > 0) {
			return fmt.Errorf("anomaly: error variance of %s is %v", name, s.ErrorVariance[i])
		}
	}
	if s.Profile == Default && !(s.ErrorScale > 0 && s.DistanceScale > 0) {
		return fmt.Errorf("anomaly: scales of the score are %v and %v", s.ErrorScale, s.DistanceScale)
	}
	return nil
}
