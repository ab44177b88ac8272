package main

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// receivers are those of a script, by the file that received writes.
type receivers map[string]*receiver

// receiver keeps the lines that come to it.
type receiver struct {
	mu    sync.Mutex
	lines []string
}

func (r *receiver) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line+"\n")
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines
}

// serve takes one connection after the other until l is closed.
func (r *receiver) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		for in := bufio.NewScanner(c); in.Scan(); {
			r.add(in.Text())
		}
		c.Close()
	}
}

// syslogHead is what stands before a line in syslog.
var syslogHead = regexp.MustCompile(`^<134>weir\[\d+\]: `)

// scriptReceiver makes a receiver, and a variable of where it is: receiver tcp|udp|syslog VAR FILE
func scriptReceiver(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 3, "receiver tcp|udp|syslog VAR FILE")
	r := new(receiver)
	ts.Value(receiversKey{}).(receivers)[args[2]] = r
	if args[0] == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Defer(func() { l.Close() })
		go r.serve(l)
		ts.Setenv(args[1], "tcp://"+l.Addr().String())
		return
	}
	network, address, to := "udp", "127.0.0.1:0", "udp://"
	if args[0] == "syslog" {
		network, address, to = "unixgram", filepath.Join(ts.MkAbs("."), args[2]+".socket"), "syslog:"
	}
	c, err := net.ListenPacket(network, address)
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	go func() {
		for buf := make([]byte, 1<<17); ; {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			line := string(buf[:n])
			if head := syslogHead.FindString(line); args[0] == "syslog" && head != "" {
				line = line[len(head):] + "\n"
			}
			r.add(strings.TrimSuffix(line, "\n"))
		}
	}()
	ts.Setenv(args[1], to+c.LocalAddr().String())
}

type receiversKey struct{}

// scriptReceived waits until a receiver has as many lines as another file, and writes them: received FILE OTHER
func scriptReceived(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "received FILE OTHER")
	r := ts.Value(receiversKey{}).(receivers)[args[0]]
	want := strings.Count(ts.ReadFile(args[1]), "\n")
	for deadline := time.Now().Add(time.Minute); len(r.got()) < want && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Join(r.got(), "")), 0o666))
}

// scriptNobody makes a variable of an address where nobody listens: nobody VAR
func scriptNobody(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 1, "nobody VAR")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// scriptComesBack gives a run a capture through a pipe. Whom it sends to goes away in the midst of it and comes back when that was told. What was
// sent must be whole lines of OUTPUT in their order, and the last ones: comesback CAPTURE OUTPUT
func scriptComesBack(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "comesback CAPTURE OUTPUT")
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	first, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	address := first.Addr().String()
	log := ts.MkAbs(args[1] + ".log")
	stderr, err := os.Create(log)
	ts.Check(err)
	defer stderr.Close()
	cmd := exec.Command("weir", "run", "-q", "-r", "-", "-o", args[1], "--send", "tcp://"+address)
	cmd.Dir, cmd.Env, cmd.Stderr = ts.MkAbs("."), append(os.Environ(), "HOME="+ts.Getenv("HOME")), stderr
	stdin, err := cmd.StdinPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	// give gives a little at a time until something has come to pass.
	give := func(until func() bool) {
		for !until() {
			n := min(1024, len(data))
			if n == 0 {
				ts.Fatalf("the capture has ended too early")
			}
			_, err := stdin.Write(data[:n])
			ts.Check(err)
			data = data[n:]
			time.Sleep(5 * time.Millisecond)
		}
	}
	told := func(text string) bool {
		all, err := os.ReadFile(log)
		ts.Check(err)
		return bytes.Contains(all, []byte(text))
	}
	var before []string
	lines := make(chan string, 1<<16)
	go func() {
		c, err := first.Accept()
		if err == nil {
			in := bufio.NewScanner(c)
			for n := 0; n < 5 && in.Scan(); n++ {
				lines <- in.Text() + "\n"
			}
			c.Close()
		}
		first.Close()
		close(lines)
	}()
	give(func() bool { return len(lines) >= 5 })
	for line := range lines {
		before = append(before, line)
	}
	give(func() bool { return told("events are not sent to tcp://" + address) })
	second, err := net.Listen("tcp", address)
	ts.Check(err)
	defer second.Close()
	r := new(receiver)
	go r.serve(second)
	for deadline := time.Now().Add(time.Minute); !told("events are sent to tcp://" + address + " again"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("that it is sent again is not told")
		}
	}
	_, err = stdin.Write(data)
	ts.Check(err)
	ts.Check(stdin.Close())
	err = cmd.Wait()
	text, _ := os.ReadFile(log)
	ts.Logf("%s", text)
	ts.Check(err)
	events := strings.SplitAfter(strings.TrimSuffix(ts.ReadFile(args[1]), "\n"), "\n")
	events[len(events)-1] += "\n"
	for deadline := time.Now().Add(time.Minute); len(r.got()) == 0 || r.got()[len(r.got())-1] != events[len(events)-1]; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("the last event has not come")
		}
	}
	after := r.got()
	missing := len(events) - len(before) - len(after)
	tail := events[len(events)-len(after):]
	if strings.Join(before, "") != strings.Join(events[:len(before)], "") || strings.Join(after, "") != strings.Join(tail, "") || missing < 0 {
		ts.Fatalf("of %d events came %d before and %d after it was gone, and not as they were written", len(events), len(before), len(after))
	}
	// What the system had taken for a connection that was gone is lost uncounted; the rest has waited.
	if missing > 100 {
		ts.Fatalf("%d of %d events are missing", missing, len(events))
	}
}
