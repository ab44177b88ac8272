// Package sink takes lines of events out of weir: into a file that is rotated, over TCP and UDP, to syslog. What it writes to may
// go away; then lines are lost and counted, and whoever writes goes on.
//
//	n, err := sink.Dial("tcp://collector.example:5170", tell)
//	n.Write(line) // never waits
//	n.Close(2 * time.Second)
package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Reasons for which lines are lost.
const (
	QueueFull    = "send_queue_full" // the other side is gone or slow, and as much waits as may
	SendFailed   = "send_failed"     // a datagram was not taken, or there was no more time at the end
	TooLong      = "send_too_long"   // for a datagram
	OutputFailed = "output_failed"   // a file could not be written
)

// Bounds of what waits for the other side.
const (
	maxLines = 65_536
	maxBytes = 16 << 20
)

// maxUDP is the longest payload of UDP over IPv4.
const maxUDP = 65_507

// Network sends lines. Write, by one goroutine, never waits; another one sends.
type Network struct {
	Name string // as given

	network, address string
	head             []byte // before each line
	tell             func(string)

	lines               chan []byte
	bytes               atomic.Int64 // that wait
	full, failed, large atomic.Uint64
	cancel              context.CancelFunc
	done                sync.WaitGroup
}

// Parse checks a destination: tcp://HOST:PORT, udp://HOST:PORT, syslog: for /dev/log, or syslog:PATH.
func Parse(to string) (network, address string, err error) {
	u, err := url.Parse(to)
	if err != nil {
		return "", "", fmt.Errorf("sink: %q: want syslog:, tcp://HOST:PORT or udp://HOST:PORT", to)
	}
	switch {
	case u.Scheme == "syslog" && u.Host == "" && u.Opaque == "" && u.RawQuery == "":
		if u.Path == "" {
			return "unixgram", "/dev/log", nil
		}
		return "unixgram", u.Path, nil
	case (u.Scheme == "tcp" || u.Scheme == "udp") && u.Hostname() != "" && u.Port() != "" && u.Path == "" && u.RawQuery == "" && u.User == nil:
		return u.Scheme, u.Host, nil
	}
	return "", "", fmt.Errorf("sink: %q: want syslog:, tcp://HOST:PORT or udp://HOST:PORT", to)
}

// Dial returns what sends to a destination, and begins to connect; that nobody is there yet is no error. tell takes what a person
// should know, from another goroutine.
func Dial(to string, tell func(string)) (*Network, error) {
	n := &Network{Name: to, tell: tell, lines: make(chan []byte, maxLines)}
	var err error
	if n.network, n.address, err = Parse(to); err != nil {
		return nil, err
	}
	if n.network == "unixgram" {
		n.head = fmt.Appendf(nil, "<134>weir[%d]: ", os.Getpid()) // RFC 3164 section 4.1.1: facility local0, severity informational
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.done.Go(func() { n.run(ctx) })
	return n, nil
}

// Write takes one line, which it copies, or counts it as lost. It never fails.
func (n *Network) Write(line []byte) (int, error) {
	size := int64(len(line))
	if n.bytes.Add(size) > maxBytes {
		n.bytes.Add(-size)
		n.full.Add(1)
		return len(line), nil
	}
	select {
	case n.lines <- bytes.Clone(line):
	default:
		n.bytes.Add(-size)
		n.full.Add(1)
	}
	return len(line), nil
}

// AddLost adds the lines that were lost to the counts, by reason.
func (n *Network) AddLost(counts map[string]uint64) {
	for reason, c := range map[string]*atomic.Uint64{QueueFull: &n.full, SendFailed: &n.failed, TooLong: &n.large} {
		if lost := c.Load(); lost > 0 {
			counts[reason] += lost
		}
	}
}

// Close sends what waits, for as long as is given. Nothing may be written after it.
func (n *Network) Close(wait time.Duration) {
	close(n.lines)
	end := time.AfterFunc(wait, n.cancel)
	n.done.Wait()
	end.Stop()
	n.cancel()
}

// Waits between two attempts to connect.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
)

// run sends line after line until there are no more, or ctx ends: then the rest is lost.
func (n *Network) run(ctx context.Context) {
	var conn net.Conn
	defer func() {
		if conn != nil {
			conn.Close()
		}
	}()
	how := trouble{tell: n.tell}
	again := func() string { return fmt.Sprintf("events are sent to %s again", n.Name) }
	broken := func(err error) {
		if conn != nil {
			conn.Close()
			conn = nil
		}
		how.fails("events are not sent to "+n.Name, err)
	}
	for line := range n.lines {
		n.bytes.Add(-int64(len(line)))
		if len(n.head) > 0 {
			line = append(bytes.Clone(n.head), bytes.TrimSuffix(line, []byte("\n"))...)
		}
		if n.network == "udp" && len(line) > maxUDP {
			n.large.Add(1)
			continue
		}
		for wait := firstWait; ; wait = min(2*wait, lastWait) {
			if ctx.Err() != nil {
				n.failed.Add(1)
				break
			}
			err := n.send(ctx, &conn, line)
			if err == nil {
				how.works(again)
				break
			}
			if errors.Is(err, syscall.EMSGSIZE) {
				n.large.Add(1)
				break
			}
			broken(err)
			if n.network != "tcp" { // the next datagram may arrive
				n.failed.Add(1)
				break
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
	}
}

// sendTimeout is how long connecting and sending a line may take.
const sendTimeout = 10 * time.Second

// send sends a line, over a new connection if there is none.
func (n *Network) send(ctx context.Context, conn *net.Conn, line []byte) error {
	ctx, stop := context.WithTimeout(ctx, sendTimeout)
	defer stop()
	if *conn == nil {
		c, err := new(net.Dialer).DialContext(ctx, n.network, n.address)
		if err != nil {
			return err
		}
		*conn = c
	}
	c := *conn
	c.SetWriteDeadline(time.Now().Add(sendTimeout))
	defer context.AfterFunc(ctx, func() { c.SetWriteDeadline(time.Unix(1, 0)) })()
	_, err := c.Write(line)
	return err
}
