package classify

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/weirnet/weir/nn"
)

// clouds are places of three labels around means of their own, wide in one direction, and of unit width in those after the third.
func clouds(n, size int, seed uint64) []Place {
	r := nn.NewRand(seed)
	places := make([]Place, n)
	for i := range places {
		g := i % 3
		x, y := r.Normal(), r.Normal()
		places[i] = Place{
			State:   []float32{float32(4*g) + float32(3*x), float32(3*x + 0.3*y), float32(-5*g) + float32(r.Normal())},
			Packets: 1 + i%12, Group: int32(g),
		}
		for j := 3; j < size; j++ {
			places[i].State = append(places[i].State, float32(g*(j%3))+float32(r.Normal()))
		}
	}
	return places
}

// The distance is Mahalanobis' to the nearest mean of the same age, here by solving a system of
// equations for each.
func TestNoveltyEqualsDefinition(t *testing.T) {
	for _, size := range []int{3, 32, 70} { // less than the sums take at a time, as much, and twice as much and more
		noveltyEqualsDefinition(t, size)
	}
}

func noveltyEqualsDefinition(t *testing.T, size int) {
	places := clouds(3000, size, 1)
	n, err := FitNovelty(places)
	if err != nil {
		t.Fatal(err)
	}
	type cell struct {
		group int32
		age   int
	}
	means, counts := map[cell]*mat.VecDense{}, map[cell]float64{}
	vector := func(p Place) *mat.VecDense {
		v := mat.NewVecDense(size, nil)
		for j, x := range p.State {
			v.SetVec(j, float64(x))
		}
		return v
	}
	for _, p := range places {
		c := cell{p.Group, age(p.Packets)}
		if means[c] == nil {
			means[c] = mat.NewVecDense(size, nil)
		}
		means[c].AddVec(means[c], vector(p))
		counts[c]++
	}
	for c, m := range means {
		m.ScaleVec(1/counts[c], m)
	}
	cov := mat.NewDense(size, size, nil)
	var diff, outer = mat.NewVecDense(size, nil), mat.NewDense(size, size, nil)
	for _, p := range places {
		diff.SubVec(vector(p), means[cell{p.Group, age(p.Packets)}])
		outer.Outer(1/float64(len(places)), diff, diff)
		cov.Add(cov, outer)
	}
	trace := mat.Trace(cov)/float64(size) + 1e-6
	cov.Scale(1-shrinkage, cov)
	for i := range size {
		cov.Set(i, i, cov.At(i, i)+shrinkage*trace)
	}
	buf := make([]float32, size)
	solved := mat.NewVecDense(size, nil)
	for _, p := range clouds(50, size, 2) {
		want := math.Inf(1)
		for c, m := range means {
			if c.age != age(p.Packets) {
				continue
			}
			diff.SubVec(vector(p), m)
			if err := solved.SolveVec(cov, diff); err != nil {
				t.Fatal(err)
			}
			want = min(want, mat.Dot(diff, solved))
		}
		if got := n.distance(p.State, p.Packets, buf); math.Abs(got-want) > 1e-3*(1+want) {
			t.Errorf("distance of %v after %d packets is %.5f, want %.5f", p.State, p.Packets, got, want)
		}
	}
}

func TestNoveltyThreshold(t *testing.T) {
	n, err := FitNovelty(clouds(3000, 3, 1))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]float32, 3)
	if got := n.Score([]float32{100, 0, 0}, 1, buf); got != 0 {
		t.Errorf("without thresholds the score is %v, want 0", got)
	}
	known := clouds(2000, 3, 2)
	n.SetThresholds(known, 0.98)
	novel := 0
	for _, p := range known {
		if n.Score(p.State, p.Packets, buf) >= 1 {
			novel++
		}
	}
	if share := float64(novel) / float64(len(known)); math.Abs(share-0.02) > 0.005 {
		t.Errorf("%.3f of the known are novel, want 0.02", share)
	}
	// Against the grain of the clouds a stranger need not be far by Euclid's measure.
	if stranger := n.Score([]float32{4, -6, -5}, 3, buf); stranger < 1 {
		t.Errorf("a stranger has score %.2f, want at least 1", stranger)
	}
	if _, err := FitNovelty(nil); err == nil {
		t.Error("novelty is fitted to nothing")
	}
}
