package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/sensor"
	"github.com/weirnet/weir/store"
)

func newAlerts(g *shared) *cobra.Command {
	c := &cobra.Command{
		Use:   "alerts",
		Short: "List, show, confirm, dismiss and export the alerts that are stored",
		Long: `Alerts at most two windows apart are one incident. Incidents are numbered, 4; their alerts within them, 4.1, 4.2 and
so on. A command that takes an ID takes either.

They are those of the history that weir run --store writes, while it runs or afterwards.`,
	}
	c.AddCommand(
		newAlertsList(g), newAlertsShow(),
		newAlertsVerdict("confirm", "Note that alerts are right", store.Confirmed),
		newAlertsVerdict("dismiss", "Note that there is nothing to alerts", store.Dismissed),
		newAlertsVerdict("reopen", "Take back what was noted of alerts", store.Untriaged),
		newAlertsExport(g), newAlertsExclude(g), newAlertsExclusions(g), newAlertsInclude(),
	)
	return c
}

func newAlertsList(g *shared) *cobra.Command {
	var (
		asked      past
		verdict    string
		limit      int
		asJSON     bool
		suppressed bool
	)
	c := &cobra.Command{
		Use:   "list",
		Short: "List incidents, the oldest first",
		Long: `List incidents: when they began, how long they lasted, how many alerts they have, their highest score, what was noted of
them, and what there was too much of.`,
		Example: `  weir alerts list --since 24h --verdict open
  weir alerts list --store history --json`,
		RunE: func(c *cobra.Command, _ []string) error {
			q := store.IncidentQuery{Verdict: store.Verdict(verdict), Limit: limit}
			switch q.Verdict {
			case "", store.Untriaged, store.Confirmed, store.Dismissed:
			default:
				return usageError{fmt.Errorf("--verdict %q: use %s, %s or %s", verdict, store.Untriaged, store.Confirmed, store.Dismissed)}
			}
			if limit < 0 {
				return usageError{fmt.Errorf("--limit %d: must not be negative", limit)}
			}
			s, when, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if suppressed {
				return listSuppressed(c, g, s, store.SuppressedQuery{Range: when}, asJSON)
			}
			q.Range = when
			incidents, err := s.Incidents(c.Context(), q)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(c.OutOrStdout())
				for i := range incidents {
					if err := enc.Encode(incidentJSON(&incidents[i])); err != nil {
						return err
					}
				}
				return nil
			}
			g.info("%d incidents, %s", len(incidents), showRange(when))
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tstart\tlength\talerts\tpeak\tverdict\twhat")
			for i := range incidents {
				in := &incidents[i]
				what := ""
				for a, err := range s.Alerts(c.Context(), store.AlertQuery{ID: store.ID{Incident: in.ID, Alert: in.PeakAlert}}) {
					if err != nil {
						return err
					}
					what = sensor.Explain(&a.Alert)
				}
				fmt.Fprintf(w, "%d\t%s\t%v\t%d\t%s\t%s\t%s\n", in.ID, showTime(in.Start), time.Duration(in.End-in.Start).Round(time.Millisecond),
					in.Windows, report.Plain(in.Peak), showVerdict(in.Triage), printable(what))
			}
			return w.Flush()
		},
	}
	asked.flags(c, "")
	c.Flags().BoolVar(&suppressed, "suppressed", false, "the alerts that exclusions suppressed instead")
	c.Flags().StringVar(&verdict, "verdict", "", "only those with this verdict: open, confirmed or dismissed")
	c.Flags().IntVar(&limit, "limit", 0, "only the newest so many; 0: all")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON line for each incident")
	return c
}

// incidentLine is the JSON of an incident, docs/formats.md.
type incidentLine struct {
	ID      int64         `json:"id"`
	Source  string        `json:"source"`
	Start   event.Time    `json:"start"`
	End     event.Time    `json:"end"`
	Alerts  int           `json:"alerts"`
	Peak    float64       `json:"peak"`
	PeakID  string        `json:"peak_alert"`
	Verdict store.Verdict `json:"verdict"`
	Note    string        `json:"note,omitempty"`
	Who     string        `json:"who,omitempty"`
	At      *event.Time   `json:"at,omitempty"`
}

func incidentJSON(in *store.Incident) incidentLine {
	line := incidentLine{
		ID: in.ID, Source: in.Source, Start: event.Time(in.Start), End: event.Time(in.End), Alerts: in.Windows, Peak: in.Peak,
		PeakID: store.ID{Incident: in.ID, Alert: in.PeakAlert}.String(), Verdict: store.Untriaged,
	}
	if t := in.Triage; t.Verdict != "" {
		line.Verdict, line.Note, line.Who, line.At = t.Verdict, t.Note, t.Who, (*event.Time)(&t.At)
	}
	return line
}

