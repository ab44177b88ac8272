package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/window"
)

// windowFlags are the flags of the commands that cut time into windows.
type windowFlags struct {
	length time.Duration
	home   []string
}

func (f *windowFlags) flags(c *cobra.Command) {
	c.Flags().DurationVar(&f.length, "window", 5*time.Second, "length of a window")
	c.Flags().StringSliceVar(&f.home, "home", nil, "home networks (CIDR): only packets with exactly one end inside count")
}

// config returns the part of a meter's configuration that the flags say.
func (f *windowFlags) config() (meter.Config, error) {
	cfg := meter.Config{Window: f.length}
	if f.length <= 0 {
		return cfg, usageError{fmt.Errorf("--window %v: must be more than zero", f.length)}
	}
	for _, text := range f.home {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return cfg, usageError{fmt.Errorf("--home %q: want a network such as 192.168.0.0/16", text)}
		}
		cfg.Home = append(cfg.Home, p.Masked())
	}
	return cfg, nil
}

func newFeatures(g *shared) *cobra.Command {
	var (
		in   input
		win  windowFlags
		file string
	)
	c := &cobra.Command{
		Use:   "features -r FILE…",
		Short: "Write the 53 features of every window as CSV or Parquet",
		Long: `Write paper B's 53 features, one row per window from the first packet's window to the last
packet's. Windows are aligned to multiples of their length since the Unix epoch. All packets
count in the window of their time, whatever their order in the file. An output file whose name
ends in .parquet is written as Parquet.`,
		Example: `  weir features -r monday.pcap --window 5s -o features.csv
  weir features -r captures/ --window 1m --home 10.0.0.0/8 -o features.parquet`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := win.config()
			if err != nil {
				return err
			}
			out, finish, err := output(file)
			if err != nil {
				return err
			}
			var w window.Writer
			if strings.EqualFold(filepath.Ext(file), ".parquet") {
				w = window.NewParquetWriter(out)
			} else {
				w = window.NewCSVWriter(out)
			}
			var failed error
			cfg.NoFlows, cfg.Tunnels, cfg.Lateness = true, in.tunnels, -1
			cfg.OnWindow = func(win *window.Window) {
				if failed == nil {
					failed = w.Write(win)
				}
			}
			m, err := meter.New(cfg, g.workers, nil)
			if err != nil {
				return finish(usageError{err})
			}
			err = in.read(c.Context(), m.Wait, func(_ *capture.Reader, batch []capture.Packet) error {
				m.Add(batch)
				return failed
			})
			m.Close()
			tellWindows(m.Counters())
			return finish(errors.Join(failed, err, w.Close()))
		},
	}
	in.flags(c)
	win.flags(c)
	c.Flags().StringVarP(&file, "output", "o", "", "file to write (default stdout)")
	return c
}
