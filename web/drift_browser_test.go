//go:build browser && ui

package web

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/nn/safetensors"
)

// TestDriftIsShown looks at what models give now against training: higher, lower, as it was, and not known for either reason.
func TestDriftIsShown(t *testing.T) {
	b := openTab(t, 1200, 1000)
	history, live := seen(t, 500)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var knows string // an application model that knows what it gave for validation data
	s := newTest(t, func(c *Config) {
		c.Hosts, c.History, c.Live = Loopback(listener.Addr().(*net.TCPAddr).Port), history, live
		version, err := c.Models.Save(&model.Package{Manifest: model.Manifest{
			Kind: model.Apps, Name: "apps", Profile: "default", Features: "f1", Labels: []string{"dns"}, Created: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC),
			Settings: json.RawMessage(`{"validation_confidences":{"count":120,"edges":[1,2,3]},"validation_novelty":{"count":30,"edges":[1,2,3]}}`),
		}, Weights: map[string]safetensors.Tensor{"w": {Shape: []int{1}, Data: []float32{1}}}})
		if err != nil {
			t.Fatal(err)
		}
		knows = "apps@" + version
	})
	done := make(chan error)
	go func() { done <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	tenth := []float64{.1, .1, .1, .1, .1, .1, .1, .1, .1, .1}
	shift := func(index float64, now ...float64) *event.Shift {
		return &event.Shift{Index: index, Count: 1234, Edges: []float64{1, 2, 3, 4, 5, 6, 7, 8, 9}, Training: tenth, Now: now}
	}
	now := int64(1795305600e9) + 1e12
	tell := func(m event.Models, d *event.Drift) {
		now += 1e10
		live.Observe(&event.Event{Nanos: now, Type: event.TypeStats, Stats: &event.Stats{
			Packets: uint64(now), DecodeErrors: map[string]uint64{}, Drops: map[string]uint64{}, Models: &m, Drift: d,
		}})
	}
	tell(event.Models{Apps: "apps@20261122-1", Anomaly: "anomaly@1"}, &event.Drift{
		Scores:      shift(1.5, 0, 0, 0, 0, 0, 0, 0, 0, .4, .6),
		Confidences: shift(0.125, .3, .3, .05, .05, .05, .05, .05, .05, .05, .05),
		Novelty:     shift(0.5, .0, .0, .1, .2, .2, .2, .2, .1, .0, .0),
	})
	b.do(chromedp.Navigate("http://" + listener.Addr().String() + s.Link()))
	b.text("Watching")
	b.do(chromedp.KeyEvent("5"))
	b.text("Scores are higher than in training.")
	b.text("Confidences are somewhat lower than in training.")
	b.text("Novelty is differently spread than in training, neither higher nor lower.")
	b.text("of the last 1,234 windows; index 1.5")
	if n := is[int](b, `document.querySelectorAll('.drift svg rect[fill]:not([fill="transparent"])').length`); n != 30 {
		t.Errorf("%d bars, want ten of each", n)
	}
	b.shoot("dashboard-drift")

	// Table and export.
	b.do(chromedp.Click(chromedp.Search(`//figure[.//b[.="Scores"]]//button[.="Table"]`)))
	b.wait("document.querySelectorAll('.drift tbody tr').length === 10 && document.querySelector('.drift tbody').innerText.includes('0.6')")
	dir := t.TempDir()
	allow := browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir}
	if _, err := chromedp.CallBrowser(b.ctx, browser.SetDownloadBehavior, allow); err != nil {
		t.Fatal(err)
	}
	for _, what := range []struct{ button, file, starts string }{
		{"CSV", "drift-scores.csv", "from,below,training,now\r\n,1,0.1,0\r\n1,2,0.1,0\r\n"}, {"PNG", "drift-scores.png", "\x89PNG"},
	} {
		b.do(chromedp.Click(chromedp.Search(`//figure[.//b[.="Scores"]]//button[.="` + what.button + `"]`)))
		var got []byte
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && !strings.HasPrefix(string(got), what.starts); time.Sleep(50 * time.Millisecond) {
			got, _ = os.ReadFile(filepath.Join(dir, what.file))
		}
		if !strings.HasPrefix(string(got), what.starts) {
			t.Errorf("%s is %.80q", what.file, got)
		}
	}

	// What is not known is not guessed, and it is said why.
	tell(event.Models{Apps: "apps@20261122-1", Anomaly: "anomaly@1"}, &event.Drift{Scores: shift(0.0625, tenth...)})
	b.text("Scores are as in training.")
	b.text("Confidences: the model does not know what they were in training. It is of an earlier version")
	b.text("Novelty: the model does not know what it was in training.")
	tell(event.Models{Apps: knows}, nil)
	b.text("Confidences: too few flows yet. It takes 200, and more where training had few validation flows (there were 120).")
	b.text("Novelty: training had too few validation flows (30) to compare with")
	b.wait("!document.body.innerText.includes('Scores are')")
	b.quiet()
}
