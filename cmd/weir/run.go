package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/sensor"
	"github.com/weirnet/weir/train"
)

func newRun(g *shared) *cobra.Command { return newRunner(g).Command }

// runner is weir run, for what else asks about its flags.
type runner struct {
	*cobra.Command
	from   settings
	check  func(words []string) error // tells all that is wrong with the flags, as far as nothing need be opened to know it
	keep   *history
	models *follow
	named  func() map[model.Kind]string // models as they are named
}

func newRunner(g *shared) *runner {
	var (
		r                          runner
		in                         input
		keep                       history
		proof                      evidenceFlags
		live                       liveInput
		late                       latenessFlag
		memory                     flowMemory
		dash                       dashboard
		at                         pace
		promoted                   follow
		manner                     service
		lesson                     lessons
		trial                      shadowFlags
		alive                      pulse
		send                       sinks
		samples                    sampleFlags
		apps, detector, file, page string
		list                       bool
	)
	checkFlags := func() error {
		watching := len(live.lists) > 0
		return errors.Join(late.check(), memory.check(), send.check(), keep.check(), at.check(watching), promoted.check(watching, keep.dir != ""))
	}
	load := func() (cfg sensor.Config, err error) {
		cfg = sensor.Config{Meter: meter.Config{Lateness: late.lateness, MaxGap: maxSilence}}
		var errs []error
		if apps != "" {
			if cfg.Apps, _, err = g.loadApps(apps); err == nil {
				cfg.Meter.Flow = train.OpeningConfig(&cfg.Apps.Arch)
				err = in.follow(cfg.Apps.Name, cfg.Apps.Tunnels)
			}
			errs = append(errs, err)
		}
		if detector != "" {
			m, p, err := g.loadAnomaly(detector)
			if err == nil {
				cfg.Anomaly, cfg.AnomalyName = m, p.Ref()
				err = errors.Join(in.follow(p.Ref(), m.Tunnels), in.filter.compare(p))
			}
			errs = append(errs, err)
		}
		return cfg, errors.Join(append(errs, trial.load(g, &cfg))...)
	}
	c := &cobra.Command{
		Use:   "run -r FILE… | -i IFACE [FILTER]",
		Short: "Label flows, score windows, raise alerts",
		Long: `Run the models over captures or over what passes on interfaces: every flow gets its application,
every window its score, and what is anomalous an alert with its explanation. Events are JSON lines
(docs/formats.md); a summary for people goes to stderr.

Behind -r, words are more captures; behind -i, they are a filter as for tcpdump. --filter is a filter in either case.
With --http, a browser shows what is going on and what is stored.

Models named without @VERSION follow weir model promote and rollback while an interface is watched: no packet is
lost, and no flow or window is judged by two models. With @VERSION they stay.

What flags say can stand in a file as well (--config; weir config print shows it). SIGHUP has what of it may change
while an interface is watched take effect.

An interface is watched until Ctrl-C, which ends with what was captured until then; a second one ends at once.`,
		Example: `  weir run -r monday.pcap tuesday.pcap --apps apps --anomaly anomaly -o events.jsonl
  sudo weir run -i eth0 --apps apps --anomaly anomaly -o events.jsonl not port 22`,
		RunE: func(c *cobra.Command, words []string) error {
			if list {
				return listInterfaces(os.Stdout, g, false)
			}
			if err := checkFlags(); err != nil {
				return err
			}
			defer manner.begin(g, &r, words, &alive, len(live.lists) > 0, file)()
			cfg, err := load()
			if err != nil {
				return err
			}
			cfg.Meter.Tunnels, cfg.Meter.Flow.Memory = in.tunnels, int(memory.byteSize)
			lines, finish, err := send.start(file, len(live.interfaces) > 0)
			if err != nil {
				return err
			}
			w := event.NewWriter(lines)
			cfg.Emit = w.Write
			pageOut, finishPage := (*os.File)(nil), func(err error) error { return err }
			if page != "" {
				if pageOut, finishPage, err = output(page); err != nil {
					return finish(err)
				}
			}
			if err := dash.open(); err != nil {
				return finish(finishPage(err))
			}
			defer dash.close()
			sources := in.files
			watching := len(live.interfaces) > 0
			if watching {
				sources = live.interfaces
				if err := live.open(g, &in.filter); err != nil {
					return finish(finishPage(err))
				}
				defer live.live.Close()
				cfg.Capture = live.counts
			}
			if dash.listener != nil {
				if err := keep.passing(); err != nil {
					return finish(finishPage(err))
				}
			}
			samples.apply(&cfg, &keep)
			if (keep.dir != "" || len(send.to) > 0) && file == "" {
				cfg.Emit = nil
			}
			if err := keep.open(g, runSettings(&cfg, &in.filter)); err != nil { // as the user that live.open has become
				return finish(finishPage(live.explain(err)))
			}
			if err := lesson.start(g, &dash, &cfg, detector, &in, &promoted, sources, watching, keep.asked()); err != nil {
				return finish(finishPage(errors.Join(live.explain(err), keep.close())))
			}
			defer lesson.close()
			cfg.Emit = manner.beside(lesson.told(send.counted(keep.beside(dash.beside(send.beside(cfg.Emit)))))) // losses are in stats before anyone looks
			if cfg.Suppress, err = keep.exclusions(c.Context(), watching); err != nil {
				return finish(finishPage(errors.Join(err, keep.close())))
			}
			s, err := sensor.New(cfg, g.workers)
			if err != nil {
				return finish(finishPage(errors.Join(usageError{err}, keep.close())))
			}
			opening := samples.opening(&cfg, s)
			if err := dash.start(g, alive.shown(dash.shown(&cfg, &keep, &proof, &lesson, &promoted, opening, sources))); err != nil {
				return finish(finishPage(errors.Join(err, keep.close())))
			}
			samples.begin(&keep, opening)
			defer samples.end()
			if keep.dir != "" || proof.dir != "" {
				in.onOpen = func(files []string) error {
					return errors.Join(keep.captures(files), proof.begin(&keep, s, &cfg, capture.Section{}, true))
				}
			}
			promoted.start(g, watching, map[model.Kind][2]string{model.Apps: {apps, appsName(&cfg)}, model.Anomaly: {detector, cfg.AnomalyName}})
			defer promoted.close()
			started := time.Now()
			var readErr error
			if watching {
				if err := errors.Join(keep.watching(live.interfaces), proof.begin(&keep, s, &cfg, live.section(), false)); err != nil {
					return finish(finishPage(errors.Join(live.explain(err), proof.close(), keep.close())))
				}
				alive.begin()
				manner.watch(c.Context(), shownSource(sources))
				readErr = live.watch(c.Context(), g, s, lesson.before(s, promoted.before(g, s, alive.beside(send.flush(w.Flush)))))
				manner.settle() // behind -r a dashboard may stay, which is no end yet
			} else {
				alive.begin()
				manner.watch(c.Context(), shownSource(sources))
				readErr = in.read(c.Context(), s.Wait, lesson.around(s, promoted.around(g, s, at.slow(c.Context(), s))))
			}
			kept := errors.Join(keep.read(readErr), proof.read(readErr, s))
			summary, err := s.Close()
			lesson.end()
			if err := finish(errors.Join(err, kept, proof.close(), keep.end(), w.Flush())); err != nil {
				return finishPage(errors.Join(err, dash.close(), keep.close()))
			}
			if !g.quiet && !g.logJSON {
				printSummary(summary, time.Since(started))
			}
			if page != "" {
				if err := finishPage(sensor.Report(summary, sources).Write(pageOut)); err != nil {
					return errors.Join(err, dash.close(), keep.close())
				}
				g.info("report: %s", page)
			}
			if readErr == nil || onlyPartly(readErr) {
				dash.linger(c.Context(), g)
			}
			return errors.Join(readErr, dash.close(), keep.close())
		},
	}
	r = runner{Command: c, keep: &keep, models: &promoted}
	r.named = func() map[model.Kind]string { return map[model.Kind]string{model.Apps: apps, model.Anomaly: detector} }
	r.check = func(words []string) error {
		errs := []error{checkFlags(), c.PreRunE(c, words), proof.check(keep.dir, detector != ""), dash.check()}
		for name, path := range map[string]string{"output": file, "report": page, "write": live.write} {
			errs = append(errs, checkPlace(name, path))
		}
		cfg, err := load()
		if err == nil {
			err = cfg.Check()
		}
		return errors.Join(append(errs, err)...)
	}
	in.flags(c)
	late.flags(c)
	live.flags(c)
	c.PreRunE = live.orFiles(&in, &list, c.PreRunE)
	c.Flags().BoolVarP(&list, "list-interfaces", "D", false, "list the interfaces and stop")
	keep.flags(c)
	proof.flags(c)
	c.Flags().StringVarP(&file, "output", "o", "", "file for the events (default stdout, or nowhere with --store, --http or --send)")
	c.Flags().StringVar(&apps, "apps", "", "model of applications: NAME or NAME@VERSION")
	c.Flags().StringVar(&detector, "anomaly", "", "anomaly detector: NAME or NAME@VERSION")
	memory.flags(c)
	samples.flags(c)
	at.flags(c)
	promoted.flags(c)
	trial.flags(c)
	send.flags(c)
	dash.flags(c)
	c.Flags().StringVar(&dash.address, "http", "", "address and port of the dashboard, such as 127.0.0.1:8080; behind -r it stays when all is read")
	c.Flags().BoolVar(&dash.exit, "exit", false, "end when all is read, with --http as well")
	c.Flags().StringVar(&page, "report", "", "file for the report with figures, one HTML page")
	r.from.flags(c)
	return &r
}

