// Package train runs the training loops: progress, validation, early stopping, checkpoints that an
// interrupted run goes on from, calibration and thresholds from validation data. What is learned
// lies in classify and anomaly; this package reads no captures and writes no models.
package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/nn"
)

// AppsOptions says how the packet and flow networks are trained. Zero values take the defaults
// in brackets.
type AppsOptions struct {
	Arch      classify.Architecture `json:"-"`
	Labels    []string              `json:"-"`
	Epochs    int                   // [8; images 12; flow networks that read raw bytes 12 to 40, more for fewer flows]
	Batch     int                   // flows per step [64]; images [128]
	Shard     int                   // flows per shard, the unit of batch statistics [16]; images [64]
	Rate      float64               // peak learning rate [0.002]
	Decay     float64               // weight decay [0.01]
	Smoothing float64               // label smoothing [0.05]
	Balance   float64               // exponent of class weights: 0 none, 1 inverse frequency [0.3]; negative: none
	Patience  int                   // epochs without a better validation score before stopping [half of Epochs, at least 5]
	Seed      uint64
	Workers   int  `json:"-"`
	Tunnels   bool // the samples were made looking into tunnels; the model keeps it

	// Known are flows of the validation captures whose opening also stood in training, which
	// validation leaves out. Service meets them too: temperatures and the threshold of novelty
	// are set on validation samples and these together.
	Known []*classify.Sample `json:"-"`

	// Refit trains a second time, on training and validation data together and to the end of the
	// schedule, where the learning rate has died away; temperatures and thresholds stay those of
	// the first time.
	Refit bool

	// Checkpoint is the file of the state after each epoch; empty: none. It stays until the caller, who
	// has the model safe then, removes it.
	Checkpoint  string `json:"-"`
	Fingerprint string `json:"-"` // of data and settings: a checkpoint of another is not gone on from
	// Evaluate judges the model that was validated, before Refit shows it the validation data.
	Evaluate func(*classify.Model) (json.RawMessage, error) `json:"-"`
	OnEpoch  func(Epoch)                                    `json:"-"`
	OnStep   func(done, total int)                          `json:"-"` // steps of this epoch
}

// Epoch is one pass over the training data.
type Epoch struct {
	Number         int     `json:"epoch"` // from 1
	Refit          bool    `json:"refit,omitempty"`
	Loss           float64 `json:"loss"`
	PacketLoss     float64 `json:"validation_packet_loss"`
	FlowLoss       float64 `json:"validation_flow_loss"`
	PacketAccuracy float64 `json:"validation_packet_accuracy"`
	FlowAccuracy   float64 `json:"validation_flow_accuracy"`
	PacketF1       float64 `json:"validation_packet_macro_f1"`
	FlowF1         float64 `json:"validation_flow_macro_f1"`
	Seconds        float64 `json:"seconds"`
}

// AppsResult is a trained model and how it came to be.
type AppsResult struct {
	Model      *classify.Model
	Evaluation json.RawMessage // what Evaluate returned
	History    []Epoch
	Best       int // epoch whose weights were kept
	Resumed    int // epochs taken over from a checkpoint
}

func (o *AppsOptions) defaults(samples int) {
	images := !o.Arch.Flow
	if images {
		o.Batch, o.Shard = either(o.Batch, 128), either(o.Shard, 64)
	}
	o.Batch, o.Shard = either(o.Batch, 64), either(o.Shard, 16)
	switch {
	case images:
		o.Epochs = either(o.Epochs, 12)
	case o.Arch.RawBytes:
		perEpoch := max((samples+o.Batch-1)/o.Batch, 1)
		o.Epochs = either(o.Epochs, min(max(12, rawSteps/perEpoch), 40))
	}
	o.Epochs = either(o.Epochs, 8)
	o.Rate = either(o.Rate, 0.002)
	o.Decay = either(o.Decay, 0.01)
	o.Smoothing = either(o.Smoothing, 0.05)
	o.Balance = max(either(o.Balance, 0.3), 0)
	o.Patience = either(o.Patience, max(5, o.Epochs/2))
}

// rawSteps is how many steps a flow network on raw bytes takes where 12 epochs would be fewer:
// it starts from nothing, and on a thousand flows 12 epochs taught it little (0.57 of accuracy
// on but_mobile against 0.70 after 40).
const rawSteps = 600

