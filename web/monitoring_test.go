package web

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/weirnet/weir/event"
)

// The dashboard for Grafana and the rules for Prometheus that come with weir: whatever they ask for, weir must have.
const (
	grafanaFile = "../packaging/grafana/weir.json"
	rulesFile   = "../packaging/weir.rules.yml"
	rulesTests  = "../packaging/weir.rules.test.yml"
)

// grafana is what is checked of a dashboard.
type grafana struct {
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ H, W, X, Y int }
		Targets []struct {
			Expr, LegendFormat string
			Datasource         struct{ Type, UID string }
		}
		Datasource struct{ Type, UID string }
	}
	Annotations struct {
		List []struct {
			Expr, TextFormat string
			BuiltIn          int
			Datasource       struct{ Type, UID string }
		}
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

// question is a query that a dashboard asks, and the labels that its answer is shown with.
type question struct {
	where, expr string
	labels      []string
}

var legendLabel = regexp.MustCompile(`\{\{ *(\w+) *\}\}`)

func labelsOf(format string) (labels []string) {
	for _, m := range legendLabel.FindAllStringSubmatch(format, -1) {
		labels = append(labels, m[1])
	}
	return labels
}

// questions reads the dashboard, and checks what is not a query.
func questions(t *testing.T) (all []question) {
	t.Helper()
	text, err := os.ReadFile(grafanaFile)
	if err != nil {
		t.Fatal(err)
	}
	var d grafana
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	fromVariable := func(where, kind, uid string) {
		if kind != "prometheus" || uid != "${datasource}" {
			t.Errorf("%s: data source %s %q: the user's, by its variable, is wanted", where, kind, uid)
		}
	}
	seen, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if seen[p.ID] || p.ID == 0 {
			t.Errorf("%s: another panel has the number %d", p.Title, p.ID)
		}
		seen[p.ID] = true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s: out of the 24 columns: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s: lies over %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		fromVariable(p.Title, p.Datasource.Type, p.Datasource.UID)
		if len(p.Targets) == 0 {
			t.Errorf("%s: asks nothing", p.Title)
		}
		for _, q := range p.Targets {
			fromVariable(p.Title, q.Datasource.Type, q.Datasource.UID)
			all = append(all, question{p.Title, q.Expr, labelsOf(q.LegendFormat)})
		}
	}
	for _, a := range d.Annotations.List {
		if a.BuiltIn == 0 {
			fromVariable("annotations", a.Datasource.Type, a.Datasource.UID)
			all = append(all, question{"annotation", a.Expr, labelsOf(a.TextFormat)})
		}
	}
	has := map[string]bool{}
	for _, v := range d.Templating.List {
		has[v.Name] = true
		if v.Type == "query" {
			expr, label, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Definition, "label_values("), ")"), ", ")
			if !ok {
				t.Fatalf("variable %s: %s", v.Name, v.Definition)
			}
			all = append(all, question{"variable " + v.Name, expr, []string{label}})
		}
	}
	for _, m := range regexp.MustCompile(`\$\{?([a-z]\w*)`).FindAllStringSubmatch(string(text), -1) {
		if !has[m[1]] {
			t.Errorf("no variable %s", m[0])
		}
	}
	return all
}

// everyMetric is a scrape in which everything is told.
func everyMetric(t *testing.T) string {
	t.Helper()
	live := NewLive()
	s := newTest(t, func(c *Config) { c.Live = live })
	score := 0.5
	stats := allCounters()
	for _, reason := range []string{"evidence_failed", "send_failed", "output_failed"} {
		stats.Drops[reason] = 1
	}
	live.Observe(&event.Event{Nanos: 5e9, Type: event.TypeWindow, Window: &event.Window{Score: &score, Threshold: 2}})
	live.Observe(&event.Event{Nanos: 7e9, Type: event.TypeStats, Stats: stats})
	return string(s.appendMetrics(nil))
}

