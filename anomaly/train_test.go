package anomaly

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/nn/safetensors"
	"github.com/weirnet/weir/window"
)

// bits is everything a model consists of, to compare two.
func bits(t *testing.T, m *Model) string {
	t.Helper()
	settings, weights, err := m.Save()
	if err != nil {
		t.Fatal(err)
	}
	return string(settings) + fmt.Sprint(weights)
}

func TestTrainingIsDeterministic(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		segments := [][]window.Vector{benign(1, 100), benign(2, 61)}
		o := quick(profile)
		o.Workers = 1
		want := bits(t, mustTrain(t, segments, o))
		o.Workers = 3
		if bits(t, mustTrain(t, segments, o)) != want {
			t.Error("three workers train another model than one")
		}
		o.Seed++
		if bits(t, mustTrain(t, segments, o)) == want {
			t.Error("another seed trains the same model")
		}
	})
}

// Interrupted after any epoch and gone on from the checkpoint, training ends in the same bits.
func TestResume(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		segments := [][]window.Vector{benign(1, 60), benign(2, 41)}
		o := quick(profile)
		o.Epochs = 2
		var states []*safetensors.File
		var epochs []Epoch
		o.OnEpoch = func(e Epoch) { epochs = append(epochs, e) }
		o.Checkpoint = func(f *safetensors.File) error {
			states = append(states, clone(f))
			return nil
		}
		want := bits(t, mustTrain(t, segments, o))
		if len(epochs) != len(states) || len(epochs) != epochs[0].Stages*2 {
			t.Fatalf("%d epochs told, %d checkpoints, want %d of each", len(epochs), len(states), epochs[0].Stages*2)
		}
		for i, e := range epochs {
			if !(e.Loss > 0) || e.Stage != i/2+1 || e.Number != i%2+1 || e.Of != 2 {
				t.Errorf("epoch %d: got %+v", i, e)
			}
			if none := e.Stage == 6; math.IsNaN(e.HeldOut) != none {
				t.Errorf("stage %d: loss of the windows held out is %v", e.Stage, e.HeldOut)
			}
		}
		o.OnEpoch, o.Checkpoint = nil, nil
		for i, state := range states {
			o.Resume = state
			if bits(t, mustTrain(t, segments, o)) != want {
				t.Errorf("gone on after epoch %d: another model", i+1)
			}
		}

		o.Seed++
		if _, err := Train(context.Background(), segments, o); !errors.Is(err, ErrOtherRun) {
			t.Errorf("another seed: got error %v, want ErrOtherRun", err)
		}
		o.Seed--
		for what, spoil := range map[string]func(f *safetensors.File){
			"stage": func(f *safetensors.File) { f.Metadata[metaStage] = "99" },
			"epoch": func(f *safetensors.File) { f.Metadata[metaEpoch] = "one" },
			"adam":  func(f *safetensors.File) { delete(f.Tensors, "adam.steps") },
			"lstm":  func(f *safetensors.File) { delete(f.Tensors, "lstm.weight_ih_l0") },
		} {
			o.Resume = clone(states[0])
			spoil(o.Resume)
			if _, err := Train(context.Background(), segments, o); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("checkpoint with a spoilt %s: got error %v", what, err)
			}
		}
	})
}

func clone(f *safetensors.File) *safetensors.File {
	c := &safetensors.File{Metadata: map[string]string{}, Tensors: map[string]safetensors.Tensor{}}
	for k, v := range f.Metadata {
		c.Metadata[k] = v
	}
	for k, v := range f.Tensors {
		c.Tensors[k] = safetensors.Tensor{Shape: v.Shape, Data: append([]float32(nil), v.Data...)}
	}
	return c
}

func TestTrainingStops(t *testing.T) {
	o := quick(Default)
	ctx, cancel := context.WithCancel(context.Background())
	o.OnEpoch = func(Epoch) { cancel() }
	if _, err := Train(ctx, [][]window.Vector{benign(1, 100)}, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got error %v", err)
	}
	full := errors.New("disk full")
	o.OnEpoch = nil
	o.Checkpoint = func(*safetensors.File) error { return full }
	if _, err := Train(context.Background(), [][]window.Vector{benign(1, 100)}, o); !errors.Is(err, full) {
		t.Errorf("checkpoint fails: got error %v", err)
	}
}

func TestTrainRefuses(t *testing.T) {
	good := [][]window.Vector{benign(1, 100)}
	bad := benign(1, 100)
	bad[50][3] = math.NaN()
	var alone [][]window.Vector
	for _, v := range benign(1, 60) {
		alone = append(alone, []window.Vector{v})
	}
	for _, test := range []struct {
		segments [][]window.Vector
		change   func(*Options)
		want     string
	}{
		{nil, func(*Options) {}, "too few"},
		{[][]window.Vector{benign(1, MinWindows-1)}, func(*Options) {}, "too few"},
		{[][]window.Vector{bad}, func(*Options) {}, "ttl_mean of window 50 is NaN"},
		{alone, func(o *Options) { o.Profile = Paper }, "in a row"},
		{good, func(o *Options) { o.Profile = "best" }, "profile"},
		{good, func(o *Options) { o.Length = 0 }, "length"},
		{good, func(o *Options) { o.Hidden = -1 }, "hidden"},
		{good, func(o *Options) { o.FalseAlarms = 1 }, "rate"},
		{good, func(o *Options) { o.Threshold = -1 }, "threshold"},
	} {
		o := quick(Default)
		test.change(&o)
		if _, err := Train(context.Background(), test.segments, o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got error %v, want one with %q", err, test.want)
		}
	}
}

