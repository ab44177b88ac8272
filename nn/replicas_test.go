package nn_test

import (
	"bytes"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
)

// run trains for some steps, on a new batch in each.
type run struct {
	replicas *nn.Replicas[network]
	adam     *nn.Adam
	shuffle  *nn.Rand
	losses   []float64
}

func newRun(build func() network, workers int) *run {
	main := build()
	nn.Init(main.Params(), 11)
	return &run{replicas: nn.NewReplicas(main, build, workers), adam: nn.NewAdam(main.Params(), 0.01), shuffle: nn.NewRand(1)}
}

func (r *run) train(steps int) {
	for range steps {
		const n, shard = 70, 16
		b := sample(r.replicas.Main, n, r.shuffle.Uint64())
		scale := 1 / r.replicas.Main.total(b)
		pass := nn.Pass{Seed: 5, Step: r.adam.Steps()}
		r.losses = append(r.losses, r.replicas.Train(pass, n, shard, func(m network, p nn.Pass, lo, hi int) float64 {
			part := b.cut(lo, hi, n)
			y := m.forward(p, part)
			loss := m.loss(y, part, scale)
			m.backward(y)
			return loss
		}))
		r.replicas.Step(r.adam, 1, 0.01)
	}
}

// equal reports the first parameter that differs in any bit.
func (r *run) equal(other *run) error {
	if !slices.Equal(r.losses, other.losses) {
		return fmt.Errorf("losses %v and %v", r.losses, other.losses)
	}
	for i, p := range r.replicas.Main.Params() {
		if q := other.replicas.Main.Params()[i]; !slices.Equal(p.Value, q.Value) {
			return fmt.Errorf("%s differs", p.Name)
		}
	}
	return nil
}

// droppingNets are the small networks, the last one with dropout.
func droppingNets() map[string]func() network {
	nets := map[string]func() network{}
	for name, build := range smallNets {
		nets[name] = build
	}
	nets["steps"] = func() network {
		m := smallNets["steps"]().(*stepNet)
		m.drop.Rate = 0.3
		return m
	}
	return nets
}

func TestSameBitsWithAnyWorkers(t *testing.T) {
	for name, build := range droppingNets() {
		t.Run(name, func(t *testing.T) {
			one := newRun(build, 1)
			one.train(4)
			for _, workers := range []int{2, 3, 8} {
				many := newRun(build, workers)
				many.train(4)
				if err := one.equal(many); err != nil {
					t.Errorf("1 and %d workers: %v", workers, err)
				}
			}
		})
	}
}

