package report

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// hostile is what a label or a server name may look like when its sender means harm.
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`</text></svg><svg onload=alert(1)>`,
	`</style><style>@import "http://evil.example/x.css"`,
	`' style='background:url(//evil.example)`,
	`javascript:alert(1)`,
	`]]><!--`, `{{.Title}}`, "&lt;&#60;",
	"line\nbreak\x00\x1b[31m\u202etxet",
	"\xff\xfe not UTF-8",
	`#01F105 stroke:#01F106;font-family:x`,
	strings.Repeat("long", 4000),
	"",
}

// page holds every kind of block, with s wherever a string may stand.
func page(s string) *Page {
	return &Page{
		Title: s, Lead: s, Foot: s, Facts: []Fact{{s, s}},
		Sections: []Section{
			{Title: s, Note: s, Blocks: []Block{
				Text(s),
				Headlines{{Name: s, Value: s, Note: s, Beside: []Fact{{s, s}}}},
				Table{Caption: s, Head: []string{s, s}, Align: "lr", Rows: [][]string{{s, s}}},
				Table{Caption: s, Head: []string{s}, Rows: [][]string{{s}}, Folded: true},
			}},
			{Title: s, Blocks: []Block{
				Applications{Caption: s, Rows: []Application{{s, 12, 3400}, {s + "2", 100000, 0}}},
				Bars{Caption: s, Name: s, Mark: s, Rows: []Bar{{Name: s, Value: 0.5, Mark: 0.3, Note: s}, {Name: s, Value: math.NaN(), Mark: math.NaN()}}},
				Matrix{Caption: s, Labels: []string{s, s}, Counts: [][]int{{5, 1}, {0, 3}}},
				Lines{Caption: s, X: s, Y: s, Series: []Series{{Name: s, X: []float64{0, 1}, Y: []float64{0.2, math.Inf(1)}}, {Name: s, X: []float64{1}, Y: []float64{1}, Dots: true}}},
				Reliability{Caption: s, Bins: []ReliabilityBin{{0, 0.5, 3, 0.4, 0.3}, {0.5, 1, 0, 0, 0}}},
				Timeline{Caption: s, Y: s, Points: []TimePoint{{0, 1, 2}, {5e9, 90, 2}}, Spans: []Span{{s, 1e9, 2e9}}},
				Alerts{{When: s, Score: s, Note: s, Evidence: s, Top: []Fact{{s, s}}, Features: []Bar{{Name: s, Value: 1, Note: s}}}},
			}},
			{Title: s, Blocks: []Block{Applications{}, Bars{}, Matrix{}, Lines{}, Reliability{}, Timeline{}, Alerts{}, Table{}, Headlines{}}},
		},
	}
}

func render(t *testing.T, p *Page) string {
	t.Helper()
	var b strings.Builder
	if err := p.Write(&b); err != nil {
		t.Fatalf("Write: %v", err)
	}
	return b.String()
}

var (
	elements   = "html head meta title style body header h1 h2 h3 p dl div dt dd nav a main section figure figcaption table thead tbody tr th td details summary article span pre footer svg g path text"
	attributes = "lang charset name content class id href scope role aria-label viewBox style transform d x y"
	styleValue = regexp.MustCompile(`^((fill|stroke|fill-opacity|stroke-opacity|stroke-width|stroke-dasharray|font-size):(none|var\(--[a-z0-9]+\)|[0-9.,e-]+(px)?);?)*$`)
)