// Windows that are all the same are a network too.
func TestTrainOnSilence(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		o := quick(profile)
		o.Epochs = 0
		m := mustTrain(t, [][]window.Vector{make([]window.Vector, 50)}, o)
		d := m.NewDetector()
		for i := range 5 {
			if r := d.Score(window.Vector{}); r.Anomalous {
				t.Errorf("silence is anomalous at window %d: score %v, threshold %v", i, r.Score, r.Threshold)
			}
		}
		if r := d.Score(benign(1, 3)[2]); !r.Anomalous {
			t.Errorf("traffic after silence is not anomalous: score %v, threshold %v", r.Score, r.Threshold)
		}
	})
}

// No sequence may reach into another segment or over the edge of the block left out.
func TestSequencesStayInside(t *testing.T) {
	segments := [][]window.Vector{benign(1, 23), benign(2, 17)}
	for _, profile := range []string{Paper, Default} {
		o := quick(profile)
		o.defaults()
		tr, err := newTrainer(segments, &o)
		if err != nil {
			t.Fatal(err)
		}
		for stage := range tr.stages {
			inner, outer, _ := tr.sides(stage)
			if got := len(inner.v) + len(outer.v); got != 40 {
				t.Errorf("%s, stage %d: %d windows in all, want 40", profile, stage, got)
			}
			for _, p := range []*part{inner, outer} {
				for _, seq := range p.seqs {
					var at []int // places of the sequence's windows in the stream
					for _, row := range seq {
						if row >= 0 {
							at = append(at, indexOf(tr.windows, p.v[row]))
						} else if profile == Paper || len(at) > 0 {
							t.Fatalf("%s, stage %d: sequence %v", profile, stage, seq)
						}
					}
					for i := 1; i < len(at); i++ {
						if at[i] != at[i-1]+1 || at[i] == 23 {
							t.Errorf("%s, stage %d: windows %v follow one another", profile, stage, at)
						}
					}
				}
				if profile == Default && len(p.seqs) != len(p.v) {
					t.Errorf("stage %d: %d sequences of %d windows", stage, len(p.seqs), len(p.v))
				}
			}
		}
	}
}

func indexOf(windows []window.Vector, v *window.Vector) int {
	for i := range windows {
		if &windows[i] == v {
			return i
		}
	}
	return -1
}

func TestThreshold(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64((i*37)%100 + 1) // 1 … 100 in some order
	}
	tied := append(make([]float64, 90), 5, 5, 5, 5, 5, 5, 5, 5, 5, 9)
	three := 3.0 // a variable, so that three·margin is rounded like any product of floats
	for _, test := range []struct {
		scores []float64
		wanted float64
		want   Threshold
		honest bool
	}{
		{hundred, 0.05, Threshold{Value: 95.5, Wanted: 0.05, Rate: 0.05, PerDay: 864, Windows: 100, Above: 5}, true},
		{hundred, 0.01, Threshold{Value: 99.5, Wanted: 0.01, Rate: 0.01, PerDay: 172.8, Windows: 100, Above: 1}, true},
		{hundred, 0.001, Threshold{Value: 105, Wanted: 0.001, Rate: 0.01, PerDay: 172.8, Windows: 100}, false},
		{tied, 0.05, Threshold{Value: 5.25, Wanted: 0.05, Rate: 0.05, PerDay: 864, Windows: 100, Above: 1}, true},
		{[]float64{2, 2, 2, 2}, 0.5, Threshold{Value: 2.1, Wanted: 0.5, Rate: 0.5, PerDay: 8640, Windows: 4}, true},
		{[]float64{1, 2, three, 400}, 0.25, Threshold{Value: three * margin, Wanted: 0.25, Rate: 0.25, PerDay: 4320, Windows: 4, Above: 1}, true},
	} {
		got := fitThreshold(test.scores, test.wanted, 5*time.Second)
		if !reflect.DeepEqual(got, test.want) || got.Honest() != test.honest {
			t.Errorf("wanted rate %v: got %+v, honest %v; want %+v, %v", test.wanted, got, got.Honest(), test.want, test.honest)
		}
		if says := got.String(); strings.Contains(says, "cannot") == test.honest {
			t.Errorf("wanted rate %v: says %q", test.wanted, says)
		}
	}
	if got := fitThreshold(make([]float64, 10), 0.1, time.Second); !(got.Value > 0) || got.Above != 0 {
		t.Errorf("scores of 0: got %+v", got)
	}
}

func TestThresholdOptions(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		segments := [][]window.Vector{benign(1, 200)}
		o := quick(profile)
		o.Threshold = 1.25
		m := mustTrain(t, segments, o)
		if got := m.Threshold; got.Value != 1.25 || !got.Given || !got.Honest() {
			t.Errorf("given threshold: got %+v", got)
		}
		o.Threshold, o.PerDay = 0, 1
		m = mustTrain(t, segments, o)
		if got := m.Threshold; got.Honest() || got.Above != 0 || got.Wanted != 1.0/17280 {
			t.Errorf("one alarm a day from 200 windows of 5 s: got %+v", got)
		}
	})
}
