package sensor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/window"
)

const windowLen = 2 * time.Second

// detector alarms on every window that it can score, which are all but the first two.
func detector(t *testing.T) *anomaly.Model {
	t.Helper()
	return detectorOf(t, 0)
}

// applications is a model that has learned nothing.
func applications(t *testing.T) *classify.Model {
	t.Helper()
	arch, err := classify.NewArchitecture(classify.Default, 3)
	must(t, err)
	arch.Early = 2
	params := classify.NewNetwork(arch).Params()
	nn.Init(params, 1)
	m, err := classify.NewModel(classify.Settings{Arch: arch, PacketTemperature: 1, FlowTemperature: 1}, []string{"a", "b", "c"}, params)
	must(t, err)
	m.Name = "apps@1"
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// packets are the sample capture, again and again.
func packets(t *testing.T, times int) []capture.Packet {
	t.Helper()
	r, err := capture.Open([]string{"../samples/tiny.pcap"})
	must(t, err)
	defer r.Close()
	var all []capture.Packet
	batch := make([]capture.Packet, 64)
	for {
		n, err := r.Read(batch)
		if err == io.EOF {
			break
		}
		for _, p := range batch[:n] {
			p.Data = slices.Clone(p.Data)
			all = append(all, p)
		}
	}
	one := all
	for i := 1; i < times; i++ {
		for _, p := range one {
			p.Nanos += int64(i) * 15e9
			all = append(all, p)
		}
	}
	return all
}

// sensing returns a sensor of both models and what it has emitted.
func sensing(t *testing.T, workers int) (*Sensor, *[]event.Event) {
	t.Helper()
	events := new([]event.Event)
	cfg := Config{
		Meter: meter.Config{Lateness: time.Second, MaxGap: 100},
		Apps:  applications(t), Anomaly: detector(t), AnomalyName: "anomaly@1",
		Emit: func(e *event.Event) error {
			*events = append(*events, *e)
			return nil
		},
	}
	cfg.Meter.Flow.OpeningPackets = cfg.Apps.Arch.Packets
	s, err := New(cfg, workers)
	must(t, err)
	return s, events
}

// sense returns the lines of a run over packets given batch at a time.
func sense(t *testing.T, all []capture.Packet, workers, batch int) (string, *Summary) {
	t.Helper()
	s, events := sensing(t, workers)
	for part := range slices.Chunk(all, batch) {
		must(t, s.Add("capture.pcap", part))
	}
	summary, err := s.Close()
	must(t, err)
	return lines(t, *events), summary
}

func lines(t *testing.T, events []event.Event) string {
	t.Helper()
	var out bytes.Buffer
	w := event.NewWriter(&out)
	for i := range events {
		must(t, w.Write(&events[i]))
	}
	must(t, w.Flush())
	return out.String()
}

// differ names the first line in which two runs differ.
func differ(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func TestSameEventsForAnyWorkersAndBatches(t *testing.T) {
	all := packets(t, 6)
	all[300].Nanos = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	want, summary := sense(t, all, 1, len(all))
	for _, kind := range []string{"label", "flow", "window", "alert", "stats"} {
		if strings.Count(want, `"event_type":"`+kind+`"`) < 5 {
			t.Errorf("the traffic is too dull: there are few events of type %s", kind)
		}
	}
	if summary.Counters.Window.Late != 0 || summary.Counters.TimeOutliers != 1 {
		t.Errorf("%d late packets and %d outliers, want 0 and 1", summary.Counters.Window.Late, summary.Counters.TimeOutliers)
	}
	for _, run := range []struct{ workers, batch int }{{1, 1}, {1, 7}, {2, 97}, {8, 64}} {
		if got, _ := sense(t, all, run.workers, run.batch); got != want {
			t.Errorf("%+v: %s", run, differ(got, want))
		}
	}
}

// The same packets from a file, from one compressed, and from a pipe give the same events.
func TestSameEventsFromFileAndPipe(t *testing.T) {
	all := packets(t, 4)
	var plain, packed bytes.Buffer
	w := capture.NewWriter(&plain)
	for i := range all {
		must(t, w.Write(&all[i]))
	}
	must(t, w.Flush())
	z := gzip.NewWriter(&packed)
	_, err := z.Write(plain.Bytes())
	must(t, errors.Join(err, z.Close()))

	dir := t.TempDir()
	file, gz := filepath.Join(dir, "a.pcapng"), filepath.Join(dir, "b.gz")
	must(t, os.WriteFile(file, plain.Bytes(), 0o666))
	must(t, os.WriteFile(gz, packed.Bytes(), 0o666))
	from, to, err := os.Pipe()
	must(t, err)
	stdin := os.Stdin
	os.Stdin = from
	defer func() { os.Stdin = stdin; from.Close() }()
	go func() {
		defer to.Close()
		for part := range slices.Chunk(plain.Bytes(), 1000) {
			if _, err := to.Write(part); err != nil {
				return
			}
		}
	}()

	want, _ := sense(t, all, 1, len(all))
	for i, path := range []string{file, gz, "-"} {
		s, events := sensing(t, i+1)
		r, err := capture.Open([]string{path})
		must(t, err)
		batch := make([]capture.Packet, 64)
		for {
			n, err := r.Read(batch)
			if err == io.EOF {
				break
			}
			must(t, s.Add("capture.pcap", batch[:n]))
			if r.Waits() {
				s.Wait()
			}
		}
		must(t, r.Close())
		_, err = s.Close()
		must(t, err)
		if got := lines(t, *events); got != want {
			t.Errorf("%s: %s", filepath.Base(path), differ(got, want))
		}
	}
}

func TestStatsEveryTenSeconds(t *testing.T) {
	s, events := sensing(t, 2)
	all := packets(t, 6)
	must(t, s.Add("a", all))
	_, err := s.Close()
	must(t, err)
	var last event.Event
	n := 0
	for _, e := range *events {
		if e.Type != event.TypeStats {
			continue
		}
		n++
		if last.Stats != nil && e.Nanos/10e9 == last.Nanos/10e9 && e.Stats.Packets < uint64(len(all)) {
			t.Errorf("stats at %v and %v: twice in ten seconds", event.Time(last.Nanos), event.Time(e.Nanos))
		}
		if e.Stats.PacketRate <= 0 || e.Stats.PacketRate > 1000 {
			t.Errorf("%v packets a second at %v", e.Stats.PacketRate, event.Time(e.Nanos))
		}
		last = e
	}
	if n < 7 || last.Stats.Packets != uint64(len(all)) {
		t.Errorf("%d stats of which the last counts %d packets, want at least 7 and all %d", n, last.Stats.Packets, len(all))
	}
}

func TestAlerts(t *testing.T) {
	s, events := sensing(t, 2)
	all := packets(t, 4)
	half := len(all)/2 + 10 // within a window
	must(t, s.Add("first.pcap", all[:half]))
	must(t, s.Add("-", all[half:]))
	summary, err := s.Close()
	must(t, err)
	var windows, alerts int
	seen := map[string]bool{}
	for _, e := range *events {
		switch e.Type {
		case event.TypeWindow:
			if windows++; (e.Window.Score == nil) != (windows <= 2) {
				t.Errorf("window %d has the score %v, want none in the first two alone", windows, e.Window.Score)
			}
		case event.TypeAlert:
			alerts++
			a := e.Alert
			var sum uint64
			for _, app := range a.Top.Apps {
				sum += app.Packets
			}
			if sum > a.Packets {
				t.Errorf("an alert names %d packets of applications in a window of %d", sum, a.Packets)
			}
			if got, want := a.Evidence.How != "", strings.Contains(a.Evidence.Files, "first.pcap"); got != want {
				t.Errorf("evidence from %q is %q", a.Evidence.Files, a.Evidence.How)
			}
			seen[a.Evidence.Files] = true
			if len(a.Features) != len(window.Names) {
				t.Errorf("an alert has %d features, want %d", len(a.Features), len(window.Names))
			}
		}
	}
	if alerts != windows-2 || alerts == 0 || summary.AlertCount != uint64(alerts) || len(summary.Alerts) != alerts || len(summary.Timeline) != alerts {
		t.Errorf("%d windows, %d alerts, the summary counts %d, keeps %d and %d points; want all but two", windows, alerts, summary.AlertCount, len(summary.Alerts), len(summary.Timeline))
	}
	if !seen["first.pcap"] || !seen["-"] || !seen["first.pcap, -"] {
		t.Errorf("evidence comes from %v, want it from each file and, where one ends and the other begins, from both", seen)
	}
	if len(s.sources.files) != 0 {
		t.Errorf("the files of %d windows are still kept", len(s.sources.files))
	}
	if page := Report(summary, []string{"first.pcap", "-"}); len(page.Sections) < 4 {
		t.Errorf("a report with alerts has %d sections", len(page.Sections))
	}
}

// Packets that no window counts, late ones and those outside the home networks, leave nothing behind.
func TestFilesOfOpenWindowsAlone(t *testing.T) {
	s, _ := sensing(t, 1)
	all := packets(t, 4)
	must(t, s.Add("a", all))
	late := slices.Clone(all[:len(all)/2])
	for i := range late {
		late[i].Nanos -= int64(time.Hour) + int64(i)*5e9
	}
	must(t, s.Add("a", late))
	if late := s.meter.Counters().Window.Late; late != 0 {
		t.Errorf("late packets are told before their window closes: %d", late)
	}
	if n := len(s.sources.files); n > 3 {
		t.Errorf("files of %d windows are kept, want those of the open ones alone", n)
	}
	_, err := s.Close()
	must(t, err)
}

func TestHighestAlertsAreKept(t *testing.T) {
	var s Summary
	for i := range 5 * maxAlerts {
		score := float64((i * 7919) % (5 * maxAlerts))
		s.alert(event.Alert{Window: event.Window{Start: event.Time(i), Score: &score}})
		if len(s.Alerts) > 2*maxAlerts {
			t.Fatalf("%d alerts are kept on the way, want at most %d", len(s.Alerts), 2*maxAlerts)
		}
	}
	s.finish()
	if s.AlertCount != 5*maxAlerts || len(s.Alerts) != maxAlerts {
		t.Fatalf("%d alerts counted, %d kept, want %d and %d", s.AlertCount, len(s.Alerts), 5*maxAlerts, maxAlerts)
	}
	for i, a := range s.Alerts {
		if *a.Score < 4*maxAlerts {
			t.Errorf("an alert of score %v is kept, want the highest alone", *a.Score)
		}
		if i > 0 && a.Start < s.Alerts[i-1].Start {
			t.Errorf("alert %d is from before alert %d", i, i-1)
		}
	}
}

func TestEmitError(t *testing.T) {
	full := errors.New("no space")
	s, _ := sensing(t, 2)
	n := 0
	s.cfg.Emit = func(*event.Event) error {
		if n++; n > 3 {
			return full
		}
		return nil
	}
	var err error
	for part := range slices.Chunk(packets(t, 3), 50) {
		s.Wait()
		if err = s.Add("a", part); err != nil {
			break
		}
	}
	if !errors.Is(err, full) {
		t.Errorf("Add returned %v, want the error of Emit", err)
	}
	if _, err := s.Close(); !errors.Is(err, full) {
		t.Errorf("Close returned %v, want the error of Emit", err)
	}
	if n != 4 {
		t.Errorf("Emit was called %d times, want not again after its error", n)
	}
}

func TestEvidence(t *testing.T) {
	for _, test := range []struct {
		files []string
		want  event.Evidence
	}{
		{nil, event.Evidence{}},
		{[]string{"-"}, event.Evidence{Files: "-"}},
		{[]string{"a b.pcap"}, event.Evidence{Files: "a b.pcap", How: "editcap -A 1.500000 -B 3.000000 'a b.pcap' evidence.pcapng"}},
		{[]string{"-x.pcap"}, event.Evidence{Files: "-x.pcap", How: "editcap -A 1.500000 -B 3.000000 './-x.pcap' evidence.pcapng"}},
		{[]string{"it's", "-", "b"}, event.Evidence{Files: "it's, -, b", How: `editcap -A 1.500000 -B 3.000000 'it'\''s' evidence.pcapng && editcap -A 1.500000 -B 3.000000 'b' evidence-2.pcapng`}},
	} {
		test.want.Start, test.want.End = 1.5e9, 3e9
		if got := cuts(test.files, 1.5e9, 3e9); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q:\n got %+v\nwant %+v", test.files, got, test.want)
		}
	}
}

// The words of evidence reach a program as they were, whatever is in a file's name.
func TestEvidenceInShell(t *testing.T) {
	for _, name := range []string{"a b", "it's", "$(touch x)", "-rf", "`x`", "new\nline", `back\slash`} {
		got, err := exec.Command("sh", "-c", "printf %s "+shellQuote(name)).Output()
		must(t, err)
		if want := strings.TrimPrefix(string(got), "./"); want != name {
			t.Errorf("the shell makes %q of %q", got, name)
		}
	}
}

func TestDropsNameEveryReason(t *testing.T) {
	c := meter.Counters{TimeOutliers: 1, ClosedForMem: 2}
	c.Flow = flow.Stats{Evicted: [flow.NumWorths]uint64{7, 2, 1}}
	got := Drops(&c)
	if len(got) != 5 || got["packets_time_outlier"] != 1 || got["windows_closed_early"] != 2 ||
		got["flows_evicted"] != 10 || got["flows_evicted_answered"] != 2 || got["flows_evicted_labelled"] != 1 {
		t.Errorf("drops are %v", got)
	}
}
