package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"regexp"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A tint is a colour by its part, not by its value: figures are drawn in
// placeholder colours, and themed turns each into the CSS variable that light,
// dark and print give a value.
type tint uint8

const (
	ink tint = iota
	muted
	grid
	paper
	alarm
	s1 // first series
	s2
	s3
	s4
	s5
	s6
)

var tintNames = [...]string{"ink", "muted", "grid", "paper", "alarm", "s1", "s2", "s3", "s4", "s5", "s6"}

// series is the tint of the i-th series; they repeat after six.
func series(i int) tint { return s1 + tint(i%6) }

// Red and green of every placeholder; blue is the tint.
const placeholderRed, placeholderGreen = 0x01, 0xF1

func (t tint) solid() color.Color { return shade{t, 1} }

// alpha is the tint at an opacity from 0 to 1, for areas only: the SVG backend
// drops the opacity of text.
func (t tint) alpha(opacity float64) color.Color { return shade{t, opacity} }

// A shade is the placeholder of a tint at an opacity. The backend undoes the
// premultiplication and then cuts off decimals, so that color.NRGBA would come
// out one too small at times; the one added here makes it come out exact.
type shade struct {
	tint
	opacity float64
}

func (s shade) RGBA() (r, g, b, a uint32) {
	a = max(uint32(math.Round(min(s.opacity, 1)*0xFFFF)), 0x100)
	up := func(v uint32) uint32 { return v*a/0xFF + 1 }
	return up(placeholderRed), up(placeholderGreen), up(uint32(s.tint)), a
}

func (t tint) line(width vg.Length) draw.LineStyle {
	return draw.LineStyle{Color: t.solid(), Width: width}
}

var (
	placeholder = regexp.MustCompile(`#01F1([0-9A-F]{2})`)
	fontStyle   = regexp.MustCompile(`font-(family|variant|weight|style):[^;"]*;?\s*`)
)

// themed turns what the backend wrote into an SVG element to stand inside
// HTML: no XML prologue, no name spaces (HTML knows them), no fixed size, the
// page's fonts, and tints as CSS variables. Only tags change: text is left as
// it was, whatever it looks like. The backend escapes text, so < begins a tag
// and > ends one.
func themed(svg string, w, h vg.Length) string {
	var out strings.Builder
	fmt.Fprintf(&out, `<svg viewBox="0 0 %g %g"`, w.Points(), h.Points())
	if w < chartWidth {
		out.WriteString(` class="narrow"`)
	}
	out.WriteString(">")
	_, svg, _ = strings.Cut(svg, "<svg")
	_, svg, _ = strings.Cut(svg, ">")
	for svg != "" {
		before, rest, found := strings.Cut(svg, "<")
		out.WriteString(before)
		if !found {
			break
		}
		tag, after, _ := strings.Cut(rest, ">")
		tag = strings.Join(strings.Fields(fontStyle.ReplaceAllString(tag, "")), " ")
		tag = placeholder.ReplaceAllStringFunc(tag, func(s string) string {
			n, err := strconv.ParseUint(s[len("#01F1"):], 16, 8)
			if err != nil || int(n) >= len(tintNames) {
				return s
			}
			return "var(--" + tintNames[n] + ")"
		})
		out.WriteString("<" + tag + ">")
		svg = after
	}
	return strings.TrimSpace(out.String())
}

// Sizes, in units of the view box: 920 units are the page's width, and two
// narrow figures stand side by side.
const (
	chartWidth   = 920
	narrowWidth  = 450
	narrowHeight = 400
	textSize     = 12
	smallSize    = 10.5
)

// style is the text style of a figure. Widths are measured with Liberation
// Sans, whose metrics are those of Arial and Helvetica.
func style(t tint, size vg.Length, x text.XAlignment, y text.YAlignment) draw.TextStyle {
	return draw.TextStyle{
		Color:   t.solid(),
		Font:    font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		XAlign:  x,
		YAlign:  y,
		Handler: text.Plain{Fonts: font.DefaultCache},
	}
}

// A key is an entry of a figure's legend.
type key struct {
	name   string
	tint   tint
	area   float64 // opacity of an area; 0 for a line
	dashed bool
}

// A chart is a gonum plot with the house's look: names of the axes at their
// upper ends, horizontal grid lines, the legend above, and at will a second
// axis on the right.
type chart struct {
	*plot.Plot
	width, height vg.Length
	legend        []key
	right         *rightAxis
	overlay       func(draw.Canvas) // drawn last, in data coordinates
	gridX         bool
}

// A rightAxis maps its own values onto the height of the plot.
type rightAxis struct {
	label string
	tint  tint
	axis  plot.Axis // Min, Max, Scale, Tick.Marker
}

func newChart(height vg.Length) *chart {
	p := plot.New()
	p.BackgroundColor = nil
	p.Legend = plot.NewLegend()
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle = muted.line(1)
		a.Padding = 0
		a.Tick.LineStyle = muted.line(1)
		a.Tick.Length = 4
	}
	p.Y.Tick.Length = 0
	p.Y.LineStyle.Width = 0
	p.X.Tick.Label = style(muted, textSize, text.XCenter, text.YTop)
	p.Y.Tick.Label = style(muted, textSize, text.XRight, text.YCenter)
	p.Y.Padding = 6
	p.X.Label.TextStyle = style(muted, textSize, text.XCenter, text.YBottom)
	p.X.Label.Padding = 4
	return &chart{Plot: p, width: chartWidth, height: height}
}

