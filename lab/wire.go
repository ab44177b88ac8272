//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirnet/weir/packet"
)

// Host is one network namespace with one interface, eth0, that ends at the wire.
type Host struct {
	Name   string
	Addrs  []string      // of eth0, with prefix lengths
	TTL    int           // of the IPv4 and IPv6 packets it sends
	Stamps bool          // TCP timestamps (RFC 7323)
	Delay  time.Duration // of a frame from this host to the middle of the wire
	Jitter time.Duration // mean of what is added to Delay, exponentially distributed; no reordering
	Loss   float64       // share of this host's frames that the wire loses
	VLAN   uint16        // frames from and to this host carry this tag in recordings, 0 for none
}

// Wire is the link between hosts: a switch whose ports delay and lose frames, and the place
// where they are recorded. It stands where a veth pair with netem would: netem is not in every
// kernel, TAP devices are, and frames from a TAP have whole checksums and no segmentation offload.
type Wire struct {
	mu    sync.Mutex // one frame at a time is recorded and delivered
	ports []*port
	where map[[6]byte]*port // learned from source addresses
	tap   func(now time.Time, frame []byte)
}

type port struct {
	host  *Host
	file  *os.File // the TAP device
	queue chan delayed
}

type delayed struct {
	due   time.Time
	frame []byte
}

// NewWire makes the namespaces of hosts and joins them. They vanish with the process, which
// must be alone in a network and a mount namespace (see isolate).
func NewWire(hosts []*Host, seed uint64) (*Wire, error) {
	w := &Wire{where: map[[6]byte]*port{}}
	for i, h := range hosts {
		file, err := openTAP(h.Name)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
		script := []string{
			"ip netns add " + h.Name,
			"ip link set " + h.Name + " netns " + h.Name + " name eth0",
			"ip -n " + h.Name + " link set lo up",
			fmt.Sprintf("ip -n %s link set eth0 address 02:77:00:00:00:%02x up", h.Name, i+1),
			fmt.Sprintf("ip netns exec %s sysctl -qw net.ipv4.ip_default_ttl=%d net.ipv6.conf.all.hop_limit=%[2]d net.ipv6.conf.eth0.hop_limit=%[2]d", h.Name, h.TTL),
		}
		if !h.Stamps {
			script = append(script, "ip netns exec "+h.Name+" sysctl -qw net.ipv4.tcp_timestamps=0")
		}
		for _, addr := range h.Addrs {
			// nodad: an IPv6 address may be used at once.
			script = append(script, "ip -n "+h.Name+" addr add "+addr+" dev eth0 nodad")
		}
		for _, line := range script {
			args := strings.Fields(line)
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("%s: %w: %s", line, err, out)
			}
		}
		w.ports = append(w.ports, &port{host: h, file: file, queue: make(chan delayed, 4096)})
	}
	for i, p := range w.ports {
		go p.receive(rand.New(rand.NewPCG(seed, uint64(i))))
		go w.forward(p)
	}
	return w, nil
}

// Record gives every frame from now on to tap, in the order of time, one at a time; nil stops
// that. The frame is valid during the call only.
func (w *Wire) Record(tap func(now time.Time, frame []byte)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tap = tap
}

func openTAP(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, fmt.Errorf("make TAP device: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// receive takes frames from the host and queues them, delayed and in order, until the process ends.
func (p *port) receive(rng *rand.Rand) {
	var last time.Time
	buf := make([]byte, 65536)
	for {
		n, err := p.file.Read(buf)
		if err != nil {
			return
		}
		if rng.Float64() < p.host.Loss {
			continue
		}
		due := time.Now().Add(p.host.Delay + time.Duration(rng.ExpFloat64()*float64(p.host.Jitter)))
		if due.Before(last) {
			due = last
		}
		last = due
		select {
		case p.queue <- delayed{due, append([]byte(nil), buf[:n]...)}:
		default: // a full queue drops, as a switch does
		}
	}
}

// forward delivers the frames of one port when they are due.
func (w *Wire) forward(from *port) {
	for d := range from.queue {
		time.Sleep(time.Until(d.due))
		w.deliver(from, d.frame)
	}
}

func (w *Wire) deliver(from *port, frame []byte) {
	if len(frame) < 14 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.where[[6]byte(frame[6:12])] = from
	to := w.where[[6]byte(frame[0:6])]
	if w.tap != nil {
		vlan := from.host.VLAN
		if vlan == 0 && to != nil {
			vlan = to.host.VLAN
		}
		w.tap(time.Now(), tagged(frame, vlan))
	}
	for _, p := range w.ports {
		if p == to || to == nil && p != from {
			p.file.Write(frame) // a full device drops, as a switch does
		}
	}
}

// tagged returns the frame with an IEEE 802.1Q tag, or the frame itself without a VLAN.
func tagged(frame []byte, vlan uint16) []byte {
	if vlan == 0 {
		return frame
	}
	out := append(make([]byte, 0, len(frame)+4), frame[:12]...)
	out = binary.BigEndian.AppendUint16(out, 0x8100)
	out = binary.BigEndian.AppendUint16(out, vlan)
	return append(out, frame[12:]...)
}

// addrOf returns the address of a "10.77.0.1/16".
func addrOf(prefix string) packet.Addr { return packet.AddrFrom(netip.MustParsePrefix(prefix).Addr()) }
