package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/drift"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/nn"
)

// smallArch is the profile default, small enough for a second.
func smallArch() classify.Architecture {
	return classify.Architecture{
		Classes: 3, Packets: 3, Normaliser: classify.Normaliser{Bytes: 32, Collapse: true, Runs: true},
		Encoding: 8, ByteSize: 4, Filters: 4, Width: 4, Stride: 4, Grams: 64, GramSize: 4, GramDrop: 0.2,
		Flow: true, LengthSize: 4, Hidden: 8, Layers: 1, Dropout: 0.1, ByteDrop: 0.1, Early: 0.95,
	}
}

// speech makes n flows of each of three applications, told apart by a word that stands anywhere.
func speech(a *classify.Architecture, n int, seed uint64) []*classify.Sample {
	words := []string{"HELO", "QUIT", "LIST"}
	r := nn.NewRand(seed)
	var samples []*classify.Sample
	for i := range n * len(words) {
		class := i % len(words)
		payloads := make([]flow.Payload, 1+r.Uint64()%3)
		for k := range payloads {
			data := make([]byte, 20)
			for j := range data {
				data[j] = byte('a' + r.Uint64()%26)
			}
			copy(data[r.Uint64()%16:], words[class])
			payloads[k] = flow.Payload{Nanos: int64(k) * 1e6, Dir: flow.Direction(k % 2), Len: len(data), Data: data}
		}
		samples = append(samples, &classify.Sample{Inputs: a.Inputs(payloads, 6), Class: int32(class), Group: int32(class)})
	}
	return samples
}

func smallRun(workers int) AppsOptions {
	return AppsOptions{
		Arch: smallArch(), Labels: []string{"smtp", "pop", "ftp"},
		Epochs: 3, Batch: 24, Shard: 8, Rate: 0.01, Seed: 5, Workers: workers, Refit: true,
	}
}

// bits are all tensors of a model.
func bits(t *testing.T, m *classify.Model) map[string][]float32 {
	t.Helper()
	_, weights, err := m.Save()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float32{}
	for name, w := range weights {
		all[name] = w.Data
	}
	return all
}

func sameBits(t *testing.T, what string, got, want *classify.Model) {
	t.Helper()
	a, b := bits(t, got), bits(t, want)
	if len(a) != len(b) {
		t.Errorf("%s: %d tensors, want %d", what, len(a), len(b))
	}
	for name := range b {
		if !slices.Equal(a[name], b[name]) {
			t.Errorf("%s: tensor %s differs", what, name)
		}
	}
	if got.PacketTemperature != want.PacketTemperature || got.FlowTemperature != want.FlowTemperature {
		t.Errorf("%s: temperatures %v and %v, want %v and %v", what, got.PacketTemperature, got.FlowTemperature, want.PacketTemperature, want.FlowTemperature)
	}
	if !slices.Equal(got.Novelty.Thresholds, want.Novelty.Thresholds) {
		t.Errorf("%s: novelty from %v on, want %v", what, got.Novelty.Thresholds, want.Novelty.Thresholds)
	}
}

func TestAppsLearns(t *testing.T) {
	o := smallRun(2)
	o.Epochs, o.Refit = 20, false
	training, validation := speech(&o.Arch, 150, 1), speech(&o.Arch, 40, 2)
	result, err := Apps(context.Background(), training, validation, o)
	if err != nil {
		t.Fatal(err)
	}
	engine, right := result.Model.Engine(), 0
	for _, s := range validation {
		if result.Model.Judge(engine, s.Inputs).Class == s.Class {
			right++
		}
	}
	if share := float64(right) / float64(len(validation)); share < 0.9 {
		t.Errorf("%.2f of flows told apart by a word are right, want 0.9", share)
	}
	// What service is held against is what the model says of validation: the same bins, filled alike.
	m := result.Model
	confidences, novelty := make([]float64, 0, 40), make([]float64, 0, 40)
	for _, s := range validation {
		v := m.Judge(engine, s.Inputs)
		confidences, novelty = append(confidences, float64(v.Confidence)), append(novelty, v.Novelty)
	}
	if got, want := m.Confidences, drift.Of(confidences); !reflect.DeepEqual(got, want) {
		t.Errorf("confidences of validation are stored as %+v, want %+v", got, want)
	}
	if got, want := m.Strangeness, drift.Of(novelty); !reflect.DeepEqual(got, want) {
		t.Errorf("novelty of validation is stored as %+v, want %+v", got, want)
	}
	if h := result.History[result.Best-1]; h.FlowAccuracy < 0.9 {
		t.Errorf("the best epoch, %d, had accuracy %.2f", result.Best, h.FlowAccuracy)
	}
}

