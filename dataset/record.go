package dataset

import (
	"fmt"
	"slices"
	"strings"
)

// Record is what a split was, for models and reports to keep.
type Record struct {
	Summary  string            `json:"summary"` // one sentence, for headlines
	Rule     string            `json:"rule"`    // "captures in order of time", "column NAME", "images", Unknown
	Shares   [NumSides]float64 `json:"shares"`  // train, validation, test
	Seed     uint64            `json:"seed"`    // of the shuffle of images
	Sides    [NumSides]SideSum `json:"sides"`   // train, validation, test
	Classes  []ClassSplit      `json:"classes"`
	Captures []CaptureSplit    `json:"captures"`
	Pooled   []Pooled          `json:"pooled,omitempty"` // classes that became Etc.
	Notes    []string          `json:"notes,omitempty"`  // what a reader of the numbers must know
}

// Unknown is the rule of a model's record when the model was trained on something else too, or only,
// that is not known.
const Unknown = "unknown"

// SideSum is how much is on one side of a split.
type SideSum struct {
	Side     Side `json:"side"`
	Captures int  `json:"captures"`
	Flows    int  `json:"flows"`
	Images   int  `json:"images"`
	Seen     int  `json:"seen_openings"` // flows left out: an earlier side has the same opening
	Copies   int  `json:"copied_flows"`  // flows left out: an earlier side has the same flow

	// Payloads are those of the flows' openings, Repeats those of them that are not scored alone:
	// an earlier side has the same payload.
	Payloads int `json:"payloads"`
	Repeats  int `json:"seen_payloads"`
}

// ClassSplit is how one class was split.
type ClassSplit struct {
	Label    string        `json:"label"`
	How      How           `json:"how"`
	Captures int           `json:"captures"`
	Flows    [NumSides]int `json:"flows"`  // train, validation, test
	Images   [NumSides]int `json:"images"` // train, validation, test
}

// CaptureSplit is where one capture went.
type CaptureSplit struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Label  string `json:"label,omitempty"`
	Side   Side   `json:"side"`
	Flows  int    `json:"flows"`
	Cuts   []Cut  `json:"cuts,omitempty"`
	CopyOf string `json:"copy_of,omitempty"` // left out: the same file as this
}

// Overlap returns the names of the set's captures that the record's split has trained or
// validated on, whatever they are called: a model that keeps the record must not be scored on
// them as if it had never met them.
func (r *Record) Overlap(s *Set) []string {
	known := make(map[string]bool)
	for _, c := range r.Captures {
		if c.SHA256 != "" && (c.Side != Test || c.Cuts != nil) {
			known[c.SHA256] = true
		}
	}
	var names []string
	for i := range s.Captures {
		if known[s.Captures[i].SHA256] {
			names = append(names, s.Captures[i].Name)
		}
	}
	return names
}

// describe fills the record.
func (sp *Split) describe(a *assignment) {
	s, r := sp.set, &sp.Record
	r.Shares = [NumSides]float64{a.opts.Train, a.opts.Validation, a.opts.Test}
	r.Seed = a.opts.Seed
	r.Pooled = s.Pooled
	switch {
	case len(s.Flows) == 0:
		r.Rule = "images"
	case a.opts.Column != "":
		r.Rule = "column " + a.opts.Column
	default:
		r.Rule = "captures in order of time"
	}
	for i := range s.Captures {
		if line, ok := a.captureSplit(i); ok {
			r.Captures = append(r.Captures, line)
			if line.CopyOf == "" {
				r.Sides[line.Side].Captures++
			}
		}
	}
	r.Classes = make([]ClassSplit, len(s.Classes))
	for class, label := range s.Classes {
		r.Classes[class] = ClassSplit{Label: label, How: a.ofClass[class], Captures: len(a.byClass[class])}
	}
	for side := range sp.Sides {
		part, sum := &sp.Sides[side], &r.Sides[side]
		sum.Side, sum.Flows, sum.Images, sum.Seen, sum.Copies = Side(side), len(part.Flows), len(part.Images), len(part.Seen), len(part.copies)
		for _, i := range part.Flows {
			r.Classes[s.Flows[i].Class].Flows[side]++
			sum.Payloads += len(s.Flows[i].Opening)
		}
		for _, flags := range part.Repeats {
			for _, repeat := range flags {
				if repeat {
					sum.Repeats++
				}
			}
		}
		for _, i := range part.Images {
			r.Classes[s.Images[i].Class].Images[side]++
		}
	}
	for i := range r.Classes {
		if r.Classes[i].How == "" {
			r.Classes[i].How = ByImages
		}
	}
	sp.note()
}

