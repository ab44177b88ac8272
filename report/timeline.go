package report

import (
	"cmp"
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Timeline is a score over time with its threshold, and the times of attacks
// shaded. However many points there are, one per column of pixels is drawn,
// the largest: no peak is lost. The axis is logarithmic when the scores rise to
// more than twenty times the threshold.
type Timeline struct {
	Caption string
	Y       string // name of the score
	Points  []TimePoint
	Spans   []Span
}

// A TimePoint is the score of one window.
type TimePoint struct {
	Nanos     int64   // start of the window, since the Unix epoch
	Score     float64 // NaN or infinite: not scored, left out
	Threshold float64 // in force at that time; NaN or infinite: none
}

// A Span is a shaded time; spans of one name share a colour.
type Span struct {
	Name     string
	From, To int64 // nanoseconds since the Unix epoch
}

func (t Timeline) html() (template.HTML, error) {
	points := t.Columns(chartWidth)
	if len(points) == 0 {
		return figure(t.Caption, "no scored windows", "")
	}
	peak := points[0]
	for _, p := range points {
		if p.Score > peak.Score {
			peak = p
		}
	}
	alt := fmt.Sprintf("score over time, %d windows from %s to %s UTC; highest %s at %s", len(t.Points),
		clock(points[0].Nanos, time.DateTime), clock(points[len(points)-1].Nanos, time.DateTime), Plain(peak.Score), clock(peak.Nanos, time.DateTime))
	return figure(t.Caption, alt, t.draw(points))
}

func clock(nanos int64, layout string) string { return time.Unix(0, nanos).UTC().Format(layout) }

// Columns keeps the finite points in order of time, and of those that fall into
// one of n equal columns of time the one with the highest score. Threshold is
// then the lowest in the column.
func (t Timeline) Columns(n int) []TimePoint {
	var kept []TimePoint
	for _, p := range t.Points {
		if finite(p.Score) {
			kept = append(kept, p)
		}
	}
	slices.SortStableFunc(kept, func(a, b TimePoint) int { return cmp.Compare(a.Nanos, b.Nanos) })
	if len(kept) <= n {
		return kept
	}
	first := float64(kept[0].Nanos)
	width := (float64(kept[len(kept)-1].Nanos) - first) / float64(n)
	if width <= 0 {
		width = 1
	}
	var out []TimePoint
	last := -1
	for _, p := range kept {
		column := min(int((float64(p.Nanos)-first)/width), n-1)
		if column != last {
			out, last = append(out, p), column
			continue
		}
		top := &out[len(out)-1]
		threshold := top.Threshold
		if finite(p.Threshold) && !(p.Threshold >= threshold) {
			threshold = p.Threshold
		}
		if p.Score > top.Score {
			*top = p
		}
		top.Threshold = threshold
	}
	return out
}

func (t Timeline) draw(points []TimePoint) string {
	c := newChart(320)
	first, last := points[0].Nanos, points[len(points)-1].Nanos
	for _, s := range t.Spans {
		first, last = min(first, s.From), max(last, s.To)
	}
	// Seconds since the first point keep float64 exact enough for any capture.
	seconds := func(nanos int64) float64 { return float64(nanos-first) / 1e9 }
	c.X.Min, c.X.Max = 0, max(seconds(last), 1e-3)
	c.X.Tick.Marker = timeTicks(first)
	c.X.Label.Text = "UTC, " + dates(first, last)
	logarithmic := t.scale(c, points)
	name := t.Y
	if name == "" {
		name = "score"
	}
	if logarithmic {
		name += ", logarithmic"
	}

	tints := map[string]tint{}
	c.legend = []key{{name: "score", tint: s1}, {name: "threshold", tint: alarm, dashed: true}}
	for _, s := range t.Spans {
		if _, known := tints[s.Name]; !known {
			tints[s.Name] = s2 + tint(len(tints)%5)
			c.legend = append(c.legend, key{name: s.Name, tint: tints[s.Name], area: 0.3})
		}
	}
	c.Add(plotFunc(func(d draw.Canvas, p *plot.Plot) {
		for _, s := range joined(t.Spans, (last-first)/chartWidth) {
			x0, x1 := d.X(p.X.Norm(seconds(s.From))), d.X(p.X.Norm(seconds(s.To)))
			fillRect(d, tints[s.Name].alpha(0.22), x0, d.Min.Y, max(x1, x0+1), d.Max.Y)
		}
		var scores, limits []vg.Point
		stroke := func() {
			sty := alarm.line(1.4)
			sty.Dashes = dashes
			d.StrokeLines(sty, limits)
			limits = nil
		}
		for _, pt := range points {
			x := d.X(p.X.Norm(seconds(pt.Nanos)))
			scores = append(scores, vg.Point{X: x, Y: d.Y(p.Y.Norm(min(max(pt.Score, p.Y.Min), p.Y.Max)))})
			if !finite(pt.Threshold) {
				stroke()
				continue
			}
			y := d.Y(p.Y.Norm(min(max(pt.Threshold, p.Y.Min), p.Y.Max)))
			if n := len(limits); n > 0 && limits[n-1].Y == y {
				limits[n-1].X = x // a level stretch is drawn by its two ends
				continue
			}
			limits = append(limits, vg.Point{X: x, Y: y}, vg.Point{X: x, Y: y})
		}
		stroke()
		if len(scores) == 1 {
			dot(d, s1, scores[0], 3)
		}
		d.StrokeLines(s1.line(1.2), scores)
	}))
	return c.svg(name)
}

// joined merges spans of one name that are at most gap apart: pauses too short to
// be seen would only be drawn as stripes.
func joined(spans []Span, gap int64) []Span {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	var out []Span
	latest := map[string]int{}
	for _, s := range spans {
		if i, ok := latest[s.Name]; ok && s.From-out[i].To <= gap {
			out[i].To = max(out[i].To, s.To)
			continue
		}
		latest[s.Name] = len(out)
		out = append(out, s)
	}
	return out
}

// scale sets the vertical axis and says whether it is logarithmic.
func (t Timeline) scale(c *chart, points []TimePoint) bool {
	low, high, limit := math.Inf(1), 0.0, 0.0
	for _, p := range points {
		if p.Score > 0 {
			low = min(low, p.Score)
		}
		high = max(high, p.Score)
		if finite(p.Threshold) {
			limit = max(limit, p.Threshold)
		}
	}
	if limit > 0 && high > 20*limit {
		c.Y.Scale = plot.LogScale{}
		c.Y.Min, c.Y.Max = max(low, limit/1000)*0.8, high*1.5
		c.Y.Tick.Marker = decades(6, Short)
		return true
	}
	c.Y.Min, c.Y.Max = 0, max(high, limit)*1.06
	if c.Y.Max <= 0 {
		c.Y.Max = 1
	}
	c.Y.Tick.Marker = steps(5, Plain)
	return false
}

func dates(first, last int64) string {
	from, to := clock(first, time.DateOnly), clock(last, time.DateOnly)
	if from == to {
		return from
	}
	return from + " to " + to
}

// timeTicks marks whole steps of clock time on an axis of seconds since first.
func timeTicks(first int64) plot.Ticker {
	sizes := []time.Duration{
		time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
		24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour, 10 * 365 * 24 * time.Hour,
	}
	return plot.TickerFunc(func(lo, hi float64) []plot.Tick {
		size := sizes[len(sizes)-1]
		for _, s := range sizes {
			if (hi-lo)/s.Seconds() <= 9 {
				size = s
				break
			}
		}
		layout := "15:04"
		switch {
		case size >= 24*time.Hour:
			layout = "Jan 2 2006"
		case size < time.Second:
			layout = "15:04:05.000"
		case size < time.Minute:
			layout = "15:04:05"
		}
		var out []plot.Tick
		step := int64(size)
		start := first + int64(lo*1e9)
		at := start - start%step
		for i := 0; i < 40; i, at = i+1, at+step {
			if v := float64(at-first) / 1e9; v >= lo && v <= hi {
				out = append(out, plot.Tick{Value: v, Label: clock(at, layout)})
			}
		}
		return out
	})
}
