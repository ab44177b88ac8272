// Package drift tells how far the values that a model gives now are from those it gave for the data that was held out of its
// training: window scores, confidences of labels, novelty. It knows no models.
//
//	ref := drift.Of(validation) // stored in the model
//	d := drift.New(ref, 1000)
//	d.Add(ref.Bin(value))
//	shift, known := d.Shift()
package drift

import (
	"errors"
	"math"
	"slices"
)

// Bins is the most parts that values are cut into.
const Bins = 10

// Reference is how values were spread at training time.
type Reference struct {
	// Edges cut the values into bins: deciles, each once. Bin i has the values from Edges[i-1] on and below Edges[i].
	Edges []float64 `json:"edges"`
	// Shares of the values in each bin, one more than Edges. They are a tenth each where no value is there many times.
	Shares []float64 `json:"shares"`
	Count  int       `json:"count"` // of values
}

// Of returns the reference of values; nil without a finite one. Those that are not finite do not count.
func Of(values []float64) *Reference {
	sorted := make([]float64, 0, len(values))
	for _, v := range values {
		if v-v == 0 {
			sorted = append(sorted, v)
		}
	}
	if len(sorted) == 0 {
		return nil
	}
	slices.Sort(sorted)
	r := &Reference{Count: len(sorted)}
	for i := 1; i < Bins; i++ {
		// An edge at the least value would leave nothing below it.
		if edge := sorted[i*len(sorted)/Bins]; edge > sorted[0] && (len(r.Edges) == 0 || edge > r.Edges[len(r.Edges)-1]) {
			r.Edges = append(r.Edges, edge)
		}
	}
	r.Shares = make([]float64, len(r.Edges)+1)
	for _, v := range sorted {
		r.Shares[r.Bin(v)]++
	}
	for i := range r.Shares {
		r.Shares[i] /= float64(len(sorted))
	}
	return r
}

// Bin returns the bin of a value.
func (r *Reference) Bin(v float64) int {
	bin := 0
	for bin < len(r.Edges) && v >= r.Edges[bin] {
		bin++
	}
	return bin
}

// Check reports, as an error, that a reference which was read makes no sense. None is in order.
func (r *Reference) Check() error {
	if r == nil {
		return nil
	}
	if len(r.Edges) >= Bins || len(r.Shares) != len(r.Edges)+1 || r.Count < 1 || !slices.IsSorted(r.Edges) {
		return errors.New("drift: the edges, shares and count of a reference do not fit")
	}
	for _, v := range r.Edges {
		if v-v != 0 {
			return errors.New("drift: an edge of a reference is not finite")
		}
	}
	sum := 0.0
	for _, v := range r.Shares {
		if !(v >= 0) {
			return errors.New("drift: a share of a reference is not a share")
		}
		sum += v
	}
	if !(math.Abs(sum-1) < 1e-6) {
		return errors.New("drift: the shares of a reference do not add up to 1")
	}
	return nil
}

// Drift holds the bins of the last values against a reference. It takes a byte for each, and no more memory later than at first. The
// zero value knows no reference. It is used by one goroutine.
type Drift struct {
	ref    *Reference
	last   []uint8 // a ring once it is full
	next   int
	counts [Bins]int
}

// New returns a Drift of so many values that has seen none. Without a reference, as models of earlier versions are, it never knows.
func New(ref *Reference, last int) Drift {
	d := Drift{ref: ref}
	if ref != nil {
		d.last = make([]uint8, 0, last)
	}
	return d
}

// Add takes the bin of a value.
func (d *Drift) Add(bin int) {
	if d.ref == nil || bin < 0 || bin > len(d.ref.Edges) {
		return
	}
	if len(d.last) < cap(d.last) {
		d.last = append(d.last, uint8(bin))
	} else {
		d.counts[d.last[d.next]]--
		d.last[d.next] = uint8(bin)
		d.next = (d.next + 1) % len(d.last)
	}
	d.counts[bin]++
}

// Shift is how the last values are spread, and how they were at training time.
type Shift struct {
	Index  float64   // from 0 on: below 0.1 little has changed, above 0.25 much has, as custom has it
	Count  int       // of values
	Shares []float64 // of them in each bin
	Reference
}

const (
	// leastCount is how many values there must be, so that a bin of a tenth has twenty.
	leastCount = 200
	// mostChance is the most that chance alone may give: above it the index would tell more of chance than of change.
	mostChance = 0.1
)

// Shift returns the population stability index of the last values (Siddiqi, Credit Risk Scorecards, 2006),
//
//	Σ (p − q) ln(p / q)
//
// with p the share of a bin now and q at training time, each counted with half a value more so that an empty bin is no infinity,
// less what chance gives on average where nothing has changed: (bins − 1)(1/n + 1/m) for n values now and m then, as the index is near to
// χ² (Yurdakul, Statistical Properties of Population Stability Index, 2018). known is false before 200 values, and while chance gives more than 0.1.
func (d *Drift) Shift() (s Shift, known bool) {
	n := len(d.last)
	if d.ref == nil || n < leastCount {
		return Shift{}, false
	}
	bins, m := float64(len(d.ref.Shares)), float64(d.ref.Count)
	chance := (bins - 1) * (1/float64(n) + 1/m)
	if bins < 2 || chance > mostChance {
		return Shift{}, false
	}
	s = Shift{Count: n, Reference: *d.ref, Shares: make([]float64, len(d.ref.Shares))}
	for i, share := range d.ref.Shares {
		s.Shares[i] = float64(d.counts[i]) / float64(n)
		p := (float64(d.counts[i]) + 0.5) / (float64(n) + 0.5*bins)
		q := (share*m + 0.5) / (m + 0.5*bins)
		s.Index += (p - q) * math.Log(p/q)
	}
	s.Index = max(s.Index-chance, 0)
	return s, true
}
