package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
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
