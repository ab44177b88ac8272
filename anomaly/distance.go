package anomaly

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/weirnet/weir/nn/safetensors"
)

// distance is the Mahalanobis distance of one scaled window from the benign mean, which scaling
// has moved to 0, taken apart: whiten is (features, features), and part i of the squared distance
// of x is (whiten·x)ᵢ².
//
// Terms xᵢ·(P·x)ᵢ of the plain form x·P·x may be negative, which explains nothing. Here whiten is
// the corr-max transformation of Garthwaite and Koch (Austral. & New Zealand J. Stat. 58, 2016):
// among all matrices that whiten, the one whose every output is as correlated as can be with its
// own input. So the parts are never negative, add up to the squared distance, and each belongs to
// the feature whose name it bears.
type distance struct {
	whiten []float32
}

// fitDistance fits to n scaled windows, (n, features), around 0, with the covariance shrunk
// towards a multiple of the identity as far as Ledoit and Wolf (J. Multivariate Analysis 88,
// 2004, section 3.2) find best: many features are constant or copies of each other.
func fitDistance(x []float32) (distance, error) {
	cov := shrunkCovariance(x)
	const p = features
	spread := make([]float64, p)
	for i := range p {
		spread[i] = math.Sqrt(cov.At(i, i))
	}
	correlation := mat.NewSymDense(p, nil)
	for i := range p {
		for j := i; j < p; j++ {
			correlation.SetSym(i, j, cov.At(i, j)/spread[i]/spread[j])
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(correlation, true) {
		return distance{}, errors.New("anomaly: the covariance of the training windows has no eigenvectors")
	}
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	values := eigen.Values(nil)
	d := distance{whiten: make([]float32, p*p)}
	for i := range p {
		for j := range p {
			sum := 0.0
			for k := range p {
				sum += vectors.At(i, k) * vectors.At(j, k) / math.Sqrt(values[k])
			}
			d.whiten[i*p+j] = float32(sum / spread[j])
		}
	}
	return d, nil
}

// shrunkCovariance is (1 − s)·S + s·m·I, with S the covariance around 0, m its mean variance, and
// s = min(b², d²) / d²: d² is how far S lies from m·I, b² how uncertain S is.
func shrunkCovariance(x []float32) *mat.SymDense {
	const p = features
	n := len(x) / p
	s := mat.NewSymDense(p, nil)
	for k := range n {
		row := x[k*p : (k+1)*p]
		for i := range p {
			for j := i; j < p; j++ {
				s.SetSym(i, j, s.At(i, j)+float64(row[i])*float64(row[j])/float64(n))
			}
		}
	}
	mean, norm := mat.Trace(s)/float64(p), 0.0 // norm: the sum of all squares in S
	for i := range p {
		for j := range p {
			norm += s.At(i, j) * s.At(i, j)
		}
	}
	if mean == 0 { // training windows that are all the same: any direction is as good
		for i := range p {
			s.SetSym(i, i, 1)
		}
		return s
	}
	far := norm - float64(p)*mean*mean
	// The mean over all windows of |x·xᵀ − S|² = |x|⁴ − 2·x·S·x + |S|².
	unsure := 0.0
	for k := range n {
		row := x[k*p : (k+1)*p]
		square, form := 0.0, 0.0
		for i := range p {
			sum := 0.0
			for j := range p {
				sum += s.At(i, j) * float64(row[j])
			}
			square += float64(row[i]) * float64(row[i])
			form += sum * float64(row[i])
		}
		unsure += square*square - 2*form + norm
	}
	unsure /= float64(n) * float64(n)
	shrink := 1.0
	if unsure < far {
		shrink = unsure / far
	}
	for i := range p {
		for j := i; j < p; j++ {
			v := (1 - shrink) * s.At(i, j)
			if i == j {
				v += shrink * mean
			}
			s.SetSym(i, j, v)
		}
	}
	return s
}

// parts writes the parts of the squared distance of a scaled window.
func (d *distance) parts(dst *[features]float64, x []float32) {
	for i := range features {
		sum := 0.0
		for j, w := range d.whiten[i*features : (i+1)*features] {
			sum += float64(w) * float64(x[j])
		}
		dst[i] = sum * sum
	}
}

func (d *distance) load(weights map[string]safetensors.Tensor) error {
	t, ok := weights[distanceTensor]
	if !ok || len(t.Data) != features*features {
		return fmt.Errorf("anomaly: tensor %s: %d values, want %d", distanceTensor, len(t.Data), features*features)
	}
	for _, v := range t.Data {
		if v-v != 0 {
			return fmt.Errorf("anomaly: tensor %s holds %v", distanceTensor, v)
		}
	}
	d.whiten = t.Data
	return nil
}