// svg draws the chart. left is the name of the left axis.
func (c *chart) svg(left string) string {
	canvas := vgsvg.New(c.width, c.height)
	area := draw.New(canvas)
	top := vg.Length(8)
	if left != "" || c.right != nil || len(c.legend) > 0 {
		top = 18 + legendPitch*vg.Length(c.drawHead(area, left))
	}
	frame := draw.Crop(area, 1, -14, 2, -top)
	if c.right != nil {
		frame.Max.X -= c.right.width() + 6
	}
	data := c.DataCanvas(frame)
	c.drawGrid(data)
	c.Plot.Draw(frame)
	if c.right != nil {
		c.right.draw(data)
	}
	if c.overlay != nil {
		c.overlay(data)
	}
	return finish(canvas, c.width, c.height)
}

func finish(canvas *vgsvg.Canvas, w, h vg.Length) string {
	var buf bytes.Buffer
	if _, err := canvas.WriteTo(&buf); err != nil {
		panic(fmt.Sprintf("report: writing SVG to memory: %v", err)) // bytes.Buffer does not fail
	}
	return themed(buf.String(), w, h)
}

// legendPitch is the height of a line of the legend, legendLines how many there may be.
const (
	legendPitch = 18
	legendLines = 3
)

// drawHead writes the axes' names at the corners and the legend between them,
// and returns the number of lines it took.
func (c *chart) drawHead(area draw.Canvas, left string) (lines int) {
	y := area.Max.Y - 10
	leftStyle := style(muted, textSize, text.XLeft, text.YCenter)
	area.FillText(leftStyle, vg.Point{X: area.Min.X + 1, Y: y}, left)
	start, end := area.Min.X+1, area.Max.X
	if left != "" {
		start += leftStyle.Width(left) + 26
	}
	if c.right != nil {
		sty := style(c.right.tint, textSize, text.XRight, text.YCenter)
		area.FillText(sty, vg.Point{X: area.Max.X - 1, Y: y}, c.right.label)
		end -= sty.Width(c.right.label) + 20
	}
	name := style(ink, textSize, text.XLeft, text.YCenter)
	lines = 1
	x := start
	for _, k := range c.legend {
		k.name = plain(k.name, 36)
		if x > start && x+24+name.Width(k.name) > end {
			if lines == legendLines {
				break // the tables name what does not fit
			}
			x, y = start, y-legendPitch
			lines++
		}
		if k.area > 0 {
			fillRect(area, k.tint.alpha(k.area), x, y-4.5, x+16, y+4.5)
		} else {
			sty := k.tint.line(2.2)
			if k.dashed {
				sty.Dashes = dashes
			}
			area.StrokeLine2(sty, x, y, x+18, y)
		}
		area.FillText(name, vg.Point{X: x + 24, Y: y}, k.name)
		x += 24 + name.Width(k.name) + 20
	}
	return lines
}

var dashes = []vg.Length{5, 4}

// drawGrid draws a line at every labelled tick.
func (c *chart) drawGrid(data draw.Canvas) {
	for _, t := range c.Y.Tick.Marker.Ticks(c.Y.Min, c.Y.Max) {
		if y := data.Y(c.Y.Norm(t.Value)); !t.IsMinor() && data.ContainsY(y) {
			data.StrokeLine2(grid.line(1), data.Min.X, y, data.Max.X, y)
		}
	}
	if !c.gridX {
		return
	}
	for _, t := range c.X.Tick.Marker.Ticks(c.X.Min, c.X.Max) {
		if x := data.X(c.X.Norm(t.Value)); !t.IsMinor() && data.ContainsX(x) {
			data.StrokeLine2(grid.line(1), x, data.Min.Y, x, data.Max.Y)
		}
	}
}

func (r *rightAxis) width() vg.Length {
	sty := style(r.tint, textSize, text.XLeft, text.YCenter)
	var w vg.Length
	for _, t := range r.axis.Tick.Marker.Ticks(r.axis.Min, r.axis.Max) {
		w = max(w, sty.Width(t.Label))
	}
	return w
}

func (r *rightAxis) draw(data draw.Canvas) {
	sty := style(r.tint, textSize, text.XLeft, text.YCenter)
	for _, t := range r.axis.Tick.Marker.Ticks(r.axis.Min, r.axis.Max) {
		if y := data.Y(r.axis.Norm(t.Value)); !t.IsMinor() && data.ContainsY(y) {
			data.FillText(sty, vg.Point{X: data.Max.X + 6, Y: y}, t.Label)
		}
	}
}

func fillRect(c draw.Canvas, col color.Color, x0, y0, x1, y1 vg.Length) {
	c.FillPolygon(col, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}

// plotFunc makes a plotter of a function.
type plotFunc func(draw.Canvas, *plot.Plot)

func (f plotFunc) Plot(c draw.Canvas, p *plot.Plot) { f(c, p) }

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
