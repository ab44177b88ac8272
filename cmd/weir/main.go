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
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
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

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for a clean end; after it the default is back, so that the second one ends
	// the program at once.
	context.AfterFunc(ctx, stop)
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errPartly):
		return exitPartly
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "weir: %v\nTry 'weir --help'.\n", err)
		return exitUsage
	}
	fmt.Fprintf(os.Stderr, "weir: %v\n", err)
	return exitFailed
}

// shared are the flags that most commands have.
type shared struct {
	models   string
	workers  int
	logLevel string
	logJSON  bool
	quiet    bool
}

func newRoot() *cobra.Command {
	g := new(shared)
	root := &cobra.Command{
		Use:           "weir",
		Short:         "Watch network traffic, name its applications, find what is not normal",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return g.setLogger()
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&g.models, "models", "", "directory of models (default ./models, then the user's data directory)")
	flags.IntVar(&g.workers, "workers", runtime.GOMAXPROCS(0), "goroutines that do the work")
	flags.StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.BoolVar(&g.logJSON, "log-json", false, "log as JSON lines")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "no progress and no summary on stderr")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		newFeatures(g), newFlows(g), newTrain(g), newEval(g), newRun(g), newDataset(g), newModel(g), newVersion(),
	)
	wrapArgs(root)
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

func (g *shared) setLogger() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return usageError{fmt.Errorf("--log-level %q: use debug, info, warn or error", g.logLevel)}
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(os.Stderr, options)
	if g.logJSON {
		handler = slog.NewJSONHandler(os.Stderr, options)
	}
	slog.SetDefault(slog.New(handler))
	if g.workers < 1 {
		return usageError{fmt.Errorf("--workers %d: at least one is needed", g.workers)}
	}
	return nil
}

// registry returns the directory of models: the one asked for, ./models if there is one or
// nothing else, or the user's data directory.
func (g *shared) registry() model.Registry {
	if g.models != "" {
		return model.Registry{Dir: g.models}
	}
	if _, err := os.Stat("models"); err != nil {
		if home, err := os.UserHomeDir(); err == nil {
			data := os.Getenv("XDG_DATA_HOME")
			if data == "" {
				data = filepath.Join(home, ".local", "share")
			}
			dir := filepath.Join(data, "weir", "models")
			if _, err := os.Stat(dir); err == nil {
				return model.Registry{Dir: dir}
			}
		}
	}
	return model.Registry{Dir: "models"}
}

// info writes a line for people, unless they asked for quiet.
func (g *shared) info(format string, args ...any) {
	if !g.quiet {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

// tellFaults names the inputs that could not be read whole and returns the error that makes the
// exit status say so: nil when all was read, errPartly, or a failure when nothing could be read.
func tellFaults(faults []capture.Fault, packets uint64) error {
	for _, f := range faults {
		fmt.Fprintf(os.Stderr, "weir: %v\n", f)
	}
	switch {
	case len(faults) == 0:
		return nil
	case packets == 0:
		return errors.New("no packet could be read")
	}
	return errPartly
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
