package classify

import (
	"math"
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
)

// encodings are mean encodings of flows around directions of their class, not negative, as those of ReLU layers.
func encodings(n, classes, size int, spread float64, seed uint64) []Encoded {
	r := nn.NewRand(seed)
	all := make([]Encoded, n)
	for i := range all {
		class := i % classes
		mean := make([]float32, size)
		for j := range mean {
			v := 1 + spread*r.Normal()
			if j%classes == class {
				v += 3
			}
			mean[j] = float32(max(v, 0))
		}
		all[i] = Encoded{mean, int32(class)}
	}
	return all
}

func TestEmbeddingTellsClassesApart(t *testing.T) {
	e := FitEmbedding(encodings(300, 3, 30, 0.3, 1), 3)
	e.SetSimilarity(encodings(3000, 3, 30, 0.3, 2))
	if e.Similarity != minSimilarity { // classes of the test lie far apart
		t.Errorf("similarity %v", e.Similarity)
	}
	flows := encodings(60, 3, 30, 0.3, 3)
	for i := range flows {
		u := e.direction(nil, flows[i].Mean)
		if class, s := e.nearest(u); class != int(flows[i].Class) || s < 0.9 {
			t.Errorf("flow of class %d is nearest to %d, by %v", flows[i].Class, class, s)
		}
		for k := range i {
			same := flows[i].Class == flows[k].Class
			if s := dot(u, e.direction(nil, flows[k].Mean)); same != (s > 0.8) {
				t.Errorf("similarity %v of flows of classes %d and %d", s, flows[i].Class, flows[k].Class)
			}
		}
	}
}

// The similarity is the quantile of pairs of different classes.
func TestSimilarityOfOverlappingClasses(t *testing.T) {
	flows := encodings(200, 4, 4, 2.5, 5)
	e := FitEmbedding(flows, 4)
	e.SetSimilarity(flows)
	above, pairs := 0, 0
	for i := range flows {
		for k := range i {
			if flows[i].Class != flows[k].Class {
				pairs++
				if dot(e.direction(nil, flows[i].Mean), e.direction(nil, flows[k].Mean)) > float32(e.Similarity) {
					above++
				}
			}
		}
	}
	if share := float64(above) / float64(pairs); e.Similarity <= minSimilarity || e.Similarity > maxSimilarity || e.Similarity < maxSimilarity && math.Abs(share-pairsAbove) > 0.002 {
		t.Errorf("%.4f of the pairs are above %v", share, e.Similarity)
	}
}

// What is kept of a direction has its similarities, projected or not.
func TestCompactKeepsSimilarity(t *testing.T) {
	for _, test := range []struct {
		size int
		off  float64
	}{{96, 0.02}, {1000, 0.35}} {
		e := FitEmbedding(encodings(90, 3, test.size, 0.5, 7), 3)
		flows := encodings(30, 3, test.size, 0.5, 8)
		for i := range flows {
			for k := range i {
				a, b := e.direction(nil, flows[i].Mean), e.direction(nil, flows[k].Mean)
				x, y := compact(nil, a), compact(nil, b)
				if len(x) > EmbeddingSize {
					t.Fatalf("%d numbers", len(x))
				}
				var xy, xx, yy float64
				for j := range x {
					xy, xx, yy = xy+float64(x[j])*float64(y[j]), xx+float64(x[j])*float64(x[j]), yy+float64(y[j])*float64(y[j])
				}
				if got, want := xy/math.Sqrt(xx*yy), float64(dot(a, b)); math.Abs(got-want) > test.off {
					t.Errorf("of %d numbers: similarity %v, kept as %v", test.size, want, got)
				}
			}
		}
	}
	if zero := compact(nil, make([]float32, 5)); len(zero) != 5 || zero[0] != 0 {
		t.Errorf("no direction is kept as %v", zero)
	}
}

func TestEmbeddingLoads(t *testing.T) {
	arch := Architecture{Classes: 3, Encoding: 30}
	e := FitEmbedding(encodings(90, 3, 30, 0.3, 1), 3)
	e.Similarity = 0.85
	weights := map[string]safetensors.Tensor{}
	e.save(weights)
	again := Embedding{Similarity: 0.85}
	if err := again.load(weights, &arch); err != nil {
		t.Fatal(err)
	}
	u := e.direction(nil, encodings(1, 3, 30, 0.3, 2)[0].Mean)
	if a, x := e.nearest(u); a != 0 {
		t.Errorf("nearest %d by %v", a, x)
	} else if b, y := again.nearest(u); a != b || x != y {
		t.Errorf("loaded: nearest %d by %v, was %d by %v", b, y, a, x)
	}
	none := (*Embedding)(nil)
	if err := none.load(weights, &arch); err != nil {
		t.Errorf("a model without one: %v", err)
	}
	for name, damage := range map[string]func(map[string]safetensors.Tensor, *Embedding){
		"no centre": func(w map[string]safetensors.Tensor, _ *Embedding) { delete(w, centreTensor) },
		"short means": func(w map[string]safetensors.Tensor, _ *Embedding) {
			w[classMeansTensor] = safetensors.Tensor{Data: e.means[:30]}
		},
		"not a number": func(w map[string]safetensors.Tensor, _ *Embedding) {
			w[centreTensor] = safetensors.Tensor{Data: append([]float32{float32(math.NaN())}, e.centre[1:]...)}
		},
		"similarity of two": func(_ map[string]safetensors.Tensor, x *Embedding) { x.Similarity = 2 },
	} {
		w := map[string]safetensors.Tensor{}
		e.save(w)
		x := Embedding{Similarity: 0.85}
		damage(w, &x)
		if err := x.load(w, &arch); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
