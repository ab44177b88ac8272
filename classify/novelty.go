package classify

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/weirnet/weir/nn/safetensors"
)

// Novelty judges whether a flow is of a kind that training did not hold: the squared Mahalanobis
// distance of its state (Network.State) to the nearest mean of a label seen in training, under
// the covariance that all labels share (Lee et al. 2018, equation 2). Softmax confidence is no
// use for this: networks are as sure of strangers as of acquaintances (docs/rationale.md).
type Novelty struct {
	Threshold float64 `json:"threshold"` // a flow at or above it is novel; 0: never judged
	Quantile  float64 `json:"quantile"`  // share of known validation flows below Threshold

	size   int
	whiten []float32 // (size, size), lower triangle: its product with a state has unit covariance
	means  []float32 // (groups, size), whitened
}

// shrinkage of the covariance towards the mean of its diagonal: states of few labels fill few
// directions, and the others must not become infinitely far.
const shrinkage = 0.05

// FitNovelty fits means and covariance to the states of training flows, grouped by their labels
// before rare ones were pooled. The threshold is set apart, from validation data.
func FitNovelty(states [][]float32, groups []int32) (Novelty, error) {
	if len(states) == 0 || len(states) != len(groups) {
		return Novelty{}, errors.New("classify: novelty needs states")
	}
	size := len(states[0])
	count := int(slices.Max(groups)) + 1
	sums, counts := make([]float64, count*size), make([]float64, count)
	for i, s := range states {
		counts[groups[i]]++
		for j, v := range s {
			sums[int(groups[i])*size+j] += float64(v)
		}
	}
	var means []float64 // of the groups that have flows
	row := make([]int, count)
	for g := range count {
		row[g] = len(means) / size
		if counts[g] > 0 {
			for _, v := range sums[g*size : (g+1)*size] {
				means = append(means, v/counts[g])
			}
		}
	}
	cov := mat.NewSymDense(size, nil)
	diff := make([]float64, size)
	for i, s := range states {
		mean := means[row[groups[i]]*size:]
		for j, v := range s {
			diff[j] = float64(v) - mean[j]
		}
		cov.SymRankOne(cov, 1/float64(len(states)), mat.NewVecDense(size, diff))
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
	n := Novelty{size: size, whiten: make([]float32, size*size), means: make([]float32, len(means))}
	for i := range size {
		for j := range i + 1 {
			n.whiten[i*size+j] = float32(inverse.At(i, j))
		}
	}
	for g := 0; g < len(means); g += size {
		mean := make([]float32, size)
		for j, v := range means[g : g+size] {
			mean[j] = float32(v)
		}
		n.project(n.means[g:g+size], mean)
	}
	return n, nil
}

// SetThreshold puts the threshold at a quantile of the scores of known validation flows.
func (n *Novelty) SetThreshold(scores []float64, quantile float64) {
	if len(scores) == 0 {
		return
	}
	scores = slices.Clone(scores)
	slices.Sort(scores)
	n.Quantile = quantile
	n.Threshold = scores[min(int(math.Ceil(quantile*float64(len(scores)))), len(scores)-1)]
}

// Score returns the distance of a state. buf is scratch of the state's length.
func (n *Novelty) Score(state, buf []float32) float64 {
	if n.size == 0 {
		return 0
	}
	n.project(buf, state)
	nearest := math.Inf(1)
	for g := 0; g < len(n.means); g += n.size {
		sum := float32(0)
		for j, v := range n.means[g : g+n.size] {
			d := buf[j] - v
			sum += d * d
		}
		nearest = min(nearest, float64(sum))
	}
	return nearest
}

// Novel reports whether a score is that of a flow of a kind not seen in training.
func (n *Novelty) Novel(score float64) bool { return n.Threshold > 0 && score >= n.Threshold }

// project computes dst = whiten · x.
func (n *Novelty) project(dst, x []float32) {
	for i := range n.size {
		sum := float32(0)
		for j, w := range n.whiten[i*n.size : i*n.size+i+1] {
			sum += w * x[j]
		}
		dst[i] = sum
	}
}

func (n *Novelty) save(weights map[string]safetensors.Tensor) {
	if n.size == 0 {
		return
	}
	weights["novelty.whiten"] = safetensors.Tensor{Shape: []int{n.size, n.size}, Data: n.whiten}
	weights["novelty.means"] = safetensors.Tensor{Shape: []int{len(n.means) / n.size, n.size}, Data: n.means}
}

func (n *Novelty) load(weights map[string]safetensors.Tensor, size int) error {
	whiten, ok := weights["novelty.whiten"]
	if !ok {
		if n.Threshold != 0 {
			return errors.New("classify: a novelty threshold without novelty.whiten")
		}
		return nil
	}
	means := weights["novelty.means"]
	if len(whiten.Data) != size*size || len(means.Data) == 0 || len(means.Data)%size != 0 {
		return fmt.Errorf("classify: novelty tensors %v and %v do not fit states of %d", whiten.Shape, means.Shape, size)
	}
	n.size, n.whiten, n.means = size, whiten.Data, means.Data
	return nil
}
