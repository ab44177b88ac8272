package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// Run checks that a store does what package store promises. open returns an empty store each time, and closes
// it when the test ends.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Store)
	}{
		{"Empty", testEmpty},
		{"Flows", testFlows},
		{"Windows", testWindows},
		{"Top", testTop},
		{"Alerts", testAlerts},
		{"Triage", testTriage},
		{"Exclusions", testExclusions},
		{"Tried", testTried},
		{"Groups", testGroups},
		{"Corrections", testCorrections},
		{"SamplesBounded", testSamplesBounded},
		{"Sources", testSources},
		{"Resume", testResume},
		{"Age", testAge},
		{"Odd", testOdd},
		{"OneMoment", testOneMoment},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// collect returns copies of what a sequence yields.
func collect[T any](t *testing.T, seq iter.Seq2[*T, error]) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		must(t, err)
		all = append(all, *v)
	}
	return all
}

// same wants two values to be equal; want may be nil where got is empty.
func same[T any](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("%s: number %d of %d is\n%+v, want\n%+v", what, i, len(got), got[i], want[i])
		}
	}
}

// fill begins a source and appends events in parts of all sizes.
func fill(t *testing.T, s store.Store, events []event.Event, seed uint64) {
	t.Helper()
	at, err := s.Begin(ctx, store.Source{Name: "test"})
	must(t, err)
	r := rand.New(rand.NewPCG(seed, 7))
	for len(events) > 0 {
		n := min(len(events), r.IntN(300))
		at.Ordinal += uint64(n)
		must(t, s.Append(ctx, events[:n], at))
		_, err := s.Maintain(ctx, store.Policy{})
		must(t, err)
		events = events[n:]
	}
}

// flowsOf returns the flows among events as a store keeps them, in order of their end.
func flowsOf(events []event.Event) []store.Flow {
	var flows []store.Flow
	for i := range events {
		if events[i].Type == event.TypeFlow {
			flows = append(flows, keptFlow(&events[i]))
		}
	}
	slices.SortStableFunc(flows, func(a, b store.Flow) int { return cmp.Compare(a.Flow.End, b.Flow.End) })
	return flows
}

func testEmpty(t *testing.T, s store.Store) {
	info, err := s.Info(ctx)
	must(t, err)
	if info.Oldest != 0 || info.Newest != 0 || info.Flows+info.Windows+info.Alerts+info.Incidents != 0 || len(info.Sources) != 0 {
		t.Errorf("an empty store tells %+v", info)
	}
	same(t, "flows", collect(t, s.Flows(ctx, store.FlowQuery{})), nil)
	same(t, "windows", collect(t, s.Windows(ctx, store.WindowQuery{})), nil)
	same(t, "alerts", collect(t, s.Alerts(ctx, store.AlertQuery{})), nil)
	for _, by := range []store.Dimension{store.Apps, store.Hosts, store.Ports} {
		top, err := s.Top(ctx, store.TopQuery{By: by})
		must(t, err)
		same(t, "top", top.Totals, nil)
	}
	if err := s.Append(ctx, nil, store.Position{}); err == nil {
		t.Errorf("Append before Begin: no error")
	}
	if _, err := s.Maintain(ctx, store.Policy{Age: time.Hour, Bytes: 1, Now: Start}); err != nil {
		t.Errorf("Maintain of nothing: %v", err)
	}
}

