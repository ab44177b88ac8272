package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirnet/weir/bench/attack"
	"github.com/weirnet/weir/capture"
)

// bench is two network namespaces joined by a veth pair, near and far, with no traffic but what the test
// sends. They end with the test, also when it is killed.
type bench struct {
	t         *testing.T
	dir       string
	weir      string // the program: this test's own
	near, far string // of /proc/PID/ns/net
}

// newBench makes a bench. It needs root and a few programs; where WEIR_REQUIRE names live, as in CI, their absence is a
// failure.
func newBench(t *testing.T) *bench {
	t.Helper()
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	for program, debian := range map[string]string{"ip": "iproute2", "tcpreplay": "tcpreplay", "tcpdump": "tcpdump", "ethtool": "ethtool", "nsenter": "util-linux", "setpriv": "util-linux"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, "the Debian package "+debian)
		}
	}
	b := &bench{t: t}
	if len(missing) == 0 {
		var err error
		if b.near, err = b.hold(); err == nil {
			b.far, err = b.hold()
		}
		if err != nil {
			missing = append(missing, fmt.Sprintf("the right to make network namespaces (%v)", err))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		if strings.Contains(os.Getenv("WEIR_REQUIRE"), "live") {
			t.Fatalf("this test needs %s", strings.Join(missing, ", "))
		}
		t.Skipf("NOT RUN: this test needs %s", strings.Join(missing, ", "))
	}
	b.dir = t.TempDir()
	// Whom weir becomes must get there.
	if err := errors.Join(os.Chmod(filepath.Dir(b.dir), 0o755), os.Chmod(b.dir, 0o777)); err != nil {
		t.Fatal(err)
	}
	b.link()
	b.run(b.near, "ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", strings.Split(b.far, "/")[2])
	for name, namespace := range map[string]string{"near": b.near, "far": b.far} {
		b.run(namespace, "ip", "link", "set", name, "arp", "off", "addrgenmode", "none", "mtu", "9000")
		b.run(namespace, "ethtool", "-K", name, "gro", "off", "tso", "off", "gso", "off")
		b.run(namespace, "ip", "link", "set", name, "up")
	}
	return b
}

// link makes the program.
func (b *bench) link() {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	b.weir = filepath.Join(b.dir, watchedName) // by this name the test is the program: see TestMain
	if err := os.Symlink(self, b.weir); err != nil {
		b.t.Fatal(err)
	}
}

// hold makes a network namespace.
func (b *bench) hold() (namespace string, err error) {
	holder := exec.Command("cat") // ends when its input does
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := holder.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := holder.Start(); err != nil {
		return "", err
	}
	b.t.Cleanup(func() {
		in.Close()
		holder.Wait()
	})
	return fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid), nil
}

// command is a command in a namespace; an empty one is that of the test.
func (b *bench) command(namespace string, args ...string) *exec.Cmd {
	if namespace != "" {
		args = append([]string{"nsenter", "--net=" + namespace}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = b.dir
	return cmd
}

// run runs a command and returns what it printed.
func (b *bench) run(namespace string, args ...string) string {
	b.t.Helper()
	out, err := b.command(namespace, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// watching is a program that captures.
type watching struct {
	b      *bench
	name   string
	cmd    *exec.Cmd
	stderr lockedBuffer
}

// start starts a program in the near namespace and waits until it says that it listens.
func (b *bench) start(name string, args ...string) *watching {
	b.t.Helper()
	return b.startTo(nil, name, args...)
}

// startTo does the same; what the program prints goes to out.
func (b *bench) startTo(out *os.File, name string, args ...string) *watching {
	b.t.Helper()
	w := b.begin(out, name, b.command(b.near, args...))
	b.until("listening", func() bool { return strings.Contains(w.stderr.String(), "listening on near") })
	return w
}

// begin starts a program that is ended with the test at the latest.
func (b *bench) begin(out *os.File, name string, cmd *exec.Cmd) *watching {
	b.t.Helper()
	w := &watching{b: b, name: name, cmd: cmd}
	w.cmd.Stderr = &w.stderr
	if out != nil {
		w.cmd.Stdout = out
	}
	if err := w.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			w.cmd.Process.Kill()
			w.cmd.Wait()
		}
	})
	return w
}

// signal sends the program a signal.
func (w *watching) signal(s os.Signal) {
	w.b.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		w.b.t.Fatal(err)
	}
}

