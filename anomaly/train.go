package anomaly

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
	"github.com/weirnet/weir/window"
)

// Options says how a detector is trained. Zero values take the defaults in brackets.
type Options struct {
	Profile string         // [Default]
	Length  time.Duration  // of a window; must be given
	Home    []netip.Prefix // that the windows were filtered by; kept in the settings
	Hidden  int            // size of the LSTM's state [64]
	// Epochs is how many times the network sees each window [Paper: 20 for windows of 30 s and
	// longer, 30 for 5 s, 100 for shorter ones, as in the paper; Default: 10, more where that
	// would be fewer than 1500 steps].
	Epochs int
	Batch  int     // sequences per step [64]
	Rate   float64 // peak learning rate [0.002]
	Seed   uint64

	// The threshold: as given; or one that keeps a promise of so many false alarms a day, or refuses it (fitPromise); or
	// such that at most so many benign windows reach it, as a rate or per day. The first of these that is not zero counts.
	Threshold   float64
	Promise     float64
	PerDay      float64
	FalseAlarms float64 // share of windows [0.01]

	Workers int         // goroutines; does not change the result [GOMAXPROCS]
	OnEpoch func(Epoch) // called after every epoch
	// Checkpoint is called after every epoch with a state that Resume goes on from. Its
	// tensors are valid until it returns. An error ends the training.
	Checkpoint func(*safetensors.File) error
	Resume     *safetensors.File // nil: from the start
}

// Epoch is one pass over the training windows of one stage.
type Epoch struct {
	Stage, Stages int     // the profile Default trains on five sixths of the windows five times, then on all
	Number, Of    int     // from 1
	Loss          float64 // mean squared error of the scaled windows in training
	HeldOut       float64 // the same of the windows left out; NaN when none were
}

// ErrOtherRun is returned when Resume is the state of other windows or options.
var ErrOtherRun = errors.New("anomaly: the checkpoint is of another training run")

// MinWindows is the fewest benign windows that a detector can be trained on.
const MinWindows = 30

// blocks is how many contiguous parts take turns at being left out.
const blocks = 5

// Train fits a detector to benign windows. Each segment is windows in a row, such as those of one
// capture; across segments no window follows another. The same windows and options give the same
// model, bit for bit.
//
// Profile Default cuts all windows into five contiguous blocks. Each is scored by what was fitted
// to the other four; those scores, of windows not trained on, give the variances, the scales and
// the threshold. The detector itself is then fitted to all windows. (Scored by the network that
// was trained on them, windows look more usual than later ones will, and the threshold is too
// low.)
//
// Profile Paper trains on the first four fifths and finds the threshold on the last; with a given
// threshold it trains on everything.
func Train(ctx context.Context, segments [][]window.Vector, o Options) (*Model, error) {
	o.defaults()
	t, err := newTrainer(segments, &o)
	if err != nil {
		return nil, err
	}
	if o.Resume != nil {
		if err := t.resume(o.Resume); err != nil {
			return nil, err
		}
	}
	for t.stage < t.stages {
		if err := t.run(ctx); err != nil {
			return nil, err
		}
	}
	return t.model()
}

