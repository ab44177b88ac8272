package web

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/event"
)

// allCounters are statistics in which everything is told; an interface may be called anything.
func allCounters() *event.Stats {
	return &event.Stats{
		Packets: 1, Bytes: 2, Flows: 3, ActiveFlows: 4, Labelled: 5, Novel: 6, Windows: 7, Alerts: 8, Suppressed: 9,
		DecodeErrors: map[string]uint64{"truncated_ip": 10, "too_deep": 11},
		Drops:        map[string]uint64{"flows_evicted": 12, "store_disk_full": 1 << 40},
		Shed:         &event.Shed{Effort: "no_networks", Packets: map[string]uint64{"no_networks": 13}, Flows: map[string]uint64{"no_labels": 14}},
		Capture: []event.Capture{
			{Interface: "eth0", Captured: 15, Received: 16, Dropped: 17, Missed: 18, Oversize: 19},
			{Interface: "a\"b\\\n\xff", Captured: 20},
		},
		Drift:  &event.Drift{Scores: &event.Shift{Index: 0.125, Count: 300}, Novelty: &event.Shift{Index: 0.5, Count: 400}},
		Models: &event.Models{Apps: "apps@20261126-1", Anomaly: "office@20261126-2", Promoted: 21, Refused: 22},
	}
}

func TestMetrics(t *testing.T) {
	live := NewLive()
	s := newTest(t, func(c *Config) { c.Live = live })
	score := 0.5
	live.Observe(&event.Event{Nanos: 5e9, Type: event.TypeWindow, Window: &event.Window{Score: &score, Threshold: 2}})
	live.Observe(&event.Event{Nanos: 7e9, Type: event.TypeStats, Stats: allCounters()})
	r := ask(t, s, "GET", "/metrics", "")
	text := string(read(t, r))
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != metricsType {
		t.Fatalf("got %d of %s", r.StatusCode, r.Header.Get("Content-Type"))
	}
	for _, want := range []string{
		`weir_build_info{version="test"} 1`, "weir_traffic_time_seconds 7", "weir_window_score 0.5", "weir_window_threshold 2",
		"weir_packets_total 1", "weir_bytes_total 2", "weir_flows_total 3", "weir_active_flows 4", "weir_labelled_flows_total 5", "weir_novel_flows_total 6",
		"weir_windows_total 7", "weir_alerts_total 8", "weir_suppressed_alerts_total 9", `weir_decode_errors_total{reason="truncated_ip"} 10`,
		`weir_decode_errors_total{reason="too_deep"} 11`, `weir_drops_total{reason="flows_evicted"} 12`, `weir_drops_total{reason="store_disk_full"} 1.099511627776e+12`,
		`weir_effort{effort="no_networks"} 1`, `weir_shed_packets_total{effort="no_networks"} 13`, `weir_shed_flows_total{effort="no_labels"} 14`,
		`weir_capture_captured_total{interface="eth0"} 15`, `weir_capture_received_total{interface="eth0"} 16`, `weir_capture_dropped_total{interface="eth0"} 17`,
		`weir_capture_missed_total{interface="eth0"} 18`, `weir_capture_oversize_total{interface="eth0"} 19`,
		`weir_capture_captured_total{interface="a\"b\\\n�"} 20`, "weir_dashboard_clients 0",
		`weir_drift_index{quantity="scores"} 0.125`, `weir_drift_index{quantity="novelty"} 0.5`, `weir_drift_values{quantity="novelty"} 400`,
		`weir_model_info{model="apps@20261126-1"} 1`, `weir_model_info{model="office@20261126-2"} 1`, "weir_models_promoted_total 21", "weir_models_refused_total 22",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	checkMetrics(t, text)
	checkMetrics(t, string(newTest(t, func(c *Config) { c.Live = nil }).appendMetrics(nil)))
}

// checkMetrics asks promtool what it thinks of a text. Where WEIR_REQUIRE names promtool, as in CI, its absence is a failure.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if strings.Contains(os.Getenv("WEIR_REQUIRE"), "promtool") {
			t.Fatal("this test needs promtool, of the Debian package prometheus")
		}
		t.Log("NOT CHECKED by promtool: there is none")
		return
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestMetricsAreBounded wants no more series after much traffic than there were.
func TestMetricsAreBounded(t *testing.T) {
	few, many := NewLive(), NewLive()
	_, all := seen(t, 5000)
	series := func(l *Live) []string {
		names := map[string]bool{}
		var x exposition
		x.live(l)
		for line := range strings.Lines(string(x.text)) {
			if !strings.HasPrefix(line, "#") {
				names[line[:strings.LastIndexByte(line, ' ')]] = true
			}
		}
		return slices.Sorted(maps.Keys(names))
	}
	for _, l := range []*Live{few, many, all} {
		l.Observe(&event.Event{Type: event.TypeWindow, Window: &event.Window{}})
		l.Observe(&event.Event{Type: event.TypeStats, Stats: allCounters()})
	}
	for i := range 1000 {
		many.Observe(&event.Event{Type: event.TypeFlow, Flow: &event.Flow{App: strings.Repeat("x", i)}})
	}
	if want := series(few); len(want) == 0 || !slices.Equal(series(many), want) || !slices.Equal(series(all), want) {
		t.Errorf("series:\n%s\nafter much traffic:\n%s", strings.Join(want, "\n"), strings.Join(series(all), "\n"))
	}
}

func TestHealth(t *testing.T) {
	healthy, ready := true, false
	s := newTest(t, func(c *Config) {
		c.Healthy, c.Ready = func() bool { return healthy }, func() bool { return ready }
	})
	want := func(s *Server, path string, status int, text string, header ...string) {
		t.Helper()
		if r := send(s, "GET", path, header...); r.StatusCode != status || string(read(t, r)) != text {
			t.Errorf("%s: got %d, want %d and %q", path, r.StatusCode, status, text)
		}
	}
	want(s, "/healthz", 200, "ok\n")
	want(s, "/readyz", 503, "not ok\n")
	healthy, ready = false, true
	want(s, "/healthz", 503, "not ok\n")
	want(s, "/readyz", 200, "ok\n")
	want(s, "/healthz", 421, "", "Host", "evil.example:8080")
	if r := send(s, "POST", "/healthz"); r.StatusCode != 401 {
		t.Errorf("POST /healthz: got %d, want 401", r.StatusCode)
	}
	s = newTest(t, nil) // who is not asked is well
	want(s, "/healthz", 200, "ok\n")
	want(s, "/readyz", 200, "ok\n")
}
