package dataset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// How is in what way a class was split.
type How string

// The ways, as records have them.
const (
	ByCaptures How = "captures"   // whole captures, the later ones validate
	ByCut      How = "time"       // its only capture was cut at a time between flows
	Untestable How = "untestable" // its only capture trains
	ByColumn   How = "column"     // the sides were given
	ByImages   How = "images"     // image by image
)

// assignment says which side each capture is on, while that is being decided.
type assignment struct {
	set     *Set
	opts    SplitOptions
	side    []Side  // of each capture
	known   []bool  // side is decided
	dropped []int   // capture that this one is a copy of, -1 for none
	cuts    [][]Cut // of captures that are cut: where later sides begin, in order of time
	byClass [][]int // captures of each class that count, in order of time
	ofClass []How
	classes [][]int // classes of each capture
}

// Cut is the time at which a capture's flows of a class change sides: those that start then or
// later are on Side.
type Cut struct {
	Label string `json:"label"` // the class, Etc. for pooled ones
	Nanos int64  `json:"nanos"`
	Side  Side   `json:"side"`
}

func newAssignment(s *Set, opts SplitOptions) *assignment {
	n := len(s.Captures)
	a := &assignment{
		set: s, opts: opts,
		side: make([]Side, n), known: make([]bool, n), dropped: make([]int, n), cuts: make([][]Cut, n),
		byClass: make([][]int, len(s.Classes)), ofClass: make([]How, len(s.Classes)), classes: make([][]int, n),
	}
	for i := range a.dropped {
		a.dropped[i] = -1
	}
	return a
}

// dropCopies leaves out the captures whose file is the same as that of an earlier one. When the
// sides are given and differ, that is an error: it is asked for a leak.
func (a *assignment) dropCopies() error {
	s := a.set
	first := make(map[string]int)
	for i := range s.Captures {
		c := &s.Captures[i]
		if c.SHA256 == "" || c.Examples == 0 {
			continue
		}
		other, twice := first[c.SHA256]
		if !twice {
			first[c.SHA256] = i
			continue
		}
		a.dropped[i] = other
		if x, y := s.Captures[other].Facts[a.opts.Column], c.Facts[a.opts.Column]; a.opts.Column != "" && x != y {
			return fmt.Errorf("%w: %s (%s %q) and %s (%q) are the same file", ErrLeak, s.Captures[other].Name, a.opts.Column, x, c.Name, y)
		}
	}
	for i := range s.Flows {
		f := &s.Flows[i]
		if a.dropped[f.Capture] >= 0 || f.Class == NoClass {
			continue
		}
		if !slices.Contains(a.classes[f.Capture], f.Class) {
			a.classes[f.Capture] = append(a.classes[f.Capture], f.Class)
			if s.Captures[f.Capture].corrections {
				continue // they decide nothing for the captures
			}
			a.byClass[f.Class] = append(a.byClass[f.Class], f.Capture)
		}
	}
	for _, captures := range a.byClass {
		s.byStart(captures)
	}
	return nil
}

// byColumn takes the sides from a column of labels.csv.
func (a *assignment) byColumn() error {
	s, opts := a.set, a.opts
	var counting []int
	for i := range s.Captures {
		if len(a.classes[i]) > 0 {
			counting = append(counting, i)
		}
	}
	var values []string
	has, named := false, false
	for _, i := range counting {
		value, ok := s.Captures[i].Facts[opts.Column]
		has = has || ok
		if value == "" {
			continue
		}
		_, side := columnSide(value)
		named = named || side
		values = append(values, value)
	}
	slices.SortFunc(values, compareLabels)
	values = slices.Compact(values)
	if !has {
		return fmt.Errorf("dataset: split by column %q: no capture has it", opts.Column)
	}
	for _, want := range slices.Concat(opts.ValidationValues, opts.TestValues) {
		if !slices.Contains(values, want) {
			return fmt.Errorf("dataset: split by column %q: no capture has the value %q; there are %s", opts.Column, want, strings.Join(values, ", "))
		}
	}
	listed := len(opts.ValidationValues)+len(opts.TestValues) > 0
	for _, i := range counting {
		value := s.Captures[i].Facts[opts.Column]
		side := Train
		switch {
		case slices.Contains(opts.TestValues, value):
			side = Test
		case slices.Contains(opts.ValidationValues, value):
			side = Validation
		case listed || value == "":
		case named:
			side, _ = columnSide(value)
		case len(values) > 1 && value == values[len(values)-1]:
			side = Validation
		}
		a.side[i], a.known[i] = side, true
	}
	for class, captures := range a.byClass {
		a.ofClass[class] = ByColumn
		if !slices.ContainsFunc(captures, func(i int) bool { return a.side[i] != Train }) {
			a.ofClass[class] = Untestable
		}
	}
	return nil
}

