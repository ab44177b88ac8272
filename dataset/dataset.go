// Package dataset turns labelled captures into examples for the application models, splits them
// so that nothing leaks from one side to the other, and says what is wrong with a set. It also
// makes payload images and reads the labels of windows. It knows no models and trains nothing.
//
//	set, err := dataset.Open("iot_sentinel", dataset.Options{})
//	set.Pool(20, 2) // classes with less than 20 flows or 2 captures become Etc.
//	split, err := set.Split(dataset.SplitOptions{})
//	for _, i := range split.Sides[dataset.Train].Flows {
//		learn(set.Flows[i].Opening, set.Flows[i].Class)
//	}
//
// A set is held in memory: the payload bytes of its openings, about 250 bytes for each flow and
// its images. Options.Memory bounds the sum; a set that needs more is refused, never cut.
package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/weirnet/weir/flow"
)

// Etc is the label of the pooled rare classes. An input may use it too: then it joins them.
const Etc = "Etc."

// NoClass is the Class of an example whose label is not among Set.Classes.
const NoClass = -1

// Options says how labelled captures are read. The zero value takes the defaults.
type Options struct {
	LabelColumn string         // column of labels.csv and flows.csv that holds the label; default label, or what nDPI's tables call it
	Confidence  string         // keep only rows of flows.csv whose column confidence holds this, such as DPI
	Zone        *time.Location // of times in tables that name no zone; default UTC
	Flow        flow.Config    // lifetime, T and bytes of openings; OnEnd and PayloadMemory are set here
	Tunnels     bool           // look into GRE, VXLAN, IP-in-IP and GTP-U, as nDPI does
	Memory      int64          // most bytes of examples; default 4 GiB
	Workers     int            // captures read at a time; default GOMAXPROCS
	Progress    func(done, total int)
}

// ErrTooLarge is what a set gives that does not fit Options.Memory.
var ErrTooLarge = errors.New("dataset: the set does not fit in memory")

// ErrEmpty is what a directory gives that holds no labelled example.
var ErrEmpty = errors.New("dataset: no labelled examples")

// Set is a labelled set in memory. Its order depends on nothing but the directory: captures by
// name, flows by capture and first packet, images by file and place in it.
type Set struct {
	Dir      string
	Classes  []string // labels in order, numbers by value, Etc. last; Class of examples is an index
	Captures []Capture
	Flows    []Flow
	Images   []Image
	Rows     int // height of the images, pixels
	Columns  int // width of the images, pixels
	Pooled   []Pooled
	Tables   []TableStats
	Problems []Problem
}

// Capture is one capture of a set, or one IDX file of images.
type Capture struct {
	Name   string            // path below Set.Dir, with slashes
	Path   string            // where it lies
	Label  string            // of the whole capture; empty when its flows have labels of their own
	Facts  map[string]string // the other columns of labels.csv
	Start  int64             // ns since the Unix epoch: start_utc, or else the first packet
	First  int64             // time of the earliest packet, ns; 0 without packets
	Last   int64             // time of the latest packet, ns
	SHA256 string            // of the content, decompressed (capture.Hash); empty when it cannot be read
	Bytes  int64             // size of the content

	Packets    uint64 // all packets in the file
	Flows      int    // flows of the table, with and without payload
	Examples   int    // labelled flows with payload: those in Set.Flows
	NoPayload  int    // flows without any payload packet
	Unlabelled int    // flows with payload and without label
	Ambiguous  int    // of these, flows that rows of different labels fit equally well

	corrections bool // it stands for corrected labels, see Set.Correct
}

// Flow is one example for the flow model: a labelled flow with at least one payload packet.
type Flow struct {
	Capture      int    // index into Set.Captures
	Label        string // as the set has it; pooling changes Class alone
	Class        int    // index into Set.Classes
	Key          flow.Key
	Start        int64 // ns since the Unix epoch
	Last         int64
	Packets      [2]uint64 // by flow.Direction, as all counts
	Bytes        [2]uint64 // frames on the wire
	PayloadBytes [2]uint64 // application payloads on the wire
	Opening      []flow.Payload
}

// Image is one example for the packet model out of an IDX file.
type Image struct {
	Capture int // index into Set.Captures
	Label   string
	Class   int
	Pixels  []byte // Set.Rows × Set.Columns
}

// Pooled is a class that became Etc.
type Pooled struct {
	Label    string `json:"label"`
	Flows    int    `json:"flows"`
	Captures int    `json:"captures"`
}

// TableStats is what became of the rows of a table of flows.
type TableStats struct {
	Name       string `json:"name"`
	Rows       int    `json:"rows"`       // rows with a label
	Joined     int    `json:"joined"`     // rows that a flow was found for
	NoFlow     int    `json:"no_flow"`    // rows of TCP, UDP or SCTP that none was found for
	NoPorts    int    `json:"no_ports"`   // rows of protocols without payload examples, such as ICMP
	NoCapture  int    `json:"no_capture"` // rows of captures that are not there
	Filtered   int    `json:"filtered"`   // rows of another confidence
	Unlabelled int    `json:"unlabelled"` // rows without a label
	Bad        int    `json:"bad"`        // rows that cannot be read
}

