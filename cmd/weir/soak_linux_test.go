package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/bench/attack"
)

// minCycles is how many cycles the soak has, however short the time is.
const minCycles = 4

// TestSoak watches an interface for as long as the environment variable SOAK says, one hour as a rule (make soak): ordinary traffic
// and every attack in turn, at changing speeds, with silences, and with the interface going down and coming back, through both
// networks, the detector and the history. Memory, threads and open files must stay as they are after the first third of it, no
// goroutine may be left over, and every packet sent must be told of.
func TestSoak(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("make soak runs it")
	}
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.trainApps()
	b.trainAnomaly()
	demo := b.asSent("demo.pcapng", b.sample("demo.pcapng.zst"))

	events, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := b.startTo(out, "weir", b.weir, "run", "-i", "near", "--workers", "2", "--ring-memory", "16MiB", "--flow-memory", "16MiB",
		"--apps", "apps", "--anomaly", "anomaly", "-o", "-", "--store", "history", "--store-bytes", "64MiB")
	out.Close()
	told := &attacked{packets: map[string]uint64{}, events: map[string]uint64{}}
	read := make(chan error, 1)
	go func() { read <- told.readFrom(t, events) }()

	var sent, noise, cycle int
	var cycles []footprint // the most of each
	r := rand.New(rand.NewPCG(1, 1))
	for begin := time.Now(); cycle < minCycles || time.Since(begin) < length; cycle++ {
		var most footprint
		play := func(file string, packets int) {
			t.Helper()
			speed := [][]string{{"-t"}, {"-p", "50000"}, {"-p", "20000"}, {"-p", "10000"}}[r.IntN(4)]
			said := b.run(b.far, append([]string{"tcpreplay", "-q", "--no-flow-stats", "-i", "far"}, append(speed, file)...)...)
			if n := successful(t, said); n != packets {
				t.Fatalf("tcpreplay sent %d packets of %d\n%s", n, packets, said)
			}
			sent += packets
			most.grow(w.footprint())
		}
		play("demo.pcapng", demo.packets)
		for _, kind := range attack.Kinds() {
			if kind == "clock" || kind == "years" {
				continue // on a wire, packets have no times
			}
			packets := 40_000
			if kind == "large" {
				packets = 10_000
			}
			f, err := os.Create(b.path("attack.pcap"))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(attack.Write(f, kind, packets, uint64(cycle)), f.Close()); err != nil {
				t.Fatal(err)
			}
			play("attack.pcap", packets)
			if kind == "noise" {
				noise += packets
			}
		}
		time.Sleep(2 * time.Second) // time goes on, and all windows close
		most.grow(w.footprint())
		b.run(b.near, "ip", "link", "set", "near", "down")
		b.run(b.near, "ip", "link", "set", "near", "up")
		b.until("the interface is up", func() bool {
			return strings.Contains(b.run(b.far, "ip", "link", "show", "far"), "LOWER_UP")
		})
		t.Logf("%7v: cycle %d, %d packets, %v", time.Since(begin).Round(time.Second), cycle+1, sent, most)
		cycles = append(cycles, most)
	}
	w.stop()
	if err := <-read; err != nil {
		t.Fatal(err)
	}

	// A little is allowed for what the collector of garbage leaves lying at one time and not at another.
	// What is bounded, such as the alerts kept for the summary, takes a while to fill.
	warm := cycles[len(cycles)/3:]
	before, after := middle(warm[:len(warm)/2]), middle(warm[len(warm)/2:])
	t.Logf("the middle of the first half and of the second: %v; %v", before, after)
	if after.memory > before.memory+before.memory/8+16<<20 || after.threads > before.threads+4 || after.files > before.files+4 {
		t.Errorf("it grows: %v, and later %v", before, after)
	}
	captured, received, dropped := w.counts()
	t.Logf("%d packets sent, %d captured, %d dropped; %v\n%s", sent, captured, dropped, told.stats.Drops, w.stderr.String())
	if received != sent || captured+dropped != sent || told.stats.Packets != uint64(captured) || told.stats.Drops["packets_lost"] != uint64(dropped) {
		t.Errorf("of %d packets sent, %d received, %d captured, %d dropped; stats tell %d packets and drops %v", sent, received, captured, dropped, told.stats.Packets, told.stats.Drops)
	}
	if told.events["flow"] != told.stats.Flows {
		t.Errorf("%d flows were told of %d", told.events["flow"], told.stats.Flows)
	}
	// Noise holds frames of other protocols, which are in no flow and no window, and no errors.
	elsewhere := uint64(noise)
	for _, n := range told.stats.DecodeErrors {
		elsewhere += n
	}
	if in := told.packets["flow"]; in > uint64(captured) || in+elsewhere < uint64(captured) {
		t.Errorf("%d packets are in flows and up to %d nowhere, of %d", in, elsewhere, captured)
	}
	if in := told.packets["window"] + told.stats.Drops["packets_late"]; in > uint64(captured) || in+elsewhere < uint64(captured) {
		t.Errorf("%d packets are in windows or late and up to %d nowhere, of %d", in, elsewhere, captured)
	}
}

// successful returns how many packets tcpreplay says that it has sent.
func successful(t *testing.T, said string) int {
	t.Helper()
	m := regexp.MustCompile(`Successful packets:\s+(\d+)`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("tcpreplay does not tell what it sent\n%s", said)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// footprint is what a process takes.
type footprint struct {
	memory         int // bytes, without files and rings
	threads, files int
}

func (f footprint) String() string {
	return fmt.Sprintf("%d MiB, %d threads, %d files", f.memory>>20, f.threads, f.files)
}

// grow makes f the most of both.
func (f *footprint) grow(o footprint) {
	f.memory, f.threads, f.files = max(f.memory, o.memory), max(f.threads, o.threads), max(f.files, o.files)
}

// middle returns the medians.
func middle(all []footprint) footprint {
	median := func(of func(footprint) int) int {
		values := make([]int, len(all))
		for i, f := range all {
			values[i] = of(f)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return footprint{
		memory:  median(func(f footprint) int { return f.memory }),
		threads: median(func(f footprint) int { return f.threads }),
		files:   median(func(f footprint) int { return f.files }),
	}
}

// footprint looks at what the program takes now.
func (w *watching) footprint() (f footprint) {
	w.b.t.Helper()
	dir := fmt.Sprintf("/proc/%d/", w.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		w.b.t.Fatal(err)
	}
	value := func(name string) int {
		_, rest, _ := strings.Cut(string(status), "\n"+name+":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			w.b.t.Fatalf("%s has ended\n%s", w.name, w.stderr.String())
		}
		n, err := strconv.Atoi(fields[0])
		if err != nil {
			w.b.t.Fatal(err)
		}
		return n
	}
	files, err := filepath.Glob(dir + "fd/*")
	if err != nil {
		w.b.t.Fatal(err)
	}
	return footprint{memory: value("RssAnon") << 10, threads: value("Threads"), files: len(files)}
}
