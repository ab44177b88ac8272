package classify

import (
	"fmt"
	"math"
	"slices"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
)

// Embedding tells flows of one application from those of others, known to training or not: the direction of the mean of the packet
// network's encodings, its last layer before the class scores, seen from the mean of all training flows. Without that centre all
// directions are alike, since encodings are not negative. Two flows are as similar as the cosine of the angle between them.
type Embedding struct {
	// Similarity is what only one in a hundred pairs of validation flows of different applications reaches, at least 0.8; 0: not
	// known.
	Similarity float64 `json:"similarity"`

	size   int
	centre []float32 // (size)
	means  []float32 // (classes, size) of training flows, of unit length; zeros for a class without flows
}

// EmbeddingSize is the most numbers that a flow's embedding has. Longer encodings are projected to as many
// (Johnson and Lindenstrauss 1984) by signs drawn from a fixed seed (Achlioptas 2003): similarities move by about 1/√128.
const EmbeddingSize = 128

// Encoded is the mean encoding of a flow.
type Encoded struct {
	Mean  []float32
	Class int32
}

// Mean returns the mean of the encodings of a flow's packets so far, in the memory of dst.
func (t *Track) Mean(dst []float32) []float32 {
	dst = dst[:0]
	inv := 1 / float32(max(t.Packets, 1))
	for _, v := range t.sum {
		dst = append(dst, v*inv)
	}
	return dst
}

// FitEmbedding fits the centre and the means of classes to training flows. The similarity is set apart, from validation flows.
func FitEmbedding(flows []Encoded, classes int) Embedding {
	var e Embedding
	if len(flows) == 0 {
		return e
	}
	e.size = len(flows[0].Mean)
	sum := make([]float64, e.size)
	for i := range flows {
		for j, v := range flows[i].Mean {
			sum[j] += float64(v)
		}
	}
	e.centre, e.means = make([]float32, e.size), make([]float32, classes*e.size)
	for j, v := range sum {
		e.centre[j] = float32(v / float64(len(flows)))
	}
	var unit []float32
	for i := range flows {
		unit = e.direction(unit, flows[i].Mean)
		row := e.means[int(flows[i].Class)*e.size:][:e.size]
		for j, v := range unit {
			row[j] += v
		}
	}
	for c := range classes {
		row := e.means[c*e.size : (c+1)*e.size]
		copy(row, unitLength(row))
	}
	return e
}

// Limits of SetSimilarity: how many flows are paired, and between what the similarity lies whatever they say.
const (
	pairedFlows   = 1500
	pairsAbove    = 0.01
	minSimilarity = 0.8 // training draws known applications apart, not others: below it those run together (docs/rationale.md)
	maxSimilarity = 0.95
)

// SetSimilarity sets the similarity from validation flows, of which it takes as many as can be paired in time, evenly.
func (e *Embedding) SetSimilarity(flows []Encoded) {
	step := max((len(flows)+pairedFlows-1)/pairedFlows, 1)
	var units [][]float32
	var classes []int32
	for i := 0; i < len(flows); i += step {
		units, classes = append(units, e.direction(nil, flows[i].Mean)), append(classes, flows[i].Class)
	}
	var different []float32
	for i := range units {
		for j := range i {
			if classes[i] != classes[j] {
				different = append(different, dot(units[i], units[j]))
			}
		}
	}
	e.Similarity = 0
	if len(different) > 0 {
		slices.Sort(different)
		at := int((1 - pairsAbove) * float64(len(different)-1))
		e.Similarity = min(max(float64(different[at]), minSimilarity), maxSimilarity)
	}
}

// direction returns the direction of a mean encoding from the centre, of unit length or zero, in the memory of dst.
func (e *Embedding) direction(dst, mean []float32) []float32 {
	dst = append(dst[:0], mean...)
	for j, v := range e.centre {
		dst[j] -= v
	}
	return unitLength(dst)
}

