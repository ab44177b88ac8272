package systemd

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestSend(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no sockets of this kind")
	}
	sockets := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		sockets = append(sockets, fmt.Sprintf("@weir-test-%d", os.Getpid()))
	}
	for _, socket := range sockets {
		l, err := net.ListenPacket("unixgram", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		m := New(environment(map[string]string{"NOTIFY_SOCKET": socket}))
		for _, test := range []struct {
			lines []string
			want  string
		}{
			{[]string{Ready, Status("two\nlines")}, "READY=1\nSTATUS=two; lines"},
			{[]string{Alive}, "WATCHDOG=1"},
		} {
			if err := m.Send(test.lines...); err != nil {
				t.Fatal(err)
			}
			var buf [1000]byte
			l.SetReadDeadline(time.Now().Add(time.Minute))
			n, _, err := l.ReadFrom(buf[:])
			if got := string(buf[:n]); err != nil || got != test.want {
				t.Errorf("%s: got %q, %v, want %q", socket, got, err, test.want)
			}
		}
	}
	if err := New(environment(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "nobody")})).Send(Ready); err == nil {
		t.Error("nobody listens, and no error")
	}
	if m := New(environment(nil)); m.There() || m.Watchdog() != 0 || m.Send(Ready) != nil {
		t.Error("without a manager something happens")
	}
}

func TestReloading(t *testing.T) {
	first, second := Reloading(), Reloading()
	if !strings.HasPrefix(first, "RELOADING=1\nMONOTONIC_USEC=") || runtime.GOOS == "linux" && strings.HasSuffix(first, "=0") || len(second) < len(first) {
		t.Errorf("got %q, then %q", first, second)
	}
}

func TestWatchdog(t *testing.T) {
	own := fmt.Sprint(os.Getpid())
	for _, test := range []struct {
		socket, micros, pid string
		want                time.Duration
	}{
		{"s", "30000000", "", 30 * time.Second}, {"s", "30000000", own, 30 * time.Second}, {"s", "30000000", own + "0", 0},
		{"", "30000000", own, 0}, {"s", "", "", 0}, {"s", "0", "", 0}, {"s", "-5", "", 0}, {"s", "x", "", 0}, {"s", "9223372036854775807", "", 0},
	} {
		m := New(environment(map[string]string{"NOTIFY_SOCKET": test.socket, "WATCHDOG_USEC": test.micros, "WATCHDOG_PID": test.pid}))
		if got := m.Watchdog(); got != test.want {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}
