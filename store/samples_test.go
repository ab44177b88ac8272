package store_test

import (
	"database/sql"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

// sampled is a label with a sample in a direction.
func sampled(n int, embedding []int8) event.Event {
	return event.Event{Nanos: int64(n) * 1e9, Type: event.TypeLabel, Tuple: &event.Tuple{FlowID: uint64(n), SrcIP: "10.0.0.1", DestIP: "10.0.0.2", Proto: "TCP"}, Label: &event.Label{
		App: "a", Novel: true, Model: "m@1", Sample: &event.Sample{Start: event.Time(n) * 1e9, Embedding: embedding, Limit: 0.9, Opening: []byte("\x01secret payload")},
	}}
}

// The database of samples is for its owner alone, comes with the first sample, and can be removed without harm to the rest.
func TestSamplesFile(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, small)
	fill(t, w, storetest.NewGenerator(1, 10).Take(1000), true) // as an older weir leaves it
	path := filepath.Join(dir, "samples.db")
	if _, err := os.Stat(path); err == nil {
		t.Fatal("there is a database of samples without any")
	}
	old, err := store.Open(dir)
	must(t, err)
	defer old.Close()
	groups, err := old.Groups(ctx, store.GroupQuery{})
	must(t, err)
	if len(groups) != 0 {
		t.Errorf("groups of no samples: %v", groups)
	}
	at, err := w.Begin(ctx, store.Source{Name: "second"})
	must(t, err)
	at.Ordinal++
	must(t, w.Append(ctx, []event.Event{sampled(1, []int8{127, 0})}, at))
	for _, name := range []string{"samples.db", "samples.db-wal", "samples.db-shm"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
			t.Errorf("%s has the mode %v", name, info.Mode())
		}
		if err != nil && name == "samples.db" {
			t.Error(err)
		}
	}
	if groups, err = old.Groups(ctx, store.GroupQuery{}); err != nil || len(groups) != 1 {
		t.Errorf("groups %v, %v", groups, err)
	}
	// A group that is not there is no fault of a database.
	if _, err := old.Correct(ctx, store.Correction{App: "x", Group: 99}); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("a group that is not there: %v", err)
	}
	// What is forgotten is not in the file any more.
	if n, err := old.Forget(ctx, false); n != 1 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	for _, name := range []string{"samples.db", "samples.db-wal"} {
		if data, _ := os.ReadFile(filepath.Join(dir, name)); strings.Contains(string(data), "secret payload") {
			t.Errorf("%s still has what was forgotten", name)
		}
	}
	must(t, w.Close())
	// Damaged, it is told of; all else is there. Removed, all is well.
	must(t, os.WriteFile(path, []byte("no database, but long enough to be taken for one: "+strings.Repeat("x", 4096)), 0o600))
	if _, err := old.Groups(ctx, store.GroupQuery{}); err == nil || !strings.Contains(err.Error(), "samples.db") {
		t.Errorf("a damaged database of samples: %v", err)
	}
	if _, errs := read(old, store.FlowQuery{}); len(errs) > 0 {
		t.Error(errs)
	}
	must(t, os.Remove(path))
	w = create(t, dir, small)
	at, err = w.Begin(ctx, store.Source{Name: "third"})
	must(t, err)
	at.Ordinal++
	must(t, w.Append(ctx, []event.Event{sampled(2, []int8{127, 0})}, at))
	if groups, err = w.Groups(ctx, store.GroupQuery{}); err != nil || len(groups) != 1 || groups[0].Flows != 1 {
		t.Errorf("after it was removed: groups %v, %v", groups, err)
	}
}

// Who reads while samples are forgotten keeps the log from being overwritten, and that is told.
func TestForgetBesideReader(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the reader")
	}
	dir := t.TempDir()
	w := create(t, dir, small)
	at, err := w.Begin(ctx, store.Source{Name: "first"})
	must(t, err)
	at.Ordinal++
	must(t, w.Append(ctx, []event.Event{sampled(1, []int8{127, 0})}, at))
	db, err := sql.Open("sqlite", filepath.Join(dir, "samples.db"))
	must(t, err)
	defer db.Close()
	read, err := db.Begin()
	must(t, err)
	var n int
	must(t, read.QueryRow("SELECT count(*) FROM samples").Scan(&n))
	if n, err := w.Forget(ctx, false); n != 1 || !errors.Is(err, store.ErrLocked) {
		t.Errorf("beside a reader: %d forgotten, %v", n, err)
	}
	must(t, read.Rollback())
	if _, err := w.Forget(ctx, false); err != nil {
		t.Errorf("without: %v", err)
	}
	if data, _ := os.ReadFile(filepath.Join(dir, "samples.db-wal")); strings.Contains(string(data), "secret payload") {
		t.Error("the log still has what was forgotten")
	}
}

// Flows that are like none of as many groups as there may be belong to none; there are no more groups, and they are kept.
func TestGroupsAreBounded(t *testing.T) {
	w := create(t, t.TempDir(), small)
	r := rand.New(rand.NewPCG(3, 4))
	var events []event.Event
	for n := range 1200 {
		v := make([]int8, 96)
		for i := range v {
			v[i] = int8(r.IntN(255) - 127)
		}
		events = append(events, sampled(n, v))
	}
	at, err := w.Begin(ctx, store.Source{Name: "flood"})
	must(t, err)
	must(t, w.Append(ctx, events, at))
	groups, err := w.Groups(ctx, store.GroupQuery{})
	must(t, err)
	n := 0
	for _, err := range w.Samples(ctx, store.SampleQuery{}) {
		must(t, err)
		n++
	}
	if len(groups) != 512 || n != 1200 {
		t.Errorf("%d groups of %d samples, want 512 of 1,200", len(groups), n)
	}
	// When the oldest go, groups that are empty make room for others.
	removed, err := w.Maintain(ctx, store.Policy{Age: 1, Now: 1000e9})
	must(t, err)
	must(t, w.Append(ctx, []event.Event{sampled(2000, events[0].Label.Sample.Embedding)}, at))
	groups, err = w.Groups(ctx, store.GroupQuery{})
	must(t, err)
	if removed.Samples != 1000 || len(groups) != 1 || groups[0].ID <= 512 {
		t.Errorf("%d removed, then %d groups, the first is %d", removed.Samples, len(groups), groups[0].ID)
	}
}