// Problem is something in a set that does not stop it from being used.
type Problem struct {
	Kind   ProblemKind `json:"kind"`
	Name   string      `json:"name"` // file, with line where there is one
	Detail string      `json:"detail"`
}

// ProblemKind is what is wrong.
type ProblemKind string

// The kinds of problems.
const (
	MissingCapture    ProblemKind = "missing capture"    // named by a table, not there
	UnreadableCapture ProblemKind = "unreadable capture" // no packet could be read
	DamagedCapture    ProblemKind = "damaged capture"    // read up to the damage
	ListedTwice       ProblemKind = "listed twice"       // a capture that labels.csv names twice
	FlowsEvicted      ProblemKind = "flows evicted"      // more flows at a time than the flow table holds
	NoLabel           ProblemKind = "no label"           // a capture that no form of label covers
	BadRow            ProblemKind = "bad row"            // a row of a table that cannot be read
)

// Unreadable tells whether some file could not be read whole: the command's exit status is 3
// then.
func (s *Set) Unreadable() bool {
	return slices.ContainsFunc(s.Problems, func(p Problem) bool {
		return p.Kind == MissingCapture || p.Kind == UnreadableCapture || p.Kind == DamagedCapture
	})
}

// Open reads a directory of labelled captures in any of these forms, together where a directory
// has several (docs/formats.md):
//
//   - labels.csv: one label per capture;
//   - flows.csv (also flows.tsv, conn.log, conn.log.labeled): one label per flow;
//   - captures with process labels in their packet comments: the process of most of a flow's packets;
//   - *images-idx3-ubyte with *labels-idx1-ubyte, named by classes.txt or classes.csv beside them;
//   - one directory per label, when there is none of the tables and IDX files.
//
// The more specific label wins: row of a flow, then labels.csv, then process, then directory.
// Tables may lie below dir too. Files may be compressed (.gz, .zst). A capture that is missing or
// damaged is a Problem of the set; a table that contradicts itself is an error with its line.
func Open(dir string, opts Options) (*Set, error) {
	if opts.Memory == 0 {
		opts.Memory = 4 << 30
	}
	if opts.Flow.OpeningBytes <= 0 {
		opts.Flow.OpeningBytes = 784 // paper A's 28 × 28, as in package flow
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	set := &Set{Dir: dir}
	found, err := discover(dir)
	if err != nil {
		return nil, err
	}
	plan, err := found.plan(set, opts)
	if err != nil {
		return nil, err
	}
	budget := newBudget(opts.Memory)
	if err := set.readImages(found.images, budget); err != nil {
		return nil, err
	}
	if err := set.readCaptures(plan, opts, budget); err != nil {
		return nil, err
	}
	set.classify()
	if len(set.Flows) == 0 && len(set.Images) == 0 {
		return set, fmt.Errorf("%w in %s: %s", ErrEmpty, dir, set.whyEmpty())
	}
	return set, nil
}

// whyEmpty gives the likeliest reason for a set without examples.
func (s *Set) whyEmpty() string {
	flows, unlabelled := 0, 0
	for _, c := range s.Captures {
		flows += c.Flows
		unlabelled += c.Unlabelled
	}
	switch {
	case len(s.Problems) > 0:
		return fmt.Sprintf("%s: %s: %s", s.Problems[0].Kind, s.Problems[0].Name, s.Problems[0].Detail)
	case unlabelled > 0:
		return fmt.Sprintf("%d flows with payload, none with a label", unlabelled)
	case flows > 0:
		return fmt.Sprintf("%d flows, none with payload", flows)
	}
	return "no captures with labels (labels.csv, flows.csv, one directory per label, process comments) and no IDX images"
}

// classify fills Classes and the Class of all examples from their labels.
func (s *Set) classify() {
	seen := make(map[string]bool)
	for i := range s.Flows {
		seen[s.Flows[i].Label] = true
	}
	for i := range s.Images {
		seen[s.Images[i].Label] = true
	}
	s.Classes = s.Classes[:0]
	for label := range seen {
		s.Classes = append(s.Classes, label)
	}
	slices.SortFunc(s.Classes, compareLabels)
	s.Pooled = nil
	s.reindex(func(label string) string { return label })
}

// reindex sets the Class of all examples to that of the label which rename gives for theirs.
func (s *Set) reindex(rename func(string) string) {
	index := make(map[string]int, len(s.Classes))
	for i, label := range s.Classes {
		index[label] = i
	}
	class := func(label string) int {
		if i, ok := index[rename(label)]; ok {
			return i
		}
		return NoClass
	}
	for i := range s.Flows {
		s.Flows[i].Class = class(s.Flows[i].Label)
	}
	for i := range s.Images {
		s.Images[i].Class = class(s.Images[i].Label)
	}
}

// compareLabels orders numbers by value, then other labels by their bytes, Etc. last.
func compareLabels(a, b string) int {
	if (a == Etc) != (b == Etc) {
		if a == Etc {
			return 1
		}
		return -1
	}
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	switch {
	case errX == nil && errY == nil && x != y:
		return cmp.Compare(x, y)
	case (errX == nil) != (errY == nil):
		if errX == nil {
			return -1
		}
		return 1
	}
	return cmp.Compare(a, b)
}

// below returns path as seen from dir, with slashes; unchanged when it lies elsewhere.
func below(dir, path string) string {
	if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(path)
}
