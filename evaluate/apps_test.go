package evaluate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func log32(p ...float64) []float32 {
	out := make([]float32, len(p))
	for i := range p {
		out[i] = float32(math.Log(p[i]))
	}
	return out
}

// small is a test worked by hand: three classes, of which c does not occur, and
// one label, x, that the model does not know.
func small() AppsInput {
	port := func(p uint16) Outline { return Outline{Proto: 6, ServerPort: p} }
	train := []Outline{port(80), port(80), port(80), port(443), port(443), port(22)}
	return AppsInput{
		Model: "m@1", Labels: []string{"a", "b", "c"}, Split: "by hand", TrainedOn: Side{Captures: 3, Flows: 6},
		Baselines: FitBaselines(train, []int32{0, 0, 1, 1, 1, 2}),
		Flows: []FlowResult{
			{Capture: "1", Truth: "a", Outline: port(80), PacketCount: 9, PayloadBytes: 100,
				Packets: []PacketResult{{0, 0.9}, {1, 0.6}},
				Steps:   []StepResult{{1, 0.5}, {0, 0.96}},
				Final:   FinalResult{Class: 0, Confidence: 0.96, Novelty: 1, LogProbs: log32(0.96, 0.03, 0.01)}},
			{Capture: "1", Truth: "a", Outline: port(443), PacketCount: 5, PayloadBytes: 50,
				Packets: []PacketResult{{1, 0.8}},
				Steps:   []StepResult{{1, 0.8}},
				Final:   FinalResult{Class: 1, Confidence: 0.8, Novelty: 2, LogProbs: log32(0.15, 0.8, 0.05)}},
			{Capture: "2", Truth: "b", Outline: port(443), PacketCount: 4, PayloadBytes: 10,
				Packets: []PacketResult{{1, 0.7}, {1, 0.7}, {2, 0.4}},
				Steps:   []StepResult{{1, 0.7}, {1, 0.9}, {1, 0.99}},
				Final:   FinalResult{Class: 1, Confidence: 0.99, Novelty: 0, LogProbs: log32(0.005, 0.99, 0.005)}},
			{Capture: "2", Truth: "b", Outline: port(22), PacketCount: 2, PayloadBytes: 1,
				Packets: []PacketResult{{2, 0.5}},
				Steps:   []StepResult{{2, 0.5}},
				Final:   FinalResult{Class: 2, Confidence: 0.5, Novel: true, Novelty: 3, LogProbs: log32(0.25, 0.25, 0.5)}},
			{Capture: "3", Truth: "x", Outline: port(9), PacketCount: 7, PayloadBytes: 70,
				Packets: []PacketResult{{0, 0.5}},
				Steps:   []StepResult{{0, 0.5}},
				Final:   FinalResult{Class: 0, Confidence: 0.5, Novel: true, Novelty: 2.5, LogProbs: log32(0.5, 0.3, 0.2)}},
		},
	}
}

