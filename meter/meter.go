// Package meter is the one place that turns packets into what models see: flows with the
// openings of their payloads, and windows with their 53 features. Training, evaluation, replay and
// live watching all drive it, so that a model meets in service what it met in training. It
// knows no models and no outputs.
//
//	m, err := meter.New(meter.Config{Window: 5 * time.Second, OnWindow: f}, 2, newHandler)
//	for each batch of capture.Reader.Read { m.Add(batch) }
//	m.Close()
package meter

import (
	"math"
	"net/netip"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// Handler sees what happens to the flows of one worker, in stream order. It is called by one
// goroutine at a time; what it is given is valid until it returns.
type Handler interface {
	// Packet is called for every packet that belongs to a flow, after the flow was updated.
	Packet(p *Packet)
	// Ended is called when a flow ends; at is the ordinal of the packet that showed it, or of
	// the packet to come when it was time that did.
	Ended(f *flow.Flow, at uint64)
}

// Packet is a decoded packet with its flow.
type Packet struct {
	Ordinal uint64 // place in the stream, from 0
	Capture *capture.Packet
	Headers *packet.Headers
	Flow    *flow.Flow
	Dir     flow.Direction
	Joined  bool // its payload is the last one of Flow.Opening
}

// Payload returns the captured bytes of the application payload.
func (p *Packet) Payload() []byte { return p.Headers.Payload(p.Capture.Data) }

// Config says what is metered. The zero value meters flows with paper A's settings and no windows.
type Config struct {
	Flow    flow.Config // OnEnd is the Meter's own; limits hold for all workers together
	NoFlows bool        // windows only: no flow table, no Handler
	Tunnels bool        // look into GRE, VXLAN, IP-in-IP and GTP-U

	Window       time.Duration  // length of a window; 0 means no windows
	Lateness     time.Duration  // how long a window stays open after its end; negative: until Close
	MaxGap       int64          // empty windows in a row before they are skipped; 0: window.DefaultMaxGap
	Home         []netip.Prefix // windows count packets with exactly one end in here; empty: all
	WindowMemory int            // bytes of open windows above which all but the newest close; 0: 128 MiB
	OnWindow     func(*window.Window)
}

// Counters are what a Meter has counted since it was made.
type Counters struct {
	Packets      uint64
	Bytes        uint64 // frames on the wire
	Decoded      [packet.NumReasons]uint64
	Flow         flow.Stats // sums over the workers
	Window       window.Stats
	ClosedForMem uint64 // times that windows closed early because of WindowMemory
}

// Meter spreads packets over workers by address pair, so that both directions of a flow, its
// fragments and its ICMP messages meet in one table, and nothing is locked. Its results do not
// depend on the number of workers. Methods are called by one goroutine.
type Meter struct {
	cfg      Config
	filter   *window.Filter
	clock    *window.Clock
	series   *window.Series
	workers  []*worker
	items    []item
	counters Counters
	latest   int64 // newest packet time so far
	taken    [][]window.Part
}

// item is a packet on its way to its worker.
type item struct {
	headers packet.Headers
	packet  *capture.Packet
	ordinal uint64
	worker  int
	counts  bool // in windows
}

// New returns a Meter with the given number of workers, at least one. handler is called once
// per worker; it may be nil with NoFlows.
func New(cfg Config, workers int, handler func(worker int) Handler) (*Meter, error) {
	if cfg.WindowMemory == 0 {
		cfg.WindowMemory = 128 << 20
	}
	m := &Meter{cfg: cfg, latest: math.MinInt64}
	if cfg.Window != 0 {
		var err error
		if m.filter, err = window.NewFilter(cfg.Home); err != nil {
			return nil, err
		}
		if m.series, err = window.NewSeries(cfg.Window, cfg.MaxGap, cfg.OnWindow); err != nil {
			return nil, err
		}
		m.clock = window.NewClock(cfg.Window, cfg.Lateness)
	}
	workers = max(workers, 1)
	for i := range workers {
		m.workers = append(m.workers, newWorker(cfg, i, workers, m.series, handler))
	}
	m.taken = make([][]window.Part, len(m.workers))
	return m, nil
}

// Add meters a batch. When it returns, nothing of the batch is held any more, and the Handlers
// have seen all of it.
func (m *Meter) Add(batch []capture.Packet) {
	m.decode(batch)
	from := 0
	if m.series != nil {
		for i := range m.items {
			it := &m.items[i]
			if it.counts && m.clock.Observe(it.packet.Nanos) {
				m.run(m.items[from:i])
				m.closeWindows(m.clock.Due())
				from = i
			}
		}
	}
	m.run(m.items[from:])
	for _, w := range m.workers {
		w.sweep(m.latest, m.counters.Packets)
	}
	m.boundWindows()
}

// Lose counts packets that the capture dropped since the last batch.
func (m *Meter) Lose(packets uint64) {
	if m.series != nil && packets > 0 && m.latest != math.MinInt64 {
		m.workers[0].windows.Lose(m.latest, packets)
	}
}

// Close ends the stream: the open flows end, then the open windows close.
func (m *Meter) Close() {
	for _, w := range m.workers {
		w.flush(m.counters.Packets)
	}
	if m.series != nil {
		m.closeWindows(math.MaxInt64)
	}
}

// Latest returns the newest packet time so far, math.MinInt64 before the first packet.
func (m *Meter) Latest() int64 { return m.latest }

// Counters returns the counts so far.
func (m *Meter) Counters() Counters {
	c := m.counters
	for _, w := range m.workers {
		w.count(&c.Flow)
	}
	if m.series != nil {
		c.Window = m.series.Stats()
	}
	return c
}

// decode fills items from a batch.
func (m *Meter) decode(batch []capture.Packet) {
	if cap(m.items) < len(batch) {
		m.items = make([]item, len(batch))
	}
	m.items = m.items[:len(batch)]
	for i := range batch {
		p, it := &batch[i], &m.items[i]
		var reason packet.Reason
		if m.cfg.Tunnels {
			reason = it.headers.DecodeInner(p.Link, p.Data, p.WireLen)
		} else {
			reason = it.headers.Decode(p.Link, p.Data, p.WireLen)
		}
		it.packet, it.ordinal, it.worker = p, m.counters.Packets, 0
		m.counters.Packets++
		m.counters.Bytes += uint64(p.WireLen)
		m.counters.Decoded[reason]++
		m.latest = max(m.latest, p.Nanos)
		if len(m.workers) > 1 {
			it.worker = int(flow.ShardHash(&it.headers) % uint64(len(m.workers)))
		}
		it.counts = m.series != nil && it.headers.Version != 0 && m.filter.Counts(&it.headers)
	}
}

// closeWindows closes the windows of a lower index than before.
func (m *Meter) closeWindows(before int64) {
	for i, w := range m.workers {
		m.taken[i] = w.windows.Take(before)
	}
	m.series.Close(before, m.taken...)
}

// boundWindows closes all windows but the newest when they hold too much memory.
func (m *Meter) boundWindows() {
	if m.series == nil {
		return
	}
	size := 0
	for _, w := range m.workers {
		size += w.windows.Size()
	}
	if size > m.cfg.WindowMemory {
		m.counters.ClosedForMem++
		m.closeWindows(window.Index(m.latest, m.cfg.Window))
	}
}
