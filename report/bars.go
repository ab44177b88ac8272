package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Applications is paper A's figure 5: for each application the number of
// packets as a bar, and the sum of payload bytes as a line on the right axis,
// most packets first. Both axes are logarithmic when the numbers of packets
// span more than two decades.
type Applications struct {
	Caption string
	Rows    []Application
	Most    int // rows shown, the rest pooled in one; 0 means 48, as many as the paper has
}

// An Application is one bar and one point of the line.
type Application struct {
	Name    string
	Packets uint64
	Bytes   uint64 // payload bytes
}

func (a Applications) html() (template.HTML, error) {
	rows := a.ranked()
	alt := "no packets"
	if len(rows) == 0 {
		return figure(a.Caption, alt, "")
	}
	alt = fmt.Sprintf("packets as bars and payload bytes as a line for %d applications; most packets: %s with %d packets and %d bytes",
		len(rows), rows[0].Name, rows[0].Packets, rows[0].Bytes)
	return figure(a.Caption, alt, a.draw(rows))
}

// ranked sorts by packets, then name, and pools what exceeds Most.
func (a Applications) ranked() []Application {
	most := a.Most
	if most <= 0 {
		most = 48
	}
	rows := slices.Clone(a.Rows)
	slices.SortStableFunc(rows, func(a, b Application) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Name, b.Name))
	})
	if len(rows) <= most {
		return rows
	}
	rest := Application{Name: fmt.Sprintf("%d others", len(rows)-most+1)}
	for _, r := range rows[most-1:] {
		rest.Packets += r.Packets
		rest.Bytes += r.Bytes
	}
	return append(rows[:most-1:most-1], rest)
}

func (a Applications) draw(rows []Application) string {
	c := newChart(400)
	var mostPackets, fewestPackets, mostBytes float64 = 1, math.Inf(1), 1
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = plain(r.Name, 22)
		mostPackets = max(mostPackets, float64(r.Packets))
		fewestPackets = min(fewestPackets, float64(max(r.Packets, 1)))
		mostBytes = max(mostBytes, float64(r.Bytes))
	}
	logarithmic := mostPackets/fewestPackets > 100
	c.right = &rightAxis{label: "payload bytes", tint: s2}
	left, right := &c.Y, &c.right.axis
	left.Min, left.Max = 0, mostPackets*1.04
	right.Min, right.Max = 0, mostBytes*1.04
	left.Tick.Marker, right.Tick.Marker = steps(5, Short), steps(5, Bytes)
	right.Scale = plot.LinearScale{}
	leftName := "packets"
	if logarithmic {
		left.Min, left.Max, left.Scale = 0.7, mostPackets*1.5, plot.LogScale{}
		right.Min, right.Max, right.Scale = 0.7, mostBytes*1.5, plot.LogScale{}
		left.Tick.Marker, right.Tick.Marker = decades(6, Short), decades(6, Bytes)
		leftName, c.right.label = "packets, logarithmic", "payload bytes, logarithmic"
	}
	c.legend = []key{{name: "packets", tint: s1, area: 0.85}, {name: "payload bytes", tint: s2}}
	c.NominalX(names...)
	c.X.LineStyle, c.X.Tick.LineStyle = muted.line(1), grid.line(1) // NominalX took them away
	c.X.Tick.Length = 5
	c.X.Min, c.X.Max = -0.6, float64(len(rows))-0.4
	if len(rows) > 7 {
		c.X.Tick.Label = style(ink, smallSize, text.XRight, text.YCenter)
		c.X.Tick.Label.Rotation = math.Pi / 3
	} else {
		c.X.Tick.Label.Color = ink.solid()
	}
	c.Add(plotFunc(func(d draw.Canvas, p *plot.Plot) {
		half := min(0.34*float64(d.Max.X-d.Min.X)/(float64(len(rows))+0.2), 36)
		var line []vg.Point
		for i, r := range rows {
			x := d.X(p.X.Norm(float64(i)))
			if r.Packets > 0 {
				y := d.Y(p.Y.Norm(max(float64(r.Packets), left.Min)))
				fillRect(d, s1.alpha(0.85), x-vg.Length(half), d.Min.Y, x+vg.Length(half), y)
			}
			line = append(line, vg.Point{X: x, Y: d.Y(right.Norm(max(float64(r.Bytes), right.Min)))})
		}
		d.StrokeLines(s2.line(2), line)
		for _, pt := range line {
			dot(d, s2, pt, 3.2)
		}
	}))
	return c.svg(leftName)
}