// nearest returns the class whose mean is most similar to a direction, -1 when no means are known.
func (e *Embedding) nearest(unit []float32) (class int, similarity float64) {
	class = -1
	for c := 0; (c+1)*e.size <= len(e.means) && e.size > 0; c++ {
		if s := float64(dot(unit, e.means[c*e.size:(c+1)*e.size])); class < 0 || s > similarity {
			class, similarity = c, s
		}
	}
	return class, similarity
}

// compact appends a direction as it is kept: at most EmbeddingSize numbers, of which the largest is 127 or -127. Their similarities are
// those of the direction to about a hundredth.
func compact(dst []int8, unit []float32) []int8 {
	if len(unit) > EmbeddingSize {
		unit = projected(unit)
	}
	top := float32(0)
	for _, v := range unit {
		top = max(top, max(v, -v))
	}
	if !(top > 0) {
		return append(dst, make([]int8, len(unit))...)
	}
	for _, v := range unit {
		dst = append(dst, int8(math.Round(float64(v/top)*127)))
	}
	return dst
}

func projected(unit []float32) []float32 {
	out := make([]float32, EmbeddingSize)
	r := nn.NewRand(1)
	for k := range out {
		var signs uint64
		for j, v := range unit {
			if j%64 == 0 {
				signs = r.Uint64()
			}
			if signs>>(j%64)&1 == 0 {
				v = -v
			}
			out[k] += v
		}
	}
	return out
}

func unitLength(v []float32) []float32 {
	norm := math.Sqrt(float64(dot(v, v)))
	if !(norm > 1e-12) {
		clear(v)
		return v
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / norm)
	}
	return v
}

func dot(a, b []float32) (sum float32) {
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// Names of the tensors beside the network's.
const (
	centreTensor     = "embedding.centre"
	classMeansTensor = "embedding.means"
)

func (e *Embedding) save(weights map[string]safetensors.Tensor) {
	if e == nil || e.size == 0 {
		return
	}
	weights[centreTensor] = safetensors.Tensor{Shape: []int{e.size}, Data: e.centre}
	weights[classMeansTensor] = safetensors.Tensor{Shape: []int{len(e.means) / e.size, e.size}, Data: e.means}
}

// load restores what save gave. Models that are older have none.
func (e *Embedding) load(weights map[string]safetensors.Tensor, a *Architecture) error {
	if e == nil {
		return nil
	}
	centre, means := weights[centreTensor].Data, weights[classMeansTensor].Data
	if len(centre) != a.Encoding || len(means) != a.Classes*a.Encoding || !(e.Similarity >= 0 && e.Similarity <= 1) {
		return fmt.Errorf("classify: embedding: similarity %v, tensors of %d and %d numbers do not fit encodings of %d", e.Similarity, len(centre), len(means), a.Encoding)
	}
	for _, values := range [...][]float32{centre, means} {
		for _, v := range values {
			if v-v != 0 {
				return fmt.Errorf("classify: embedding: a tensor holds %v", v)
			}
		}
	}
	e.size, e.centre, e.means = a.Encoding, centre, means
	return nil
}

// has reports whether a tensor is one of those that load took.
func (e *Embedding) has(tensor string) bool {
	return e != nil && (tensor == centreTensor || tensor == classMeansTensor)
}

// Embedded is where a flow lies among others. Two of one model can be compared.
type Embedded struct {
	Vector     []int8
	Nearest    string  // label whose flows in training are most similar on the mean; "": not known
	Similarity float64 // to that mean
	Limit      float64 // Embedding.Similarity of the model
}

// embed returns where a flow with a mean encoding lies.
func (m *Model) embed(mean []float32) Embedded {
	e := m.Settings.Embedding
	if e == nil {
		e = new(Embedding)
	}
	unit := e.direction(nil, mean)
	out := Embedded{Vector: compact(make([]int8, 0, min(len(unit), EmbeddingSize)), unit), Limit: e.Similarity}
	if class, similarity := e.nearest(unit); class >= 0 {
		out.Nearest, out.Similarity = m.Labels[class], similarity
	}
	return out
}
