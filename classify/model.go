// Package classify names the application behind packets and flows as paper A does: a packet
// network (a CNN) labels each packet of a flow that has no label yet, a flow network (an LSTM)
// labels the flow once it has T payload packets or is sure earlier, and from then on the flow
// table remembers. Flows unlike everything in training are marked novel. The package trains
// nothing (see train) and knows no files (see model) and no events.
package classify

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/weirnet/weir/drift"
	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
)

// FeatureVersion names what the networks are fed: Normaliser, Input and the meaning of an opening.
// A change of any of them is a new version, and older models are refused.
const FeatureVersion = "openings/1"

// Settings are the parts of a model that are not weights.
type Settings struct {
	Arch Architecture `json:"architecture"`
	// Temperatures divide class scores so that probabilities are calibrated (Guo et al. 2017);
	// fitted on validation data.
	PacketTemperature float64 `json:"packet_temperature"`
	FlowTemperature   float64 `json:"flow_temperature"`
	Novelty           Novelty `json:"novelty"`
	// How the final labels' confidences and novelty of validation flows are spread. Nil in models of earlier versions.
	Confidences *drift.Reference `json:"validation_confidences,omitempty"`
	Strangeness *drift.Reference `json:"validation_novelty,omitempty"`
	// Embedding tells flows apart that are of no label; nil in models that were made before it was fitted.
	Embedding *Embedding `json:"embedding,omitempty"`
	// Tunnels says that training looked into tunnels (meter.Config.Tunnels): service must as well.
	Tunnels bool `json:"tunnels,omitempty"`
	// Int8 is what rounding to int8 costs; nil in models that were made before it was measured,
	// which run in float32.
	Int8 *Int8 `json:"int8,omitempty"`
}

// Model is a trained classifier: settings, labels and weights. It is not changed after it was
// made and may be shared by any number of Classifiers.
type Model struct {
	Settings
	Labels []string // by class; "Etc." among them when rare applications were pooled
	Name   string   // NAME@VERSION, as events show it

	params []*nn.Param

	once     sync.Once // see Engine
	programs programs
}

// NewModel puts a model together from the values of a trained network.
func NewModel(s Settings, labels []string, params []*nn.Param) (*Model, error) {
	if len(labels) != s.Arch.Classes {
		return nil, fmt.Errorf("classify: %d labels for %d classes", len(labels), s.Arch.Classes)
	}
	for i, l := range labels {
		if l == "" || slices.Contains(labels[:i], l) {
			return nil, fmt.Errorf("classify: label %q of class %d is empty or another class's", l, i)
		}
	}
	return &Model{Settings: s, Labels: labels, params: params}, nil
}

