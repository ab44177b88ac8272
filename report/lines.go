package report

import (
	"fmt"
	"html/template"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Lines are curves over a common horizontal axis: ROC, accuracy against the
// packets seen, loss against the epoch.
type Lines struct {
	Caption  string
	X, Y     string // names of the axes
	Series   []Series
	Unit     bool // both axes run from 0 to 1, and the figure takes half of the page's width
	Share    bool // the vertical axis ends at 1 at most and starts where the curves do
	Diagonal bool // a thin line of what chance would give
	Whole    bool // marks on the horizontal axis at the points of the first series only
	Log      bool // the vertical axis is logarithmic; points at or below 0 are left out
}

// Series is one curve; points that are not finite are left out. X ascends.
type Series struct {
	Name   string
	X, Y   []float64
	Dots   bool // mark the points
	Dashed bool // for what is only to compare with
	Steps  bool // hold a value until the next point
}

func (l Lines) html() (template.HTML, error) {
	var kept []Series
	for _, s := range l.Series {
		if len(s.X) != len(s.Y) {
			return "", fmt.Errorf("lines %q: series %q has %d x and %d y", l.Caption, s.Name, len(s.X), len(s.Y))
		}
		k := s
		k.X, k.Y = nil, nil
		for i := range s.X {
			if finite(s.X[i]) && finite(s.Y[i]) && (!l.Log || s.Y[i] > 0) {
				k.X, k.Y = append(k.X, s.X[i]), append(k.Y, s.Y[i])
			}
		}
		if len(k.X) > 0 {
			kept = append(kept, k)
		}
	}
	if len(kept) == 0 {
		return figure(l.Caption, "no points", "")
	}
	alt := fmt.Sprintf("%s against %s:", l.Y, l.X)
	for _, s := range kept {
		last := len(s.X) - 1
		alt += fmt.Sprintf(" %s ends at %s;", s.Name, Plain(s.Y[last]))
	}
	l.Series = kept
	return figure(l.Caption, alt, l.draw())
}

func (l Lines) draw() string {
	c := newChart(340)
	c.X.Label.Text = l.X
	l.ranges(c)
	for i, s := range l.Series {
		if len(l.Series) == 1 && (s.Name == "" || s.Name == l.Y) {
			break // the axis says it
		}
		c.legend = append(c.legend, key{name: s.Name, tint: series(i), dashed: s.Dashed})
	}
	if l.Unit {
		c.width, c.height, c.gridX = narrowWidth, narrowHeight, true
	}
	c.Add(plotFunc(func(d draw.Canvas, p *plot.Plot) {
		if l.Diagonal {
			sty := muted.line(1)
			sty.Dashes = dashes
			d.StrokeLine2(sty, d.X(p.X.Norm(0)), d.Y(p.Y.Norm(0)), d.X(p.X.Norm(1)), d.Y(p.Y.Norm(1)))
		}
		for i := len(l.Series) - 1; i >= 0; i-- { // the first series on top
			l.Series[i].draw(d, p, series(i))
		}
	}))
	return c.svg(l.Y)
}

func (l Lines) ranges(c *chart) {
	loX, hiX, loY, hiY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range l.Series {
		for i := range s.X {
			loX, hiX = min(loX, s.X[i]), max(hiX, s.X[i])
			loY, hiY = min(loY, s.Y[i]), max(hiY, s.Y[i])
		}
	}
	switch {
	case l.Unit:
		loX, hiX, loY, hiY = 0, 1, 0, 1
	case l.Log:
		loY, hiY = loY*0.8, hiY*1.25
	case l.Share:
		margin := max(hiY-loY, 0.05) * 0.15
		loY, hiY = max(0, loY-margin), min(1, hiY+margin)
	default:
		loY, hiY = min(0, loY), hiY+0.04*(hiY-min(0, loY))
	}
	if hiY <= loY {
		hiY = loY + 1
	}
	if hiX <= loX {
		loX, hiX = loX-0.5, hiX+0.5
	}
	c.X.Min, c.X.Max, c.Y.Min, c.Y.Max = loX, hiX, loY, hiY
	c.X.Tick.Marker, c.Y.Tick.Marker = steps(10, Plain), steps(5, Plain)
	if l.Unit {
		c.X.Tick.Marker = steps(5, Plain)
	}
	if l.Log {
		c.Y.Scale, c.Y.Tick.Marker = plot.LogScale{}, decades(6, Plain)
	}
	if l.Whole {
		var ticks []plot.Tick
		for _, x := range l.Series[0].X {
			ticks = append(ticks, plot.Tick{Value: x, Label: Plain(x)})
		}
		c.X.Tick.Marker = plot.ConstantTicks(ticks)
	}
}

func (s Series) draw(d draw.Canvas, p *plot.Plot, t tint) {
	var line []vg.Point
	for i := range s.X {
		pt := vg.Point{X: d.X(p.X.Norm(s.X[i])), Y: d.Y(p.Y.Norm(s.Y[i]))}
		if s.Steps && i > 0 {
			line = append(line, vg.Point{X: pt.X, Y: line[len(line)-1].Y})
		}
		line = append(line, pt)
	}
	sty := t.line(2)
	if s.Dashed {
		sty.Dashes, sty.Width = dashes, 1.6
	}
	d.StrokeLines(sty, line)
	if s.Dots {
		for i := range s.X {
			dot(d, t, vg.Point{X: d.X(p.X.Norm(s.X[i])), Y: d.Y(p.Y.Norm(s.Y[i]))}, 3.4)
		}
	}
}

// Reliability shows what confidence is worth: for each bin of confidence the
// share that was right, beside the diagonal of perfect calibration, over bars
// of how many fell into the bin.
type Reliability struct {
	Caption string
	Bins    []ReliabilityBin
}

// A ReliabilityBin holds the answers whose confidence lies in [Low, High).
type ReliabilityBin struct {
	Low, High  float64
	Count      int
	Confidence float64 // mean
	Accuracy   float64
}

func (r Reliability) html() (template.HTML, error) {
	total := 0
	for _, b := range r.Bins {
		total += b.Count
	}
	if total == 0 {
		return figure(r.Caption, "no answers", "")
	}
	alt := fmt.Sprintf("accuracy against confidence in %d bins of %d answers", len(r.Bins), total)
	c := newChart(narrowHeight)
	c.width, c.gridX = narrowWidth, true
	c.X.Min, c.X.Max, c.Y.Min, c.Y.Max = 0, 1, 0, 1
	c.X.Tick.Marker, c.Y.Tick.Marker = steps(5, Plain), steps(5, Plain)
	c.X.Label.Text = "confidence"
	c.legend = []key{{name: "accuracy", tint: s1}, {name: "share of all answers", tint: s2, area: 0.35}, {name: "perfect", tint: muted, dashed: true}}
	c.Add(plotFunc(func(d draw.Canvas, p *plot.Plot) {
		at := func(x, y float64) vg.Point { return vg.Point{X: d.X(p.X.Norm(x)), Y: d.Y(p.Y.Norm(y))} }
		diagonal := muted.line(1)
		diagonal.Dashes = dashes
		var line []vg.Point
		for _, b := range r.Bins {
			if b.Count == 0 {
				continue
			}
			low, high := at(b.Low, 0), at(b.High, float64(b.Count)/float64(total))
			fillRect(d, s2.alpha(0.35), low.X+1.5, low.Y, high.X-1.5, high.Y)
			line = append(line, at(b.Confidence, b.Accuracy))
		}
		d.StrokeLines(diagonal, []vg.Point{at(0, 0), at(1, 1)})
		d.StrokeLines(s1.line(2), line)
		for _, pt := range line {
			dot(d, s1, pt, 3.6)
		}
	}))
	return figure(r.Caption, alt, c.svg(""))
}
