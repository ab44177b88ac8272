package sink

import (
	"fmt"
	"time"
)

// trouble tells people that what is written to fails, and that it works again. Some changes are told at once; of more, no more than
// one a minute, with how many were not told: a collector that comes and goes must not fill the log. Used by one goroutine.
type trouble struct {
	tell func(string)
	now  func() time.Time // nil: time.Now

	failing bool
	left    uint64    // changes that were not told
	room    int       // changes that may be told yet
	since   time.Time // room has been growing
}

// Changes that may be told at once, and how soon there is room for another.
const (
	burst     = 4
	changeFor = time.Minute
)

// fails says that something was not taken, and why.
func (t *trouble) fails(what string, err error) {
	if !t.failing {
		t.failing = true
		t.left++
	}
	t.poll(func() string { return fmt.Sprintf("%s: %v", what, err) })
}

// works says that something was taken; what is asked for when it is told.
func (t *trouble) works(what func() string) {
	if t.failing {
		t.failing = false
		t.left++
	}
	t.poll(what)
}

// poll tells how it is now, unless nothing has changed since that was told last, or there is no room.
func (t *trouble) poll(what func() string) {
	if t.left == 0 {
		return
	}
	now := time.Now()
	if t.now != nil {
		now = t.now()
	}
	if t.since.IsZero() {
		t.room, t.since = burst, now
	}
	if grown := int(now.Sub(t.since) / changeFor); grown > 0 {
		t.room, t.since = min(t.room+grown, burst), t.since.Add(time.Duration(grown)*changeFor)
	}
	if t.room == 0 {
		return
	}
	t.room--
	text := what()
	if t.left > 1 {
		text += fmt.Sprintf("; it has begun or ended %d times since this was told last", t.left)
	}
	t.left = 0
	t.tell(text)
}
