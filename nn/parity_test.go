package nn_test

import (
	"bytes"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
)

func reference(t *testing.T, name string) map[string]safetensors.Tensor {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return f.Tensors
}

func integers[T int | int32 | uint16](t safetensors.Tensor) []T {
	if t.Data == nil {
		return nil
	}
	x := make([]T, len(t.Data))
	for i, v := range t.Data {
		x[i] = T(v)
	}
	return x
}

// under returns the tensors whose names start with prefix, without it.
func under(prefix string, tensors map[string]safetensors.Tensor) map[string]safetensors.Tensor {
	found := map[string]safetensors.Tensor{}
	for name, tensor := range tensors {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			found[rest] = tensor
		}
	}
	return found
}

// Values, gradients, ten training steps and what comes out of them are PyTorch's
// (testdata/reference.py, in float64). One shard is the whole batch.
func TestEqualsPyTorch(t *testing.T) {
	tests := []struct {
		name  string
		decay float64
		clip  float64
	}{
		{name: "cnn"},
		{name: "flow", clip: 0.5},
		{name: "window"},
		{name: "steps", decay: 0.05},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tensors := reference(t, test.name)
			b := &batch{
				x: tensors["x"].Data, text: integers[uint16](tensors["text"]), sizes: integers[uint16](tensors["sizes"]),
				scalars: tensors["scalars"].Data, lengths: integers[int](tensors["lengths"]),
				labels: integers[int32](tensors["labels"]), weights: tensors["row_weights"].Data,
			}
			n := len(b.lengths)
			main := smallNets[test.name]()
			switch main.(type) {
			case *imageNet:
				n = len(b.labels)
			case *windowNet:
				n = tensors["x"].Shape[0]
				b.lengths = slices.Repeat([]int{3}, n)
			}
			if err := nn.Load(main.Params(), under("start.", tensors)); err != nil {
				t.Fatal(err)
			}
			if names := nn.Unknown(main.Params(), under("start.", tensors)); names != nil {
				t.Fatalf("PyTorch has %v beside", names)
			}
			check := func(what string, got, want []float32, tolerance float64) {
				t.Helper()
				if d := near(got, want); d > tolerance {
					t.Errorf("%s: off by %.2g of the largest value, want %.2g at most", what, d, tolerance)
				}
			}

			var output []float32
			replicas := nn.NewReplicas(main, smallNets[test.name], 1)
			adam := nn.NewAdam(main.Params(), test.decay)
			for step := range 10 {
				loss := replicas.Train(nn.Pass{}, n, n, func(m network, p nn.Pass, lo, hi int) float64 {
					setLoss(m, tensors["class_weights"].Data)
					y := m.forward(p, b)
					output = slices.Clone(y)
					loss := m.loss(y, b, 1/m.total(b))
					m.backward(y)
					return loss
				})
				if want := float64(tensors["losses"].Data[step]); math.Abs(loss-want) > 5e-6 {
					t.Errorf("loss of step %d is %v, want %v", step, loss, want)
				}
				if step == 0 {
					check("output", output, tensors["output"].Data, 2e-6)
					gradients := under("grad.", tensors)
					for _, p := range main.Params() {
						if !p.Buffer() {
							check("gradient of "+p.Name, p.Grad, gradients[p.Name].Data, 1e-5)
						}
					}
				}
				if test.clip > 0 {
					norm := nn.ClipGrad(main.Params(), test.clip)
					if want := float64(tensors["norms"].Data[step]); math.Abs(norm/want-1) > 1e-4 {
						t.Errorf("gradient norm of step %d is %v, want %v", step, norm, want)
					}
				}
				adam.Step(3e-3)
			}
			trained := under("trained.", tensors)
			for _, p := range main.Params() {
				check("after ten steps "+p.Name, p.Value, trained[p.Name].Data, 1e-4)
			}
			replicas.Each(n, n, func(m network, lo, hi int) {
				check("evaluation", m.forward(nn.Pass{}, b), tensors["evaluated"].Data, 1e-4)
			})
		})
	}
}

func setLoss(m network, classes []float32) {
	switch m := m.(type) {
	case *sequenceNet:
		m.Weights = classes
	case *stepNet:
		m.Weights, m.Smoothing = classes, 0.1
	}
}
