package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/weirnet/weir/event"
)

// Labeller keeps flows to learn from and what people say they are. Any number of goroutines may ask and tell, in other processes too while
// one writes. Flows unlike everything in training come with their label (event.Sample); others when a person corrects their label.
type Labeller interface {
	// Groups returns the groups of flows unlike everything in training, those with the newest flow first.
	Groups(ctx context.Context, q GroupQuery) ([]Group, error)
	// Samples yields samples in the order in which they came. A *Sample is valid until the next one.
	Samples(ctx context.Context, q SampleQuery) iter.Seq2[*Sample, error]
	// Correct says what application flows are and returns it with its ID and its counts: all flows of a group, or those to a port, that bear no
	// correction yet, or the one flow of c.Of, whose correction before it replaces. It returns ErrNoGroup when there is none of this ID or
	// it has no such flows.
	Correct(ctx context.Context, c Correction) (Correction, error)
	// Corrections returns all of them, in order of their ID.
	Corrections(ctx context.Context) ([]Correction, error)
	// RemoveCorrection takes one back: its flows are as they were before. It returns ErrNoCorrection when there is none of this ID.
	RemoveCorrection(ctx context.Context, id int64) error
	// Openings gives corrected flows that have none their openings, as far as find returns them; it returns how many got one.
	Openings(ctx context.Context, find func(flowID uint64) *event.Sample) (int, error)
	// Forget removes payload: samples without a correction, and with all the openings of corrected flows as well. It returns of how many
	// flows.
	Forget(ctx context.Context, all bool) (int64, error)
}

var (
	// ErrNoGroup says that there is no group of the ID asked for, or none of its flows is left to be named.
	ErrNoGroup = errors.New("no such group, or none of these flows is left to be named")
	// ErrNoCorrection says that there is no correction of the ID asked for.
	ErrNoCorrection = errors.New("no such correction")
)

// Sample is a flow to learn from. Times are kept to the microsecond.
type Sample struct {
	ID         int64
	At         int64 // when it was decided, nanoseconds since the Unix epoch
	Tuple      event.Tuple
	Label      event.Label // with its Sample
	Group      int64       // 0: of none
	Correction int64       // 0: none
	App        string      // of the correction
}

// SampleQuery asks for samples for which all that is set holds.
type SampleQuery struct {
	Group     int64
	Corrected bool
	Newest    bool // the newest first
	Limit     int  // 0: all
}

// Correction is what a person says that flows are.
type Correction struct {
	ID    int64
	App   string // an application of the model, or a new one
	Group int64  // whose flows it names; 0: a single flow
	Port  uint16 // of the responder: of the group, only flows to it; 0: all
	Of    *Sample
	Note  string
	Who   string
	At    int64 // nanoseconds since the Unix epoch

	Flows    int64 // that bear it
	Openings int64 // of them, those that can be learned from
	// Of the first of the flows: what it was, and where.
	Was     string
	Example event.Tuple
}

// maxNameLen bounds names of applications, in bytes.
const maxNameLen = 100

// reserved is the label of pooled rare classes.
const reserved = "Etc."

// CheckName reports what is wrong with the name of an application: it must be text of one line that a person can read.
func CheckName(name string) error {
	bad := func(why string) error { return fmt.Errorf("application %.120q: %s", name, why) }
	switch {
	case name == "":
		return bad("want a name")
	case len(name) > maxNameLen:
		return bad(fmt.Sprintf("a name has at most %d bytes", maxNameLen))
	case !utf8.ValidString(name):
		return bad("a name is UTF-8")
	case name != strings.TrimSpace(name):
		return bad("a name neither begins nor ends with a space")
	case name == reserved:
		return bad("this name stands for all rare applications together")
	}
	for _, r := range name {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar { // of spaces, the plain one alone: others look like it
			return bad("a name has no characters that cannot be seen")
		}
	}
	return nil
}

// Check reports what is wrong with a correction.
func (c *Correction) Check() error {
	if err := CheckName(c.App); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if (c.Group == 0) == (c.Of == nil) {
		return errors.New("store: a correction is of a group or of a flow")
	}
	if c.Port != 0 && c.Group == 0 {
		return errors.New("store: a port goes with a group")
	}
	return nil
}

// GroupQuery asks for groups with flows that were decided in the range; only these count.
type GroupQuery struct {
	Range
	ID int64 // 0: any
}

// Group is flows unlike everything in training that are alike.
//
// The first flow that is like none of a group begins one, and stays what others are compared with (leader clustering: Hartigan 1975, chapter
// 3): a flow joins the most similar group whose similarity, the cosine of the embeddings, is not below the model's limit. So a flow's group
// does not change with what comes later, and is found in the time of a few hundred products. Flows of different models are not compared.
type Group struct {
	ID         int64
	Model      string
	Flows      int64
	Unnamed    int64 // of them, those that bear no correction
	First      int64 // decided, nanoseconds since the Unix epoch
	Last       int64
	Clients    int // addresses
	Servers    []Part
	Ports      []Part
	Nearest    []Part   // applications that training knew
	Similarity float64  // to the nearest, on the mean of its flows; 0: not known
	Limit      float64  // similarity that flows of the group have to its first one
	Names      []string // that its flows were given
	Bytes      int64    // of openings
}

// Part is a part of a group.
type Part struct {
	Name  string
	Flows int64
}

// Bounds of groups and samples.
const (
	MaxSamples = 100_000 // that bear no correction
	maxGroups  = 512     // of a model; flows that are like none of so many belong to none
	groupParts = 5       // servers, ports and applications told of a group
)

// defaultLimit is the similarity from which flows are alike where the model does not tell: the least of those that do.
const defaultLimit = 0.8

