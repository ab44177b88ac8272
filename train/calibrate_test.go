package train

import (
	"math"
	"testing"

	"github.com/weirnet/weir/nn"
)

// Labels drawn from softmax(scores / T) give T back, and no other temperature has less loss.
func TestTemperature(t *testing.T) {
	for _, want := range []float64{0.4, 1, 2.5} {
		r := nn.NewRand(3)
		s := scores{classes: 4}
		row := make([]float32, 4)
		for range 20000 {
			z := 0.0
			for c := range row {
				row[c] = float32(3 * r.Normal())
				z += math.Exp(float64(row[c]) / want)
			}
			u, label := r.Float64()*z, int32(-1)
			for label < 3 && u >= 0 {
				label++
				u -= math.Exp(float64(row[label]) / want)
			}
			s.add(row, label)
		}
		got := s.temperature()
		if math.Abs(got/want-1) > 0.05 {
			t.Errorf("temperature %.3f, want %.3f", got, want)
		}
		for _, other := range []float64{got * 0.98, got * 1.02} {
			if s.loss(other) < s.loss(got) {
				t.Errorf("temperature %.4f has loss %.6f, %.4f has less: %.6f", got, s.loss(got), other, s.loss(other))
			}
		}
	}
	if none := (&scores{classes: 2}).temperature(); none != 1 {
		t.Errorf("temperature without samples is %v, want 1", none)
	}
}

func TestScores(t *testing.T) {
	out := float32(math.Inf(-1)) // a class of no probability
	s := scores{classes: 3}
	s.add([]float32{0, 0, out}, 0)
	s.add([]float32{float32(math.Log(3)), 0, out}, 1)
	if got, want := s.loss(1), (math.Log(2)+math.Log(4))/2; math.Abs(got-want) > 1e-6 {
		t.Errorf("loss %v, want %v", got, want)
	}
	if got := s.accuracy(); got != 0.5 {
		t.Errorf("accuracy %v, want 0.5", got)
	}
	// Class 0: one of two said is right, F1 2/3; class 1 is never said; class 2 is in no row.
	if got, want := s.macroF1(), (2.0/3+0)/2; math.Abs(got-want) > 1e-12 {
		t.Errorf("macro-F1 %v, want %v", got, want)
	}
	if none := (&scores{classes: 2}); none.accuracy() != 0 || none.macroF1() != 0 {
		t.Errorf("without rows accuracy %v and macro-F1 %v, want 0", none.accuracy(), none.macroF1())
	}
}
