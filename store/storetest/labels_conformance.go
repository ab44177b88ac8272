package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// novel returns the label of a flow that lies in a direction, 0 to 3, the n-th of that kind.
func novel(direction, n int) event.Event {
	v := []int8{0, 0, 0, 0, int8(n % 5)}
	v[direction] = 120
	start := event.Time(int64(1000+n) * 1e9)
	return event.Event{Nanos: int64(start) + 5e8, Type: event.TypeLabel,
		Tuple: &event.Tuple{FlowID: uint64(direction*1_000_000 + n), CommunityID: "1:x", SrcIP: fmt.Sprintf("10.0.0.%d", n%3), SrcPort: uint16(40000 + n), DestIP: fmt.Sprintf("192.0.2.%d", direction), DestPort: uint16(700 + direction), Proto: "TCP"},
		Label: &event.Label{App: "dns", Confidence: 0.5, Source: "flow", Packets: 3, Novel: true, Model: "apps@1", Sample: &event.Sample{
			Start: start, Embedding: v, Nearest: "http", Similarity: 0.25, Limit: 0.9, Opening: fmt.Appendf(nil, "\x01opening %d", n),
		}}}
}

func labelled(t *testing.T, s store.Store, events ...event.Event) {
	t.Helper()
	_, err := s.Begin(ctx, store.Source{Name: "labels"})
	must(t, err)
	must(t, s.Append(ctx, events, store.Position{Ordinal: uint64(len(events))}))
}

