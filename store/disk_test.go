package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

var ctx = context.Background()

// fill appends events of a source named test, and seals what is due.
func fill(t testing.TB, s *store.DiskWriter, events []event.Event, done bool) {
	t.Helper()
	at, err := s.Begin(ctx, store.Source{Name: "test"})
	must(t, err)
	for part := range slices.Chunk(events, 500) {
		at.Ordinal += uint64(len(part))
		at.Done = done && at.Ordinal == uint64(len(events))
		must(t, s.Append(ctx, part, at))
		_, err := s.Maintain(ctx, store.Policy{})
		must(t, err)
	}
}

// oneGoroutine leaves a test out of short runs, which are those of the race detector: it has nothing
// to find where there is one goroutine, and takes a minute for it.
func oneGoroutine(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long and has one goroutine")
	}
}

// read returns the flows that can be read, and the errors on the way.
func read(s store.Reader, q store.FlowQuery) (flows []store.Flow, errs []error) {
	for f, err := range s.Flows(ctx, q) {
		if err != nil {
			errs = append(errs, err)
		} else {
			flows = append(flows, *f)
		}
	}
	return flows, errs
}

func segments(t testing.TB, dir, kind string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, kind, "*.parquet"))
	must(t, err)
	return files
}

// sameFlows reports whether two lists are equal; reflect.DeepEqual takes seconds for that.
func sameFlows(a, b []store.Flow) bool {
	return slices.EqualFunc(a, b, func(a, b store.Flow) bool {
		x, y := a.Flow.Confidence, b.Flow.Confidence
		if (x == nil) != (y == nil) || x != nil && *x != *y {
			return false
		}
		a.Flow.Confidence, b.Flow.Confidence = nil, nil
		return a == b
	})
}

// wantError wants an error to say all of some things.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error is %v, want it to say %q", err, part)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	_, err := store.Open(filepath.Join(dir, "none"))
	wantError(t, err, "none: there is none")

	w := create(t, filepath.Join(dir, "deep", "store"), small)
	if _, err := store.Create(w.Dir(), small); !errors.Is(err, store.ErrInUse) {
		t.Errorf("a second writer: %v, want ErrInUse", err)
	}
	fill(t, w, storetest.NewGenerator(1, 10).Take(1000), false)
	want, errs := read(w, store.FlowQuery{})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	check := func(what string) {
		t.Helper()
		r, err := store.Open(w.Dir())
		must(t, err)
		defer r.Close()
		if got, errs := read(r, store.FlowQuery{}); len(errs) > 0 || !sameFlows(got, want) {
			t.Errorf("%s there are %d flows, want %d; %v", what, len(got), len(want), errs)
		}
		incidents, err := r.Incidents(ctx, store.IncidentQuery{})
		must(t, err)
		must(t, r.Triage(ctx, store.ID{Incident: incidents[0].ID}, store.Triage{Verdict: store.Confirmed, Who: what}))
		incidents, err = r.Incidents(ctx, store.IncidentQuery{})
		must(t, err)
		if incidents[0].Triage.Who != what {
			t.Errorf("%s a verdict is not there: %+v", what, incidents[0])
		}
	}
	check("beside the writer")
	must(t, w.Close())
	check("after the writer")
	w = create(t, w.Dir(), small)
	check("with another writer")
	must(t, w.Close())

	for _, name := range []string{"a b", "50%", "ü", "q?mode=memory", "h#ash", "-d", "a;b&c=d"} {
		s := create(t, filepath.Join(dir, name), store.Options{})
		must(t, s.Close())
		if _, err := os.Stat(filepath.Join(dir, name, "weir.db")); err != nil {
			t.Errorf("a store named %q: %v", name, err)
		}
		r, err := store.Open(filepath.Join(dir, name))
		must(t, err)
		must(t, r.Close())
	}
}