func (o *Options) defaults() {
	if o.Profile == "" {
		o.Profile = Default
	}
	if o.Hidden == 0 {
		o.Hidden = 64
	}
	if o.Batch == 0 {
		o.Batch = 64
	}
	if o.Rate == 0 {
		o.Rate = 0.002
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	switch {
	case o.PerDay > 0 && o.Length > 0:
		o.FalseAlarms = o.PerDay / perDay(o.Length)
	case o.FalseAlarms == 0:
		o.FalseAlarms = 0.01
	}
}

// minSteps is how many steps the profile Default takes at the least in each stage.
const minSteps = 1500

func (o *Options) epochs(sequences int) int {
	switch {
	case o.Epochs > 0:
		return o.Epochs
	case o.Profile == Paper && o.Length >= 30*time.Second:
		return 20
	case o.Profile == Paper && o.Length >= 5*time.Second:
		return 30
	case o.Profile == Paper:
		return 100
	}
	perEpoch := (sequences + o.Batch - 1) / o.Batch
	return max(10, (minSteps+perEpoch-1)/perEpoch)
}

// trainer is a training run: stages one after the other, each a network fitted to the windows
// outside one block.
type trainer struct {
	o           *Options
	windows     []window.Vector // of all segments
	first       []bool          // the window starts a segment
	stages      int
	fingerprint string

	stage, epoch int        // where the run is: whole stages done, and whole epochs of this one
	nets         []*network // of the stages done, and of the one that runs
	adam         *nn.Adam   // of the stage that runs; nil before its start
}

func newTrainer(segments [][]window.Vector, o *Options) (*trainer, error) {
	t := &trainer{o: o, stages: 1}
	for _, s := range segments {
		for i := range s {
			t.windows = append(t.windows, s[i])
			t.first = append(t.first, i == 0)
		}
	}
	switch {
	case o.Profile != Default && o.Profile != Paper:
		return nil, fmt.Errorf("anomaly: no profile %q: want %s or %s", o.Profile, Default, Paper)
	case o.Length <= 0:
		return nil, errors.New("anomaly: the window length is not given")
	case o.Hidden < 1 || o.Hidden > maxHidden || o.Batch < 1 || o.Epochs < 0 || o.Rate <= 0:
		return nil, fmt.Errorf("anomaly: hidden size %d, batch %d, epochs %d, rate %v", o.Hidden, o.Batch, o.Epochs, o.Rate)
	case o.Promise > 0 && o.Threshold == 0 && o.Promise*float64(len(t.windows))/perDay(o.Length) < leastAlarms:
		_, err := fitPromise(make([]float64, len(t.windows)), o.Promise, o.Length) // says why, before anything is trained
		return nil, err
	case o.Threshold < 0 || o.FalseAlarms <= 0 || o.FalseAlarms >= 1:
		return nil, fmt.Errorf("anomaly: threshold %v, false-alarm rate %v", o.Threshold, o.FalseAlarms)
	case len(t.windows) < MinWindows:
		return nil, fmt.Errorf("anomaly: %d benign windows are too few to learn from: want at least %d", len(t.windows), MinWindows)
	}
	for i := range t.windows {
		for j, x := range t.windows[i] {
			if !(x >= 0) || math.IsInf(x, 0) {
				return nil, fmt.Errorf("anomaly: %s of window %d is %v", window.Names[j], i, x)
			}
		}
	}
	if o.Profile == Default {
		t.stages = blocks + 1
	}
	t.fingerprint = t.sum()
	return t, nil
}

// heldOut returns the windows [lo, hi) that a stage does not train on.
func (t *trainer) heldOut(stage int) (lo, hi int) {
	n := len(t.windows)
	switch {
	case t.o.Profile == Paper && t.o.Threshold == 0:
		return n - n/5, n
	case t.o.Profile == Paper || stage == blocks:
		return n, n
	}
	return n * stage / blocks, n * (stage + 1) / blocks
}

// part is the windows of one side of a stage, scaled, and the sequences that end in each.
type part struct {
	x    []float32        // (windows, features)
	seqs [][steps]int     // rows of x; -1 stands for a usual window, all zeros
	v    []*window.Vector // unscaled
}

// side collects the windows of [0, n) for which in is true. A sequence does not reach across the
// start of a segment or the edge of a block: profile Default begins it with usual windows, as the
// detector does, profile Paper has no such sequence.
func (t *trainer) side(in func(i int) bool) *part {
	p := new(part)
	run := 0 // windows in a row so far
	for i := range t.windows {
		if !in(i) {
			run = 0
			continue
		}
		if t.first[i] {
			run = 0
		}
		run++
		row := len(p.v)
		p.v = append(p.v, &t.windows[i])
		if run < steps && t.o.Profile == Paper {
			continue
		}
		var seq [steps]int
		for k := range seq {
			back := steps - 1 - k
			if seq[k] = row - back; back >= run {
				seq[k] = -1
			}
		}
		p.seqs = append(p.seqs, seq)
	}
	return p
}

func (p *part) scale(s *Scaling) {
	p.x = make([]float32, len(p.v)*features)
	for i, v := range p.v {
		s.apply(p.x[i*features:(i+1)*features], v)
	}
}

// gather writes the windows of some sequences, (len(order), steps, features).
func (p *part) gather(dst []float32, order []int) {
	for k, at := range order {
		for s, row := range p.seqs[at] {
			to := dst[(k*steps+s)*features:][:features]
			if row < 0 {
				clear(to)
			} else {
				copy(to, p.x[row*features:])
			}
		}
	}
}

// sides returns the windows that a stage trains on and those it leaves out, scaled by the former.
func (t *trainer) sides(stage int) (inner, outer *part, s Scaling) {
	lo, hi := t.heldOut(stage)
	inner = t.side(func(i int) bool { return i < lo || i >= hi })
	outer = t.side(func(i int) bool { return i >= lo && i < hi })
	vectors := make([]window.Vector, len(inner.v))
	for i, v := range inner.v {
		vectors[i] = *v
	}
	if s = standard(vectors); t.o.Profile == Paper {
		s = minMax(vectors)
	}
	inner.scale(&s)
	outer.scale(&s)
	return inner, outer, s
}

// shardSize is how many sequences of a batch one worker takes at a time.
const shardSize = 16

// run trains the network of the current stage.
func (t *trainer) run(ctx context.Context) error {
	inner, outer, _ := t.sides(t.stage)
	if len(inner.seqs) == 0 {
		return errors.New("anomaly: no three benign windows in a row")
	}
	if t.adam == nil {
		t.begin()
	}
	net := t.nets[t.stage]
	replicas := nn.NewReplicas(net, func() *network { return newNetwork(t.o.Hidden) }, t.o.Workers)
	n := len(inner.seqs)
	epochs := t.o.epochs(n)
	perEpoch := (n + t.o.Batch - 1) / t.o.Batch
	schedule := nn.CosineRate(t.o.Rate, t.o.Rate/50, 0, uint64(epochs*perEpoch))
	order := make([]int, n)
	x, target := make([]float32, t.o.Batch*steps*features), make([]float32, t.o.Batch*steps*features)
	lengths := slices.Repeat([]int{steps}, t.o.Batch)
	for t.epoch < epochs {
		for i := range order {
			order[i] = i
		}
		shuffle := rand.New(rand.NewPCG(t.o.Seed, uint64(t.stage)<<32|uint64(t.epoch)))
		shuffle.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
		loss := 0.0
		for at := 0; at < n; at += t.o.Batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			batch := order[at:min(at+t.o.Batch, n)]
			scale := 1 / float64(len(batch)*steps*features)
			sum := replicas.Train(nn.Pass{Seed: t.o.Seed, Step: t.adam.Steps()}, len(batch), shardSize,
				func(m *network, p nn.Pass, lo, hi int) float64 {
					from, to := lo*steps*features, hi*steps*features
					inner.gather(x[from:to], batch[lo:hi])
					copy(target[from:to], x[from:to])
					y := m.forward(p, x[from:to], lengths[:hi-lo])
					l := nn.MSE(y, target[from:to], features, nil, scale)
					m.backward(y)
					return l
				})
			loss += sum * float64(len(batch)) / float64(n)
			replicas.Step(t.adam, 1, schedule(t.adam.Steps()))
		}
		t.epoch++
		if t.o.OnEpoch != nil {
			t.o.OnEpoch(Epoch{t.stage + 1, t.stages, t.epoch, epochs, loss, meanError(net, outer)})
		}
		if t.o.Checkpoint != nil {
			if err := t.o.Checkpoint(t.state()); err != nil {
				return fmt.Errorf("anomaly: checkpoint: %w", err)
			}
		}
	}
	t.stage++
	t.epoch, t.adam = 0, nil
	return nil
}

