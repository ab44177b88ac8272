package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/weirnet/weir/flow"
)

// SplitOptions says how a set is split. The zero value is the rule of the project: by capture in
// order of time, the first 75 % of each class's captures train, the rest validate.
type SplitOptions struct {
	// Shares of the captures (and of images, and of the flows of a capture that is cut). All
	// zero: 0.75, 0.25 and 0.
	Train, Validation, Test float64

	// Column names a column of labels.csv that gives the sides, in place of the rule: captures
	// whose value is in TestValues test, those in ValidationValues validate, the others train.
	// Without either list the values train, validation and test (or val, dev) mean what they say
	// and, where none of them occurs, the last value validates (numbers by value, others by their
	// bytes).
	Column                       string
	ValidationValues, TestValues []string

	// WholeCaptures forbids to cut the capture of a class that has only one: such a class trains
	// and is not tested.
	WholeCaptures bool

	// Seed decides which images train.
	Seed uint64

	// Normalise turns a payload into what the classifier sees of it; openings that it makes
	// identical count as identical. The result is valid until the next call. Nil: the payload.
	Normalise func(payload []byte) []byte `json:"-"`
}

// Side is a part of a split.
type Side uint8

// The sides, from the earliest to the latest: what a side may not hold is what an earlier one has.
const (
	Train Side = iota
	Validation
	Test
	NumSides = iota
)

var sideNames = [NumSides]string{"train", "validation", "test"}

// String returns the side's name as it stands in records.
func (s Side) String() string {
	if int(s) >= len(sideNames) {
		return "none"
	}
	return sideNames[s]
}

// MarshalText implements encoding.TextMarshaler.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Side) UnmarshalText(text []byte) error {
	i := slices.Index(sideNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("dataset: %q is not a side of a split", text)
	}
	*s = Side(i)
	return nil
}

// Part is one side of a split: indexes into the set, in its order.
type Part struct {
	Flows  []int // into Set.Flows
	Images []int // into Set.Images

	// Repeats says of each of Flows which payloads of its opening are, normalised, identical to one
	// in the flows of an earlier side: they may be context, but are not scored alone. It is nil
	// for the first side that holds flows.
	Repeats [][]bool

	// Seen are flows of this side's captures that are not in Flows because an earlier side
	// holds a flow with the same opening. They may be scored apart, never in a headline.
	Seen []int

	copies []int // flows that an earlier side's captures hold a copy of
}

// Split is a split of a set, without a leak: no capture, no flow, no copy of a flow and no
// identical opening (or image) is on two sides, and single payloads that are on two are marked.
type Split struct {
	Sides  [NumSides]Part
	Record Record

	set       *Set
	normalise func([]byte) []byte
}

// ErrLeak is what a split gives that is asked to put the same traffic on two sides.
var ErrLeak = errors.New("dataset: the split would leak")

// Split splits the set by its current classes; examples without a class (NoClass) are on no
// side. Same set and options give the same split.
func (s *Set) Split(opts SplitOptions) (*Split, error) {
	if opts.Train == 0 && opts.Validation == 0 && opts.Test == 0 {
		opts.Train, opts.Validation = 0.75, 0.25
	}
	sum := opts.Train + opts.Validation + opts.Test
	if opts.Train < 0 || opts.Validation < 0 || opts.Test < 0 || !(sum > 0) {
		return nil, fmt.Errorf("dataset: shares %g, %g and %g do not split anything", opts.Train, opts.Validation, opts.Test)
	}
	opts.Train, opts.Validation, opts.Test = opts.Train/sum, opts.Validation/sum, opts.Test/sum

	if len(s.Flows) == 0 && len(s.Images) == 0 {
		return nil, fmt.Errorf("%w in %s to split", ErrEmpty, s.Dir)
	}
	sp := &Split{set: s, normalise: opts.Normalise}
	a := newAssignment(s, opts)
	if err := a.dropCopies(); err != nil {
		return nil, err
	}
	if opts.Column != "" {
		if err := a.byColumn(); err != nil {
			return nil, err
		}
	} else {
		a.byTime()
	}
	sp.fill(a)
	sp.splitImages(opts)
	sp.describe(a)
	return sp, nil
}

// fill puts every flow on the side of its capture, and then takes off what an earlier side holds.
func (sp *Split) fill(a *assignment) {
	s := sp.set
	for i := range s.Flows {
		f := &s.Flows[i]
		if f.Class == NoClass {
			continue
		}
		if side, ok := a.sideOf(f); ok {
			sp.Sides[side].Flows = append(sp.Sides[side].Flows, i)
		}
	}
	copies := make(map[flow.Key][]int) // flows of earlier sides
	openings, payloads := make(map[[16]byte]bool), make(map[[16]byte]bool)
	for side := range sp.Sides {
		part := &sp.Sides[side]
		var kept []int
		var hashes [][16]byte
		var single [][][16]byte // payloads of each flow that is kept
		for _, i := range part.Flows {
			f := &s.Flows[i]
			own := f.payloadHashes(sp.normalise)
			hash := openingHash(own)
			switch {
			case slices.ContainsFunc(copies[joinKey(f.Key)], func(other int) bool { return copied(f, &s.Flows[other]) }):
				part.copies = append(part.copies, i)
			case openings[hash]:
				part.Seen = append(part.Seen, i)
			default:
				kept, hashes, single = append(kept, i), append(hashes, hash), append(single, own)
			}
		}
		part.Flows = kept
		if len(payloads) > 0 {
			part.Repeats = make([][]bool, len(kept))
			for n, own := range single {
				part.Repeats[n] = make([]bool, len(own))
				for k := range own {
					part.Repeats[n][k] = payloads[own[k]]
				}
			}
		}
		for n, i := range kept {
			key := joinKey(s.Flows[i].Key)
			copies[key] = append(copies[key], i)
			openings[hashes[n]] = true
			for _, hash := range single[n] {
				payloads[hash] = true
			}
		}
	}
}

