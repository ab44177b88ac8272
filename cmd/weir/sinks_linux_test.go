package main

import (
	"bufio"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestSinksWhileWatching rotates the file of events, and fills a disk, while an interface is watched, which is then watched again.
func TestSinksWhileWatching(t *testing.T) {
	b := newBench(t)
	log, err := net.ListenPacket("unixgram", b.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := os.Chmod(b.path("log"), 0o777); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	go func() {
		for buf := make([]byte, 1<<20); ; {
			n, _, err := log.ReadFrom(buf)
			if err != nil {
				return
			}
			if strings.Contains(string(buf[:n]), `]: {"timestamp"`) {
				sent.Add(1)
			}
		}
	}()
	w := b.start("weir", b.weir, "run", "-i", "near", "--user", "root", "-o", b.path("events"), "--send", "syslog:"+b.path("log"))
	full := b.start("weir", b.weir, "run", "-i", "near", "--user", "root", "-o", "/dev/full")
	lines := func(name string) (n int64) {
		f, err := os.Open(b.path(name))
		if err != nil {
			return -1
		}
		defer f.Close()
		in := bufio.NewScanner(f)
		for in.Buffer(nil, 1<<20); in.Scan(); n++ {
			if !strings.HasPrefix(in.Text(), `{"timestamp"`) || !strings.HasSuffix(in.Text(), "}") {
				t.Errorf("%s: %s is no event", name, in.Text())
			}
		}
		return n
	}
	b.run(b.far, "tcpreplay", "-q", "-t", "-i", "far", b.sample("tiny.pcap"))
	b.until("events", func() bool { return lines("events") > 0 })
	if err := os.Rename(b.path("events"), b.path("events.1")); err != nil {
		t.Fatal(err)
	}
	w.signal(syscall.SIGHUP)
	b.until("a new file", func() bool { return lines("events") == 0 })
	w.stop()
	full.stop()
	if n, m := lines("events.1"), lines("events"); n == 0 || m == 0 {
		t.Errorf("%d events before the rotation and %d after it", n, m)
	}
	all := lines("events.1") + lines("events")
	b.until("all events in syslog", func() bool { return sent.Load() == all })
	if text := full.stderr.String(); !strings.Contains(text, "no space left on device") || !strings.Contains(text, "output_failed") {
		t.Errorf("a full disk is told as\n%s", text)
	}
	before := lines("events")
	b.start("weir again", b.weir, "run", "-i", "near", "--user", "root", "-o", b.path("events")).stop()
	if n := lines("events"); n <= before {
		t.Errorf("%d events after a restart, %d before", n, before)
	}
}

// TestSignalsAtOnce wants several signals at the same time, as timeout(1) sends them, to be one wish for a clean end.
func TestSignalsAtOnce(t *testing.T) {
	b := newBench(t)
	w := b.start("weir", b.weir, "run", "-i", "near", "--user", "root", "-o", b.path("events"))
	for range 50 {
		w.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		time.Sleep(time.Millisecond)
	}
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, w.stderr.String())
	}
}
