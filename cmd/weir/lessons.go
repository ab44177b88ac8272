package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/learn"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/sensor"
)

// lessons let a person learn a detector from a run with a dashboard, which collects the windows that it counts. Training is a
// process of its own: see docs/rationale.md.
type lessons struct {
	learner *learn.Learner // nil without a dashboard
}

// start makes a learner for a run whose detector was named so, "" for none.
func (l *lessons) start(g *shared, d *dashboard, cfg *sensor.Config, detector string, in *input, promoted *follow, sources []string, watching bool, store string) (err error) {
	if d.listener == nil {
		return nil
	}
	name, _, pinned := strings.Cut(cmp.Or(detector, "anomaly"), "@")
	// A capture that is stored must give the same events when it is read again.
	takes := !pinned && (watching || store == "")
	l.learner = learn.New(learn.Config{
		Model: name,
		Ready: func() error {
			return errors.Join(g.checkModelName(name, model.Anomaly), writable(filepath.Join(g.registry().Dir, name)))
		},
		Train: func(ctx context.Context, t *learn.Task, progress func(done, of int)) (*learn.Result, error) {
			return g.trainBeside(ctx, &lessonTask{Task: t, Tunnels: in.tunnels, Filter: in.filter.String()}, progress)
		},
		Promote: func(ref string) (bool, error) {
			if err := g.registry().Promote(ref); err != nil {
				return false, err
			}
			if takes {
				promoted.also(g, name)
			}
			return takes, nil
		},
	})
	if cfg.Anomaly != nil {
		l.uses(cfg.Anomaly, cfg.AnomalyName)
	}
	cfg.OnWindow = l.learner.Add
	promoted.took = l.uses
	if watching && store != "" {
		return l.learner.Keep(filepath.Join(store, "lesson.jsonl"), strings.Join(sources, ","))
	}
	return nil
}

// uses tells the learner which detector judges from here on.
func (l *lessons) uses(m *anomaly.Model, ref string) {
	if l.learner != nil {
		l.learner.Uses(ref, learn.Count{Length: m.Length, Home: m.Home})
	}
}

// turn has a sensor count what is to be learned from. It is called between packets.
func (l *lessons) turn(s *sensor.Sensor) {
	if l.learner == nil {
		return
	}
	if c, news := l.learner.Turn(); news {
		l.learner.Counting(s.CountWindows(c.Length, c.Home))
	}
}

// around returns what gives packets to a sensor as add does, and turns before.
func (l *lessons) around(s *sensor.Sensor, add func(*capture.Reader, []capture.Packet) error) func(*capture.Reader, []capture.Packet) error {
	return func(r *capture.Reader, batch []capture.Packet) error {
		l.turn(s)
		return add(r, batch)
	}
}

// before returns a function that turns and then calls next.
func (l *lessons) before(s *sensor.Sensor, next func() error) func() error {
	return func() error {
		l.turn(s)
		return next()
	}
}

// told returns what says in statistics how far learning is, and gives the event to next, which may be nil.
func (l *lessons) told(next func(*event.Event) error) func(*event.Event) error {
	if next == nil {
		return nil
	}
	return func(e *event.Event) error {
		if e.Stats != nil && l.learner != nil {
			if phase, windows, share := l.learner.Counts(); phase != learn.Idle {
				e.Stats.Learning = &event.Learning{Phase: string(phase), Windows: windows, Share: share}
			}
		}
		return next(e)
	}
}

// end says that nothing more is watched.
func (l *lessons) end() {
	if l.learner != nil {
		l.learner.End()
	}
}

// close ends training that goes on.
func (l *lessons) close() {
	if l.learner != nil {
		l.learner.Close()
	}
}

// writable reports, as an error, that no model can be kept in a directory. A day is too long to find out.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// lessonTask is what the process that trains reads as JSON.
type lessonTask struct {
	*learn.Task
	Tunnels bool   `json:"tunnels"`
	Filter  string `json:"filter"` // flag that said which packets count
}

// lessonNews is what it answers, a line each: how far it is, and in the end the result.
type lessonNews struct {
	Done   int           `json:"done,omitempty"`
	Of     int           `json:"of,omitempty"`
	Result *learn.Result `json:"result,omitempty"`
}

