// Package report writes one self-contained HTML page: headline numbers, tables
// and SVG figures. The page needs no script, no font, no style sheet and no
// image from anywhere else; it reads in light and dark, on a telephone and in
// print. It knows nothing of weir: callers bring numbers and strings, and every
// string may be hostile (labels and server names are chosen by whoever sends
// the traffic), so all of them are escaped, inside figures too.
//
//	page := report.Page{Title: "What passed", Sections: []report.Section{{
//		Title:  "Applications",
//		Blocks: []report.Block{report.Applications{Rows: rows}},
//	}}}
//	err := page.Write(file)
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode"
)

// A Page is one HTML document.
type Page struct {
	Title string
	Lead  string // one or two sentences under the title
	Facts []Fact // what was measured, with what, how it was split: stands before every number

	Sections []Section
	Foot     string // last line, such as the program's version and the time
}

// A Fact is a named line at the head of a page.
type Fact struct{ Name, Value string }

// A Section is a titled run of blocks. The page links to each from its head.
type Section struct {
	Title  string
	Note   string // a sentence under the title: definitions, how to read it
	Blocks []Block
}

// A Block is a piece of a section: Headlines, Table, Text, or one of the figures.
type Block interface {
	html() (template.HTML, error)
}

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// Write renders the whole page, then writes it to w at once: a block that
// cannot be rendered leaves w untouched.
func (p *Page) Write(w io.Writer) error {
	type section struct {
		ID, Title, Note string
		Blocks          []template.HTML
	}
	view := struct {
		*Page
		Style    template.CSS
		Sections []section
	}{Page: p, Style: template.CSS(pageStyle)}
	for i, s := range p.Sections {
		out := section{ID: fmt.Sprintf("s%d", i+1), Title: s.Title, Note: s.Note}
		for _, b := range s.Blocks {
			h, err := b.html()
			if err != nil {
				return fmt.Errorf("report: section %q: %w", s.Title, err)
			}
			out.Blocks = append(out.Blocks, h)
		}
		view.Sections = append(view.Sections, out)
	}
	out, err := fragment("page", view)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = io.WriteString(w, strings.Map(visible, string(out)))
	return err
}

// visible replaces what no page needs and a hostile string may use to deceive:
// control characters, and marks that turn the direction of text (Unicode
// Standard Annex #9, section 2). Invalid UTF-8 has become U+FFFD before.
func visible(r rune) rune {
	switch {
	case r == '\n', r == '\t':
		return r
	case unicode.IsControl(r), '\u202a' <= r && r <= '\u202e', '\u2066' <= r && r <= '\u2069':
		return unicode.ReplacementChar
	}
	return r
}

// fragment runs one of the templates of page.html.
func fragment(name string, data any) (template.HTML, error) {
	var b strings.Builder
	if err := pageTemplate.ExecuteTemplate(&b, name, data); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil
}

// plain makes a string from outside fit to be drawn on one line: control and
// formatting characters (line breaks, direction overrides) and invalid UTF-8
// become U+FFFD, and what is longer than max runes ends in an ellipsis.
// Escaping is not its business.
func plain(s string, max int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > max {
			out := []rune(b.String())
			return string(out[:max-1]) + "…"
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}