// dot is a disc with a rim in the paper's colour, so that it stands off bars and lines.
func dot(d draw.Canvas, t tint, at vg.Point, radius vg.Length) {
	for _, disc := range []struct {
		t tint
		r vg.Length
	}{{paper, radius + 1.2}, {t, radius}} {
		d.DrawGlyphNoClip(draw.GlyphStyle{Color: disc.t.solid(), Radius: disc.r, Shape: draw.CircleGlyph{}}, at)
	}
}

// Bars are horizontal bars from 0, a row each, with their values written out:
// F1 per class, shares of an alert's score.
type Bars struct {
	Caption string
	Rows    []Bar
	Max     float64 // value of a full bar; 0 means the largest value
	Format  Format  // of the values; nil means Plain
	Name    string  // what the bars are, for the legend; shown when there are marks
	Mark    string  // what the marks are; empty when no row has one
}

// A Bar is one row. A value that is undefined (NaN) has no bar and a dash.
type Bar struct {
	Name  string
	Value float64
	Mark  float64 // a tick to compare with, when Bars.Mark is set; may be NaN
	Note  string  // written after the value
}

func (b Bars) html() (template.HTML, error) {
	if len(b.Rows) == 0 {
		return figure(b.Caption, "no rows", "")
	}
	format := b.Format
	if format == nil {
		format = Plain
	}
	top := b.Max
	for _, r := range b.Rows {
		if b.Max == 0 && finite(r.Value) {
			top = max(top, r.Value)
		}
	}
	if top <= 0 {
		top = 1
	}
	alt := fmt.Sprintf("%d bars; first: %s %s", len(b.Rows), b.Rows[0].Name, format(b.Rows[0].Value))
	return figure(b.Caption, alt, b.draw(format, top))
}

func (b Bars) draw(format Format, top float64) string {
	const pitch, head = 20, 26
	nameStyle := style(ink, textSize, text.XRight, text.YCenter)
	noteStyle := style(muted, textSize, text.XLeft, text.YCenter)
	var nameWidth, noteWidth vg.Length
	names, notes := make([]string, len(b.Rows)), make([]string, len(b.Rows))
	for i, r := range b.Rows {
		names[i], notes[i] = plain(r.Name, 34), format(r.Value)
		if r.Note != "" {
			notes[i] += " · " + plain(r.Note, 48)
		}
		nameWidth = max(nameWidth, nameStyle.Width(names[i]))
		noteWidth = max(noteWidth, noteStyle.Width(notes[i]))
	}
	c := newChart(vg.Length(len(b.Rows))*pitch + 4)
	if b.Mark != "" {
		c.height += head
		c.legend = []key{{name: b.Name, tint: s1, area: 0.85}, {name: b.Mark, tint: s2}}
	}
	canvas := vgsvg.New(c.width, c.height)
	area := draw.New(canvas)
	c.drawHead(area, "")
	left := nameWidth + 10
	right := c.width - noteWidth - 12
	for i, r := range b.Rows {
		y := c.height - vg.Length(i)*pitch - pitch/2 - 2
		if b.Mark != "" {
			y -= head
		}
		at := func(v float64) vg.Length {
			return left + (right-left)*vg.Length(min(max(v/top, 0), 1))
		}
		area.StrokeLine2(grid.line(1), left, y, right, y)
		if finite(r.Value) {
			fillRect(area, s1.alpha(0.85), left, y-6.5, at(r.Value), y+6.5)
		}
		if b.Mark != "" && finite(r.Mark) {
			m := at(r.Mark)
			area.StrokeLine2(paper.line(5), m, y-8, m, y+8)
			area.StrokeLine2(s2.line(2.4), m, y-8, m, y+8)
		}
		area.FillText(nameStyle, vg.Point{X: left - 8, Y: y + 0.7}, names[i])
		area.FillText(noteStyle, vg.Point{X: right + 9, Y: y + 0.7}, notes[i])
	}
	return finish(canvas, c.width, c.height)
}