var (
	sampleLine = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? \S+$`)
	typeLine   = regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`)
	metricName = regexp.MustCompile(`\b(?:weir|go|process)_[a-z_]+\b`)
)

// TestMonitoringAsksForMetrics wants every metric that the dashboard and the rules name among those that weir has.
func TestMonitoringAsksForMetrics(t *testing.T) {
	have := map[string]bool{}
	for _, m := range sampleLine.FindAllStringSubmatch(everyMetric(t), -1) {
		have[m[1]] = true
	}
	for _, file := range []string{grafanaFile, rulesFile, rulesTests} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		for _, name := range metricName.FindAllString(string(text), -1) {
			if asked++; !have[name] {
				t.Errorf("%s asks for %s, which weir has not", file, name)
			}
		}
		if asked < 10 {
			t.Errorf("%s asks for %d metrics alone", file, asked)
		}
	}
}

// TestDashboardAnswers lets Prometheus answer every query of the dashboard from all of weir's series, on the move: each must
// have an answer, with the labels that are shown.
func TestDashboardAnswers(t *testing.T) {
	all := questions(t)
	if len(all) < 30 {
		t.Errorf("only %d queries found", len(all))
	}
	text := everyMetric(t)
	kinds := map[string]string{}
	for _, m := range typeLine.FindAllStringSubmatch(text, -1) {
		kinds[m[1]] = m[2]
	}
	type series struct {
		Series string `json:"series"`
		Values string `json:"values"`
	}
	type answer struct {
		Labels string  `json:"labels"`
		Value  float64 `json:"value"`
	}
	type expectation struct {
		Expr     string   `json:"expr"`
		EvalTime string   `json:"eval_time"`
		Samples  []answer `json:"exp_samples"`
	}
	var in []series
	for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
		values := "1x120"
		if kinds[m[1]] != "gauge" || m[1] == "weir_start_time_seconds" {
			values = "0+60x120"
		}
		labels := `job="weir",instance="sensor:8080"`
		if m[2] != "" {
			labels = m[2] + "," + labels
		}
		if strings.Contains(labels, `\`) {
			continue // promtool's notation of series has no escapes
		}
		in = append(in, series{m[1] + "{" + labels + "}", values})
	}
	var expected []expectation
	fill := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$job", ".*", "$instance", ".*")
	for _, q := range all {
		expr := fill.Replace(q.expr)
		expected = append(expected, expectation{"count(" + expr + ") > bool 0", "90m", []answer{{"{}", 1}}})
		for _, label := range q.labels {
			expected = append(expected, expectation{
				fmt.Sprintf(`count by (shown) (label_replace(%s, "shown", "yes", %q, ".+")) > bool 0`, expr, label), "90m", []answer{{`{shown="yes"}`, 1}},
			})
		}
	}
	file, err := json.Marshal(map[string]any{ // which is YAML
		"rule_files": []string{}, "evaluation_interval": "1m",
		"tests": []any{map[string]any{"interval": "1m", "input_series": in, "promql_expr_test": expected}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	promtool(t, "test", "rules", path)
}

// TestRules lets promtool check the rules, and raise each alert.
func TestRules(t *testing.T) {
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(rulesTests)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1) {
		if raised := "alertname: " + m[1] + "\n        exp_alerts:"; !strings.Contains(string(tests), raised) {
			t.Errorf("%s: no test raises %s", rulesTests, m[1])
		}
		if quiet := "alertname: " + m[1] + "}"; !strings.Contains(string(tests), quiet) {
			t.Errorf("%s: no test has %s quiet", rulesTests, m[1])
		}
	}
	promtool(t, "check", "rules", rulesFile)
	promtool(t, "test", "rules", rulesTests)
}

// promtool runs promtool, which may not fail. Where WEIR_REQUIRE names it, as in CI, its absence is a failure.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if strings.Contains(os.Getenv("WEIR_REQUIRE"), "promtool") {
			t.Fatal("this test needs promtool, of the Debian package prometheus")
		}
		t.Skip("there is no promtool")
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
