package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/learn"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/window"
)

// learnFlags are the flags of `weir learn`.
type learnFlags struct {
	anomalyFlags
	live    liveInput
	length  time.Duration // of the time to learn
	promote bool
}

func newLearn(g *shared) *cobra.Command {
	f := &learnFlags{anomalyFlags: anomalyFlags{noPromote: true, fresh: true}}
	none := false
	c := &cobra.Command{
		Use:   "learn -i IFACE [FILTER] | -r FILE…",
		Short: "Learn what is normal on a network, attacks left out",
		Long: `Watch a network for a while, and make a detector of what was normal in it. Windows that are unlike the
others are shown and left out, so that an attack does not become normal; so are those that lost packets.
What is learned becomes the live version with --promote, or when the question at the end is answered with y.
A weir run that is going on takes it over.

Ctrl-C ends the watching early; what was seen until then is learned if it is enough. A second one ends at once.`,
		Example: `  sudo weir learn -i eth0 --for 24h --anomaly office
  weir learn -r monday.pcap --anomaly office --promote`,
		RunE: func(c *cobra.Command, _ []string) error { return g.learn(c.Context(), f, c.InOrStdin()) },
	}
	f.in.flags(c)
	f.win.flags(c)
	f.late.flags(c)
	f.live.flags(c)
	c.PreRunE = f.live.orFiles(&f.in, &none, c.PreRunE)
	flags := c.Flags()
	flags.DurationVar(&f.length, "for", 0, "time to learn (default: 24h of an interface, all of captures)")
	flags.StringVar(&f.model, "anomaly", "anomaly", "name of the detector")
	flags.Float64Var(&f.options.FalseAlarms, "false-alarms", 0, "share of normal windows that may raise an alert (default 0.01)")
	flags.Float64Var(&f.options.Promise, "false-alarms-per-day", 0, "promise at most so many false alarms a day; what cannot be promised is refused")
	flags.IntVar(&f.options.Epochs, "epochs", 0, "passes over the windows (default by profile)")
	flags.Uint64Var(&f.options.Seed, "seed", 1, "seed of everything random")
	flags.BoolVar(&f.promote, "promote", false, "make what is learned the live version without asking")
	return c
}

// errEnough ends the reading when the time to learn is over.
var errEnough = errors.New("enough was learned")

// lesson is the windows seen so far, with progress.
type lesson struct {
	learn.Lesson
	bar  *progress
	told int // twentieths of the time that were told
	info func(string, ...any)
}

func (l *lesson) add(w *window.Window) {
	l.Add(w)
	if l.Want == 0 {
		return
	}
	l.bar.set(min(int(l.Seen()/l.Length), int(l.Want/l.Length)), max(int(l.Want/l.Length), 1))
	if twentieths := int(20 * l.Seen() / l.Want); twentieths > l.told && !l.Enough() {
		l.told = twentieths
		l.bar.done()
		l.info("learning: %s of %v, %v left", l, l.Want, (l.Want - l.Seen()).Round(time.Second))
	}
}

func (g *shared) learn(ctx context.Context, f *learnFlags, answers io.Reader) error {
	watching := len(f.live.interfaces) > 0
	if err := g.checkModelName(f.model, model.Anomaly); err != nil {
		return err
	}
	if f.length < 0 {
		return usageError{fmt.Errorf("--for %v: must not be negative", f.length)}
	}
	if err := f.check(); err != nil {
		return usageError{err}
	}
	cfg, err := f.win.config()
	if err := errors.Join(err, f.late.check()); err != nil {
		return err
	}
	if watching && f.length == 0 {
		f.length = 24 * time.Hour
	}
	started := time.Now()
	l := &lesson{Lesson: learn.Lesson{Length: cfg.Window, Want: f.length}, bar: g.bar("learning"), info: g.info}
	cfg.Lateness, cfg.NoFlows, cfg.Tunnels, cfg.MaxGap, cfg.OnWindow = f.late.lateness, true, f.in.tunnels, maxSilence, l.add
	m, err := meter.New(cfg, g.workers, nil)
	if err != nil {
		return usageError{err}
	}
	training := ctx
	if watching {
		err = f.watch(ctx, g, m, l)
		var stop context.CancelFunc
		training, stop = context.WithCancel(context.WithoutCancel(ctx)) // Ctrl-C has ended the watching alone
		defer stop()
	} else {
		err = f.in.read(ctx, m.Wait, func(_ *capture.Reader, batch []capture.Packet) error {
			m.Add(batch)
			if l.Enough() {
				return errEnough
			}
			return nil
		})
	}
	m.Close()
	l.bar.done()
	tellWindows(m.Counters())
	partly := errors.Is(err, errPartly)
	if err != nil && !partly && !errors.Is(err, errEnough) {
		return err
	}
	g.info("seen: %s", l)
	segments, notes := l.normal(g)
	if watching {
		notes = append(notes, "learned from "+strings.Join(f.live.interfaces, ", "))
	}
	learned := anomalyTraining{}
	if l.Want > 0 && len(l.Windows) > 0 {
		learned.Until = l.Windows[0].Start + int64(l.Want)
	}
	ref, fitErr := g.fitAnomaly(training, &f.anomalyFlags, cfg, segments, learned, notes, started)
	if fitErr != nil {
		return fitErr
	}
	if !partly {
		err = nil
	}
	if !f.promote && !g.consent(answers, ref) {
		g.info("%s is not in use; weir model promote %s changes that", ref, ref)
		return err
	}
	if promoteErr := g.registry().Promote(ref); promoteErr != nil {
		return promoteErr
	}
	g.info("%s is live", ref)
	return err
}

