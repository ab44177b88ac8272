package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/sensor"
	"github.com/weirnet/weir/store"
)

// exclusionsEvery is how often a run that watches looks for other exclusions.
const exclusionsEvery = time.Second

// exclusions returns what says which exclusion of the history an alert falls under, nil without a history. Captures are read by those that
// hold when the run begins; while interfaces are watched, a change holds for the windows that close a second later.
func (h *history) exclusions(ctx context.Context, watching bool) (func(*event.Alert) int64, error) {
	if h.store == nil {
		return nil, nil
	}
	all, err := h.store.Exclusions(ctx)
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // windows that end after the signal to end are judged by them as well
	read := time.Now()
	return func(a *event.Alert) int64 {
		if watching && time.Since(read) >= exclusionsEvery {
			read = time.Now()
			if now, err := h.store.Exclusions(ctx); err == nil {
				all = now
			} else {
				slog.Warn(fmt.Sprintf("exclusions stay as they were: %v", err))
			}
		}
		for i := range all {
			if all[i].Matches(a) {
				return all[i].ID
			}
		}
		return 0
	}, nil
}

func newAlertsExclude(g *shared) *cobra.Command {
	var (
		asked                      past
		host, at, lasts, note, who string
		port                       uint16
		x                          store.Exclusion
		try                        bool
	)
	c := &cobra.Command{
		Use:   "exclude ID",
		Short: "Raise no more alerts like this one",
		Long: `Raise no more alerts like this one: about a host, a port, an application, with a feature in the lead, or at a time of day; with
several of these, all must hold. It is tried first against the alerts that are stored, and says how many it would have suppressed.

The features of a window are sums, out of which no host can be taken again. An exclusion by host or port does not change scores: it
suppresses alerts where the host (as source or destination) or the port moved half or more of the change of features that make up three
quarters of the leading shares. Whatever else happened in such a window, and makes up less than a quarter, is suppressed with it. Suppressed
alerts are stored and counted: weir alerts list --suppressed.`,
		Example: `  weir alerts exclude 4.2 --host 10.0.0.66 --try
  weir alerts exclude 4 --host 10.0.0.66 --feature syn --for 7d --note "our scanner"
  weir alerts exclude 5 --time 02:00-04:00 --note backups`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			if x.Host, err = parseHost(host); err == nil {
				x.From, x.To, err = parseDay(at)
			}
			if err != nil {
				return usageError{err}
			}
			now := time.Now()
			if lasts != "" {
				until, err := parsePast("for", lasts, 0)
				if err != nil || until >= 0 {
					return usageError{fmt.Errorf("--for %q: want a duration such as 12h or 7d", lasts)}
				}
				x.Until = now.UnixNano() - until
			}
			x.Port, x.Note, x.Who, x.At, x.Alert = port, note, who, now.UnixNano(), id
			if err := x.Check(); err != nil {
				return usageError{err}
			}
			if x.Who == "" {
				x.Who = userName()
			}
			ctx := c.Context()
			s, _, err := asked.open(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			tried, err := x.Try(ctx, s, id)
			if err != nil {
				return err
			}
			if tried.Asked == 0 {
				return unknownAlert(s, id)
			}
			out := c.OutOrStdout()
			tellTrial(out, &tried, id)
			if tried.AskedMatches == 0 {
				return fmt.Errorf("alert %s does not fall under it: nothing is excluded (weir alerts show %s tells who moved what)", id, id)
			}
			if try {
				return nil
			}
			if x.ID, err = s.Exclude(ctx, x); err != nil {
				return err
			}
			g.info("exclusion %d: %s; weir alerts include %d takes it back", x.ID, describe(&x), x.ID)
			return nil
		},
	}
	asked.onlyStore(c)
	f := c.Flags()
	f.StringVar(&host, "host", "", "address or network that moved the leading features")
	f.Uint16Var(&port, "port", 0, "destination port that moved the leading features")
	f.StringVar(&x.App, "app", "", "application that moved the number of packets")
	f.StringVar(&x.Feature, "feature", "", "feature with the largest share of the score; syn is syn_share too")
	f.StringVar(&at, "time", "", "time of day in UTC, such as 22:00-04:30")
	f.StringVar(&lasts, "for", "", "how long it holds from now on, such as 12h or 7d (default: until it is taken back)")
	f.BoolVar(&try, "try", false, "only say what it would have suppressed")
	f.StringVar(&note, "note", "", "why, for others to read")
	f.StringVar(&who, "who", "", "who says so (default: your user name)")
	return c
}

// parseHost reads an address or a network.
func parseHost(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("--host %q: want an address or a network", text)
	}
	return p.Masked(), nil
}

// parseDay reads a time of day, 22:00-04:30.
func parseDay(text string) (from, to time.Duration, err error) {
	if text == "" {
		return 0, 0, nil
	}
	first, last, _ := strings.Cut(text, "-")
	for _, part := range []struct {
		text string
		to   *time.Duration
	}{{first, &from}, {last, &to}} {
		hour, minute, ok := strings.Cut(part.text, ":")
		h, err1 := strconv.Atoi(hour)
		m, err2 := strconv.Atoi(minute)
		if !ok || err1 != nil || err2 != nil || h < 0 || h > 24 || m < 0 || m > 59 || h == 24 && m > 0 {
			return 0, 0, fmt.Errorf("--time %q: want a time of day such as 22:00-04:30", text)
		}
		*part.to = time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	}
	if from == to {
		return 0, 0, fmt.Errorf("--time %q: is no time at all", text)
	}
	return from, to, nil
}

