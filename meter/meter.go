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
	Counted bool // in the window of its time
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
	WindowMemory int            // bytes of open windows above which the older ones close; 0: window.DefaultMemory
	OnWindow     func(*window.Window)

	// OnPacket is called for every packet in stream order, before its Handler: with its place in the
	// stream from 0, its time, its headers, and whether it counts in the window of its time.
	OnPacket func(ordinal uint64, nanos int64, h *packet.Headers, counted bool)

	// OnTick is called before the first packet past each multiple of Every since the Unix epoch,
	// with its time, when the Handlers have seen all packets before it; 0: never.
	Every  time.Duration
	OnTick func(nanos int64)

	// OnRest is called now and then while Close ends the open flows, when no worker runs: for
	// Drain, so that a million flows are not held at once. It may be nil.
	OnRest func()
}

// Counters are what a Meter has counted since it was made.
type Counters struct {
	Packets      uint64
	Bytes        uint64 // frames on the wire
	Decoded      [packet.NumReasons]uint64
	Flow         flow.Stats // sums over the workers
	Window       window.Stats
	Lost         uint64 // packets that the capture dropped
	ClosedForMem uint64 // times that windows closed early because of WindowMemory
	// TimeOutliers counts packets more than an hour ahead of the stream that too few of the packets
	// around them agreed with. They count in their flows and windows, but move no clock.
	TimeOutliers uint64
}

// Meter spreads packets over workers by address pair, so that both directions of a flow, its
// fragments and its ICMP messages meet in one table, and nothing is locked. Whatever it does between
// packets, it does at places of the stream that the packets' own times and numbers give, so its
// results depend neither on how the stream is cut into batches nor on the number of workers. The
// caps alone are the exception: tables share flow.Config's limits, and workers' parts of a window
// fill WindowMemory sooner than the whole would, so what goes at a cap depends on the number of
// workers. Methods are called by one goroutine.
type Meter struct {
	cfg      Config
	filter   *window.Filter
	clock    *window.Clock
	series   *window.Series
	workers  []*worker
	items    []item
	counters Counters
	time     streamTime
	open     int64 // windows that begin before this time have closed

	sweepFrom, sweepTo int64 // the second of the last sweep
	nextTick           int64
	accumulators       []*window.Accumulator // of the workers
	taken              [][]window.Part
}

// item is a packet on its way to its worker.
type item struct {
	headers packet.Headers
	packet  *capture.Packet
	ordinal uint64
	worker  int
	counts  bool // in windows
	counted bool // in the window of its time, which is still open
	sweep   bool // flows whose time is over at the packet's end before it
}

// New returns a Meter with the given number of workers, at least one. handler is called once
// per worker; it may be nil with NoFlows.
func New(cfg Config, workers int, handler func(worker int) Handler) (*Meter, error) {
	if cfg.WindowMemory == 0 {
		cfg.WindowMemory = window.DefaultMemory
	}
	m := &Meter{cfg: cfg, open: math.MinInt64, nextTick: math.MinInt64}
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
		w := newWorker(cfg, i, workers, m.series, handler)
		m.workers = append(m.workers, w)
		m.accumulators = append(m.accumulators, w.windows)
	}
	m.taken = make([][]window.Part, len(m.workers))
	return m, nil
}

// Add meters a batch. When it returns, nothing of the batch is held any more, and the Handlers
// have seen all of it.
func (m *Meter) Add(batch []capture.Packet) {
	if cap(m.items) < len(batch) {
		m.items = make([]item, len(batch))
	}
	m.items = m.items[:len(batch)]
	from := 0
	for i := range batch {
		it, nanos := &m.items[i], batch[i].Nanos
		reason := m.decode(it, &batch[i])
		believed := m.time.observe(nanos)
		over := it.counts && believed && m.clock.Observe(nanos)
		bound := m.series != nil && it.ordinal%boundEvery == 0
		tick := m.cfg.Every > 0 && believed && nanos >= m.nextTick
		if over || bound || tick {
			m.run(m.items[from:i])
			from = i
			if over {
				m.closeWindows(m.clock.Due())
			}
			if bound {
				m.boundWindows()
			}
			if tick {
				m.tick(nanos)
			}
		}
		m.counters.Packets++
		m.counters.Bytes += uint64(batch[i].WireLen)
		m.counters.Decoded[reason]++
		it.counted = it.counts && nanos >= m.open
		if it.sweep = believed && (nanos < m.sweepFrom || nanos >= m.sweepTo); it.sweep {
			m.sweepOnce(nanos)
		}
		if m.cfg.OnPacket != nil {
			m.cfg.OnPacket(it.ordinal, nanos, &it.headers, it.counted)
		}
	}
	m.run(m.items[from:])
}