// stop interrupts the program and wants it to end well.
func (w *watching) stop() {
	w.b.t.Helper()
	w.signal(os.Interrupt)
	ended := make(chan error, 1)
	go func() { ended <- w.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			w.b.t.Fatalf("%s: %v\n%s", w.name, err, w.stderr.String())
		}
	case <-time.After(2 * time.Minute):
		w.b.t.Fatalf("%s did not end\n%s", w.name, w.stderr.String())
	}
}

// await waits for a condition and reports whether it came, which may take long on a busy machine.
func (b *bench) await(ok func() bool) bool {
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// countsLine is what weir prints when it has ended.
var countsLine = regexp.MustCompile(`(?m)^(\d+) packets captured, (\d+) received by filter, (\d+) dropped by kernel$`)

// counts returns what a weir that has ended says of packets.
func (w *watching) counts() (captured, received, dropped int) {
	w.b.t.Helper()
	m := countsLine.FindStringSubmatch(w.stderr.String())
	if m == nil {
		w.b.t.Fatalf("%s tells no counts\n%s", w.name, w.stderr.String())
	}
	var errs [3]error
	captured, errs[0] = strconv.Atoi(m[1])
	received, errs[1] = strconv.Atoi(m[2])
	dropped, errs[2] = strconv.Atoi(m[3])
	if err := errors.Join(errs[:]...); err != nil {
		w.b.t.Fatal(err)
	}
	return captured, received, dropped
}

// until waits for a condition that must come.
func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	if !b.await(ok) {
		b.t.Fatalf("waited in vain: %s", what)
	}
}

// path returns the path of a file of the test.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// sample returns the path of a sample capture.
func (b *bench) sample(name string) string {
	b.t.Helper()
	path, err := filepath.Abs(filepath.Join("../../samples", name))
	if err != nil {
		b.t.Fatal(err)
	}
	return path
}

