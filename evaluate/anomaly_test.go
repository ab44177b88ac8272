package evaluate

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/report"
)

// tenWindows is a test worked by hand: windows of 5 s from Unix second 1000.
//
//	window   0   1   2   3   4   5   6   7   8   9
//	score    -   1   9   1   2   8   7   1   9   1
//	flood                    5  15  30
//	scan                                 2
//	alarm            x           x   x       x
func tenWindows() AnomalyInput {
	in := AnomalyInput{Model: "m@1", Split: "by hand", TrainedOn: Side{Windows: 3}, Length: 5 * time.Second,
		Baseline: FitZScore([][]float64{{0}, {2}}, 0)}
	scores := []float64{math.NaN(), 1, 9, 1, 2, 8, 7, 1, 9, 1}
	for i, s := range scores {
		in.Windows = append(in.Windows, WindowResult{
			Start: int64(1000+5*i) * 1e9, Score: s, Threshold: 6, Anomalous: s >= 6, Packets: 100, Features: []float64{1},
		})
	}
	for i, n := range map[int]int{4: 5, 5: 15, 6: 30} {
		in.Windows[i].Attacks = []AttackPackets{{"flood", n}}
		in.Windows[i].Features[0] = float64(n)
	}
	in.Windows[7].Attacks = []AttackPackets{{"scan", 2}}
	in.Windows[8].Lost = 3
	return in
}

