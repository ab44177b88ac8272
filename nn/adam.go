package nn

import (
	"fmt"
	"math"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/nn/safetensors"
)

// Adam is the optimiser of Kingma and Ba 2015, algorithm 1. With Decay it is AdamW (Loshchilov
// and Hutter 2019, algorithm 2): weights, not gradients, decay. Parameters of one dimension
// (biases, the scales of a BatchNorm) do not decay.
type Adam struct {
	Beta1, Beta2 float64 // default 0.9 and 0.999
	Eps          float64 // default 1e-8
	Decay        float64 // per step, times the learning rate

	params  []*Param
	m, v    [][]float32
	steps   uint64
	pieces  []piece
	squares []float64 // of the gradient, by piece
}

// piece is a range of a parameter: what one worker takes at a time. Its bounds depend on the
// model alone.
type piece struct{ param, lo, hi int }

// pieceSize is small enough for gradient, moments and weights of a piece to stay in the cache
// between the passes over them.
const pieceSize = 8 << 10

// NewAdam returns an optimiser of the trained parameters among params.
func NewAdam(params []*Param, decay float64) *Adam {
	a := &Adam{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Decay: decay}
	for _, p := range params {
		if !p.Buffer() {
			a.params = append(a.params, p)
			a.m = append(a.m, make([]float32, p.Size()))
			a.v = append(a.v, make([]float32, p.Size()))
			for lo := 0; lo < p.Size(); lo += pieceSize {
				a.pieces = append(a.pieces, piece{len(a.params) - 1, lo, min(lo+pieceSize, p.Size())})
			}
		}
	}
	a.squares = make([]float64, len(a.pieces))
	return a
}

// Steps returns the number of steps taken.
func (a *Adam) Steps() uint64 { return a.steps }

// Step moves the parameters against their gradients.
func (a *Adam) Step(rate float64) {
	rates := a.next(rate)
	for i := range a.pieces {
		a.move(i, 1, rates)
	}
}

// next begins a step.
func (a *Adam) next(rate float64) kernel.AdamRates {
	a.steps++
	t := float64(a.steps)
	return kernel.AdamRates{
		Beta1: float32(a.Beta1), Beta2: float32(a.Beta2),
		Step: float32(rate / (1 - math.Pow(a.Beta1, t))),
		Root: float32(1 / math.Sqrt(1-math.Pow(a.Beta2, t))),
		Eps:  float32(a.Eps),
		Keep: float32(1 - rate*a.Decay),
	}
}

// move takes the step for one piece, after its gradient was multiplied by factor.
func (a *Adam) move(i int, factor float32, rates kernel.AdamRates) {
	k, lo, hi := a.pieces[i].param, a.pieces[i].lo, a.pieces[i].hi
	p := a.params[k]
	if len(p.Shape) == 1 {
		rates.Keep = 1
	}
	grad := p.grad()[lo:hi]
	if factor != 1 {
		kernel.Scale(grad, factor)
	}
	kernel.Adam(p.Value[lo:hi], grad, a.m[k][lo:hi], a.v[k][lo:hi], rates)
}

// square sums the squares of a piece's gradient.
func (a *Adam) square(i int) {
	p := a.pieces[i]
	a.squares[i] = kernel.SumSquares(a.params[p.param].grad()[p.lo:p.hi])
}

// norm is that of the whole gradient, after square of every piece.
func (a *Adam) norm() float64 {
	sum := 0.0
	for _, s := range a.squares {
		sum += s
	}
	return math.Sqrt(sum)
}

// Export adds the optimiser's state to tensors under names that start with "adam.". It is not
// copied.
func (a *Adam) Export(tensors map[string]safetensors.Tensor) {
	tensors["adam.steps"] = safetensors.Tensor{Shape: []int{4}, Data: packUint64(a.steps)}
	for k, p := range a.params {
		tensors["adam.m."+p.Name] = safetensors.Tensor{Shape: p.Shape, Data: a.m[k]}
		tensors["adam.v."+p.Name] = safetensors.Tensor{Shape: p.Shape, Data: a.v[k]}
	}
}

// Import restores a state that Export wrote, so that training goes on bit for bit.
func (a *Adam) Import(tensors map[string]safetensors.Tensor) error {
	steps, err := importUint64("adam.steps", tensors)
	if err != nil {
		return err
	}
	for _, p := range a.params {
		for _, name := range [...]string{"adam.m." + p.Name, "adam.v." + p.Name} {
			if _, err := lookup(tensors, name, p.Shape); err != nil {
				return fmt.Errorf("resuming the optimiser: %w", err)
			}
		}
	}
	for k, p := range a.params {
		copy(a.m[k], tensors["adam.m."+p.Name].Data)
		copy(a.v[k], tensors["adam.v."+p.Name].Data)
	}
	a.steps = steps
	return nil
}

// ClipGrad scales the gradients so that the norm of all of them together is at most limit, and
// returns what it was (Pascanu et al. 2013, algorithm 1; as PyTorch's clip_grad_norm_).
func ClipGrad(params []*Param, limit float64) float64 {
	sum := 0.0
	for _, p := range params {
		if p.Buffer() {
			continue
		}
		for g := p.grad(); len(g) > 0; g = g[min(pieceSize, len(g)):] {
			sum += kernel.SumSquares(g[:min(pieceSize, len(g))])
		}
	}
	norm := math.Sqrt(sum)
	if factor := clip(norm, limit); factor < 1 {
		for _, p := range params {
			if !p.Buffer() {
				kernel.Scale(p.Grad, factor)
			}
		}
	}
	return norm
}

// clip is what a gradient of that norm is multiplied by, at most 1.
func clip(norm, limit float64) float32 { return float32(min(limit/(norm+1e-6), 1)) }

// Schedule is a learning rate by step, from 0.
type Schedule func(step uint64) float64

// ConstantRate does not change.
func ConstantRate(rate float64) Schedule { return func(uint64) float64 { return rate } }

// CosineRate rises in a line over the first warmup steps to rate, then falls along a cosine to
// final at step total, and stays there (Loshchilov and Hutter 2017, equation 5).
func CosineRate(rate, final float64, warmup, total uint64) Schedule {
	return func(step uint64) float64 {
		switch {
		case step < warmup:
			return rate * float64(step+1) / float64(warmup)
		case step >= total:
			return final
		}
		part := float64(step-warmup) / float64(total-warmup)
		return final + (rate-final)*(1+math.Cos(math.Pi*part))/2
	}
}

// StepRate multiplies the rate by factor every so many steps.
func StepRate(rate, factor float64, every uint64) Schedule {
	return func(step uint64) float64 { return rate * math.Pow(factor, float64(step/every)) }
}
