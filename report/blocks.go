package report

import (
	"fmt"
	"html/template"
	"strings"
)

// Text is one paragraph.
type Text string

func (t Text) html() (template.HTML, error) { return fragment("text", string(t)) }

// Headlines are the few numbers that a reader takes away, each with what it
// must be compared to.
type Headlines []Headline

// A Headline is one number, written as it shall be read.
type Headline struct {
	Name   string
	Value  string
	Note   string // what it was measured on, its spread
	Beside []Fact // trivial baselines in the same measure
}

func (h Headlines) html() (template.HTML, error) { return fragment("headlines", []Headline(h)) }

// A Table has a head row and body rows of equal length.
type Table struct {
	Caption string
	Head    []string
	Align   string // one letter per column: l for words, r for numbers; missing ones are l
	Rows    [][]string
	Folded  bool // shown as its caption only until opened
}

// foldedRows is the number of rows from which a table folds by itself.
const foldedRows = 60

func (t Table) html() (template.HTML, error) {
	type cell struct {
		Text    string
		Numeric bool
	}
	view := struct {
		Caption string
		Folded  bool
		Head    []cell
		Rows    [][]cell
	}{Caption: t.Caption, Folded: t.Folded || len(t.Rows) >= foldedRows}
	numeric := func(column int) bool { return column < len(t.Align) && t.Align[column] == 'r' }
	for i, h := range t.Head {
		view.Head = append(view.Head, cell{h, numeric(i)})
	}
	for n, row := range t.Rows {
		if len(row) != len(t.Head) {
			return "", fmt.Errorf("table %q: row %d has %d cells, the head has %d", t.Caption, n+1, len(row), len(t.Head))
		}
		cells := make([]cell, len(row))
		for i, text := range row {
			cells[i] = cell{text, numeric(i)}
		}
		view.Rows = append(view.Rows, cells)
	}
	return fragment("table", view)
}

// Alerts lists alerts, each with the shares of its score.
type Alerts []Alert

// An Alert is one anomalous window as a reader needs it.
type Alert struct {
	When     string // the window's start and length
	Score    string // beside its threshold
	Note     string // packets, losses, model
	Features []Bar  // shares of the score, largest first
	Top      []Fact // addresses, ports and applications that stand out
	Evidence string // the command that gets the packets
}

func (a Alerts) html() (template.HTML, error) {
	type alert struct {
		Alert
		Figure template.HTML
	}
	var view []alert
	for _, one := range a {
		v := alert{Alert: one}
		if len(one.Features) > 0 {
			fig, err := Bars{Rows: one.Features, Format: Percent, Caption: "Shares of the score"}.html()
			if err != nil {
				return "", err
			}
			v.Figure = fig
		}
		view = append(view, v)
	}
	return fragment("alerts", view)
}

// figure frames a drawing. alt says in words what is to be seen, for readers who do not see it.
func figure(caption, alt, svg string) (template.HTML, error) {
	return fragment("figure", struct {
		Caption, Alt string
		SVG          template.HTML
		Narrow       bool
	}{caption, alt, template.HTML(svg), strings.Contains(svg, `class="narrow"`)})
}
