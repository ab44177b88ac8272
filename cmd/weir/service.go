package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/systemd"
)

// service is a run as a service manager sees it: it tells how the run is, and has SIGHUP read the configuration again.
type service struct {
	manager *systemd.Manager
	g       *shared
	run     *runner
	words   []string
	alive   *pulse
	running settings // what holds
	hup     chan os.Signal
	what    string // is watched
	counts  atomic.Pointer[string]
	refused atomic.Pointer[string] // why the configuration was not taken over
	stop    context.CancelFunc
	work    sync.WaitGroup
	silent  sync.Once // a manager that cannot be told is told of once
}

// begin begins to listen to signals: a run that watches an interface is not ended by SIGHUP when there is something to open or read
// anew. end must be called at the end.
func (s *service) begin(g *shared, run *runner, words []string, alive *pulse, watching bool, file string) (end func()) {
	s.manager, s.g, s.run, s.words, s.alive, s.running = systemd.New(os.Getenv), g, run, words, alive, run.from
	s.hup = make(chan os.Signal, 1)
	if watching && (run.from.file != "" || file != "" && file != "-" || s.manager.There()) {
		signal.Notify(s.hup, syscall.SIGHUP)
	}
	return func() {
		s.settle()
		signal.Stop(s.hup)
	}
}

// watch says that the run has begun, and looks after it until settle is called. That ctx ends is told.
func (s *service) watch(ctx context.Context, what string) {
	s.what = what
	inner, stop := context.WithCancel(ctx)
	s.stop = stop
	s.tell(systemd.Ready, s.status())
	if s.manager.There() {
		s.work.Go(func() { s.report(inner) })
	}
	s.work.Go(func() {
		for {
			select {
			case <-s.hup:
				s.reload()
			case <-inner.Done():
				return
			}
		}
	})
}

// settle ends what watch began.
func (s *service) settle() {
	if s.stop != nil {
		s.stop()
		s.work.Wait()
		s.stop = nil
	}
}

// statusEvery is how often the manager gets a new line for people.
const statusEvery = 10 * time.Second

// report tells the manager that the run does its work, as long as it does, and at last that it ends.
func (s *service) report(ctx context.Context) {
	every := statusEvery
	if dog := s.manager.Watchdog(); dog > 0 {
		every = min(every, dog/4)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	told := time.Now()
	for {
		select {
		case <-ctx.Done():
			s.tell(systemd.Stopping, systemd.Status("ending"))
			return
		case now := <-tick.C:
			var lines []string
			if s.works(now) {
				lines = append(lines, systemd.Alive)
			}
			if now.Sub(told) >= statusEvery {
				told = now
				lines = append(lines, s.status())
			}
			if len(lines) > 0 {
				s.tell(lines...)
			}
		}
	}
}

// works reports whether a watchdog is to be told that packets are looked at. Of its patience half is for a run to be seen to stand still, and the
// rest for it to go on.
func (s *service) works(now time.Time) bool {
	dog := s.manager.Watchdog()
	return dog > 0 && s.alive.within(now, dog/2)
}

func (s *service) tell(lines ...string) {
	if err := s.manager.Send(lines...); err != nil {
		s.silent.Do(func() { slog.Warn(fmt.Sprintf("the service manager does not listen: %v", err)) })
	}
}

// status is the line for people.
func (s *service) status() string {
	text := "watching " + s.what
	if counts := s.counts.Load(); counts != nil {
		text += ": " + *counts
	}
	if refused := s.refused.Load(); refused != nil {
		text += "; the configuration was not taken over: " + *refused
	}
	return systemd.Status(printable(text))
}

// beside returns what keeps the counts of an event for the status, and then gives it to another, nil: to nobody.
func (s *service) beside(next func(*event.Event) error) func(*event.Event) error {
	if !s.manager.There() {
		return next
	}
	return func(e *event.Event) error {
		if st := e.Stats; st != nil {
			text := fmt.Sprintf("%d packets, %d flows, %d alerts", st.Packets, st.Flows, st.Alerts)
			s.counts.Store(&text)
		}
		if next == nil {
			return nil
		}
		return next(e)
	}
}

// changeable are the keys whose values a run that is going takes over.
var changeable = []string{"anomaly", "apps", "log-level", "store-bytes", "store-days"}

// reload reads the configuration again and takes over what has changed and can be. One that is wrong is left alone.
func (s *service) reload() {
	s.tell(systemd.Reloading())
	defer func() { s.tell(systemd.Ready, s.status()) }()
	if s.running.file == "" {
		return // there is nothing but flags; files are opened anew by those who write them, and models are followed
	}
	fresh, g, err := s.read()
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		s.refused.Store(&text)
		slog.Error("the configuration is not taken over, the one before goes on:")
		tellError(err)
		return
	}
	s.refused.Store(nil)
	changed := fresh.from.changed(&s.running)
	changed = slices.DeleteFunc(changed, func(name string) bool { // to begin to label, or to stop, is another run
		other := (name == "apps" || name == "anomaly") && (fresh.from.values[name][0] == "") != (s.running.values[name][0] == "")
		return !slices.Contains(changeable, name) || other
	})
	var later []string
	for _, name := range fresh.from.changed(&s.running) {
		if !slices.Contains(changed, name) {
			later = append(later, name)
		}
	}
	for _, name := range changed {
		s.running.values[name] = fresh.from.values[name]
	}
	if slices.Contains(changed, "log-level") {
		g.logJSON = s.g.logJSON
		if err := g.setLogger(); err != nil {
			slog.Error(err.Error())
		}
	}
	if slices.Contains(changed, "store-days") || slices.Contains(changed, "store-bytes") {
		s.run.keep.retain(fresh.keep.days, fresh.keep.bytes)
	}
	if names := fresh.named(); slices.Contains(changed, "apps") || slices.Contains(changed, "anomaly") {
		for kind, key := range map[model.Kind]string{model.Apps: "apps", model.Anomaly: "anomaly"} {
			names[kind] = s.running.values[key][0]
		}
		s.run.models.use(names)
	}
	if len(changed) > 0 {
		s.g.info("%s: taken over: %s", s.running.file, strings.Join(changed, ", "))
	} else if len(later) == 0 {
		s.g.info("%s: nothing has changed", s.running.file)
	}
	if len(later) > 0 {
		slog.Warn(fmt.Sprintf("%s: what has changed of %s takes a restart", s.running.file, strings.Join(later, ", ")), "keys", later)
	}
}

// read reads the configuration as the run did at its start, and checks it.
func (s *service) read() (*runner, *shared, error) {
	g := new(shared)
	fresh := newRunner(g)
	g.flags(fresh.Flags())
	from := &fresh.from
	from.file, from.sets = s.running.file, s.running.sets
	var errs []error
	for name, values := range s.running.given {
		errs = append(errs, set(fresh.Flags().Lookup(name), values))
	}
	if err := errors.Join(append(errs, from.apply(fresh.Flags(), s.running.words))...); err != nil {
		return nil, nil, err
	}
	_, err := g.level()
	return fresh, g, errors.Join(err, g.check(), fresh.check(s.words))
}