func evaluated(t *testing.T, in AppsInput) *AppsResult {
	t.Helper()
	r, err := Apps(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAppsByHand(t *testing.T) {
	r := evaluated(t, small())
	// Flows: a→a, a→b, b→b, b→c. F1(a) = 2/(2+1), F1(b) = 2/(2+2).
	near(t, "flow accuracy", r.Flow.Accuracy, 0.5)
	near(t, "flow macro-F1", r.Flow.MacroF1, (2.0/3+1.0/2)/2)
	// Packets: a: a b b; b: b b c c. F1(a) = 2/(3+1), F1(b) = 4/(4+4).
	near(t, "packet accuracy", r.Packet.Accuracy, 3.0/7)
	near(t, "packet macro-F1", r.Packet.MacroF1, 0.5)
	// Captures: a 0.96·0.15 > b 0.03·0.8; b 0.99·0.25 is the highest.
	near(t, "capture accuracy", r.Capture.Accuracy, 1)
	if r.Flow.Items != 4 || r.Flow.Classes != 2 || r.Packet.Items != 7 || r.Capture.Items != 2 {
		t.Errorf("items: flows %d of %d classes, packets %d, captures %d", r.Flow.Items, r.Flow.Classes, r.Packet.Items, r.Capture.Items)
	}
	if want := [][]int{{1, 1, 0}, {0, 1, 1}, {0, 0, 0}}; !reflect.DeepEqual(r.Confusion.Counts, want) {
		t.Errorf("confusion: got %v, want %v", r.Confusion.Counts, want)
	}
	wantClasses := []ClassScore{
		{"a", 1, 0.5, Number(2.0 / 3), 2, 1},
		{"b", 0.5, 0.5, 0.5, 2, 2},
	}
	if !reflect.DeepEqual(r.Classes, wantClasses) {
		t.Errorf("classes: got %+v, want %+v", r.Classes, wantClasses)
	}
	// Confidences 0.96 and 0.99 right (last bin), 0.8 and 0.5 wrong (each its own).
	near(t, "ECE", Number(math.Round(float64(r.Calibration.ECE)*1e6)/1e6), (0.05+0.8+0.5)/4)
	near(t, "NLL", Number(math.Round(float64(r.Calibration.NLL)*1e5)/1e5), Number(math.Round(-(math.Log(0.96)+math.Log(0.15)+math.Log(0.99)+math.Log(0.25))/4*1e5)/1e5))
	brier := (0.04*0.04 + 0.03*0.03 + 0.01*0.01) + (0.85*0.85 + 0.8*0.8 + 0.05*0.05) + (2*0.005*0.005 + 0.01*0.01) + (0.25*0.25 + 0.75*0.75 + 0.5*0.5)
	near(t, "Brier", Number(math.Round(float64(r.Calibration.Brier)*1e5)/1e5), Number(math.Round(brier/4*1e5)/1e5))

	// After one packet: b b b c. After two: a b b c. The rest never changes.
	near(t, "accuracy after 1", r.PacketsSeen[0].Accuracy, 0.25)
	near(t, "accuracy after 2", r.PacketsSeen[1].Accuracy, 0.5)
	near(t, "flows with 2", r.PacketsSeen[1].Longer, 0.5)
	near(t, "flows with 3", r.PacketsSeen[2].Longer, 0.25)
	// At 0.9: a after 2, a never (1 packet), b after 2, b never (1 packet).
	for _, e := range r.Early {
		if e.Confidence == 0.9 {
			near(t, "mean packets at 0.9", e.MeanPackets, 6.0/4)
			near(t, "mean waiting", e.MeanWaiting, 7.0/4)
			near(t, "decided at 0.9", e.Decided, 0.5)
			near(t, "decided and right at 0.9", e.DecidedTrue, 1)
		}
	}
	// Novelty 2.5 against 1, 2, 0, 3.
	near(t, "AUROC", r.Unseen.AUROC, 0.75)
	near(t, "capture AUROC", r.Unseen.CaptureAUROC, 1) // 2.5 against means of 1.5 and 1.5
	near(t, "marked novel", r.Unseen.MarkedNovel, 1)
	near(t, "known marked novel", r.KnownMarkedNovel, 0.25)
	if l := r.Unseen.Labels; len(l) != 1 || l[0].Label != "x" || l[0].TakenFor != "a" {
		t.Errorf("unseen labels: %+v", l)
	}
	// Majority is b. Ports: 80→a, 443→b, 22→c.
	near(t, "majority", r.Baseline["majority"].Accuracy, 0.5)
	near(t, "majority macro-F1", r.Baseline["majority"].MacroF1, (0+2.0*2/(2+4))/2)
	near(t, "server port", r.Baseline["server port"].Accuracy, 0.5)
	near(t, "server port, packets", r.Baseline["server port"].Packet.Accuracy, 5.0/7)
	near(t, "server port, captures", r.Baseline["server port"].Capture.Accuracy, 1) // a: one vote each for a and b, the first wins; b: b and c likewise
}

// The JSON that users script against, byte for byte.
func TestAppsGolden(t *testing.T) {
	golden(t, "apps.json", evaluated(t, small()))
}

func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	name = filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("JSON differs from %s (UPDATE_GOLDEN=1 rewrites it):\n%s", name, got)
	}
}

// Flows of labels unknown to the model change no score of the known ones.
func TestUnseenChangeNothing(t *testing.T) {
	all := evaluated(t, small())
	in := small()
	in.Flows = in.Flows[:4]
	known := evaluated(t, in)
	if known.Unseen != nil {
		t.Errorf("unseen: %+v without any", known.Unseen)
	}
	known.Unseen, known.TestedOn, known.Traffic = all.Unseen, all.TestedOn, all.Traffic
	a, _ := json.Marshal(all)
	b, _ := json.Marshal(known)
	if !bytes.Equal(a, b) {
		t.Errorf("with unseen flows:\n%s\nwithout:\n%s", a, b)
	}
}

