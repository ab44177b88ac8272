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
	keep := math.Float32bits(float32(1 / (1 - d.Rate)))
	limit := int64(math.Ldexp(d.Rate, 32)) // two decisions of 32 bits from each draw
	// Branches on random bits are guessed wrong every third time: the sign of the difference, in
	// all bits, makes the mask instead.
	mask := d.mask
	for ; len(mask) >= 2; mask = mask[2:] {
		bits := r.Uint64()
		mask[0] = math.Float32frombits(keep &^ uint32((int64(bits&math.MaxUint32)-limit)>>63))
		mask[1] = math.Float32frombits(keep &^ uint32((int64(bits>>32)-limit)>>63))
	}
	if len(mask) > 0 {
		mask[0] = math.Float32frombits(keep &^ uint32((int64(r.Uint64()&math.MaxUint32)-limit)>>63))
	}
	copy(d.y, x)
	kernel.Mul(d.y, d.mask)
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
