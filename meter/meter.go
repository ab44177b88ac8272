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
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// Handler sees what happens to the flows of one worker, in stream order. It is called by one
// goroutine at a time; what it is given is valid until it returns. A Handler that wants to see
// packets too is a PacketHandler.
type Handler interface {
	// Ended is called when a flow ends; at is the ordinal of the packet that showed it, or of
	// the packet to come when it was time that did. It is called between two calls of Packet, never in one.
	Ended(f *flow.Flow, at uint64)
}

// PacketHandler is a Handler that sees packets.
type PacketHandler interface {
	Handler
	// Packet is called for every packet that belongs to a flow, after the flow was updated.
	Packet(p *Packet)
}

// SettlingHandler is a PacketHandler that labels flows of several packets together: see Packet.Wait.
type SettlingHandler interface {
	PacketHandler
	// Settle labels the flows of all packets that Wait. Packets without a payload of these flows may have come since.
	Settle()
}

// MaxWaiting is how many packets of a worker Wait at most.
const MaxWaiting = 32

// Packet is a decoded packet with its flow.
type Packet struct {
	Ordinal uint64 // place in the stream, from 0
	Capture *capture.Packet
	Headers *packet.Headers
	Flow    flow.Ref
	Dir     flow.Direction
	Joined  bool // its payload is the last one of the flow's opening
	Counted bool // in the window of its time

	waits bool
}

// Wait may be called in a SettlingHandler's Packet, for one that Joined: the label of its flow comes by Settle. That is
// called before the flow's next packet with a payload and before anything else for which labels count, after MaxWaiting packets, and
// when the worker has taken the packets that it was given at once; nothing waits for more to be given. Flow stays valid until then, nothing
// else of the Packet does.
func (p *Packet) Wait() { p.waits = true }

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

	// OnTick is called before the first packet past each multiple of Every since the Unix epoch, with
	// that packet's time; Counters then returns the counts at that place. 0: never.
	Every  time.Duration
	OnTick func(nanos int64)

	mostEnded int // flows that end at one place before what was found of them is told; 0: mostEnded

	// Found brings what the Handlers find into the order of the stream: a *Findings, or nil.
	Found findings
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
// workers.
//
// One worker works in Add. Several share as many goroutines, of which one is the caller's: it decodes what comes next while the
// others work, and works with them when it is ahead, so that no processor waits for another for long.
// The functions of Config are called in the order of the stream by the goroutine that calls the
// Meter: OnPacket in Add, the others when all workers have come to their place, which with several
// of them may be in a later call; see Wait. Methods are called by one goroutine.
type Meter struct {
	cfg     Config
	filter  *window.Filter
	clock   *window.Clock
	series  *window.Series
	workers []*worker
	data    bool // workers look at the packets' bytes

	counters Counters // of what was decoded
	time     streamTime
	open     int64        // windows that begin before this time have closed
	before   window.Stats // of windows that are counted no more

	sweepFrom, sweepTo int64 // the second of the last sweep
	few                few
	nextTick           int64
	calm               int64 // before this time nothing has to be done but to count

	now     *stretch     // being filled
	flight  []*stretch   // with the workers, oldest first
	free    []*stretch   // to be filled again
	work    chan *worker // of several: a worker each time that it was given a stretch
	helpers sync.WaitGroup
	bounds  uint64 // marks of kind bound that were told
	sizes   [boundLag]int
	told    *Counters // at the place of the tick that is being told
	parts   [][]window.Part
}

