package evaluate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// A FlowResult is what a classifier said about one flow with at least one
// payload packet, and what is true of it.
type FlowResult struct {
	Capture string // the file that the flow comes from; flows of one capture resemble each other
	Truth   string // true label, after pooling (rare classes are already "Etc."); may be unknown to the model
	Outline        // what the baselines may see

	PacketCount  uint64 // all packets of the flow, for the traffic figure
	PayloadBytes uint64 // sum of all payload lengths, in bytes

	Packets []PacketResult // the packet network's answer for each payload packet of the opening that is to be scored, in order
	Steps   []StepResult   // the flow network's answer after 1, 2, … payload packets
	Final   FinalResult
}

// A PacketResult is the packet network's answer for one payload packet alone.
type PacketResult struct {
	Class      int32   // index in AppsInput.Labels; negative: none
	Confidence float32 // calibrated probability of Class
}

// A StepResult is the flow network's answer after so many payload packets.
type StepResult struct {
	Class      int32
	Confidence float32
}

// A FinalResult is the cascade's last word on a flow.
type FinalResult struct {
	Class      int32
	Confidence float32   // calibrated probability of Class
	Novel      bool      // judged to be of no known class
	Novelty    float32   // score behind Novel, higher is more novel; NaN when none was computed
	Decided    int       // payload packets after which the flow was decided; 0: after all
	LogProbs   []float32 // natural logarithms of the calibrated probabilities, one per label; nil when there are none
}

// AppsInput is what Apps evaluates.
type AppsInput struct {
	Model     string   // name and version, for the head of the report
	Labels    []string // the model's classes, in order
	Early     float64  // confidence at which the cascade decides a flow early; 0 or above 1: it never does
	Split     string   // one sentence: how test was kept apart from training
	TrainedOn Side
	TestedOn  Side // files and times; Apps fills in the counts
	Flows     []FlowResult
	Baselines []Baseline // fitted on the model's training flows with the same Labels
}

// AppsResult is the evaluation of a classifier of applications. Every score is
// over items whose true label the model knows; the others are in Unseen, and
// nowhere else.
type AppsResult struct {
	Model     string   `json:"model,omitempty"`
	Labels    []string `json:"labels"`
	Split     string   `json:"split"`
	TrainedOn Side     `json:"trained_on"`
	TestedOn  Side     `json:"tested_on"`

	Packet  Score `json:"packet"`  // each payload packet alone, by the packet network
	Flow    Score `json:"flow"`    // each flow, by the cascade's final label
	Capture Score `json:"capture"` // all flows of a capture together, their log-probabilities summed; captures of one label alone

	// MixedCaptures is how many captures of flows of known labels are not in Capture because they
	// hold flows of several labels: to sum those of one label, one must know it.
	MixedCaptures int `json:"mixed_captures"`

	Classes   []ClassScore `json:"classes"`
	Confusion Confusion    `json:"confusion"`

	Calibration       Calibration `json:"calibration"`        // of flows' final labels
	PacketCalibration Calibration `json:"packet_calibration"` // of the packet network

	PacketsSeen []PacketsSeen `json:"packets_seen,omitempty"`
	Early       []Early       `json:"early,omitempty"`

	// KnownMarkedNovel is the share of flows of known classes that were marked novel: false alarms of novelty.
	KnownMarkedNovel Number  `json:"known_marked_novel"`
	Unseen           *Unseen `json:"unseen,omitempty"` // nil when the model knows every label of the test

	Traffic  []Traffic                `json:"traffic"`
	Baseline map[string]BaselineScore `json:"baseline"`
}

// A BaselineScore is a baseline in the measures of the model. A packet gets its
// flow's label, a capture the label of most of its flows.
type BaselineScore struct {
	Score                // of flows
	Packet  Score        `json:"packet"`
	Capture Score        `json:"capture"`
	Classes []ClassScore `json:"classes"`
}

