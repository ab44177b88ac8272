package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/sensor"
	"github.com/weirnet/weir/train"
)

func newFlows(g *shared) *cobra.Command {
	var (
		in          input
		stored      storedFlows
		file        string
		table       bool
		directional bool
		lifetime    time.Duration
		apps        string
		memory      flowMemory
	)
	c := &cobra.Command{
		Use:   "flows -r FILE… | --store DIR",
		Short: "Write one JSON line per flow, or search the flows that are stored",
		Long: `With -r, write one JSON line per flow, in the order in which the flows end, or with --table the columns of
paper A's flow table as it stands after the last packet. With --apps each flow bears its label. A flow is the packets of one 5-tuple,
both directions, that follow each other within the lifetime.

Without -r, print the flows that weir run --store has stored, in the order of their last packets: those for which all that is
asked for holds.`,
		Example: `  weir flows -r monday.pcap
  weir flows --since 2h --host 10.0.0.7
  weir flows --store history --since 2026-11-22T01:00:00Z --app ssh --novel --json`,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(in.files) == 0 {
				return stored.print(c, g, file)
			}
			if lifetime <= 0 {
				return usageError{fmt.Errorf("--lifetime %v: must be more than zero", lifetime)}
			}
			if err := memory.check(); err != nil {
				return err
			}
			out, finish, err := output(file)
			if err != nil {
				return err
			}
			cfg := meter.Config{Flow: flow.Config{OpeningPackets: -1}}
			var m *classify.Model
			if apps != "" {
				if m, _, err = g.loadApps(apps); err != nil {
					return finish(err)
				}
				if err := in.follow(m.Name, m.Tunnels); err != nil {
					return finish(err)
				}
				cfg.Flow = train.OpeningConfig(&m.Arch)
			}
			cfg.Tunnels = in.tunnels
			cfg.Flow.Directional, cfg.Flow.Lifetime, cfg.Flow.Memory = directional, lifetime, int(memory.byteSize)
			if table {
				return finish(g.flowTable(c.Context(), &in, cfg, m, out))
			}
			w := event.NewWriter(out)
			_, err = g.meterFlows(c.Context(), &in, cfg, m, func(f *flow.Flow, _ bool) error {
				app, model := labelName(m, f)
				return w.Write(event.OfFlow(f, app, model))
			})
			return finish(errors.Join(err, w.Flush()))
		},
	}
	in.flags(c)
	stored.flags(c)
	c.PreRunE = stored.orCaptures(&in, c.PreRunE)
	c.Flags().StringVarP(&file, "output", "o", "", "file to write (default stdout)")
	c.Flags().BoolVar(&table, "table", false, "print the columns of paper A's flow table")
	c.Flags().BoolVar(&directional, "directional", false, "keep the two directions of a flow apart")
	c.Flags().StringVar(&apps, "apps", "", "model of applications that labels the flows: NAME or NAME@VERSION")
	memory.flags(c)
	c.Flags().DurationVar(&lifetime, "lifetime", 3600*time.Second, "time without a packet after which a flow is over")
	return c
}

// flowMemory is the flag of what the flow tables of all workers may take.
type flowMemory struct{ byteSize }

func (m *flowMemory) flags(c *cobra.Command) {
	m.byteSize = flow.DefaultMemory
	c.Flags().Var(m, "flow-memory", "memory for flows; when it is full, those worth least end early (docs/formats.md)")
}

func (m *flowMemory) check() error {
	if least := byteSize(flow.MinMemory); m.byteSize < least {
		return usageError{fmt.Errorf("--flow-memory %s: at least %s is needed", m, &least)}
	}
	return nil
}

// meterFlows gives every flow of the input to emit when it ends, and whether it was in the table to the
// end of the input; with a model it has its label. It returns the time of the newest packet.
func (g *shared) meterFlows(ctx context.Context, in *input, cfg meter.Config, model *classify.Model, emit func(f *flow.Flow, last bool) error) (latest int64, err error) {
	var failed error
	last := false
	found := meter.NewFindings(func(f flow.Flow) {
		if failed == nil {
			failed = emit(&f, last)
		}
	})
	cfg.Found = found
	m, err := meter.New(cfg, g.workers, func(i int) meter.Handler {
		ended := endedFlows{found.Queue(i)}
		if model == nil {
			return ended
		}
		return labelledFlows{ended, classify.New(model)}
	})
	if err != nil {
		return 0, usageError{err}
	}
	err = in.read(ctx, m.Wait, func(_ *capture.Reader, batch []capture.Packet) error {
		m.Add(batch)
		return failed
	})
	m.Wait()
	last = true
	m.Close()
	c := m.Counters()
	for name, n := range sensor.Drops(&c) {
		slog.Warn(fmt.Sprintf("dropped: %s %d (docs/formats.md)", name, n))
	}
	_, latest = m.Span()
	return latest, errors.Join(failed, err)
}

// endedFlows is a meter.Handler that keeps the accounts of flows that ended.
type endedFlows struct {
	queue *meter.Queue[flow.Flow]
}

// Ended implements meter.Handler.
func (e endedFlows) Ended(f *flow.Flow, at uint64) {
	ended := *f
	ended.Opening = nil // the table's
	e.queue.Put(at, f.FirstPacket, ended)
}

// labelledFlows is a meter.SettlingHandler that labels the flows too.
type labelledFlows struct {
	endedFlows
	classifier *classify.Classifier
}

// Packet implements meter.PacketHandler.
func (l labelledFlows) Packet(p *meter.Packet) {
	if l.classifier.Wait(p) {
		p.Wait()
		return
	}
	l.classifier.Packet(p)
}

// Settle implements meter.SettlingHandler.
func (l labelledFlows) Settle() { l.classifier.Settle() }

// Ended implements meter.Handler.
func (l labelledFlows) Ended(f *flow.Flow, at uint64) {
	l.classifier.Ended(f)
	l.endedFlows.Ended(f, at)
}

// labelName is the name of a flow's label and that of the model which gave it, both empty without one.
func labelName(m *classify.Model, f *flow.Flow) (app, model string) {
	if m == nil || f.Label.Class == flow.NoClass {
		return "", ""
	}
	return m.Labels[f.Label.Class], m.Name
}

// flowTable prints paper A's figure 3: the rows that are in the table after the last packet.
func (g *shared) flowTable(ctx context.Context, in *input, cfg meter.Config, m *classify.Model, out io.Writer) error {
	var rows []flow.Flow
	latest, err := g.meterFlows(ctx, in, cfg, m, func(f *flow.Flow, last bool) error {
		if last {
			rows = append(rows, *f)
		}
		return nil
	})
	slices.SortStableFunc(rows, func(a, b flow.Flow) int { return cmp.Compare(a.FirstPacket, b.FirstPacket) })
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "source IP\tdestination IP\tsource port\tdestination port\tprotocol\tpacket-in count\tlifetime\tlabel")
	for i := range rows {
		f := &rows[i]
		left := min(cfg.Flow.Lifetime-time.Duration(latest-f.Last), cfg.Flow.Lifetime)
		if left <= 0 {
			continue // the next packet of any flow would have ended it
		}
		label := "-"
		if name, _ := labelName(m, f); name != "" {
			label = printable(name)
		}
		src, dst := f.Key.Source(), f.Key.Destination()
		fmt.Fprintf(w, "%v\t%v\t%d\t%d\t%s\t%d\t%.0f\t%s\n", src.Addr(), dst.Addr(), src.Port(), dst.Port(),
			event.ProtoName(f.Key.Proto), f.PacketCount(), left.Seconds(), label)
	}
	return errors.Join(err, w.Flush())
}
