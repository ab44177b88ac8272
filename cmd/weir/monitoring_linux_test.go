package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dashboardLine is where weir says that its dashboard is.
var dashboardLine = regexp.MustCompile(`dashboard: (http://[^/]+)/`)

// TestMonitoring reads a capture with a dashboard and asks as probes and Prometheus do.
func TestMonitoring(t *testing.T) {
	b := &bench{t: t, dir: t.TempDir()}
	b.link()
	w := b.begin(nil, "weir", b.command("", b.weir, "run", "--http", "127.0.0.1:0", "--http-token", b.path("token"),
		"-r", b.sample("tiny.pcap"), "-o", b.path("events.jsonl")))
	b.until("all is read", func() bool { return strings.Contains(w.stderr.String(), "all is read") })
	m := dashboardLine.FindStringSubmatch(w.stderr.String())
	if m == nil {
		t.Fatalf("no address of a dashboard\n%s", w.stderr.String())
	}
	token, err := os.ReadFile(b.path("token"))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, token string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", m[1]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
	for _, test := range []struct {
		path, token string
		status      int
		has         string
	}{
		{"/healthz", "", 200, "ok\n"},
		{"/readyz", "", 200, "ok\n"},
		{"/metrics", "", 401, ""},
		{"/metrics", strings.TrimSpace(string(token)), 200, "\nweir_flows_total "},
	} {
		if status, text := ask(test.path, test.token); status != test.status || !strings.Contains(text, test.has) {
			t.Errorf("%s: got %d and %q, want %d with %q", test.path, status, text, test.status, test.has)
		}
	}
	w.stop()
	if events, err := os.ReadFile(filepath.Join(b.dir, "events.jsonl")); err != nil || !strings.Contains(string(events), `"event_type":"stats"`) {
		t.Errorf("events: %v\n%s", err, events)
	}
}