func testFlows(t *testing.T, s store.Store) {
	events := NewGenerator(1, 40).Take(4000)
	fill(t, s, events, 1)
	all := flowsOf(events)
	r := rand.New(rand.NewPCG(2, 2))
	queries := 200
	if testing.Short() {
		queries = 20
	}
	for i := range queries {
		var q store.FlowQuery
		one := &all[r.IntN(len(all))]
		if r.IntN(2) == 0 {
			q.Since = int64(one.Flow.End) - r.Int64N(2)
		}
		if r.IntN(2) == 0 {
			q.Until = max(q.Since, Start) + r.Int64N(int64(2*time.Hour))
		}
		if r.IntN(3) == 0 {
			q.App = Apps[r.IntN(len(Apps))]
		}
		switch r.IntN(4) {
		case 0:
			q.Host = netip.MustParsePrefix(one.Tuple.SrcIP + map[bool]string{true: "/128", false: "/32"}[strings.Contains(one.Tuple.SrcIP, ":")])
		case 1:
			q.Host = netip.MustParsePrefix([]string{"10.0.0.0/28", "10.0.0.8/30", "2001::/16", "0.0.0.0/0", "::/0"}[r.IntN(5)])
		}
		if r.IntN(4) == 0 {
			q.Port = one.Tuple.DestPort
		}
		q.Novel, q.Newest = r.IntN(4) == 0, r.IntN(2) == 0
		if r.IntN(3) == 0 {
			q.Limit = 1 + r.IntN(50)
		}
		var want []store.Flow
		for _, f := range all {
			host := func(addr string) bool { return q.Host.Contains(netip.MustParseAddr(addr)) }
			if end := int64(f.Flow.End); q.Since != 0 && end < q.Since || q.Until != 0 && end >= q.Until ||
				q.App != "" && f.Flow.App != q.App || q.Novel && !f.Flow.Novel ||
				q.Port != 0 && f.Tuple.SrcPort != q.Port && f.Tuple.DestPort != q.Port ||
				q.Host.IsValid() && !host(f.Tuple.SrcIP) && !host(f.Tuple.DestIP) {
				continue
			}
			want = append(want, f)
		}
		if q.Newest {
			slices.Reverse(want)
		}
		if q.Limit > 0 {
			want = want[:min(len(want), q.Limit)]
		}
		same(t, fmt.Sprintf("query %d: %+v", i, q), collect(t, s.Flows(ctx, q)), want)
	}
	for range s.Flows(ctx, store.FlowQuery{}) { // whoever asks may stop
		break
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	for _, err := range s.Flows(stopped, store.FlowQuery{}) {
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("a question that was called off: %v", err)
		}
	}
	info, err := s.Info(ctx)
	must(t, err)
	if info.Flows != int64(len(all)) || time.Duration(info.Newest-int64(all[len(all)-1].Flow.End)).Abs() > 2*WindowLength ||
		info.Oldest > int64(all[0].Flow.End) {
		t.Errorf("Info tells %d flows from %d to %d, want %d from %d to about %d",
			info.Flows, info.Oldest, info.Newest, len(all), all[0].Flow.End, all[len(all)-1].Flow.End)
	}
	if n := len(info.Sources); n != 1 || info.Sources[0].Ordinal != uint64(len(events)) || info.Sources[0].Stats == nil || info.Sources[0].Stats.Windows == 0 {
		t.Errorf("Info tells of sources %+v", info.Sources)
	}
}

func testWindows(t *testing.T, s store.Store) {
	events := NewGenerator(3, 10).Take(5000)
	fill(t, s, events, 3)
	var all []event.Window
	for i := range events {
		if e := &events[i]; e.Type == event.TypeWindow {
			all = append(all, *e.Window)
		}
	}
	same(t, "windows", collect(t, s.Windows(ctx, store.WindowQuery{})), all)
	third := all[len(all)/3:]
	q := store.WindowQuery{Range: store.Range{Since: int64(third[0].Start), Until: int64(third[100].Start)}}
	same(t, "windows of a range", collect(t, s.Windows(ctx, q)), third[:100])
	q.Limit = 7
	same(t, "seven windows", collect(t, s.Windows(ctx, q)), third[:7])

	scores := func(windows []event.Window) (all []store.Score) {
		for _, w := range windows {
			all = append(all, store.Score{Start: int64(w.Start), Length: WindowLength, Packets: w.Packets, Score: w.Score,
				Threshold: w.Threshold, Anomalous: w.Anomalous, Lost: w.Lost, Unsure: w.Unsure, Model: w.Model})
		}
		return all
	}
	got, err := s.Scores(ctx, store.ScoreQuery{})
	must(t, err)
	same(t, "scores", got, scores(all))
	got, err = s.Scores(ctx, store.ScoreQuery{Range: q.Range})
	must(t, err)
	same(t, "scores of a range", got, scores(third[:100]))
	got, err = s.Scores(ctx, store.ScoreQuery{Step: time.Minute})
	must(t, err)
	for i, one := range got {
		var best *float64
		for _, w := range all {
			if int64(w.Start)/int64(time.Minute) == one.Start/int64(time.Minute) && w.Score != nil && (best == nil || *w.Score > *best) {
				best = w.Score
			}
		}
		if i > 0 && one.Start/int64(time.Minute) <= got[i-1].Start/int64(time.Minute) {
			t.Fatalf("two scores of minute %d", one.Start/int64(time.Minute))
		}
		if !reflect.DeepEqual(one.Score, best) {
			t.Fatalf("the highest score of minute %d is %v, want %v", i, one.Score, best)
		}
	}
	if want := (int64(all[len(all)-1].Start)-Start)/int64(time.Minute) + 1; int64(len(got)) != want {
		t.Errorf("scores of %d minutes, want %d", len(got), want)
	}
}

