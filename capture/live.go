package capture

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/packet"
)

// AnyInterface is the name that stands for all interfaces at once. Their packets come in Linux's cooked form
// (packet.LinkSLL2), since their links differ.
const AnyInterface = "any"

// LiveConfig says what Live captures. Zero values take the defaults.
type LiveConfig struct {
	Interfaces    []string      // names
	Rings         int           // per interface: as many processors put packets away side by side; default 1
	RingMemory    int           // bytes of all rings together; default 64 MiB for each, no more than 1 GiB
	SnapLen       int           // captured bytes of a packet; default 262144
	NoPromiscuous bool          // packets for this machine alone
	BlockTimeout  time.Duration // after which the kernel hands over a block that is not full; default 20 ms

	// Filter returns the filter for interfaces of a link type. nil: all packets are wanted.
	Filter func(packet.LinkType) (LiveFilter, error)
}

// LiveFilter says which packets are wanted. Its parts mean the same; which of them is used depends on the interface.
type LiveFilter struct {
	// Match decides on a frame as it is in files: with its VLAN tags, and the cooked header where there is one. It is used on
	// frames that the kernel sees otherwise. nil: the kernel alone decides.
	Match func(frame []byte, wireLen int) bool
	// Program is the same as classic BPF.
	Program []bpf.RawInstruction
	// Socket is the same as classic BPF for a packet socket, which sees frames without their outermost tag and asks the
	// kernel for it. nil: Program is used on what has no such tag, Match on what has one.
	Socket []bpf.RawInstruction
}

func (c LiveConfig) withDefaults() LiveConfig {
	if c.Rings <= 0 {
		c.Rings = 1
	}
	if c.RingMemory <= 0 {
		c.RingMemory = min(64<<20*c.Rings*len(c.Interfaces), 1<<30)
	}
	if c.SnapLen <= 0 {
		c.SnapLen = 262144
	}
	if c.BlockTimeout <= 0 {
		c.BlockTimeout = 20 * time.Millisecond
	}
	return c
}

// LiveCounts are the counts of one interface since the start.
type LiveCounts struct {
	Interface string
	Captured  uint64 // packets that Read gave out
	Received  uint64 // packets that passed the filter: captured, waiting in the rings, or dropped
	Dropped   uint64 // packets that found no room in the rings
	Missed    uint64 // packets that the card found no room for, as far as its driver tells
	Oversize  uint64 // frames longer than the link allows: several packets that the card or the kernel merged
	Down      bool   // the interface is down, for now
	Gone      bool   // the interface is no longer there
}

// Loss is packets that were lost before Read could give them out: no later than Nanos, and a tenth of a second earlier at
// most, as far as is known. The kernel tells how many, not when: what was lost while Read was not called for longer is spread
// evenly over that time, and what the driver tells over a second.
type Loss struct {
	Nanos   int64
	Packets uint64
}

// Errors of OpenLive.
var (
	ErrNoLive       = errors.New("capture: live capture works on Linux alone")
	ErrNoPermission = errors.New("capture: capturing needs the capability CAP_NET_RAW")
	ErrDown         = errors.New("the interface is down")
	ErrNoInterface  = errors.New("no such interface")
)

// idle is how long Read waits for packets before it returns without any.
const idle = 100 * time.Millisecond

// holdBack is how long after its time a packet may become visible in a ring, beside the block timeout: the kernel's timers
// are not exact, least of all on a busy machine. In a ring whose open block is empty there is no such packet, but one may be on its
// way from where it got its time, for no longer than onItsWay.
const (
	holdBack = 80 * time.Millisecond
	onItsWay = 5 * time.Millisecond
)

// ParseInterfaces splits lists of interfaces, "eth0,eth1", and refuses what stands twice.
func ParseInterfaces(lists []string) ([]string, error) {
	var names []string
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			switch name = strings.TrimSpace(name); {
			case name == "":
				return nil, fmt.Errorf("capture: empty interface name in %q", list)
			case slices.Contains(names, name):
				return nil, fmt.Errorf("capture: interface %s given twice", name)
			}
			names = append(names, name)
		}
	}
	if len(names) > 1 && slices.Contains(names, AnyInterface) {
		return nil, errors.New("capture: any stands for all interfaces and goes with no other")
	}
	return names, nil
}
