//go:build linux

package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"math/rand/v2"
	"os/exec"
	"strings"
	"time"
)

// commandTime is how long one command of a client may take.
const commandTime = 20 * time.Second

// Session is one client at one host. It is used by one goroutine.
type Session struct {
	host *Host
	rng  *rand.Rand
}

// run runs a command on the session's host and tells whether it succeeded. What failed is logged:
// some of it is meant to, such as a subscriber that leaves when its time is over.
func (s *Session) run(args ...string) bool { return s.start(nil, args) }

// feed runs a command with standard input.
func (s *Session) feed(input string, args ...string) bool {
	return s.start(strings.NewReader(input), args)
}

// typed runs a command and gives it lines at the pace of a person.
func (s *Session) typed(args []string, lines ...string) bool {
	r, w := io.Pipe()
	go func() {
		for _, line := range lines {
			s.pause(300)
			io.WriteString(w, line)
		}
		w.Close()
	}()
	defer r.Close()
	return s.start(r, args)
}

func (s *Session) start(input io.Reader, args []string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := s.host.command(ctx, args...)
	cmd.Stdin = input
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	err := cmd.Run()
	if err != nil {
		log.Printf("%s: %.160q: %v: %.300s", s.host.Name, strings.Join(args, " "), err, complaint.String())
	}
	return err == nil
}

// command prepares a command on the host.
func (h *Host) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.Name}, args...)...)
	cmd.Dir = "/srv"
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/srv", "USER=user", "LOGNAME=user",
		"LC_ALL=C.UTF-8", "GIT_CONFIG_GLOBAL=/srv/conf/gitconfig", "PGUSER=lab",
	}
	return cmd
}

// name returns the name of a service, by which the client reaches it over IPv4 or IPv6.
func (s *Session) name(service string) string {
	if s.upTo(4) == 1 {
		service += "6"
	}
	return service + ".lab.example"
}

// upTo returns a number from 1 to n.
func (s *Session) upTo(n int) int { return 1 + s.rng.IntN(n) }

func (s *Session) pick(of ...string) string { return of[s.rng.IntN(len(of))] }

// pause waits about mean milliseconds.
func (s *Session) pause(mean float64) {
	time.Sleep(time.Duration(s.rng.ExpFloat64() * mean * float64(time.Millisecond)))
}