// trainBeside trains in another process of this program, nice where the system knows that, on half of the processors: the packets
// go first, and the memory of training is gone with it.
func (g *shared) trainBeside(ctx context.Context, t *lessonTask, progress func(done, of int)) (*learn.Result, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{program, "--models", g.registry().Dir, "--workers", strconv.Itoa(max(g.workers/2, 1)), "-q", lessonCommand}
	if nice, err := exec.LookPath("nice"); err == nil {
		args = append([]string{nice, "-n", "10"}, args...)
	}
	child := exec.CommandContext(ctx, args[0], args[1:]...)
	child.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(max(g.workers/2, 1)))
	child.WaitDelay = 5 * time.Second
	var faults bytes.Buffer
	child.Stderr = &faults
	in, err := child.StdinPipe() // it stays open: when it ends, so does the child
	if err != nil {
		return nil, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	task, err := json.Marshal(t)
	if err == nil {
		_, err = in.Write(append(task, '\n'))
	}
	var result *learn.Result
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var news lessonNews
		if json.Unmarshal(lines.Bytes(), &news) != nil {
			continue
		}
		if news.Result != nil {
			result = news.Result
		} else {
			progress(news.Done, news.Of)
		}
	}
	waited := child.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case waited != nil:
		told := strings.Split(strings.TrimSpace(faults.String()), "\n")
		return nil, errors.New(cmp.Or(told[len(told)-1], waited.Error()))
	case result == nil:
		return nil, cmp.Or(err, errors.New("the process that trains gave no result"))
	}
	return result, nil
}

// lessonCommand trains for a dashboard and is not for people.
const lessonCommand = "train-lesson"

func newTrainLesson(g *shared) *cobra.Command {
	return &cobra.Command{
		Use: lessonCommand, Hidden: true, Args: cobra.NoArgs, Short: "Train from the windows of a lesson on standard input, as the dashboard of a run does",
		RunE: func(c *cobra.Command, _ []string) error {
			return g.trainLesson(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}

func (g *shared) trainLesson(ctx context.Context, in io.Reader, out io.Writer) error {
	started := time.Now()
	var t lessonTask
	d := json.NewDecoder(in)
	if err := d.Decode(&t); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // who asked is gone when this ends
		io.Copy(io.Discard, io.MultiReader(d.Buffered(), in))
		stop()
	}()
	answers := json.NewEncoder(out)
	f := &anomalyFlags{model: t.Model, noPromote: true, fresh: true, onEpoch: func(done, of int) { answers.Encode(lessonNews{Done: done, Of: of}) }}
	f.in.tunnels = t.Tunnels
	f.options.Promise, f.options.Epochs, f.options.Seed = t.PerDay, t.Epochs, 1
	segments := learn.Segments(t.Windows)
	learned := anomalyTraining{Filter: t.Filter}
	if n := len(t.Windows); n > 0 {
		learned.From, learned.Until = t.Windows[0].Start, t.Windows[n-1].Start+int64(t.Length)
	}
	ref, err := g.fitAnomaly(ctx, f, meter.Config{Window: t.Length, Home: t.Home}, segments, learned, t.Notes, started)
	if err != nil {
		return err
	}
	m, _, err := g.loadAnomaly(ref)
	if err != nil {
		return err
	}
	r := &learn.Result{Ref: ref, Threshold: m.Threshold.Value, Promise: m.Threshold.String(), PerDay: m.Threshold.PerDay, Live: t.Live}
	for i := range t.Windows {
		if t.Windows[i].Left {
			r.Left++
		} else {
			r.Windows++
		}
	}
	r.Alarms, r.AlarmsLeft = alarms(m, t.Windows)
	if t.Live != "" {
		if live, _, err := g.loadAnomaly(t.Live); err != nil {
			r.Live, r.LiveMissing = "", err.Error()
		} else if live.Length != m.Length || !slices.Equal(live.Home, m.Home) || live.Tunnels != m.Tunnels {
			r.Live, r.LiveMissing = "", fmt.Sprintf("%s judges other windows", t.Live)
		} else {
			r.LiveAlarms, r.LiveOnLeft = alarms(live, t.Windows)
		}
	}
	return answers.Encode(lessonNews{Result: r})
}

// alarms counts the windows that a detector raises an alert for, among those that are learned from and among the others, as they came.
func alarms(m *anomaly.Model, windows []learn.Window) (kept, left int) {
	d := m.NewDetector()
	for i := range windows {
		w := &windows[i]
		if w.Gap {
			d.Reset()
		}
		if d.Score(w.Vector).Anomalous {
			if w.Left {
				left++
			} else {
				kept++
			}
		}
	}
	return kept, left
}
