package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/flow"
)

func newDataset(g *shared) *cobra.Command {
	c := &cobra.Command{
		Use:   "dataset",
		Short: "Look through labelled captures, make payload images",
		Long: `Labelled captures are what models of applications are trained on: a directory per label, tables of captures or of flows, captures
with process names, payload images. docs/formats.md tells the forms.`,
	}
	c.AddCommand(newDatasetCheck(g), newDatasetImages(g))
	return c
}

// checkFlags are the flags of `weir dataset check`.
type checkFlags struct {
	data        dataFlags
	json        string
	out         string
	split       bool
	splitColumn string
	minFlows    int
	minCaptures int
}

func newDatasetCheck(g *shared) *cobra.Command {
	f := new(checkFlags)
	c := &cobra.Command{
		Use:   "check --data DIR",
		Short: "Say what is in a labelled set, and what is wrong with it",
		Long: `Read a directory of labelled captures in any of the forms of docs/formats.md and report classes,
flows, packets, duplicates, captures that dominate a class, labels without flows and flows without
labels, and files that cannot be read. With --split, also say how the set would be split.`,
		Example: `  weir dataset check --data captures/ --split`,
		RunE:    func(c *cobra.Command, _ []string) error { return g.checkDataset(f) },
	}
	flags := c.Flags()
	f.data.flags(c)
	flags.IntVar(&f.minFlows, "min-flows", 0, "labels with fewer flows are pooled as Etc.")
	flags.IntVar(&f.minCaptures, "min-captures", 0, "labels with fewer captures are pooled as Etc.")
	flags.BoolVar(&f.split, "split", false, "say how the set would be split")
	flags.StringVar(&f.splitColumn, "split-column", "", "column of labels.csv that splits instead of time")
	flags.StringVar(&f.json, "json", "", "write the report as JSON to this file (- for stdout, without the table)")
	flags.StringVarP(&f.out, "output", "o", "", "write the table to this file")
	return c
}

// datasetReport is what --json writes.
type datasetReport struct {
	*dataset.Report
	Split *dataset.Record `json:"split,omitempty"`
}

func (g *shared) checkDataset(f *checkFlags) error {
	set, err := f.data.open(g, flow.Config{})
	if err != nil && (set == nil || !errors.Is(err, dataset.ErrEmpty)) {
		return err
	}
	empty := err
	set.Pool(f.minFlows, f.minCaptures)
	report := datasetReport{Report: set.Check()}
	if f.split || f.splitColumn != "" {
		split, err := set.Split(dataset.SplitOptions{Column: f.splitColumn})
		if err != nil {
			return err
		}
		report.Split = &split.Record
	}
	if f.json != "" {
		err := writeTo(f.json, func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(report)
		})
		if err != nil {
			return err
		}
	}
	if f.json != "-" {
		if err := writeTo(f.out, report.writeText); err != nil {
			return err
		}
	}
	switch {
	case empty != nil:
		return empty
	case set.Unreadable():
		return errPartly
	}
	return nil
}

func (r *datasetReport) writeText(w io.Writer) error {
	if err := writeCheck(w, r.Report); err != nil || r.Split == nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", printable(r.Split.Summary))
	for _, note := range r.Split.Notes {
		fmt.Fprintf(w, "note: %s\n", printable(note))
	}
	return nil
}

// writeTo writes a file, or stdout where the name is empty or "-".
func writeTo(file string, write func(io.Writer) error) error {
	w, finish, err := output(file)
	if err != nil {
		return err
	}
	return finish(write(w))
}

// imagesFlags are the flags of `weir dataset images`.
type imagesFlags struct {
	read    []string
	filter  filterFlags
	unit    string
	out     string
	label   int
	options dataset.ImageOptions
}

func newDatasetImages(g *shared) *cobra.Command {
	f := new(imagesFlags)
	c := &cobra.Command{
		Use:   "images -r FILE… -o DIR",
		Args:  cobra.ArbitraryArgs,
		Short: "Write payload images as IDX files",
		Long: `Write the payloads of sessions or packets as images: the IDX file UNIT-images-idx3-ubyte, in order
of first packet, and UNIT-index.csv, which says what each image shows. A session is a TCP or UDP
5-tuple in both directions, without timeouts; its payloads follow each other in capture order. Short
payloads end in zeros; units without payload give no image.`,
		Example: `  weir dataset images -r monday.pcap --unit session --bytes 784 -o images/`,
		PreRunE: func(*cobra.Command, []string) error { return f.filter.parse(nil) },
		RunE: func(c *cobra.Command, args []string) error {
			f.read = append(f.read, args...)
			f.options.Labels = c.Flags().Changed("label")
			return g.datasetImages(f)
		},
	}
	flags := c.Flags()
	flags.StringArrayVarP(&f.read, "read", "r", nil, "capture file, directory, or - for standard input; may be repeated")
	f.filter.flags(c)
	flags.StringVar(&f.unit, "unit", string(dataset.Session), "what an image shows: session or packet")
	flags.IntVar(&f.options.Bytes, "bytes", 784, "payload bytes of an image; a square number gives square images")
	flags.IntVar(&f.label, "label", 0, "write UNIT-labels-idx1-ubyte too, with this number for every image")
	flags.StringVarP(&f.out, "output", "o", "", "directory for the files")
	require(c, "read")
	require(c, "output")
	return c
}

func (g *shared) datasetImages(f *imagesFlags) error {
	f.options.Unit, f.options.Label, f.options.Wanted = dataset.Unit(f.unit), f.label, f.filter.wanted()
	if err := f.options.Check(); err != nil {
		return usageError{err}
	}
	stats, err := dataset.Images(f.read, f.out, f.options)
	if err != nil {
		return err
	}
	g.info("%d packets: %d images of %ss with payload, %d sessions without; %d packets without payload, %d later fragments",
		stats.Packets, stats.Images, f.unit, stats.Empty, stats.NoPayload, stats.Fragments)
	err = f.filter.tell(stats.Packets, stats.LeftOut, g.quiet)
	if err := errors.Join(err, tellFaults(stats.Faults, stats.Packets+stats.LeftOut)); err != nil {
		return err
	}
	if stats.Refused > 0 {
		g.info("%d packets of further %ss gave no image: the images reached %d MiB of memory", stats.Refused, f.unit, stats.MemoryLimit>>20)
		return errPartly
	}
	return nil
}