// Load restores a model from what Save gave. It refuses settings that make no sense and weights
// that do not fit them.
func Load(settings []byte, labels []string, weights map[string]safetensors.Tensor) (*Model, error) {
	var s Settings
	if err := json.Unmarshal(settings, &s); err != nil {
		return nil, fmt.Errorf("classify: settings: %w", err)
	}
	if err := s.Arch.Check(); err != nil {
		return nil, err
	}
	if !(s.PacketTemperature > 0) || !(s.FlowTemperature > 0) {
		return nil, errors.New("classify: settings: a temperature is not above zero")
	}
	if s.Arch.Imported != nil {
		if err := s.Arch.Imported.load(&s.Arch, weights); err != nil {
			return nil, err
		}
	}
	if err := s.Int8.check(); err != nil {
		return nil, err
	}
	for _, r := range []*drift.Reference{s.Confidences, s.Strangeness} {
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("classify: settings: %w", err)
		}
	}
	params := NewNetwork(s.Arch).Params()
	if err := nn.Load(params, weights); err != nil {
		return nil, fmt.Errorf("classify: %w", err)
	}
	if err := s.Novelty.load(weights, s.Arch.StateSize()); err != nil {
		return nil, err
	}
	if err := s.Embedding.load(weights, &s.Arch); err != nil {
		return nil, err
	}
	imported := map[string]bool{}
	s.Arch.Imported.weights(func(name string, _ []int, _ []float32) { imported[name] = true })
	for _, name := range nn.Unknown(params, weights) {
		if !s.Novelty.has(name) && !s.Embedding.has(name) && !imported[name] {
			return nil, fmt.Errorf("classify: tensor %q belongs to nothing in the model", name)
		}
	}
	m, err := NewModel(s, labels, params)
	if err == nil && s.Arch.Imported != nil {
		// The layers of the profiles can all be compiled; of others it must be seen.
		_, err = m.network().compile(nil, nil, 1)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Save returns the model as Load takes it.
func (m *Model) Save() (settings []byte, weights map[string]safetensors.Tensor, err error) {
	weights = map[string]safetensors.Tensor{}
	nn.Export(m.params, weights)
	m.Arch.Imported.weights(func(name string, shape []int, values []float32) {
		weights[name] = safetensors.Tensor{Shape: shape, Data: values}
	})
	m.Novelty.save(weights)
	m.Settings.Embedding.save(weights)
	settings, err = json.Marshal(m.Settings)
	return settings, weights, err
}

// network returns a network of the model's weights.
func (m *Model) network() *Network {
	n := NewNetwork(m.Arch)
	nn.Share(n.Params(), m.params)
	return n
}

// step is the cascade's word after one more payload packet: calibrated probabilities, valid until
// the engine's next call.
type step struct {
	packet []float32 // of this packet alone
	flow   []float32 // of the flow so far; nil without a flow network
	final  bool      // the flow is decided
}

// step advances a flow by a payload packet. It is decided at T packets; before that when the flow
// network is sure enough and the flow does not look novel: strangers are looked at for longer,
// since networks are sure of them too.
func (m *Model) step(e *Engine, t *Track, in *Input) step {
	packet, flow := e.Step(t, in)
	return m.word(e, t, packet, flow)
}

// word is the cascade's after a payload packet whose class scores are there.
func (m *Model) word(e *Engine, t *Track, packet, flow []float32) step {
	s := step{packet: probabilities(packet, m.PacketTemperature), final: t.Packets >= m.Arch.Packets}
	if flow == nil {
		for c, p := range s.packet {
			t.logs[c] += logProb(p)
		}
		return s
	}
	s.flow = probabilities(flow, m.FlowTemperature)
	t.last = true
	for c, p := range s.flow {
		t.logs[c] = float64(p)
	}
	_, confidence := best(s.flow)
	s.final = s.final || confidence >= float32(m.Arch.Early) && m.novelty(e, t) < 1
	return s
}

// decide returns what a flow with at least one step is as it stands, as the logarithms of
// probabilities, by class: what the flow network says, or without one the normalised product of
// what the packet network said of each packet.
func (t *Track) decide(dst []float32) (logs []float32, answer Answer) {
	dst = dst[:0]
	for _, v := range t.logs {
		if t.last {
			v = logProb(float32(v))
		}
		dst = append(dst, float32(v))
	}
	normalise(dst)
	answer.Class, answer.Confidence = best(dst)
	answer.Confidence = float32(math.Exp(float64(answer.Confidence)))
	return dst, answer
}

// novelty returns the novelty score of a flow as it stands.
func (m *Model) novelty(e *Engine, t *Track) float64 {
	if t.judged != t.Packets {
		state := e.State(t)
		e.scratch = slices.Grow(e.scratch[:0], len(state))[:len(state)]
		t.novelty, t.judged = m.Novelty.Score(state, t.Packets, e.scratch), t.Packets
	}
	return t.novelty
}

// noveltyBin returns flow.Label.NoveltyBin of a flow whose novelty was just asked for.
func (m *Model) noveltyBin(t *Track) uint8 {
	if m.Strangeness == nil {
		return 0
	}
	return uint8(1 + m.Strangeness.Bin(t.novelty))
}

// logProb keeps a probability that float32 rounded to 0 from outweighing everything else.
func logProb(p float32) float64 { return math.Log(max(float64(p), 1e-12)) }

// normalise makes logarithms those of probabilities that add up to 1.
func normalise(logs []float32) {
	top := float32(math.Inf(-1))
	for _, v := range logs {
		top = max(top, v)
	}
	sum := 0.0
	for _, v := range logs {
		sum += math.Exp(float64(v - top))
	}
	shift := top + float32(math.Log(sum))
	for i := range logs {
		logs[i] -= shift
	}
}

// probabilities turns class scores into calibrated probabilities, in place.
func probabilities(scores []float32, temperature float64) []float32 {
	inv := float32(1 / temperature)
	for i := range scores {
		scores[i] *= inv
	}
	nn.Softmax(scores, len(scores))
	return scores
}

// best returns the most likely class.
func best(probabilities []float32) (class int32, p float32) {
	class, p = 0, float32(math.Inf(-1))
	for i, v := range probabilities {
		if v > p {
			class, p = int32(i), v
		}
	}
	return class, p
}