func either[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Apps trains both networks on training samples and calibrates them on validation samples, which
// also decide whether they run in int8.
// When ctx ends it returns the error of ctx; the state of the last whole epoch is in the
// checkpoint then.
func Apps(ctx context.Context, training, validation []*classify.Sample, o AppsOptions) (*AppsResult, error) {
	o.defaults(len(training))
	if len(training) == 0 {
		return nil, errors.New("train: no training samples")
	}
	if len(validation) == 0 {
		return nil, errors.New("train: no validation samples: calibration and thresholds need some")
	}
	weigh(training, o.Arch.Classes, o.Balance)
	weigh(validation, o.Arch.Classes, 0)
	r := newRun(o)
	if err := r.resume(); err != nil {
		return nil, err
	}
	if r.state.Stage == fitting {
		if err := r.fit(ctx, training, validation, o.Epochs); err != nil {
			return nil, err
		}
		r.restoreBest()
		served := append(append([]*classify.Sample(nil), validation...), o.Known...)
		r.calibrate(served)
		if err := r.measureInt8(served); err != nil {
			return nil, err
		}
		if err := r.judgeNovelty(training, served); err != nil {
			return nil, err
		}
		if err := r.spread(served); err != nil {
			return nil, err
		}
		if err := r.evaluate(); err != nil {
			return nil, err
		}
		if o.Refit {
			r.startRefit()
		}
	}
	if r.state.Stage == refitting {
		all := append(append([]*classify.Sample(nil), training...), validation...)
		weigh(all, o.Arch.Classes, o.Balance)
		if err := r.fit(ctx, all, nil, o.Epochs); err != nil {
			return nil, err
		}
		if err := r.measureInt8(append(append([]*classify.Sample(nil), validation...), o.Known...)); err != nil {
			return nil, err
		}
		if err := r.refitNovelty(all); err != nil {
			return nil, err
		}
	}
	m, err := classify.NewModel(r.state.Settings, o.Labels, r.params)
	if err != nil {
		return nil, err
	}
	return &AppsResult{Model: m, Evaluation: r.state.Evaluation, History: r.state.History, Best: r.state.Best, Resumed: r.resumed}, nil
}

// weigh sets the samples' weights by the frequency of their class to the power of −balance, with a
// mean of 1.
func weigh(samples []*classify.Sample, classes int, balance float64) {
	counts := make([]float64, classes)
	for _, s := range samples {
		counts[s.Class]++
	}
	sum := 0.0
	for _, n := range counts {
		if n > 0 {
			sum += n * math.Pow(n, -balance)
		}
	}
	for _, s := range samples {
		s.Weight = float32(math.Pow(counts[s.Class], -balance) * float64(len(samples)) / sum)
	}
}

// run is a training run.
type run struct {
	o        AppsOptions
	main     *classify.Network
	params   []*nn.Param
	replicas *nn.Replicas[*classify.Network]
	adam     *nn.Adam
	best     [][]float32 // weights of the best epoch
	state    state
	resumed  int
}

func newRun(o AppsOptions) *run {
	build := func() *classify.Network { return classify.NewNetwork(o.Arch) }
	r := &run{o: o, main: build()}
	r.state.Settings = classify.Settings{Arch: o.Arch, Tunnels: o.Tunnels, PacketTemperature: 1, FlowTemperature: 1}
	r.params = r.main.Params()
	nn.Init(r.params, o.Seed)
	r.replicas = nn.NewReplicas(r.main, build, o.Workers)
	r.adam = nn.NewAdam(r.params, o.Decay)
	return r
}

// evaluate lets the caller judge the validated model.
func (r *run) evaluate() error {
	if r.o.Evaluate == nil {
		return nil
	}
	m, err := classify.NewModel(r.state.Settings, r.o.Labels, r.params)
	if err != nil {
		return err
	}
	r.state.Evaluation, err = r.o.Evaluate(m)
	return err
}

// startRefit begins again from fresh weights for the second training.
func (r *run) startRefit() {
	nn.Init(r.params, r.o.Seed)
	build := func() *classify.Network { return classify.NewNetwork(r.o.Arch) }
	r.replicas = nn.NewReplicas(r.main, build, r.o.Workers)
	r.adam = nn.NewAdam(r.params, r.o.Decay)
	r.state.Stage, r.state.Epoch = refitting, 0
}

// fit trains until the given epoch, or until validation stops getting better.
func (r *run) fit(ctx context.Context, training, validation []*classify.Sample, until int) error {
	perEpoch := (len(training) + r.o.Batch - 1) / r.o.Batch
	total := uint64(r.o.Epochs * perEpoch)
	rate := nn.CosineRate(r.o.Rate, r.o.Rate/100, min(total/20, uint64(perEpoch)), total)
	order := make([]*classify.Sample, len(training))
	stop := func() bool { return validation != nil && r.state.Epoch-r.state.Best >= r.o.Patience }
	for r.state.Epoch < until && !stop() {
		start := time.Now()
		e := Epoch{Number: r.state.Epoch + 1, Refit: r.state.Stage == refitting}
		// The order is a function of seed and epoch alone, so that a resumed run repeats it.
		copy(order, training)
		shuffle := rand.New(nn.NewRand(r.o.Seed<<20 + uint64(e.Number)))
		shuffle.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for b := 0; b < perEpoch; b++ {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("train: interrupted in epoch %d: %w", e.Number, err)
			}
			lo, hi := b*len(order)/perEpoch, (b+1)*len(order)/perEpoch
			e.Loss += r.step(order[lo:hi], rate)
			if r.o.OnStep != nil {
				r.o.OnStep(b+1, perEpoch)
			}
		}
		e.Loss /= float64(perEpoch)
		if math.IsNaN(e.Loss) || math.IsInf(e.Loss, 0) {
			return fmt.Errorf("train: the loss of epoch %d is %v: try a lower learning rate than %g", e.Number, e.Loss, r.o.Rate)
		}
		better := false
		if validation != nil {
			better = r.validate(&e, validation)
		}
		r.state.Epoch = e.Number
		e.Seconds = time.Since(start).Seconds()
		r.state.History = append(r.state.History, e)
		if better {
			r.state.Best = e.Number
			r.keepBest()
		}
		if err := r.save(); err != nil {
			return err
		}
		if r.o.OnEpoch != nil {
			r.o.OnEpoch(e)
		}
	}
	return nil
}

