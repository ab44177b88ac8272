package store_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

func TestCompare(t *testing.T) {
	ctx := context.Background()
	m := storetest.NewMemory()
	if _, err := m.Begin(ctx, store.Source{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	if c, err := store.Compare(ctx, m, store.Range{}); err != nil || len(c.Apps)+len(c.Anomaly) > 0 {
		t.Fatalf("of nothing: %+v, %v", c, err)
	}
	var events []event.Event
	flow := func(at int64, live, app string, liveNovel, novel bool) {
		f := event.Shadow{LiveModel: "a@1", LiveApp: live, LiveNovel: liveNovel, Label: event.Label{App: app, Novel: novel, Model: "a@2"}}
		events = append(events, event.Event{Nanos: at * 1e9, Type: event.TypeShadow, Tuple: &event.Tuple{}, Shadow: &f})
	}
	for i := range int64(90) {
		flow(i, "dns", "dns", i < 3, i < 2)
	}
	for i := range int64(8) {
		flow(100+i, "dns", "http", false, false)
	}
	flow(110, "ssh", "http", true, false)
	flow(50, "http", "ssh", false, true)
	window := func(at int64, live, model float64) {
		w := event.Window{
			Start: event.Time(at * 1e9), Length: 5, Score: &live, Threshold: 1, Anomalous: live >= 1, Model: "d@1",
			Shadow: &event.ShadowScore{Score: &model, Threshold: 2, Anomalous: model >= 2, Model: "d@2"},
		}
		events = append(events, event.Event{Nanos: at*1e9 + 5e9, Type: event.TypeWindow, Window: &w})
		if w.Anomalous {
			a := event.Alert{Window: w}
			a.Shadow = nil
			events = append(events, event.Event{Nanos: at*1e9 + 5e9, Type: event.TypeAlert, Alert: &a})
		}
	}
	for i := range int64(100) {
		window(i*5, 0.1+float64(i)/1000, 2*(0.1+float64(i)/1000)) // the same multiples of the threshold
	}
	window(1000, 3, 6)    // both
	window(2000, 3, 0.5)  // the one in use alone; dismissed
	window(3000, 0.5, 40) // the one on trial alone
	if err := m.Append(ctx, events, store.Position{Ordinal: uint64(len(events))}); err != nil {
		t.Fatal(err)
	}
	incidents, err := m.Incidents(ctx, store.IncidentQuery{})
	if err != nil || len(incidents) != 2 {
		t.Fatalf("%d incidents, %v", len(incidents), err)
	}
	for i, v := range []store.Verdict{store.Confirmed, store.Dismissed} {
		if err := m.Triage(ctx, store.ID{Incident: incidents[i].ID}, store.Triage{Verdict: v, At: time.Now().UnixNano()}); err != nil {
			t.Fatal(err)
		}
	}

	c, err := store.Compare(ctx, m, store.Range{})
	if err != nil || len(c.Apps) != 1 || len(c.Anomaly) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	a := c.Apps[0]
	if a.Live != "a@1" || a.Model != "a@2" || a.Since != 0 || a.Until != 110e9 || a.Flows != 100 || a.Agree != 90 || a.NovelLive != 4 || a.Novel != 3 || a.NovelBoth != 2 {
		t.Errorf("applications: %+v", a)
	}
	if math.Abs(a.Low-0.8256) > 1e-4 || math.Abs(a.High-0.9448) > 1e-4 { // Wilson's interval of 90 in 100
		t.Errorf("interval %.4f to %.4f", a.Low, a.High)
	}
	if len(a.Pairs) != 3 || a.Pairs[0] != (store.Disagreement{Live: "dns", Model: "http", Flows: 8}) || a.Pairs[1].Live != "http" {
		t.Errorf("pairs %+v", a.Pairs)
	}
	if len(a.Labels) != 3 || a.Labels[0] != (store.LabelCounts{App: "dns", Live: 98, Model: 90}) || a.Labels[1] != (store.LabelCounts{App: "http", Live: 1, Model: 9}) {
		t.Errorf("labels %+v", a.Labels)
	}
	d := c.Anomaly[0]
	if d.Live != "d@1" || d.Model != "d@2" || d.Windows != 103 || d.AboveLive != 2 || d.Above != 2 || d.AboveBoth != 1 {
		t.Errorf("detectors: %+v", d)
	}
	if d.Confirmed != 1 || d.ConfirmedAbove != 1 || d.Dismissed != 1 || d.DismissedAbove != 0 {
		t.Errorf("verdicts: %+v", d)
	}
	if len(d.Differ) != 2 || d.Differ[0].Start != 3000e9 || d.Differ[1].Start != 2000e9 { // forty times apart, twelve times apart
		t.Errorf("windows that differ: %+v", d.Differ)
	}
	if !(d.Correlation > 0.5 && d.Correlation < 1) {
		t.Errorf("correlation %v", d.Correlation)
	}
	if d.LiveQuantiles[0] != d.ModelQuantiles[0] || d.ModelQuantiles[3] != 20 || d.LiveQuantiles[3] != 3 {
		t.Errorf("quantiles %v, %v", d.LiveQuantiles, d.ModelQuantiles)
	}

	if c, err = store.Compare(ctx, m, store.Range{Since: 100e9, Until: 111e9}); err != nil || c.Apps[0].Flows != 9 || c.Apps[0].Agree != 0 || c.Anomaly[0].Windows != 3 {
		t.Errorf("in a range: %+v, %v", c, err)
	}
}

// TestCompareBounds has more windows and pairs that differ than are told of.
func TestCompareBounds(t *testing.T) {
	ctx := context.Background()
	m := storetest.NewMemory()
	if _, err := m.Begin(ctx, store.Source{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	var events []event.Event
	for i := range 2000 {
		live, model := 0.5, 1+float64((i*7)%2000)
		w := event.Window{Start: event.Time(i * 1e9), Length: 1, Score: &live, Threshold: 1, Model: "d@1", Shadow: &event.ShadowScore{Score: &model, Threshold: 1, Anomalous: true, Model: "d@2"}}
		events = append(events, event.Event{Type: event.TypeWindow, Window: &w})
		f := event.Shadow{LiveModel: "a@1", LiveApp: time.Duration(i).String(), Label: event.Label{App: "x", Model: "a@2"}}
		events = append(events, event.Event{Type: event.TypeShadow, Tuple: &event.Tuple{}, Shadow: &f})
	}
	if err := m.Append(ctx, events, store.Position{Ordinal: uint64(len(events))}); err != nil {
		t.Fatal(err)
	}
	c, err := store.Compare(ctx, m, store.Range{})
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Apps[0]; len(a.Pairs) != store.MaxPairs || a.OtherPairs != 2000-store.MaxPairs {
		t.Errorf("%d pairs, %d flows of others", len(a.Pairs), a.OtherPairs)
	}
	d := c.Anomaly[0]
	if len(d.Differ) != store.MaxDiffer {
		t.Fatalf("%d windows", len(d.Differ))
	}
	for i, w := range d.Differ {
		if *w.Shadow.Score != float64(2000-i) {
			t.Errorf("window %d has the score %v", i, *w.Shadow.Score)
		}
	}
}
