package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/learn"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/nn/safetensors"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

const token = "0123456789abcdef0123456789abcdef"

// seen returns a history and a Live that were told the same events.
func seen(t *testing.T, events int) (*storetest.Memory, *Live) {
	t.Helper()
	history, live := storetest.NewMemory(), NewLive()
	if _, err := history.Begin(t.Context(), store.Source{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	all := storetest.NewGenerator(7, 40).Take(events)
	for i := range all {
		live.Observe(&all[i])
	}
	for i := range 40 { // what models on trial said
		live, model := 0.5, 1.5*float64(i%2)
		w := event.Window{Start: event.Time(1795305600e9 + int64(i)*1e9), Length: 1, Score: &live, Threshold: 1, Model: "anomaly@1",
			Shadow: &event.ShadowScore{Score: &model, Threshold: 1, Anomalous: model > 1, Model: "anomaly@2"}}
		f := event.Shadow{LiveModel: "apps@1", LiveApp: "dns", Label: event.Label{App: []string{"dns", "http"}[i%2], Model: "apps@2"}}
		all = append(all, event.Event{Nanos: int64(w.Start), Type: event.TypeWindow, Window: &w},
			event.Event{Nanos: int64(w.Start), Type: event.TypeShadow, Tuple: &event.Tuple{}, Shadow: &f})
	}
	all = append(all, unlike(all)...)
	if err := history.Append(t.Context(), all, store.Position{Ordinal: uint64(events)}); err != nil {
		t.Fatal(err)
	}
	return history, live
}

// unlike returns labels of the flows among events that are unlike everything in training, with what is kept of them.
func unlike(events []event.Event) (labels []event.Event) {
	for i := range events {
		e := &events[i]
		if e.Type != event.TypeFlow || !e.Flow.Novel {
			continue
		}
		direction := make([]int8, 1+len(storetest.Apps))
		direction[slices.Index(storetest.Apps, e.Flow.App)+1] = 127
		labels = append(labels, event.Event{Nanos: e.Nanos, Type: event.TypeLabel, Tuple: e.Tuple, Label: &event.Label{
			App: e.Flow.App, Confidence: *e.Flow.Confidence, Novel: true, Model: e.Flow.Model,
			Sample: &event.Sample{Start: e.Flow.Start, Embedding: direction, Nearest: e.Flow.App, Similarity: 0.5, Opening: []byte{1, 0, 2, 1, 'x'}},
		}})
	}
	return labels
}

// newTest returns a server of a made-up past, with two versions of a model.
func newTest(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	history, live := seen(t, 5000)
	models := model.Registry{Dir: t.TempDir()}
	for i := range 2 {
		p := &model.Package{Manifest: model.Manifest{
			Kind: model.Apps, Name: "apps", Profile: "default", Features: "f1", Labels: []string{"dns", "http"}, Settings: json.RawMessage(`{"T":8}`),
			Created: time.Date(2026, 11, 22+i, 0, 0, 0, 0, time.UTC),
		}, Weights: map[string]safetensors.Tensor{"w": {Shape: []int{2}, Data: []float32{1, 2}}}, Evaluation: json.RawMessage(`{"packet":{"accuracy":0.9}}`)}
		version, err := models.Save(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := models.Promote("apps@" + version); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{
		Version: "test", Source: "test.pcap", Live: live, History: history, Models: models, InUse: []string{"apps@20261122-1"},
		Follows: func(name string) bool { return name == "apps" },
		Explain: func(a *event.Alert) string {
			return fmt.Sprintf("%s from %s", a.Features[0].Name, a.Top.Sources[0].Name)
		},
		Packets: func(_ context.Context, id store.ID, w io.Writer) (got, expected uint64, err error) {
			switch id {
			case store.ID{Incident: 1, Alert: 1}:
				_, err = io.WriteString(w, "packets of 1.1")
				return 2, 3, err
			case store.ID{Incident: 1, Alert: 2}:
				return 0, 0, errors.New("gone")
			}
			return 0, 0, store.ErrUnknown
		},
		Token: token, Hosts: Loopback(8080), Warn: func(text string) { t.Log(text) },
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask returns the answer to a request that bears the token.
func ask(t *testing.T, s *Server, method, path, body string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w.Result()
}

func read(t *testing.T, r *http.Response) []byte {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// openAPI is what of the description the tests need.
type openAPI struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Parameters  []struct{ Name, In string }
		Responses   map[string]struct{ Content map[string]struct{} }
	}
}

// TestDescription holds every route and every answer to openapi.json.
func TestDescription(t *testing.T) {
	var doc openAPI
	if err := json.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, methods := range doc.Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	for _, op := range operations {
		served = append(served, op.method+" "+op.path)
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Fatalf("described:\n%s\nserved:\n%s", strings.Join(described, "\n"), strings.Join(served, "\n"))
	}

	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.AddResource("openapi.json", parsed); err != nil {
		t.Fatal(err)
	}
	teacher := taught(t)
	s := newTest(t, func(c *Config) { c.Learn = teacher })
	var first struct{ id, end string } // a flow like training
	for f, err := range s.cfg.History.Flows(t.Context(), store.FlowQuery{App: "dns"}) {
		if err != nil {
			t.Fatal(err)
		}
		if !f.Flow.Novel {
			first.id, first.end = fmt.Sprint(f.Tuple.FlowID), time.Unix(0, int64(f.Flow.End)).UTC().Format(time.RFC3339Nano)
			break
		}
	}
	tests := []struct {
		method, route, path, body string
		status                    int
		has                       string // in the answer, so that what is compared is not empty
	}{
		{"GET", "/openapi.json", "/openapi.json", "", 200, `"openapi"`},
		{"GET", "/status", "/status", "", 200, `"watching":true`},
		{"GET", "/live", "/live", "", 200, `"anomalous":[`},
		{"GET", "/scores", "/scores", "", 200, `"start":[1795`},
		{"GET", "/scores", "/scores?points=50&since=2026-11-22T00:00:00Z", "", 200, `"step":`},
		{"GET", "/scores", "/scores?points=x", "", 400, "points"},
		{"GET", "/scores", "/scores?point=5", "", 400, "no parameter"},
		{"GET", "/top/{by}", "/top/apps", "", 200, `"payload_bytes":`},
		{"GET", "/top/{by}", "/top/hosts?limit=3&since=1795305600", "", 200, `"rest":{`},
		{"GET", "/top/{by}", "/top/ports", "", 200, `/tcp`},
		{"GET", "/top/{by}", "/top/payloads", "", 400, "there are apps"},
		{"GET", "/flows", "/flows", "", 200, `"more":true`},
		{"GET", "/flows", "/flows?app=dns&limit=5", "", 200, `"app":"dns"`},
		{"GET", "/flows", "/flows?host=10.0.0.0/8&novel=true", "", 200, `"novel":true`},
		{"GET", "/flows", "/flows?host=ten", "", 400, "want an address"},
		{"GET", "/flows", "/flows?port=70000", "", 400, "65535"},
		{"GET", "/flows", "/flows?since=yesterday", "", 400, "Unix seconds"},
		{"GET", "/flows/export", "/flows/export?app=dns", "", 200, "start,end,src_ip"},
		{"GET", "/flows/export", "/flows/export?format=ndjson", "", 200, `"community_id":`},
		{"GET", "/flows/export", "/flows/export?format=xml", "", 400, "csv"},
		{"GET", "/unknown", "/unknown", "", 200, `"groups":[{`},
		{"GET", "/unknown", "/unknown?since=2100-01-01T00:00:00Z", "", 200, `"groups":[]`},
		{"GET", "/unknown/{group}", "/unknown/1", "", 200, `"payload":5`},
		{"GET", "/unknown/{group}", "/unknown/9999", "", 404, "no such group"},
		{"GET", "/unknown/{group}", "/unknown/x", "", 400, "number"},
		{"GET", "/labels", "/labels", "", 200, `"labels":[]`},
		{"POST", "/unknown/{group}/label", "/unknown/1/label", `{"app":"<b>backup</b>","note":"why"}`, 200, `"group":1`},
		{"POST", "/unknown/{group}/label", "/unknown/1/label", `{"app":"again"}`, 404, "left to be named"},
		{"POST", "/unknown/{group}/label", "/unknown/9999/label", `{"app":"x","port":65535}`, 404, "no such group"},
		{"POST", "/unknown/{group}/label", "/unknown/2/label", `{"app":"a\u0000b"}`, 400, "cannot be seen"},
		{"POST", "/unknown/{group}/label", "/unknown/2/label", `{"app":"x","model":"y"}`, 400, "unknown field"},
		{"POST", "/flows/{flow}/label", "/flows/" + first.id + "/label", `{"app":"video","end":"` + first.end + `"}`, 200, `"openings":0`},
		{"POST", "/flows/{flow}/label", "/flows/" + first.id + "/label", `{"app":"video","end":"2026-01-01T00:00:00Z"}`, 404, "no flow"},
		{"POST", "/flows/{flow}/label", "/flows/0/label", `{"app":"video","end":"2026-01-01T00:00:00Z"}`, 400, "number"},
		{"POST", "/flows/{flow}/label", "/flows/" + first.id + "/label", `{"app":"","end":"` + first.end + `"}`, 400, "want a name"},
		{"GET", "/labels", "/labels", "", 200, `"app":"video"`},
		{"DELETE", "/labels/{number}", "/labels/1", "", 204, ""},
		{"DELETE", "/labels/{number}", "/labels/1", "", 404, "no such"},
		{"DELETE", "/labels/{number}", "/labels/x", "", 400, "number"},
		{"GET", "/incidents", "/incidents", "", 200, `"peak_alert":"`},
		{"GET", "/incidents", "/incidents?verdict=confirmed", "", 200, `"incidents":[]`},
		{"GET", "/incidents", "/incidents?verdict=maybe", "", 400, "dismissed"},
		{"GET", "/incidents/{id}", "/incidents/1", "", 200, `"list":[{`},
		{"GET", "/incidents/{id}", "/incidents/99999", "", 404, "no such"},
		{"GET", "/incidents/{id}", "/incidents/x", "", 400, "want an incident"},
		{"GET", "/alerts/{id}", "/alerts/1", "", 200, `"features":[{`},
		{"GET", "/alerts/{id}", "/alerts/1.1", "", 200, `"id":"1.1"`},
		{"GET", "/alerts/{id}", "/alerts/1.999", "", 404, "no such"},
		{"GET", "/alerts/{id}/export", "/alerts/1/export", "", 200, `"id":"1.1"`},
		{"GET", "/alerts/{id}/export", "/alerts/99999/export", "", 404, "no such"},
		{"POST", "/alerts/{id}/verdict", "/alerts/1/verdict", `{"verdict":"confirmed","note":"<script>alert(1)</script>"}`, 200, `"who":"dashboard"`},
		{"POST", "/alerts/{id}/verdict", "/alerts/1/verdict", `{"verdict":"maybe"}`, 400, "there are"},
		{"POST", "/alerts/{id}/verdict", "/alerts/1/verdict", `{"verdict":"open","who":"root"}`, 400, "unknown field"},
		{"POST", "/alerts/{id}/verdict", "/alerts/1/verdict", `{"verdict":"open"} {}`, 400, "behind"},
		{"POST", "/alerts/{id}/verdict", "/alerts/99999/verdict", `{"verdict":"open"}`, 404, "no such"},
		{"GET", "/incidents/{id}", "/incidents/1", "", 200, `"verdict":"confirmed"`},
		{"GET", "/alerts/{id}/packets", "/alerts/1.1/packets", "", 200, "packets of 1.1"},
		{"GET", "/alerts/{id}/packets", "/alerts/1.2/packets", "", 404, "no packets are kept of it: gone"},
		{"GET", "/alerts/{id}/packets", "/alerts/99999/packets", "", 404, "no such"},
		{"GET", "/exclusions", "/exclusions", "", 200, `"exclusions":[]`},
		{"POST", "/alerts/{id}/exclude", "/alerts/1/exclude", `{"from":"00:00","to":"24:00","try":true}`, 200, `{"id":null,"asked":`},
		{"POST", "/alerts/{id}/exclude", "/alerts/1/exclude", `{"host":"192.0.2.1"}`, 200, `"asked_matches":0`},
		{"POST", "/alerts/{id}/exclude", "/alerts/1/exclude", `{"from":"00:00","to":"24:00","seconds":3600,"note":"ours"}`, 200, `{"id":1,`},
		{"POST", "/alerts/{id}/exclude", "/alerts/1/exclude", `{"note":"all"}`, 400, "everything"},
		{"POST", "/alerts/{id}/exclude", "/alerts/1/exclude", `{"from":"25:00","to":"3:00"}`, 400, "time of day"},
		{"POST", "/alerts/{id}/exclude", "/alerts/1/exclude", `{"host":"x"}`, 400, "want an address"},
		{"POST", "/alerts/{id}/exclude", "/alerts/1/exclude", `{"port":1,"seconds":-1}`, 400, "seconds"},
		{"POST", "/alerts/{id}/exclude", "/alerts/99999/exclude", `{"port":1}`, 404, "no such"},
		{"GET", "/exclusions", "/exclusions", "", 200, `"note":"ours"`},
		{"DELETE", "/exclusions/{number}", "/exclusions/1", "", 204, ""},
		{"DELETE", "/exclusions/{number}", "/exclusions/1", "", 404, "no such"},
		{"DELETE", "/exclusions/{number}", "/exclusions/x", "", 400, "number"},
		{"GET", "/models", "/models", "", 200, `"in_use":true`},
		{"GET", "/models/{name}/{version}", "/models/apps/20261122-1", "", 200, `"evaluation":{`},
		{"GET", "/models/{name}/{version}", "/models/apps/20260101-1", "", 404, "not found"},
		{"GET", "/models/{name}/{version}", "/models/..%2f..%2fetc/passwd", "", 400, "use letters"},
		{"POST", "/models/{name}/rollback", "/models/apps/rollback", "", 200, `"live":"apps@20261122-1"`},
		{"POST", "/models/{name}/rollback", "/models/apps/rollback", "", 404, "no earlier"},
		{"POST", "/models/{name}/promote", "/models/apps/promote", `{"version":"20261123-1"}`, 200, `"live":"apps@20261123-1","follows":true`},
		{"POST", "/models/{name}/promote", "/models/apps/promote", `{"version":"../x"}`, 400, "use letters"},
		{"POST", "/models/{name}/promote", "/models/apps/promote", `{"version":"20260101-1"}`, 404, "not found"},
		{"GET", "/learn", "/learn", "", 200, `"phase":"review"`},
		{"GET", "/learn", "/learn", "", 200, `"features":[{`},
		{"GET", "/learn", "/learn?x=1", "", 400, "no parameter"},
		{"POST", "/learn/windows", "/learn/windows", `{"start":100,"end":101,"use":true}`, 200, `"chosen":1`},
		{"POST", "/learn/windows", "/learn/windows", `{"start":1e12,"end":101,"use":true}`, 400, "Unix seconds"},
		{"POST", "/learn/windows", "/learn/windows", `{"start":900,"end":901,"use":true}`, 400, "no window"},
		{"POST", "/learn/start", "/learn/start", `{"seconds":60}`, 409, "discard it first"},
		{"POST", "/learn/promote", "/learn/promote", "", 409, "nothing is trained"},
		{"POST", "/learn/cancel", "/learn/cancel", "", 409, "nothing is trained"},
		{"POST", "/learn/enough", "/learn/enough", "", 409, "no windows"},
		{"POST", "/learn/train", "/learn/train", `{"epochs":-1}`, 400, "passes"},
		{"POST", "/learn/train", "/learn/train", `{"false_alarms_per_day":1}`, 200, `"phase":"tra`},
		{"GET", "/learn", "/learn", "", 200, `"ref":"office@1"`},
		{"POST", "/learn/promote", "/learn/promote", "", 200, `"phase":"live"`},
		{"POST", "/learn/start", "/learn/start", `{"seconds":60}`, 400, "want 100ms"},
		{"POST", "/learn/start", "/learn/start", `{"seconds":60,"window":1,"home":["ten"]}`, 400, "home network"},
		{"POST", "/learn/start", "/learn/start", `{"seconds":1e30}`, 400, "want a number"},
		{"POST", "/learn/start", "/learn/start", `{"seconds":60,"window":1,"home":["10.0.0.0/8"]}`, 200, `"want":60`},
		{"POST", "/learn/enough", "/learn/enough", "", 200, `"phase":"review"`},
		{"POST", "/learn/train", "/learn/train", `{}`, 200, `"phase":"tra`},
		{"POST", "/learn/discard", "/learn/discard", "", 200, `"phase":"idle"`},
		{"POST", "/learn/discard", "/learn/discard", "", 409, "nothing to discard"},
		{"GET", "/trials", "/trials", "", 200, `"pairs":[{"live":"dns","model":"http","flows":20}]`},
		{"GET", "/trials", "/trials?since=2026-11-20T00:00:00Z&until=2026-11-21T00:00:00Z", "", 200, `{"apps":[],"anomaly":[]}`},
		{"GET", "/trials", "/trials?model=x", "", 400, "no parameter"},
		{"POST", "/links", "/links", "", 200, `"/login?code=`},
	}
	tried := map[string]bool{"GET /events": true} // TestFollow
	for _, test := range tests {
		tried[test.method+" "+test.route] = true
		if strings.Contains(test.has, "office@1") {
			waitFor(t, teacher, learn.Trained)
		}
		r := ask(t, s, test.method, prefix+test.path, test.body)
		data := read(t, r)
		name := fmt.Sprintf("%s %s %s", test.method, test.path, test.body)
		if r.StatusCode != test.status || !strings.Contains(string(data), test.has) {
			t.Errorf("%s: got %d %.300s, want %d with %s", name, r.StatusCode, data, test.status, test.has)
			continue
		}
		if len(data) == 0 {
			if _, ok := doc.Paths[test.route][strings.ToLower(test.method)].Responses[fmt.Sprint(r.StatusCode)]; !ok {
				t.Errorf("%s: an answer %d is not described", name, r.StatusCode)
			}
			continue
		}
		kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		op := doc.Paths[test.route][strings.ToLower(test.method)]
		if _, ok := op.Responses[fmt.Sprint(r.StatusCode)].Content[kind]; !ok {
			t.Errorf("%s: an answer %d of %q is not described", name, r.StatusCode, kind)
			continue
		}
		var value any = string(data)
		if kind == "application/json" {
			if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(data)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
		at := fmt.Sprintf("openapi.json#/paths/%s/%s/responses/%d/content/%s/schema", escape.Replace(test.route), strings.ToLower(test.method), r.StatusCode, escape.Replace(kind))
		schema, err := compiler.Compile(at)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if i := strings.IndexByte(test.path, '?'); i >= 0 && test.status == 200 {
			for pair := range strings.SplitSeq(test.path[i+1:], "&") {
				name, _, _ := strings.Cut(pair, "=")
				if !slices.ContainsFunc(op.Parameters, func(p struct{ Name, In string }) bool { return p.In == "query" && p.Name == name }) {
					t.Errorf("%s: parameter %s is not described", test.path, name)
				}
			}
		}
	}
	for _, name := range served {
		if !tried[name] {
			t.Errorf("%s was not tried", name)
		}
	}
	if r := ask(t, s, "GET", prefix+"/nothing", ""); r.StatusCode != 404 {
		t.Errorf("a path that is not there: %d", r.StatusCode)
	}
}

// TestScoresMatch compares what a range is answered with what is stored.
func TestScoresMatch(t *testing.T) {
	s := newTest(t, nil)
	want, err := s.cfg.History.Scores(t.Context(), store.ScoreQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Windows Windows }
	if err := json.Unmarshal(read(t, ask(t, s, "GET", prefix+"/scores", "")), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Windows.Start) != len(want) {
		t.Fatalf("%d windows, %d are stored", len(got.Windows.Start), len(want))
	}
	highest := 0.0
	for i, w := range want {
		if got.Windows.Start[i] != seconds(w.Start) || got.Windows.Anomalous[i] != w.Anomalous || got.Windows.Packets[i] != w.Packets {
			t.Fatalf("window %d is told as another", i)
		}
		if w.Score != nil {
			highest = max(highest, *w.Score)
		}
	}
	if err := json.Unmarshal(read(t, ask(t, s, "GET", prefix+"/scores?points=20", "")), &got); err != nil {
		t.Fatal(err)
	}
	if n := len(got.Windows.Start); n < 10 || n > 22 {
		t.Errorf("asked for 20 points, got %d", n)
	}
	thinned := 0.0
	for _, v := range got.Windows.Score {
		if v != nil {
			thinned = max(thinned, *v)
		}
	}
	if thinned != highest {
		t.Errorf("the highest score is %v, thinned it is %v", highest, thinned)
	}
}

// TestExportCSV holds an export to what is stored, and keeps spreadsheets from running names.
func TestExportCSV(t *testing.T) {
	s := newTest(t, nil)
	r := ask(t, s, "GET", prefix+"/flows/export", "")
	n := strings.Count(string(read(t, r)), "\n") - 1
	info, err := s.cfg.History.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if int64(n) != info.Flows || r.Trailer.Get("Weir-Complete") != "true" {
		t.Errorf("%d lines of %d flows, complete: %q", n, info.Flows, r.Trailer.Get("Weir-Complete"))
	}
	if got := cell(`=cmd|' /C calc'!A0`); got[0] != '\'' {
		t.Errorf("a formula stays one: %s", got)
	}
}

// slowHistory answers only when it may.
type slowHistory struct {
	store.Reader
	entered chan struct{}
}

// Info implements store.Reader.
func (h *slowHistory) Info(ctx context.Context) (store.Info, error) {
	h.entered <- struct{}{}
	<-ctx.Done()
	return store.Info{}, ctx.Err()
}

// TestQuestionsAreBounded has more questions than places, none of which is ever answered.
func TestQuestionsAreBounded(t *testing.T) {
	h := &slowHistory{entered: make(chan struct{}, 10)}
	s := newTest(t, func(c *Config) {
		h.Reader = c.History
		c.History, c.Limit = h, Limits{Queries: 2, Query: 50 * time.Millisecond}
	})
	codes := make(chan int, 4)
	for range 4 {
		go func() { codes <- ask(t, s, "GET", prefix+"/status", "").StatusCode }()
	}
	for range 4 {
		if code := <-codes; code != http.StatusGatewayTimeout && code != http.StatusServiceUnavailable {
			t.Errorf("got %d", code)
		}
	}
	if n := len(h.entered); n < 2 || n > 4 {
		t.Errorf("%d questions were asked", n)
	}
}

// TestWithoutDashboard has a page that says what is missing, and the API.
func TestWithoutDashboard(t *testing.T) {
	s := newTest(t, nil)
	if builtIn() != nil {
		t.Skip("built with the dashboard")
	}
	r := ask(t, s, "GET", "/", "")
	if data := string(read(t, r)); r.StatusCode != 200 || !strings.Contains(data, "make build") {
		t.Errorf("got %d %s", r.StatusCode, data)
	}
	if r := ask(t, s, "GET", "/x", ""); r.StatusCode != 404 {
		t.Errorf("got %d", r.StatusCode)
	}
}