func TestAppsOfAnyNumberOfWorkers(t *testing.T) {
	run := func(workers int) *classify.Model {
		o := smallRun(workers)
		result, err := Apps(context.Background(), speech(&o.Arch, 30, 1), speech(&o.Arch, 10, 2), o)
		if err != nil {
			t.Fatal(err)
		}
		return result.Model
	}
	one := run(1)
	for _, workers := range []int{2, 5} {
		sameBits(t, "trained by several workers", run(workers), one)
	}
}

// A run that was interrupted at any step and started again gives the bits of one that was not.
func TestAppsResumes(t *testing.T) {
	train := func(ctx context.Context, o AppsOptions) (*AppsResult, error) {
		o.Known = speech(&o.Arch, 5, 3)
		return Apps(ctx, speech(&o.Arch, 30, 1), speech(&o.Arch, 10, 2), o)
	}
	whole, err := train(context.Background(), smallRun(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []int{2, 6, 13, 17} { // of some 24 steps; the refit begins at step 13
		o := smallRun(1)
		o.Checkpoint, o.Fingerprint = filepath.Join(t.TempDir(), "run", "apps.safetensors"), "this data"
		ctx, cancel := context.WithCancel(context.Background())
		steps := 0
		o.OnStep = func(int, int) {
			if steps++; steps == after {
				cancel()
			}
		}
		if _, err := train(ctx, o); !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted after step %d: error %v, want that of the context", after, err)
		}
		cancel()
		o.OnStep = nil
		resumed, err := train(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if want := (after - 1) / 4; resumed.Resumed != want && after < 13 {
			t.Errorf("interrupted after step %d: %d epochs taken over, want %d", after, resumed.Resumed, want)
		}
		sameBits(t, "resumed", resumed.Model, whole.Model)
		again, err := train(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, "finished before", again.Model, whole.Model)
	}
}

// A checkpoint of other data is not gone on from; a broken one is named.
func TestAppsCheckpointOfAnotherRun(t *testing.T) {
	o := smallRun(1)
	o.Refit = false
	o.Checkpoint, o.Fingerprint = filepath.Join(t.TempDir(), "apps.safetensors"), "old data"
	ctx, cancel := context.WithCancel(context.Background())
	o.OnEpoch = func(Epoch) { cancel() }
	training, validation := speech(&o.Arch, 30, 1), speech(&o.Arch, 10, 2)
	if _, err := Apps(ctx, training, validation, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want that of the context", err)
	}
	o.OnEpoch, o.Fingerprint = nil, "new data"
	result, err := Apps(context.Background(), training, validation, o)
	if err != nil {
		t.Fatal(err)
	}
	if result.Resumed != 0 {
		t.Errorf("%d epochs of another run taken over", result.Resumed)
	}
	if err := os.WriteFile(o.Checkpoint, []byte("no tensors"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Apps(context.Background(), training, validation, o); err == nil {
		t.Error("a broken checkpoint is taken")
	}
}

func TestAppsWithoutSamples(t *testing.T) {
	o := smallRun(1)
	samples := speech(&o.Arch, 2, 1)
	if _, err := Apps(context.Background(), nil, samples, o); err == nil {
		t.Error("training without samples gives no error")
	}
	if _, err := Apps(context.Background(), samples, nil, o); err == nil {
		t.Error("training without validation gives no error")
	}
}

func TestWeigh(t *testing.T) {
	samples := []*classify.Sample{{Class: 0}, {Class: 0}, {Class: 0}, {Class: 0}, {Class: 2}}
	tests := []struct {
		balance      float64
		common, rare float32
	}{
		{0, 1, 1},
		{1, 5.0 / 8, 5.0 / 2}, // either class weighs half of all
		{0.5, 5.0 / 6, 5.0 / 3},
	}
	for _, test := range tests {
		weigh(samples, 3, test.balance)
		if got := samples[0].Weight; got != test.common {
			t.Errorf("balance %v: weight %v of the common class, want %v", test.balance, got, test.common)
		}
		if got := samples[4].Weight; got != test.rare {
			t.Errorf("balance %v: weight %v of the rare class, want %v", test.balance, got, test.rare)
		}
	}
}
