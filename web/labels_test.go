package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// A corrected flow whose payload is still known keeps it; the same flow corrected again is one flow, and the newest label holds.
func TestNameFlow(t *testing.T) {
	var known event.Sample
	s := newTest(t, func(c *Config) {
		c.Opening = func(id uint64) *event.Sample { return &known }
	})
	var f store.Flow
	for one, err := range s.cfg.History.Flows(t.Context(), store.FlowQuery{App: "http", Limit: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		f = *one
	}
	known = event.Sample{Start: f.Flow.Start, Opening: []byte{1, 0, 2, 1, 'x'}}
	end := time.Unix(0, int64(f.Flow.End)).UTC().Format(time.RFC3339Nano)
	for i, app := range []string{"video", "игра"} {
		r := ask(t, s, "POST", fmt.Sprintf("%s/flows/%d/label", prefix, f.Tuple.FlowID), fmt.Sprintf(`{"app":%q,"end":%q}`, app, end))
		if data := string(read(t, r)); r.StatusCode != 200 || !strings.Contains(data, `"openings":1`) || !strings.Contains(data, `"was":"http"`) {
			t.Errorf("label %d: %d %s", i, r.StatusCode, data)
		}
	}
	all, err := s.cfg.History.Corrections(t.Context())
	if err != nil || len(all) != 1 || all[0].App != "игра" || all[0].Flows != 1 {
		t.Errorf("corrections %+v, %v", all, err)
	}
	// What a flow carried is not told.
	for _, path := range []string{"/labels", "/unknown", "/unknown/1", "/flows"} {
		if data := string(read(t, ask(t, s, "GET", prefix+path, ""))); strings.Contains(strings.ToLower(data), `"opening":`) {
			t.Errorf("%s tells payload: %.300s", path, data)
		}
	}
}
