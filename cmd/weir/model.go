package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/drift"
	"github.com/weirnet/weir/evaluate"
	"github.com/weirnet/weir/model"
)

func newModel(g *shared) *cobra.Command {
	c := &cobra.Command{
		Use: "model", Short: "List, show, export, import, compare, promote and roll back models",
		Long: `A model is a directory of versions, NAME@VERSION, one of which is the live one: NAME alone means that. What is trained or
imported becomes live, unless it is told not to. A weir run that watches takes a change over by itself.`,
	}
	c.AddCommand(newModelList(g), newModelShow(g), newModelExport(g), newModelImport(g), newModelCompare(g), newModelPromote(g), newModelRollback(g))
	return c
}

func newModelList(g *shared) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List all versions of all models; * marks the live ones",
		Example: `  weir model list
  weir model list --models /var/lib/weir/models --json`,
		RunE: func(c *cobra.Command, _ []string) error {
			entries, err := g.registry().List()
			if err != nil {
				return err
			}
			if asJSON {
				type row struct {
					Name    string     `json:"name"`
					Version string     `json:"version"`
					Kind    model.Kind `json:"kind"`
					Profile string     `json:"profile"`
					Created time.Time  `json:"created"`
					Live    bool       `json:"live"`
					Fault   string     `json:"fault,omitempty"`
				}
				rows := make([]row, len(entries))
				for i, e := range entries {
					rows[i] = row{e.Name, e.Version, e.Kind, e.Profile, e.Created, e.Live, ""}
					if e.Fault != nil {
						rows[i].Fault = e.Fault.Error()
					}
				}
				return json.NewEncoder(c.OutOrStdout()).Encode(rows)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "\tmodel\tkind\tprofile\ttrained\tlabels\tfeatures")
			for _, e := range entries {
				mark := " "
				if e.Live {
					mark = "*"
				}
				if e.Fault != nil {
					fmt.Fprintf(w, "%s\t%s@%s\tunreadable: %s\t\t\t\t\n", mark, e.Name, e.Version, printable(e.Fault.Error()))
					continue
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", mark, printable(e.Ref()), printable(string(e.Kind)), printable(e.Profile),
					e.Created.Format("2006-01-02 15:04"), len(e.Labels), printable(e.Features))
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newModelShow(g *shared) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show NAME[@VERSION]",
		Short: "Show what a model is, what it was trained on and how well it did",
		Example: `  weir model show apps
  weir model show apps@20261122-1 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := g.registry().Load(args[0])
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			if asJSON {
				return json.NewEncoder(out).Encode(struct {
					model.Manifest
					Evaluation json.RawMessage `json:"evaluation,omitempty"`
				}{p.Manifest, p.Evaluation})
			}
			weights := 0
			for _, t := range p.Weights {
				weights += len(t.Data)
			}
			w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "model\t%s\nkind\t%s, profile %s\ntrained\t%s by weir %s in %.0f s\nfeatures\t%s\nweights\t%d numbers\n",
				p.Ref(), printable(string(p.Kind)), printable(p.Profile), p.Created.Format(time.RFC3339), printable(p.Weir), p.Training.Seconds, printable(p.Features), weights)
			if len(p.Labels) > 0 {
				fmt.Fprintf(w, "labels\t%d: %s\n", len(p.Labels), quoteList(p.Labels))
			}
			fmt.Fprintf(w, "captures\t%d\n", len(p.Training.Files))
			var split struct {
				Summary string `json:"summary"`
			}
			if json.Unmarshal(p.Training.Split, &split) == nil && split.Summary != "" {
				fmt.Fprintf(w, "split\t%s\n", printable(split.Summary))
			}
			if p.Kind == model.Apps {
				if err := showInt8(w, p); err != nil {
					return err
				}
			}
			if err := showReference(w, p); err != nil {
				return err
			}
			for _, note := range p.Notes {
				fmt.Fprintf(w, "note\t%s\n", printable(note))
			}
			var settings bytes.Buffer
			if err := json.Compact(&settings, p.Settings); err != nil {
				return err
			}
			fmt.Fprintf(w, "settings\t%s\n", printable(settings.String()))
			if err := w.Flush(); err != nil || p.Evaluation == nil || p.Kind != model.Apps {
				return err
			}
			var result evaluate.AppsResult
			if err := json.Unmarshal(p.Evaluation, &result); err != nil {
				return fmt.Errorf("%s: evaluation: %w", p.Ref(), err)
			}
			fmt.Fprint(out, "\nevaluation on validation data, all of it with --json; ")
			return printApps(out, &result)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	return c
}

// showInt8 tells in which numbers the networks of a model of applications run, and what that costs.
func showInt8(w io.Writer, p *model.Package) error {
	var s classify.Settings
	if err := json.Unmarshal(p.Settings, &s); err != nil {
		return fmt.Errorf("%s: settings: %w", p.Ref(), err)
	}
	if s.Int8 == nil {
		fmt.Fprintf(w, "numbers\tfloat32 (what int8 costs was not measured)\n")
		return nil
	}
	tellRounding(w, "numbers\t", s.Int8, "validation packets", "validation flows")
	return nil
}

// showReference tells what the model gave for validation data, which drift is measured against.
func showReference(w io.Writer, p *model.Package) error {
	var s struct {
		Scores      *drift.Reference `json:"validation_scores"`
		Confidences *drift.Reference `json:"validation_confidences"`
		Novelty     *drift.Reference `json:"validation_novelty"`
	}
	if err := json.Unmarshal(p.Settings, &s); err != nil {
		return fmt.Errorf("%s: settings: %w", p.Ref(), err)
	}
	told := false
	for _, q := range []struct {
		name, of string
		ref      *drift.Reference
	}{{"scores", "windows", s.Scores}, {"confidences", "flows", s.Confidences}, {"novelty", "flows", s.Novelty}} {
		if q.ref == nil {
			continue
		}
		told = true
		fmt.Fprintf(w, "%s\tof %d validation %s, parted at", q.name, q.ref.Count, q.of)
		for _, edge := range q.ref.Edges {
			fmt.Fprintf(w, " %.3g", edge)
		}
		fmt.Fprintln(w)
	}
	if !told {
		fmt.Fprintf(w, "drift\tnot known: the model was made before it was measured, or elsewhere\n")
	}
	return nil
}

func newModelPromote(g *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "promote NAME@VERSION",
		Short: "Make a version the live one",
		Long: `Make a version the live one, once it was loaded and found whole. A weir run that watches and was given the name alone takes it over
within seconds; weir model rollback is the way back.`,
		Example: `  weir model promote apps@20261122-2`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := g.registry().Promote(args[0]); err != nil {
				return err
			}
			g.info("%s is live", args[0])
			return nil
		},
	}
}

func newModelRollback(g *shared) *cobra.Command {
	return &cobra.Command{
		Use:     "rollback NAME",
		Short:   "Make the version that was live before the live one again",
		Long:    `Make the version that was live before the live one again. A weir run that watches takes it over within seconds.`,
		Example: `  weir model rollback apps`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			version, err := g.registry().Rollback(args[0])
			if err != nil {
				return err
			}
			g.info("%s@%s is live", args[0], version)
			return nil
		},
	}
}

// quoteList joins labels for people: they come from users and may hold anything.
func quoteList(labels []string) string {
	text := ""
	for i, l := range labels {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q", l)
	}
	return text
}
