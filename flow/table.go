package flow

import (
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// Config is how a Table keeps flows. The zero value takes the defaults.
type Config struct {
	Lifetime       time.Duration // without a packet until a flow ends; default 3600 s (paper A)
	Active         time.Duration // from the first packet until a flow is cut; default 0: never
	Directional    bool          // each direction is a flow of its own
	MaxFlows       int           // flows at a time; default 1,000,000
	OpeningPackets int           // payloads kept per flow (paper A: T); default 10, negative for none
	OpeningBytes   int           // captured bytes kept per payload; default 784
	PayloadMemory  int           // bytes of all openings at a time; default 128 MiB
	FragmentCache  int           // first fragments remembered at a time; default 4096

	OnEnd func(*Flow) // called for each flow that ends; the flow is valid until it returns
}

// Stats counts what a Table has seen. Counters never go back.
type Stats struct {
	Flows            uint64 // flows started
	Alive            int    // flows in the table now
	Ended            [NumEndReasons]uint64
	PayloadsKept     uint64 // payloads that joined an opening
	PayloadsRefused  uint64 // payloads that did not, because PayloadMemory was used up
	PayloadMemory    int    // bytes that openings hold now
	FragmentsJoined  uint64 // later fragments that joined the flow of their first fragment
	FragmentsAlone   uint64 // later fragments whose first fragment was not known
	FragmentsEvicted uint64 // first fragments forgotten early because FragmentCache was used up
	TimeBackwards    uint64 // packets older than the latest one of their flow
}

// Table is paper A's flow table. It is used by one goroutine.
type Table struct{ cfg Config }

// New returns an empty table.
func New(cfg Config) *Table { return &Table{cfg: cfg} }

// Update counts a packet, the ordinal-th of the stream, into its flow and returns the flow, the
// packet's direction in it and whether the packet's payload joined the opening. A packet without a
// valid IP header has no flow: f is nil.
func (t *Table) Update(h *packet.Headers, p *capture.Packet, ordinal uint64) (f *Flow, dir Direction, payload bool) {
	return nil, Originator, false
}

// Sweep ends the flows whose lifetime is over at now, in order of their first packets.
func (t *Table) Sweep(now int64) {}

// Flush ends all flows for the reason given, in order of their first packets.
func (t *Table) Flush(reason EndReason) {}

// Release gives the opening of a flow back to the pool; no further payload of the flow is kept.
func (t *Table) Release(f *Flow) {}

// Stats returns the counters.
func (t *Table) Stats() Stats { return Stats{} }