func testGroups(t *testing.T, s store.Store) {
	must(t, func() error {
		g, err := s.Groups(ctx, store.GroupQuery{})
		same(t, "groups of nothing", g, nil)
		return err
	}())
	var events []event.Event
	for n := range 6 {
		events = append(events, novel(0, n))
	}
	events = append(events, novel(1, 10), novel(1, 11), event.Event{Type: event.TypeLabel, Tuple: &event.Tuple{}, Label: &event.Label{Novel: true}})
	other := novel(0, 20) // of another model: not compared
	other.Label.Model = "apps@2"
	events = append(events, other)
	labelled(t, s, events...)
	check := func(what string, want ...string) []store.Group {
		t.Helper()
		groups, err := s.Groups(ctx, store.GroupQuery{})
		must(t, err)
		var got []string
		for _, g := range groups {
			got = append(got, fmt.Sprintf("%d %s: %d flows, %d unnamed, %d clients, %s %s, nearest %s %v, as %v", g.ID, g.Model, g.Flows, g.Unnamed, g.Clients, g.Servers[0].Name, g.Ports[0].Name, g.Nearest[0].Name, g.Similarity, g.Names))
		}
		same(t, what, got, want)
		return groups
	}
	groups := check("groups, the newest first",
		"3 apps@2: 1 flows, 1 unnamed, 1 clients, 192.0.2.0:700 700/tcp, nearest http 0.25, as []",
		"2 apps@1: 2 flows, 2 unnamed, 2 clients, 192.0.2.1:701 701/tcp, nearest http 0.25, as []",
		"1 apps@1: 6 flows, 6 unnamed, 3 clients, 192.0.2.0:700 700/tcp, nearest http 0.25, as []")
	if g := groups[2]; g.First != 1000_500e6 || g.Last != 1005_500e6 || g.Bytes != 6*int64(len("\x01opening 0")) || g.Limit != 0.9 {
		t.Errorf("group 1 is %+v", g)
	}
	must(t, s.Append(ctx, events, store.Position{Ordinal: 20})) // as after a kill
	check("groups of what is stored twice",
		"3 apps@2: 1 flows, 1 unnamed, 1 clients, 192.0.2.0:700 700/tcp, nearest http 0.25, as []",
		"2 apps@1: 2 flows, 2 unnamed, 2 clients, 192.0.2.1:701 701/tcp, nearest http 0.25, as []",
		"1 apps@1: 6 flows, 6 unnamed, 3 clients, 192.0.2.0:700 700/tcp, nearest http 0.25, as []")
	in, err := s.Groups(ctx, store.GroupQuery{Range: store.Range{Since: 1004e9, Until: 1011e9}})
	must(t, err)
	if len(in) != 2 || in[0].ID != 2 || in[0].Flows != 1 || in[1].Flows != 2 {
		t.Errorf("groups of a time: %+v", in)
	}
	c, err := s.Correct(ctx, store.Correction{App: "backup", Group: 1, Note: "why", Who: "me", At: 7_000_000_123})
	must(t, err)
	want := store.Correction{ID: 1, App: "backup", Group: 1, Note: "why", Who: "me", At: 7_000_000_000, Flows: 6, Openings: 6, Was: "dns", Example: *events[0].Tuple}
	same(t, "the correction", []store.Correction{c}, []store.Correction{want})
	must(t, s.Append(ctx, []event.Event{novel(0, 6)}, store.Position{Ordinal: 21}))
	check("groups of which one has a name",
		"3 apps@2: 1 flows, 1 unnamed, 1 clients, 192.0.2.0:700 700/tcp, nearest http 0.25, as []",
		"2 apps@1: 2 flows, 2 unnamed, 2 clients, 192.0.2.1:701 701/tcp, nearest http 0.25, as []",
		"1 apps@1: 7 flows, 1 unnamed, 3 clients, 192.0.2.0:700 700/tcp, nearest http 0.25, as [backup]")
	for _, id := range []int64{99, 2} {
		if _, err := s.Correct(ctx, store.Correction{App: "scan", Group: id}); (id == 99) != errors.Is(err, store.ErrNoGroup) {
			t.Errorf("naming group %d: %v", id, err)
		}
	}
	mixed := novel(2, 30)
	mixed.Tuple.DestPort = 8080
	must(t, s.Append(ctx, []event.Event{novel(2, 31), mixed}, store.Position{Ordinal: 23}))
	if c, err := s.Correct(ctx, store.Correction{App: "proxy", Group: 4, Port: 8080}); err != nil || c.Flows != 1 || c.Port != 8080 || c.Example != *mixed.Tuple {
		t.Errorf("naming a part of a group: %+v, %v", c, err)
	}
	if _, err := s.Correct(ctx, store.Correction{App: "proxy", Group: 4, Port: 8080}); !errors.Is(err, store.ErrNoGroup) {
		t.Errorf("naming it twice: %v", err)
	}
	must(t, s.RemoveCorrection(ctx, 3))
	if _, err := s.Correct(ctx, store.Correction{App: "scan", Group: 2}); !errors.Is(err, store.ErrNoGroup) {
		t.Errorf("naming a group that has a name: %v", err)
	}
	must(t, s.RemoveCorrection(ctx, 1))
	if err := s.RemoveCorrection(ctx, 1); !errors.Is(err, store.ErrNoCorrection) {
		t.Errorf("taken back twice: %v", err)
	}
	all, err := s.Corrections(ctx)
	must(t, err)
	if len(all) != 1 || all[0].App != "scan" || all[0].Flows != 2 {
		t.Errorf("corrections %+v", all)
	}
	corrected := collect(t, s.Samples(ctx, store.SampleQuery{Corrected: true}))
	if len(corrected) != 2 || corrected[0].App != "scan" || corrected[0].Tuple != *events[6].Tuple || string(corrected[0].Label.Sample.Opening) != "\x01opening 10" || len(corrected[0].Label.Sample.Embedding) != 5 {
		t.Errorf("corrected %+v", corrected)
	}
	newest := collect(t, s.Samples(ctx, store.SampleQuery{Group: 1, Newest: true, Limit: 2}))
	if len(newest) != 2 || newest[0].Tuple.FlowID != 6 || newest[1].Tuple.FlowID != 5 {
		t.Errorf("newest of group 1: %+v", newest)
	}
}