func showVerdict(t store.Triage) string {
	if t.Is(store.Untriaged) {
		return string(store.Untriaged)
	}
	text := fmt.Sprintf("%s by %s", t.Verdict, printable(t.Who))
	if t.Note != "" {
		text += ": " + printable(t.Note)
	}
	return text
}

func newAlertsShow() *cobra.Command {
	var (
		asked  past
		asJSON bool
	)
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show an alert, or an incident with its highest alert",
		Long: `Show an alert: its score and threshold, the features with the largest shares of the score, observed and expected, whose
packets moved them, and which are kept. Of an incident, when it was, how many alerts it had, and the highest of them.`,
		Example: `  weir alerts show 4
  weir alerts show 4.2 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			s, _, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			incidents, err := s.Incidents(c.Context(), store.IncidentQuery{ID: id.Incident})
			if err != nil {
				return err
			}
			if len(incidents) == 0 {
				return unknownAlert(s, id)
			}
			in, out := &incidents[0], c.OutOrStdout()
			peak := id
			if peak.Alert == 0 {
				peak.Alert = in.PeakAlert
			}
			var alert *store.Alert
			for a, err := range s.Alerts(c.Context(), store.AlertQuery{ID: peak}) {
				if err != nil {
					return err
				}
				alert = a
			}
			if alert == nil {
				return unknownAlert(s, id)
			}
			if asJSON {
				return json.NewEncoder(out).Encode(struct {
					Incident incidentLine `json:"incident"`
					Alert    alertLine    `json:"alert"`
				}{incidentJSON(in), alertJSON(alert)})
			}
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			of, err := sourceName(c.Context(), s, in.Source)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "incident\t%d of %s\n", in.ID, printable(of))
			fmt.Fprintf(w, "time\t%s to %s\n", showTime(in.Start), showTime(in.End))
			fmt.Fprintf(w, "alerts\t%d, the highest is %s with %s\n", in.Windows, store.ID{Incident: in.ID, Alert: in.PeakAlert}, report.Plain(in.Peak))
			fmt.Fprintf(w, "verdict\t%s\n", showVerdict(in.Triage))
			if err := w.Flush(); err != nil {
				return err
			}
			return showAlert(out, alert)
		},
	}
	asked.onlyStore(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// showAlert prints what made a window anomalous.
func showAlert(out io.Writer, stored *store.Alert) error {
	a := &stored.Alert
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nalert\t%s\n", stored.ID)
	fmt.Fprintf(w, "window\t%s, %g s, %d packets", showTime(int64(a.Start)), a.Length, a.Packets)
	if a.Lost > 0 {
		fmt.Fprintf(w, ", %d more were lost", a.Lost)
	}
	fmt.Fprintf(w, "\nscore\t%s, threshold %s, model %s\n", report.Plain(*a.Score), report.Plain(a.Threshold), printable(a.Model))
	fmt.Fprintf(w, "verdict\t%s\n", showVerdict(stored.Triage))
	fmt.Fprintf(w, "why\t%s\n", printable(sensor.Explain(a)))
	for _, m := range a.Apps {
		fmt.Fprintf(w, "application\t%s, %s packets, usually %s\n", printable(m.Name), report.Plain(m.Observed), report.Plain(m.Usual))
	}
	for _, top := range []struct {
		name   string
		counts []event.Count
	}{{"from", a.Top.Sources}, {"to", a.Top.Destinations}, {"to port", a.Top.Ports}, {"applications", a.Top.Apps}} {
		for i, count := range top.counts {
			name := top.name
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "%s\t%s, %d packets\n", name, printable(count.Name), count.Packets)
		}
	}
	if a.Evidence.How != "" {
		fmt.Fprintf(w, "packets\t%s\n", printable(a.Evidence.How))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nfeature\tobserved\texpected\tusually\tof the score\tmoved by\n")
	for _, f := range a.Features[:min(10, len(a.Features))] {
		usual := "-"
		if f.Usual != nil {
			usual = report.Plain(f.Usual[0]) + " to " + report.Plain(f.Usual[1])
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.0f %%\t%s\n", printable(f.Name), report.Plain(f.Observed), report.Plain(f.Expected), usual, 100*f.Share / *a.Score, showMovers(f.Movers))
	}
	return w.Flush()
}

// showMovers names the first of each kind of mover with its part of the change.
func showMovers(movers []event.Mover) string {
	var parts []string
	last := ""
	for _, m := range movers {
		if m.By != last {
			last = m.By
			parts = append(parts, fmt.Sprintf("%s %s (%.0f %%)", printable(m.By), printable(m.Name), 100*m.Part))
		}
	}
	return strings.Join(parts, ", ")
}

// newAlertsVerdict makes a command that notes what a person made of alerts.
func newAlertsVerdict(name, short string, verdict store.Verdict) *cobra.Command {
	var (
		asked     past
		note, who string
	)
	c := &cobra.Command{
		Use:     name + " ID…",
		Short:   short,
		Long:    short + ". The newest note holds; one on an incident holds for all its alerts, those to come as well.",
		Example: "  weir alerts " + name + ` 4 --note "backup at night"`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var ids []store.ID
			for _, arg := range args {
				id, err := parseID(arg)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			s, _, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if who == "" {
				who = userName()
			}
			for _, id := range ids {
				if err := s.Triage(c.Context(), id, store.Triage{Verdict: verdict, Note: note, Who: who, At: time.Now().UnixNano()}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	asked.onlyStore(c)
	c.Flags().StringVar(&note, "note", "", "why, for others to read")
	c.Flags().StringVar(&who, "who", "", "who says so (default: your user name)")
	return c
}

// userName is the name of whoever runs this.
func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return os.Getenv("USER")
}

func newAlertsExport(g *shared) *cobra.Command {
	var (
		asked         past
		file, packets string
		proof         string
	)
	c := &cobra.Command{
		Use:   "export ID…",
		Short: "Write alerts as JSON lines, or their packets as a capture",
		Long: `Write alerts as JSON lines, whole, with their incident and verdict; with -w, the packets that are kept of them instead, as
a capture: those of the alert's window, and of the windows before it that the detector needs to come to the same score.`,
		Example: `  weir alerts export 4 -o incident.jsonl
  weir alerts export 4.2 -w alert.pcapng && weir run -r alert.pcapng --anomaly anomaly`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var ids []store.ID
			for _, arg := range args {
				id, err := parseID(arg)
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			s, _, err := asked.open(c.Context())
			if err != nil {
				return err
			}
			defer s.Close()
			if packets != "" {
				if err := exportPackets(c.Context(), g, s, evidenceDir(proof, s.Dir()), ids, packets); err != nil || file == "" {
					return err
				}
			}
			out, finish, err := output(file)
			if err != nil {
				return err
			}
			enc := json.NewEncoder(out)
			for _, id := range ids {
				n := 0
				for a, err := range s.Alerts(c.Context(), store.AlertQuery{ID: id}) {
					if err == nil {
						err = enc.Encode(alertJSON(a))
					}
					if err != nil {
						return finish(err)
					}
					n++
				}
				if n == 0 {
					return finish(unknownAlert(s, id))
				}
			}
			return finish(nil)
		},
	}
	asked.onlyStore(c)
	c.Flags().StringVarP(&file, "output", "o", "", "file to write (default stdout, or nowhere with -w)")
	c.Flags().StringVarP(&packets, "write", "w", "", "file (pcapng) for the packets")
	c.Flags().StringVar(&proof, "evidence", "", "directory that the packets are kept in (default evidence in that of the history)")
	return c
}

