package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

func newLabels(g *shared) *cobra.Command {
	c := &cobra.Command{
		Use:   "labels",
		Short: "Say what flows are: name groups of unknown ones, correct labels, train on them",
		Long: `Say what flows are. weir run --store keeps flows that are unlike everything in training, with their first payloads, in groups of
alike ones: weir labels groups lists them, weir labels set gives a group, or any flow, its application, and weir train apps --corrections
DIR learns it. A history may be asked and told while weir run writes it.

What is kept holds payload: it is in samples.db in the directory of the history, for its owner alone, and goes nowhere by itself.`,
	}
	c.AddCommand(newLabelsGroups(g), newLabelsList(g), newLabelsSet(g), newLabelsRemove(), newLabelsExport(g), newLabelsForget(g))
	return c
}

func newLabelsGroups(g *shared) *cobra.Command {
	var (
		asked  past
		asJSON bool
	)
	c := &cobra.Command{
		Use:     "groups",
		Short:   "List the groups of flows unlike everything in training",
		Example: `  weir labels groups --store history --since 7d`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, when, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			groups, err := s.Groups(c.Context(), store.GroupQuery{Range: when})
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if asJSON {
				enc := json.NewEncoder(out)
				for i := range groups {
					if err := enc.Encode(groupLine(&groups[i])); err != nil {
						return err
					}
				}
				return nil
			}
			g.info("%d groups, %s", len(groups), showRange(when))
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "group\tflows\tunnamed\tlast\tclients\tservers\tnearest\tsimilarity\tnamed")
			for i := range groups {
				x := &groups[i]
				fmt.Fprintf(w, "%d\t%d\t%d\t%s\t%d\t%s\t%s\t%.2f\t%s\n", x.ID, x.Flows, x.Unnamed, showTime(x.Last), x.Clients, partNames(x.Servers), partNames(x.Nearest[:1]),
					x.Similarity, printable(strings.Join(x.Names, ", ")))
			}
			return w.Flush()
		},
	}
	asked.flags(c, "")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON line for each group")
	return c
}

func partNames(parts []store.Part) string {
	var names []string
	for _, p := range parts {
		names = append(names, printable(p.Name))
	}
	return strings.Join(names, ", ")
}

// partLine and groupLine are the JSON of a group, docs/formats.md.
type partLine struct {
	Name  string `json:"name"`
	Flows int64  `json:"flows"`
}

func groupLine(x *store.Group) any {
	parts := func(from []store.Part) []partLine {
		all := make([]partLine, 0, len(from))
		for _, p := range from {
			all = append(all, partLine(p))
		}
		return all
	}
	return struct {
		ID         int64      `json:"id"`
		Model      string     `json:"model"`
		Flows      int64      `json:"flows"`
		Unnamed    int64      `json:"unnamed"`
		First      event.Time `json:"first"`
		Last       event.Time `json:"last"`
		Clients    int        `json:"clients"`
		Servers    []partLine `json:"servers"`
		Ports      []partLine `json:"ports"`
		Nearest    []partLine `json:"nearest"`
		Similarity float64    `json:"similarity"`
		Limit      float64    `json:"limit"`
		Names      []string   `json:"names"`
		Bytes      int64      `json:"payload_bytes"`
	}{
		x.ID, x.Model, x.Flows, x.Unnamed, event.Time(x.First), event.Time(x.Last), x.Clients, parts(x.Servers), parts(x.Ports), parts(x.Nearest),
		x.Similarity, x.Limit, append([]string{}, x.Names...), x.Bytes,
	}
}

func newLabelsList(g *shared) *cobra.Command {
	var (
		asked  past
		asJSON bool
	)
	c := &cobra.Command{
		Use:     "list",
		Short:   "List what people said that flows are",
		Example: `  weir labels list --store history`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, _, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			all, err := s.Corrections(c.Context())
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			enc := json.NewEncoder(out)
			if !asJSON {
				g.info("%d labels", len(all))
				fmt.Fprintln(w, "ID\tapplication\tof\twas\tflows\twith payload\tby\tnote")
			}
			for i := range all {
				x := &all[i]
				if asJSON {
					if err := enc.Encode(labelLine{x.ID, x.App, x.Group, x.Port, x.Flows, x.Openings, x.Was, x.Example, x.Note, x.Who, event.Time(x.At)}); err != nil {
						return err
					}
					continue
				}
				of := fmt.Sprintf("flow %d", x.Example.FlowID)
				if x.Group != 0 {
					of = fmt.Sprintf("group %d", x.Group)
				}
				if x.Port != 0 {
					of += fmt.Sprintf(", port %d", x.Port)
				}
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", x.ID, printable(x.App), of, printable(x.Was), x.Flows, x.Openings, printable(x.Who), printable(x.Note))
			}
			return w.Flush()
		},
	}
	asked.onlyStore(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON line for each label")
	return c
}