// New returns a Meter with the given number of workers, at least one. handler is called once
// per worker; it may be nil with NoFlows. Close must be called in the end.
func New(cfg Config, workers int, handler func(worker int) Handler) (*Meter, error) {
	if cfg.WindowMemory == 0 {
		cfg.WindowMemory = window.DefaultMemory
	}
	if cfg.Found == nil {
		cfg.Found = NewFindings(func(struct{}) {})
	}
	if cfg.mostEnded == 0 {
		cfg.mostEnded = mostEnded
	}
	m := &Meter{cfg: cfg, few: few{packets: uint64(cfg.mostEnded), until: math.MaxInt64}, open: math.MinInt64, nextTick: math.MinInt64, calm: math.MinInt64}
	if cfg.Every <= 0 {
		m.nextTick = math.MaxInt64
	}
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
	for i := range max(workers, 1) {
		w := newWorker(&m.cfg, i, max(workers, 1), m.series, handler)
		m.workers = append(m.workers, w)
		m.data = !cfg.NoFlows && (cfg.Flow.OpeningPackets >= 0 || w.packets != nil)
	}
	m.now = newStretch(len(m.workers))
	if len(m.workers) > 1 {
		m.work = make(chan *worker, maxFlight*len(m.workers))
		for range len(m.workers) - 1 {
			m.helpers.Go(func() {
				for w := range m.work {
					w.step()
				}
			})
		}
	}
	return m, nil
}

// Add meters a batch. When it returns, nothing of the batch is held any more.
func (m *Meter) Add(batch []capture.Packet) {
	for len(batch) > 0 {
		if m.now.full() {
			m.pass()
		}
		batch = batch[m.decode(batch):]
	}
	if len(m.workers) == 1 {
		m.Wait()
	}
}

// decode appends packets to the stretch at hand, as many as there is room for, with the marks between
// them, and returns how many.
func (m *Meter) decode(batch []capture.Packet) (n int) {
	if m.counters.Packets%boundEvery == 0 && m.series != nil {
		m.boundWindows()
	}
	s := m.now
	room := min(cap(s.items)-len(s.items), int(boundEvery-m.counters.Packets%boundEvery))
	batch = batch[:min(len(batch), room)]
	for i := range batch {
		p := &batch[i]
		it := &s.items[:s.at+1][s.at]
		var reason packet.Reason
		if m.cfg.Tunnels {
			reason = it.headers.DecodeInner(p.Link, p.Data, p.WireLen)
		} else {
			reason = it.headers.Decode(p.Link, p.Data, p.WireLen)
		}
		it.nanos, it.wireLen, it.packet = p.Nanos, p.WireLen, p
		it.counts = m.series != nil && it.headers.Version != 0 && (len(m.cfg.Home) == 0 || m.filter.Counts(&it.headers))
		if !m.time.flows(p.Nanos) || p.Nanos >= m.calm {
			if m.observe(p.Nanos, it.counts) { // the packet begins another stretch
				s = m.now
				s.items[:1][0] = *it
				it = &s.items[:1][0]
			}
		}
		s.items = s.items[:s.at+1]
		if len(m.workers) > 1 {
			w, _ := bits.Mul64(flow.ShardHash(&it.headers), uint64(len(m.workers)))
			s.of[w] = append(s.of[w], uint16(s.at))
			if it.packet = nil; m.data {
				it.packet = s.keep(p)
			}
		}
		it.counted = it.counts && p.Nanos >= m.open
		m.counters.Bytes += uint64(p.WireLen)
		m.counters.Decoded[reason]++
		if m.cfg.OnPacket != nil {
			m.cfg.OnPacket(m.counters.Packets, p.Nanos, &it.headers, it.counted)
		}
		m.counters.Packets++
		s.at++
		if len(s.data) >= sharedData {
			return i + 1
		}
	}
	return len(batch)
}

// observe takes the time of a packet that may move more than the stream's own time. It reports whether
// the workers came to rest for it.
func (m *Meter) observe(nanos int64, counts bool) (rested bool) {
	if !m.time.observe(nanos) {
		return false
	}
	if counts && m.clock.Observe(nanos) {
		m.closeWindows(m.clock.Due())
	}
	if nanos >= m.nextTick {
		m.tick(nanos)
	}
	if nanos < m.sweepFrom || nanos >= m.sweepTo {
		rested = m.sweep(nanos)
	}
	m.calm = min(m.nextTick, m.sweepTo)
	if m.series != nil {
		m.calm = min(m.calm, m.clock.Next())
	}
	return rested
}

// closeWindows has the windows of a lower index than before closed.
func (m *Meter) closeWindows(before int64) {
	m.open = max(m.open, window.Start(before, m.cfg.Window))
	m.now.mark(closing).value = before
}