// tellTrial says what an exclusion would have changed.
func tellTrial(out io.Writer, t *store.Trial, id store.ID) {
	fmt.Fprintf(out, "of %s: %d of %d alerts fall under it\n", id, t.AskedMatches, t.Asked)
	fmt.Fprintf(out, "of all that is stored: %d of %d alerts would have been suppressed, in %d of %d incidents, %d of them whole\n", t.Matches, t.Alerts, t.Touched, t.Incidents, t.Whole)
	fmt.Fprintf(out, "of %d windows %d would have raised no alert; no score changes\n", t.Windows, t.Matches)
	if t.Suppressed > 0 {
		fmt.Fprintf(out, "%d alerts were suppressed before, by other exclusions\n", t.Suppressed)
	}
}

// describe says an exclusion in words.
func describe(x *store.Exclusion) string {
	var parts []string
	if x.Host.IsValid() {
		host := x.Host.String()
		if x.Host.IsSingleIP() {
			host = x.Host.Addr().String()
		}
		parts = append(parts, "host "+host)
	}
	if x.Port != 0 {
		parts = append(parts, fmt.Sprintf("port %d", x.Port))
	}
	if x.App != "" {
		parts = append(parts, "application "+printable(x.App))
	}
	if x.Feature != "" {
		parts = append(parts, "feature "+printable(x.Feature))
	}
	if x.From != x.To {
		parts = append(parts, "from "+dayTime(x.From)+" to "+dayTime(x.To))
	}
	text := strings.Join(parts, ", ")
	if x.Until != 0 {
		text += ", until " + showTime(x.Until)
	}
	return text
}

func dayTime(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// exclusionLine is the JSON of an exclusion, docs/formats.md.
type exclusionLine struct {
	ID         int64       `json:"id"`
	Host       string      `json:"host,omitempty"`
	Port       uint16      `json:"port,omitempty"`
	App        string      `json:"app,omitempty"`
	Feature    string      `json:"feature,omitempty"`
	Time       string      `json:"time,omitempty"`
	Until      *event.Time `json:"until,omitempty"`
	Note       string      `json:"note,omitempty"`
	Who        string      `json:"who,omitempty"`
	At         event.Time  `json:"at"`
	Alert      string      `json:"alert,omitempty"`
	Suppressed int64       `json:"suppressed"`
}

func newAlertsExclusions(g *shared) *cobra.Command {
	var (
		asked  past
		asJSON bool
	)
	c := &cobra.Command{
		Use:     "exclusions",
		Short:   "List what is excluded from alerts, and what that has suppressed",
		Example: `  weir alerts exclusions --store history`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, _, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			all, err := s.Exclusions(c.Context())
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if asJSON {
				enc := json.NewEncoder(out)
				for i := range all {
					x := &all[i]
					line := exclusionLine{ID: x.ID, Port: x.Port, App: x.App, Feature: x.Feature, Note: x.Note, Who: x.Who, At: event.Time(x.At), Suppressed: x.Suppressed}
					if x.Host.IsValid() {
						line.Host = x.Host.String()
					}
					if x.From != x.To {
						line.Time = dayTime(x.From) + "-" + dayTime(x.To)
					}
					if x.Until != 0 {
						line.Until = (*event.Time)(&x.Until)
					}
					if x.Alert.Incident != 0 {
						line.Alert = x.Alert.String()
					}
					if err := enc.Encode(line); err != nil {
						return err
					}
				}
				return nil
			}
			g.info("%d exclusions", len(all))
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tsuppressed\tof\twhat\tby\tnote")
			for i := range all {
				x := &all[i]
				what := describe(x)
				if x.Until != 0 && x.Until <= time.Now().UnixNano() {
					what += " (expired)"
				}
				fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\t%s\n", x.ID, x.Suppressed, x.Alert, what, printable(x.Who), printable(x.Note))
			}
			return w.Flush()
		},
	}
	asked.onlyStore(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON line for each exclusion")
	return c
}

func newAlertsInclude() *cobra.Command {
	var asked past
	c := &cobra.Command{
		Use:   "include N…",
		Short: "Take exclusions back; what they suppressed stays so",
		Long: `Take exclusions back, by the numbers that weir alerts exclusions lists. Alerts that they suppressed stay suppressed; a weir run
that watches raises alerts again from the next window on.`,
		Example: `  weir alerts include 2`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return asked.each(c.Context(), args, "exclusion", "weir alerts exclusions", (*store.Disk).RemoveExclusion)
		},
	}
	asked.onlyStore(c)
	return c
}

// listSuppressed lists alerts that exclusions suppressed, the oldest first.
func listSuppressed(c *cobra.Command, g *shared, s *store.Disk, q store.SuppressedQuery, asJSON bool) error {
	out := c.OutOrStdout()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	events := event.NewWriter(out)
	if !asJSON {
		fmt.Fprintln(w, "start\tscore\texclusion\twhat")
	}
	n := 0
	for one, err := range s.Suppressed(c.Context(), q) {
		if err != nil {
			return err
		}
		n++
		a := &one.Alert
		if asJSON {
			end := int64(a.Start) + int64(a.Length*float64(time.Second))
			if err := events.Write(&event.Event{Nanos: end, Type: event.TypeSuppressed, Alert: a}); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", showTime(int64(a.Start)), report.Plain(*a.Score), a.Exclusion, printable(sensor.Explain(a)))
	}
	g.info("%d suppressed alerts, %s", n, showRange(q.Range))
	return errors.Join(events.Flush(), w.Flush())
}
