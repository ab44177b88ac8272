//go:build unix

// Command neural is weir's side of bench/neural.py: it runs one network, or trains one, as often as it
// is told on standard input, and answers with the processor time that it took.
//
//	go run ./bench/neural -model FILE.onnx -inputs DIR [-batch 1] [-calibrate DIR]
//	go run ./bench/neural -apps MODELS/NAME/VERSION -inputs DIR [-batch 1] [-calibrate DIR]
//	go run ./bench/neural -train cnn|flow|windows [-batch 64]
//	go run ./bench/neural -peak
//
// The first line of the output is JSON: the outputs of the first batch. Then, for each line with a number on
// standard input, it runs that many batches and prints the seconds of processor time, user and system. With
// -workers N, as many goroutines run them, each that many, with weights in common, and the seconds that passed are
// printed. -peak runs multiplications of registers alone: what processors can do beside one another at most.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weirnet/weir/internal/kernel"
	"github.com/weirnet/weir/internal/kernel/peak"
)

func main() {
	model := flag.String("model", "", "network to run, an ONNX file")
	apps := flag.String("apps", "", "directory of a version of a model: run its flow network packet by packet, the state kept")
	inputs := flag.String("inputs", "", "directory of inputs, as bench/neural.py writes them")
	calibrate := flag.String("calibrate", "", "directory of inputs to find ranges with, for int8")
	train := flag.String("train", "", "network to train: cnn, flow or windows")
	batch := flag.Int("batch", 1, "samples at a time")
	workers := flag.Int("workers", 0, "goroutines; print the time that passed")
	peak := flag.Bool("peak", false, "run multiplications of registers")
	flag.Parse()
	var r runner
	var err error
	if *peak {
		r, err = newRegisters()
	} else {
		r, err = open(*model, *apps, *train, *inputs, *calibrate, *batch)
	}
	run := func(n int) float64 { return alone(r, n) }
	if err == nil && *workers > 0 {
		run, err = together(r, *workers)
	}
	if err == nil {
		err = serve(r, run)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "neural:", err)
		os.Exit(1)
	}
}

// runner does batches of something.
type runner interface {
	// first does one batch and returns its outputs by name.
	first() map[string][]float32
	// next does the batch that follows.
	next()
}

func open(model, apps, train, inputs, calibrate string, batch int) (runner, error) {
	switch {
	case train != "":
		return newTraining(train, batch)
	case apps != "":
		return newStepwise(apps, inputs, calibrate, batch)
	}
	return newInference(model, inputs, calibrate, batch)
}

// serve answers standard input with what run takes for so many batches.
func serve(r runner, run func(n int) float64) error {
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(r.first()); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		n, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil {
			return err
		}
		fmt.Println(run(n))
	}
	return lines.Err()
}

// alone runs n batches and returns their processor time.
func alone(r runner, n int) float64 {
	before := processorTime()
	for range n {
		r.next()
	}
	return processorTime() - before
}

// together returns what runs n batches on each of some goroutines and returns the seconds that passed.
func together(r runner, workers int) (run func(n int) float64, err error) {
	all := []runner{r}
	for len(all) < workers {
		first, ok := r.(interface{ beside() (runner, error) })
		if !ok {
			return nil, fmt.Errorf("no workers beside a %T", r)
		}
		next, err := first.beside()
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	return func(n int) float64 {
		began := time.Now()
		var wg sync.WaitGroup
		for _, r := range all {
			wg.Go(func() {
				for range n {
					r.next()
				}
			})
		}
		wg.Wait()
		return time.Since(began).Seconds()
	}, nil
}

// registers multiplies and adds what is in registers.
type registers struct{ peak.Loop }

func newRegisters() (runner, error) {
	loop, ok := peak.Floats(kernel.Name())
	if !ok {
		return nil, fmt.Errorf("no loop for the kernels in use (%s)", kernel.Name())
	}
	return registers{loop}, nil
}

func (r registers) first() map[string][]float32 { return map[string][]float32{} }
func (r registers) next()                       { r.Run(1000) }
func (r registers) beside() (runner, error)     { return r, nil }

// processorTime is that of the process, user and system, in seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
