package anomaly

import (
	"math/rand/v2"
	"testing"
)

func TestDrift(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	scores := make([]float64, 5000)
	for i := range scores {
		scores[i] = r.ExpFloat64()
	}
	m := &Model{Settings: Settings{Deciles: deciles(scores)}}
	d := m.NewDrift()
	for range leastDriftWindows - 1 {
		d.Add(r.ExpFloat64())
	}
	if _, n, known := d.Index(); known || n != leastDriftWindows-1 {
		t.Errorf("known from %d windows", n)
	}
	for range 3000 {
		d.Add(r.ExpFloat64())
	}
	if index, n, known := d.Index(); !known || n != driftWindows || index > 0.05 {
		t.Errorf("nothing has changed, the index of %d windows is %v", n, index)
	}
	for range driftWindows / 2 {
		d.Add(2 * r.ExpFloat64())
	}
	half, _, _ := d.Index()
	for range driftWindows / 2 {
		d.Add(2 * r.ExpFloat64())
	}
	if all, n, _ := d.Index(); n != driftWindows || !(all > half) || all < 0.25 {
		t.Errorf("all scores are twice as high: index %v, %v when half of them were", all, half)
	}
	for range driftWindows {
		d.Add(r.ExpFloat64())
	}
	if index, _, _ := d.Index(); index > 0.05 {
		t.Errorf("after it has passed the index is %v", index)
	}
	var none Drift
	none.Add(1)
	if _, _, known := none.Index(); known {
		t.Error("known without a model")
	}
	if deciles(scores[:MinWindows-1]) != nil {
		t.Error("deciles of too few scores")
	}
}
