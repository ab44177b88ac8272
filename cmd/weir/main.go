// Command weir watches network traffic and learns from it: see README.md. Each command has a
// file; this one has the root, the flags they share and the exit status.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/config"
	"github.com/weirnet/weir/model"
)

// version is set by the Makefile.
var version = "dev"

// Exit statuses, docs/formats.md.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitPartly = 3 // some inputs were unreadable; they are named on stderr
)

// errPartly makes the exit status 3: what could be done is done, and told.
var errPartly = errors.New("some inputs could not be read whole")

// usageError makes the exit status 2.
type usageError struct{ error }

// Unwrap returns what is wrong.
func (e usageError) Unwrap() error { return e.error }

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for a clean end; a little later the default is back, so that the second one ends
	// the program at once.
	context.AfterFunc(ctx, func() { time.Sleep(echo); stop() })
	slog.SetDefault(slog.New(&plainHandler{w: os.Stderr})) // until the flags are read
	root := newRoot()
	root.SetArgs(args)
	return status(root.ExecuteContext(ctx))
}

// echo is how long after the first signal others are of the same wish: timeout(1) sends two of them at once, to the program and to
// its process group.
const echo = time.Second / 2

// status tells an error and returns the exit status that belongs to it.
func status(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case onlyPartly(err):
		return exitPartly
	case errors.As(err, &usage):
		tellError(err)
		if !errors.As(err, new(*config.Error)) {
			slog.Info("Try 'weir --help'.")
		}
		return exitUsage
	}
	tellError(err)
	return exitFailed
}

// onlyPartly reports whether an error is errPartly and nothing else: what failed beside it, such as
// writing the output, makes the command fail.
func onlyPartly(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return !onlyPartly(e) })
	}
	return err == errPartly
}

// shared are the flags that most commands have.
type shared struct {
	models   string
	workers  int
	logLevel string
	logJSON  bool
	quiet    bool
}

// maxWorkers is more than any machine has processors for: each worker has memory of its own.
const maxWorkers = 1024

func newRoot() *cobra.Command {
	g := new(shared)
	root := &cobra.Command{
		Use:   "weir",
		Short: "Watch network traffic, name its applications, find what is not normal",
		Long: `weir watches network traffic and learns from it. It names the application behind every packet and flow with
neural networks that it trains itself from labelled captures, and it raises explained alerts when the
watched network stops behaving as it has learned.

Learn from captures with weir train, or from a network as it is with weir learn; judge what was learned with
weir eval; use it with weir run, on captures or on interfaces. What weir run --store keeps is asked with weir flows,
weir top and weir alerts, or seen in a browser with weir run --http and weir serve.

Data goes to stdout or to the file of -o, everything else to stderr. Captures need no root, interfaces the right to
open packet sockets.`,
		Example: `  weir train apps --data captures/
  weir train anomaly -r normal.pcap --window 5s
  weir run -r today.pcapng --apps apps --anomaly anomaly -o events.jsonl
  sudo weir run -i eth0 --apps apps --anomaly anomaly --store history --http 127.0.0.1:8080`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(c *cobra.Command, args []string) error {
			if err := errors.Join(configure(c, args), g.check()); err != nil {
				return errors.Join(g.setLogger(), err)
			}
			return errors.Join(g.setLogger(), keepInputs(c, args))
		},
	}
	g.flags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newFeatures(g), newFlows(g), newTrain(g), newTrainLesson(g), newLearn(g), newEval(g), newRun(g), newAlerts(g), newLabels(g), newTop(g), newServe(g), newDataset(g), newModel(g), newInterfaces(g), newVersion(),
		newConfig(g), newMan(g),
	)
	wrapArgs(root)
	g.completeValues(root)
	return root
}

// wrapArgs makes wrong positional arguments and unknown commands usage errors.
func wrapArgs(c *cobra.Command) {
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
	if c.HasSubCommands() && !c.Runnable() {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("%s has no command %q", c.CommandPath(), args[0])}
			}
			return c.Help()
		}
		return
	}
	args := c.Args
	if args == nil {
		args = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, a []string) error {
		if err := args(c, a); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// require makes a missing flag a usage error.
func require(c *cobra.Command, name string) {
	before := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if !c.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s is needed", name)}
		}
		if before == nil {
			return nil
		}
		return before(c, args)
	}
}

// registry returns the directory of models: the one asked for, ./models if there is one or
// nothing else, or the user's data directory.
func (g *shared) registry() model.Registry {
	if g.models != "" {
		return model.Registry{Dir: g.models}
	}
	return model.Registry{Dir: dataDir("models")}
}

// dataDir returns ./NAME if it is there or nothing else is, or NAME in the user's data directory.
func dataDir(name string) string {
	if _, err := os.Stat(name); err != nil {
		if home, err := os.UserHomeDir(); err == nil {
			data := os.Getenv("XDG_DATA_HOME")
			if data == "" {
				data = filepath.Join(home, ".local", "share")
			}
			dir := filepath.Join(data, "weir", name)
			if _, err := os.Stat(dir); err == nil {
				return dir
			}
		}
	}
	return name
}

// output opens FILE for writing, or stdout when it is empty or "-". It takes files, pipes and devices.
func output(file string) (f *os.File, finish func(error) error, err error) {
	if file == "" || file == "-" {
		return os.Stdout, func(err error) error { return err }, nil
	}
	f, err = os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, nil, err
	}
	return f, func(err error) error { return errors.Join(err, f.Close()) }, nil
}