// alertLine is the JSON of an alert: the event as it was told, and what the store adds.
type alertLine struct {
	Timestamp event.Time    `json:"timestamp"`
	Type      event.Type    `json:"event_type"`
	ID        string        `json:"id"`
	Source    string        `json:"source"`
	Verdict   store.Verdict `json:"verdict"`
	Note      string        `json:"note,omitempty"`
	Who       string        `json:"who,omitempty"`
	At        *event.Time   `json:"at,omitempty"`
	Alert     event.Alert   `json:"alert"`
}

func alertJSON(a *store.Alert) alertLine {
	end := int64(a.Alert.Start) + int64(a.Alert.Length*float64(time.Second))
	line := alertLine{Timestamp: event.Time(end), Type: event.TypeAlert, ID: a.ID.String(), Source: a.Source, Verdict: store.Untriaged, Alert: a.Alert}
	if t := a.Triage; t.Verdict != "" {
		line.Verdict, line.Note, line.Who, line.At = t.Verdict, t.Note, t.Who, (*event.Time)(&t.At)
	}
	return line
}

// sourceName is what people call a source: its captures, where it has some.
func sourceName(ctx context.Context, s *store.Disk, name string) (string, error) {
	info, err := s.Info(ctx)
	if err != nil {
		return "", err
	}
	for i := range info.Sources {
		if captures := info.Sources[i].Captures; info.Sources[i].Name == name && len(captures) > 0 {
			name = captures[0].Name
			if n := len(captures) - 1; n > 0 {
				name += fmt.Sprintf(" and %d more", n)
			}
		}
	}
	return name, nil
}

func unknownAlert(s *store.Disk, id store.ID) error {
	return fmt.Errorf("%s: %w: %s (weir alerts list has them all)", s.Dir(), store.ErrUnknown, id)
}

func parseID(text string) (store.ID, error) {
	id, err := store.ParseID(text)
	if err != nil {
		return id, usageError{err}
	}
	return id, nil
}
