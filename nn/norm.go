package nn

import (
	"fmt"
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
	gain, offset      []float32 // y = gain·x + offset
	back, slope       []float32 // dx = back·dy + slope·x + offsetBack
	offsetBack        []float32
	sum, square       []float64
	partSum, partProd []float32
	seen              int // values that the sums hold
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
	b.y = sized(b.y, len(x))
	b.begin(p, x)
	b.observe(len(x))
	b.settle()
	b.apply(b.y, x)
	return b.y
}

// A pass in parts, for a caller that makes x piece by piece and looks at a piece while it is in
// the cache: begin, observe for every piece, settle; then apply to any rows.

// begin starts a pass over x, whose values need not be there yet.
func (b *BatchNorm) begin(p Pass, x []float32) {
	rows("BatchNorm", x, b.Channels)
	b.x, b.train, b.seen = x, p.Train, 0
	b.gain, b.offset = sized(b.gain, b.Channels), sized(b.offset, b.Channels)
	if !p.Train {
		for j := range b.gain {
			b.gain[j], b.offset[j] = b.fixed(j)
		}
		return
	}
	b.mean, b.inv = sized(b.mean, b.Channels), sized(b.inv, b.Channels)
	b.sum, b.square = sized(b.sum, b.Channels), sized(b.square, b.Channels)
	b.partSum, b.partProd = sized(b.partSum, b.Channels), sized(b.partProd, b.Channels)
	clear(b.sum)
	clear(b.square)
}

// blockRows is how many rows are summed in float32 before they are added up in float64, so that
// the error does not grow with the batch.
const blockRows = 64

// observe adds up the statistics of the values of x up to end, but for the last rows of a block
// that is not whole yet.
func (b *BatchNorm) observe(end int) {
	if !b.train {
		return
	}
	for b.seen < end {
		hi := min(b.seen+blockRows*b.Channels, len(b.x))
		if hi > end {
			return
		}
		block := b.x[b.seen:hi]
		n := len(block) / b.Channels
		clear(b.partSum)
		clear(b.partProd)
		kernel.AddColumnSums(b.partSum, block)
		for j, s := range b.partSum {
			b.mean[j] = s / float32(n)
		}
		kernel.AddSquaredDeviations(b.partProd, block, b.mean)
		// Σx² = Σ(x−m)² + m·(2·Σx − n·m) for any m.
		for j, s := range b.partSum {
			m, s := float64(b.mean[j]), float64(s)
			b.sum[j] += s
			b.square[j] += float64(b.partProd[j]) + m*(2*s-float64(n)*m)
		}
		b.seen = hi
	}
}

// settle makes the statistics of the pass, once all of x was observed.
func (b *BatchNorm) settle() {
	if !b.train {
		return
	}
	n := len(b.x) / b.Channels
	if n == 0 {
		clear(b.mean)
		clear(b.inv)
	}
	for j := range b.mean {
		if n == 0 {
			break
		}
		mean := b.sum[j] / float64(n)
		b.square[j] = max(0, b.square[j]-b.sum[j]*mean)
		b.mean[j] = float32(mean)
		b.inv[j] = float32(1 / math.Sqrt(b.square[j]/float64(n)+b.Eps))
	}
	for j := range b.gain { // not by the running statistics, which may be moving at this moment
		b.gain[j] = b.Scale.Value[j] * b.inv[j]
		b.offset[j] = b.Shift.Value[j] - b.mean[j]*b.gain[j]
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

// apply computes rows of y from those of x.
func (b *BatchNorm) apply(y, x []float32) {
	if b.ReLU {
		kernel.AffineReLU(y, x, b.gain, b.offset)
	} else {
		kernel.Affine(y, x, b.gain, b.offset)
	}
}

// Backward maps (…, Channels) to the same shape. It must follow a training pass.
//
//	dγ = Σ dy·x̂    dβ = Σ dy    dx = γ/√(σ² + Eps) · (dy − dβ/n − x̂·dγ/n)
func (b *BatchNorm) Backward(dy []float32) []float32 {
	b.beginGrad(len(dy))
	if len(dy) == 0 {
		return dy
	}
	if b.ReLU {
		kernel.ReLUGrad(dy, dy, b.y)
	}
	b.observeGrad(dy)
	b.settleGrad()
	b.dx = sized(b.dx, len(dy))
	b.inputGrad(b.dx, dy, b.x)
	return b.dx
}

// Backward in parts: beginGrad, observeGrad for every piece in order, settleGrad; then inputGrad
// of any rows.

func (b *BatchNorm) beginGrad(size int) {
	if !b.train {
		panic("nn: BatchNorm: Backward after an evaluation pass")
	}
	if size != len(b.x) {
		panic(fmt.Sprintf("nn: BatchNorm: gradient of %d values for %d", size, len(b.x)))
	}
	b.seen = 0
	clear(b.sum)    // Σ dy
	clear(b.square) // Σ dy·(x − μ)
	clear(b.partSum)
	clear(b.partProd)
}

// observeGrad adds up the next rows of dy, which have gone through the ReLU.
func (b *BatchNorm) observeGrad(dy []float32) {
	block := blockRows * b.Channels
	for len(dy) > 0 {
		n := min(block-b.seen%block, len(dy))
		kernel.AddGradSums(b.partSum, b.partProd, dy[:n], b.x[b.seen:b.seen+n], b.mean)
		dy, b.seen = dy[n:], b.seen+n
		if b.seen%block == 0 || b.seen == len(b.x) {
			for j, s := range b.partSum {
				b.sum[j] += float64(s)
				b.square[j] += float64(b.partProd[j])
			}
			clear(b.partSum)
			clear(b.partProd)
		}
	}
}

// settleGrad adds to the gradients of scale and shift, and readies inputGrad.
func (b *BatchNorm) settleGrad() {
	n := float64(len(b.x) / b.Channels)
	b.slope, b.back = sized(b.slope, b.Channels), sized(b.back, b.Channels)
	b.offsetBack = sized(b.offsetBack, b.Channels)
	scale, shift := b.Scale.grad(), b.Shift.grad()
	for j := range b.slope {
		inv := float64(b.inv[j])
		dScale, dShift := b.square[j]*inv, b.sum[j]
		scale[j] += float32(dScale)
		shift[j] += float32(dShift)
		gain := float64(b.Scale.Value[j]) * inv
		slope := -gain * inv * dScale / n
		b.back[j] = float32(gain)
		b.slope[j] = float32(slope)
		b.offsetBack[j] = float32(-gain*dShift/n - slope*float64(b.mean[j]))
	}
}

// inputGrad computes rows of dx from those of dy, which have gone through the ReLU, and of x.
func (b *BatchNorm) inputGrad(dx, dy, x []float32) {
	kernel.Affine2(dx, dy, x, b.back, b.slope, b.offsetBack)
}

// Params returns scale, shift and the two running statistics.
func (b *BatchNorm) Params() []*Param { return []*Param{b.Scale, b.Shift, b.Mean, b.Var} }