// step trains on one batch and returns its loss.
func (r *run) step(batch []*classify.Sample, rate nn.Schedule) float64 {
	total := 0.0
	for _, s := range batch {
		total += float64(s.Weight)
	}
	step := r.adam.Steps()
	p := nn.Pass{Seed: r.o.Seed, Step: step}
	loss := r.replicas.Train(p, len(batch), r.o.Shard, func(n *classify.Network, p nn.Pass, lo, hi int) float64 {
		return n.Train(p, batch[lo:hi], total, r.o.Smoothing)
	})
	r.replicas.Step(r.adam, 1, rate(step))
	return loss
}

// validate fills in the validation part of e and reports whether it is the best so far. Flows are
// judged after their last packet, packets each alone. What counts is accuracy and macro-F1: the loss
// is at its least long before, when the network is right less often but modest about it, and
// modesty is what the temperature sees to; accuracy alone may be that of the commonest class
// (docs/rationale.md).
func (r *run) validate(e *Epoch, samples []*classify.Sample) bool {
	packets, flows := r.predict(samples)
	e.PacketLoss, e.PacketAccuracy, e.PacketF1 = packets.loss(1), packets.accuracy(), packets.macroF1()
	e.FlowLoss, e.FlowAccuracy, e.FlowF1 = flows.loss(1), flows.accuracy(), flows.macroF1()
	score := e.FlowAccuracy + e.FlowF1
	if !r.o.Arch.Flow {
		score = e.PacketAccuracy + e.PacketF1
	}
	if score < r.state.BestScore {
		return false
	}
	r.state.BestScore = score
	return true
}

func (r *run) keepBest() {
	if r.best == nil {
		r.best = make([][]float32, len(r.params))
	}
	for i, p := range r.params {
		r.best[i] = append(r.best[i][:0], p.Value...)
	}
}

func (r *run) restoreBest() {
	for i, p := range r.params {
		copy(p.Value, r.best[i])
	}
}
