package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"unicode"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/internal/kernel"
)

// printable replaces what would move a terminal's cursor, hide text or turn it around by '?'. File
// names, labels and the fields of models are other people's: every such string goes through it
// on its way to a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// plainHandler is the log for people: one line per message, "weir: " before warnings and errors. It
// leaves attributes out, since messages say it all; --log-json shows them.
type plainHandler struct {
	mu    sync.Mutex
	w     io.Writer
	level slog.Level
}

// Enabled implements slog.Handler.
func (h *plainHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle implements slog.Handler.
func (h *plainHandler) Handle(_ context.Context, r slog.Record) error {
	line := printable(r.Message) + "\n"
	if r.Level >= slog.LevelWarn {
		line = "weir: " + line
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, line)
	return err
}

// WithAttrs implements slog.Handler.
func (h *plainHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h *plainHandler) WithGroup(string) slog.Handler { return h }

// setLogger makes the log what the flags say.
func (g *shared) setLogger() error {
	level, err := g.level()
	if err != nil {
		return err
	}
	var handler slog.Handler = &plainHandler{w: os.Stderr, level: level}
	if g.logJSON {
		handler = slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level})
	}
	slog.SetDefault(slog.New(handler))
	if err := kernel.Err(); err != nil {
		slog.Warn(fmt.Sprintf("%v; %s is in use", err, kernel.Name()))
	}
	return nil
}

// level reads --log-level.
func (g *shared) level() (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return level, usageError{fmt.Errorf("--log-level %q: use debug, info, warn or error", g.logLevel)}
	}
	return level, nil
}

// info writes a line for people, unless they asked for quiet.
func (g *shared) info(format string, args ...any) {
	if !g.quiet {
		slog.Info(fmt.Sprintf(format, args...))
	}
}

// tellFaults names the inputs that could not be read whole and returns the error that makes the
// exit status say so: nil when all was read, errPartly, or a failure when nothing could be read.
func tellFaults(faults []capture.Fault, packets uint64) error {
	for _, f := range faults {
		slog.Warn(f.Error(), "file", f.File, "offset", f.Offset)
	}
	switch {
	case len(faults) == 0:
		return nil
	case packets == 0:
		return errors.New("no packet could be read")
	}
	return errPartly
}

// tellProblems names what is wrong with a set of labelled captures.
func tellProblems(set *dataset.Set) {
	for _, p := range set.Problems {
		slog.Warn(fmt.Sprintf("%s: %s: %s", p.Name, p.Kind, p.Detail), "file", p.Name, "kind", p.Kind)
	}
}

// tellError says why a command failed. What several things went wrong for takes several lines.
func tellError(err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		slog.Error(line)
	}
}