// Whatever the strings, the page has only our elements and attributes, links
// only to itself, and names nothing outside.
func TestHostileStrings(t *testing.T) {
	known := func(list, name string) bool { return strings.Contains(" "+list+" ", " "+name+" ") }
	for _, s := range hostile {
		out := render(t, page(s))
		d := xml.NewDecoder(strings.NewReader(out))
		d.Strict, d.AutoClose, d.Entity = false, []string{"meta"}, xml.HTMLEntity
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%.40q: the page does not parse: %v", s, err)
			}
			switch token := token.(type) {
			case xml.Comment, xml.ProcInst:
				t.Errorf("%.40q: unexpected %T", s, token)
			case xml.StartElement:
				if !known(elements, token.Name.Local) {
					t.Errorf("%.40q: element %q", s, token.Name.Local)
				}
				for _, a := range token.Attr {
					switch name := a.Name.Local; {
					case !known(attributes, name):
						t.Errorf("%.40q: attribute %q of %q", s, name, token.Name.Local)
					case name == "href" && !regexp.MustCompile(`^#s[0-9]+$`).MatchString(a.Value):
						t.Errorf("%.40q: link to %q", s, a.Value)
					case name == "style" && !styleValue.MatchString(a.Value):
						t.Errorf("%.40q: style %q", s, a.Value)
					}
				}
			}
		}
		for _, outside := range []string{"url(", "@import", "@font-face", "xlink"} {
			if strings.Contains(pageStyle, outside) || !strings.Contains(s, outside) && strings.Contains(out, outside) {
				t.Errorf("%.40q: the page contains %q", s, outside)
			}
		}
	}
}

func TestNoReferenceToOutside(t *testing.T) {
	out := render(t, page("label"))
	if found := regexp.MustCompile(`(?i)https?:|src\s*=|url\(|//[a-z]`).FindString(out); found != "" {
		t.Errorf("the page contains %q", found)
	}
}

// A label that looks like a placeholder or like our styles is shown as it is.
func TestThemedLeavesText(t *testing.T) {
	const label = "#01F105 font-family:x"
	b := Bars{Rows: []Bar{{Name: label, Value: 1}}}
	h, err := b.html()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(h), ">"+label+"</text>") {
		t.Errorf("the label %q is not in the figure as text", label)
	}
	_, svg, _ := strings.Cut(string(h), "<svg")
	if found := regexp.MustCompile(`<[^>]*(#[0-9A-Fa-f]{6}|font-family)`).FindString(svg); found != "" {
		t.Errorf("a tag bears a fixed colour or font: %q", found)
	}
}

// Every tint at every opacity comes back as its variable.
func TestShadesSurviveBackend(t *testing.T) {
	const opacities = 400
	for n, name := range tintNames {
		canvas := vgsvg.New(10, 10)
		for o := 1; o <= opacities; o++ {
			fillRect(draw.New(canvas), tint(n).alpha(float64(o)/opacities), 1, 1, 2, 2)
		}
		svg := finish(canvas, 10, 10)
		if got := strings.Count(svg, "fill:var(--"+name+")"); got != opacities || strings.Contains(svg, "#") {
			t.Errorf("tint %s: %d of %d opacities come back: %.400s", name, got, opacities, svg)
		}
	}
}

func TestBlocksRefuseWhatDoesNotFit(t *testing.T) {
	for name, b := range map[string]Block{
		"table row too short": Table{Head: []string{"a", "b"}, Rows: [][]string{{"1"}}},
		"matrix rows":         Matrix{Labels: []string{"a", "b"}, Counts: [][]int{{1, 2}}},
		"matrix columns":      Matrix{Labels: []string{"a"}, Counts: [][]int{{1, 2}}},
		"line lengths":        Lines{Series: []Series{{X: []float64{1}, Y: nil}}},
	} {
		var w strings.Builder
		p := Page{Sections: []Section{{Blocks: []Block{b}}}}
		if err := p.Write(&w); err == nil {
			t.Errorf("%s: no error", name)
		}
		if w.Len() != 0 {
			t.Errorf("%s: %d bytes written before the error", name, w.Len())
		}
	}
}

// The smallest page, byte for byte, so that a change of the frame is seen.
func TestGolden(t *testing.T) {
	p := &Page{
		Title: "T", Facts: []Fact{{"split", "by capture"}},
		Sections: []Section{{Title: "S", Blocks: []Block{
			Headlines{{Name: "accuracy", Value: "0.767", Beside: []Fact{{"majority", "0.092"}}}},
			Bars{Caption: "F1", Rows: []Bar{{Name: "a<b", Value: 0.5}}, Max: 1, Format: Ratio},
			Table{Caption: "C", Head: []string{"n", "v"}, Align: "lr", Rows: [][]string{{"a", "1"}}},
		}}},
	}
	got := strings.Replace(render(t, p), pageStyle, "", 1)
	name := filepath.Join("testdata", "page.html")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("page differs from %s (UPDATE_GOLDEN=1 rewrites it):\n%s", name, got)
	}
}