func testTop(t *testing.T, s store.Store) {
	events := NewGenerator(4, 40).Take(8000)
	fill(t, s, events, 4)
	flows := flowsOf(events)
	for i, r := range []store.Range{
		{},
		{Since: Start + int64(10*time.Minute)},
		{Until: Start + int64(90*time.Minute) + 1},
		{Since: Start + int64(50*time.Minute) + 5, Until: Start + int64(130*time.Minute)},
		{Since: Start + int64(61*time.Minute), Until: Start + int64(62*time.Minute)},
		{Since: Start - int64(time.Hour), Until: Start + int64(2*time.Hour)},
		{Since: Start + int64(1000*time.Hour)},
	} {
		for _, by := range []store.Dimension{store.Apps, store.Hosts, store.Ports} {
			want := map[string]store.Total{}
			minute := int64(time.Minute)
			for i := range flows {
				f, tuple := &flows[i].Flow, &flows[i].Tuple
				at := int64(f.End) / minute * minute
				if r.Since != 0 && at+minute <= r.Since || r.Until != 0 && at >= r.Until {
					continue
				}
				var names []string
				switch by {
				case store.Apps:
					names = []string{fmt.Sprint(f.App, f.Novel)}
				case store.Hosts:
					names = slices.Compact([]string{tuple.SrcIP, tuple.DestIP})
				case store.Ports:
					if tuple.Proto != "ICMP" {
						names = []string{fmt.Sprintf("%d/%s", tuple.DestPort, strings.ToLower(tuple.Proto))}
					}
				}
				for _, name := range names {
					sum := want[name]
					sum.Add(&store.Total{Flows: 1, Packets: f.PacketsToServer + f.PacketsToClient,
						Bytes: f.BytesToServer + f.BytesToClient, Payload: f.PayloadToServer + f.PayloadToClient})
					want[name] = sum
				}
			}
			top, err := s.Top(ctx, store.TopQuery{Range: r, By: by})
			must(t, err)
			got := map[string]store.Total{}
			for i, total := range top.Totals {
				name := total.Name
				if by == store.Apps {
					name = fmt.Sprint(total.Name, total.Novel)
				}
				if i > 0 && total.Bytes > top.Totals[i-1].Bytes {
					t.Fatalf("%s of range %d are not in order", by, i)
				}
				total.Name, total.Novel = "", false
				got[name] = total
			}
			if !reflect.DeepEqual(got, want) || top.Rest != (store.Total{}) {
				t.Fatalf("%s of range %d: got\n%v and the rest %v, want\n%v", by, i, got, top.Rest, want)
			}
			few, err := s.Top(ctx, store.TopQuery{Range: r, By: by, Limit: 3})
			must(t, err)
			same(t, "top three", few.Totals, top.Totals[:min(3, len(top.Totals))])
			for _, total := range few.Totals {
				few.Rest.Add(&total)
			}
			for _, total := range top.Totals {
				top.Rest.Add(&total)
			}
			if few.Rest != top.Rest {
				t.Fatalf("%s of range %d: three and the rest are %+v, all are %+v", by, i, few.Rest, top.Rest)
			}
		}
	}
}

// naiveIncident is an incident as the events say it.
type naiveIncident struct {
	alerts []event.Alert
}

// incidentsOf joins alarms that start at most two windows after the end of the one before.
func incidentsOf(events []event.Event) []naiveIncident {
	var all []naiveIncident
	for i := range events {
		if events[i].Type != event.TypeAlert {
			continue
		}
		a := *events[i].Alert
		a.Vector = nil
		if n := len(all); n > 0 {
			last := all[n-1].alerts[len(all[n-1].alerts)-1]
			if int64(a.Start)-int64(last.Start) <= 2*int64(WindowLength) {
				all[n-1].alerts = append(all[n-1].alerts, a)
				continue
			}
		}
		all = append(all, naiveIncident{[]event.Alert{a}})
	}
	return all
}

