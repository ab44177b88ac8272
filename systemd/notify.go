// Package systemd tells the service manager how a program is, by the protocol of sd_notify(3): datagrams with lines
// VARIABLE=VALUE to the socket that the environment names. Without one it does nothing.
//
//	manager := systemd.New(os.Getenv)
//	manager.Send(systemd.Ready, systemd.Status("watching eth0"))
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// What a program says of itself.
const (
	Ready    = "READY=1"    // it has started, or has read its configuration again
	Stopping = "STOPPING=1" // it ends
	Alive    = "WATCHDOG=1" // it does its work
)

// Manager is the service manager. It may be used by many goroutines.
type Manager struct {
	socket   string // its path; @ begins an abstract one. "": there is no manager
	watchdog time.Duration
}

// New returns the manager that the environment names: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID.
func New(getenv func(string) string) *Manager {
	m := &Manager{socket: getenv("NOTIFY_SOCKET")}
	if m.socket == "" {
		return m
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return m // another process is watched
	}
	if micros, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && micros > 0 && micros < int64(time.Hour/time.Microsecond)*24*365 {
		m.watchdog = time.Duration(micros) * time.Microsecond
	}
	return m
}

// There reports whether there is a manager.
func (m *Manager) There() bool { return m.socket != "" }

// Watchdog is how long the manager waits for Alive before it ends the program; 0: for ever.
func (m *Manager) Watchdog() time.Duration { return m.watchdog }

// sendTimeout is how long a manager that is busy is waited for.
const sendTimeout = 2 * time.Second

// Send sends lines in one datagram. Each has a connection of its own, since a manager may begin its socket anew.
func (m *Manager) Send(lines ...string) error {
	if m.socket == "" {
		return nil
	}
	c, err := net.Dial("unixgram", m.socket)
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(sendTimeout))
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	return nil
}

// Status is a line that people see in systemctl status.
func Status(text string) string {
	return "STATUS=" + strings.ReplaceAll(text, "\n", "; ")
}

// Reloading is what a program says before it reads its configuration again, after which it is Ready: see Type=notify-reload of
// systemd.service(5), which wants the time with it.
func Reloading() string {
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonicMicros())
}