// labelLine is the JSON of a corrected label, docs/formats.md.
type labelLine struct {
	ID       int64       `json:"id"`
	App      string      `json:"app"`
	Group    int64       `json:"group"`
	Port     uint16      `json:"port"`
	Flows    int64       `json:"flows"`
	Openings int64       `json:"openings"`
	Was      string      `json:"was"`
	Example  event.Tuple `json:"example"`
	Note     string      `json:"note"`
	Who      string      `json:"who"`
	At       event.Time  `json:"at"`
}

// payloadWait is how long a label waits for the run that may remember the payload of its flow.
const payloadWait = 3 * openingsEvery

func newLabelsSet(g *shared) *cobra.Command {
	var (
		asked     past
		note, who string
		group     int64
		port      uint16
		id        uint64
	)
	c := &cobra.Command{
		Use:   "set APPLICATION --group N [--port N] | --flow ID",
		Short: "Say what application a group or a flow is",
		Long: `Say what application the flows of a group are, those that have no name yet, or a single flow, by its flow_id. The application may be
one that the model knows or a new one. Flows of a group bring their payload to learn from; that of any other flow is there when weir run
goes on and remembers it (--samples-memory): otherwise the label is kept, and there is nothing to train with.`,
		Example: `  weir labels set backup --group 3 --note "the new server"
  weir labels set mqtt --group 4 --port 1883
  weir labels set video --flow 4501263718852301`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if (group == 0) == (id == 0) {
				return usageError{errors.New("name a group with --group, or a flow with --flow")}
			}
			if port != 0 && group == 0 {
				return usageError{errors.New("--port goes with --group")}
			}
			if err := store.CheckName(args[0]); err != nil {
				return usageError{err}
			}
			ctx := c.Context()
			s, when, err := asked.open(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			x := store.Correction{App: args[0], Group: group, Port: port, Note: note, Who: who, At: time.Now().UnixNano()}
			if x.Who == "" {
				x.Who = userName()
			}
			if id != 0 {
				f, err := store.FlowByID(ctx, s, id, when)
				if err != nil {
					return err
				}
				if f == nil {
					return fmt.Errorf("no flow %d has ended, %s (weir flows search lists flows)", id, showRange(when))
				}
				x.Of = store.SampleOf(f, nil)
			}
			if x, err = s.Correct(ctx, x); err != nil {
				return err
			}
			if id != 0 && x.Openings == 0 {
				x, err = awaitOpening(ctx, s, x)
				if err != nil {
					return err
				}
			}
			g.info("label %d: %d flows are %s; weir labels remove %d takes it back", x.ID, x.Flows, printable(x.App), x.ID)
			if lacking := x.Flows - x.Openings; lacking > 0 {
				g.info("of %d of them no payload is kept any more: they cannot be trained with", lacking)
			}
			return nil
		},
	}
	asked.flags(c, "")
	f := c.Flags()
	f.Int64Var(&group, "group", 0, "number of a group, as weir labels groups lists them")
	f.Uint16Var(&port, "port", 0, "of the group, only flows to this port of the server")
	f.Uint64Var(&id, "flow", 0, "flow_id of a flow that has ended")
	f.StringVar(&note, "note", "", "why, for others to read")
	f.StringVar(&who, "who", "", "who says so (default: your user name)")
	return c
}

// awaitOpening waits for a run that writes the history to bring the payload of a flow, if one does.
func awaitOpening(ctx context.Context, s *store.Disk, x store.Correction) (store.Correction, error) {
	if !s.Written() {
		return x, nil
	}
	for until := time.Now().Add(payloadWait); time.Now().Before(until) && x.Openings == 0; {
		select {
		case <-ctx.Done():
			return x, ctx.Err()
		case <-time.After(openingsEvery / 5):
		}
		all, err := s.Corrections(ctx)
		if err != nil {
			return x, err
		}
		for i := range all {
			if all[i].ID == x.ID {
				x = all[i]
			}
		}
	}
	return x, nil
}

func newLabelsRemove() *cobra.Command {
	var asked past
	c := &cobra.Command{
		Use:     "remove ID…",
		Short:   "Take labels back; their flows are as they were before",
		Example: `  weir labels remove 2 --store history`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return asked.each(c.Context(), args, "label", "weir labels list", (*store.Disk).RemoveCorrection)
		},
	}
	asked.onlyStore(c)
	return c
}

func newLabelsForget(g *shared) *cobra.Command {
	var (
		asked past
		all   bool
	)
	c := &cobra.Command{
		Use:   "forget",
		Short: "Remove the payload that is kept of flows without a label",
		Long: `Remove what is kept of flows unlike everything in training that have no label: payloads and groups. With --all, the payloads of labelled
flows go too; the labels stay. What is removed is overwritten. weir run --samples=false keeps none.`,
		Example: `  weir labels forget --store history`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, _, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			n, err := s.Forget(c.Context(), all)
			if err != nil {
				return err
			}
			g.info("the payloads of %d flows are removed", n)
			return nil
		},
	}
	asked.onlyStore(c)
	c.Flags().BoolVar(&all, "all", false, "also the payloads of labelled flows")
	return c
}
