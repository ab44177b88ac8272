package nn

import (
	"fmt"
	"math"

	"github.com/weirnet/weir/internal/kernel"
)

// Bag is a table of vectors of which a row takes any number, in any order, and gets
//
//	y = Σ table[index] / √(number of indices)
//
// zero for none: what stands in a text, wherever it stands (Joulin et al. 2017, section 2, where
// the sum is divided by the number; its root keeps one telling word from drowning in many).
type Bag struct {
	Count, Size int
	Weight      *Param // (Count, Size)

	index  []uint16
	counts []int
	y      []float32
}

// NewBag returns a table of count ≤ 65536 vectors. They start near zero: a vector that training
// never meets must not speak.
func NewBag(name string, count, size int) *Bag {
	if count > 1<<16 {
		panic("nn: a bag's index has 16 bits")
	}
	return &Bag{Count: count, Size: size, Weight: newParam(name+".weight", Normal(0.02), count, size)}
}

// Forward takes the indices of row 0, then those of row 1, and how many each row has; it returns
// (len(counts), Size). Both must stay unchanged until Backward; an index of Count or more is a
// bug and panics.
func (b *Bag) Forward(index []uint16, counts []int) []float32 {
	b.index, b.counts = index, counts
	b.y = sized(b.y, len(counts)*b.Size)
	at := 0
	for i, n := range counts {
		y := b.y[i*b.Size : (i+1)*b.Size]
		kernel.SumRows(y, b.Weight.Value, index[at:at+n])
		kernel.Scale(y, bagScale(n))
		at += n
	}
	if at != len(index) {
		panic(fmt.Sprintf("nn: Bag: %d indices for counts that add up to %d", len(index), at))
	}
	return b.y
}

// Backward adds each row of dy to the gradients of the vectors that the row took.
func (b *Bag) Backward(dy []float32) {
	grad := b.Weight.grad()
	at := 0
	for i, n := range b.counts {
		d := dy[i*b.Size : (i+1)*b.Size]
		kernel.Scale(d, bagScale(n))
		kernel.ScatterRows(grad, b.index[at:at+n], d, b.Size, 0)
		at += n
	}
}

// Params returns the table.
func (b *Bag) Params() []*Param { return []*Param{b.Weight} }

func bagScale(n int) float32 { return float32(1 / math.Sqrt(float64(max(n, 1)))) }