func (a *assignment) captureSplit(i int) (line CaptureSplit, ok bool) {
	c := &a.set.Captures[i]
	line = CaptureSplit{Name: c.Name, SHA256: c.SHA256, Bytes: c.Bytes, Label: c.Label, Flows: c.Examples, Side: a.side[i], Cuts: a.cuts[i]}
	if a.dropped[i] >= 0 {
		line.CopyOf, line.Flows = a.set.Captures[a.dropped[i]].Name, 0
		return line, true
	}
	return line, a.known[i]
}

// note writes the summary and the notes.
func (sp *Split) note() {
	s, r := sp.set, &sp.Record
	note := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	of := func(how How) (labels []string) {
		for _, c := range r.Classes {
			if c.How == how {
				labels = append(labels, c.Label)
			}
		}
		return labels
	}
	if labels := of(ByCut); labels != nil {
		note("cut by time inside their only capture, which flatters them: %s", strings.Join(labels, ", "))
	}
	if labels := of(Untestable); labels != nil {
		note("not testable, no capture of theirs is kept for it: %s", strings.Join(labels, ", "))
	}
	if labels := sp.withoutTraining(); labels != nil {
		note("without any training example: %s", strings.Join(labels, ", "))
	}
	for i := range s.Captures {
		if c := &s.Captures[i]; c.corrections {
			note("%d flows of %s: the first of each label by time train, the latest validate, which flatters them; captures that they were seen in test nothing any more", c.Examples, c.Name)
		}
	}
	seen, copies, dropped := 0, 0, 0
	for _, side := range r.Sides {
		seen += side.Seen
		copies += side.Copies
	}
	for _, c := range r.Captures {
		if c.CopyOf != "" {
			dropped++
			note("%s is left out: the same file as %s", c.Name, c.CopyOf)
		}
	}
	if seen > 0 {
		note("%d flows are left out of later sides: an earlier side has the same opening", seen)
	}
	if copies > 0 {
		note("%d flows are left out of later sides: an earlier side has a copy of them (same 5-tuple at the same time)", copies)
	}
	for _, side := range r.Sides {
		if side.Repeats > 0 {
			note("%d of %d payloads of %s are not scored alone: an earlier side has the same payload", side.Repeats, side.Payloads, side.Side)
		}
	}
	without := 0
	for i := range s.Flows {
		if s.Flows[i].Class == NoClass {
			without++
		}
	}
	if without > 0 {
		note("%d flows are of no class and on no side", without)
	}
	var parts []string
	for _, side := range r.Sides {
		switch {
		case side.Flows > 0 && side.Images > 0:
			parts = append(parts, fmt.Sprintf("%s %d flows of %d captures and %d images", side.Side, side.Flows, side.Captures, side.Images))
		case side.Flows > 0:
			parts = append(parts, fmt.Sprintf("%s %d flows of %d captures", side.Side, side.Flows, side.Captures))
		case side.Images > 0:
			parts = append(parts, fmt.Sprintf("%s %d images", side.Side, side.Images))
		}
	}
	r.Summary = fmt.Sprintf("split by %s: %s; no flow, copy or identical opening on two sides", r.Rule, strings.Join(parts, ", "))
	if len(s.Flows) == 0 {
		r.Summary = fmt.Sprintf("split by image, identical images together: %s", strings.Join(parts, ", "))
	}
}

// withoutTraining returns the classes that have examples, but none to train on.
func (sp *Split) withoutTraining() (labels []string) {
	for _, c := range sp.Record.Classes {
		all := slices.Concat(c.Flows[1:], c.Images[1:])
		if c.Flows[Train]+c.Images[Train] == 0 && slices.ContainsFunc(all, func(n int) bool { return n > 0 }) {
			labels = append(labels, c.Label)
		}
	}
	return labels
}