// PacketsSeen is the score of flows when each is judged by its first payload
// packets alone; a flow with fewer is judged by all it has.
type PacketsSeen struct {
	Packets int    `json:"packets"`
	Longer  Number `json:"longer"` // share of flows that have that many
	Score
}

// packetsSeen are the lengths at which flows are judged.
var packetsSeen = []int{1, 2, 3, 5, 10}

// Early is what it brings to decide a flow at the first step whose confidence
// reaches a level, and otherwise at its last step. The row of the cascade is
// what it did: it holds back flows that look novel.
type Early struct {
	Confidence  Number `json:"confidence"`
	Cascade     bool   `json:"cascade,omitempty"` // the level of the model at hand, and its own decisions
	Score              // of all flows, decided so
	Decided     Number `json:"decided"`      // share of flows that are decided for their confidence
	DecidedTrue Number `json:"decided_true"` // share of those that are right
	MeanPackets Number `json:"mean_packets"` // payload packets seen until the decision
	MeanWaiting Number `json:"mean_waiting"` // payload packets seen when every flow is judged at its last step
}

// earlyLevels are the confidences tried; 0.95 is the cascade's default.
var earlyLevels = []Number{0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99}

// Traffic is what the tested captures hold of one true label.
type Traffic struct {
	Label    string `json:"label"`
	Flows    int    `json:"flows"`
	Packets  uint64 `json:"packets"`
	Bytes    uint64 `json:"payload_bytes"`
	Captures int    `json:"captures"`
}

// ErrNoFlows is returned when there is nothing to evaluate.
var ErrNoFlows = errors.New("evaluate: no flows with payload and a label")

// Apps evaluates a classifier of applications.
func Apps(in AppsInput) (*AppsResult, error) {
	if len(in.Flows) == 0 {
		return nil, ErrNoFlows
	}
	class := make(map[string]int, len(in.Labels))
	for i, l := range in.Labels {
		if _, twice := class[l]; twice {
			return nil, fmt.Errorf("evaluate: label %q twice among the model's", l)
		}
		class[l] = i
	}
	for _, f := range in.Flows {
		if n := len(f.Final.LogProbs); n != 0 && n != len(in.Labels) {
			return nil, fmt.Errorf("evaluate: a flow of %q has %d log-probabilities, the model %d labels", f.Capture, n, len(in.Labels))
		}
	}
	for i := range in.Baselines {
		if err := in.Baselines[i].Check(len(in.Labels)); err != nil {
			return nil, err
		}
	}

	e := appsEvaluation{AppsInput: in, class: class}
	for i := range in.Flows {
		if c, known := class[in.Flows[i].Truth]; known {
			e.known = append(e.known, knownFlow{&in.Flows[i], c})
		} else {
			e.unknown = append(e.unknown, &in.Flows[i])
		}
	}
	e.findMixed()
	e.group()

	r := &AppsResult{
		Model: in.Model, Labels: in.Labels, Split: in.Split, TrainedOn: in.TrainedOn,
		Traffic: e.traffic(), Baseline: map[string]BaselineScore{},
	}
	r.TestedOn = e.tested()
	flows, pairs := newTally(len(in.Labels)), newMatrix(len(in.Labels))
	packets := newTally(len(in.Labels))
	var flowBins, packetBins calibrator
	novel := 0
	for _, f := range e.known {
		answer := int(f.Final.Class)
		flows.add(f.class, answer)
		pairs.add(f.class, answer)
		flowBins.add(float64(f.Final.Confidence), answer == f.class)
		flowBins.addProbs(f.Final.LogProbs, f.class)
		for _, p := range f.Packets {
			packets.add(f.class, int(p.Class))
			packetBins.add(float64(p.Confidence), int(p.Class) == f.class)
		}
		if f.Final.Novel {
			novel++
		}
	}
	r.Packet, r.Flow = packets.score(), flows.score()
	e.intervals(&r.Flow, func(f *FlowResult) int { return int(f.Final.Class) })
	r.Capture, r.MixedCaptures = e.captureScore(sumLogProbs)
	r.Classes, r.Confusion = flows.perClass(in.Labels), pairs.confusion(in.Labels)
	r.Calibration, r.PacketCalibration = flowBins.result(), packetBins.result()
	r.KnownMarkedNovel = share(novel, len(e.known))
	r.PacketsSeen, r.Early = e.packetsSeen(), e.early()
	r.Unseen = e.unseen()
	for i := range in.Baselines {
		b := &in.Baselines[i]
		r.Baseline[b.Name] = e.baseline(b)
	}
	return r, nil
}

