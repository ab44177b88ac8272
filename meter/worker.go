package meter

import (
	"sync"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/window"
)

// worker owns the flows and the share of the windows of the packets that hash to it.
type worker struct {
	index   int
	table   *flow.Table // nil with NoFlows
	windows *window.Accumulator
	handler Handler
	at      uint64 // ordinal of the packet at hand
	packet  Packet // given to handler, reused
}

func newWorker(cfg Config, index, workers int, series *window.Series, handler func(int) Handler) *worker {
	w := &worker{index: index}
	if series != nil {
		w.windows = series.NewAccumulator()
	}
	if !cfg.NoFlows {
		w.handler = handler(index)
		flows := cfg.Flow.Share(workers)
		flows.OnEnd = func(f *flow.Flow) { w.handler.Ended(f, w.at) }
		w.table = flow.New(flows)
	}
	return w
}

// run lets every worker take its packets from items, each in its own goroutine when there are
// several, and waits for them.
func (m *Meter) run(items []item) {
	if len(items) == 0 {
		return
	}
	if len(m.workers) == 1 {
		m.workers[0].take(items)
		return
	}
	var wg sync.WaitGroup
	for _, w := range m.workers {
		wg.Go(func() { w.take(items) })
	}
	wg.Wait()
}

func (w *worker) take(items []item) {
	for i := range items {
		it := &items[i]
		if it.sweep {
			w.sweep(it.ordinal, it.packet.Nanos)
		}
		if it.worker != w.index {
			continue
		}
		if it.counts {
			w.windows.Add(it.packet.Nanos, &it.headers)
		}
		if w.table == nil {
			continue
		}
		w.at = it.ordinal
		f, dir, joined := w.table.Update(&it.headers, it.packet, it.ordinal)
		if f == nil {
			continue
		}
		w.packet = Packet{it.ordinal, it.packet, &it.headers, f, dir, joined, it.counted}
		w.handler.Packet(&w.packet)
		if f.Label.Final && f.Opening != nil {
			w.table.Release(f)
		}
	}
}

// sweep ends the flows whose time is over before the packet of an ordinal.
func (w *worker) sweep(at uint64, nanos int64) {
	w.at = at
	if w.table != nil {
		w.table.Sweep(nanos)
	}
}

func (w *worker) flush(at, before uint64) {
	w.at = at
	if w.table != nil {
		w.table.FlushBefore(flow.ForcedEnd, before)
	}
}

// count adds the worker's counters to sum.
func (w *worker) count(sum *flow.Stats) {
	if w.table == nil {
		return
	}
	s := w.table.Stats()
	sum.Flows += s.Flows
	sum.Alive += s.Alive
	for i, n := range s.Ended {
		sum.Ended[i] += n
	}
	sum.PayloadsKept += s.PayloadsKept
	sum.Evicted += s.Evicted
	sum.OpeningsShort += s.OpeningsShort
	sum.PayloadMemory += s.PayloadMemory
	sum.FragmentsJoined += s.FragmentsJoined
	sum.FragmentsAlone += s.FragmentsAlone
	sum.FragmentsEvicted += s.FragmentsEvicted
	sum.TimeBackwards += s.TimeBackwards
}
