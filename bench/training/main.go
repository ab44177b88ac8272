//go:build unix

// Command training measures what a training step takes: forward, loss, backward, clipping and AdamW
// on random data, with the networks of packages classify and anomaly.
//
//	go run ./bench/training [-network packet] [-profile paper] [-workers 1] [-batch 64] [-payload 784] [-steps 20] [-rounds 5]
//
// It prints, for each round, the milliseconds of processor time (user and system) and of time
// passed, and the allocations, of a step. bench/training.py sets PyTorch beside it.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/weirnet/weir/nn"
)

func main() {
	network := flag.String("network", "packet", "packet, flow or window")
	profile := flag.String("profile", "paper", "paper or default")
	workers := flag.Int("workers", 1, "workers")
	batch := flag.Int("batch", 64, "samples in a step")
	shard := flag.Int("shard", 16, "samples that a worker takes at a time")
	payload := flag.Int("payload", 784, "bytes of a payload; zeros follow")
	steps := flag.Int("steps", 20, "steps in a round")
	rounds := flag.Int("rounds", 5, "rounds")
	file := flag.String("cpuprofile", "", "file for a CPU profile of all rounds")
	flag.Parse()
	err := run(*network, *profile, *workers, *batch, *shard, *payload, *steps, *rounds, *file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "training:", err)
		os.Exit(1)
	}
}

func run(name, profile string, workers, batch, shard, payload, steps, rounds int, file string) error {
	build, err := builder(name, profile, batch, payload)
	if err != nil {
		return err
	}
	main := build()
	params := main.Params()
	nn.Init(params, 1)
	replicas := nn.NewReplicas(main, build, workers)
	adam := nn.NewAdam(params, 0.01)
	step := func() {
		p := nn.Pass{Seed: 1, Step: adam.Steps()}
		replicas.Train(p, batch, shard, func(n network, p nn.Pass, lo, hi int) float64 { return n.train(p, lo, hi) })
		replicas.Step(adam, 1, 1e-4)
	}
	for range 3 {
		step() // buffers grow
	}
	if file != "" {
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for range rounds {
		before, began := used(), time.Now()
		for range steps {
			step()
		}
		passed, after := time.Since(began), used()
		each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(steps) }
		fmt.Printf("%.3f ms of CPU, %.3f ms passed, %.1f allocations\n",
			each(after.cpu-before.cpu), each(passed), float64(after.allocations-before.allocations)/float64(steps))
	}
	return nil
}

// usage is what the process has used so far.
type usage struct {
	cpu         time.Duration
	allocations uint64
}

func used() usage {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r) // cannot fail with these arguments
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{time.Duration(r.Utime.Nano() + r.Stime.Nano()), m.Mallocs}
}