// appsEvaluation is the work of one call of Apps.
type appsEvaluation struct {
	AppsInput
	class   map[string]int
	known   []knownFlow
	unknown []*FlowResult
	mixed   map[string]bool // captures of several labels
	groups  []captureGroup  // of known labels
}

type knownFlow struct {
	*FlowResult
	class int
}

// A captureGroup is the flows of one label in one capture. A capture of one
// device or application is one group; a capture that mixes labels is one per label.
type captureGroup struct {
	class   int
	flows   []*FlowResult
	capture string
	whole   bool // the capture holds no flow of another label, known or not
}

func (e *appsEvaluation) group() {
	type key struct {
		capture string
		class   int
	}
	at := map[key]int{}
	for _, f := range e.known {
		k := key{f.Capture, f.class}
		i, ok := at[k]
		if !ok {
			i = len(e.groups)
			at[k] = i
			e.groups = append(e.groups, captureGroup{class: f.class, capture: f.Capture})
		}
		e.groups[i].flows = append(e.groups[i].flows, f.FlowResult)
	}
	for i := range e.groups {
		e.groups[i].whole = !e.mixed[e.groups[i].capture]
	}
}

// findMixed finds the captures that hold flows of several labels.
func (e *appsEvaluation) findMixed() {
	label := map[string]string{}
	e.mixed = map[string]bool{}
	for i := range e.Flows {
		f := &e.Flows[i]
		if first, again := label[f.Capture]; !again {
			label[f.Capture] = f.Truth
		} else if first != f.Truth {
			e.mixed[f.Capture] = true
		}
	}
}

// captureScore scores the captures of one label by an answer for each, made of
// its flows, and counts the others.
func (e *appsEvaluation) captureScore(answer func(flows []*FlowResult, classes int) int) (s Score, mixed int) {
	t := newTally(len(e.Labels))
	others := map[string]bool{}
	for _, g := range e.groups {
		if !g.whole {
			others[g.capture] = true
			continue
		}
		t.add(g.class, answer(g.flows, len(e.Labels)))
	}
	return t.score(), len(others)
}

// sumLogProbs answers with the class of the highest sum of log-probabilities,
// the first among equals; none when no flow has any.
func sumLogProbs(flows []*FlowResult, classes int) int {
	sum := make([]float64, classes)
	any := false
	for _, f := range flows {
		for c, lp := range f.Final.LogProbs {
			any = true
			sum[c] += boundedLog(lp)
		}
	}
	if !any {
		return noClass
	}
	return argmax(sum)
}

// argmax is the index of the largest value, the first among equals; noClass without values.
func argmax[T int | float64](values []T) int {
	best := noClass
	for i, v := range values {
		if best < 0 || v > values[best] {
			best = i
		}
	}
	return best
}

func (e *appsEvaluation) tested() Side {
	captures := map[string]bool{}
	s := e.TestedOn
	s.Packets = 0
	for _, f := range e.Flows {
		captures[f.Capture] = true
		s.Packets += len(f.Packets)
	}
	s.Captures, s.Flows = len(captures), len(e.Flows)
	return s
}

