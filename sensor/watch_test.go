package sensor

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/window"
)

// fakeSource gives packets as an interface does, in batches of its own size.
type fakeSource struct {
	packets  []capture.Packet
	size     int           // packets given at a time, at most
	silences map[int]int64 // how long nothing comes after so many packets, nanoseconds
	steps    map[int]time.Duration
	losses   map[int][]capture.Loss
	fill     func(given int) float64
	err      error // in place of io.EOF

	given    int
	complete int64
	silence  int64
	step     time.Duration
	lost     []capture.Loss
}

func (s *fakeSource) Read(batch []capture.Packet) (int, error) {
	if s.silence > 0 {
		s.complete += min(s.silence, 1e8)
		s.silence -= min(s.silence, 1e8)
		return 0, nil
	}
	if s.given == len(s.packets) {
		if s.err != nil {
			return 0, s.err
		}
		return 0, io.EOF
	}
	n := min(s.size, len(batch), len(s.packets)-s.given)
	for at := range s.silences { // batches end where something is to happen
		if at > s.given {
			n = min(n, at-s.given)
		}
	}
	for at := range s.steps {
		if at > s.given {
			n = min(n, at-s.given)
		}
	}
	copy(batch, s.packets[s.given:s.given+n])
	s.given += n
	s.complete = s.packets[s.given-1].Nanos
	s.silence, s.step, s.lost = s.silences[s.given], s.steps[s.given], s.losses[s.given]
	return n, nil
}

func (s *fakeSource) Complete() int64 {
	if s.step != 0 {
		return math.MinInt64
	}
	return s.complete
}

func (s *fakeSource) ClockStep() time.Duration {
	step := s.step
	s.step = 0
	return step
}

func (s *fakeSource) Losses() []capture.Loss {
	lost := s.lost
	s.lost = nil
	return lost
}

func (s *fakeSource) Lag() (float64, time.Duration) {
	if s.fill == nil {
		return 0, 0
	}
	return s.fill(s.given), 0
}

// watch returns the lines of a run over a source, without stats, in the order of the alphabet.
func watch(t *testing.T, source *fakeSource, workers int) ([]string, *Summary) {
	t.Helper()
	s, events := sensing(t, workers)
	each := 0
	must(t, s.Watch(source, Watcher{File: "capture.pcap", Each: func() error { each++; return nil }}))
	summary, err := s.Close()
	must(t, err)
	if each == 0 {
		t.Error("Each was never called")
	}
	return sorted(t, *events), summary
}

// sorted returns the lines of events without stats, in the order of the alphabet.
func sorted(t *testing.T, events []event.Event) []string {
	t.Helper()
	all := strings.Split(lines(t, slices.DeleteFunc(slices.Clone(events), func(e event.Event) bool { return e.Type == event.TypeStats })), "\n")
	slices.Sort(all)
	return all
}

func TestLiveEqualsReplay(t *testing.T) {
	all := packets(t, 6)
	s, events := sensing(t, 1)
	must(t, s.Add("capture.pcap", all))
	_, err := s.Close()
	must(t, err)
	want := sorted(t, *events)
	silences := map[int]int64{} // the clock goes on between packets, up to the next
	for i := 1; i < len(all); i++ {
		if gap := all[i].Nanos - all[i-1].Nanos; gap > 3e8 {
			silences[i] = gap
		}
	}
	if len(silences) < 10 {
		t.Fatalf("the traffic has %d silences: the test tests nothing", len(silences))
	}
	for _, run := range []struct{ workers, size int }{{1, 1}, {1, 64}, {2, 7}, {8, 64}} {
		got, _ := watch(t, &fakeSource{packets: slices.Clone(all), size: run.size, silences: silences}, run.workers)
		if !slices.Equal(got, want) {
			t.Errorf("%+v: %s", run, differ(strings.Join(got, "\n"), strings.Join(want, "\n")))
		}
	}
}

func TestWindowsCloseAndStatsComeWithoutPackets(t *testing.T) {
	all := packets(t, 1)
	s, events := sensing(t, 2)
	s.cfg.Capture = func() []event.Capture { return []event.Capture{{Interface: "eth0", Captured: 7}} }
	var seen []int
	source := &fakeSource{packets: all, size: 64, silences: map[int]int64{len(all): 65e9}}
	must(t, s.Watch(source, Watcher{Each: func() error {
		seen = append(seen, len(*events))
		return nil
	}}))
	last := all[len(all)-1].Nanos
	windows, stats := 0, 0
	for _, e := range *events { // before Close
		switch {
		case e.Type == event.TypeWindow && e.Nanos > last:
			windows++
		case e.Type == event.TypeStats && e.Nanos > last:
			stats++
			if len(e.Stats.Capture) != 1 || e.Stats.Capture[0].Captured != 7 {
				t.Errorf("stats of the interfaces are %+v", e.Stats.Capture)
			}
		}
	}
	if windows < 30 || stats != 6 && stats != 7 {
		t.Errorf("%d windows closed and %d stats came after the last packet, want at least 30 and 6 or 7", windows, stats)
	}
	if slices.Max(seen) != seen[len(seen)-1] || seen[len(seen)-2] == seen[0] {
		t.Errorf("events came at %v, want them while time went on", seen)
	}
	_, err := s.Close()
	must(t, err)
}

