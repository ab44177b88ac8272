package evaluate

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// An Outline is all that a trivial classifier may look at in a flow.
type Outline struct {
	Proto      uint8   // IP protocol number
	ServerPort uint16  // the responder's
	Lengths    []int32 // payload bytes of the first payload packets, negative from the responder; four are used
	Bytes      []byte  // start of the first payload, as captured; 16 are used; nil when payloads are not at hand
}

// What the baselines look at, at most.
const (
	baselineLengths = 4
	baselineBytes   = 16
)

// A Baseline is a classifier that anybody would think of first: it answers the
// label that most training flows with the same key had. A key not seen in
// training falls back on a coarser key, and at last on the label most frequent
// of all. It is a plain table, to be kept beside the model that it humbles.
type Baseline struct {
	Name     string   `json:"name"`
	Tables   []Lookup `json:"tables,omitempty"` // finest key first
	Majority int32    `json:"majority"`
}

// A Lookup maps the keys of one kind to the class of most training flows that
// have it. Keys that the tables below would answer alike are left out.
type Lookup struct {
	Key     string           `json:"key"` // port, port+bytes, or port+lengths
	Answers map[string]int32 `json:"answers"`
}

// keys are the kinds of key that a Lookup can have.
var keys = map[string]func(Outline) string{
	"port":         portKey,
	"port+bytes":   bytesKey,
	"port+lengths": lengthsKey,
}

func portKey(o Outline) string { return fmt.Sprintf("%d/%d", o.Proto, o.ServerPort) }

func bytesKey(o Outline) string {
	return portKey(o) + "/" + hex.EncodeToString(o.Bytes[:min(len(o.Bytes), baselineBytes)])
}

func lengthsKey(o Outline) string {
	key := portKey(o)
	for _, n := range o.Lengths[:min(len(o.Lengths), baselineLengths)] {
		key += "/" + strconv.Itoa(int(n))
	}
	return key
}

// FitBaselines fits every baseline on the flows that a model is trained on.
// classes are indexes of the model's labels, one per outline; negative ones are
// left out. Without any payload bytes the baseline that needs them is left out.
func FitBaselines(outlines []Outline, classes []int32) []Baseline {
	if len(outlines) != len(classes) {
		panic("evaluate: FitBaselines needs one class per outline")
	}
	haveBytes := slices.ContainsFunc(outlines, func(o Outline) bool { return len(o.Bytes) > 0 })
	kinds := []struct {
		name string
		keys []string
	}{
		{"majority", nil},
		{"server port", []string{"port"}},
		{"port + first 16 bytes", []string{"port+bytes", "port"}},
		{"port + first four lengths", []string{"port+lengths", "port"}},
	}
	var out []Baseline
	for _, k := range kinds {
		if slices.Contains(k.keys, "port+bytes") && !haveBytes {
			continue
		}
		out = append(out, fitBaseline(k.name, k.keys, outlines, classes))
	}
	return out
}

func fitBaseline(name string, kinds []string, outlines []Outline, classes []int32) Baseline {
	overall := map[int32]int{}
	for _, c := range classes {
		if c >= 0 {
			overall[c]++
		}
	}
	// most is the class of most flows; among equals the one more frequent overall, then the first.
	most := func(counts map[int32]int) int32 {
		best := int32(noClass)
		for c, n := range counts {
			switch {
			case best < 0, n > counts[best],
				n == counts[best] && overall[c] > overall[best],
				n == counts[best] && overall[c] == overall[best] && c < best:
				best = c
			}
		}
		return best
	}
	b := Baseline{Name: name, Majority: most(overall)}
	for _, kind := range slices.Backward(kinds) { // coarse first: finer tables leave out what it answers
		counts := map[string]map[int32]int{}
		example := map[string]Outline{}
		for i, o := range outlines {
			if classes[i] < 0 {
				continue
			}
			key := keys[kind](o)
			if counts[key] == nil {
				counts[key], example[key] = map[int32]int{}, o
			}
			counts[key][classes[i]]++
		}
		answers := map[string]int32{}
		for key, c := range counts {
			if best := most(c); int(best) != b.Predict(example[key]) {
				answers[key] = best
			}
		}
		b.Tables = slices.Insert(b.Tables, 0, Lookup{kind, answers})
	}
	return b
}

// Predict returns the class of a flow, or a negative number when nothing was trained on.
func (b *Baseline) Predict(o Outline) int {
	for _, t := range b.Tables {
		if class, ok := t.Answers[keys[t.Key](o)]; ok {
			return int(class)
		}
	}
	return int(b.Majority)
}

// Check refuses a baseline, read from a file, that Predict cannot use for a model with so many classes.
func (b *Baseline) Check(classes int) error {
	fits := func(c int32) bool { return c >= noClass && int(c) < classes }
	if !fits(b.Majority) {
		return fmt.Errorf("evaluate: baseline %q: class %d of %d", b.Name, b.Majority, classes)
	}
	for _, t := range b.Tables {
		if keys[t.Key] == nil {
			return fmt.Errorf("evaluate: baseline %q: unknown key %q", b.Name, t.Key)
		}
		for _, c := range t.Answers {
			if !fits(c) {
				return fmt.Errorf("evaluate: baseline %q: class %d of %d", b.Name, c, classes)
			}
		}
	}
	return nil
}

// A ZScore is the trivial detector: how many standard deviations a window's
// features lie from their means in training, as the mean of the absolute values
// over the features. A feature constant in training is scaled by 1, as in paper B.
type ZScore struct {
	Mean      []float64 `json:"mean"`
	Std       []float64 `json:"std"`
	Threshold float64   `json:"threshold"` // at or above it a window is anomalous
}

// FitZScore fits on the windows that a detector is trained on, all of one
// length. rate is the share of them that may be anomalous: the threshold lies
// just above the first score that exceeds it. It returns nil without windows.
func FitZScore(vectors [][]float64, rate float64) *ZScore {
	if len(vectors) == 0 {
		return nil
	}
	n := len(vectors[0])
	z := &ZScore{Mean: make([]float64, n), Std: make([]float64, n)}
	for _, v := range vectors {
		for i, x := range v {
			z.Mean[i] += x / float64(len(vectors))
		}
	}
	for _, v := range vectors {
		for i, x := range v {
			z.Std[i] += (x - z.Mean[i]) * (x - z.Mean[i]) / float64(len(vectors))
		}
	}
	for i, variance := range z.Std {
		z.Std[i] = math.Sqrt(variance)
		if z.Std[i] <= 1e-12*math.Abs(z.Mean[i]) { // rounding is not variance
			z.Std[i] = 1
		}
	}
	scores := make([]float64, len(vectors))
	for i, v := range vectors {
		scores[i] = z.Score(v)
	}
	slices.Sort(scores)
	allowed := min(int(rate*float64(len(scores))), len(scores)-1)
	z.Threshold = math.Nextafter(scores[len(scores)-1-allowed], math.Inf(1))
	return z
}

// Score returns the mean of |z| over the features, NaN for a vector of another length.
func (z *ZScore) Score(vector []float64) float64 {
	if len(vector) != len(z.Mean) || len(z.Std) != len(z.Mean) || len(vector) == 0 {
		return math.NaN()
	}
	var sum float64
	for i, x := range vector {
		sum += math.Abs(x-z.Mean[i]) / z.Std[i]
	}
	return sum / float64(len(vector))
}
