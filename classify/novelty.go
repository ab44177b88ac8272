package classify

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/nn/safetensors"
)

// Novelty judges whether a flow is of a kind that training did not hold: the squared Mahalanobis
// distance of its state (Network.State) to the nearest mean of a label seen in training, under
// the covariance that all labels share (Lee et al. 2018, equation 2). States move as a flow grows
// older, so means and thresholds are kept by age, a range of payload packets seen. Softmax
// confidence is no use for this: networks are as sure of strangers as of acquaintances
// (docs/rationale.md).
type Novelty struct {
	// Thresholds are the distances, by age, at which a flow is novel; empty: never judged.
	Thresholds []float64 `json:"thresholds"`
	Quantile   float64   `json:"quantile"` // share of known validation flows below them

	size   int
	whiten []float32            // (size, size), lower triangle: its product with a state has unit covariance
	means  []float32            // (rows, size), whitened
	ages   []float32            // (rows): the age that a mean is of
	packed *kernel.FloatWeights // whiten
}

// ages is the number of ranges of payload packets.
const ages = 5

// age returns the range that a number of payload packets, at least 1, falls in.
func age(packets int) int {
	switch {
	case packets <= 2:
		return packets - 1
	case packets <= 4:
		return 2
	case packets <= 7:
		return 3
	}
	return 4
}

// Place is where a flow lay after so many payload packets.
type Place struct {
	State   []float32
	Packets int
	Group   int32 // its label before rare ones were pooled
}

// shrinkage of the covariance towards the mean of its diagonal: states of few labels fill few
// directions, and the others must not become infinitely far.
const shrinkage = 0.05

// FitNovelty fits means and covariance to places of training flows. The thresholds are set apart,
// from validation data.
func FitNovelty(places []Place) (Novelty, error) {
	if len(places) == 0 {
		return Novelty{}, errors.New("classify: novelty needs places")
	}
	size := len(places[0].State)
	n := Novelty{size: size, whiten: make([]float32, size*size)}
	type cell struct {
		group int32
		age   int
	}
	rows := map[cell]int{}
	var means, counts []float64 // by row, in order of first appearance
	for _, p := range places {
		c := cell{p.Group, age(p.Packets)}
		row, ok := rows[c]
		if !ok {
			row = len(counts)
			rows[c] = row
			counts = append(counts, 0)
			means = append(means, make([]float64, size)...)
			n.ages = append(n.ages, float32(c.age))
		}
		counts[row]++
		for j, v := range p.State {
			means[row*size+j] += float64(v)
		}
	}
	for i := range means {
		means[i] /= counts[i/size]
	}
	cov := mat.NewSymDense(size, nil)
	diff := make([]float64, size)
	for _, p := range places {
		mean := means[rows[cell{p.Group, age(p.Packets)}]*size:]
		for j, v := range p.State {
			diff[j] = float64(v) - mean[j]
		}
		cov.SymRankOne(cov, 1/float64(len(places)), mat.NewVecDense(size, diff))
	}
	trace := mat.Trace(cov)/float64(size) + 1e-6
	for i := range size {
		for j := i; j < size; j++ {
			v := cov.At(i, j) * (1 - shrinkage)
			if i == j {
				v += shrinkage * trace
			}
			cov.SetSym(i, j, v)
		}
	}
	var chol mat.Cholesky
	if !chol.Factorize(cov) {
		return Novelty{}, errors.New("classify: novelty: the covariance of the states is not positive definite")
	}
	var lower, inverse mat.TriDense
	chol.LTo(&lower)
	if err := inverse.InverseTri(&lower); err != nil {
		return Novelty{}, fmt.Errorf("classify: novelty: %w", err)
	}
	n.means = make([]float32, len(means))
	for i := range size {
		for j := range i + 1 {
			n.whiten[i*size+j] = float32(inverse.At(i, j))
		}
	}
	n.pack()
	for g := 0; g < len(means); g += size {
		mean := make([]float32, size)
		for j, v := range means[g : g+size] {
			mean[j] = float32(v)
		}
		n.project(n.means[g:g+size], mean)
	}
	return n, nil
}

// fewPlaces is how many validation places of an age its own threshold needs.
const fewPlaces = 50

// SetThresholds puts the thresholds at a quantile of the distances of known validation flows.
func (n *Novelty) SetThresholds(places []Place, quantile float64) {
	buf := make([]float32, n.size)
	byAge := make([][]float64, ages)
	var all []float64
	for _, p := range places {
		d := n.distance(p.State, p.Packets, buf)
		byAge[age(p.Packets)] = append(byAge[age(p.Packets)], d)
		all = append(all, d)
	}
	n.Thresholds, n.Quantile = nil, quantile
	if len(all) == 0 {
		return
	}
	for _, distances := range byAge {
		if len(distances) < fewPlaces {
			distances = all
		}
		distances = slices.Sorted(slices.Values(distances))
		at := min(int(math.Ceil(quantile*float64(len(distances)))), len(distances)-1)
		n.Thresholds = append(n.Thresholds, max(distances[at], math.SmallestNonzeroFloat32))
	}
}