func TestClockThatWasSet(t *testing.T) {
	all := packets(t, 4)
	half := len(all) / 2
	for _, by := range []time.Duration{-time.Hour, time.Hour} {
		moved := slices.Clone(all)
		for i := half; i < len(moved); i++ {
			moved[i].Nanos += int64(by)
		}
		s, events := sensing(t, 2)
		var steps []time.Duration
		must(t, s.Watch(&fakeSource{packets: moved, size: 50, steps: map[int]time.Duration{half: by, half + 20: time.Second / 2}},
			Watcher{OnClock: func(step time.Duration) { steps = append(steps, step) }}))
		summary, err := s.Close()
		must(t, err)
		c := summary.Counters
		if c.Window.Late != 0 || c.Window.Empty > 12 || c.Window.Skipped != 0 || !slices.Equal(steps, []time.Duration{by}) {
			t.Errorf("by %v: %d packets late, %d empty windows, told of %v; want no trace of it but %v", by, c.Window.Late, c.Window.Empty, steps, by)
		}
		windows := 0
		for _, e := range *events {
			if e.Type == event.TypeWindow {
				if e.Window.Score == nil {
					windows++
				}
			}
		}
		if windows != 4 {
			t.Errorf("by %v: %d windows had too few before them to score, want 2 at the start and 2 after the clock was set", by, windows)
		}
	}
}

func TestOverloadShedsLabelsAndNothingElse(t *testing.T) {
	all := packets(t, 20)
	_, want := sense(t, all, 2, 100)
	s, events := sensing(t, 2)
	type change struct{ from, to classify.Effort }
	var changes []change
	must(t, s.Watch(&fakeSource{packets: all, size: 50, fill: func(given int) float64 { return float64(given) / float64(len(all)) }},
		Watcher{OnEffort: func(from, to classify.Effort, _ float64, _ time.Duration) {
			changes = append(changes, change{from, to})
		}}))
	got, err := s.Close()
	must(t, err)
	if !slices.Equal(changes, []change{{0, 1}, {1, 2}, {2, 3}}) {
		t.Errorf("efforts changed as %v", changes)
	}
	shed := got.Shed
	if shed == nil || shed.Effort != "no_labels" || len(shed.Packets) != 3 || shed.Flows["no_labels"] == 0 {
		t.Fatalf("told of %+v", shed)
	}
	if want.Shed != nil {
		t.Errorf("without overload: told of %+v", want.Shed)
	}
	if got.Counters.Flow.Flows != want.Counters.Flow.Flows || got.Counters.Packets != want.Counters.Packets || got.Counters.Window != want.Counters.Window {
		t.Errorf("counts\n got %+v\nwant %+v", got.Counters, want.Counters)
	}
	last := (*events)[len(*events)-1]
	if last.Type != event.TypeStats || last.Stats.Shed == nil {
		t.Errorf("the last event is %+v", last)
	}
}

func TestWatchEndsOnErrors(t *testing.T) {
	broken := errors.New("broken")
	s, _ := sensing(t, 1)
	if err := s.Watch(&fakeSource{err: broken}, Watcher{}); !errors.Is(err, broken) {
		t.Errorf("error %v of the source, want it", err)
	}
	s, _ = sensing(t, 1)
	if err := s.Watch(&fakeSource{packets: packets(t, 1), size: 9}, Watcher{Each: func() error { return broken }}); !errors.Is(err, broken) {
		t.Errorf("error %v of Each, want it", err)
	}
	s, _ = sensing(t, 1)
	s.cfg.Emit = func(*event.Event) error { return broken }
	if err := s.Watch(&fakeSource{packets: packets(t, 3), size: 9}, Watcher{}); !errors.Is(err, broken) {
		t.Errorf("error %v of Emit, want it", err)
	}
}

