package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/store"
)

func newTop(g *shared) *cobra.Command {
	c := &cobra.Command{
		Use: "top", Short: "Who had most of the traffic that is stored: applications, hosts, ports",
		Long: `Sum up the flows of the history that weir run --store writes, while it runs or afterwards. Times are counted back from the newest that
is stored.`,
	}
	c.AddCommand(
		newTopBy(g, "apps", store.Apps, "application", "Sum up stored flows by application",
			"Sum up the flows that are stored by application: the label of each, a row of its own for those unlike everything in training."),
		newTopBy(g, "hosts", store.Hosts, "host", "Sum up stored flows by host", "Sum up the flows that are stored by address: each counts for both of its ends."),
		newTopBy(g, "ports", store.Ports, "port", "Sum up stored flows by port", "Sum up the flows that are stored by the port of the end that answered."),
	)
	return c
}

func newTopBy(g *shared, name string, by store.Dimension, column, short, long string) *cobra.Command {
	var (
		asked  past
		limit  int
		asJSON bool
	)
	c := &cobra.Command{
		Use:   name,
		Short: short,
		Long: long + `
A flow counts in the minute of its last packet, and answers are about whole minutes. Of each minute the 50 hosts and ports with
most bytes are kept by name, of each hour 1,000; the others are summed up as the rest.`,
		Example: "  weir top " + name + " --since 24h --limit 10",
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 0 {
				return usageError{fmt.Errorf("--limit %d: must not be negative", limit)}
			}
			s, when, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			q := store.TopQuery{Range: when, By: by, Limit: limit}
			top, err := s.Top(c.Context(), q)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(topJSON(q, &top))
			}
			g.info("%s", showRange(q.Minutes()))
			printTop(c.OutOrStdout(), column, &top)
			return nil
		},
	}
	asked.flags(c, "24h")
	c.Flags().IntVar(&limit, "limit", 20, "rows to print; 0: all")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// topAnswer is the JSON of weir top, docs/formats.md.
type topAnswer struct {
	By     store.Dimension `json:"by"`
	Since  *event.Time     `json:"since,omitempty"`
	Until  *event.Time     `json:"until,omitempty"`
	Totals []topTotal      `json:"totals"`
	Rest   topTotal        `json:"rest"`
}

type topTotal struct {
	Name    *string `json:"name,omitempty"`
	Novel   bool    `json:"novel,omitempty"`
	Flows   uint64  `json:"flows"`
	Packets uint64  `json:"packets"`
	Bytes   uint64  `json:"bytes"`
	Payload uint64  `json:"payload_bytes"`
}

func topJSON(q store.TopQuery, top *store.Top) topAnswer {
	answer := topAnswer{By: q.By, Totals: []topTotal{}}
	whole := q.Minutes()
	if whole.Since != 0 {
		answer.Since = (*event.Time)(&whole.Since)
	}
	if whole.Until != 0 {
		answer.Until = (*event.Time)(&whole.Until)
	}
	for i := range top.Totals {
		t := &top.Totals[i]
		answer.Totals = append(answer.Totals, topTotal{&t.Name, t.Novel, t.Flows, t.Packets, t.Bytes, t.Payload})
	}
	rest := &top.Rest
	answer.Rest = topTotal{Flows: rest.Flows, Packets: rest.Packets, Bytes: rest.Bytes, Payload: rest.Payload}
	return answer
}

// printTop prints totals with a bar for their bytes.
func printTop(out io.Writer, column string, top *store.Top) {
	name := func(t *store.Total) string {
		switch {
		case t.Name == "":
			return "no label"
		case t.Novel:
			return fmt.Sprintf("novel (nearest %s)", printable(t.Name))
		}
		return printable(t.Name)
	}
	width, most := len(column), uint64(1)
	for i := range top.Totals {
		width = max(width, len([]rune(name(&top.Totals[i]))))
		most = max(most, top.Totals[i].Bytes)
	}
	fmt.Fprintf(out, "%-*s  %-*s  %10s  %12s  %10s  %10s\n", width, column, barWidth, "", "flows", "packets", "bytes", "payload")
	row := func(name, bar string, t *store.Total) {
		fmt.Fprintf(out, "%-*s  %-*s  %10s  %12s  %10s  %10s\n", width, name, barWidth, bar,
			report.Count(t.Flows), report.Count(t.Packets), report.Bytes(float64(t.Bytes)), report.Bytes(float64(t.Payload)))
	}
	for i := range top.Totals {
		t := &top.Totals[i]
		row(name(t), strings.Repeat("█", int(float64(t.Bytes)/float64(most)*barWidth+0.999)), t)
	}
	if top.Rest.Flows > 0 {
		row("the rest", "", &top.Rest)
	}
}