func testAlerts(t *testing.T, s store.Store) {
	events := NewGenerator(5, 10).Take(8000)
	fill(t, s, events, 5)
	want := incidentsOf(events)
	got, err := s.Incidents(ctx, store.IncidentQuery{})
	must(t, err)
	if len(got) != len(want) || len(got) < 5 {
		t.Fatalf("%d incidents, want %d", len(got), len(want))
	}
	for i, in := range got {
		peak, at := math.Inf(-1), 0
		for k, a := range want[i].alerts {
			if *a.Score > peak {
				peak, at = *a.Score, k+1
			}
		}
		first, last := want[i].alerts[0], want[i].alerts[len(want[i].alerts)-1]
		expected := store.Incident{ID: in.ID, Source: "test", Start: int64(first.Start), End: int64(last.Start) + int64(WindowLength),
			Windows: len(want[i].alerts), Peak: peak, PeakAlert: int64(at)}
		if !reflect.DeepEqual(in, expected) {
			t.Fatalf("incident %d is\n%+v, want\n%+v", i, in, expected)
		}
		alerts := collect(t, s.Alerts(ctx, store.AlertQuery{ID: store.ID{Incident: in.ID}}))
		for k, a := range alerts {
			if a.ID != (store.ID{Incident: in.ID, Alert: int64(k + 1)}) || a.Source != "test" {
				t.Fatalf("alert %d of incident %d is named %s of %q", k, in.ID, a.ID, a.Source)
			}
		}
		bodies := make([]event.Alert, len(alerts))
		for k := range alerts {
			bodies[k] = alerts[k].Alert
		}
		same(t, "alerts of an incident", bodies, want[i].alerts)
		one := collect(t, s.Alerts(ctx, store.AlertQuery{ID: alerts[0].ID}))
		same(t, "an alert", one, alerts[:1])
	}
	middle := got[len(got)/2]
	for what, q := range map[string]store.IncidentQuery{
		"its ID":       {ID: middle.ID},
		"its time":     {Range: store.Range{Since: middle.Start, Until: middle.End}},
		"a part of it": {Range: store.Range{Since: middle.End - 1000, Until: middle.End + 1000}},
	} {
		found, err := s.Incidents(ctx, q)
		must(t, err)
		same(t, "incidents of "+what, found, []store.Incident{middle})
	}
	newest, err := s.Incidents(ctx, store.IncidentQuery{Limit: 3})
	must(t, err)
	same(t, "newest incidents", newest, got[len(got)-3:])
	all := collect(t, s.Alerts(ctx, store.AlertQuery{Range: store.Range{Since: middle.Start}}))
	n := 0
	for _, in := range got[len(got)/2:] {
		n += in.Windows
	}
	if len(all) != n {
		t.Errorf("%d alerts since the middle incident, want %d", len(all), n)
	}
}

func testTriage(t *testing.T, s store.Store) {
	fill(t, s, NewGenerator(6, 10).Take(5000), 6)
	incidents, err := s.Incidents(ctx, store.IncidentQuery{})
	must(t, err)
	i := slices.IndexFunc(incidents, func(i store.Incident) bool { return i.Windows >= 3 })
	in := store.ID{Incident: incidents[i].ID}
	first, second := store.ID{Incident: in.Incident, Alert: 1}, store.ID{Incident: in.Incident, Alert: 2}
	check := func(what string, whole, one, two store.Verdict) {
		t.Helper()
		found, err := s.Incidents(ctx, store.IncidentQuery{ID: in.Incident})
		must(t, err)
		if !found[0].Triage.Is(whole) {
			t.Errorf("%s: the incident is %q, want %q", what, found[0].Triage.Verdict, whole)
		}
		for id, want := range map[store.ID]store.Verdict{first: one, second: two} {
			if a := collect(t, s.Alerts(ctx, store.AlertQuery{ID: id}))[0]; !a.Triage.Is(want) {
				t.Errorf("%s: alert %s is %q, want %q", what, id, a.Triage.Verdict, want)
			}
		}
	}
	note := store.Triage{Verdict: store.Dismissed, Note: "backup'); DROP TABLE alerts;--\n<script>", Who: "ann", At: Start}
	check("before", store.Untriaged, store.Untriaged, store.Untriaged)
	must(t, s.Triage(ctx, second, note))
	check("one alert", store.Untriaged, store.Untriaged, store.Dismissed)
	if a := collect(t, s.Alerts(ctx, store.AlertQuery{ID: second}))[0]; a.Triage != note {
		t.Errorf("the note is %+v, want %+v", a.Triage, note)
	}
	must(t, s.Triage(ctx, in, store.Triage{Verdict: store.Confirmed, Who: "bob", At: Start + 1000}))
	check("the incident after it", store.Confirmed, store.Confirmed, store.Confirmed)
	must(t, s.Triage(ctx, first, store.Triage{Verdict: store.Untriaged, Who: "bob", At: Start + 2000}))
	check("an alert opened again", store.Confirmed, store.Untriaged, store.Confirmed)
	for verdict, want := range map[store.Verdict]int{store.Confirmed: 1, store.Untriaged: len(incidents) - 1, store.Dismissed: 0} {
		found, err := s.Incidents(ctx, store.IncidentQuery{Verdict: verdict})
		must(t, err)
		if len(found) != want {
			t.Errorf("%d incidents are %s, want %d", len(found), verdict, want)
		}
	}
	for _, id := range []store.ID{{Incident: 9999}, {Incident: in.Incident, Alert: 9999}} {
		if err := s.Triage(ctx, id, note); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("triage of %s: %v, want ErrUnknown", id, err)
		}
	}
	if err := s.Triage(ctx, in, store.Triage{Verdict: "perhaps"}); err == nil {
		t.Errorf("verdict perhaps: no error")
	}
}

