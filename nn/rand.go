package nn

import (
	"fmt"
	"math"

	"github.com/weirnet/weir/nn/safetensors"
)

// Rand is SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state that can be saved with a
// training run. It is a math/rand/v2 Source, so rand.New(r).Shuffle and the like work on it.
type Rand struct{ state uint64 }

// NewRand returns the stream of a seed.
func NewRand(seed uint64) *Rand { return &Rand{state: seed} }

// Uint64 returns the next 64 bits.
func (r *Rand) Uint64() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return mix(r.state)
}

// Float64 returns a value in [0, 1).
func (r *Rand) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// Normal returns a value of the standard normal distribution (Box and Muller 1958).
func (r *Rand) Normal() float64 {
	u := 1 - r.Float64() // (0, 1]
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*r.Float64())
}

// Export adds the state to tensors under name.
func (r *Rand) Export(name string, tensors map[string]safetensors.Tensor) {
	tensors[name] = safetensors.Tensor{Shape: []int{4}, Data: packUint64(r.state)}
}

// Import restores a state that Export wrote.
func (r *Rand) Import(name string, tensors map[string]safetensors.Tensor) error {
	state, err := importUint64(name, tensors)
	if err == nil {
		r.state = state
	}
	return err
}

// mix is SplitMix64's finaliser: a bijection in which every bit of z moves every bit of the result.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// packUint64 writes v as four values of 16 bits, lowest first: float32 holds each exactly.
func packUint64(v uint64) []float32 {
	return []float32{float32(v & 0xffff), float32(v >> 16 & 0xffff), float32(v >> 32 & 0xffff), float32(v >> 48)}
}

func importUint64(name string, tensors map[string]safetensors.Tensor) (uint64, error) {
	data, err := lookup(tensors, name, []int{4})
	if err != nil {
		return 0, err
	}
	var v uint64
	for i, part := range data {
		if !(part >= 0 && part <= 0xffff) || part != float32(uint16(part)) {
			return 0, fmt.Errorf("nn: tensor %s: part %d is %v, not 16 bits", name, i, part)
		}
		v |= uint64(part) << (16 * i)
	}
	return v, nil
}