// Score returns how far a flow lies from everything seen in training, in units of the threshold
// of its age: from 1 on it is novel. It returns 0 when nothing is known. buf is scratch of the
// state's length.
func (n *Novelty) Score(state []float32, packets int, buf []float32) float64 {
	if n.size == 0 || len(n.Thresholds) != ages || packets < 1 {
		return 0
	}
	return n.distance(state, packets, buf) / n.Thresholds[age(packets)]
}

// distance returns the squared distance to the nearest mean of the same age, or of any age when
// training had none.
func (n *Novelty) distance(state []float32, packets int, buf []float32) float64 {
	n.project(buf, state)
	now := float32(age(packets))
	nearest := n.nearest(buf, func(a float32) bool { return a == now })
	if math.IsInf(float64(nearest), 1) {
		nearest = n.nearest(buf, func(float32) bool { return true })
	}
	return float64(nearest)
}

// nearest returns the squared distance of a whitened state to the nearest mean of the ages asked for, infinity without one.
func (n *Novelty) nearest(x []float32, asked func(age float32) bool) float32 {
	nearest := float32(math.Inf(1))
	for row, a := range n.ages {
		if asked(a) {
			nearest = min(nearest, squaredDistance(x, n.means[row*n.size:(row+1)*n.size], nearest))
		}
	}
	return nearest
}

// squaredDistance returns Σ (x-y)², or some of the sum that is more than enough.
func squaredDistance(x, y []float32, enough float32) float32 {
	const run = 32
	sum := float32(0)
	for ; len(x) >= run; x, y = x[run:], y[run:] {
		p, q := x[:run], y[:run]
		var a, b, c, d float32 // four sums, so that none waits for the one before
		for i := 0; i < run; i += 4 {
			e, f, g, h := p[i]-q[i], p[i+1]-q[i+1], p[i+2]-q[i+2], p[i+3]-q[i+3]
			a, b, c, d = a+e*e, b+f*f, c+g*g, d+h*h
		}
		if sum += a + b + (c + d); sum > enough {
			return sum
		}
	}
	for i, v := range x {
		sum += (v - y[i]) * (v - y[i])
	}
	return sum
}

// pack prepares project.
func (n *Novelty) pack() {
	columns := make([]float32, n.size*n.size)
	for i := range n.size {
		for j := range i + 1 {
			columns[j*n.size+i] = n.whiten[i*n.size+j]
		}
	}
	n.packed = kernel.PackFloats(columns, n.size, nil, kernel.Runs{Segments: 1, Length: n.size})
}

// project computes dst = whiten · x.
func (n *Novelty) project(dst, x []float32) {
	n.packed.Multiply(&kernel.FloatProduct{
		Grid: kernel.Grid{Height: 1, Width: 1}, A: [2]kernel.Left[float32]{{Data: x}}, Dst: kernel.Places[float32]{Data: dst},
	})
}

func (n *Novelty) save(weights map[string]safetensors.Tensor) {
	if n.size == 0 {
		return
	}
	weights[whitenTensor] = safetensors.Tensor{Shape: []int{n.size, n.size}, Data: n.whiten}
	weights[meansTensor] = safetensors.Tensor{Shape: []int{len(n.ages), n.size}, Data: n.means}
	weights[agesTensor] = safetensors.Tensor{Shape: []int{len(n.ages)}, Data: n.ages}
}

// Names of the tensors beside the network's.
const (
	whitenTensor = "novelty.whiten"
	meansTensor  = "novelty.means"
	agesTensor   = "novelty.ages"
)

func (n *Novelty) load(weights map[string]safetensors.Tensor, size int) error {
	whiten, means, of := weights[whitenTensor], weights[meansTensor], weights[agesTensor]
	if len(n.Thresholds) == 0 && whiten.Data == nil {
		return nil
	}
	if len(n.Thresholds) != ages || len(whiten.Data) != size*size || len(of.Data) == 0 || len(means.Data) != len(of.Data)*size {
		return fmt.Errorf("classify: novelty: %d thresholds, tensors %v, %v and %v do not fit states of %d", len(n.Thresholds), whiten.Shape, means.Shape, of.Shape, size)
	}
	for _, t := range n.Thresholds {
		if !(t > 0) {
			return fmt.Errorf("classify: novelty threshold %v", t)
		}
	}
	for _, values := range [...][]float32{whiten.Data, means.Data, of.Data} {
		for _, v := range values {
			if v-v != 0 {
				return fmt.Errorf("classify: novelty: a tensor holds %v", v)
			}
		}
	}
	n.size, n.whiten, n.means, n.ages = size, whiten.Data, means.Data, of.Data
	n.pack()
	return nil
}

// has reports whether a tensor is one of those that load took.
func (n *Novelty) has(tensor string) bool {
	return n.size > 0 && (tensor == whitenTensor || tensor == meansTensor || tensor == agesTensor)
}