// trainApps makes a model of three applications.
func (b *bench) trainApps() {
	b.t.Helper()
	for _, label := range []string{"dns", "http", "ssh"} {
		for n := 1; n <= 3; n++ {
			dir := filepath.Join(b.dir, "learn", label)
			if err := os.MkdirAll(dir, 0o777); err != nil {
				b.t.Fatal(err)
			}
			name := fmt.Sprintf("%s-%02d.pcapng.zst", label, n)
			if err := os.Symlink(b.sample("apps/"+name), filepath.Join(dir, name)); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.run("", b.weir, "train", "apps", "-q", "--data", "learn", "--epochs", "2", "--refit=false")
}

// trainAnomaly makes a detector of windows of half a second.
func (b *bench) trainAnomaly() {
	b.t.Helper()
	b.run("", b.weir, "train", "anomaly", "-q", "-r", b.sample("normal.pcapng.zst"), "--window", "500ms", "--epochs", "3")
}

// size returns the size of a file of the test, 0 before it is there.
func (b *bench) size(name string) int64 {
	info, err := os.Stat(b.path(name))
	if err != nil {
		return 0
	}
	return info.Size()
}

// recorded returns how many packets of a file of the test can be read so far.
func (b *bench) recorded(name string) (packets int) {
	r, err := capture.Open([]string{b.path(name)})
	if err != nil {
		return 0
	}
	defer r.Close()
	batch := make([]capture.Packet, 64)
	for {
		n, err := r.Read(batch)
		packets += n
		if err == io.EOF {
			return packets
		}
	}
}

// traffic is what is sent: packets, and the sizes of files that hold all of them.
type traffic struct {
	packets      int
	pcap, pcapng int64 // bytes
}

// asSent writes a capture as it will be on the wire: what was cut is not there.
func (b *bench) asSent(name, sample string) (sent traffic) {
	b.t.Helper()
	r, err := capture.Open([]string{sample})
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	w := capture.NewWriter(&out)
	batch := make([]capture.Packet, 64)
	for {
		n, err := r.Read(batch)
		if err == io.EOF {
			break
		}
		for _, p := range batch[:n] {
			if err := w.Write(&capture.Packet{Nanos: p.Nanos, Data: p.Data, WireLen: len(p.Data), Link: p.Link}); err != nil {
				b.t.Fatal(err)
			}
			sent.packets++
			sent.pcap += 16 + int64(len(p.Data))
		}
	}
	if err := w.Flush(); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path(name), out.Bytes(), 0o666); err != nil {
		b.t.Fatal(err)
	}
	sent.pcap, sent.pcapng = sent.pcap+24, int64(out.Len())
	return sent
}

// flowFacts returns what the flow events of a file say that does not depend on time, in the order of the alphabet.
func (b *bench) flowFacts(file string) (facts []string) {
	b.t.Helper()
	for _, line := range b.lines(file) {
		var e struct {
			Type  string `json:"event_type"`
			Flow  map[string]any
			ID    string `json:"community_id"`
			Src   string `json:"src_ip"`
			Dest  string `json:"dest_ip"`
			Port  int    `json:"src_port"`
			Other int    `json:"dest_port"`
			Proto string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			b.t.Fatal(err)
		}
		if e.Type != "flow" {
			continue
		}
		for _, of := range []string{"start", "end", "app", "confidence", "novel", "label_source", "label_packets", "model"} {
			delete(e.Flow, of)
		}
		facts = append(facts, fmt.Sprintln(e.Src, e.Port, e.Dest, e.Other, e.Proto, e.ID, e.Flow))
	}
	slices.Sort(facts)
	return facts
}

// lines returns the lines of a file.
func (b *bench) lines(file string) []string {
	b.t.Helper()
	data, err := os.ReadFile(b.path(file))
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

// events returns the lines of a file of events in the order of the alphabet, without stats, and the last stats.
func (b *bench) events(file string) (events []string, stats map[string]any) {
	b.t.Helper()
	for _, line := range b.lines(file) {
		if strings.Contains(line, `"event_type":"stats"`) {
			var e struct{ Stats map[string]any }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				b.t.Fatal(err)
			}
			stats = e.Stats
			continue
		}
		events = append(events, line)
	}
	slices.Sort(events)
	return events, stats
}

// eventType and windowStart take events apart.
var (
	eventType   = regexp.MustCompile(`"event_type":"([a-z]+)"`)
	windowStart = regexp.MustCompile(`"(?:window|alert)":\{"start":"([^"]+)"`)
)

// withoutSilence drops the windows that closed after the last packet, which a replay of the packets does not have.
func (b *bench) withoutSilence(live, replay []string) []string {
	last := ""
	for _, line := range replay {
		if m := windowStart.FindStringSubmatch(line); m != nil {
			last = max(last, m[1])
		}
	}
	return slices.DeleteFunc(slices.Clone(live), func(line string) bool {
		m := windowStart.FindStringSubmatch(line)
		if m == nil || m[1] <= last {
			return false
		}
		if !strings.Contains(line, `"packets":0,`) {
			b.t.Errorf("a window after the last packet has packets: %s", line)
		}
		return true
	})
}

// firstDifference tells where two lists of lines, in the order of the alphabet, part.
func firstDifference(got, want []string) string {
	i, k := 0, 0
	var out []string
	for (i < len(got) || k < len(want)) && len(out) < 6 {
		switch {
		case k == len(want) || i < len(got) && got[i] < want[k]:
			out = append(out, "only live:   "+got[i])
			i++
		case i == len(got) || got[i] > want[k]:
			out = append(out, "only replay: "+want[k])
			k++
		default:
			i++
			k++
		}
	}
	return fmt.Sprintf("%d and %d lines\n%s", len(got), len(want), strings.Join(out, "\n"))
}

// TestLiveEqualsReplay sends sample captures over a wire at several speeds while weir watches with one, two and eight workers,
// records what it sees, and reads that afterwards: flows, labels, windows, scores and alerts must be the same. What
// is counted must be what the capture holds that was sent.
func TestLiveEqualsReplay(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	b := newBench(t)
	b.trainApps()
	b.trainAnomaly()

	for _, test := range []struct {
		name, sample string
		speed        []string
	}{
		{"tiny, four times as fast", "tiny.pcap", []string{"-x", "4"}},
		{"demo, 20,000 packets a second", "demo.pcapng.zst", []string{"-p", "20000"}},
		{"demo, as fast as it goes", "demo.pcapng.zst", []string{"-t"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &bench{t: t, dir: b.dir, weir: b.weir, near: b.near, far: b.far}
			sent := b.asSent("sent.pcapng", b.sample(test.sample))
			workers := []string{"1", "2", "8"}
			var watchers []*watching
			for _, name := range []string{"live-1.jsonl", "live-2.jsonl", "live-8.jsonl", "filtered.jsonl"} {
				if err := os.RemoveAll(b.path(name)); err != nil { // or else events would be added to those of the test before
					t.Fatal(err)
				}
			}
			for _, n := range workers {
				watchers = append(watchers, b.start("weir with "+n+" workers", b.weir, "run", "-i", "near", "--workers", n, "--ring-memory", "32MiB",
					"--apps", "apps", "--anomaly", "anomaly", "-o", "live-"+n+".jsonl", "-w", "seen-"+n+".pcapng"))
			}
			watchers = append(watchers, b.start("weir with a filter", b.weir, "run", "-i", "near", "--ring-memory", "32MiB", "-o", "filtered.jsonl", "udp", "port", "53", "or", "vlan", "77"))
			other := b.start("tcpdump", "tcpdump", "-i", "near", "-B", "65536", "-U", "-w", "tcpdump.pcap", "-Z", "root")
			b.privileges(watchers[0].cmd.Process.Pid)

			b.run(b.far, append([]string{"tcpreplay", "-q", "--no-flow-stats", "-i", "far"}, append(test.speed, "sent.pcapng")...)...)
			b.await(func() bool { // or else what is missing is told below
				all := b.size("tcpdump.pcap") >= sent.pcap
				for _, n := range workers {
					all = all && b.size("seen-"+n+".pcapng") >= sent.pcapng
				}
				return all
			})
			for _, w := range watchers {
				w.stop()
			}
			other.stop()

			// What tcpdump saw is what was sent. It is here to tell whose fault a difference is.
			if !strings.Contains(other.stderr.String(), fmt.Sprintf("\n%d packets captured", sent.packets)) {
				t.Errorf("of %d packets sent, tcpdump says\n%s", sent.packets, other.stderr.String())
			}
			b.run("", b.weir, "run", "-q", "-r", "sent.pcapng", "-o", "sent.jsonl")
			flows := b.flowFacts("sent.jsonl")
			for i, n := range workers {
				if captured, received, dropped := watchers[i].counts(); captured != sent.packets || received != sent.packets || dropped != 0 {
					t.Errorf("%s workers: of %d packets sent, weir says\n%s", n, sent.packets, watchers[i].stderr.String())
				}
				if got := b.flowFacts("live-" + n + ".jsonl"); !slices.Equal(got, flows) {
					t.Errorf("%s workers: other flows than in the capture that was sent: %s", n, firstDifference(got, flows))
				}
				b.run("", b.weir, "run", "-q", "-r", "seen-"+n+".pcapng", "--workers", n, "--apps", "apps", "--anomaly", "anomaly", "-o", "replay-"+n+".jsonl")
				b.compare(n+" workers", "live-"+n+".jsonl", "replay-"+n+".jsonl", sent.packets)
			}

			// One, two and eight workers say the same of the same packets.
			for _, n := range workers[:2] {
				b.run("", b.weir, "run", "-q", "-r", "seen-8.pcapng", "--workers", n, "--apps", "apps", "--anomaly", "anomaly", "-o", "other.jsonl")
				if !slices.Equal(b.lines("other.jsonl"), b.lines("replay-8.jsonl")) {
					t.Errorf("%s workers say something else than 8 of what those saw", n)
				}
			}

			// A filter passes the same packets live and from a file, those with a VLAN tag too.
			b.run("", b.weir, "run", "-q", "-r", "seen-1.pcapng", "--filter", "udp port 53 or vlan 77", "-o", "filtered-replay.jsonl")
			if got, want := b.flowFacts("filtered.jsonl"), b.flowFacts("filtered-replay.jsonl"); !slices.Equal(got, want) || len(want) == 0 || len(want) >= len(flows) {
				t.Errorf("filter: %d flows of %d: %s", len(want), len(flows), firstDifference(got, want))
			}
		})
	}
}

// TestLiveTellsWhatItLoses halts weir while packets come, as a machine with too much to do would, until its ring is full. All that it
// saw and all that it lost must add up to what was sent, in windows too, and what it saw is what a replay of its recording says.
func TestLiveTellsWhatItLoses(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	b := newBench(t)
	b.trainAnomaly()
	first := b.asSent("first.pcapng", b.sample("tiny.pcap"))
	rest := b.asSent("rest.pcapng", b.sample("demo.pcapng.zst"))
	w := b.start("weir", b.weir, "run", "-i", "near", "--workers", "1", "--ring-memory", "1MiB", "--anomaly", "anomaly", "-o", "live.jsonl", "-w", "seen.pcapng")
	b.run(b.far, "tcpreplay", "-q", "--no-flow-stats", "-i", "far", "-t", "first.pcapng")
	b.until("the first packets are recorded", func() bool { return b.size("seen.pcapng") >= first.pcapng })
	w.signal(syscall.SIGSTOP)
	b.run(b.far, "tcpreplay", "-q", "--no-flow-stats", "-i", "far", "-p", "20000", "rest.pcapng") // for three seconds
	w.signal(syscall.SIGCONT)
	w.stop()

	captured, received, dropped := w.counts()
	if sent := first.packets + rest.packets; received != sent || captured+dropped != sent || dropped == 0 || captured <= first.packets {
		t.Errorf("of %d packets sent, %d received, %d captured, %d dropped", sent, received, captured, dropped)
	}
	events, stats := b.events("live.jsonl")
	if lost := stats["drops"].(map[string]any)["packets_lost"]; stats["packets"] != float64(captured) || lost != float64(dropped) {
		t.Errorf("stats tell %v packets and %v lost, want %d and %d", stats["packets"], lost, captured, dropped)
	}
	inWindows, lost, lossy := 0, 0, 0
	for _, line := range events {
		var e struct {
			Window *struct {
				Packets, Lost int
				Anomalous     bool
			}
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if e.Window == nil {
			continue
		}
		inWindows += e.Window.Packets
		lost += e.Window.Lost
		if e.Window.Lost > 0 {
			lossy++
			if e.Window.Packets == 0 && e.Window.Anomalous {
				t.Errorf("an alarm for what was lost: %s", line)
			}
		}
	}
	if lost != dropped || lossy < 5 || inWindows == 0 {
		t.Errorf("windows hold %d packets, and %d of them tell a loss of %d packets, want 5 at least and %d", inWindows, lossy, lost, dropped)
	}
	b.run("", b.weir, "run", "-q", "-r", "seen.pcapng", "-o", "replay.jsonl")
	if got, want := b.flowFacts("live.jsonl"), b.flowFacts("replay.jsonl"); !slices.Equal(got, want) {
		t.Errorf("other flows than in the recording: %s", firstDifference(got, want))
	}
}

// TestWatchingSaysWhatHappens watches two interfaces, one of which carries merged frames, goes down, comes back and is removed.
func TestWatchingSaysWhatHappens(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	b := newBench(t)
	b.run(b.near, "ip", "link", "add", "near2", "mtu", "1500", "type", "veth", "peer", "name", "far2", "netns", strings.Split(b.far, "/")[2])
	b.run(b.near, "ip", "link", "set", "near2", "arp", "off", "addrgenmode", "none", "up")
	b.run(b.far, "ip", "link", "set", "far2", "arp", "off", "addrgenmode", "none", "mtu", "9000", "up")
	sent := b.asSent("tiny.pcapng", b.sample("tiny.pcap"))
	var large bytes.Buffer
	if err := attack.Write(&large, "large", 10, 1); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path("large.pcap"), large.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	play := func(file, far string) { b.run(b.far, "tcpreplay", "-q", "--no-flow-stats", "-i", far, "-t", file) }

	w := b.start("weir", b.weir, "run", "-i", "near,near2", "-o", "live.jsonl", "-w", "seen.pcapng")
	said := func(what string) {
		t.Helper()
		b.until(what, func() bool { return strings.Contains(w.stderr.String(), what) })
	}
	if link := b.run(b.near, "ip", "-d", "link", "show", "near2"); !strings.Contains(link, "promiscuity 1") {
		t.Errorf("the interface is not in promiscuous mode: %s", link)
	}
	play("tiny.pcapng", "far")
	b.run(b.near, "ip", "link", "set", "near2", "mtu", "9000")
	play("large.pcap", "far2")
	said("weir: near2: frames are longer than the link allows: packets are merged before they are captured")
	said("ethtool -K near2 gro off lro off tso off gso off")
	b.run(b.near, "ip", "link", "set", "near2", "down")
	said("weir: near2 is down: waiting for it to come back")
	b.run(b.near, "ip", "link", "set", "near2", "up")
	said("weir: near2 is up again")
	b.run(b.near, "ip", "link", "del", "near2")
	said("weir: near2 has gone")
	play("tiny.pcapng", "far")
	b.await(func() bool { return b.recorded("seen.pcapng") == 2*sent.packets+10 })
	w.signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := w.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitPartly {
		t.Errorf("it ends with %v, want exit status %d", err, exitPartly)
	}
	if captured, received, dropped := w.counts(); captured != 2*sent.packets+10 || received != captured || dropped != 0 {
		t.Errorf("%d packets captured, %d received, %d dropped; want all %d", captured, received, dropped, 2*sent.packets+10)
	}
	_, stats := b.events("live.jsonl")
	both := fmt.Sprint(stats["capture"])
	want := fmt.Sprintf("[map[captured:%[1]d dropped:0 interface:near received:%[1]d] map[captured:10 dropped:0 interface:near2 oversize:10 received:10]]", 2*sent.packets)
	if both != want {
		t.Errorf("stats tell\n%s, want\n%s", both, want)
	}
}

// TestWithoutTheRightToCapture is what who has not the right is told.
func TestWithoutTheRightToCapture(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	b := newBench(t)
	for _, test := range []struct {
		args string
		code int
		want string
	}{
		{"run -i near", exitFailed, "sudo setcap cap_net_raw=ep "},
		{"run -i near --user nobody", exitFailed, "sudo setcap cap_net_raw=ep "},
		{"run -i nowhere", exitFailed, "no such interface: weir interfaces lists them"},
		{"interfaces", exitDone, "This user may not capture: start it with sudo"},
	} {
		cmd := b.command(b.near, append([]string{"setpriv", "--bounding-set=-net_raw", b.weir}, strings.Fields(test.args)...)...)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != test.code || !strings.Contains(string(out), test.want) {
			t.Errorf("weir %s: status %d (%v), want %d and %q\n%s", test.args, code, err, test.code, test.want, out)
		}
	}
}

// compare wants a live run to have said what the replay of its recording says. Labels that were not given for want
// of time, which is counted, are the only difference allowed.
func (b *bench) compare(name, liveFile, replayFile string, sent int) {
	b.t.Helper()
	live, stats := b.events(liveFile)
	replay, _ := b.events(replayFile)
	live = b.withoutSilence(live, replay)
	if stats["packets"] != float64(sent) || len(stats["drops"].(map[string]any)) > 0 && stats["drops"].(map[string]any)["packets_lost"] != nil {
		b.t.Errorf("%s: of %d packets the last stats are %v", name, sent, stats)
	}
	shed, _ := stats["shed"].(map[string]any)
	if shed == nil {
		if !slices.Equal(live, replay) {
			b.t.Errorf("%s: live and replay differ: %s", name, firstDifference(live, replay))
		}
		return
	}
	given := 0.0
	for _, n := range shed["flows"].(map[string]any) {
		given += n.(float64)
	}
	b.t.Logf("%s: no time for all labels: %v", name, shed)
	// Windows are the same, and so are all flows but for the label of those that were given up.
	label := regexp.MustCompile(`,"app":"[^"]*","confidence":[^,}]*(,"novel":true)?,"label_source":"[^"]*","label_packets":\d+,"model":"[^"]*"`)
	apps := regexp.MustCompile(`,"apps":\[[^\]]*\]`)
	strip := func(lines []string) (rest []string) {
		for _, line := range lines {
			if k := eventType.FindStringSubmatch(line); k[1] != "label" {
				rest = append(rest, apps.ReplaceAllString(label.ReplaceAllString(line, ""), ""))
			}
		}
		slices.Sort(rest)
		return rest
	}
	if got, want := strip(live), strip(replay); !slices.Equal(got, want) {
		b.t.Errorf("%s: live and replay differ in more than labels: %s", name, firstDifference(got, want))
	}
	flowsOf := func(lines []string) (flows []string) {
		for _, line := range lines {
			if eventType.FindStringSubmatch(line)[1] == "flow" {
				flows = append(flows, line)
			}
		}
		return flows
	}
	got, want := flowsOf(live), flowsOf(replay)
	other := 0
	for _, line := range got {
		if _, same := slices.BinarySearch(want, line); !same {
			other++
		}
	}
	if float64(other) > given {
		b.t.Errorf("%s: %d flows have another label than in the replay, and %v were given up", name, other, given)
	}
}

// privileges wants a process to have given up its rights, in all threads.
func (b *bench) privileges(pid int) {
	b.t.Helper()
	wanted := []string{"Uid:\t65534\t65534\t65534\t65534", "Gid:\t65534\t65534\t65534\t65534"}
	if !withCgo(b.t) {
		wanted = append(wanted, "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1")
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) < 2 {
		b.t.Fatalf("threads of %d: %v, %v", pid, threads, err)
	}
	for _, thread := range threads {
		data, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		for _, want := range wanted {
			if !strings.Contains(string(data), want+"\n") {
				b.t.Errorf("%s has no line %q", thread, want)
			}
		}
	}
}

// lockedBuffer is a buffer that one goroutine may read while another writes. Its zero value is ready for use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// withCgo reports whether this test, and so the program it runs, was built with cgo, which weir is not.
func withCgo(t *testing.T) bool {
	t.Helper()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("no build information")
	}
	return slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "CGO_ENABLED" && s.Value == "1" })
}