// Files that are not a store's, and stores that lack something, are refused.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	must(t, os.Mkdir(other, 0o777))
	must(t, os.WriteFile(filepath.Join(other, "weir.db"), []byte(strings.Repeat("no database ", 1000)), 0o666))
	for _, open := range []func(string) error{
		func(dir string) error { _, err := store.Open(dir); return err },
		func(dir string) error { _, err := store.Create(dir, small); return err },
	} {
		wantError(t, open(other), "weir.db", "not a database", "can be read without it")
	}
	must(t, os.WriteFile(filepath.Join(other, "weir.db"), nil, 0o666)) // an empty file is an empty database
	_, err := store.Open(other)
	wantError(t, err, "weir.db", "not the database of a store")

	w := create(t, filepath.Join(dir, "store"), small)
	fill(t, w, storetest.NewGenerator(1, 10).Take(3000), true)
	must(t, w.Close())
	must(t, os.Rename(filepath.Join(w.Dir(), "weir.db"), filepath.Join(w.Dir(), "away.db")))
	_, err = store.Create(w.Dir(), small)
	wantError(t, err, w.Dir(), "segments but no weir.db")
	if len(segments(t, w.Dir(), "flows")) == 0 {
		t.Errorf("a store without database lost its segments")
	}
}

// What kills left behind goes; what others put there stays.
func TestSweep(t *testing.T) {
	w := create(t, t.TempDir(), small)
	fill(t, w, storetest.NewGenerator(1, 10).Take(3000), true)
	must(t, w.Close())
	before := append(segments(t, w.Dir(), "flows"), segments(t, w.Dir(), "windows")...)
	left := []string{"flows/20261122T00-999999.parquet", "flows/.20261122T00-000009.parquet.new", "windows/20261122T00-1000000.parquet"}
	others := []string{"flows/mine.parquet", "flows/.keep", "windows/notes.txt", "flows/20261122T00-000001.parquet.bak"}
	for _, name := range append(slices.Clone(left), others...) {
		must(t, os.WriteFile(filepath.Join(w.Dir(), name), []byte("x"), 0o666))
	}
	must(t, create(t, w.Dir(), small).Close())
	for _, name := range left {
		if _, err := os.Stat(filepath.Join(w.Dir(), name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(w.Dir(), name)); err != nil {
			t.Errorf("%s is gone", name)
		}
	}
	for _, file := range before {
		if _, err := os.Stat(file); err != nil {
			t.Errorf("segment %s is gone", file)
		}
	}
}

// segmentRow has the columns of a segment of flows as any program reads them.
type segmentRow struct {
	Start           int64    `parquet:"start,timestamp(microsecond)"`
	End             int64    `parquet:"end,timestamp(microsecond)"`
	FlowID          int64    `parquet:"flow_id"`
	CommunityID     string   `parquet:"community_id"`
	SrcIP           string   `parquet:"src_ip"`
	SrcPort         int32    `parquet:"src_port"`
	DestIP          string   `parquet:"dest_ip"`
	DestPort        int32    `parquet:"dest_port"`
	Proto           string   `parquet:"proto"`
	PacketsToServer int64    `parquet:"pkts_toserver"`
	PacketsToClient int64    `parquet:"pkts_toclient"`
	BytesToServer   int64    `parquet:"bytes_toserver"`
	BytesToClient   int64    `parquet:"bytes_toclient"`
	IPToServer      int64    `parquet:"ip_bytes_toserver"`
	IPToClient      int64    `parquet:"ip_bytes_toclient"`
	PayloadToServer int64    `parquet:"payload_bytes_toserver"`
	PayloadToClient int64    `parquet:"payload_bytes_toclient"`
	Reason          string   `parquet:"reason"`
	App             *string  `parquet:"app"`
	Confidence      *float64 `parquet:"confidence"`
	Novel           bool     `parquet:"novel"`
	LabelSource     *string  `parquet:"label_source"`
	LabelPackets    *int32   `parquet:"label_packets"`
	Model           *string  `parquet:"model"`
}

func (r *segmentRow) flow() store.Flow {
	f := store.Flow{
		Tuple: event.Tuple{FlowID: uint64(r.FlowID), CommunityID: r.CommunityID, SrcIP: r.SrcIP, SrcPort: uint16(r.SrcPort), DestIP: r.DestIP, DestPort: uint16(r.DestPort), Proto: r.Proto},
		Flow: event.Flow{
			PacketsToServer: uint64(r.PacketsToServer), PacketsToClient: uint64(r.PacketsToClient), BytesToServer: uint64(r.BytesToServer), BytesToClient: uint64(r.BytesToClient),
			IPToServer: uint64(r.IPToServer), IPToClient: uint64(r.IPToClient), PayloadToServer: uint64(r.PayloadToServer), PayloadToClient: uint64(r.PayloadToClient),
			Start: event.Time(r.Start * 1000), End: event.Time(r.End * 1000), Reason: r.Reason, Novel: r.Novel, Confidence: r.Confidence,
		},
	}
	if r.App != nil {
		f.Flow.App = *r.App
	}
	if r.LabelSource != nil {
		f.Flow.LabelSource = *r.LabelSource
	}
	if r.LabelPackets != nil {
		f.Flow.LabelPackets = int(*r.LabelPackets)
	}
	if r.Model != nil {
		f.Flow.Model = *r.Model
	}
	return f
}

// A search by columns finds what the library's own reader, which looks at every row, finds: in segments
// of many pages, few rows and many, in either direction.
func TestSearchTwin(t *testing.T) {
	oneGoroutine(t)
	w := create(t, t.TempDir(), store.Options{SegmentRows: 15_000})
	fill(t, w, storetest.NewGenerator(11, 3000).Take(50_000), true)
	var all []store.Flow
	for _, file := range segments(t, w.Dir(), "flows") {
		rows, err := parquet.ReadFile[segmentRow](file)
		must(t, err)
		for i := range rows {
			all = append(all, rows[i].flow())
		}
	}
	slices.SortStableFunc(all, func(a, b store.Flow) int { return int(a.Flow.End - b.Flow.End) })
	r := rand.New(rand.NewPCG(1, 9))
	for i := range 36 {
		one := all[r.IntN(len(all))]
		var q store.FlowQuery
		switch i % 6 {
		case 0:
			q.Host = netip.PrefixFrom(netip.MustParseAddr(one.Tuple.SrcIP), netip.MustParseAddr(one.Tuple.SrcIP).BitLen())
		case 1:
			q.Port = one.Tuple.SrcPort
		case 2:
			q.Novel, q.App = true, one.Flow.App
		case 3:
			q.Since, q.Until = int64(one.Flow.End), int64(one.Flow.End)+int64(time.Minute)
		case 4:
			q.Port, q.App = one.Tuple.DestPort, one.Flow.App
		}
		q.Newest = i/6%2 == 1
		var want []store.Flow
		for _, f := range all {
			if (!q.Host.IsValid() || f.Tuple.SrcIP == q.Host.Addr().String() || f.Tuple.DestIP == q.Host.Addr().String()) &&
				(q.Port == 0 || f.Tuple.SrcPort == q.Port || f.Tuple.DestPort == q.Port) && (!q.Novel || f.Flow.Novel) &&
				(q.App == "" || q.App == f.Flow.App) && q.Contains(int64(f.Flow.End)) {
				want = append(want, f)
			}
		}
		if q.Newest {
			slices.Reverse(want)
		}
		got, errs := read(w, q)
		if len(errs) > 0 || !sameFlows(got, want) || len(want) == 0 {
			t.Fatalf("%+v: %d flows, want %d; %v", q, len(got), len(want), errs)
		}
	}
	if got, errs := read(w, store.FlowQuery{}); len(errs) > 0 || !sameFlows(got, all) {
		t.Errorf("%d flows, want %d; %v", len(got), len(all), errs)
	}
}

// A damaged or missing segment is named; what is in the others is found.
func TestDamagedSegment(t *testing.T) {
	w := create(t, t.TempDir(), small)
	fill(t, w, storetest.NewGenerator(1, 10).Take(12000), true)
	all, errs := read(w, store.FlowQuery{})
	files := segments(t, w.Dir(), "flows")
	if len(errs) > 0 || len(files) < 4 {
		t.Fatalf("%d segments, %v", len(files), errs)
	}
	file := files[1]
	whole, err := os.ReadFile(file)
	must(t, err)
	rows, err := parquet.ReadFile[segmentRow](file)
	must(t, err)
	rest := len(all) - len(rows)
	check := func(what string) {
		t.Helper()
		for _, newest := range []bool{false, true} {
			got, errs := read(w, store.FlowQuery{Newest: newest})
			if len(got) != rest || len(errs) != 1 {
				t.Errorf("%s: %d flows, want %d; errors %v", what, len(got), rest, errs)
				continue
			}
			wantError(t, errs[0], file)
		}
	}
	must(t, os.WriteFile(file, whole[:len(whole)/2], 0o666))
	check("half of a segment")
	must(t, os.WriteFile(file, nil, 0o666))
	check("an empty segment")
	must(t, os.WriteFile(file, make([]byte, len(whole)), 0o666))
	check("zeros")
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		flipped := slices.Clone(whole)
		at := r.IntN(len(whole))
		flipped[at] ^= 1 << r.IntN(8)
		must(t, os.WriteFile(file, flipped, 0o666))
		check(fmt.Sprintf("a flipped bit at %d", at))
	}
	must(t, os.Remove(file))
	check("no segment")

	windows := segments(t, w.Dir(), "windows")
	must(t, os.WriteFile(windows[0], []byte("PAR1"), 0o666))
	n, failed := 0, 0
	for _, err := range w.Windows(ctx, store.WindowQuery{}) {
		if err != nil {
			failed++
			wantError(t, err, windows[0])
		} else {
			n++
		}
	}
	if n == 0 || failed != 1 {
		t.Errorf("%d windows and %d errors", n, failed)
	}
	top, err := w.Top(ctx, store.TopQuery{By: store.Apps}) // does not need segments
	must(t, err)
	sum := uint64(0)
	for _, total := range top.Totals {
		sum += total.Flows
	}
	if sum != uint64(len(all)) {
		t.Errorf("totals of %d flows, want %d", sum, len(all))
	}
}

