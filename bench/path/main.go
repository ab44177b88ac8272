//go:build unix

// Command path measures the packet path alone: captures are read and metered, flows and windows
// come out and are counted, nothing is written and no model runs.
//
//	go run ./bench/path [-workers 1] [-no-flows] [-no-windows] [-rounds 5] FILE…
//
// It prints a line per round and then the medians. CPU is user and system time of the process, so on
// a machine that is shared it says more than the time passed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/window"
)

func main() {
	workers := flag.Int("workers", 1, "workers")
	noFlows := flag.Bool("no-flows", false, "windows alone, as weir features does")
	noWindows := flag.Bool("no-windows", false, "flows alone, as weir flows does")
	length := flag.Duration("window", 5*time.Second, "length of a window")
	rounds := flag.Int("rounds", 5, "how often each file is read")
	profile := flag.String("profile", "", "file for a CPU profile of all rounds")
	flag.Parse()
	cfg := meter.Config{Flow: flow.Config{OpeningPackets: -1}, NoFlows: *noFlows, Lateness: time.Second}
	if !*noWindows {
		cfg.Window = *length
	}
	if err := run(cfg, *workers, *rounds, *profile, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "path:", err)
		os.Exit(1)
	}
}

func run(cfg meter.Config, workers, rounds int, profile string, files []string) error {
	if len(files) == 0 || rounds < 1 {
		return errors.New("name captures to read, and at least one round")
	}
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for _, file := range files {
		var all []round
		for range rounds {
			r, err := measure(cfg, workers, file)
			if err != nil {
				return err
			}
			fmt.Printf("%s: %d packets, %d flows, %d windows: %s\n", file, r.packets, r.flows, r.windows, r)
			all = append(all, r)
		}
		slices.SortFunc(all, func(a, b round) int { return int(a.cpu - b.cpu) })
		fmt.Printf("%s: median: %s\n", file, all[len(all)/2])
	}
	return nil
}

// round is what one pass over a file took.
type round struct {
	packets, flows uint64
	windows        int
	cpu, wall      time.Duration
	allocations    uint64
	gc             float64 // seconds of CPU
}

// String gives it per packet.
func (r round) String() string {
	n := float64(max(r.packets, 1))
	return fmt.Sprintf("%.2f M packets per CPU second, %.1f ns of CPU, %.1f ns passed, %.4f allocations per packet, collector %.2f %%",
		n/r.cpu.Seconds()/1e6, float64(r.cpu)/n, float64(r.wall)/n, float64(r.allocations)/n, 100*r.gc/r.cpu.Seconds())
}

// counter is a meter.Handler that counts the flows that end.
type counter struct{ flows uint64 }

func (c *counter) Ended(*flow.Flow, uint64) { c.flows++ }

// measure meters one file.
func measure(cfg meter.Config, workers int, file string) (r round, err error) {
	before := used()
	began := time.Now()
	in, err := capture.Open([]string{file})
	if err != nil {
		return r, err
	}
	defer in.Close()
	cfg.OnWindow = func(w *window.Window) {
		w.Vector()
		r.windows++
	}
	var counters []*counter
	m, err := meter.New(cfg, workers, func(int) meter.Handler {
		c := new(counter)
		counters = append(counters, c)
		return c
	})
	if err != nil {
		return r, err
	}
	batch := make([]capture.Packet, 512)
	for {
		n, err := in.Read(batch)
		if err == io.EOF {
			break
		}
		m.Add(batch[:n])
	}
	m.Close()
	after := used()
	for _, c := range counters {
		r.flows += c.flows
	}
	r.packets = m.Counters().Packets
	r.wall = time.Since(began)
	r.cpu, r.allocations, r.gc = after.cpu-before.cpu, after.allocations-before.allocations, after.gc-before.gc
	for _, fault := range in.Faults() {
		return r, fault
	}
	return r, nil
}

// usage is what the process has used so far.
type usage struct {
	cpu         time.Duration
	allocations uint64
	gc          float64
}

func used() usage {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(samples)
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	return usage{time.Duration(r.Utime.Nano() + r.Stime.Nano()), samples[0].Value.Uint64(), samples[1].Value.Float64()}
}
