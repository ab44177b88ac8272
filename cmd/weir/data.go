package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/flow"
)

// tunnelsFlag is --tunnels. A model is used as it was trained: what it was trained with stands in
// for a flag that is not given, and a flag that says otherwise is wrong usage.
type tunnelsFlag struct {
	tunnels bool
	given   func() bool
	model   string // that has decided it
}

func (f *tunnelsFlag) flags(c *cobra.Command) {
	c.Flags().BoolVar(&f.tunnels, "tunnels", false, "look into GRE, VXLAN, IP-in-IP and GTP-U (with a model: as it was trained)")
	f.given = func() bool { return c.Flags().Changed("tunnels") }
}

// follow takes over what a model was trained with.
func (f *tunnelsFlag) follow(model string, tunnels bool) error {
	how := map[bool]string{true: "looking into tunnels", false: "without looking into tunnels"}
	switch {
	case f.given() && f.tunnels != tunnels:
		return usageError{fmt.Errorf("--tunnels=%t: %s was trained %s", f.tunnels, model, how[tunnels])}
	case f.model != "" && f.tunnels != tunnels:
		return usageError{fmt.Errorf("%s was trained %s, %s %s: they cannot run together", f.model, how[f.tunnels], model, how[tunnels])}
	}
	f.tunnels, f.model = tunnels, model
	return nil
}

// zoneFlag is --label-zone.
type zoneFlag struct{ zone string }

func (f *zoneFlag) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.zone, "label-zone", "UTC", "time zone of tables whose times name none")
}

func (f *zoneFlag) location() (*time.Location, error) {
	zone, err := time.LoadLocation(f.zone)
	if err != nil {
		return nil, usageError{fmt.Errorf("--label-zone %q: %w", f.zone, err)}
	}
	return zone, nil
}

// dataFlags say which labelled captures a command reads, and how.
type dataFlags struct {
	dir         string
	labelColumn string
	confidence  string
	zoneFlag
	tunnelsFlag
}

func (f *dataFlags) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.dir, "data", "", "directory of labelled captures")
	flags.StringVar(&f.labelColumn, "label-column", "", "column of the table that holds the label")
	flags.StringVar(&f.confidence, "confidence", "", "only rows of flows.csv of this confidence, such as DPI")
	f.zoneFlag.flags(c)
	f.tunnelsFlag.flags(c)
	require(c, "data")
}

// open reads the set. As with dataset.Open, there is a set beside dataset.ErrEmpty.
func (f *dataFlags) open(g *shared, config flow.Config) (*dataset.Set, error) {
	zone, err := f.location()
	if err != nil {
		return nil, err
	}
	bar := g.bar("reading captures")
	defer bar.done()
	return dataset.Open(f.dir, dataset.Options{
		LabelColumn: f.labelColumn, Confidence: f.confidence, Zone: zone, Tunnels: f.tunnels,
		Flow: config, Workers: g.workers, Progress: bar.set,
	})
}
