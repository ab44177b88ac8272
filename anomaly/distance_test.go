package anomaly

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/weirnet/weir/window"
)

// correlated makes n rows in which features depend on each other, some do not move, and one is
// the copy of another.
func correlated(n int) []float32 {
	r := rand.New(rand.NewPCG(1, 1))
	mix := make([]float64, features*10)
	for i := range mix {
		mix[i] = r.NormFloat64()
	}
	x := make([]float32, n*features)
	for k := range n {
		var hidden [10]float64
		for j := range hidden {
			hidden[j] = r.NormFloat64()
		}
		row := x[k*features : (k+1)*features]
		for i := range row {
			for j, h := range hidden {
				row[i] += float32(mix[i*10+j] * h)
			}
			row[i] += float32(0.1 * r.NormFloat64())
		}
		row[20], row[21], row[22] = 0, 0, row[5]
	}
	return x
}

// The covariance by Ledoit and Wolf's definitions, with the matrix x·xᵀ written out.
func TestShrunkCovarianceIsItsDefinition(t *testing.T) {
	const n = 80
	x := correlated(n)
	outer := func(k int) *mat.Dense {
		v := mat.NewVecDense(features, nil)
		for i := range features {
			v.SetVec(i, float64(x[k*features+i]))
		}
		var m mat.Dense
		m.Outer(1, v, v)
		return &m
	}
	var s mat.Dense
	s.CloneFrom(mat.NewDense(features, features, nil))
	for k := range n {
		s.Add(&s, outer(k))
	}
	s.Scale(1.0/n, &s)
	square := func(m *mat.Dense) float64 { return mat.Norm(m, 2) * mat.Norm(m, 2) / float64(features) }
	mean := mat.Trace(&s) / float64(features)
	var target, diff mat.Dense
	target.Scale(mean, identity())
	diff.Sub(&s, &target)
	d2, b2 := square(&diff), 0.0
	for k := range n {
		diff.Sub(outer(k), &s)
		b2 += square(&diff) / (n * n)
	}
	b2 = min(b2, d2)
	var want, part mat.Dense
	want.Scale(b2/d2, &target)
	part.Scale(1-b2/d2, &s)
	want.Add(&want, &part)

	got := shrunkCovariance(x)
	if !mat.EqualApprox(got, &want, 1e-9*mean) {
		t.Errorf("differs from the definition, by up to %v", maxDifference(got, &want))
	}
	if b2/d2 <= 0 || b2/d2 >= 1 {
		t.Errorf("shrinks by %v: the test is blind", b2/d2)
	}
}

func identity() *mat.Dense {
	m := mat.NewDense(features, features, nil)
	for i := range features {
		m.Set(i, i, 1)
	}
	return m
}

func maxDifference(a, b mat.Matrix) float64 {
	worst := 0.0
	for i := range features {
		for j := range features {
			worst = max(worst, math.Abs(a.At(i, j)-b.At(i, j)))
		}
	}
	return worst
}

// The parts add up to x·P·x, P the inverse of the covariance, and whitening leaves each feature
// as close to its own output as Garthwaite and Koch demand: their correlations form a symmetric
// matrix.
func TestDistanceIsMahalanobis(t *testing.T) {
	x := correlated(300)
	d, err := fitDistance(x)
	if err != nil {
		t.Fatal(err)
	}
	cov := shrunkCovariance(x)
	var inverse mat.Dense
	if err := inverse.Inverse(cov); err != nil {
		t.Fatal(err)
	}
	for k := range 20 {
		row := x[k*features : (k+1)*features]
		v := mat.NewVecDense(features, nil)
		for i, z := range row {
			v.SetVec(i, float64(z))
		}
		want := mat.Inner(v, &inverse, v)
		var parts [features]float64
		d.parts(&parts, row)
		if got := total(&parts); math.Abs(got-want) > 1e-4*want {
			t.Errorf("row %d: squared distance %v, want %v", k, got, want)
		}
	}
	w := mat.NewDense(features, features, nil)
	for i, v := range d.whiten {
		w.Set(i/features, i%features, float64(v))
	}
	var cross, white mat.Dense
	cross.Mul(w, cov) // covariance of outputs and inputs
	white.Mul(&cross, w.T())
	if !mat.EqualApprox(&white, identity(), 1e-3) {
		t.Errorf("the outputs' covariance differs from the identity by up to %v", maxDifference(&white, identity()))
	}
	for j := range features {
		for i := range features {
			cross.Set(i, j, cross.At(i, j)/math.Sqrt(cov.At(j, j)))
		}
	}
	if !mat.EqualApprox(&cross, cross.T(), 1e-3) {
		t.Errorf("correlations of outputs and inputs are not symmetric: off by up to %v", maxDifference(&cross, cross.T()))
	}
}

func TestScaling(t *testing.T) {
	windows := benign(1, 200)
	for name, s := range map[string]Scaling{"min-max": minMax(windows), "standard": standard(windows)} {
		var mean, least, most [features]float64
		for _, v := range windows {
			z := make([]float32, features)
			s.apply(z, &v)
			for i, x := range z {
				mean[i] += float64(x) / float64(len(windows))
				least[i], most[i] = min(least[i], float64(x)), max(most[i], float64(x))
				if got := s.invert(i, float64(x), &v); math.Abs(got-v[i]) > 1e-4*(1+v[i]) {
					t.Errorf("%s: %s %v comes back as %v", name, window.Names[i], v[i], got)
				}
			}
		}
		for i, feature := range window.Names {
			if name == "min-max" && (least[i] != 0 || most[i] != 1 && most[i] != 0) {
				t.Errorf("%s: %s lies in [%v, %v], want [0, 1]", name, feature, least[i], most[i])
			}
			if name == "standard" && math.Abs(mean[i]) > 1e-4 {
				t.Errorf("%s: mean of %s is %v, want 0", name, feature, mean[i])
			}
		}
	}
	s := standard(make([]window.Vector, 10))
	var v window.Vector
	v[1], v[20] = 5, 1
	z := make([]float32, features)
	s.apply(z, &v)
	if got, want := z[1], float32(math.Log(6)/logFloor); got != want {
		t.Errorf("five packets after silence scale to %v, want %v", got, want)
	}
	if got, want := z[20], float32(5.0/25/shareFloor); got != want {
		t.Errorf("a share of all of five packets after silence scales to %v, want %v", got, want)
	}
	v[1] = 1e12
	if s.apply(z, &v); z[1] != scaledLimit {
		t.Errorf("10¹² packets scale to %v, want the limit %d", z[1], scaledLimit)
	}
	if p := minMax([]window.Vector{{0: 5}, {0: 5}}); p.Scale[0] != 1 || p.Shift[0] != 5 {
		t.Errorf("a constant feature: shift %v, scale %v, want 5 and 1", p.Shift[0], p.Scale[0])
	}
}