func detected(t *testing.T, in AnomalyInput) *AnomalyResult {
	t.Helper()
	r, err := Anomaly(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnomalyByHand(t *testing.T) {
	r := detected(t, tenWindows())
	// P = 1: windows 4 to 7 are positive; 5 and 6 found, 2 and 8 false.
	near(t, "precision", r.Precision, 0.5)
	near(t, "recall", r.Recall, 0.5)
	near(t, "F1", r.F1, 0.5)
	near(t, "FPR", r.FPR, 2.0/6)
	// Positive scores 2 8 7 1, negative ones (none) 1 9 1 9 1: won 4, 4, 4 and 1 + 3/2.
	near(t, "AUC at P = 1", r.P[0].AUC, (4+4+4+2.5)/24)
	// Steps: 9 9 | 8 | 7 | 2 | 1 1 1 1 (one positive) | none.
	near(t, "average precision at P = 1", r.P[0].AveragePrecision, (1.0/3+2.0/4+3.0/5+4.0/9)/4)
	// P = 10: windows 5 and 6; P = 20: window 6.
	near(t, "recall at P = 10", r.P[1].Recall, 1)
	near(t, "precision at P = 10", r.P[1].Precision, 0.5)
	near(t, "precision at P = 20", r.P[2].Precision, 0.25)
	if r.P[1].Windows != 2 || r.P[2].Windows != 1 {
		t.Errorf("positive windows: %d at P = 10, %d at P = 20", r.P[1].Windows, r.P[2].Windows)
	}
	// Alarms 2, 5, 6, 8: 2 is alone; 5, 6 and 8 are one, and it holds a flood.
	if r.Incidents != 2 || r.FalseIncidents != 1 {
		t.Errorf("incidents: %d, false %d; want 2, 1", r.Incidents, r.FalseIncidents)
	}
	days := 30.0 / 86400 // six quiet windows
	near(t, "false alarms a day", Number(math.Round(float64(r.FalseAlarmsPerDay))), Number(math.Round(2/days)))
	near(t, "false incidents a day", Number(math.Round(float64(r.FalseIncidentsPerDay))), Number(math.Round(1/days)))
	// The flood starts at 1020 and is known at the end of window 5, at 1030.
	want := []Attack{{"flood", 3, 2, 50, 10}, {"scan", 1, 0, 2, Undefined}}
	if got := r.Attacks; len(got) != 2 || got[0] != want[0] || got[1].Attack != "scan" || got[1].Detected != 0 || got[1].DelaySeconds.Defined() {
		t.Errorf("attacks: got %+v, want %+v", got, want)
	}
	if r.Unscored != 1 || r.LostPackets != 3 || r.LostWindows != 1 || r.TestedOn.Packets != 1000 {
		t.Errorf("unscored %d, lost %d in %d windows, packets %d", r.Unscored, r.LostPackets, r.LostWindows, r.TestedOn.Packets)
	}
	if want := []Span{{"flood", 1020, 1035}, {"scan", 1035, 1040}}; !reflect.DeepEqual(r.Spans, want) {
		t.Errorf("spans: got %v, want %v", r.Spans, want)
	}
	// Features 1 except 5, 15, 30 for the flood: mean 1, deviation 1, threshold just above 1.
	z := r.Baseline["z_score"]
	near(t, "z-score recall", z.Recall, 0.75)
	near(t, "z-score precision", z.Precision, 1)
}

func TestAnomalyGolden(t *testing.T) {
	golden(t, "anomaly.json", detected(t, tenWindows()))
}

// The order in which windows are given, and what stands in the input afterwards, do not change.
func TestAnomalyOrder(t *testing.T) {
	in := tenWindows()
	want, _ := json.Marshal(detected(t, in))
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(len(in.Windows), func(i, j int) { in.Windows[i], in.Windows[j] = in.Windows[j], in.Windows[i] })
	first := in.Windows[0].Start
	got, _ := json.Marshal(detected(t, in))
	if !bytes.Equal(got, want) {
		t.Errorf("shuffled:\n%s\nin order:\n%s", got, want)
	}
	if in.Windows[0].Start != first {
		t.Error("the caller's windows were reordered")
	}
}

// Incidents against a twin that marks every pair of alarms close enough.
func TestIncidentsAgainstSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	for range 300 {
		in := AnomalyInput{Length: time.Second, AttackPackets: []int{1}}
		at := int64(0)
		for range 1 + r.IntN(40) {
			at += 1 + r.Int64N(3)/2
			w := WindowResult{Start: at * 1e9, Anomalous: r.IntN(4) == 0}
			if r.IntN(6) == 0 {
				w.Attacks = []AttackPackets{{"x", 1}}
			}
			in.Windows = append(in.Windows, w)
		}
		incidents, wrong := 0, 0
		for i := 0; i < len(in.Windows); {
			if !in.Windows[i].Anomalous {
				i++
				continue
			}
			end := i
			for j := i + 1; j < len(in.Windows); j++ {
				if in.Windows[j].Anomalous && in.Windows[j].Start <= in.Windows[end].Start+2e9 {
					end = j
				}
			}
			incidents++
			real := false
			for _, w := range in.Windows[i : end+1] {
				real = real || len(w.Attacks) > 0
			}
			if !real {
				wrong++
			}
			i = end + 1
		}
		got := detected(t, in)
		if got.Incidents != incidents || got.FalseIncidents != wrong {
			t.Fatalf("incidents: got %d, false %d; want %d, %d: %+v", got.Incidents, got.FalseIncidents, incidents, wrong, in.Windows)
		}
	}
}

func TestAnomalyDegenerate(t *testing.T) {
	for name, change := range map[string]func(*AnomalyInput){
		"no attacks": func(in *AnomalyInput) { eachWindow(in, func(w *WindowResult) { w.Attacks = nil }) },
		"no quiet": func(in *AnomalyInput) {
			eachWindow(in, func(w *WindowResult) { w.Attacks = []AttackPackets{{"a", 99}} })
		},
		"no alarms": func(in *AnomalyInput) { eachWindow(in, func(w *WindowResult) { w.Anomalous = false }) },
		"no scores": func(in *AnomalyInput) { eachWindow(in, func(w *WindowResult) { w.Score = math.NaN() }) },
		"infinite": func(in *AnomalyInput) {
			eachWindow(in, func(w *WindowResult) { w.Score, w.Threshold = math.Inf(1), math.Inf(1) })
		},
		"no features": func(in *AnomalyInput) { eachWindow(in, func(w *WindowResult) { w.Features = nil }) },
		"no baseline": func(in *AnomalyInput) { in.Baseline = nil },
		"one window":  func(in *AnomalyInput) { in.Windows = in.Windows[:1] },
		"empty attack": func(in *AnomalyInput) {
			eachWindow(in, func(w *WindowResult) { w.Attacks = []AttackPackets{{"a", 0}} })
		},
		"far in time": func(in *AnomalyInput) { in.Windows[0].Start = math.MaxInt64 - 9e18; in.Windows[9].Start = 9e18 },
	} {
		in := tenWindows()
		change(&in)
		r := detected(t, in)
		j, err := json.Marshal(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var back AnomalyResult
		if err := json.Unmarshal(j, &back); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, _ := json.Marshal(&back); !bytes.Equal(j, again) {
			t.Errorf("%s: JSON changes when it is read and written:\n%s\n%s", name, j, again)
		}
		var page strings.Builder
		if err := AnomalyReport(&back).Write(&page); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "no attacks" && (r.Recall.Defined() || r.F1.Defined() || r.P[0].AUC.Defined() || !r.FPR.Defined() || !bytes.Contains(j, []byte(`"attacks":[]`))) {
			t.Errorf("no attacks: %s", j)
		}
		if name == "no quiet" && (r.FPR.Defined() || r.FalseAlarmsPerDay.Defined() || !r.Recall.Defined()) {
			t.Errorf("no quiet windows: %s", j)
		}
	}
}

func eachWindow(in *AnomalyInput, change func(*WindowResult)) {
	for i := range in.Windows {
		change(&in.Windows[i])
	}
}

func TestAnomalyRefuses(t *testing.T) {
	if _, err := Anomaly(AnomalyInput{Length: time.Second}); !errors.Is(err, ErrNoWindows) {
		t.Errorf("no windows: %v", err)
	}
	in := tenWindows()
	in.Length = 0
	if _, err := Anomaly(in); err == nil {
		t.Error("windows of no length: no error")
	}
	in = tenWindows()
	in.AttackPackets = []int{1, 0}
	if _, err := Anomaly(in); err == nil {
		t.Error("P = 0: no error")
	}
}

// The split stands before every number, baselines stand beside them, and labels are only text.
func TestReports(t *testing.T) {
	const hostile = `<img src=x onerror="alert(1)">`
	apps := small()
	apps.Labels[0], apps.Split = hostile, "split: "+hostile
	each(&apps, func(f *FlowResult) {
		if f.Truth == "a" {
			f.Truth = hostile
		}
	})
	windows := tenWindows()
	windows.Split = "split: " + hostile
	windows.Windows[5].Attacks[0].Attack = hostile
	for name, page := range map[string]*report.Page{
		"apps":    AppsReport(evaluated(t, apps)),
		"anomaly": AnomalyReport(detected(t, windows)),
	} {
		var b strings.Builder
		if err := page.Write(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out := b.String()
		if strings.Contains(out, "<img") || strings.Contains(out, "://") {
			t.Errorf("%s: the page holds a hostile label's tag, or an address", name)
		}
		split, number := strings.Index(out, "split: "), strings.Index(out, `class="value"`)
		if split < 0 || number < split {
			t.Errorf("%s: split at %d, first number at %d", name, split, number)
		}
		for _, want := range map[string][]string{"apps": {"majority", "server port"}, "anomaly": {"z-score"}}[name] {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no baseline %q", name, want)
			}
		}
	}
}

func TestAPromiseIsHeldAgainstItsWindows(t *testing.T) {
	for _, test := range []struct {
		mean float64
		want int
	}{{0, 0}, {1, 3}, {5, 10}, {2000, 2087}} {
		if got := poissonLimit(test.mean); got != test.want {
			t.Errorf("mean %g: got %d, want %d", test.mean, got, test.want)
		}
	}
	for _, test := range []struct {
		alarms int
		kept   bool
	}{{0, true}, {3, true}, {4, false}} {
		in := AnomalyInput{Length: time.Hour, Promise: &Promise{PerDay: 0.5}}
		for i := range 48 {
			in.Windows = append(in.Windows, WindowResult{Start: int64(i) * int64(time.Hour), Anomalous: i < test.alarms})
		}
		r, err := Anomaly(in)
		if err != nil {
			t.Fatal(err)
		}
		if p := r.Promise; p.Kept != test.kept || float64(p.Achieved) != float64(test.alarms)/2 || p.Days != 2 {
			t.Errorf("%d alarms in two days of a promise of 0.5 a day: %+v", test.alarms, p)
		}
	}
}
