package nn

import (
	"fmt"
	"hash/fnv"
	"math"
	"sort"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/nn/safetensors"
)

// Param is a named tensor of a model: a trained parameter, or a buffer that training updates
// beside it (the running statistics of a BatchNorm).
type Param struct {
	Name  string // unique in the model and stable: the tensor's name on disk
	Shape []int  // row-major

	// Value is shared by the replicas of a model. It is nil until Init, Load or Share.
	Value []float32

	// Grad belongs to one replica: Backward adds to it. For a buffer it holds what the last
	// training pass observed. It is nil until something needs it.
	Grad []float32

	// Init fills a fresh Value. Constructors set PyTorch's default; replace it before [Init].
	Init func(r *Rand, value []float32)

	// Momentum is 0 for a trained parameter. A buffer moves by
	// Value += Momentum · (observation − Value), once per shard.
	Momentum float32

	fresh    bool // Grad counts as zeros, whatever it holds
	observed bool // Grad of a buffer holds an observation that was not yet applied
}

// Buffer reports whether p is a buffer: kept with the weights, not trained by gradients.
func (p *Param) Buffer() bool { return p.Momentum != 0 }

// Size returns the number of values.
func (p *Param) Size() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// grad returns Grad, allocating it, zeroed, on first use.
func (p *Param) grad() []float32 {
	if p.Grad == nil {
		p.Grad = make([]float32, p.Size())
		p.fresh = false
	}
	if p.fresh {
		clear(p.Grad)
		p.fresh = false
	}
	return p.Grad
}

// addGrad adds aᵀ·dy to Grad, where a is (m, rows) with row i at i·stride and dy (m, columns). The
// first product of a pass is written instead, so that Grad is not zeroed first.
func (p *Param) addGrad(a, dy []float32, m, rows, columns, stride int) {
	first := p.fresh && p.Grad != nil
	if first {
		p.fresh = false
	}
	kernel.Gemm(true, false, rows, columns, m, a, stride, dy, columns, beta(!first), p.grad(), columns)
}

// forget makes the gradients of all trained parameters count as zeros.
func forget(params []*Param) {
	for _, p := range params {
		if !p.Buffer() {
			p.fresh = true
		}
	}
}

func newParam(name string, init func(*Rand, []float32), shape ...int) *Param {
	for _, d := range shape {
		if d <= 0 {
			panic(fmt.Sprintf("nn: parameter %s has shape %v", name, shape))
		}
	}
	return &Param{Name: name, Shape: shape, Init: init}
}

// Init gives every parameter fresh values. Each draws from its own stream, keyed by seed and
// name, so adding a layer changes no other layer's start. It panics when two have the same name.
func Init(params []*Param, seed uint64) {
	seen := make(map[string]bool, len(params))
	for _, p := range params {
		if seen[p.Name] {
			panic(fmt.Sprintf("nn: two parameters are named %s", p.Name))
		}
		seen[p.Name] = true
		p.Value = make([]float32, p.Size())
		h := fnv.New64a()
		h.Write([]byte(p.Name))
		p.Init(NewRand(mix(seed)^h.Sum64()), p.Value)
	}
}

// Share makes a replica: the parameters dst of a second model of the same build use the values
// of src from now on. Gradients stay apart. It panics when the models differ.
func Share(dst, src []*Param) {
	if len(dst) != len(src) {
		panic(fmt.Sprintf("nn: sharing %d parameters with a model that has %d", len(src), len(dst)))
	}
	for i, d := range dst {
		s := src[i]
		if d.Name != s.Name || d.Size() != len(s.Value) {
			panic(fmt.Sprintf("nn: sharing %s %v (%d values) as %s %v", s.Name, s.Shape, len(s.Value), d.Name, d.Shape))
		}
		d.Value = s.Value
	}
}

// ZeroGrad sets the gradients of all trained parameters to zero.
func ZeroGrad(params []*Param) {
	for _, p := range params {
		if !p.Buffer() {
			p.fresh = false
			clear(p.grad())
		}
	}
}

// Export adds every parameter's values to tensors. They are not copied.
func Export(params []*Param, tensors map[string]safetensors.Tensor) {
	for _, p := range params {
		tensors[p.Name] = safetensors.Tensor{Shape: p.Shape, Data: p.Value}
	}
}

// Load copies tensors into the parameters: every parameter must be there with its shape and
// finite values. Tensors that are not parameters are ignored; [Unknown] lists them.
func Load(params []*Param, tensors map[string]safetensors.Tensor) error {
	for _, p := range params {
		t, err := lookup(tensors, p.Name, p.Shape)
		if err != nil {
			return err
		}
		for i, v := range t {
			if v-v != 0 {
				return fmt.Errorf("nn: tensor %s: value %d is %v", p.Name, i, v)
			}
		}
	}
	for _, p := range params {
		if p.Value == nil {
			p.Value = make([]float32, p.Size())
		}
		copy(p.Value, tensors[p.Name].Data)
	}
	return nil
}

// Unknown returns the names in tensors that belong to no parameter, sorted.
func Unknown(params []*Param, tensors map[string]safetensors.Tensor) []string {
	known := make(map[string]bool, len(params))
	for _, p := range params {
		known[p.Name] = true
	}
	var names []string
	for name := range tensors {
		if !known[name] {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// lookup returns the values of the named tensor after checking its shape.
func lookup(tensors map[string]safetensors.Tensor, name string, shape []int) ([]float32, error) {
	t, ok := tensors[name]
	if !ok {
		return nil, fmt.Errorf("nn: no tensor %s", name)
	}
	size := 1
	same := len(t.Shape) == len(shape)
	for i, d := range shape {
		size *= d
		same = same && t.Shape[i] == d
	}
	if !same || len(t.Data) != size {
		return nil, fmt.Errorf("nn: tensor %s: shape %v with %d values, want %v", name, t.Shape, len(t.Data), shape)
	}
	return t.Data, nil
}

// Uniform fills with values in [−bound, bound).
func Uniform(bound float64) func(*Rand, []float32) {
	return func(r *Rand, v []float32) {
		for i := range v {
			v[i] = float32((2*r.Float64() - 1) * bound)
		}
	}
}

// FanIn is PyTorch's default for Linear and Conv2d, weights and biases: uniform within
// 1/√fanIn (Kaiming uniform with a = √5).
func FanIn(fanIn int) func(*Rand, []float32) { return Uniform(1 / math.Sqrt(float64(fanIn))) }

// Kaiming is the normal distribution with variance 2/fan, for layers before a ReLU
// (He et al. 2015, equation 10; with the fan-out, equation 14).
func Kaiming(fan int) func(*Rand, []float32) { return Normal(math.Sqrt(2 / float64(fan))) }

// Normal is the normal distribution with mean 0.
func Normal(std float64) func(*Rand, []float32) {
	return func(r *Rand, v []float32) {
		for i := range v {
			v[i] = float32(r.Normal() * std)
		}
	}
}

// Constant fills with one value.
func Constant(value float32) func(*Rand, []float32) {
	return func(_ *Rand, v []float32) {
		for i := range v {
			v[i] = value
		}
	}
}
