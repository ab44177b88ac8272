package nn

import (
	"math"

	"github.com/weirnet/weir/internal/kernel"
)

// BatchNorm normalises each channel over the rows of the batch (Ioffe and Szegedy 2015,
// algorithm 1), then scales and shifts it:
//
//	y = γ · (x − μ) / √(σ² + Eps) + β
//
// In training μ and σ² are those of the rows at hand, and the running statistics move towards
// them by Momentum (σ² there with n−1, as PyTorch has it) when the step ends. In evaluation the
// running statistics are used.
type BatchNorm struct {
	Channels int
	Eps      float64
	ReLU     bool // also apply max(0, ·): one walk over the values instead of two

	Scale, Shift *Param // γ and β
	Mean, Var    *Param // running statistics

	train             bool
	x, y, dx          []float32
	mean, inv         []float32 // of the last training pass: μ and 1/√(σ² + Eps)
	gain, offset      []float32 // y = gain·x + offset; in Backward dx = gain·dy + slope·x + offset
	slope             []float32
	sum, square       []float64
	partSum, partProd []float32
}

// NewBatchNorm returns a batch normalisation with PyTorch's Eps 1e-5 and momentum 0.1.
func NewBatchNorm(name string, channels int) *BatchNorm {
	b := &BatchNorm{
		Channels: channels,
		Eps:      1e-5,
		Scale:    newParam(name+".weight", Constant(1), channels),
		Shift:    newParam(name+".bias", Constant(0), channels),
		Mean:     newParam(name+".running_mean", Constant(0), channels),
		Var:      newParam(name+".running_var", Constant(1), channels),
	}
	b.Mean.Momentum, b.Var.Momentum = 0.1, 0.1
	return b
}

// NewBatchNormReLU returns a batch normalisation followed by a ReLU.
func NewBatchNormReLU(name string, channels int) *BatchNorm {
	b := NewBatchNorm(name, channels)
	b.ReLU = true
	return b
}

// Forward maps (…, Channels) to the same shape.
func (b *BatchNorm) Forward(p Pass, x []float32) []float32 {
	n := rows("BatchNorm", x, b.Channels)
	b.x, b.train = x, p.Train
	b.y = sized(b.y, len(x))
	b.gain, b.offset = sized(b.gain, b.Channels), sized(b.offset, b.Channels)
	if p.Train {
		b.observe(n)
	}
	for j := range b.gain {
		if p.Train { // the running statistics may be moving at this moment
			b.gain[j] = b.Scale.Value[j] * b.inv[j]
			b.offset[j] = b.Shift.Value[j] - b.mean[j]*b.gain[j]
		} else {
			b.gain[j], b.offset[j] = b.fixed(j)
		}
	}
	if b.ReLU {
		kernel.AffineReLU(b.y, x, b.gain, b.offset)
	} else {
		kernel.Affine(b.y, x, b.gain, b.offset)
	}
	return b.y
}

// observe computes the statistics of the n rows of x.
func (b *BatchNorm) observe(n int) {
	b.mean, b.inv = sized(b.mean, b.Channels), sized(b.inv, b.Channels)
	b.sum, b.square = sized(b.sum, b.Channels), sized(b.square, b.Channels)
	b.partSum, b.partProd = sized(b.partSum, b.Channels), sized(b.partProd, b.Channels)
	if n == 0 {
		clear(b.mean)
		clear(b.inv)
		return
	}
	clear(b.sum)
	inBlocks(b.x, b.Channels, func(lo, hi int) {
		clear(b.partSum)
		kernel.AddColumnSums(b.partSum, b.x[lo:hi])
		addTo64(b.sum, b.partSum)
	})
	for j, s := range b.sum {
		b.mean[j] = float32(s / float64(n))
	}
	clear(b.square)
	inBlocks(b.x, b.Channels, func(lo, hi int) {
		clear(b.partProd)
		kernel.AddSquaredDeviations(b.partProd, b.x[lo:hi], b.mean)
		addTo64(b.square, b.partProd)
	})
	for j, s := range b.square {
		b.inv[j] = float32(1 / math.Sqrt(s/float64(n)+b.Eps))
	}
	if n < 2 {
		return // no variance: nothing to learn from
	}
	mean, variance := b.Mean.grad(), b.Var.grad()
	copy(mean, b.mean)
	for j, s := range b.square {
		variance[j] = float32(s / float64(n-1))
	}
	b.Mean.observed, b.Var.observed = true, true
}

// Backward maps (…, Channels) to the same shape. It must follow a training pass.
//
//	dγ = Σ dy·x̂    dβ = Σ dy    dx = γ/√(σ² + Eps) · (dy − dβ/n − x̂·dγ/n)
func (b *BatchNorm) Backward(dy []float32) []float32 {
	if !b.train {
		panic("nn: BatchNorm: Backward after an evaluation pass")
	}
	n := rows("BatchNorm", dy, b.Channels)
	if n == 0 {
		return dy
	}
	if b.ReLU {
		kernel.ReLUGrad(dy, dy, b.y)
	}
	clear(b.sum)    // Σ dy
	clear(b.square) // Σ dy·(x − μ)
	inBlocks(dy, b.Channels, func(lo, hi int) {
		clear(b.partSum)
		clear(b.partProd)
		kernel.AddGradSums(b.partSum, b.partProd, dy[lo:hi], b.x[lo:hi], b.mean)
		addTo64(b.sum, b.partSum)
		addTo64(b.square, b.partProd)
	})
	b.slope = sized(b.slope, b.Channels)
	scale, shift := b.Scale.grad(), b.Shift.grad()
	for j := range b.slope {
		inv := float64(b.inv[j])
		dScale, dShift := b.square[j]*inv, b.sum[j]
		scale[j] += float32(dScale)
		shift[j] += float32(dShift)
		gain := float64(b.Scale.Value[j]) * inv
		slope := -gain * inv * dScale / float64(n)
		b.gain[j] = float32(gain)
		b.slope[j] = float32(slope)
		b.offset[j] = float32(-gain*dShift/float64(n) - slope*float64(b.mean[j]))
	}
	b.dx = sized(b.dx, len(dy))
	kernel.Affine2(b.dx, dy, b.x, b.gain, b.slope, b.offset)
	return b.dx
}

// Params returns scale, shift and the two running statistics.
func (b *BatchNorm) Params() []*Param { return []*Param{b.Scale, b.Shift, b.Mean, b.Var} }

// inBlocks calls f with the ranges of x that hold 64 rows each. Sums in float32 stay within a
// block and are added up in float64, so their error does not grow with the batch.
func inBlocks(x []float32, channels int, f func(lo, hi int)) {
	for lo := 0; lo < len(x); lo += 64 * channels {
		f(lo, min(lo+64*channels, len(x)))
	}
}

func addTo64(sums []float64, part []float32) {
	for j, v := range part {
		sums[j] += float64(v)
	}
}