// tick has OnTick called, but for the first packet, at a time that the stream has come to.
func (m *Meter) tick(nanos int64) {
	if m.nextTick != math.MinInt64 {
		mark := m.now.mark(ticking)
		mark.value, mark.counters = nanos, m.counters
		mark.counters.TimeOutliers = m.time.outliers
	}
	m.nextTick = window.Start(window.Index(nanos, m.cfg.Every)+1, m.cfg.Every)
}

// Lose counts packets that the capture dropped around a time.
func (m *Meter) Lose(nanos int64, packets uint64) {
	m.counters.Lost += packets
	if m.series != nil && packets > 0 {
		mark := m.now.mark(losing)
		mark.value, mark.lost = nanos, packets
	}
}

// Bounds on the memory of open windows are looked at every so many packets, and what is done about them
// rests on what was found so many looks ago, so that the workers need not stand still for it. In
// between come no more than some ten megabytes.
const (
	boundEvery = 4096
	boundLag   = 2
)

// boundWindows closes the older half of the open windows when they held too much memory.
func (m *Meter) boundWindows() {
	if look := m.counters.Packets / boundEvery; look >= boundLag {
		for m.bounds <= look-boundLag {
			m.tellOldest()
		}
		if m.sizes[look%boundLag] > m.cfg.WindowMemory {
			m.relieve()
		}
	}
	m.now.mark(bounding)
}

// relieve closes the older half of the open windows if there are several.
func (m *Meter) relieve() {
	m.Wait()
	present := int64(math.MaxInt64)
	if m.time.known {
		present = window.Index(m.time.now, m.cfg.Window)
	}
	if before, needed := window.Relief(m.cfg.WindowMemory, present, m.accumulators()...); needed {
		m.counters.ClosedForMem++
		m.closeWindows(before)
	}
}

// accumulators returns those of the workers, which must be at rest.
func (m *Meter) accumulators() (all []*window.Accumulator) {
	for _, w := range m.workers {
		all = append(all, w.windows)
	}
	return all
}

// Close ends the stream: the open flows end, then the open windows close.
func (m *Meter) Close() {
	m.time.close()
	if !m.cfg.NoFlows {
		m.endFlows()
	}
	if m.series != nil {
		if m.time.known && m.cfg.Lateness >= 0 {
			// What is still ahead are packets that nothing agreed with: no silence lies before them.
			m.closeWindows(window.Index(m.time.now, m.cfg.Window) + 1)
			m.Wait()
			m.series.SkipGaps()
		}
		m.closeWindows(math.MaxInt64)
	}
	m.Wait()
	if len(m.workers) > 1 {
		close(m.work)
		m.helpers.Wait()
	}
}

// Span returns the oldest and newest packet time of the stream that is to be believed, see
// Counters.TimeOutliers; newest is math.MinInt64 before the first packet.
func (m *Meter) Span() (oldest, newest int64) { return m.time.span() }

// Counters returns the counts so far: in OnTick those of its place in the stream, elsewhere all. It
// must not be called in OnWindow, nor by what Found tells.
func (m *Meter) Counters() Counters {
	if m.told != nil {
		return *m.told
	}
	m.Wait()
	c := m.counters
	c.TimeOutliers = m.time.outliers
	for _, w := range m.workers {
		if w.table != nil {
			s := w.table.Stats()
			addStats(&c.Flow, &s)
		}
	}
	if m.series != nil {
		c.Window = m.series.Stats()
		c.Window.Add(&m.before)
	}
	return c
}

// addStats adds one table's counts to a sum.
func addStats(sum, s *flow.Stats) {
	sum.Flows += s.Flows
	sum.Alive += s.Alive
	for i, n := range s.Ended {
		sum.Ended[i] += n
	}
	sum.PayloadsKept += s.PayloadsKept
	for i, n := range s.Evicted {
		sum.Evicted[i] += n
	}
	sum.Memory += s.Memory
	sum.OpeningsShort += s.OpeningsShort
	sum.PayloadMemory += s.PayloadMemory
	sum.FragmentsJoined += s.FragmentsJoined
	sum.FragmentsAlone += s.FragmentsAlone
	sum.FragmentsEvicted += s.FragmentsEvicted
	sum.TimeBackwards += s.TimeBackwards
}
