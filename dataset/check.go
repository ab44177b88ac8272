package dataset

import (
	"fmt"
	"slices"
	"strings"
)

// Report is what is in a set, and what is wrong with it.
type Report struct {
	Dir      string        `json:"dir"`
	Captures int           `json:"captures"` // files, IDX files included
	Packets  uint64        `json:"packets"`  // in all captures, whatever becomes of them
	Flows    FlowCounts    `json:"flows"`
	Images   int           `json:"images"`
	Classes  []ClassReport `json:"classes"`
	Copies   [][]string    `json:"copies,omitempty"` // captures whose files are the same
	Conflict int           `json:"conflicts"`        // flows and images with an identical twin of another label
	Tables   []TableStats  `json:"tables,omitempty"`
	Problems []Problem     `json:"problems,omitempty"`
	Warnings []string      `json:"warnings,omitempty"`
}

// FlowCounts is what became of the flows of all captures.
type FlowCounts struct {
	All        int `json:"all"`
	Examples   int `json:"examples"`   // labelled, with payload
	NoPayload  int `json:"no_payload"` // without any payload packet
	Unlabelled int `json:"unlabelled"` // with payload, without label
	Ambiguous  int `json:"ambiguous"`  // of these, rows of different labels fit
}

// ClassReport is what a set holds of one class.
type ClassReport struct {
	Label        string  `json:"label"`
	Captures     int     `json:"captures"`
	Flows        int     `json:"flows"`
	Images       int     `json:"images"`
	Packets      uint64  `json:"packets"`       // of the flows
	PayloadBytes uint64  `json:"payload_bytes"` // of the flows, on the wire
	Duplicates   int     `json:"duplicates"`    // flows (images) whose opening (pixels) an earlier one of any class has
	Largest      string  `json:"largest"`       // the capture with most of the class's flows
	LargestShare float64 `json:"largest_share"` // its share of them
}

// dominance is the share of a class's flows in one capture from which the class is named as
// dominated by it; twice an even share counts too when there are few captures.
const dominance = 0.5

// Check looks through the set by its current classes; examples without a class are not in
// Classes.
func (s *Set) Check() *Report {
	r := &Report{Dir: s.Dir, Captures: len(s.Captures), Images: len(s.Images), Tables: s.Tables, Problems: s.Problems}
	for i := range s.Captures {
		c := &s.Captures[i]
		r.Packets += c.Packets
		r.Flows.All += c.Flows
		r.Flows.Examples += c.Examples
		r.Flows.NoPayload += c.NoPayload
		r.Flows.Unlabelled += c.Unlabelled
		r.Flows.Ambiguous += c.Ambiguous
	}
	r.Copies = s.copies()
	r.Classes = make([]ClassReport, len(s.Classes))
	for i, label := range s.Classes {
		r.Classes[i].Label = label
	}
	perCapture := make([]map[int]int, len(s.Classes))
	count := func(class, capture int) *ClassReport {
		if perCapture[class] == nil {
			perCapture[class] = make(map[int]int)
		}
		perCapture[class][capture]++
		return &r.Classes[class]
	}
	twins := newTwins()
	for i := range s.Flows {
		f := &s.Flows[i]
		if f.Class == NoClass {
			continue
		}
		c := count(f.Class, f.Capture)
		c.Flows++
		c.Packets += f.Packets[0] + f.Packets[1]
		c.PayloadBytes += f.PayloadBytes[0] + f.PayloadBytes[1]
		if twins.add(openingHash(f.payloadHashes(nil)), f.Class) {
			c.Duplicates++
		}
	}
	r.Conflict = twins.conflicts()
	twins = newTwins()
	for i := range s.Images {
		m := &s.Images[i]
		if m.Class == NoClass {
			continue
		}
		c := count(m.Class, m.Capture)
		c.Images++
		if twins.add([16]byte(sha256Of(m.Pixels)), m.Class) {
			c.Duplicates++
		}
	}
	r.Conflict += twins.conflicts()
	for class, captures := range perCapture {
		c := &r.Classes[class]
		c.Captures = len(captures)
		largest, most := -1, 0
		for capture, n := range captures {
			if n > most || n == most && capture < largest {
				largest, most = capture, n
			}
		}
		if largest >= 0 {
			c.Largest, c.LargestShare = s.Captures[largest].Name, float64(most)/float64(max(c.Flows+c.Images, 1))
		}
	}
	r.warn()
	return r
}

// copies returns the groups of captures whose files are the same.
func (s *Set) copies() (groups [][]string) {
	bySum := make(map[string]int)
	for i := range s.Captures {
		c := &s.Captures[i]
		if c.SHA256 == "" {
			continue
		}
		g, twice := bySum[c.SHA256]
		if !twice {
			g = len(groups)
			bySum[c.SHA256] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], c.Name)
	}
	return slices.DeleteFunc(groups, func(g []string) bool { return len(g) < 2 })
}

// twins counts identical examples and how many of them have different classes.
type twins struct {
	classes map[[16]byte]map[int]int
}

func newTwins() *twins { return &twins{make(map[[16]byte]map[int]int)} }

// add returns whether an example of that hash was there before.
func (t *twins) add(hash [16]byte, class int) bool {
	seen := t.classes[hash] != nil
	if !seen {
		t.classes[hash] = make(map[int]int, 1)
	}
	t.classes[hash][class]++
	return seen
}

func (t *twins) conflicts() (n int) {
	for _, classes := range t.classes {
		if len(classes) > 1 {
			for _, k := range classes {
				n += k
			}
		}
	}
	return n
}

// warn says what makes figures on this set worth less than they look.
func (r *Report) warn() {
	warn := func(format string, args ...any) { r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...)) }
	var one, dominated []string
	flows, largest := 0, 0
	duplicates := 0
	for _, c := range r.Classes {
		flows += c.Flows + c.Images
		largest = max(largest, c.Flows+c.Images)
		duplicates += c.Duplicates
		switch {
		case c.Flows == 0:
		case c.Captures == 1:
			one = append(one, c.Label)
		case c.LargestShare >= dominance && c.LargestShare >= 2/float64(c.Captures) || c.LargestShare >= 0.9:
			dominated = append(dominated, fmt.Sprintf("%s (%.0f %% in %s)", c.Label, 100*c.LargestShare, c.Largest))
		}
	}
	if one != nil {
		warn("classes with one capture, which no other capture can test: %s", strings.Join(one, ", "))
	}
	if dominated != nil {
		warn("classes that one capture dominates: %s", strings.Join(dominated, ", "))
	}
	if len(r.Classes) > 1 && 2*largest > flows {
		for _, c := range r.Classes {
			if c.Flows+c.Images == largest {
				warn("%s is %.0f %% of all examples: look at macro averages", c.Label, 100*float64(largest)/float64(flows))
			}
		}
	}
	if duplicates > 0 {
		warn("%d of %d examples have a payload opening (or pixels) that an earlier one has", duplicates, flows)
	}
	if r.Conflict > 0 {
		warn("%d examples have an identical twin of another class: nothing can tell them apart", r.Conflict)
	}
	for _, group := range r.Copies {
		warn("the same file: %s", strings.Join(group, ", "))
	}
	if r.Flows.Unlabelled > 0 {
		warn("%d flows with payload have no label", r.Flows.Unlabelled)
	}
	if r.Flows.Ambiguous > 0 {
		warn("of these, rows of different labels fit %d", r.Flows.Ambiguous)
	}
	for _, t := range r.Tables {
		if t.NoFlow > 0 {
			warn("%s: %d of %d labels have no flow", t.Name, t.NoFlow, t.Rows)
		}
	}
}
