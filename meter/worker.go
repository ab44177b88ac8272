package meter

import (
	"math"
	"sync"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// worker owns the flows and the share of the windows of the packets that hash to it.
type worker struct {
	index   int
	mu      sync.Mutex // in step
	in      chan *stretch
	found   findings
	table   *flow.Table         // nil with NoFlows
	windows *window.Accumulator // nil without windows
	handler Handler
	packets PacketHandler   // the handler, if it wants to see packets
	settler SettlingHandler // the handler, if packets may wait for it
	waiting []sighting      // packets that wait, and those without a payload of the same flows, in order
	asked   int             // of them those that Packet.Wait was called for
	marked  bool            // a mark is at work
	at      uint64          // ordinal of the packet at hand
	packet  Packet          // given to packets, reused
	bare    capture.Packet  // of an item without one, reused
}

func newWorker(cfg *Config, index, workers int, series *window.Series, handler func(int) Handler) *worker {
	w := &worker{index: index, found: cfg.Found, in: make(chan *stretch, maxFlight)}
	if series != nil {
		w.windows = series.NewAccumulator()
	}
	if !cfg.NoFlows {
		w.handler = handler(index)
		w.packets, _ = w.handler.(PacketHandler)
		w.settler, _ = w.handler.(SettlingHandler)
		flows := cfg.Flow.Share(workers)
		flows.OnEnd = func(f *flow.Flow) { w.handler.Ended(f, w.at) }
		flows.OnSettle = w.settle
		w.table = flow.New(flows)
	}
	return w
}

// step takes the next stretch that the worker was given. Any goroutine may call it, once for each.
func (w *worker) step() {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := <-w.in
	w.take(s)
	w.found.hand(w.index)
	s.done <- struct{}{}
}

// take takes the worker's packets of a stretch and answers its marks.
func (w *worker) take(s *stretch) {
	mine := s.of[w.index]
	for i := range s.marks {
		m := &s.marks[i]
		n := 0
		for n < len(mine) && int(mine[n]) < m.at {
			n++
		}
		w.meter(s, mine[:n])
		mine = mine[n:]
		w.at = s.first + uint64(m.at)
		w.marked = true
		w.found.between(w.index, true)
		w.answer(m)
		w.found.between(w.index, false)
		w.marked = false
	}
	n := 0
	for n < len(mine) && int(mine[n]) < len(s.items) {
		n++
	}
	w.meter(s, mine[:n])
	w.wait()
}

// wait returns when no packet waits any more.
func (w *worker) wait() {
	if w.table != nil {
		w.table.Settle()
	}
}

// answer does what a mark says.
func (w *worker) answer(m *mark) {
	a := &m.answers[w.index]
	switch m.kind {
	case closing, bounding, ticking: // labels count; where flows end, the table asks for them itself
		w.wait()
	}
	switch m.kind {
	case sweeping:
		if m.before == math.MaxUint64 {
			w.table.Sweep(m.value)
		} else {
			w.table.SweepBefore(m.value, m.before)
		}
	case closing:
		a.parts = w.windows.Take(m.value)
	case bounding:
		a.size = w.windows.Size()
	case ticking:
		if w.table != nil {
			a.flows = w.table.Stats()
		}
	case losing:
		if w.index == 0 {
			w.windows.Lose(m.value, m.lost)
		}
	case flushing:
		w.table.FlushBefore(flow.ForcedEnd, m.before)
	}
}

// meter counts packets in windows and flows.
func (w *worker) meter(s *stretch, mine []uint16) {
	if w.table == nil {
		for _, i := range mine {
			if it := &s.items[i]; it.counts {
				w.windows.Add(it.nanos, &it.headers)
			}
		}
		return
	}
	expected := 0
	for k, i := range mine {
		for ; expected < min(len(mine), k+flow.MaxExpected/2); expected++ {
			w.table.Expect(&s.items[mine[expected]].headers)
		}
		it := &s.items[i]
		if it.counts {
			w.windows.Add(it.nanos, &it.headers)
		}
		w.at = s.first + uint64(i)
		w.update(it)
	}
}

// update counts a packet in its flow.
func (w *worker) update(it *item) {
	p := it.packet
	if p == nil {
		p = &w.bare
		p.Nanos, p.WireLen = it.nanos, it.wireLen
	}
	f, dir, joined := w.table.Update(&it.headers, p, w.at)
	if w.packets == nil || !f.Exists() {
		return
	}
	w.packet = Packet{w.at, p, &it.headers, f, dir, joined, it.counted, false}
	seen := sighting{flow: f, nanos: it.nanos, final: f.Final(), counted: it.counted}
	if it.headers.Has&packet.HasPayload != 0 {
		seen.payload = it.headers.PayloadWireLen
	}
	w.packets.Packet(&w.packet)
	switch {
	case w.packet.waits:
		f.Wait()
		w.asked++
	case f.Waits(): // for the label that a packet before it brings
	default:
		w.labelled(&seen)
		return
	}
	w.waiting = append(w.waiting, seen)
	if w.asked == MaxWaiting {
		w.table.Settle()
	}
}

// sighting is a packet of a flow whose label is known, or will be.
type sighting struct {
	flow    flow.Ref
	nanos   int64
	payload int  // bytes on the wire
	final   bool // the flow was decided before
	counted bool // in the window of its time
}

// settle has the flows of the packets that wait labelled. The table calls it.
func (w *worker) settle() {
	w.found.between(w.index, false) // the packets came before what is between two of them now
	w.settler.Settle()
	w.found.between(w.index, w.marked)
	for i := range w.waiting {
		w.labelled(&w.waiting[i])
	}
	w.waiting, w.asked = w.waiting[:0], 0
}

// labelled does what hangs on the label of a packet's flow.
func (w *worker) labelled(s *sighting) {
	if !s.final && s.flow.Final() {
		s.flow.Release()
	}
	if s.counted {
		label := s.flow.Label()
		w.windows.Label(s.nanos, label.Class, label.Novel, s.payload)
	}
}
