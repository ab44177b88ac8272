package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/bench/attack"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/sensor"
)

// attackedName is what the test calls itself to be runAttacked.
const attackedName = "weir-attacked"

// runAttacked is the command that TestUnderAttack runs in a process of its own: "weir run" with two workers and
// little memory for flows. It ends with a line that says how much memory it has had.
func runAttacked() {
	m, p, err := (&shared{models: os.Args[1]}).loadAnomaly("anomaly")
	if err != nil {
		panic(err)
	}
	w := event.NewWriter(os.Stdout)
	s, err := sensor.New(sensor.Config{
		Meter: meter.Config{
			Lateness: time.Second, MaxGap: maxSilence,
			Flow: flow.Config{MaxFlows: 20_000, PayloadMemory: 4 << 20, FragmentCache: 1000},
		},
		Anomaly: m, AnomalyName: p.Ref(), Emit: w.Write,
	}, 2)
	if err != nil {
		panic(err)
	}
	r, err := capture.Open([]string{"-"})
	if err != nil {
		panic(err)
	}
	batch := make([]capture.Packet, batchLen)
	for {
		n, err := r.Read(batch)
		if err == io.EOF {
			break
		}
		if err := errors.Join(err, s.Add(r.File(), batch[:n])); err != nil {
			panic(err)
		}
	}
	if _, err := s.Close(); err != nil {
		panic(err)
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Printf("{\"most_kib\":%s}\n", strings.Fields(rest)[0])
}

// attacked is what came of a run under attack.
type attacked struct {
	memory  int               // KiB, the most that the process ever had
	packets map[string]uint64 // in events of a type
	events  map[string]uint64
	stats   struct {
		Packets      uint64            `json:"packets"`
		Flows        uint64            `json:"flows"`
		DecodeErrors map[string]uint64 `json:"decode_errors"`
		Drops        map[string]uint64 `json:"drops"`
	}
}

// run gives packets of a kind to a process through a pipe, and reads its events.
func (a *attacked) run(t *testing.T, models, kind string, packets int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, models)
	cmd.Args[0] = attackedName // TestMain
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- errors.Join(attack.Write(in, kind, packets, 1), in.Close()) }()
	a.packets, a.events = map[string]uint64{}, map[string]uint64{}
	if err := a.readFrom(t, out); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-written, cmd.Wait()); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
}

// readFrom counts the events of a file up to its end.
func (a *attacked) readFrom(t *testing.T, f io.Reader) error {
	lines := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		a.event(t, line)
	}
}

// event counts one line of the output.
func (a *attacked) event(t *testing.T, line []byte) {
	t.Helper()
	var e struct {
		Type string `json:"event_type"`
		Flow struct {
			ToServer uint64 `json:"pkts_toserver"`
			ToClient uint64 `json:"pkts_toclient"`
		} `json:"flow"`
		Window struct {
			Packets uint64 `json:"packets"`
		} `json:"window"`
		Stats  json.RawMessage `json:"stats"`
		Memory int             `json:"most_kib"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	a.memory = max(a.memory, e.Memory)
	a.events[e.Type]++
	a.packets[e.Type] += e.Flow.ToServer + e.Flow.ToClient + e.Window.Packets
	if e.Stats != nil {
		if err := json.Unmarshal(e.Stats, &a.stats); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnderAttack gives weir, with little memory for flows, what is meant to exhaust it. Four times as many
// packets must take no more memory, and all of them must be accounted for.
func TestUnderAttack(t *testing.T) {
	if testing.Short() {
		t.Skip("memory under the race detector says nothing")
	}
	if runtime.GOOS != "linux" {
		t.Skip("NOT CHECKED under attack: only Linux tells how much memory a process has had")
	}
	const few, many = 120_000, 480_000
	models := t.TempDir()
	if status := run([]string{"train", "anomaly", "-q", "-r", "../../samples/normal.pcapng.zst", "--window", "200ms", "--epochs", "1", "--models", models}); status != exitDone {
		t.Fatalf("training ends with status %d", status)
	}
	for _, kind := range attack.Kinds() {
		if kind == "years" {
			continue // a million windows of silence take long; package window has the test of their bound
		}
		t.Run(kind, func(t *testing.T) {
			var before, after attacked
			before.run(t, models, kind, few)
			after.run(t, models, kind, many)
			t.Logf("%d and %d MiB; %d flows, drops %v, decode errors %v", before.memory>>10, after.memory>>10, after.stats.Flows, after.stats.Drops, after.stats.DecodeErrors)
			limit := 24
			if kind == "clock" {
				limit = 256 // windows of wrong times stay open up to a limit of their own
			}
			if grown := (after.memory - before.memory) >> 10; grown > limit {
				t.Errorf("%d packets take %d MiB more memory than %d do", many, grown, few)
			}
			after.accounted(t, kind, many)
			if fills := map[string]bool{"flows": true, "answers": true, "scan": true, "fragments": true}; fills[kind] && after.stats.Drops["flows_evicted"] == 0 {
				t.Errorf("the table of flows was never full: drops %v", after.stats.Drops)
			}
		})
	}
}

// accounted wants every packet in a flow or among the decode errors, and in a window or among the late ones.
func (a *attacked) accounted(t *testing.T, kind string, packets uint64) {
	t.Helper()
	errors := uint64(0)
	for _, n := range a.stats.DecodeErrors {
		errors += n
	}
	if a.stats.Packets != packets {
		t.Errorf("%d packets of %d were counted", a.stats.Packets, packets)
	}
	if a.events["flow"] != a.stats.Flows {
		t.Errorf("%d flows were told of %d", a.events["flow"], a.stats.Flows)
	}
	late := a.stats.Drops["packets_late"]
	if kind == "noise" { // holds frames of other protocols
		if in := a.packets["flow"]; in == 0 || in > packets {
			t.Errorf("%d packets are in flows, of %d", in, packets)
		}
		return
	}
	if in := a.packets["flow"]; in > packets || in+errors < packets {
		t.Errorf("%d packets are in flows and %d could not be decoded, of %d", in, errors, packets)
	}
	if in := a.packets["window"]; in+late > packets || in+late+errors < packets {
		t.Errorf("%d packets are in windows, %d came late and %d could not be decoded, of %d", in, late, errors, packets)
	}
}
