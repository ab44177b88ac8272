package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
)

func newFlows(g *shared) *cobra.Command {
	var (
		in          input
		file        string
		table       bool
		directional bool
		lifetime    time.Duration
	)
	c := &cobra.Command{
		Use:   "flows -r FILE…",
		Short: "Write one JSON line per flow",
		Long: `Write one JSON line per flow, in the order in which the flows end, or with --table the columns of
paper A's flow table as it stands after the last packet. A flow is the packets of one 5-tuple,
both directions, that follow each other within the lifetime.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if lifetime <= 0 {
				return usageError{fmt.Errorf("--lifetime %v: must be more than zero", lifetime)}
			}
			out, finish, err := output(file)
			if err != nil {
				return err
			}
			cfg := meter.Config{Tunnels: in.tunnels, Flow: flow.Config{Directional: directional, Lifetime: lifetime, OpeningPackets: -1}}
			if table {
				return finish(g.flowTable(c.Context(), &in, cfg, out))
			}
			w := event.NewWriter(out)
			_, err = g.meterFlows(c.Context(), &in, cfg, func(f *flow.Flow) error { return w.Write(event.OfFlow(f, "")) })
			return finish(errors.Join(err, w.Flush()))
		},
	}
	in.flags(c)
	c.Flags().StringVarP(&file, "output", "o", "", "file to write (default stdout)")
	c.Flags().BoolVar(&table, "table", false, "print the columns of paper A's flow table")
	c.Flags().BoolVar(&directional, "directional", false, "keep the two directions of a flow apart")
	c.Flags().DurationVar(&lifetime, "lifetime", 3600*time.Second, "time without a packet after which a flow is over")
	return c
}

// meterFlows gives every flow of the input to emit when it ends, and returns the time of the
// newest packet.
func (g *shared) meterFlows(ctx context.Context, in *input, cfg meter.Config, emit func(*flow.Flow) error) (latest int64, err error) {
	var queues []*meter.Queue[flow.Flow]
	m, err := meter.New(cfg, g.workers, func(int) meter.Handler {
		e := new(endedFlows)
		queues = append(queues, &e.queue)
		return e
	})
	if err != nil {
		return 0, usageError{err}
	}
	var failed error
	drain := func() {
		meter.Drain(queues, func(f flow.Flow) {
			if failed == nil {
				failed = emit(&f)
			}
		})
	}
	err = in.read(ctx, func(_ *capture.Reader, batch []capture.Packet) error {
		m.Add(batch)
		drain()
		return failed
	})
	m.Close()
	drain()
	return m.Latest(), errors.Join(failed, err)
}

// endedFlows is a meter.Handler that keeps the accounts of flows that ended.
type endedFlows struct {
	queue meter.Queue[flow.Flow]
}

// Packet implements meter.Handler.
func (e *endedFlows) Packet(*meter.Packet) {}

// Ended implements meter.Handler.
func (e *endedFlows) Ended(f *flow.Flow, at uint64) { e.queue.Put(at, f.FirstPacket, *f) }

// flowTable prints paper A's figure 3: the rows that are in the table after the last packet.
func (g *shared) flowTable(ctx context.Context, in *input, cfg meter.Config, out io.Writer) error {
	var rows []flow.Flow
	latest, err := g.meterFlows(ctx, in, cfg, func(f *flow.Flow) error {
		if f.Reason == flow.ForcedEnd || f.Reason == flow.EndOfFlow {
			rows = append(rows, *f)
		}
		return nil
	})
	slices.SortStableFunc(rows, func(a, b flow.Flow) int { return int(int64(a.FirstPacket) - int64(b.FirstPacket)) })
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "source IP\tdestination IP\tsource port\tdestination port\tprotocol\tpacket-in count\tlifetime\tlabel")
	for i := range rows {
		f := &rows[i]
		left := cfg.Flow.Lifetime - time.Duration(latest-f.Last)
		src, dst := f.Key.Source(), f.Key.Destination()
		fmt.Fprintf(w, "%v\t%v\t%d\t%d\t%s\t%d\t%.0f\t-\n", src.Addr(), dst.Addr(), src.Port(), dst.Port(),
			event.ProtoName(f.Key.Proto), f.PacketCount(), max(left, 0).Seconds())
	}
	return errors.Join(err, w.Flush())
}