// begin makes the network of the current stage.
func (t *trainer) begin() {
	net := newNetwork(t.o.Hidden)
	nn.Init(net.Params(), t.o.Seed+uint64(t.stage))
	t.nets = append(t.nets, net)
	t.adam = nn.NewAdam(net.Params(), 0)
}

// each runs a network, compiled as for a Detector, over all sequences of a part and calls f with the
// windows and what the network made of them, (steps, features) each.
func each(net *network, p *part, f func(seq int, x, y []float32)) {
	const batch = 256
	const size = steps * features
	w := net.compile(batch).NewWorker()
	x := make([]float32, batch*size)
	order := make([]int, 0, batch)
	for at := 0; at < len(p.seqs); at += batch {
		order = order[:0]
		for i := at; i < min(at+batch, len(p.seqs)); i++ {
			order = append(order, i)
		}
		p.gather(x, order)
		for k := range order {
			w.SetFloats(0, k, x[k*size:(k+1)*size])
		}
		w.Run(len(order))
		for k, seq := range order {
			f(seq, x[k*size:(k+1)*size], w.Output(0, k))
		}
	}
}

// meanError is the mean squared error of a part, NaN if it is empty.
func meanError(net *network, p *part) float64 {
	sum := 0.0
	each(net, p, func(_ int, x, y []float32) {
		for i := range x {
			e := float64(x[i]) - float64(y[i])
			sum += e * e
		}
	})
	return sum / float64(len(p.seqs)*steps*features)
}
