package main

import (
	"context"
	"fmt"
	"time"

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
// labels, it counts the packets of each attack in each window.
func (g *shared) readWindows(ctx context.Context, in *input, cfg meter.Config, labels *dataset.WindowLabels) (rows []windowRow, attacks attackCounts, err error) {
	cfg.NoFlows, cfg.Tunnels, cfg.Lateness, cfg.MaxGap = true, in.tunnels, lateness, maxSilence
	cfg.OnWindow = func(w *window.Window) {
		rows = append(rows, windowRow{w.Start, w.Vector(), w.Packets(), w.Lost, w.Skipped > 0})
	}
	m, err := meter.New(cfg, g.workers, nil)
	if err != nil {
		return nil, nil, usageError{err}
	}
	attacks = attackCounts{}
	var n uint64
	var h packet.Headers
	err = in.read(ctx, func(_ *capture.Reader, batch []capture.Packet) error {
		m.Add(batch)
		if labels == nil {
			return nil
		}
		for i := range batch {
			p := &batch[i]
			var key flow.Key
			if h.Decode(p.Link, p.Data, p.WireLen); h.Version != 0 {
				key = flow.KeyOf(&h)
			}
			if id := labels.Attack(n, p.Nanos, key); id > 0 {
				index := window.Index(p.Nanos, cfg.Window)
				if attacks[index] == nil {
					attacks[index] = map[int]int{}
				}
				attacks[index][id]++
			}
			n++
		}
		return nil
	})
	m.Close()
	return rows, attacks, err
}

// lateness is how long after its end, in packet time, a window stays open.
const lateness = time.Second

// maxSilence is how many empty windows in a row are scored before a silence is skipped and told:
// after so many, more say nothing new, and a wrong clock in a capture must not cost hours.
const maxSilence = 20_000

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
