package meter

import (
	"math"
	"net/netip"
	"time"

	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// Windows says which windows a Meter counts and who is told of them; the fields are those of Config.
type Windows struct {
	Length   time.Duration
	Home     []netip.Prefix
	OnWindow func(*window.Window)
	OnPacket func(ordinal uint64, nanos int64, h *packet.Headers, counted bool)
}

// CountWindows has windows counted from the next packet on, where none were or others: those that are open close first. The first
// window lacks the packets before. Flows and counters go on as if nothing had happened. On error everything stays as it was.
func (m *Meter) CountWindows(w Windows) error {
	filter, err := window.NewFilter(w.Home)
	if err != nil {
		return err
	}
	series, err := window.NewSeries(w.Length, m.cfg.MaxGap, w.OnWindow)
	if err != nil {
		return err
	}
	if m.series != nil {
		m.closeWindows(math.MaxInt64)
	}
	m.Wait()
	if m.series != nil {
		before := m.series.Stats()
		m.before.Add(&before)
	}
	m.cfg.Window, m.cfg.Home, m.cfg.OnWindow, m.cfg.OnPacket = w.Length, w.Home, w.OnWindow, w.OnPacket
	m.filter, m.series, m.clock = filter, series, window.NewClock(w.Length, m.cfg.Lateness)
	for _, worker := range m.workers {
		worker.windows = series.NewAccumulator()
	}
	m.open, m.calm = math.MinInt64, math.MinInt64
	m.bounds, m.sizes = (m.counters.Packets+boundEvery-1)/boundEvery, [boundLag]int{} // looks that there were, or would have been
	return nil
}
