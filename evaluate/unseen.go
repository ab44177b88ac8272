package evaluate

import (
	"math"
	"slices"
)

// Unseen is about flows whose true label the model was not trained on: whether
// it noticed. They are in no other score.
type Unseen struct {
	Flows int `json:"flows"`

	// AUROC is the area under the ROC curve of the novelty score, unseen against known labels, per flow.
	AUROC Number `json:"auroc"`
	// CaptureAUROC is the same per capture of one label, by the mean of its flows' scores.
	CaptureAUROC Number `json:"capture_auroc"`
	MarkedNovel  Number `json:"marked_novel"` // share of these flows

	Labels []UnseenLabel `json:"labels"`
}

// An UnseenLabel is one of them.
type UnseenLabel struct {
	Label       string `json:"label"`
	Flows       int    `json:"flows"`
	AUROC       Number `json:"auroc"` // against all known flows
	MarkedNovel Number `json:"marked_novel"`
	TakenFor    string `json:"taken_for"` // the label that most of its flows got
}

func (e *appsEvaluation) unseen() *Unseen {
	if len(e.unknown) == 0 {
		return nil
	}
	var known []float64
	for _, f := range e.known {
		known = append(known, float64(f.Final.Novelty))
	}
	byLabel := map[string][]*FlowResult{}
	byCapture := map[string][]float64{}
	var all []float64
	marked := 0
	for _, f := range e.unknown {
		byLabel[f.Truth] = append(byLabel[f.Truth], f)
		if !e.mixed[f.Capture] {
			byCapture[f.Capture] = append(byCapture[f.Capture], float64(f.Final.Novelty))
		}
		all = append(all, float64(f.Final.Novelty))
		if f.Final.Novel {
			marked++
		}
	}
	u := &Unseen{Flows: len(e.unknown), AUROC: separation(all, known), MarkedNovel: share(marked, len(e.unknown))}

	var captures, knownCaptures []float64
	for _, scores := range inOrder(byCapture) {
		captures = append(captures, mean(scores))
	}
	for _, g := range e.groups {
		if !g.whole {
			continue
		}
		var scores []float64
		for _, f := range g.flows {
			scores = append(scores, float64(f.Final.Novelty))
		}
		knownCaptures = append(knownCaptures, mean(scores))
	}
	u.CaptureAUROC = separation(captures, knownCaptures)

	for _, flows := range inOrder(byLabel) {
		u.Labels = append(u.Labels, e.unseenLabel(flows, known))
	}
	return u
}

func (e *appsEvaluation) unseenLabel(flows []*FlowResult, known []float64) UnseenLabel {
	var scores []float64
	marked := 0
	answers := make([]int, len(e.Labels)+1)
	for _, f := range flows {
		scores = append(scores, float64(f.Final.Novelty))
		if f.Final.Novel {
			marked++
		}
		if c := int(f.Final.Class); c >= 0 && c < len(e.Labels) {
			answers[c]++
		} else {
			answers[len(e.Labels)]++
		}
	}
	taken := NoAnswer
	if c := argmax(answers); c < len(e.Labels) {
		taken = e.Labels[c]
	}
	return UnseenLabel{
		Label: flows[0].Truth, Flows: len(flows), AUROC: separation(scores, known),
		MarkedNovel: share(marked, len(flows)), TakenFor: taken,
	}
}

// separation is the AUC of positive scores against negative ones; undefined when nothing has a score.
func separation(positive, negative []float64) Number {
	scores := slices.Concat(positive, negative)
	if !slices.ContainsFunc(scores, func(s float64) bool { return !math.IsNaN(s) }) {
		return Undefined
	}
	is := make([]bool, len(scores))
	for i := range positive {
		is[i] = true
	}
	return Rank(scores, is).AUC()
}

func mean(values []float64) float64 {
	var sum float64
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}
