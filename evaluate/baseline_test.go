package evaluate

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
)

// A baseline predicts what a full table without any key left out predicts, also
// after it was written and read.
func TestBaselinesAgainstFullTables(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	draw := func() Outline {
		o := Outline{Proto: uint8(6 + 11*r.IntN(2)), ServerPort: uint16(r.IntN(4))}
		for range r.IntN(6) {
			o.Lengths = append(o.Lengths, int32(r.IntN(3)-1))
		}
		for range r.IntN(3) {
			o.Bytes = append(o.Bytes, byte(r.IntN(2)))
		}
		return o
	}
	for range 20 {
		var train []Outline
		var classes []int32
		overall := map[int32]int{}
		for range 1 + r.IntN(150) {
			train = append(train, draw())
			c := int32(r.IntN(5) - 1)
			classes = append(classes, c)
			if c >= 0 {
				overall[c]++
			}
		}
		most := func(fits func(Outline) bool) int {
			counts := map[int32]int{}
			for i, o := range train {
				if classes[i] >= 0 && fits(o) {
					counts[classes[i]]++
				}
			}
			best := int32(-1)
			for c := int32(0); c < 4; c++ {
				if n := counts[c]; n > 0 && (best < 0 || n > counts[best] || n == counts[best] && overall[c] > overall[best]) {
					best = c
				}
			}
			return int(best)
		}
		for _, b := range FitBaselines(train, classes) {
			j, err := json.Marshal(b)
			if err != nil {
				t.Fatal(err)
			}
			var back Baseline
			if err := json.Unmarshal(j, &back); err != nil {
				t.Fatal(err)
			}
			if err := back.Check(4); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				o := draw()
				want := -1
				for _, table := range b.Tables {
					if want < 0 {
						want = most(func(other Outline) bool { return keys[table.Key](other) == keys[table.Key](o) })
					}
				}
				if want < 0 {
					want = most(func(Outline) bool { return true })
				}
				if got := b.Predict(o); got != want {
					t.Fatalf("%s: %+v: got %d, want %d", b.Name, o, got, want)
				}
				if got := back.Predict(o); got != want {
					t.Fatalf("%s, read back: %+v: got %d, want %d", b.Name, o, got, want)
				}
			}
		}
	}
}

func TestBaselineNames(t *testing.T) {
	names := func(bs []Baseline) (out []string) {
		for _, b := range bs {
			out = append(out, b.Name)
		}
		return out
	}
	without := []Outline{{ServerPort: 80, Lengths: []int32{5}}}
	if got, want := names(FitBaselines(without, []int32{0})), []string{"majority", "server port", "port + first four lengths"}; !reflect.DeepEqual(got, want) {
		t.Errorf("without bytes: got %v, want %v", got, want)
	}
	with := []Outline{{ServerPort: 80, Bytes: []byte("GET")}}
	if got := names(FitBaselines(with, []int32{0})); len(got) != 4 {
		t.Errorf("with bytes: got %v", got)
	}
	if b := FitBaselines(nil, nil)[0]; b.Predict(Outline{}) >= 0 {
		t.Errorf("fitted on nothing it answers %d", b.Predict(Outline{}))
	}
}

func TestZScoreByHand(t *testing.T) {
	// Features: mean 2 and variance 1; constant 5.
	z := FitZScore([][]float64{{1, 5}, {3, 5}, {1, 5}, {3, 5}}, 0)
	if !reflect.DeepEqual(z.Mean, []float64{2, 5}) || !reflect.DeepEqual(z.Std, []float64{1, 1}) {
		t.Fatalf("mean %v, std %v", z.Mean, z.Std)
	}
	if got := z.Score([]float64{6, 2}); got != (4.0+3)/2 {
		t.Errorf("score: got %g, want 3.5", got)
	}
	if !(z.Threshold > 0.5 && z.Threshold < 0.5000001) {
		t.Errorf("threshold %g, want just above 0.5", z.Threshold)
	}
	if !math.IsNaN(z.Score([]float64{1})) {
		t.Error("a vector of another length has a score")
	}
	if FitZScore(nil, 0.01) != nil {
		t.Error("fitted on nothing")
	}
}

// The threshold lets through at most the wanted share of training windows, and one fewer would not.
func TestZScoreRate(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 5))
	vectors := make([][]float64, 1000)
	for i := range vectors {
		vectors[i] = []float64{r.NormFloat64(), r.ExpFloat64(), 7}
	}
	for _, rate := range []float64{0, 0.01, 0.25, 1} {
		z := FitZScore(vectors, rate)
		alarms := 0
		for _, v := range vectors {
			if z.Score(v) >= z.Threshold {
				alarms++
			}
		}
		want := min(int(rate*1000), 999)
		if alarms != want {
			t.Errorf("rate %g: %d alarms in 1000 windows, want %d", rate, alarms, want)
		}
	}
}
