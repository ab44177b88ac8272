package main

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// scriptSameScores wants N alerts at least, and the last one, of PART to be in WHOLE with the same score to the last digit (windows
// before those of the alerts asked for are there for their context, and lack their own): samescores WHOLE PART N
func scriptSameScores(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 3, "samescores whole.jsonl part.jsonl n")
	type alert struct {
		Start string
		Score json.Number
	}
	alerts := func(file string) (found []alert) {
		for line := range strings.Lines(ts.ReadFile(file)) {
			var e struct{ Alert *alert }
			ts.Check(json.Unmarshal([]byte(line), &e))
			if e.Alert != nil {
				found = append(found, *e.Alert)
			}
		}
		return found
	}
	whole, part := alerts(args[0]), alerts(args[1])
	same := 0
	for i, a := range part {
		if slices.Contains(whole, a) {
			same++
		} else if i == len(part)-1 {
			ts.Fatalf("the window of %s scores %s in the part, not in the whole", a.Start, a.Score)
		}
	}
	if n, err := strconv.Atoi(args[2]); err != nil || same < n {
		ts.Fatalf("%d of %d alerts score the same, want %s", same, len(part), args[2])
	}
}

// An exclusion that is made while interfaces are watched holds a second later; while captures are read, those hold that did at the start.
func TestExclusionsArePickedUp(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	w, err := store.Create(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	h := &history{store: w}
	watching, err := h.exclusions(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	reading, err := h.exclusions(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	a := &event.Alert{Features: []event.Feature{{Name: "syn", Share: 1}}}
	if watching(a) != 0 || reading(a) != 0 {
		t.Fatal("an exclusion before there is one")
	}
	other, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	id, err := other.Exclude(ctx, store.Exclusion{Feature: "syn"})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(exclusionsEvery + 50*time.Millisecond)
	if got := watching(a); got != id {
		t.Errorf("watching: exclusion %d, want %d", got, id)
	}
	if got := reading(a); got != 0 {
		t.Errorf("reading: exclusion %d", got)
	}
	if err := other.RemoveExclusion(ctx, id); err != nil {
		t.Fatal(err)
	}
	time.Sleep(exclusionsEvery + 50*time.Millisecond)
	if got := watching(a); got != 0 {
		t.Errorf("watching, taken back: exclusion %d", got)
	}
}