// byTime puts the captures of each class, in order of time, on the sides. A capture may hold
// several classes and is on one side for all of them: the classes with the fewest captures choose
// first. Where that leaves nothing to test with, every capture is cut.
func (a *assignment) byTime() {
	order := make([]int, 0, len(a.byClass))
	for class, captures := range a.byClass {
		if len(captures) > 0 {
			order = append(order, class)
		}
	}
	slices.SortFunc(order, func(x, y int) int {
		return cmp.Or(cmp.Compare(len(a.byClass[x]), len(a.byClass[y])), cmp.Compare(x, y))
	})
	for _, class := range order {
		if captures := a.byClass[class]; len(captures) == 1 {
			a.single(captures[0])
		} else {
			a.share(captures)
		}
	}
	for _, class := range order {
		if captures := a.byClass[class]; a.opts.Train > 0 && !slices.ContainsFunc(captures, func(i int) bool { return a.side[i] == Train }) {
			a.side[captures[0]] = Train // others chose before it: a class must be learned before it is tested
		}
	}
	if a.opts.Train > 0 && !a.opts.WholeCaptures && !slices.ContainsFunc(order, func(class int) bool { return a.judge(class) != Untestable }) {
		for capture, classes := range a.classes {
			if len(classes) > 0 && !a.set.Captures[capture].corrections {
				a.cut(capture)
			}
		}
	}
	for _, class := range order {
		a.ofClass[class] = a.judge(class)
	}
	a.corrections()
}

// corrections cuts the capture that stands for corrected labels, each label by time.
func (a *assignment) corrections() {
	for capture, classes := range a.classes {
		if !a.set.Captures[capture].corrections {
			continue
		}
		a.side[capture], a.known[capture] = a.first(), true
		a.cut(capture)
		for _, class := range classes {
			if len(a.byClass[class]) == 0 {
				a.ofClass[class] = ByCut
			}
		}
	}
}

// single decides a capture that is the only one of a class. It is cut when all that it holds is
// of such classes, and trains otherwise: a cut puts a capture on two sides, which flatters the
// classes that could have been tested on another capture.
func (a *assignment) single(capture int) {
	if a.known[capture] {
		return
	}
	a.side[capture], a.known[capture] = a.first(), true
	if a.opts.WholeCaptures || slices.ContainsFunc(a.classes[capture], func(class int) bool { return len(a.byClass[class]) > 1 }) {
		return
	}
	a.cut(capture)
}

// cut puts the first flows of each class in a capture on the first side, and so on.
func (a *assignment) cut(capture int) {
	starts := make(map[int][]int64)
	for i := range a.set.Flows {
		if f := &a.set.Flows[i]; f.Capture == capture && f.Class != NoClass {
			starts[f.Class] = append(starts[f.Class], f.Start)
		}
	}
	for _, class := range a.classes[capture] {
		times := starts[class]
		slices.Sort(times)
		list := sides(len(times), a.opts)
		for n := range list {
			if n > 0 && list[n] != list[n-1] && times[n] > times[0] {
				a.cuts[capture] = append(a.cuts[capture], Cut{a.set.Classes[class], times[n], list[n]})
			}
		}
	}
}

// share puts the undecided ones of a class's captures on the sides, so that all of them together
// come as near to the shares as what is decided allows.
func (a *assignment) share(captures []int) {
	var want [NumSides]int
	for _, side := range sides(len(captures), a.opts) {
		want[side]++
	}
	for _, i := range captures {
		if a.known[i] {
			want[a.side[i]]--
		}
	}
	for _, i := range captures {
		if a.known[i] {
			continue
		}
		side := slices.IndexFunc(want[:], func(n int) bool { return n > 0 })
		if side < 0 {
			side = int(a.first())
		}
		want[side]--
		a.side[i], a.known[i] = Side(side), true
	}
}

// first returns the side of a single thing: training, if anything trains.
func (a *assignment) first() Side { return sides(1, a.opts)[0] }

// judge says in what way a class came to be split.
func (a *assignment) judge(class int) How {
	trains, tests, cutUp := false, false, false
	for _, i := range a.byClass[class] {
		trains = trains || a.side[i] == Train
		tests = tests || a.side[i] != Train
		cutUp = cutUp || slices.ContainsFunc(a.cuts[i], func(c Cut) bool { return c.Label == a.set.Classes[class] })
	}
	switch {
	case cutUp:
		return ByCut
	case tests && (trains || a.opts.Train == 0):
		return ByCaptures
	}
	return Untestable
}

// sideOf returns the side that a flow's capture is on at the flow's start. A flow is never
// divided: one that starts before a cut is on the earlier side to its end.
func (a *assignment) sideOf(f *Flow) (side Side, ok bool) {
	if !a.known[f.Capture] {
		return 0, false
	}
	side = a.side[f.Capture]
	for _, c := range a.cuts[f.Capture] {
		if c.Label == a.set.Classes[f.Class] && f.Start >= c.Nanos {
			side = c.Side
		}
	}
	return side, true
}
