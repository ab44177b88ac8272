package web

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/learn"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// taught returns a learner that has windows to look at, one of which stands out. Its training takes no time.
func taught(t *testing.T) *learn.Learner {
	t.Helper()
	l := learn.New(learn.Config{
		Model: "office", Ready: func() error { return nil },
		Train: func(context.Context, *learn.Task, func(done, of int)) (*learn.Result, error) {
			return &learn.Result{Ref: "office@1"}, nil
		},
		Promote: func(string) (bool, error) { return true, nil },
	})
	t.Cleanup(l.Close)
	if err := l.Start(0, time.Second, nil); err != nil {
		t.Fatal(err)
	}
	l.Turn()
	l.Counting(nil)
	for i := range 120 {
		one := new(window.Partial)
		packets := 20 + i%3
		if i == 100 {
			packets = 500
		}
		for range packets {
			one.Add(&packet.Headers{Version: 4, Proto: 17, TTL: 64, IPLen: 100})
		}
		l.Add(&window.Window{Start: int64(i) * 1e9, Length: time.Second, Partial: one})
	}
	if err := l.Enough(); err != nil {
		t.Fatal(err)
	}
	return l
}

func waitFor(t *testing.T, l *learn.Learner, want learn.Phase) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); l.State().Phase != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("phase %s, want %s", l.State().Phase, want)
		}
	}
}

// A history alone can be looked at and not learned from.
func TestLearnNeedsARun(t *testing.T) {
	s := newTest(t, nil)
	if got := string(read(t, ask(t, s, "GET", "/api/v1/learn", ""))); !strings.Contains(got, `"possible":false`) {
		t.Errorf("GET /learn: %s", got)
	}
	for _, path := range []string{"enough", "cancel", "promote", "discard"} {
		r := ask(t, s, "POST", "/api/v1/learn/"+path, "")
		if got := string(read(t, r)); r.StatusCode != 409 || !strings.Contains(got, "learning needs a running weir run") {
			t.Errorf("POST /learn/%s: %d %s", path, r.StatusCode, got)
		}
	}
}

// Another site's page may not start, promote or discard anything.
func TestLearnFromElsewhere(t *testing.T) {
	l := taught(t)
	s := newTest(t, func(c *Config) { c.Learn = l })
	for _, path := range []string{"start", "enough", "windows", "train", "cancel", "promote", "discard"} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/learn/"+path, strings.NewReader("{}"))
		r.Host = "127.0.0.1:8080"
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != 403 || w.Body.Len() > 0 {
			t.Errorf("POST /learn/%s from elsewhere: %d %s", path, w.Code, w.Body)
		}
	}
	if phase, _, _ := l.Counts(); phase != learn.Review {
		t.Errorf("the phase is %s", phase)
	}
}

// Who follows is told of learning at once, and again when it changes.
func TestLearnIsLive(t *testing.T) {
	l := taught(t)
	s := newTest(t, func(c *Config) { c.Learn, c.Limit.Every = l, 5*time.Millisecond })
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	s.cfg.Hosts = func(string) bool { return true }
	updates, stop := context.WithCancel(t.Context())
	defer stop()
	go s.stream.run(updates)
	ctx, leave := context.WithTimeout(t.Context(), 10*time.Second)
	defer leave()
	r := httptest.NewRequestWithContext(ctx, "GET", server.URL+"/api/v1/events", nil)
	r.RequestURI = ""
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 16<<20)
	var phases []learn.Phase
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var state State
		if err := json.Unmarshal([]byte(data), &state); err != nil {
			t.Fatal(err)
		}
		if state.Learn == nil {
			continue
		}
		if phases = append(phases, state.Learn.Phase); state.Learn.Phase == learn.Idle {
			break
		}
		if err := l.Discard(); err != nil {
			t.Fatal(err)
		}
	}
	if len(phases) != 2 || phases[0] != learn.Review || phases[1] != learn.Idle {
		t.Errorf("told of %v", phases)
	}
}

func TestLearnMetrics(t *testing.T) {
	text := string(newTest(t, func(c *Config) { c.Learn = taught(t) }).appendMetrics(nil))
	for _, want := range []string{`weir_learning_phase{phase="review"} 1`, "weir_learning_windows 119", "weir_learning_progress_ratio 0"} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	checkMetrics(t, text)
}
