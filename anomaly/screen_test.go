package anomaly

import (
	"math/rand/v2"
	"testing"

	"github.com/weirnet/weir/window"
)

func TestScreen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	windows := make([]window.Vector, 400)
	for k := range windows {
		for i := range windows[k] {
			windows[k][i] = 100 * (1 + r.Float64())
			if window.KindOf(i) == window.Share {
				windows[k][i] = 0.4 + 0.2*r.Float64()
			}
		}
	}
	const syn = 9
	if window.Names[syn] != "syn" {
		t.Fatal("the test is of another feature")
	}
	for k := 100; k < 120; k++ {
		windows[k][syn] = 50_000
	}
	s := Screen(windows)
	others := 0
	for k := range windows {
		attack := k >= 100 && k < 120
		switch {
		case attack && !s.StandsOut(k):
			t.Errorf("window %d, of the attack, does not stand out: oddness %v, limit %v", k, s.Oddness[k], s.Limit)
		case attack && (s.Features[k][0].Index != syn || s.Features[k][0].Value != 50_000):
			t.Errorf("window %d stands out by %+v", k, s.Features[k][0])
		case !attack && s.StandsOut(k):
			others++
		}
	}
	if others > 12 {
		t.Errorf("%d usual windows of 380 stand out", others)
	}
	if m := s.Features[100][0].Median; m < 100 || m > 200 {
		t.Errorf("the median of what is between 100 and 200 is %v", m)
	}

	same := Screen(make([]window.Vector, 50))
	for k := range same.Oddness {
		if same.StandsOut(k) {
			t.Error("of equal windows one stands out")
		}
	}
	Screen(nil)
}