// sweepOnce notes that flows are swept at a time, and need not be again in the same second.
func (m *Meter) sweepOnce(nanos int64) {
	second := window.Index(nanos, time.Second)
	m.sweepFrom, m.sweepTo = window.Start(second, time.Second), window.Start(second+1, time.Second)
}

// tick calls OnTick, but for the first packet, at a time that the stream has come to.
func (m *Meter) tick(nanos int64) {
	if m.nextTick != math.MinInt64 {
		m.cfg.OnTick(nanos)
	}
	m.nextTick = window.Start(window.Index(nanos, m.cfg.Every)+1, m.cfg.Every)
}

// Lose counts packets that the capture dropped around a time.
func (m *Meter) Lose(nanos int64, packets uint64) {
	m.counters.Lost += packets
	if m.series != nil && packets > 0 {
		m.workers[0].windows.Lose(nanos, packets)
	}
}

// Close ends the stream: the open flows end, then the open windows close.
func (m *Meter) Close() {
	m.time.close()
	// The flows end in parts, so that what the Handlers find of them is never held all at once.
	const parts = 16
	for part := uint64(1); part <= parts; part++ {
		before := m.counters.Packets / parts * part
		if part == parts {
			before = math.MaxUint64
		}
		for _, w := range m.workers {
			w.flush(m.counters.Packets, before)
		}
		if m.cfg.OnRest != nil {
			m.cfg.OnRest()
		}
	}
	if m.series == nil {
		return
	}
	if m.time.known && m.cfg.Lateness >= 0 {
		// What is still ahead are packets that nothing agreed with: no silence lies before them.
		m.closeWindows(window.Index(m.time.now, m.cfg.Window) + 1)
		m.series.SkipGaps()
	}
	m.closeWindows(math.MaxInt64)
}

// Span returns the oldest and newest packet time of the stream that is to be believed, see
// Counters.TimeOutliers; newest is math.MinInt64 before the first packet.
func (m *Meter) Span() (oldest, newest int64) { return m.time.span() }

// Counters returns the counts so far.
func (m *Meter) Counters() Counters {
	c := m.counters
	c.TimeOutliers = m.time.outliers
	for _, w := range m.workers {
		w.count(&c.Flow)
	}
	if m.series != nil {
		c.Window = m.series.Stats()
	}
	return c
}

// decode fills an item from a packet and returns why it is not whole.
func (m *Meter) decode(it *item, p *capture.Packet) (reason packet.Reason) {
	if m.cfg.Tunnels {
		reason = it.headers.DecodeInner(p.Link, p.Data, p.WireLen)
	} else {
		reason = it.headers.Decode(p.Link, p.Data, p.WireLen)
	}
	it.packet, it.ordinal, it.worker = p, m.counters.Packets, 0
	if len(m.workers) > 1 {
		it.worker = int(flow.ShardHash(&it.headers) % uint64(len(m.workers)))
	}
	it.counts = m.series != nil && it.headers.Version != 0 && m.filter.Counts(&it.headers)
	return reason
}

// closeWindows closes the windows of a lower index than before.
func (m *Meter) closeWindows(before int64) {
	m.open = max(m.open, window.Start(before, m.cfg.Window))
	for i, w := range m.workers {
		m.taken[i] = w.windows.Take(before)
	}
	m.series.Close(before, m.taken...)
}

// boundEvery is after how many packets the memory of the open windows is looked at. So many add
// no more than a few megabytes.
const boundEvery = 4096

// boundWindows closes the older half of the open windows when they hold too much memory.
func (m *Meter) boundWindows() {
	present := int64(math.MaxInt64)
	if m.time.known {
		present = window.Index(m.time.now, m.cfg.Window)
	}
	if before, needed := window.Relief(m.cfg.WindowMemory, present, m.accumulators...); needed {
		m.counters.ClosedForMem++
		m.closeWindows(before)
	}
}
