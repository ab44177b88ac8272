package sink

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func dial(t *testing.T, to string) *Network {
	t.Helper()
	n, err := Dial(to, func(text string) { t.Log(text) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// listen accepts one connection and gives its lines; the connection is closed after so many.
func listen(t *testing.T, address string, lines int) (at string, got chan string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	got = make(chan string, 100_000)
	go func() {
		defer close(got)
		defer l.Close()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for in := bufio.NewScanner(c); lines != 0 && in.Scan(); lines-- {
			got <- in.Text()
		}
	}()
	return l.Addr().String(), got
}

func TestTCPComesBack(t *testing.T) {
	at, first := listen(t, "127.0.0.1:0", 3)
	n := dial(t, "tcp://"+at)
	for i := range 3 {
		fmt.Fprintf(n, "line %d\n", i)
	}
	var got []string
	for line := range first {
		got = append(got, line)
	}
	if text := strings.Join(got, ","); text != "line 0,line 1,line 2" {
		t.Fatalf("got %s", text)
	}
	// The other side is gone. What is written until the system says so may be lost; then lines wait.
	_, second := listen(t, at, -1)
	var last string
	for i := 3; last == ""; i++ {
		fmt.Fprintf(n, "line %d\n", i)
		select {
		case last = <-second:
		case <-time.After(5 * time.Millisecond):
		}
	}
	fmt.Fprintf(n, "the end\n")
	n.Close(time.Minute)
	for line := range second {
		last = line
	}
	lost := map[string]uint64{}
	if n.AddLost(lost); last != "the end" || len(lost) > 0 {
		t.Errorf("the last line is %q, lost %v", last, lost)
	}
}

// TestNobodyThere wants every line counted when the other side never is, and no more kept than may be.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	n := dial(t, "tcp://"+l.Addr().String())
	line := append(make([]byte, 1000), '\n')
	const lines = 2 * maxBytes / 1001
	for range lines {
		n.Write(line)
	}
	if n.bytes.Load() > maxBytes {
		t.Errorf("%d bytes wait, at most %d may", n.bytes.Load(), maxBytes)
	}
	n.Close(0)
	lost := map[string]uint64{}
	if n.AddLost(lost); lost[QueueFull] == 0 || lost[SendFailed] == 0 || lost[QueueFull]+lost[SendFailed] != lines {
		t.Errorf("of %d lines are lost %v", lines, lost)
	}
}

func TestDatagrams(t *testing.T) {
	for _, network := range []string{"udp", "unixgram"} {
		t.Run(network, func(t *testing.T) {
			address, to := "127.0.0.1:0", "udp://"
			if network == "unixgram" {
				if runtime.GOOS == "windows" {
					t.Skip("no syslog")
				}
				address = filepath.Join(t.TempDir(), "log")
				to = "syslog:"
			}
			c, err := net.ListenPacket(network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			n := dial(t, to+c.LocalAddr().String())
			n.Write([]byte("one\n"))
			n.Write(append(make([]byte, 1<<20), '\n')) // more than a datagram holds
			n.Write([]byte("two\n"))
			n.Close(time.Minute)
			want := []string{"one\n", "two\n"}
			for _, w := range want {
				if network == "unixgram" {
					w = string(n.head) + strings.TrimSuffix(w, "\n")
				}
				var buf [2048]byte
				c.SetReadDeadline(time.Now().Add(time.Minute))
				k, _, err := c.ReadFrom(buf[:])
				if err != nil || string(buf[:k]) != w {
					t.Errorf("got %q, %v, want %q", buf[:k], err, w)
				}
			}
			lost := map[string]uint64{}
			if n.AddLost(lost); len(lost) != 1 || lost[TooLong] != 1 {
				t.Errorf("lost %v, want one that is too long", lost)
			}
		})
	}
}

func TestParse(t *testing.T) {
	for to, want := range map[string]string{
		"tcp://collector.example:5170": "tcp collector.example:5170", "udp://[::1]:514": "udp [::1]:514", "syslog:": "unixgram /dev/log", "syslog:/run/log": "unixgram /run/log",
		"": "", "tcp://collector.example": "", "tcp://:514": "", "tcp://a:0": "", "udp://a:65536": "", "tcp://a:1/path": "", "http://a:1": "", "syslog://a": "", "syslog:log": "", "tcp://u@a:1": "", "%": "",
	} {
		network, address, err := Parse(to)
		if got := network + " " + address; err == nil && got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", to, got, err, want)
		}
	}
}
