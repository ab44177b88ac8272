package drift

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func exponential(r *rand.Rand, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = r.ExpFloat64()
	}
	return values
}

func TestShift(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	ref := Of(exponential(r, 5000))
	d := New(ref, 1000)
	add := func(n int, scale float64) {
		for range n {
			d.Add(ref.Bin(scale * r.ExpFloat64()))
		}
	}
	add(leastCount-1, 1)
	if _, known := d.Shift(); known {
		t.Errorf("known from %d values", leastCount-1)
	}
	add(3000, 1)
	if s, known := d.Shift(); !known || s.Count != 1000 || s.Index > 0.05 {
		t.Errorf("nothing has changed: index %v of %d, known %v", s.Index, s.Count, known)
	}
	add(500, 2)
	half, _ := d.Shift()
	add(500, 2)
	all, _ := d.Shift()
	if !(all.Index > half.Index) || all.Index < 0.25 {
		t.Errorf("all values are twice as high: index %v, %v when half of them were", all.Index, half.Index)
	}
	// The ring holds the last values and no others: counts are those of its bins.
	if counted := math.Abs(all.Shares[9] - math.Exp(-ref.Edges[8]/2)); counted > 0.05 {
		t.Errorf("the topmost bin has %v, want about %v", all.Shares[9], math.Exp(-ref.Edges[8]/2))
	}
	add(1000, 1)
	if s, _ := d.Shift(); s.Index > 0.05 {
		t.Errorf("after it has passed the index is %v", s.Index)
	}
	if n := testing.AllocsPerRun(1000, func() { d.Add(3) }); n != 0 {
		t.Errorf("Add allocates %v times", n)
	}
}

// Where nothing has changed the index is 0 on average but for what is cut off below, however few the values.
func TestChanceIsNoShift(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	sum, trials := 0.0, 200
	for range trials {
		ref := Of(exponential(r, 250))
		d := New(ref, 300)
		for range 300 {
			d.Add(ref.Bin(r.ExpFloat64()))
		}
		s, known := d.Shift()
		if !known {
			t.Fatal("not known")
		}
		sum += s.Index
	}
	if mean := sum / float64(trials); mean > 0.03 {
		t.Errorf("the mean index is %v where nothing has changed", mean)
	}
}

func TestUnknown(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for name, ref := range map[string]*Reference{
		"no reference": nil, "too few values at training time": Of(exponential(r, 50)), "one value": Of(make([]float64, 1000)),
	} {
		d := New(ref, 1000)
		for range 1000 {
			d.Add(0)
		}
		if _, known := d.Shift(); known {
			t.Errorf("%s: known", name)
		}
	}
}

// Values that are there many times, as confidences of 1 are, make fewer bins of other size.
func TestTies(t *testing.T) {
	values := make([]float64, 1000)
	for i := range values {
		values[i] = min(0.5+float64(i)/1000, 1) // half of them 1
	}
	ref := Of(values)
	if err := ref.Check(); err != nil {
		t.Fatal(err)
	}
	if k := len(ref.Shares); k != 6 || ref.Shares[k-1] != 0.5 {
		t.Errorf("shares %v, want 6, the last 0.5", ref.Shares)
	}
	d := New(ref, 1000)
	for _, v := range values {
		d.Add(ref.Bin(v))
	}
	if s, known := d.Shift(); !known || s.Index != 0 || !slices.Equal(s.Shares, ref.Shares) {
		t.Errorf("the same values: %+v, known %v", s, known)
	}
}

func TestCheck(t *testing.T) {
	good := func() *Reference {
		return &Reference{Edges: []float64{1, 2}, Shares: []float64{0.5, 0.25, 0.25}, Count: 4}
	}
	if err := good().Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(r *Reference){
		"order":  func(r *Reference) { r.Edges[0] = 3 },
		"number": func(r *Reference) { r.Edges[0] = math.NaN() },
		"length": func(r *Reference) { r.Shares = r.Shares[:2] },
		"sum":    func(r *Reference) { r.Shares[0] = 1 },
		"sign":   func(r *Reference) { r.Shares[0], r.Shares[1] = -0.5, 1.25 },
		"count":  func(r *Reference) { r.Count = 0 },
		"bins": func(r *Reference) {
			r.Edges = make([]float64, Bins)
			r.Shares = make([]float64, Bins+1)
			r.Shares[0] = 1
		},
	} {
		r := good()
		if spoil(r); r.Check() == nil {
			t.Errorf("%s: a spoilt reference passes", name)
		}
	}
}