// consent asks a person at a terminal whether a version is to be the live one; nobody there: no.
func (g *shared) consent(answers io.Reader, ref string) bool {
	if file, ok := answers.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
		return false
	}
	fmt.Fprintf(os.Stderr, "make %s the live version? [y/N] ", ref)
	line, _ := bufio.NewReader(answers).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}

// shownOdd is how many stretches of windows that stand out are shown, the oddest.
const shownOdd = 20

// normal returns the windows to learn from, without those that stand out or lost packets, and tells about these. What comes after
// one that is left out does not follow what was before.
func (l *lesson) normal(g *shared) (segments [][]window.Vector, notes []string) {
	seen := l.String()
	hours := bits.OnesCount32(l.Hours(time.Local))
	l.Trim()
	windows := l.Windows
	s := learn.Screen(windows)
	for i := range windows {
		windows[i].Left = s.Odd[i] || windows[i].Lost > 0
	}
	for i := range s.Stretches[:min(len(s.Stretches), shownOdd)] {
		one := &s.Stretches[i]
		g.info("left out: %s, %d windows: %s", time.Unix(0, windows[one.First].Start).UTC().Format(time.DateTime), one.Count, one)
	}
	if n := len(s.Stretches) - shownOdd; n > 0 {
		g.info("left out: %d more stretches", n)
	}
	note := fmt.Sprintf("left out: %d of %d windows that are unlike the others, %d that lost packets", s.OddCount, len(windows), s.LostCount)
	g.info("%s", note)
	if whole := len(windows) - s.LostCount; float64(s.OddCount) > learn.ManyOdd*float64(whole) {
		slog.Warn(fmt.Sprintf("%.0f %% of the windows stand out: what is normal here is of several kinds, or it was not a normal time; look at them before it is promoted", 100*float64(s.OddCount)/float64(whole)))
	}
	if hours < 24 {
		notes = append(notes, fmt.Sprintf("%d of the 24 hours of the day were seen: what is usual at others may raise alarms", hours))
		g.info("%s", notes[0])
	}
	return learn.Segments(windows), append(notes, note, "learned: "+seen)
}

// watch gives what is captured to a meter until there is enough or ctx ends.
func (f *learnFlags) watch(ctx context.Context, g *shared, m *meter.Meter, l *lesson) error {
	if err := f.live.open(g, &f.in.filter); err != nil {
		return err
	}
	live := f.live.live
	defer live.Close()
	// Whom weir has become must be able to keep what it learns: a day is too long to find out.
	if err := writable(filepath.Join(g.registry().Dir, f.model)); err != nil {
		return f.live.explain(err)
	}
	defer context.AfterFunc(ctx, live.Stop)()
	f.live.told = map[string]*toldLive{}
	for _, name := range f.live.interfaces {
		f.live.told[name] = new(toldLive)
	}
	batch := make([]capture.Packet, batchLen)
	var looked time.Time
	for {
		n, end := live.Read(batch)
		for _, loss := range live.Losses() {
			m.Lose(loss.Nanos, loss.Packets)
		}
		m.Add(batch[:n])
		if n < len(batch) {
			m.Wait()
		}
		if step := live.ClockStep(); step.Abs() > f.late.lateness {
			m.Restart()
			slog.Warn(fmt.Sprintf("the clock of this machine moved by %v, or the machine slept: windows begin anew", step.Round(time.Millisecond)))
		}
		m.Advance(live.Complete())
		if time.Since(looked) > 100*time.Millisecond {
			looked = time.Now()
			f.live.tell(false)
			m.Wait()
		}
		if l.Enough() {
			live.Stop() // and what was captured by now is read
		}
		switch {
		case errors.Is(end, io.EOF):
			f.live.tell(true)
			return f.live.end(g)
		case end != nil:
			return end
		}
	}
}