func (e *appsEvaluation) traffic() []Traffic {
	byLabel := map[string]*Traffic{}
	captures := map[[2]string]bool{}
	for _, f := range e.Flows {
		t := byLabel[f.Truth]
		if t == nil {
			t = &Traffic{Label: f.Truth}
			byLabel[f.Truth] = t
		}
		t.Flows++
		t.Packets += f.PacketCount
		t.Bytes += f.PayloadBytes
		if k := [2]string{f.Truth, f.Capture}; !captures[k] {
			captures[k] = true
			t.Captures++
		}
	}
	out := make([]Traffic, 0, len(byLabel))
	for _, t := range inOrder(byLabel) {
		out = append(out, *t)
	}
	slices.SortStableFunc(out, func(a, b Traffic) int { return cmp.Compare(b.Packets, a.Packets) })
	return out
}

// packetsSeen judges every known flow that has steps by its first n packets.
func (e *appsEvaluation) packetsSeen() []PacketsSeen {
	var out []PacketsSeen
	for _, n := range packetsSeen {
		t := newTally(len(e.Labels))
		flows, longer := 0, 0
		for _, f := range e.known {
			if len(f.Steps) == 0 {
				continue
			}
			flows++
			if len(f.Steps) >= n {
				longer++
			}
			t.add(f.class, int(f.Steps[min(n, len(f.Steps))-1].Class))
		}
		if flows == 0 {
			return nil
		}
		out = append(out, PacketsSeen{Packets: n, Longer: share(longer, flows), Score: t.score()})
	}
	return out
}

func (e *appsEvaluation) early() []Early {
	var out []Early
	levels := slices.Clone(earlyLevels)
	own := Number(e.AppsInput.Early)
	if own > 0 && own <= 1 {
		levels = append(levels, own)
		slices.Sort(levels)
		levels = slices.Compact(levels)
	}
	for _, level := range levels {
		t := newTally(len(e.Labels))
		var flows, decided, right, seen, waiting int
		for _, f := range e.known {
			if len(f.Steps) == 0 {
				continue
			}
			flows++
			waiting += len(f.Steps)
			at := slices.IndexFunc(f.Steps, func(s StepResult) bool { return s.Confidence >= float32(level) })
			if level == own && f.Final.Decided > 0 {
				at = min(f.Final.Decided, len(f.Steps)) - 1
				if f.Final.Novel || f.Steps[at].Confidence < float32(level) {
					at = -1 // decided because it had ended, or T was reached
				}
			}
			if at >= 0 {
				decided++
				if int(f.Steps[at].Class) == f.class {
					right++
				}
			} else {
				at = len(f.Steps) - 1
			}
			seen += at + 1
			t.add(f.class, int(f.Steps[at].Class))
		}
		if flows == 0 {
			return nil
		}
		out = append(out, Early{
			Confidence: level, Cascade: level == own, Score: t.score(), Decided: share(decided, flows), DecidedTrue: share(right, decided),
			MeanPackets: share(seen, flows), MeanWaiting: share(waiting, flows),
		})
	}
	return out
}

func (e *appsEvaluation) baseline(b *Baseline) BaselineScore {
	flows, packets := newTally(len(e.Labels)), newTally(len(e.Labels))
	for _, f := range e.known {
		answer := b.Predict(f.Outline)
		flows.add(f.class, answer)
		for range f.Packets {
			packets.add(f.class, answer)
		}
	}
	s := BaselineScore{Score: flows.score(), Packet: packets.score(), Classes: flows.perClass(e.Labels)}
	e.intervals(&s.Score, func(f *FlowResult) int { return b.Predict(f.Outline) })
	s.Capture, _ = e.captureScore(func(flows []*FlowResult, classes int) int {
		votes := make([]int, classes)
		for _, f := range flows {
			if c := b.Predict(f.Outline); c >= 0 {
				votes[c]++
			}
		}
		return argmax(votes)
	})
	return s
}

// boundedLog is a log-probability of at least that of 1e-12, NaN included: one
// flow that a model holds for impossible shall not decide a capture or a mean alone.
func boundedLog(lp float32) float64 {
	if v := float64(lp); v > minLogProb {
		return v
	}
	return minLogProb
}

var minLogProb = math.Log(1e-12)
