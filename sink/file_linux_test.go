package sink

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const unlimited = ^uint64(0)

// limit lets no file of this process grow beyond some bytes.
func limit(t *testing.T, bytes uint64) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: min(bytes, was.Max), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk writes lines in parts of every length to a file that is full for a while. What is in it must be whole lines, and
// those that are not must have been counted.
func TestFullDisk(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	defer limit(t, unlimited)
	const lines = 60
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "%d%s\n", i, strings.Repeat(".", i*7%31))
	}
	all := text.String()
	for part := 1; part <= 200; part++ {
		name := filepath.Join(t.TempDir(), "events")
		told := 0
		o, err := Open(name, func(string) { told++ })
		if err != nil {
			t.Fatal(err)
		}
		limit(t, 211)
		for at := 0; at < len(all); at += part {
			if at > len(all)/2 {
				limit(t, unlimited)
			}
			p := all[at:min(at+part, len(all))]
			if n, err := o.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatalf("Write: %d, %v", n, err)
			}
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		kept := uint64(0)
		for line := range strings.Lines(string(got)) {
			if kept++; !strings.Contains("\n"+all, "\n"+line) {
				t.Errorf("parts of %d: %q is no line", part, line)
			}
		}
		lost := map[string]uint64{}
		if o.AddLost(lost); lost[OutputFailed] == 0 || kept+lost[OutputFailed] != lines || told == 0 || told%2 != 0 { // a short line may fit where a long one did not
			t.Errorf("parts of %d: %d lines kept, lost %v of %d, told %d times", part, kept, lost, lines, told)
		}
	}
}

func TestReopen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "events")
	told := ""
	o, err := Open(name, func(text string) { told = text })
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(o, "one")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(o, "two")
	o.Reopen()
	fmt.Fprintln(o, "three")
	o.Reopen() // it is there, and goes on
	fmt.Fprintln(o, "four")
	if err := os.RemoveAll(filepath.Dir(name)); err != nil {
		t.Fatal(err)
	}
	before := told
	o.Reopen()
	fmt.Fprintln(o, "five")
	if before != "" || !strings.Contains(told, "go on into the file that was open") {
		t.Errorf("told %q and then %q", before, told)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name = filepath.Join(dir, "events")
	if o, err = Open(name, func(text string) { t.Error(text) }); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(o, "one")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	o.Reopen()
	fmt.Fprintln(o, "two")
	o.Reopen()
	fmt.Fprintln(o, "three")
	o.Close()
	for file, want := range map[string]string{name + ".1": "one\n", name: "two\nthree\n"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", file, got, err, want)
		}
	}
}

// TestOpenAgain wants lines added to those of a run before, the last of which was cut short.
func TestOpenAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "events")
	open := func() *File {
		t.Helper()
		o, err := Open(name, func(text string) { t.Error(text) })
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	for _, line := range []string{"one\n", "two\n"} {
		o := open()
		fmt.Fprint(o, line)
		o.Close()
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, "thr")
	f.Close()
	o := open()
	fmt.Fprintln(o, "four")
	o.Close()
	if got, err := os.ReadFile(name); err != nil || string(got) != "one\ntwo\nthr\nfour\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestReopenPipe wants a pipe whose reader has gone left open as it is: to open it would wait for another reader.
func TestReopenPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "events")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	o, err := Open(name, func(text string) { t.Error(text) })
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	done := make(chan struct{})
	go func() { o.Reopen(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("a pipe without a reader is waited for")
	}
	o.Close()
}
