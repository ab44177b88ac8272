package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/sensor"
)

// liveInput is the interfaces that a command watches.
type liveInput struct {
	lists         []string // of interfaces, as given
	interfaces    []string
	snapLen       int
	noPromiscuous bool
	ringMemory    byteSize
	user          string
	write         string // file for what is captured
	noNames       bool

	live   *capture.Live
	became string     // as dropPrivileges says
	file   *recording // nil: what is captured is not written
	told   map[string]*toldLive
}

// toldLive is what was said about an interface.
type toldLive struct {
	down, gone, oversize bool
	lost                 uint64
	lostAt               time.Time
}

func (in *liveInput) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVarP(&in.lists, "interface", "i", nil, "interface to watch, several with commas between, or any (weir interfaces lists them)")
	flags.IntVarP(&in.snapLen, "snapshot-length", "s", 262144, "bytes of a packet that are captured")
	flags.BoolVarP(&in.noPromiscuous, "no-promiscuous", "p", false, "capture only what is sent to this machine or by it")
	flags.Var(&in.ringMemory, "ring-memory", "memory in which packets wait, of all rings together; there is a ring for each worker and interface, but no more than processors (default 64MiB for each ring, at most 1GiB)")
	flags.StringVar(&in.user, "user", "", "user to become once the interfaces are open, when started as root (default: who called sudo, or nobody)")
	flags.StringVarP(&in.write, "write", "w", "", "file (pcapng) to write what is captured to as well")
	flags.BoolVarP(&in.noNames, "no-names", "n", false, "says nothing: addresses are never looked up")
	flags.Lookup("no-names").Hidden = true
}

// orFiles checks what a command is given that takes interfaces or captures; files does so for captures alone.
func (in *liveInput) orFiles(captures *input, list *bool, files func(*cobra.Command, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, words []string) (err error) {
		switch {
		case *list:
			return nil
		case len(in.lists) == 0 && len(captures.files) == 0:
			return usageError{errors.New("no input: name captures with -r or interfaces with -i")}
		case len(in.lists) == 0:
			for _, name := range []string{"snapshot-length", "no-promiscuous", "ring-memory", "user", "write"} {
				if c.Flags().Changed(name) {
					return usageError{fmt.Errorf("--%s goes with -i alone", name)}
				}
			}
			return files(c, words)
		case len(captures.files) > 0:
			return usageError{errors.New("-i and -r: give one of them")}
		case in.snapLen < 1:
			return usageError{fmt.Errorf("--snapshot-length %d: at least 1 is needed", in.snapLen)}
		}
		if in.interfaces, err = capture.ParseInterfaces(in.lists); err != nil {
			return usageError{err}
		}
		return captures.filter.parse(words)
	}
}

// open opens the interfaces and gives up the rights that this needed.
func (in *liveInput) open(g *shared, f *filterFlags) error {
	var err error
	if in.write != "" {
		out, finish, err := output(in.write)
		if err != nil {
			return err
		}
		in.file = &recording{w: capture.NewWriter(out), finish: finish}
	}
	in.live, err = capture.OpenLive(capture.LiveConfig{
		Interfaces: in.interfaces, Rings: min(g.workers, runtime.NumCPU()), RingMemory: int(in.ringMemory), SnapLen: in.snapLen,
		NoPromiscuous: in.noPromiscuous, Filter: f.live(in.snapLen),
	})
	switch {
	case errors.Is(err, capture.ErrNoPermission):
		return fmt.Errorf("%w\n%s", err, permissionRemedy())
	case errors.Is(err, capture.ErrNoInterface):
		return fmt.Errorf("%w: weir interfaces lists them", err)
	case err != nil:
		return err
	}
	if in.became, err = dropPrivileges(in.user); err != nil {
		return errors.Join(err, in.live.Close())
	}
	g.info("listening on %s%s", strings.Join(in.interfaces, ", "), in.became)
	return nil
}

// explain adds to an error of opening files who it was that opened them: not who started weir.
func (in *liveInput) explain(err error) error {
	var usage usageError
	if in.became == "" || errors.As(err, &usage) {
		return err
	}
	return fmt.Errorf("%w\nweir had become the user %s by then, who needs the right to write there; --user names another", err, strings.TrimPrefix(in.became, ", as "))
}

