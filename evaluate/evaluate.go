// Package evaluate turns what a model said about traffic whose truth is known
// into numbers, and the numbers into JSON and a report. It knows neither
// networks nor packets: callers fill FlowResult and WindowResult records.
//
//	result, err := evaluate.Apps(evaluate.AppsInput{Labels: labels, Split: how, Flows: flows, Baselines: b})
//	page := evaluate.AppsReport(result)
//
// Rules that hold for every number here:
//   - None stands without the description of its split and a trivial baseline in the same measure.
//   - What is undefined (a share of nothing, an AUC without positives) is NaN in Go and null in
//     JSON, never 0.
//   - Scores that are NaN rank below every other and are never anomalous: a model gains nothing by
//     not answering.
package evaluate

import (
	"maps"
	"math"
	"slices"
	"strconv"
)

// A Number is a float64 whose undefined values (NaN, and the infinities that
// JSON lacks) are null in JSON; null reads back as NaN.
type Number float64

// Undefined is the value of a measure that its data do not define.
var Undefined = Number(math.NaN())

// Defined reports whether n is a finite number.
func (n Number) Defined() bool { return !math.IsNaN(float64(n)) && !math.IsInf(float64(n), 0) }

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.Defined() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(n), 'g', -1, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Undefined
		return nil
	}
	v, err := strconv.ParseFloat(string(b), 64)
	*n = Number(v)
	return err
}

// share is part / whole, undefined for a whole of nothing.
func share[T int | float64](part, whole T) Number {
	if whole == 0 {
		return Undefined
	}
	return Number(part) / Number(whole)
}

// A Side is one side of a split: what was trained on, what was tested on.
type Side struct {
	Captures int      `json:"captures,omitempty"`
	Flows    int      `json:"flows,omitempty"`
	Packets  int      `json:"packets,omitempty"` // with payload, as the models see them
	Windows  int      `json:"windows,omitempty"`
	From     string   `json:"from,omitempty"` // time of the first packet, RFC 3339
	To       string   `json:"to,omitempty"`
	Files    []string `json:"files,omitempty"`
}

// sortedKeys and inOrder walk a map so that results do not depend on Go's map order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func inOrder[V any](m map[string]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range sortedKeys(m) {
		out = append(out, m[k])
	}
	return out
}
