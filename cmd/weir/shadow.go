package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/sensor"
)

// shadowFlags name the models on trial of a run.
type shadowFlags struct{ apps, anomaly string }

func (f *shadowFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.apps, "shadow-apps", "", "model of applications on trial, NAME or NAME@VERSION: compared with --apps, of no other consequence")
	c.Flags().StringVar(&f.anomaly, "shadow-anomaly", "", "detector on trial, compared with --anomaly: it raises no alert")
}

// load adds the models on trial to a configuration.
func (f *shadowFlags) load(g *shared, cfg *sensor.Config) error {
	if f.apps != "" {
		m, _, err := g.loadApps(f.apps)
		if err != nil {
			return err
		}
		cfg.ShadowApps = m
	}
	if f.anomaly != "" {
		m, p, err := g.loadAnomaly(f.anomaly)
		if err != nil {
			return err
		}
		cfg.ShadowAnomaly, cfg.ShadowAnomalyName = m, p.Ref()
	}
	return nil
}

// printComparison tells a person how models on trial did beside those in use.
func printComparison(s *sensor.Summary) {
	if s.Shadow == nil {
		return
	}
	out := os.Stderr
	if c := s.Shadow.Apps; c != nil {
		fmt.Fprintf(out, "\non trial: %s beside %s\n  %d flows labelled by both, the same application for %d (%s); novel to %s %d, to %s %d, to both %d\n",
			c.Model, c.Live, c.Flows, c.Agree, percent(c.Agree, c.Flows), c.Live, c.NovelLive, c.Model, c.Novel, c.NovelBoth)
		for i, d := range s.Disagreements {
			if i == 10 {
				fmt.Fprintf(out, "  and %d more pairs\n", len(s.Disagreements)-i)
				break
			}
			fmt.Fprintf(out, "  %6d flows: %s, on trial %s\n", d.Flows, printable(d.Live), printable(d.Shadow))
		}
		if c.Skipped > 0 {
			fmt.Fprintf(out, "  %d flows were not compared for want of time\n", c.Skipped)
		}
	}
	if c := s.Shadow.Anomaly; c != nil {
		fmt.Fprintf(out, "\non trial: %s beside %s\n  %d windows scored by both; anomalous to %s %d, to %s %d, to both %d; correlation of the logarithms of scores %.3f\n",
			c.Model, c.Live, c.Windows, c.Live, c.AboveLive, c.Model, c.Above, c.AboveBoth, c.Correlation)
	}
}

func percent(part, of uint64) string {
	if of == 0 {
		return "none"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(of))
}