// watch gives what is captured to s until ctx ends, and tells what happens to the interfaces, which stay open. flush is
// called now and then, when what was emitted so far should be seen.
func (in *liveInput) watch(ctx context.Context, g *shared, s *sensor.Sensor, flush func() error) error {
	defer context.AfterFunc(ctx, in.live.Stop)()
	in.told = map[string]*toldLive{}
	for _, name := range in.interfaces {
		in.told[name] = new(toldLive)
	}
	var source sensor.Source = in.live
	if in.file != nil {
		in.file.Live, source = in.live, in.file
	}
	var flushed time.Time
	err := s.Watch(source, sensor.Watcher{
		File: in.write,
		Each: func() error {
			if time.Since(flushed) < 100*time.Millisecond {
				return nil
			}
			flushed = time.Now()
			in.tell(false)
			return flush()
		},
		OnEffort: func(from, to classify.Effort, fill float64, behind time.Duration) {
			slog.Warn(effortMessage(from, to, fill, behind), "from", from.String(), "to", to.String(), "fill", fill, "behind", behind.String())
		},
		OnClock: func(step time.Duration) {
			slog.Warn(fmt.Sprintf("the clock of this machine moved by %v, or the machine slept: flows and windows begin anew", step.Round(time.Millisecond)))
		},
	})
	if in.file != nil {
		err = errors.Join(err, in.file.close())
	}
	in.tell(true)
	return errors.Join(err, in.end(g))
}

// effortMessage says what is given up, or taken up again, when there is time for less or for more.
func effortMessage(from, to classify.Effort, fill float64, behind time.Duration) string {
	state := fmt.Sprintf("(rings %.0f %% full, %v behind)", 100*fill, behind.Round(10*time.Millisecond))
	now := [classify.NumEfforts]string{
		classify.Full:          "all flows are labelled by both networks",
		classify.NoFlowNetwork: "flows are labelled by the packet network alone",
		classify.NoNetworks:    "new flows get no label until there is time again",
		classify.NoLabels:      "new flows get no label",
	}[to]
	if to > from {
		return fmt.Sprintf("packets come faster than this machine can work on them %s: %s", state, now)
	}
	return fmt.Sprintf("there is time again %s: %s", state, now)
}

// tell says what has happened to the interfaces since it was last called. Losses are told at once when they begin, and
// after that once a minute and at the end.
func (in *liveInput) tell(last bool) {
	for _, c := range in.live.Counts() {
		t := in.told[c.Interface]
		switch {
		case c.Gone && !t.gone:
			slog.Warn(c.Interface + " has gone")
		case c.Down && !t.down:
			slog.Warn(c.Interface + " is down: waiting for it to come back")
		case !c.Down && t.down:
			slog.Warn(c.Interface + " is up again")
		}
		t.down, t.gone = c.Down, c.Gone
		if c.Oversize > 0 && !t.oversize {
			t.oversize = true
			slog.Warn(fmt.Sprintf("%[1]s: frames are longer than the link allows: packets are merged before they are captured, so sizes and counts are not those on the wire; "+
				"to see them as they are: ethtool -K %[1]s gro off lro off tso off gso off", c.Interface))
		}
		if lost := c.Dropped + c.Missed; lost > t.lost && (last || time.Since(t.lostAt) >= time.Minute) {
			slog.Warn(fmt.Sprintf("%s: %d packets lost, %d in all: docs/operating.md", c.Interface, lost-t.lost, lost),
				"interface", c.Interface, "dropped", c.Dropped, "missed", c.Missed)
			t.lost, t.lostAt = lost, time.Now()
		}
	}
}

// end prints the counts as tcpdump does, and returns the error that interfaces which went away set.
func (in *liveInput) end(g *shared) error {
	var sum capture.LiveCounts
	gone := false
	for _, c := range in.live.Counts() {
		sum.Captured += c.Captured
		sum.Received += c.Received
		sum.Dropped += c.Dropped
		gone = gone || c.Gone
	}
	g.info("%d packets captured, %d received by filter, %d dropped by kernel", sum.Captured, sum.Received, sum.Dropped)
	switch {
	case !gone:
		return nil
	case sum.Captured == 0:
		return errors.New("no packet was captured before the interface went away")
	}
	return errPartly
}

// counts returns the counts of the interfaces for stats.
func (in *liveInput) counts() []event.Capture {
	var all []event.Capture
	for _, c := range in.live.Counts() {
		all = append(all, event.Capture{
			Interface: c.Interface, Captured: c.Captured, Received: c.Received, Dropped: c.Dropped, Missed: c.Missed, Oversize: c.Oversize,
		})
	}
	return all
}

// section says of captured packets what stands beside them.
func (in *liveInput) section() capture.Section {
	return capture.Section{Interface: strings.Join(in.interfaces, ", "), SnapLen: in.snapLen}
}

// recording writes what is captured on its way to the sensor.
type recording struct {
	*capture.Live
	w      *capture.Writer
	finish func(error) error
}

// Read implements sensor.Source.
func (r *recording) Read(batch []capture.Packet) (int, error) {
	n, err := r.Live.Read(batch)
	for i := range batch[:n] {
		if err := r.w.Write(&batch[i]); err != nil {
			return n, err
		}
	}
	if n == 0 && err == nil {
		err = r.w.Flush()
	}
	return n, err
}

func (r *recording) close() error { return r.finish(r.w.Flush()) }
