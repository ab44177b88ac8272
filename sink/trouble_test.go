package sink

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestTrouble wants the first changes told at once, of more no more than one a minute with how many were not told, and the last state told in the end.
func TestTrouble(t *testing.T) {
	var told []string
	now := time.Unix(1_000_000, 0)
	how := trouble{tell: func(text string) { told = append(told, text) }, now: func() time.Time { return now }}
	fails := func() { how.fails("not sent", errors.New("refused")) }
	works := func() { how.works(func() string { return "sent again" }) }
	works()
	fails()
	fails()
	works()
	works()
	if got := strings.Join(told, "|"); got != "not sent: refused|sent again" {
		t.Fatalf("one failure is told as %q", got)
	}
	// An hour of a collector that comes and goes ten times a second.
	told = nil
	for range 60 * 60 * 10 {
		now = now.Add(100 * time.Millisecond)
		fails()
		works()
	}
	if len(told) < 58 || len(told) > 64 {
		t.Errorf("in an hour %d lines are told", len(told))
	}
	if want := "; it has begun or ended 1199 times since this was told last"; !strings.HasSuffix(told[10], want) && !strings.HasSuffix(told[10], strings.Replace(want, "1199", "1200", 1)) {
		t.Errorf("the tenth minute is told as %q", told[10])
	}
	// What it came to is told when there is room again.
	told = nil
	for range 100 {
		now = now.Add(time.Second)
		works()
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], "sent again") {
		t.Errorf("after it all is told %q", told)
	}
	// Long afterwards a failure is told at once, as the first was.
	told = nil
	now = now.Add(time.Hour)
	fails()
	now = now.Add(time.Second)
	works()
	if got := strings.Join(told, "|"); got != "not sent: refused|sent again" {
		t.Errorf("a later failure is told as %q", got)
	}
}