func testCorrections(t *testing.T, s store.Store) {
	for _, bad := range []store.Correction{
		{App: "", Group: 1}, {App: " x", Group: 1}, {App: "a\nb", Group: 1}, {App: "Etc.", Group: 1}, {App: strings.Repeat("x", 101), Group: 1},
		{App: "\xff", Group: 1}, {App: "x\u202ey", Group: 1}, {App: "x\u00a0y", Group: 1}, {App: "x"}, {App: "x", Group: 1, Of: &store.Sample{}},
		{App: "x", Port: 1, Of: &store.Sample{}},
	} {
		if _, err := s.Correct(ctx, bad); err == nil || errors.Is(err, store.ErrNoGroup) {
			t.Errorf("%+v is taken: %v", bad, err)
		}
	}
	if err := s.RemoveCorrection(ctx, 1); !errors.Is(err, store.ErrNoCorrection) {
		t.Errorf("nothing taken back: %v", err)
	}
	flow := store.Flow{Tuple: event.Tuple{FlowID: 77, SrcIP: "10.0.0.1", DestIP: "10.0.0.2", DestPort: 443, Proto: "TCP"}, Flow: event.Flow{App: "web", Start: 5e9, End: 6e9, Model: "apps@1"}}
	c, err := s.Correct(ctx, store.Correction{App: "video", Of: store.SampleOf(&flow, nil), At: 1e9})
	must(t, err)
	if c.Flows != 1 || c.Openings != 0 || c.Was != "web" || c.Example != flow.Tuple {
		t.Errorf("without an opening: %+v", c)
	}
	later := func(id uint64) *event.Sample {
		if id != 77 {
			t.Errorf("flow %d is looked for", id)
		}
		return &event.Sample{Start: 5_000_000_300, Opening: []byte("\x01late")}
	}
	for i, want := range []int{1, 0} {
		if n, err := s.Openings(ctx, later); err != nil || n != want {
			t.Errorf("openings found at attempt %d: %d, %v; want %d", i, n, err, want)
		}
	}
	// Corrected again: the newest holds, and the one before has no flow any more.
	c, err = s.Correct(ctx, store.Correction{App: "<b>game</b> 🎲", Of: store.SampleOf(&flow, nil), At: 2e9})
	must(t, err)
	if c.Flows != 1 || c.Openings != 1 {
		t.Errorf("again: %+v", c)
	}
	all, err := s.Corrections(ctx)
	must(t, err)
	same(t, "corrections", all, []store.Correction{c})
	if n, err := s.Forget(ctx, false); n != 0 || err != nil {
		t.Errorf("forgot %d, %v; the one flow bears a correction", n, err)
	}
	if n, err := s.Forget(ctx, true); n != 1 || err != nil {
		t.Errorf("forgot %d, %v; want the payload of one flow", n, err)
	}
	if n, err := s.Openings(ctx, later); n != 0 || err != nil {
		t.Errorf("what was forgotten came back: %d, %v", n, err)
	}
	must(t, s.RemoveCorrection(ctx, c.ID))
	same(t, "samples of no correction and no group", collect(t, s.Samples(ctx, store.SampleQuery{})), nil)
}

func testSamplesBounded(t *testing.T, s store.Store) {
	var events []event.Event
	for n := range 200 {
		events = append(events, novel(n%2, n))
	}
	labelled(t, s, events...)
	_, err := s.Correct(ctx, store.Correction{App: "kept", Of: &store.Sample{At: events[0].Nanos, Tuple: *events[0].Tuple, Label: *events[0].Label}})
	must(t, err)
	size := func() (n, bytes int) {
		for _, one := range collect(t, s.Samples(ctx, store.SampleQuery{})) {
			if one.Correction == 0 {
				n, bytes = n+1, bytes+len(one.Label.Sample.Opening)+len(one.Label.Sample.Embedding)
			}
		}
		return n, bytes
	}
	removed, err := s.Maintain(ctx, store.Policy{Samples: 1600, Now: 2000e9})
	must(t, err)
	n, bytes := size()
	if bytes > 1600 || bytes < 1400 || int(removed.Samples) != 199-n {
		t.Errorf("%d samples of %d bytes are left, %d removed; want 1,600 bytes or a little less", n, bytes, removed.Samples)
	}
	if all := collect(t, s.Samples(ctx, store.SampleQuery{Newest: true, Limit: 1})); len(all) != 1 || all[0].Tuple.FlowID != 1_000_199 {
		t.Errorf("the newest is not there any more: %+v", all)
	}
	removed, err = s.Maintain(ctx, store.Policy{Age: time.Second, Now: 9000e9})
	must(t, err)
	if left, _ := size(); left != 0 || int(removed.Samples) != n {
		t.Errorf("%d old samples are left, %d of %d removed", left, removed.Samples, n)
	}
	if all := collect(t, s.Samples(ctx, store.SampleQuery{})); len(all) != 1 || all[0].App != "kept" {
		t.Errorf("what bears a correction is gone: %+v", all)
	}
}
