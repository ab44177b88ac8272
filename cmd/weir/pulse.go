package main

import (
	"sync/atomic"
	"time"

	"github.com/weirnet/weir/web"
)

// pulse tells others whether a run began and whether it goes on. One goroutine beats, any number ask.
type pulse struct {
	began atomic.Int64 // Unix nanoseconds; 0: not yet
	last  atomic.Int64 // beat, Unix nanoseconds; 0: reading captures, which takes what time it takes
}

// stall is how long a run that watches may do nothing and still be well: it beats ten times a second, also without packets.
const stall = 30 * time.Second

// begin says that packets are looked at from now on.
func (p *pulse) begin() { p.began.Store(time.Now().UnixNano()) }

// ready reports whether begin was called.
func (p *pulse) ready() bool { return p.began.Load() != 0 }

// healthy reports whether a run that watches has beaten lately.
func (p *pulse) healthy() bool { return p.healthyAt(time.Now()) }

func (p *pulse) healthyAt(now time.Time) bool { return p.within(now, stall) }

// within reports whether a run that watches has beaten in the time before now.
func (p *pulse) within(now time.Time, d time.Duration) bool {
	last := p.last.Load()
	return last == 0 || now.Sub(time.Unix(0, last)) < d
}

// beside returns what beats and then does something.
func (p *pulse) beside(next func() error) func() error {
	return func() error {
		p.last.Store(time.Now().UnixNano())
		return next()
	}
}

// shown lets a dashboard ask.
func (p *pulse) shown(c web.Config) web.Config {
	c.Healthy, c.Ready = p.healthy, p.ready
	return c
}
