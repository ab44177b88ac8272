package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// windowRow is a closed window, kept.
type windowRow struct {
	start   int64 // nanoseconds since the Unix epoch
	vector  window.Vector
	packets uint64
	lost    uint64
	gap     bool // windows before it were skipped
}

// attackCounts are packets of attacks by window and attack.
type attackCounts map[int64]map[int]int

// readWindows returns the windows of captures as a detector in service would see them. With
// labels, it counts the packets of each attack in each window: all of them, at their own time, so that
// what is true does not depend on what a detector gets to see. It tells what windows miss.
func (g *shared) readWindows(ctx context.Context, in *input, cfg meter.Config, labels *dataset.WindowLabels) (rows []windowRow, attacks attackCounts, err error) {
	cfg.NoFlows, cfg.Tunnels, cfg.MaxGap = true, in.tunnels, maxSilence
	cfg.OnWindow = func(w *window.Window) {
		rows = append(rows, windowRow{w.Start, w.Vector(), w.Packets(), w.Lost, w.Skipped > 0})
	}
	attacks = attackCounts{}
	if labels != nil {
		keys := flow.NewKeys()
		cfg.OnPacket = func(ordinal uint64, nanos int64, h *packet.Headers, _ bool) {
			var key flow.Key
			if h.Version != 0 {
				key = keys.Key(h, nanos)
			}
			if id := labels.Attack(ordinal, nanos, key); id > 0 {
				index := window.Index(nanos, cfg.Window)
				if attacks[index] == nil {
					attacks[index] = map[int]int{}
				}
				attacks[index][id]++
			}
		}
	}
	m, err := meter.New(cfg, g.workers, nil)
	if err != nil {
		return nil, nil, usageError{err}
	}
	err = in.read(ctx, m.Wait, func(_ *capture.Reader, batch []capture.Packet) error {
		m.Add(batch)
		return nil
	})
	m.Close()
	tellWindows(m.Counters())
	return rows, attacks, err
}

// tellWindows says what windows do not hold, on stderr.
func tellWindows(c meter.Counters) {
	tell := func(n uint64, what string) {
		if n > 0 {
			slog.Warn(fmt.Sprintf(what, n))
		}
	}
	tell(c.Window.Late, "%d packets came after their windows had closed, and count in none")
	tell(uint64(c.Window.Skipped), "%d empty windows of long silences are left out")
	tell(c.ClosedForMem, "the memory for open windows was full %d times: the older ones closed early")
	tell(c.TimeOutliers, "%d packets are more than an hour ahead of those around them, as if by a wrong clock")
}

// latenessFlag is how long windows wait for packets that come out of order.
type latenessFlag struct{ lateness time.Duration }

func (f *latenessFlag) flags(c *cobra.Command) {
	c.Flags().DurationVar(&f.lateness, "lateness", time.Second, "time of packets for which a window stays open after its end, for those that come late")
}

func (f *latenessFlag) check() error {
	if f.lateness < 0 {
		return usageError{fmt.Errorf("--lateness %v: must not be negative", f.lateness)}
	}
	return nil
}

// maxSilence is how many empty windows in a row are scored before a silence is skipped and told:
// after so many, more say nothing new, and a wrong clock in a capture must not cost hours.
const maxSilence = 3600

// loadAnomaly loads a detector and checks that this program can run it.
func (g *shared) loadAnomaly(name string) (*anomaly.Model, *model.Package, error) {
	p, err := g.registry().Load(name)
	if err != nil {
		return nil, nil, err
	}
	if err := p.Check(model.Anomaly, window.FeatureVersion); err != nil {
		return nil, nil, err
	}
	m, err := anomaly.Load(p.Settings, p.Weights)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", model.ErrMismatch, p.Ref(), err)
	}
	return m, p, nil
}