func TestSurplus(t *testing.T) {
	const threshold = 1
	result := func(shares ...float64) (r anomaly.Result) {
		r.Threshold = threshold
		for i, s := range shares {
			r.Shares[i], r.Expected[i] = s, 10
			r.Score += s
		}
		return r
	}
	for _, test := range []struct {
		name   string
		v      window.Vector
		r      anomaly.Result
		beyond bool
	}{
		{"too many", window.Vector{20}, result(2), true},
		{"too few", window.Vector{5}, result(2), false},
		{"as expected", window.Vector{10}, result(2), true},
		{"too few and too many", window.Vector{5, 20}, result(3, 1), true},
		{"too few and somewhat too many", window.Vector{5, 11}, result(3, 0.9), false},
	} {
		if got := surplus(&test.v, &test.r); got != test.beyond {
			t.Errorf("%s: %v, want %v", test.name, got, test.beyond)
		}
	}
}

// A window that lost packets and is odd only for having few of everything does not alarm; one that is odd for having many does.
func TestLossIsNoAlarm(t *testing.T) {
	all := packets(t, 3)
	var everywhere []capture.Loss
	for nanos := all[0].Nanos; nanos < all[len(all)-1].Nanos; nanos += int64(windowLen) / 4 {
		everywhere = append(everywhere, capture.Loss{Nanos: nanos, Packets: 1})
	}
	count := func(usual float64, losses []capture.Loss) (alerts, unsure int) {
		cfg := Config{
			Meter: meter.Config{Lateness: time.Second, MaxGap: 100}, Anomaly: detectorOf(t, usual), AnomalyName: "anomaly@1",
			Emit: func(e *event.Event) error {
				switch {
				case e.Type == event.TypeAlert:
					alerts++
					if e.Alert.Unsure {
						t.Error("an alert is unsure")
					}
				case e.Type == event.TypeWindow && e.Window.Unsure:
					unsure++
					if e.Window.Anomalous || e.Window.Lost == 0 || *e.Window.Score < e.Window.Threshold {
						t.Errorf("unsure window %+v", e.Window)
					}
				}
				return nil
			},
		}
		s, err := New(cfg, 2)
		must(t, err)
		must(t, s.Watch(&fakeSource{packets: all, size: 10, losses: map[int][]capture.Loss{10: losses}}, Watcher{}))
		_, err = s.Close()
		must(t, err)
		return alerts, unsure
	}
	const much, little = 1e9, 0
	if alerts, unsure := count(much, nil); alerts < 10 || unsure != 0 {
		t.Errorf("too little, none lost: %d alerts, %d unsure, want alerts alone", alerts, unsure)
	}
	if alerts, unsure := count(much, everywhere); alerts != 0 || unsure < 5 {
		t.Errorf("too little, some lost: %d alerts, %d unsure, want no alert", alerts, unsure)
	}
	if alerts, unsure := count(little, everywhere); alerts < 10 || unsure != 0 {
		t.Errorf("too much, some lost: %d alerts, %d unsure, want alerts alone", alerts, unsure)
	}
}

// detectorOf alarms on every window that it can score, and expects about as much as is usual of everything.
func detectorOf(t *testing.T, usual float64) *anomaly.Model {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	windows := make([]window.Vector, 60)
	for i := range windows {
		for k := range windows[i] {
			windows[i][k] = usual + r.Float64()
		}
	}
	m, err := anomaly.Train(context.Background(), [][]window.Vector{windows}, anomaly.Options{
		Profile: anomaly.Paper, Length: windowLen, Hidden: 4, Epochs: 1, Threshold: 1e-9,
	})
	must(t, err)
	return m
}

// A batch that is as large as was asked for may be the last for a while: what it shows is told at the next beat, not when
// packets come again.
func TestFullBatchBeforeSilenceIsTold(t *testing.T) {
	for _, workers := range []int{1, 2, 8} {
		all := traffic(20)
		for i := range all {
			all[i].Nanos = 1_700_000_000e9 + int64(i)*1e6 // all in one second, that of the silence too
		}
		s, events := sensing(t, workers)
		labels := func() (n int) {
			for i := range *events {
				if (*events)[i].Type == event.TypeLabel {
					n++
				}
			}
			return n
		}
		source, told := &fakeSource{packets: all[:minBatch], size: minBatch, silences: map[int]int64{minBatch: 3e8}}, 0
		must(t, s.Watch(source, Watcher{Each: func() error {
			if source.silence == 1e8 { // two beats have come without packets
				told = labels()
			}
			return nil
		}}))
		_, err := s.Close()
		must(t, err)
		if told == 0 || told > labels() {
			t.Errorf("%d workers: %d labels are told in the silence, %d in all", workers, told, labels())
		}
	}
}