// Leader is the first flow of a group.
type Leader struct {
	Group     int64
	embedding []int8
	length    float64
}

// NewLeader returns the leader of a group. It keeps the embedding.
func NewLeader(group int64, embedding []int8) Leader {
	return Leader{group, embedding, math.Sqrt(float64(dot(embedding, embedding)))}
}

// dot is the product of two embeddings, of at most 2^16 numbers.
func dot(a, b []int8) (sum int32) {
	for i, x := range a {
		sum += int32(x) * int32(b[i])
	}
	return sum
}

// similarity is the cosine of the angle between two leaders, 0 when they cannot be compared.
func (l *Leader) similarity(o *Leader) float64 {
	if len(l.embedding) != len(o.embedding) || l.length == 0 || o.length == 0 {
		return 0
	}
	return float64(dot(l.embedding, o.embedding)) / (l.length * o.length)
}

// NearestLeader returns the group that a sample of the same model belongs to, 0 for none of these: the first of the most similar.
func NearestLeader(leaders []Leader, s *event.Sample) int64 {
	own := NewLeader(0, s.Embedding)
	best, at := int64(0), limitOf(s)
	for i := range leaders {
		if c := own.similarity(&leaders[i]); c > at || c == at && best == 0 {
			best, at = leaders[i].Group, c
		}
	}
	return best
}

// MayLead reports whether a sample that is like none of the groups of its model may begin one.
func MayLead(leaders []Leader, s *event.Sample) bool {
	return len(leaders) < maxGroups && len(s.Embedding) > 0
}

func limitOf(s *event.Sample) float64 { return cmp.Or(s.Limit, defaultLimit) }

// Grouping puts groups together of samples that come in the order of their ID.
type Grouping struct{ groups map[int64]*grouped }

type grouped struct {
	Group
	clients, names          map[string]bool
	servers, ports, nearest map[string]int64
	similar                 map[string]float64
}

// Add counts a sample, whose opening has so many bytes, for its group.
func (g *Grouping) Add(s *Sample, bytes int64) {
	one := g.groups[s.Group]
	if one == nil {
		if g.groups == nil {
			g.groups = map[int64]*grouped{}
		}
		one = &grouped{
			Group:   Group{ID: s.Group, Model: s.Label.Model, First: s.At, Last: s.At, Limit: limitOf(s.Label.Sample)},
			clients: map[string]bool{}, names: map[string]bool{}, servers: map[string]int64{}, ports: map[string]int64{}, nearest: map[string]int64{}, similar: map[string]float64{},
		}
		g.groups[s.Group] = one
	}
	one.Flows++
	one.First, one.Last = min(one.First, s.At), max(one.Last, s.At)
	one.Bytes += bytes
	if s.Correction == 0 {
		one.Unnamed++
	} else {
		one.names[s.App] = true
	}
	t := &s.Tuple
	one.clients[t.SrcIP] = true
	one.servers[endpoint(t.DestIP, t.DestPort)]++
	one.ports[fmt.Sprintf("%d/%s", t.DestPort, strings.ToLower(t.Proto))]++
	nearest := cmp.Or(s.Label.Sample.Nearest, s.Label.App)
	one.nearest[nearest]++
	one.similar[nearest] += s.Label.Sample.Similarity
}

// Groups returns what was counted, the group with the newest flow first.
func (g *Grouping) Groups() []Group {
	var all []Group
	for _, one := range g.groups {
		one.Clients = len(one.clients)
		one.Servers, one.Ports, one.Nearest = most(one.servers), most(one.ports), most(one.nearest)
		one.Similarity = one.similar[one.Nearest[0].Name] / float64(one.Nearest[0].Flows)
		for name := range one.names {
			one.Names = append(one.Names, name)
		}
		slices.Sort(one.Names)
		all = append(all, one.Group)
	}
	slices.SortFunc(all, func(a, b Group) int { return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(a.ID, b.ID)) })
	return all
}

// most returns the names with the most flows.
func most(counts map[string]int64) []Part {
	var parts []Part
	for name, n := range counts {
		parts = append(parts, Part{name, n})
	}
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Or(cmp.Compare(b.Flows, a.Flows), strings.Compare(a.Name, b.Name)) })
	return parts[:min(len(parts), groupParts)]
}

func endpoint(addr string, port uint16) string {
	if strings.Contains(addr, ":") {
		return fmt.Sprintf("[%s]:%d", addr, port)
	}
	return fmt.Sprintf("%s:%d", addr, port)
}

// FlowByID returns the flow of a number whose last packet lies in the range, nil when there is none.
func FlowByID(ctx context.Context, r Reader, id uint64, in Range) (found *Flow, err error) {
	for f, fault := range r.Flows(ctx, FlowQuery{Range: in, Newest: true}) {
		if fault != nil {
			err = fault // the rest may have it
			continue
		}
		if f.Tuple.FlowID == id {
			one := *f
			return &one, nil
		}
	}
	return nil, err
}

// SampleOf returns the sample that a flow in the history makes, with its opening if that is still known, nil for not.
func SampleOf(f *Flow, opening *event.Sample) *Sample {
	s := &Sample{At: int64(f.Flow.End), Tuple: f.Tuple, Label: event.Label{
		App: f.Flow.App, Source: f.Flow.LabelSource, Packets: f.Flow.LabelPackets, Novel: f.Flow.Novel, Model: f.Flow.Model,
		Sample: &event.Sample{Start: f.Flow.Start},
	}}
	if f.Flow.Confidence != nil {
		s.Label.Confidence = *f.Flow.Confidence
	}
	if opening != nil {
		s.Label.Sample = opening
	}
	return s
}