// checkPlace reports that there is no directory for a file to be written.
func checkPlace(flag, file string) error {
	if file == "" || file == "-" || exists(filepath.Dir(file)) {
		return nil
	}
	return usageError{fmt.Errorf("--%s %s: there is no directory %s", flag, file, filepath.Dir(file))}
}

// runSettings says what decides the events of a run beside its input: history holds each capture as read in one way.
func runSettings(cfg *sensor.Config, f *filterFlags) string {
	var parts []string
	if cfg.Apps != nil {
		parts = append(parts, "apps "+cfg.Apps.Name)
	}
	if cfg.Anomaly != nil {
		parts = append(parts, "anomaly "+cfg.AnomalyName)
	}
	if cfg.Meter.Tunnels {
		parts = append(parts, "tunnels")
	}
	switch {
	case f.expr != nil:
		parts = append(parts, "filter "+f.expr.String())
	case f.file != "":
		parts = append(parts, "filter of "+f.file)
	}
	if len(parts) == 0 {
		return "no models"
	}
	return strings.Join(parts, ", ")
}

const barWidth = 30

// printSummary tells a person what passed.
func printSummary(s *sensor.Summary, took time.Duration) {
	out := os.Stderr
	c := &s.Counters
	fmt.Fprintf(out, "%d packets, %d bytes, %d flows in %.1f s (%.0f packets/s)\n", c.Packets, c.Bytes, c.Flow.Flows,
		took.Seconds(), float64(c.Packets)/max(took.Seconds(), 1e-9))
	most := uint64(1)
	width := len("no label")
	for _, a := range s.Apps {
		most = max(most, a.Packets)
		width = max(width, len([]rune(appName(a))))
	}
	if len(s.Apps) > 0 {
		fmt.Fprintf(out, "\n%-*s  %-*s  %9s  %12s  %7s\n", width, "application", barWidth, "", "packets", "payload B", "flows")
	}
	for _, a := range s.Apps[:min(len(s.Apps), 20)] {
		bar := strings.Repeat("█", int((a.Packets*barWidth+most-1)/most))
		fmt.Fprintf(out, "%-*s  %-*s  %9d  %12d  %7d\n", width, appName(a), barWidth, bar, a.Packets, a.Payload, a.Flows)
	}
	if n := len(s.Apps) - 20; n > 0 {
		fmt.Fprintf(out, "and %d more\n", n)
	}
	if c.Window.Windows > 0 {
		fmt.Fprintf(out, "\n%d windows, %d alerts in %d incidents\n", c.Window.Windows, s.AlertCount, s.Incidents)
	}
	if s.Suppressed > 0 {
		fmt.Fprintf(out, "%d more alerts are suppressed by exclusions (weir alerts exclusions)\n", s.Suppressed)
	}
	for i, a := range s.Alerts {
		if i == 10 {
			fmt.Fprintf(out, "and %d more alerts\n", s.AlertCount-10)
			break
		}
		fmt.Fprintf(out, "  %s  score %.3g (threshold %.3g): %s\n", time.Unix(0, int64(a.Start)).UTC().Format(time.DateTime), *a.Score, a.Threshold, sensor.Explain(&a))
	}
	printComparison(s)
	printCounts("not decoded", sensor.DecodeErrors(c))
	printCounts("dropped", sensor.Drops(c))
	if s.Shed != nil {
		printCounts("flows not labelled by all networks for want of time", s.Shed.Flows)
	}
}

// appName is what a person reads for a total; labels come from users and may hold anything.
func appName(a sensor.AppTotal) string {
	switch {
	case a.Name == "":
		return "no label"
	case a.Novel:
		return fmt.Sprintf("novel (nearest %s)", printable(a.Name))
	}
	return printable(a.Name)
}

func printCounts(title string, counts map[string]uint64) {
	if len(counts) == 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "%s:", title)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(os.Stderr, " %s %d", name, counts[name])
	}
	fmt.Fprintln(os.Stderr)
}