func testSources(t *testing.T, s store.Store) {
	day := store.Source{Name: "day", Settings: "apps@1", Captures: []store.Capture{{Name: "a.pcap", Identity: "A"}, {Name: "b.pcap", Identity: "B"}}}
	at, err := s.Begin(ctx, day)
	must(t, err)
	if at != (store.Position{}) {
		t.Errorf("a new source is at %+v", at)
	}
	want := store.Position{Ordinal: 7, Digest: math.MaxUint64 - 1}
	must(t, s.Append(ctx, nil, want))
	other := store.Source{Name: "other", Captures: []store.Capture{{Name: "c.pcap", Identity: "C"}}}
	_, err = s.Begin(ctx, other)
	must(t, err)
	must(t, s.Append(ctx, nil, store.Position{Ordinal: 3, Done: true}))
	at, err = s.Begin(ctx, day)
	must(t, err)
	if at != want {
		t.Errorf("the source is at %+v, want %+v", at, want)
	}
	info, err := s.Info(ctx)
	must(t, err)
	same(t, "sources", info.Sources, []store.SourceInfo{{Source: day, Position: want}, {Source: other, Position: store.Position{Ordinal: 3, Done: true}}})

	for what, bad := range map[string]store.Source{
		"other settings":            {Name: "day", Settings: "apps@2", Captures: day.Captures},
		"one of its captures alone": {Name: "b", Settings: "apps@1", Captures: day.Captures[1:]},
		"its capture and another":   {Name: "b+d", Captures: []store.Capture{{Name: "d", Identity: "D"}, day.Captures[1]}},
	} {
		if _, err := s.Begin(ctx, bad); !errors.Is(err, store.ErrKnown) {
			t.Errorf("%s: %v, want ErrKnown", what, err)
		}
		if err := s.Append(ctx, nil, store.Position{}); err == nil {
			t.Errorf("%s: Append after a refusal: no error", what)
		}
	}
}

// testResume goes on with a source after others: incidents go on too.
func testResume(t *testing.T, s store.Store) {
	events := NewGenerator(8, 20).Take(3000)
	at := store.Position{}
	for i := 0; i < len(events); i += 100 {
		got, err := s.Begin(ctx, store.Source{Name: "test"})
		must(t, err)
		if got != at {
			t.Fatalf("the source is at %+v, want %+v", got, at)
		}
		at = store.Position{Ordinal: uint64(i + 100), Digest: uint64(i)}
		must(t, s.Append(ctx, events[i:i+100], at))
		_, err = s.Begin(ctx, store.Source{Name: "other"})
		must(t, err)
	}
	incidents, err := s.Incidents(ctx, store.IncidentQuery{})
	must(t, err)
	if want := incidentsOf(events); len(incidents) != len(want) {
		t.Errorf("%d incidents, want %d", len(incidents), len(want))
	}
	same(t, "flows", collect(t, s.Flows(ctx, store.FlowQuery{})), flowsOf(events))
}

