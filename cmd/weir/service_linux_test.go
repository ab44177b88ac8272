package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// managed is a service manager that keeps what it is told.
type managed struct {
	mu   sync.Mutex
	told []string
}

func manage(t *testing.T, socket string) *managed {
	t.Helper()
	l, err := net.ListenPacket("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m := new(managed)
	go func() {
		for buf := make([]byte, 1<<16); ; {
			n, _, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

// count returns how many of what it was told since hold some text.
func (m *managed) count(text string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, told := range m.told {
		if strings.Contains(told, text) {
			n++
		}
	}
	return n
}

// TestServiceReadsCaptures wants a run over a capture to tell that it is ready and that it ends, over an abstract socket.
func TestServiceReadsCaptures(t *testing.T) {
	b := &bench{t: t, dir: t.TempDir()}
	b.link()
	socket := fmt.Sprintf("@weir-service-test-%d", os.Getpid())
	m := manage(t, socket)
	cmd := b.command("", b.weir, "run", "-r", b.sample("tiny.pcap"), "-o", b.path("events"))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=30000000")
	w := b.begin(nil, "weir", cmd)
	if err := w.cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, w.stderr.String())
	}
	b.until("the end", func() bool { return m.count("STOPPING=1") == 1 })
	if m.count("READY=1\nSTATUS=watching tiny.pcap") != 1 {
		t.Errorf("told %q", m.told)
	}
}

// TestServiceWhileWatching runs as a service manager does, and changes the configuration meanwhile.
func TestServiceWhileWatching(t *testing.T) {
	b := newBench(t)
	b.trainAnomaly()
	b.run("", b.weir, "train", "anomaly", "-q", "-r", b.sample("normal.pcapng.zst"), "--window", "500ms", "--epochs", "1", "--model", "other")
	m := manage(t, b.path("notify"))
	if err := os.Chmod(b.path("notify"), 0o777); err != nil {
		t.Fatal(err)
	}
	configure := func(text string) {
		t.Helper()
		if err := os.WriteFile(b.path("weir.yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const base = "interface: near\nuser: root\noutput: events\nstore: history\nevidence: none\nmodels: models\n"
	configure(base + "anomaly: anomaly\n")
	cmd := b.command(b.near, b.weir, "run", "--config", b.path("weir.yaml"), "--set", "lateness=100ms")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+b.path("notify"), "WATCHDOG_USEC=400000")
	w := b.begin(nil, "weir", cmd)
	b.until("ready", func() bool { return m.count("READY=1\nSTATUS=watching near") == 1 })
	b.until("a fed watchdog", func() bool { return m.count("WATCHDOG=1") > 3 })
	reloads := 0
	reload := func(text string, want ...string) {
		t.Helper()
		before := len(w.stderr.String())
		configure(text)
		w.signal(syscall.SIGHUP)
		reloads++
		b.until("the configuration is read again", func() bool {
			return m.count("RELOADING=1\nMONOTONIC_USEC=") == reloads && m.count("READY=1") == reloads+1
		})
		for _, line := range want {
			b.until(line, func() bool { return strings.Contains(w.stderr.String()[before:], line) })
		}
	}
	reload(base+"anomaly: anomaly\n", "nothing has changed")
	reload(base+"anomaly: anomaly\nstore-days: 7\nhtp: x\n", "the configuration is not taken over, the one before goes on:", "weir.yaml:9:1: unknown key \"htp\"", "did you mean http?")
	if m.count("; the configuration was not taken over: ") != 1 {
		t.Errorf("the status of a broken configuration is told as %q", m.told)
	}
	reload(base+"anomaly:\n\t- anomaly\n", "not taken over", "not with tabs")
	reload(strings.Repeat("#", 100_000), "not taken over", "this is no configuration")
	reload(base+"anomaly: nosuch\n", "not taken over", "nosuch has no promoted version")
	reload(base+"anomaly: anomaly\nfilter: port\n", "not taken over", "something is missing before the end")
	reload(base+"anomaly: anomaly\nstore-days: 7\nstore-bytes: 1GiB\nworkers: 3\nhttp: 127.0.0.1:0\n", "taken over: store-bytes, store-days", "what has changed of http, workers takes a restart")
	reload(base+"store-days: 7\nstore-bytes: 1GiB\n", "what has changed of anomaly takes a restart")
	reload(base+"store-days: 7\nstore-bytes: 1GiB\nanomaly: other\nlog-level: debug\n", "taken over: anomaly, log-level", "is in use from here on")
	if text := w.stderr.String(); strings.Count(text, "other@") != 1 {
		t.Errorf("the other model is not told once:\n%s", text)
	}
	reload(base + "store-days: 7\nstore-bytes: 1GiB\nanomaly: other\nlog-level: warn\n")
	b.run(b.far, "tcpreplay", "-q", "-t", "-i", "far", b.sample("tiny.pcap"))
	if err := os.Rename(b.path("events"), b.path("events.1")); err != nil {
		t.Fatal(err)
	}
	w.signal(syscall.SIGHUP)
	b.until("a new file", func() bool { return exists(b.path("events")) })
	w.signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- w.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("%v\n%s", err, w.stderr.String())
		}
	case <-time.After(2 * time.Minute):
		t.Fatalf("weir did not end\n%s", w.stderr.String())
	}
	if m.count("STOPPING=1") != 1 {
		t.Errorf("told %q", m.told)
	}
	if text := w.stderr.String(); strings.Contains(text, "packets captured,") || strings.Contains(text, "Try 'weir") {
		t.Errorf("with the level warn is told\n%s", text)
	}
	events, err := os.ReadFile(b.path("events"))
	if err != nil || !strings.Contains(string(events), `"anomaly":"other@`) || !strings.Contains(string(events), `"packets":135,`) {
		t.Errorf("the last statistics: %v\n%s", err, events)
	}
}

// TestWatchdogWhileWatching has the events of a run go into a pipe that nobody reads. It stands still, so that the watchdog must not be fed, until
// somebody reads.
func TestWatchdogWhileWatching(t *testing.T) {
	b := newBench(t)
	b.trainAnomaly()
	if err := syscall.Mkfifo(b.path("events"), 0o666); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(b.path("events"), os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	for pipe.SetWriteDeadline(time.Now().Add(time.Second)); ; {
		if _, err := pipe.Write([]byte("\n")); err != nil {
			break
		}
	}
	m := manage(t, b.path("notify"))
	cmd := b.command(b.near, b.weir, "run", "-i", "near", "--user", "root", "-o", b.path("events"), "--anomaly", "anomaly")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+b.path("notify"), "WATCHDOG_USEC=400000")
	w := b.begin(nil, "weir", cmd)
	b.until("ready", func() bool { return m.count("READY=1") == 1 })
	b.run(b.far, "tcpreplay", "-q", "-t", "-i", "far", b.sample("tiny.pcap"))
	last, since := m.count("WATCHDOG=1"), time.Now()
	b.until("the watchdog is fed no more", func() bool {
		if now := m.count("WATCHDOG=1"); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 1<<16)
		for {
			if _, err := pipe.Read(buf); err != nil {
				return
			}
		}
	}()
	b.until("the watchdog is fed again", func() bool { return m.count("WATCHDOG=1") > last+3 })
	w.stop()
	pipe.SetReadDeadline(time.Now())
	<-ended
}