// A page of the database that is no more makes the questions fail that need it, with the file's
// name, and no others.
func TestDamagedDatabase(t *testing.T) {
	oneGoroutine(t)
	w := create(t, t.TempDir(), small)
	fill(t, w, storetest.NewGenerator(1, 10).Take(10000), true)
	all, _ := read(w, store.FlowQuery{})
	must(t, w.Close())
	file := filepath.Join(w.Dir(), "weir.db")
	whole, err := os.ReadFile(file)
	must(t, err)
	const page = 4096
	failed, answered := 0, 0
	for at := page; at+page <= len(whole); at += 11 * page {
		damaged := slices.Clone(whole)
		for i := range page {
			damaged[at+i] = 0xa5
		}
		must(t, os.WriteFile(file, damaged, 0o666))
		r, err := store.Open(w.Dir())
		if err != nil {
			wantError(t, err, file)
			continue
		}
		got, errs := read(r, store.FlowQuery{})
		_, err = r.Incidents(ctx, store.IncidentQuery{})
		_, err2 := r.Top(ctx, store.TopQuery{By: store.Hosts})
		_, err3 := r.Scores(ctx, store.ScoreQuery{})
		for _, err := range append(errs, err, err2, err3) {
			if err != nil {
				failed++
				wantError(t, err, "weir.db")
			}
		}
		if len(errs) == 0 {
			answered++
			if !sameFlows(got, all) {
				t.Errorf("with page %d damaged there are %d flows without an error, want %d", at/page, len(got), len(all))
			}
		}
		must(t, r.Close())
	}
	if failed == 0 || answered == 0 {
		t.Errorf("%d questions failed, flows were answered %d times: damage does nothing or everything", failed, answered)
	}
}

