package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/pflag"
)

func (g *shared) flags(flags *pflag.FlagSet) {
	flags.StringVar(&g.models, "models", "", "directory of models (default ./models, then the user's data directory)")
	flags.IntVar(&g.workers, "workers", runtime.GOMAXPROCS(0), "goroutines that do the work")
	flags.StringVar(&g.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.BoolVar(&g.logJSON, "log-json", false, "log as JSON lines")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "no progress and no summary on stderr")
}

// check tells what is wrong with the flags.
func (g *shared) check() error {
	switch {
	case g.workers < 1:
		return usageError{fmt.Errorf("--workers %d: at least one is needed", g.workers)}
	case g.workers > maxWorkers:
		return usageError{fmt.Errorf("--workers %d: at most %d", g.workers, maxWorkers)}
	}
	return nil
}