func testAge(t *testing.T, s store.Store) {
	g := NewGenerator(9, 20)
	g.Every = 20 * time.Second
	events := g.Take(20000)
	fill(t, s, events, 9)
	must(t, s.Append(ctx, nil, store.Position{Ordinal: uint64(len(events)), Done: true}))
	before, err := s.Info(ctx)
	must(t, err)
	age := 9 * time.Hour
	removed, err := s.Maintain(ctx, store.Policy{Age: age, Now: before.Newest})
	must(t, err)
	after, err := s.Info(ctx)
	must(t, err)
	if !removed.Any() || removed.Flows != before.Flows-after.Flows || removed.Windows != before.Windows-after.Windows || removed.Alerts != before.Alerts-after.Alerts {
		t.Errorf("removed %+v of %+v, left %+v", removed, before, after)
	}
	limit := before.Newest - int64(age)
	var young []store.Flow
	for _, f := range flowsOf(events) {
		if int64(f.Flow.End) >= limit {
			young = append(young, f)
		}
	}
	same(t, "flows that are young enough", collect(t, s.Flows(ctx, store.FlowQuery{Range: store.Range{Since: limit}})), young)
	// What is old may stay as long as its segment has something young: some hours.
	slack := int64(4 * time.Hour)
	same(t, "old flows", collect(t, s.Flows(ctx, store.FlowQuery{Range: store.Range{Until: limit - slack}})), nil)
	same(t, "old windows", collect(t, s.Windows(ctx, store.WindowQuery{Range: store.Range{Until: limit - slack}})), nil)
	same(t, "old alerts", collect(t, s.Alerts(ctx, store.AlertQuery{Range: store.Range{Until: limit}})), nil)
	scores, err := s.Scores(ctx, store.ScoreQuery{Range: store.Range{Until: limit}})
	must(t, err)
	same(t, "old scores", scores, nil)
	top, err := s.Top(ctx, store.TopQuery{By: store.Apps, Range: store.Range{Until: limit - slack}})
	must(t, err)
	same(t, "old totals", top.Totals, nil)
	if after.Alerts == 0 || after.Incidents == 0 || after.Incidents >= before.Incidents {
		t.Errorf("%d incidents with %d alerts are left of %d with %d", after.Incidents, after.Alerts, before.Incidents, before.Alerts)
	}
	again, err := s.Maintain(ctx, store.Policy{Age: age, Now: before.Newest})
	must(t, err)
	if again.Any() {
		t.Errorf("the same policy again removed %+v", again)
	}
}

// testOdd stores what a network or a user may come up with.
func testOdd(t *testing.T, s store.Store) {
	zero, one := 0.0, 1.0
	names := []string{"", "'", `"`, "a\x00b", "\x1b[2J", "<script>", strings.Repeat("long", 5000), "ünïcode", "$1?", "%", "_"}
	var events []event.Event
	for i, name := range names {
		f := &event.Flow{App: name, Start: event.Time(Start), End: event.Time(Start + int64(i)*1000), Reason: "forced_end"}
		if name != "" {
			f.Confidence, f.LabelSource, f.LabelPackets, f.Model = &zero, "packet", 1, "apps@"+name
		}
		events = append(events, event.Event{Type: event.TypeFlow, Tuple: &event.Tuple{SrcIP: "10.0.0.1", DestIP: "10.0.0.1", Proto: "TCP"}, Flow: f})
	}
	// Counters and times at the ends of what is kept, and the same end many times.
	for _, end := range []int64{math.MinInt64 / 1000 * 1000, -1000, 0, 1000, Start, Start, Start, math.MaxInt64 / 1000 * 1000} {
		events = append(events, event.Event{Type: event.TypeFlow,
			Tuple: &event.Tuple{FlowID: 1<<53 - 1, SrcIP: "::", SrcPort: 65535, DestIP: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", DestPort: 65535, Proto: "255"},
			Flow:  &event.Flow{Start: event.Time(end), End: event.Time(end), BytesToServer: math.MaxInt64, PayloadToClient: math.MaxInt64, App: "x", Confidence: &one, Novel: true}})
	}
	_, err := s.Begin(ctx, store.Source{Name: "'; --", Settings: "\x00"})
	must(t, err)
	must(t, s.Append(ctx, events, store.Position{Ordinal: 1}))
	check := func() {
		t.Helper()
		same(t, "flows", collect(t, s.Flows(ctx, store.FlowQuery{})), flowsOf(events))
		for _, name := range names[1:] {
			if got := collect(t, s.Flows(ctx, store.FlowQuery{App: name})); len(got) != 1 || got[0].Flow.App != name {
				t.Errorf("flows of %q: %v", name, got)
			}
		}
		top, err := s.Top(ctx, store.TopQuery{By: store.Apps})
		must(t, err)
		if len(top.Totals) != len(names)+1 {
			t.Errorf("%d applications, want %d: %v", len(top.Totals), len(names)+1, top.Totals)
		}
		for _, total := range top.Totals {
			if !slices.Contains(names, total.Name) && total.Name != "x" {
				t.Errorf("an application %q", total.Name)
			}
		}
	}
	check()
	must(t, s.Append(ctx, nil, store.Position{Ordinal: 1, Done: true}))
	_, err = s.Maintain(ctx, store.Policy{})
	must(t, err)
	check()
}

// testOneMoment reads while events are appended: every answer is of a moment between two Appends.
func testOneMoment(t *testing.T, s store.Store) {
	events := NewGenerator(10, 20).Take(12000)
	moments := map[int]bool{0: true}
	const part = 200
	flows := 0
	for i := range events {
		if events[i].Type == event.TypeFlow {
			flows++
		}
		if (i+1)%part == 0 {
			moments[flows] = true
		}
	}
	_, err := s.Begin(ctx, store.Source{Name: "test"})
	must(t, err)
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		last := 0
		for answers := 0; ; answers++ {
			select {
			case <-done:
				if answers > 0 {
					return
				}
			default:
			}
			n := 0
			for _, err := range s.Flows(ctx, store.FlowQuery{}) {
				if err != nil {
					t.Error(err)
					return
				}
				n++
			}
			if !moments[n] || n < last {
				t.Errorf("%d flows after %d, which were never all", n, last)
				return
			}
			top, err := s.Top(ctx, store.TopQuery{By: store.Apps})
			if err != nil {
				t.Error(err)
				return
			}
			sum := 0
			for _, total := range top.Totals {
				sum += int(total.Flows)
			}
			if !moments[sum] || sum < n {
				t.Errorf("%d flows in the totals after %d in the rows", sum, n)
				return
			}
			last = n
		}
	})
	for i := 0; i < len(events); i += part {
		if err := s.Append(ctx, events[i:i+part], store.Position{Ordinal: uint64(i + part)}); err != nil {
			t.Error(err)
			break
		}
		if _, err := s.Maintain(ctx, store.Policy{}); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	wg.Wait()
}