// Bytes are kept in bounds: segments go first, the oldest first, but not for the sake of alerts, which may
// take half.
func TestRetainBytes(t *testing.T) {
	oneGoroutine(t)
	opts := store.Options{SegmentRows: 2500}
	w := create(t, t.TempDir(), opts)
	g := storetest.NewGenerator(1, 100)
	g.Every = 150 * time.Millisecond
	events := g.Take(60_000)
	fill(t, w, events, true)
	before, err := w.Info(ctx)
	must(t, err)
	flows, _ := read(w, store.FlowQuery{})
	// size is what the policy counts: all but the log, and what the database has free.
	size := func() (bytes int64) {
		t.Helper()
		must(t, w.Close()) // moves the log into the database
		w = create(t, w.Dir(), opts)
		for _, file := range append(append(segments(t, w.Dir(), "flows"), segments(t, w.Dir(), "windows")...), filepath.Join(w.Dir(), "weir.db")) {
			info, err := os.Stat(file)
			must(t, err)
			bytes += info.Size()
		}
		return bytes
	}
	policy := func(bytes int64) store.Removed {
		t.Helper()
		// A policy is looked at when there is a new segment or a new hour.
		removed, err := w.Maintain(ctx, store.Policy{Bytes: bytes, Now: before.Newest + bytes*int64(time.Hour)})
		must(t, err)
		return removed
	}
	whole := size()
	if removed := policy(whole); removed.Any() {
		t.Errorf("enough bytes, and %+v went", removed)
	}
	removed := policy(whole * 3 / 4)
	after, err := w.Info(ctx)
	must(t, err)
	left, errs := read(w, store.FlowQuery{})
	if len(errs) > 0 || removed.Flows == 0 || removed.Flows != before.Flows-after.Flows || int(after.Flows) != len(left) || after.Segments >= before.Segments {
		t.Errorf("removed %+v, left %+v, %d flows, %v", removed, after, len(left), errs)
	}
	kept := map[uint64]bool{}
	for _, f := range left {
		kept[f.Tuple.FlowID] = true
	}
	newest := int64(0)
	for _, f := range flows {
		if !kept[f.Tuple.FlowID] {
			newest = max(newest, int64(f.Flow.End))
		}
	}
	if newest > removed.Before {
		t.Errorf("a flow that ended at %d went, Before is %d", newest, removed.Before)
	}
	if n := len(segments(t, w.Dir(), "flows")) + len(segments(t, w.Dir(), "windows")); n != after.Segments {
		t.Errorf("%d files, the manifest has %d", n, after.Segments)
	}
	for bytes := whole / 2; bytes > 1<<20; bytes /= 2 {
		policy(bytes)
		if got := size(); got > bytes {
			t.Errorf("%d bytes are left, want at most %d", got, bytes)
		}
	}
	info, err := w.Info(ctx)
	must(t, err)
	if info.Alerts == 0 || info.Alerts >= before.Alerts || info.Incidents >= before.Incidents {
		t.Errorf("%d alerts in %d incidents are left of %d in %d", info.Alerts, info.Incidents, before.Alerts, before.Incidents)
	}
	policy(1)
	if info, err := w.Info(ctx); err != nil || info.Flows+info.Windows+info.Alerts+info.Incidents != 0 {
		t.Errorf("with one byte %+v is left, %v", info, err)
	}
	// And it goes on.
	_, err = w.Begin(ctx, store.Source{Name: "more"})
	must(t, err)
	must(t, w.Append(ctx, g.Take(500), store.Position{Ordinal: 500, Done: true}))
	if got, errs := read(w, store.FlowQuery{}); len(got) == 0 || len(errs) > 0 {
		t.Errorf("%d flows after that, %v", len(got), errs)
	}
}