// The packets of alerts on an interface are kept, with a history and several workers, and give the same score again.
func TestLiveKeepsEvidence(t *testing.T) {
	if testing.Short() {
		t.Skip("not in short mode")
	}
	b := newBench(t)
	b.trainAnomaly()
	sent := b.asSent("sent.pcapng", b.sample("demo.pcapng.zst"))
	w := b.start("weir", b.weir, "run", "-i", "near", "--workers", "2", "--ring-memory", "32MiB", "--user", "root", "--anomaly", "anomaly",
		"--store", "history", "-o", "live.jsonl", "-w", "seen.pcapng")
	b.run(b.far, "tcpreplay", "-q", "--no-flow-stats", "-i", "far", "-p", "10000", "sent.pcapng")
	b.await(func() bool { return b.size("seen.pcapng") >= sent.pcapng })
	w.stop()
	type alert struct {
		Start    string
		Score    json.Number
		Packets  int
		Evidence struct {
			Packets int
			Exact   bool
			Slices  []string
		}
	}
	alerts := func(file string) (found []alert) {
		for _, line := range b.lines(file) {
			var e struct{ Alert *alert }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			if e.Alert != nil {
				found = append(found, *e.Alert)
			}
		}
		return found
	}
	exact := 0
	for i, a := range alerts("live.jsonl") {
		if !a.Evidence.Exact {
			continue
		}
		exact++
		again := fmt.Sprintf("again-%d.jsonl", i)
		b.run(b.near, append([]string{b.weir, "run", "-q", "--anomaly", "anomaly", "-o", again, "-r"}, a.Evidence.Slices...)...)
		got := alerts(again)
		if len(got) == 0 || got[len(got)-1].Start != a.Start || got[len(got)-1].Score != a.Score || got[len(got)-1].Packets != a.Packets {
			t.Errorf("the window of %s scores %s; its packets, again: %+v", a.Start, a.Score, got)
		}
	}
	if exact == 0 {
		t.Fatalf("none of %d alerts can be judged again", len(alerts("live.jsonl")))
	}
	b.run(b.near, b.weir, "alerts", "export", "1.1", "--store", "history", "-w", "one.pcapng")
	if b.size("one.pcapng") == 0 {
		t.Error("nothing was exported")
	}
}