// Whatever is missing, the JSON is valid, reads back, and the page is written.
func TestAppsDegenerate(t *testing.T) {
	nan := float32(math.NaN())
	for name, change := range map[string]func(*AppsInput){
		"only unseen": func(in *AppsInput) { in.Flows = in.Flows[4:] },
		"no packets":  func(in *AppsInput) { each(in, func(f *FlowResult) { f.Packets = nil }) },
		"no steps":    func(in *AppsInput) { each(in, func(f *FlowResult) { f.Steps = nil }) },
		"no logs":     func(in *AppsInput) { each(in, func(f *FlowResult) { f.Final.LogProbs = nil }) },
		"no answer": func(in *AppsInput) {
			each(in, func(f *FlowResult) { f.Final = FinalResult{Class: -1, Confidence: nan, Novelty: nan} })
		},
		"no baselines": func(in *AppsInput) { in.Baselines = nil },
		"no split":     func(in *AppsInput) { in.Split = "" },
		"bad class":    func(in *AppsInput) { each(in, func(f *FlowResult) { f.Final.Class = 99 }) },
		"impossible": func(in *AppsInput) {
			each(in, func(f *FlowResult) { f.Final.LogProbs = []float32{float32(math.Inf(-1)), nan, 0} })
		},
		"one flow": func(in *AppsInput) { in.Flows = in.Flows[:1] },
	} {
		in := small()
		change(&in)
		r := evaluated(t, in)
		j, err := json.Marshal(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var back AppsResult
		if err := json.Unmarshal(j, &back); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, _ := json.Marshal(&back); !bytes.Equal(j, again) {
			t.Errorf("%s: JSON changes when it is read and written:\n%s\n%s", name, j, again)
		}
		var page strings.Builder
		if err := AppsReport(&back).Write(&page); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func each(in *AppsInput, change func(*FlowResult)) {
	for i := range in.Flows {
		change(&in.Flows[i])
	}
}

func TestAppsRefuses(t *testing.T) {
	if _, err := Apps(AppsInput{}); !errors.Is(err, ErrNoFlows) {
		t.Errorf("no flows: %v", err)
	}
	for name, change := range map[string]func(*AppsInput){
		"a label twice":                 func(in *AppsInput) { in.Labels[1] = "a" },
		"log-probabilities of another":  func(in *AppsInput) { in.Flows[0].Final.LogProbs = log32(1) },
		"a baseline of other labels":    func(in *AppsInput) { in.Baselines[0].Majority = 3 },
		"a baseline with an odd key":    func(in *AppsInput) { in.Baselines[1].Tables[0].Key = "address" },
		"a baseline with an odd answer": func(in *AppsInput) { in.Baselines[1].Tables[0].Answers["6/1"] = 7 },
	} {
		in := small()
		change(&in)
		if _, err := Apps(in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A score against a twin that looks at each class on its own.
func TestTallyAgainstSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		classes := 1 + r.IntN(6)
		type pair struct{ truth, answer int }
		var pairs []pair
		tally, m := newTally(classes), newMatrix(classes)
		for range r.IntN(40) {
			p := pair{r.IntN(classes), r.IntN(classes+1) - 1}
			pairs = append(pairs, p)
			tally.add(p.truth, p.answer)
			m.add(p.truth, p.answer)
		}
		right, sum, present := 0.0, 0.0, 0.0
		for c := range classes {
			var tp, fp, fn float64
			for _, p := range pairs {
				switch {
				case p.truth == c && p.answer == c:
					tp++
				case p.truth == c:
					fn++
				case p.answer == c:
					fp++
				}
			}
			right += tp
			if tp+fn > 0 {
				present++
				sum += 2 * tp / (2*tp + fp + fn)
			}
		}
		s := tally.score()
		near(t, "accuracy", s.Accuracy, share(right, float64(len(pairs))))
		near(t, "macro-F1", s.MacroF1, share(sum, present))
		total := 0
		for _, row := range m.confusion([]string{"a", "b", "c", "d", "e", "f"}).Counts {
			for _, n := range row {
				total += n
			}
		}
		if total != len(pairs) {
			t.Fatalf("the confusion matrix holds %d of %d items", total, len(pairs))
		}
	}
}

// Flows that are all alike within a label have no spread; others have one that holds the score.
func TestIntervals(t *testing.T) {
	in := AppsInput{Labels: []string{"a", "b"}}
	r := rand.New(rand.NewPCG(9, 1))
	for c := range 40 {
		truth := c % 2
		for range 10 {
			in.Flows = append(in.Flows, FlowResult{Capture: fmt.Sprint(c), Truth: in.Labels[truth], Final: FinalResult{Class: int32(truth)}})
		}
	}
	same := evaluated(t, in)
	if i := same.Flow.AccuracyInterval; i == nil || i.Low != 1 || i.High != 1 {
		t.Errorf("all right: interval %v", i)
	}
	each(&in, func(f *FlowResult) {
		if r.IntN(4) == 0 {
			f.Final.Class = 1 - f.Final.Class
		}
	})
	first, second := evaluated(t, in), evaluated(t, in)
	if !reflect.DeepEqual(first.Flow, second.Flow) {
		t.Errorf("two runs differ: %v, %v", first.Flow, second.Flow)
	}
	i := first.Flow.AccuracyInterval
	if !(i.Low < first.Flow.Accuracy && first.Flow.Accuracy < i.High && i.High-i.Low < 0.15) {
		t.Errorf("accuracy %v, interval %v", first.Flow.Accuracy, i)
	}
	in.Flows = in.Flows[:40]
	if few := evaluated(t, in); few.Flow.AccuracyInterval != nil {
		t.Errorf("four captures: interval %v", few.Flow.AccuracyInterval)
	}
}

// A capture of several labels is not scored: nobody but an oracle could tell its flows apart.
func TestMixedCapturesAreNotScored(t *testing.T) {
	in := small()
	in.Flows[2].Capture = "1" // b beside a
	r := evaluated(t, in)
	if r.Capture.Items != 1 || r.MixedCaptures != 1 {
		t.Errorf("%d captures are scored and %d left out, want 1 and 1", r.Capture.Items, r.MixedCaptures)
	}
	if b := r.Baseline["majority"].Capture; b.Items != 1 {
		t.Errorf("the baseline is scored on %d captures, want 1", b.Items)
	}
	in.Flows[4].Capture = "2" // a label that the model does not know beside b
	r = evaluated(t, in)
	if r.Capture.Items != 0 || r.Capture.Accuracy.Defined() || r.MixedCaptures != 2 {
		t.Errorf("%d captures are scored (%v), %d left out; want none, undefined, 2", r.Capture.Items, r.Capture.Accuracy, r.MixedCaptures)
	}
	if r.Unseen.CaptureAUROC.Defined() {
		t.Errorf("AUROC per capture %v without a capture of one label", r.Unseen.CaptureAUROC)
	}
}

// The cascade's own row holds what it decided: a stranger is not decided however sure the network is.
func TestEarlyOfTheCascade(t *testing.T) {
	in := small()
	in.Early = 0.9
	in.Flows = in.Flows[2:4] // b after 1, 2, 3 packets at 0.7, 0.9, 0.99; b after 1 packet at 0.5
	in.Flows[0].Final.Decided = 3
	row := func() Early {
		t.Helper()
		for _, e := range evaluated(t, in).Early {
			if e.Cascade {
				return e
			}
		}
		t.Fatal("no row is the cascade's")
		return Early{}
	}
	in.Flows[0].Final.Novel = true // held back for its novelty to the end
	e := row()
	near(t, "decided", e.Decided, 0)
	near(t, "mean packets", e.MeanPackets, 4.0/2)
	in.Flows[0].Final.Novel, in.Flows[0].Final.Decided = false, 2
	e = row()
	near(t, "decided", e.Decided, 0.5)
	near(t, "decided and right", e.DecidedTrue, 1)
	near(t, "mean packets", e.MeanPackets, 3.0/2)
	in.Early = 0.93 // a level of its own
	in.Flows[0].Final.Decided = 3
	e = row()
	near(t, "confidence", e.Confidence, 0.93)
	near(t, "mean packets", e.MeanPackets, 4.0/2)
	in.Early = 2
	for _, e := range evaluated(t, in).Early {
		if e.Cascade {
			t.Errorf("a cascade that never decides early has a row: %+v", e)
		}
	}
}