// A run that is saved, loaded into new memory and continued is the run that was never stopped.
func TestResumeBitForBit(t *testing.T) {
	for name, build := range droppingNets() {
		t.Run(name, func(t *testing.T) {
			whole := newRun(build, 2)
			whole.train(5)

			first := newRun(build, 1)
			first.train(3)
			saved := map[string]safetensors.Tensor{}
			nn.Export(first.replicas.Main.Params(), saved)
			first.adam.Export(saved)
			first.shuffle.Export("shuffle", saved)
			var file bytes.Buffer
			if err := safetensors.Write(&file, &safetensors.File{Tensors: saved}); err != nil {
				t.Fatal(err)
			}
			f, err := safetensors.Parse(file.Bytes())
			if err != nil {
				t.Fatal(err)
			}

			second := newRun(build, 3)
			second.losses = first.losses
			for _, err := range []error{
				nn.Load(second.replicas.Main.Params(), f.Tensors),
				second.adam.Import(f.Tensors),
				second.shuffle.Import("shuffle", f.Tensors),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			second.train(2)
			if err := whole.equal(second); err != nil {
				t.Errorf("interrupted and whole run: %v", err)
			}
		})
	}
}

func TestImportRefuses(t *testing.T) {
	dense := nn.NewDense("d", 2, 3)
	nn.Init(dense.Params(), 1)
	adam := nn.NewAdam(dense.Params(), 0)
	good := func() map[string]safetensors.Tensor {
		tensors := map[string]safetensors.Tensor{}
		nn.Export(dense.Params(), tensors)
		adam.Export(tensors)
		return tensors
	}
	load := func(tensors map[string]safetensors.Tensor) error {
		if err := nn.Load(dense.Params(), tensors); err != nil {
			return err
		}
		return adam.Import(tensors)
	}
	if err := load(good()); err != nil {
		t.Fatal(err)
	}
	zero := float32(0)
	for name, spoil := range map[string]func(map[string]safetensors.Tensor){
		"weight missing": func(ts map[string]safetensors.Tensor) { delete(ts, "d.weight") },
		"weight shape": func(ts map[string]safetensors.Tensor) {
			ts["d.weight"] = safetensors.Tensor{Shape: []int{3, 2}, Data: make([]float32, 6)}
		},
		"weight rank": func(ts map[string]safetensors.Tensor) {
			ts["d.bias"] = safetensors.Tensor{Shape: []int{3, 1}, Data: make([]float32, 3)}
		},
		"weight is NaN": func(ts map[string]safetensors.Tensor) {
			ts["d.bias"] = safetensors.Tensor{Shape: []int{3}, Data: []float32{0, zero / zero, 0}}
		},
		"moment missing": func(ts map[string]safetensors.Tensor) { delete(ts, "adam.v.d.bias") },
		"steps missing":  func(ts map[string]safetensors.Tensor) { delete(ts, "adam.steps") },
		"steps fraction": func(ts map[string]safetensors.Tensor) {
			ts["adam.steps"] = safetensors.Tensor{Shape: []int{4}, Data: []float32{0.5, 0, 0, 0}}
		},
		"steps too large": func(ts map[string]safetensors.Tensor) {
			ts["adam.steps"] = safetensors.Tensor{Shape: []int{4}, Data: []float32{65536, 0, 0, 0}}
		},
	} {
		tensors := good()
		spoil(tensors)
		if err := load(tensors); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Each covers every sample once, in evaluation, whatever the sizes.
func TestEach(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 100} {
		for _, workers := range []int{1, 3} {
			r := newRun(smallNets["window"], workers)
			seen := make([]atomic.Int32, n)
			r.replicas.Each(n, 16, func(_ network, lo, hi int) {
				if hi <= lo || hi-lo > 16 {
					t.Errorf("shard [%d, %d) of %d", lo, hi, n)
				}
				for i := lo; i < hi; i++ {
					seen[i].Add(1)
				}
			})
			for i := range seen {
				if got := seen[i].Load(); got != 1 {
					t.Errorf("sample %d of %d seen %d times", i, n, got)
				}
			}
		}
	}
}

// A replica's forward pass gives the same bits as any other's, at the same time.
func TestEvaluationOnAllReplicas(t *testing.T) {
	for name, build := range smallNets {
		r := newRun(build, 4)
		r.train(1)
		b := sample(r.replicas.Main, 64, 3)
		want := map[int][]float32{}
		for lo := 0; lo < 64; lo += 16 {
			want[lo] = slices.Clone(r.replicas.Main.forward(nn.Pass{}, b.cut(lo, lo+16, 64)))
		}
		r.replicas.Each(64, 16, func(m network, lo, hi int) {
			if got := m.forward(nn.Pass{}, b.cut(lo, hi, 64)); !slices.Equal(got, want[lo]) {
				t.Errorf("%s: samples from %d on differ", name, lo)
			}
		})
	}
}

func TestShareRefuses(t *testing.T) {
	a, b := nn.NewDense("a", 2, 3), nn.NewDense("a", 3, 2)
	nn.Init(a.Params(), 1)
	defer func() {
		if recover() == nil {
			t.Error("models of different names were shared")
		}
	}()
	b.Weight.Name = "b"
	nn.Share(b.Params(), a.Params())
}

// Step gives the bits of ClipGrad and Adam.Step, whatever the workers, with tensors that are cut
// into several pieces and with gradients that are clipped and that are not.
func TestStepOnAllWorkers(t *testing.T) {
	build := func() network { return newSequenceNet(300, 64, 5) }
	for _, limit := range []float64{1e-3, 1e9} {
		plain := newRun(build, 1)
		runs := []*run{newRun(build, 1), newRun(build, 2), newRun(build, 3)}
		for step := range 3 {
			r := nn.NewRand(uint64(step))
			for _, p := range plain.replicas.Main.Params() {
				p.Grad = make([]float32, p.Size())
				nn.Normal(1)(r, p.Grad)
			}
			for _, run := range runs {
				for i, p := range run.replicas.Main.Params() {
					p.Grad = slices.Clone(plain.replicas.Main.Params()[i].Grad)
				}
			}
			norm := nn.ClipGrad(plain.replicas.Main.Params(), limit)
			plain.adam.Step(0.01)
			for _, run := range runs {
				if got := run.replicas.Step(run.adam, limit, 0.01); got != norm {
					t.Errorf("norm %v, want %v", got, norm)
				}
			}
		}
		for _, run := range runs {
			if err := plain.equal(run); err != nil {
				t.Errorf("limit %v: %v", limit, err)
			}
		}
	}
}

// A training step allocates nothing that grows with the batch. (The product takes its scratch
// memory from a pool, which the race detector empties at random.)
func TestStepAllocations(t *testing.T) {
	for name, build := range smallNets {
		r := newRun(build, 1)
		b := sample(r.replicas.Main, 32, 1)
		whole := b.cut(0, 32, 32)
		step := func() {
			r.replicas.Train(nn.Pass{}, 32, 32, func(m network, p nn.Pass, lo, hi int) float64 {
				y := m.forward(p, whole)
				loss := m.loss(y, whole, 1)
				m.backward(y)
				return loss
			})
			r.replicas.Step(r.adam, 1, 0.001)
		}
		step()
		if got := testing.AllocsPerRun(10, step); got > 10 {
			t.Errorf("%s: %v allocations per step, want 10 at most", name, got)
		}
	}
}

func TestStepwiseInferenceAllocatesNothing(t *testing.T) {
	l := nn.NewLSTM("l", 9, 20, 2, 0)
	nn.Init(l.Params(), 1)
	x, h, c := normals(1, 3*9), make([]float32, 3*2*20), make([]float32, 3*2*20)
	if got := testing.AllocsPerRun(10, func() { l.Step(x, h, c) }); got != 0 {
		t.Errorf("%v allocations per step, want none", got)
	}
}
