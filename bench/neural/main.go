//go:build unix

// Command neural is weir's side of bench/neural.py: it runs one network, or trains one, as often as it
// is told on standard input, and answers with the processor time that it took.
//
//	go run ./bench/neural -model FILE.onnx -inputs DIR [-batch 1] [-calibrate DIR]
//	go run ./bench/neural -apps MODELS/NAME/VERSION -inputs DIR [-batch 1] [-calibrate DIR]
//	go run ./bench/neural -train cnn|flow|windows [-batch 64]
//
// The first line of the output is JSON: the outputs of the first batch. Then, for each line with a number on
// standard input, it runs that many batches and prints the seconds of processor time, user and system.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	model := flag.String("model", "", "network to run, an ONNX file")
	apps := flag.String("apps", "", "directory of a version of a model: run its flow network packet by packet, the state kept")
	inputs := flag.String("inputs", "", "directory of inputs, as bench/neural.py writes them")
	calibrate := flag.String("calibrate", "", "directory of inputs to find ranges with, for int8")
	train := flag.String("train", "", "network to train: cnn, flow or windows")
	batch := flag.Int("batch", 1, "samples at a time")
	flag.Parse()
	r, err := open(*model, *apps, *train, *inputs, *calibrate, *batch)
	if err == nil {
		err = serve(r)
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

// serve answers standard input.
func serve(r runner) error {
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
		before := processorTime()
		for range n {
			r.next()
		}
		fmt.Println(processorTime() - before)
	}
	return lines.Err()
}

// processorTime is that of the process, user and system, in seconds.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
