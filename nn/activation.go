package nn

import (
	"hash/fnv"
	"math"

	"github.com/weirnet/weir/internal/kernel"
)

// ReLU is max(0, x). Its zero value is ready for use.
type ReLU struct{ y []float32 }

// Forward keeps the shape of x.
func (r *ReLU) Forward(_ Pass, x []float32) []float32 {
	r.y = sized(r.y, len(x))
	kernel.ReLU(r.y, x)
	return r.y
}

// Backward keeps the shape of dy, and its memory.
func (r *ReLU) Backward(dy []float32) []float32 {
	kernel.ReLUGrad(dy, dy, r.y)
	return dy
}

// Params returns nothing.
func (r *ReLU) Params() []*Param { return nil }

// Dropout zeroes each value with probability Rate in training and scales the others by
// 1/(1−Rate) (Srivastava et al. 2014). What is dropped is a function of the pass, the layer's
// name and the position in the shard alone.
type Dropout struct {
	Rate float64

	key  uint64
	on   bool
	mask []float32 // 0 or 1/(1−Rate)
	y    []float32
}

// NewDropout returns a dropout layer. The name tells it apart from others in the model.
func NewDropout(name string, rate float64) *Dropout {
	if !(rate >= 0 && rate < 1) {
		panic("nn: dropout rate outside [0, 1)")
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return &Dropout{Rate: rate, key: h.Sum64()}
}

// Forward keeps the shape of x.
func (d *Dropout) Forward(p Pass, x []float32) []float32 {
	d.on = p.Train && d.Rate > 0
	if !d.on {
		return x
	}
	d.mask, d.y = sized(d.mask, len(x)), sized(d.y, len(x))
	r := NewRand(mix(mix(mix(p.Seed^d.key)+p.Step) + uint64(p.Shard)))
	keep := float32(1 / (1 - d.Rate))
	limit := uint32(math.Ldexp(d.Rate, 32)) // two decisions of 32 bits from each draw
	for i := 0; i < len(x); i += 2 {
		bits := r.Uint64()
		for j := i; j < min(i+2, len(x)); j++ {
			d.mask[j] = 0
			if uint32(bits) >= limit {
				d.mask[j] = keep
			}
			d.y[j] = x[j] * d.mask[j]
			bits >>= 32
		}
	}
	return d.y
}

// Backward keeps the shape of dy, and its memory.
func (d *Dropout) Backward(dy []float32) []float32 {
	if d.on {
		kernel.Mul(dy, d.mask)
	}
	return dy
}

// Params returns nothing.
func (d *Dropout) Params() []*Param { return nil }
