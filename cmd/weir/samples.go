package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/sensor"
)

// sampleFlags say what a run keeps of flows for people to name and models to learn from.
type sampleFlags struct {
	keep   bool
	bytes  byteSize
	memory byteSize

	stop func()
}

func (f *sampleFlags) flags(c *cobra.Command) {
	f.bytes, f.memory = 256<<20, 64<<20
	c.Flags().BoolVar(&f.keep, "samples", true, "keep the first payloads of flows that may be named, to learn from; --samples=false keeps no payload")
	c.Flags().Var(&f.bytes, "samples-bytes", "size on disk, in the history and for its owner alone, of those of flows unlike training that have no name; the oldest go first")
	c.Flags().Var(&f.memory, "samples-memory", "memory for those of the flows that were decided last, kept when their label is corrected")
}

// apply has a sensor tell and remember what the history takes.
func (f *sampleFlags) apply(cfg *sensor.Config, keep *history) {
	if !f.keep || keep.dir == "" || cfg.Apps == nil {
		return
	}
	cfg.Samples = sensor.SampleConfig{Novel: true, Recent: int(f.memory)}
	keep.samples = int64(f.bytes)
}

// opening finds openings that a sensor remembers; nil where it remembers none.
func (f *sampleFlags) opening(cfg *sensor.Config, s *sensor.Sensor) func(uint64) *event.Sample {
	if cfg.Samples.Recent == 0 {
		return nil
	}
	return s.Opening
}

// openingsEvery is how often a run looks for flows that another program has corrected the label of.
const openingsEvery = time.Second

// begin gives flows that are corrected beside the run their openings, as long as they are remembered.
func (f *sampleFlags) begin(keep *history, opening func(uint64) *event.Sample) {
	if opening == nil || keep.store == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(openingsEvery)
		defer tick.Stop()
		trouble := ""
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_, err := keep.store.Openings(ctx, opening)
			now := ""
			if err != nil && ctx.Err() == nil {
				now = err.Error()
			}
			if now != trouble && now != "" {
				slog.Warn(fmt.Sprintf("corrected labels get no payload to learn from: %s", now))
			}
			trouble = now
		}
	}()
	f.stop = func() { cancel(); <-ended }
}

// end stops it.
func (f *sampleFlags) end() {
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
}