// copied tells whether two flows of one 5-tuple are the same traffic, captured twice: they are of
// different captures and overlap in time.
func copied(a, b *Flow) bool {
	return a.Capture != b.Capture && gap(a.Start, a.Last, b.Start, b.Last) == 0
}

// payloadHashes returns a hash of what a classifier sees of each payload of a flow's opening: its
// bytes after normalisation. Where none were captured, the length stands in for them.
func (f *Flow) payloadHashes(normalise func([]byte) []byte) [][16]byte {
	hashes := make([][16]byte, len(f.Opening))
	for i, p := range f.Opening {
		if len(p.Data) == 0 {
			hashes[i] = [16]byte(sha256Of(binary.LittleEndian.AppendUint64([]byte{0}, uint64(p.Len))))
			continue
		}
		data := p.Data
		if normalise != nil {
			data = normalise(data)
		}
		hashes[i] = [16]byte(sha256Of(append([]byte{1}, data...)))
	}
	return hashes
}

// openingHash returns a hash of a whole opening.
func openingHash(payloads [][16]byte) [16]byte {
	var all []byte
	for i := range payloads {
		all = append(all, payloads[i][:]...)
	}
	return [16]byte(sha256Of(all))
}

func sha256Of(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:16]
}

// splitImages splits the images of each class by a seeded shuffle. Identical images are on the
// same side, even where the set gives them different labels.
func (sp *Split) splitImages(opts SplitOptions) {
	s := sp.set
	groups := make(map[[16]byte][]int)
	var order [][16]byte
	for i := range s.Images {
		if s.Images[i].Class == NoClass {
			continue
		}
		hash := [16]byte(sha256Of(s.Images[i].Pixels))
		if groups[hash] == nil {
			order = append(order, hash)
		}
		groups[hash] = append(groups[hash], i)
	}
	// The keyed hash of an image is its place in the shuffle, whatever other images there are.
	place := func(hash [16]byte) [16]byte {
		return [16]byte(sha256Of(append(binary.LittleEndian.AppendUint64(nil, opts.Seed), hash[:]...)))
	}
	byClass := make([][][16]byte, len(s.Classes))
	for _, hash := range order {
		class := s.Images[groups[hash][0]].Class
		byClass[class] = append(byClass[class], hash)
	}
	for _, hashes := range byClass {
		slices.SortFunc(hashes, func(a, b [16]byte) int {
			x, y := place(a), place(b)
			return slices.Compare(x[:], y[:])
		})
		for n, side := range sides(len(hashes), opts) {
			sp.Sides[side].Images = append(sp.Sides[side].Images, groups[hashes[n]]...)
		}
	}
	for side := range sp.Sides {
		slices.Sort(sp.Sides[side].Images)
	}
}

// sides shares n things in order out to the sides: the nearest whole numbers to the shares, but
// something for every side that has a share as far as n goes; training first, then the latest
// side.
func sides(n int, opts SplitOptions) []Side {
	test, validation := portion(n, opts.Test), portion(n, opts.Validation)
	if opts.Train > 0 {
		test = min(test, max(n-1, 0))
		if opts.Test == 0 {
			validation = min(validation, max(n-1, 0))
		} else {
			validation = min(validation, max(n-1-test, 0))
		}
	}
	validation = min(validation, n-test)
	train := n - validation - test
	if opts.Train == 0 { // rounding leaves something over
		if opts.Validation > 0 {
			validation += train
		} else {
			test += train
		}
		train = 0
	}
	list := make([]Side, n)
	for i := range list {
		switch {
		case i < train:
			list[i] = Train
		case i < train+validation:
			list[i] = Validation
		default:
			list[i] = Test
		}
	}
	return list
}

// portion returns the whole number nearest to share × n, at least one of a share that is not 0.
func portion(n int, share float64) int {
	if share == 0 || n == 0 {
		return 0
	}
	return max(int(share*float64(n)+0.5), 1)
}

// columnSide tells the values that name a side themselves.
func columnSide(value string) (Side, bool) {
	switch strings.ToLower(value) {
	case "train", "training":
		return Train, true
	case "validation", "validate", "val", "valid", "dev":
		return Validation, true
	case "test", "testing":
		return Test, true
	}
	return 0, false
}

// byStart orders captures by time, then name.
func (s *Set) byStart(captures []int) {
	slices.SortFunc(captures, func(a, b int) int {
		x, y := &s.Captures[a], &s.Captures[b]
		return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.Name, y.Name))
	})
}