// The hosts of a minute and an hour beyond those that are kept by name are in the rest.
func TestTopRest(t *testing.T) {
	oneGoroutine(t)
	w := create(t, t.TempDir(), store.Options{})
	g := storetest.NewGenerator(1, 3000)
	g.Every = 300 * time.Millisecond
	events := g.Take(30_000)
	fill(t, w, events, true)
	twin := storetest.NewMemory()
	_, err := twin.Begin(ctx, store.Source{Name: "test"})
	must(t, err)
	must(t, twin.Append(ctx, events, store.Position{}))
	for _, r := range []store.Range{{}, {Since: storetest.Start + int64(20*time.Minute), Until: storetest.Start + int64(40*time.Minute)}} {
		got, err := w.Top(ctx, store.TopQuery{By: store.Hosts, Range: r})
		must(t, err)
		want, err := twin.Top(ctx, store.TopQuery{By: store.Hosts, Range: r})
		must(t, err)
		if got.Rest.Flows == 0 || len(got.Totals) >= len(want.Totals) {
			t.Fatalf("%d hosts of %d are named, the rest is %+v", len(got.Totals), len(want.Totals), got.Rest)
		}
		exact := map[string]store.Total{}
		var sum, all store.Total
		for i := range want.Totals {
			exact[want.Totals[i].Name] = want.Totals[i]
			all.Add(&want.Totals[i])
		}
		for i := range got.Totals {
			if total := got.Totals[i]; total.Bytes > exact[total.Name].Bytes || total.Flows > exact[total.Name].Flows {
				t.Errorf("%+v, want no more than %+v", total, exact[total.Name])
			}
			sum.Add(&got.Totals[i])
		}
		if sum.Add(&got.Rest); sum != all {
			t.Errorf("all hosts and the rest are %+v, want %+v", sum, all)
		}
	}
}

func TestParseID(t *testing.T) {
	for _, text := range []string{"1", "4.2", "9000000000.1"} {
		id, err := store.ParseID(text)
		if err != nil || id.String() != text {
			t.Errorf("%q is %v, %v", text, id, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "4.", "4.0", ".2", "4.-1", "x", "4.2.1", "1e3", " 1"} {
		if id, err := store.ParseID(text); err == nil {
			t.Errorf("%q is taken for %v", text, id)
		}
	}
}
