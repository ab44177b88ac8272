package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/sensor"
)

// pace is how fast captures are replayed.
type pace struct{ speed float64 }

func (p *pace) flags(c *cobra.Command) {
	c.Flags().Float64Var(&p.speed, "speed", 0, "replay captures at so many times the speed that they were recorded at, pauses of more than 10 s cut short; 0: as fast as can be")
}

func (p *pace) check(live bool) error {
	switch {
	case p.speed < 0 || math.IsNaN(p.speed) || math.IsInf(p.speed, 0):
		return usageError{fmt.Errorf("--speed %v: want a number above 0", p.speed)}
	case p.speed > 0 && live:
		return usageError{errors.New("--speed goes with -r alone")}
	}
	return nil
}

// maxPause is the longest time without a packet that a replay waits: between captures there may be days.
const maxPause = 10 * time.Second

// slow returns what gives packets to a sensor when their time has come. What it gives, and so what comes of it, is the
// same at any speed.
func (p *pace) slow(ctx context.Context, s *sensor.Sensor) func(*capture.Reader, []capture.Packet) error {
	if p.speed == 0 {
		return func(r *capture.Reader, batch []capture.Packet) error { return s.Add(r.File(), batch) }
	}
	var (
		start time.Time // when the packet of time first was due
		first int64
		last  int64 // newest time of a packet
	)
	due := func(nanos int64) time.Time {
		return start.Add(time.Duration(min(float64(nanos-first)/p.speed, 1e17)))
	}
	return func(r *capture.Reader, batch []capture.Packet) error {
		for len(batch) > 0 {
			now := time.Now()
			if next := batch[0].Nanos; start.IsZero() || due(next).Sub(due(last)) > maxPause {
				wait := time.Duration(0)
				if !start.IsZero() {
					wait = maxPause
				}
				start, first, last = now.Add(wait), next, next
			}
			n := 0
			for n < len(batch) && !due(batch[n].Nanos).After(now) {
				last = max(last, batch[n].Nanos)
				n++
			}
			if n > 0 {
				if err := s.Add(r.File(), batch[:n]); err != nil {
					return err
				}
				batch = batch[n:]
				continue
			}
			s.Wait() // so that all that is known so far is told
			select {
			case <-time.After(min(time.Until(due(batch[0].Nanos)), 50*time.Millisecond)):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
}
