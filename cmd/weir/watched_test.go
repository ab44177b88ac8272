package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

// watchedName is what the test calls itself to be runWatched.
const watchedName = "weir-watched"

// runWatched is weir, but for its end: it tells which goroutines are left over, and fails if there are any.
func runWatched() {
	code := run(os.Args[1:])
	const own = 2 // main and the one that waits for signals, which package os/signal never ends
	for range 500 {
		if runtime.NumGoroutine() <= own {
			os.Exit(code)
		}
		time.Sleep(10 * time.Millisecond) // its last deferred calls may run yet
	}
	fmt.Fprintln(os.Stderr, "goroutines are left over:")
	if err := pprof.Lookup("goroutine").WriteTo(os.Stderr, 1); err != nil {
		panic(err)
	}
	os.Exit(exitFailed)
}
