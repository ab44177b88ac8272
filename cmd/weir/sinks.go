package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/sink"
)

// sinks are where the events of a run go beside the history and the dashboard.
type sinks struct {
	to []string // of --send

	file    *sink.File // nil: not watched, and an error ends the run
	sending []*sink.Network
	lines   *event.Writer // to all that are sending
	hup     chan os.Signal
}

func (o *sinks) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&o.to, "send", nil, "send the events to tcp://HOST:PORT, udp://HOST:PORT or syslog: as well; several times for several")
}

// check tells what is wrong with the flags.
func (o *sinks) check() error {
	for _, to := range o.to {
		if _, _, err := sink.Parse(to); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// start begins to send, and opens the file (--output) that events are written to. A run that watches adds to what is there, so that
// whoever starts it again loses nothing; its file may be full or gone, and SIGHUP opens it anew. finish ends all.
func (o *sinks) start(name string, watching bool) (w io.Writer, finish func(error) error, err error) {
	tell := func(text string) { slog.Warn(text) }
	if watching && name != "" && name != "-" {
		if o.file, err = sink.Open(name, tell); err != nil {
			return nil, nil, err
		}
		o.hup = make(chan os.Signal, 1)
		signal.Notify(o.hup, syscall.SIGHUP)
		w, finish = o.file, func(err error) error {
			signal.Stop(o.hup)
			if closed := o.file.Close(); err == nil {
				err = closed
			}
			return err
		}
	} else if w, finish, err = output(name); err != nil {
		return nil, nil, err
	}
	for _, to := range o.to {
		n, err := sink.Dial(to, tell)
		if err != nil {
			return nil, nil, o.end(finish)(err)
		}
		o.sending = append(o.sending, n)
	}
	o.lines = event.NewWriter(lineSinks(o.sending))
	return w, o.end(finish), nil
}

// drain is how long what waits may take to be sent at the end, to all at the same time.
const drain = 2 * time.Second

func (o *sinks) end(finish func(error) error) func(error) error {
	return func(err error) error {
		var closing sync.WaitGroup
		for _, n := range o.sending {
			closing.Go(func() { n.Close(drain) })
		}
		closing.Wait()
		lost := map[string]uint64{}
		o.addLost(lost)
		for _, reason := range slices.Sorted(maps.Keys(lost)) {
			slog.Warn(fmt.Sprintf("%d events were lost on their way out: %s", lost[reason], reason))
		}
		return finish(err)
	}
}

// beside returns what sends an event, and then gives it to another, nil: to nobody.
func (o *sinks) beside(next func(*event.Event) error) func(*event.Event) error {
	if len(o.to) == 0 {
		return next
	}
	return func(e *event.Event) error {
		if err := o.lines.Write(e); err != nil {
			return err
		}
		if err := o.lines.Flush(); err != nil { // a line at a time
			return err
		}
		if next == nil {
			return nil
		}
		return next(e)
	}
}

// counted returns what adds the losses to statistics before anyone sees them.
func (o *sinks) counted(next func(*event.Event) error) func(*event.Event) error {
	if next == nil || o.file == nil && len(o.to) == 0 {
		return next
	}
	return func(e *event.Event) error {
		if e.Stats != nil {
			o.addLost(e.Stats.Drops)
		}
		return next(e)
	}
}

func (o *sinks) addLost(counts map[string]uint64) {
	for _, n := range o.sending {
		n.AddLost(counts)
	}
	if o.file != nil {
		o.file.AddLost(counts)
	}
}

// flush returns what flushes the events, and opens the file anew when that was asked for.
func (o *sinks) flush(events func() error) func() error {
	return func() error {
		if err := events(); err != nil || o.file == nil {
			return err
		}
		select {
		case <-o.hup:
			o.file.Reopen()
		default:
		}
		return nil
	}
}

// lineSinks gives every line to all.
type lineSinks []*sink.Network

func (all lineSinks) Write(line []byte) (int, error) {
	for _, n := range all {
		n.Write(line)
	}
	return len(line), nil
}
