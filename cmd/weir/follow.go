package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/sensor"
)

// follow has a run take over the versions that are promoted or rolled back to while it runs, of models that were named without
// a version. A goroutine of its own looks at the registry, loads and compiles; the sensor's only changes over.
type follow struct {
	replay bool // also behind -r

	took func(*anomaly.Model, string) // told of a detector that judges from here on; nil: nobody is

	every  time.Duration // between looks at the registry; 0: followEvery
	mu     sync.Mutex    // of the next two, and of beginning and ending
	closed bool
	models []*followed // there may come more
	ready  chan takeover
	retry  *takeover // that there was no room for yet
	stop   context.CancelFunc
	looks  sync.WaitGroup

	wish atomic.Pointer[map[model.Kind]string] // other models to use; nil: those that are known
}

// followEvery is how soon a promoted version is noticed.
const followEvery = time.Second

// followed is a model of the run. Each is known to the goroutine of follow alone.
type followed struct {
	kind model.Kind
	name string // as given, with @VERSION or without
	seen string // version that was handed over, or told to be of no use
	told string // of the registry's error
}

// takeover is a version that is to be used: one of the models, or the error that keeps it from that.
type takeover struct {
	ref     string
	apps    *classify.Model
	anomaly *anomaly.Model
	err     error
}

func (f *follow) flags(c *cobra.Command) {
	c.Flags().BoolVar(&f.replay, "follow-models", false, "behind -r as well, take over versions promoted meanwhile of models named without @VERSION; live that is always so")
}

// check refuses what goes not together.
func (f *follow) check(live, stored bool) error {
	switch {
	case f.replay && live:
		return usageError{errors.New("--follow-models goes with -r alone: an interface is watched so in any case")}
	case f.replay && stored:
		return usageError{errors.New("--follow-models goes without --store: a capture that is stored must give the same events when it is read again")}
	}
	return nil
}

// start begins to look for other versions of the models of a run, which are named as given and as found.
func (f *follow) start(g *shared, live bool, names map[model.Kind][2]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready = make(chan takeover)
	if !live && !f.replay {
		return
	}
	for _, kind := range []model.Kind{model.Apps, model.Anomaly} {
		if given, ref := names[kind][0], names[kind][1]; given != "" {
			_, version, _ := strings.Cut(ref, "@")
			f.models = append(f.models, &followed{kind: kind, name: given, seen: version})
		}
	}
	if len(f.models) > 0 {
		f.begin(g)
	}
}

// also has the run take over a detector that it was not given, or does not follow, from now on. The caller has promoted a version.
func (f *follow) also(g *shared, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := slices.ContainsFunc(f.models, func(m *followed) bool { return m.kind == model.Anomaly && m.name == name })
	if !known {
		f.models = append(f.models, &followed{kind: model.Anomaly, name: name})
	}
	if f.stop == nil && !f.closed {
		f.begin(g)
	}
}

// follows reports whether the run takes over the versions of a model that are promoted from now on. Whoever may ask.
func (f *follow) follows(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stop != nil && !f.closed && slices.ContainsFunc(f.models, func(m *followed) bool { return m.name == name })
}

// begin looks at the registry from now on. The caller holds mu.
func (f *follow) begin(g *shared) {
	if f.every == 0 {
		f.every = followEvery
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.looks.Go(func() {
		for {
			f.mu.Lock()
			models := slices.Clone(f.models)
			if names := f.wish.Swap(nil); names != nil {
				for _, m := range models {
					if name := (*names)[m.kind]; name != "" { // "": one that was learned
						m.rename(name)
					}
				}
			}
			f.mu.Unlock()
			for _, m := range models {
				t, news := m.look(g)
				if !news {
					continue
				}
				select {
				case f.ready <- t:
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-time.After(f.every):
			case <-ctx.Done():
				return
			}
		}
	})
}

// use has a run that follows models look for others of the same kinds.
func (f *follow) use(names map[model.Kind]string) { f.wish.Store(&names) }

// rename makes it another model.
func (m *followed) rename(name string) {
	if name != m.name {
		m.name, m.seen, m.told = name, "", ""
	}
}

// close ends the looking.
func (f *follow) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	if f.stop != nil {
		f.stop()
		f.looks.Wait()
	}
}

// look reports whether another version is live than before, and loads it. What is wrong is told once.
func (m *followed) look(g *shared) (t takeover, news bool) {
	name, version, pinned := strings.Cut(m.name, "@")
	var err error
	if !pinned {
		version, err = g.registry().Live(name)
	}
	if err != nil {
		if news = err.Error() != m.told; news {
			m.told = err.Error()
		}
		return takeover{ref: m.name, err: err}, news
	}
	m.told = ""
	if version == m.seen {
		return t, false
	}
	m.seen = version
	t.ref = name + "@" + version
	if m.kind == model.Apps {
		if t.apps, _, t.err = g.loadApps(t.ref); t.err == nil {
			t.apps.Engine() // compiles the networks
		}
		return t, true
	}
	if t.anomaly, _, t.err = g.loadAnomaly(t.ref); t.err == nil {
		t.anomaly.NewDetector()
	}
	return t, true
}

// turn has a sensor take over what is ready, and tells it. It is called between packets and never waits.
func (f *follow) turn(g *shared, s *sensor.Sensor) {
	var t takeover
	if f.retry != nil {
		t, f.retry = *f.retry, nil
	} else {
		select {
		case t = <-f.ready:
		default:
			return
		}
	}
	err := t.err
	switch {
	case err != nil:
	case t.apps != nil:
		err = s.PromoteApps(t.apps)
	default:
		err = s.PromoteAnomaly(t.anomaly, t.ref)
	}
	switch {
	case errors.Is(err, sensor.ErrUndecided):
		f.retry = &t
	case err != nil:
		s.Refuse()
		slog.Warn(fmt.Sprintf("%s was promoted and is not used, the version before goes on: %v", t.ref, err), "model", t.ref)
	default:
		if f.took != nil && t.anomaly != nil {
			f.took(t.anomaly, t.ref)
		}
		g.info("%s is in use from here on", t.ref)
	}
}

// around returns what gives packets to a sensor as add does, and turns before.
func (f *follow) around(g *shared, s *sensor.Sensor, add func(*capture.Reader, []capture.Packet) error) func(*capture.Reader, []capture.Packet) error {
	return func(r *capture.Reader, batch []capture.Packet) error {
		f.turn(g, s)
		return add(r, batch)
	}
}

// before returns a function that turns and then calls next.
func (f *follow) before(g *shared, s *sensor.Sensor, next func() error) func() error {
	return func() error {
		f.turn(g, s)
		return next()
	}
}

// appsName is the NAME@VERSION of the model of applications, "" without one.
func appsName(cfg *sensor.Config) string {
	if cfg.Apps == nil {
		return ""
	}
	return cfg.Apps.Name
}