// Exclusions are kept as they were made, whoever else writes; what they suppress is stored, counted and asked for, and is no alert.
func testExclusions(t *testing.T, s store.Store) {
	const day = int64(24 * time.Hour)
	none, err := s.Exclusions(ctx)
	must(t, err)
	if len(none) > 0 || len(collect(t, s.Suppressed(ctx, store.SuppressedQuery{}))) > 0 {
		t.Fatal("an empty store has exclusions")
	}
	want := []store.Exclusion{
		{Host: netip.MustParsePrefix("10.0.0.66/32"), Note: "the scanner\n'; DROP TABLE exclusions", Who: "ops", At: 5e9, Alert: store.ID{Incident: 4, Alert: 2}},
		{Port: 53, App: "dns <&>", Feature: "udp", From: 22 * time.Hour, To: 4 * time.Hour, Until: 3 * day},
		{Host: netip.MustParsePrefix("2001:db8::/32"), Feature: "syn"},
	}
	for i := range want {
		id, err := s.Exclude(ctx, want[i])
		must(t, err)
		if id != int64(i+1) {
			t.Fatalf("exclusion %d has the ID %d", i+1, id)
		}
		want[i].ID = id
	}
	for _, bad := range []store.Exclusion{{}, {Note: "all"}, {Feature: "no_such"}, {From: time.Hour, To: 25 * time.Hour}, {From: -1}} {
		if _, err := s.Exclude(ctx, bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	score := 7.5
	var events []event.Event
	var suppressed []store.Suppressed
	for i := range 200 {
		start := event.Time(day + int64(i)*int64(5*time.Second))
		a := event.Alert{Window: event.Window{Start: start, Length: 5, Packets: 9, Score: &score, Threshold: 1, Anomalous: true, Model: "m@1"},
			Features: []event.Feature{{Name: "syn", Observed: 9, Share: 7.5, Movers: []event.Mover{{By: "src_ip", Name: "10.0.0.66", Observed: 9, Part: 1}}}},
			Summary:  "9 SYN packets", Exclusion: int64(1 + i%2),
		}
		events = append(events, event.Event{Nanos: int64(start) + int64(5*time.Second), Type: event.TypeSuppressed, Alert: &a})
		suppressed = append(suppressed, store.Suppressed{Source: "test", Alert: a})
	}
	fill(t, s, events, 1)
	same(t, "suppressed", collect(t, s.Suppressed(ctx, store.SuppressedQuery{})), suppressed)
	same(t, "suppressed in a range", collect(t, s.Suppressed(ctx, store.SuppressedQuery{Range: store.Range{
		Since: int64(suppressed[10].Alert.Start), Until: int64(suppressed[170].Alert.Start)}})), suppressed[10:170])
	if got := collect(t, s.Suppressed(ctx, store.SuppressedQuery{Exclusion: 2})); len(got) != 100 || got[0].Alert.Exclusion != 2 {
		t.Errorf("%d are suppressed by exclusion 2", len(got))
	}
	info, err := s.Info(ctx)
	must(t, err)
	if info.Alerts != 0 || info.Incidents != 0 {
		t.Errorf("suppressed alerts count as %d alerts in %d incidents", info.Alerts, info.Incidents)
	}
	want[0].Suppressed, want[1].Suppressed = 100, 100
	got, err := s.Exclusions(ctx)
	must(t, err)
	same(t, "exclusions", got, want)

	must(t, s.RemoveExclusion(ctx, 2))
	if err := s.RemoveExclusion(ctx, 2); !errors.Is(err, store.ErrNoExclusion) {
		t.Errorf("removed twice: %v", err)
	}
	got, err = s.Exclusions(ctx)
	must(t, err)
	same(t, "exclusions", got, []store.Exclusion{want[0], want[2]})
	id, err := s.Exclude(ctx, store.Exclusion{Port: 1})
	must(t, err)
	if id != 4 {
		t.Errorf("the ID %d was given again", id)
	}
	if got := collect(t, s.Suppressed(ctx, store.SuppressedQuery{Exclusion: 2})); len(got) != 100 {
		t.Errorf("with the exclusion went what it suppressed: %d are left", len(got))
	}
	removed, err := s.Maintain(ctx, store.Policy{Age: time.Hour, Now: int64(suppressed[150].Alert.Start) + int64(time.Hour)})
	must(t, err)
	if left := collect(t, s.Suppressed(ctx, store.SuppressedQuery{})); len(left) != 50 || removed.Alerts != 150 {
		t.Errorf("by age %d were removed, %d are left", removed.Alerts, len(left))
	}
}

// testTried stores what models on trial said of flows and windows.
func testTried(t *testing.T, s store.Store) {
	const day = int64(24 * time.Hour)
	same(t, "tried", collect(t, s.Tried(ctx, store.Range{})), nil)
	high, low := 7.5, 0.25
	var events []event.Event
	var want []store.Tried
	for i := range 300 {
		start := event.Time(day + int64(i)*int64(time.Minute))
		w := event.Window{
			Start: start, Length: 5, Packets: 9, Score: &high, Threshold: 1, Anomalous: true, Lost: uint64(i), Unsure: i%2 == 0, Model: "live@1",
			Shadow: &event.ShadowScore{Score: &low, Threshold: 2, Model: "trial@1"},
		}
		switch i % 3 {
		case 1:
			w.Score, w.Anomalous, w.Shadow.Score = nil, false, nil
		case 2: // a window that nothing on trial has seen
			w.Shadow = nil
		}
		events = append(events, event.Event{Nanos: int64(start) + int64(5*time.Second), Type: event.TypeWindow, Window: &w})
		if w.Shadow != nil {
			want = append(want, store.Tried{Nanos: int64(start), Window: &w})
		}
		f := event.Shadow{
			LiveModel: "apps@1", LiveApp: []string{"", "dns"}[i%2], LiveNovel: i%5 == 0,
			Label: event.Label{App: "dns \xff'", Confidence: 0.75, Source: "flow", Packets: i, Novel: i%7 == 0, Model: "apps@2"},
		}
		at := int64(start) + int64(7*time.Second) + 1234
		events = append(events, event.Event{Nanos: at, Type: event.TypeShadow, Tuple: &event.Tuple{FlowID: 1<<53 - uint64(i)}, Shadow: &f})
		kept := f
		kept.App = "dns \uFFFD'"
		want = append(want, store.Tried{Nanos: at - 234, FlowID: 1<<53 - uint64(i), Flow: &kept})
	}
	fill(t, s, events, 5)
	same(t, "tried", collect(t, s.Tried(ctx, store.Range{})), want)
	within := store.Range{Since: want[100].Nanos, Until: want[400].Nanos}
	same(t, "tried in a range", collect(t, s.Tried(ctx, within)), want[100:400])
	for i, w := range collect(t, s.Windows(ctx, store.WindowQuery{})) {
		if w.Shadow != nil {
			t.Fatalf("window %d has what a model on trial said", i)
		}
	}
	_, err := s.Maintain(ctx, store.Policy{Age: time.Hour, Now: 31 * day})
	must(t, err)
	same(t, "tried, by age", collect(t, s.Tried(ctx, store.Range{})), nil)
}
