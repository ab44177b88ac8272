package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/weirnet/weir/dataset"
)

// maxProblems is how many problems of a kind the text of a report shows.
const maxProblems = 10

// writeCheck writes a report as a table for people.
func writeCheck(w io.Writer, r *dataset.Report) error {
	b := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(b, "%s: %d captures, %d packets, %d flows, %d images\n", printable(r.Dir), r.Captures, r.Packets, r.Flows.All, r.Images)
	fmt.Fprintf(b, "examples: %d flows with label and payload; %d without payload, %d without label\n\n", r.Flows.Examples, r.Flows.NoPayload, r.Flows.Unlabelled)
	fmt.Fprintln(b, "class\tcaptures\tflows\timages\tpackets\tpayload bytes\tduplicates\tlargest capture")
	for _, c := range r.Classes {
		fmt.Fprintf(b, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.0f %%  %s\n", printable(c.Label), c.Captures, c.Flows, c.Images, c.Packets, c.PayloadBytes, c.Duplicates, 100*c.LargestShare, printable(c.Largest))
	}
	for _, t := range r.Tables {
		fmt.Fprintf(b, "\n%s: %d labels, %d joined, %d without flow, %d of protocols without ports, %d of missing captures, %d filtered, %d without label, %d unreadable\n",
			printable(t.Name), t.Rows, t.Joined, t.NoFlow, t.NoPorts, t.NoCapture, t.Filtered, t.Unlabelled, t.Bad)
	}
	if len(r.Warnings) > 0 {
		fmt.Fprintln(b)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(b, "warning: %s\n", printable(warning))
	}
	shown := make(map[dataset.ProblemKind]int)
	for _, p := range r.Problems {
		if shown[p.Kind]++; shown[p.Kind] <= maxProblems {
			fmt.Fprintf(b, "%s: %s: %s\n", p.Kind, printable(p.Name), printable(p.Detail))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(shown)) {
		if more := shown[kind] - maxProblems; more > 0 {
			fmt.Fprintf(b, "%s: and %d more\n", kind, more)
		}
	}
	return b.Flush()
}
