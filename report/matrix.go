package report

import (
	"fmt"
	"html/template"
	"math"
	"strconv"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Matrix is a confusion matrix as a heat map: a row per true class, a column
// per class it was taken for, each cell shaded by its share of the row and,
// while there is room, with its count.
type Matrix struct {
	Caption string
	Labels  []string
	Counts  [][]int // [truth][prediction], square, in the order of Labels
}

func (m Matrix) html() (template.HTML, error) {
	n := len(m.Labels)
	if n == 0 {
		return figure(m.Caption, "no classes", "")
	}
	if len(m.Counts) != n {
		return "", fmt.Errorf("matrix %q: %d labels, %d rows", m.Caption, n, len(m.Counts))
	}
	total, right := 0, 0
	for i, row := range m.Counts {
		if len(row) != n {
			return "", fmt.Errorf("matrix %q: %d labels, row %d has %d cells", m.Caption, n, i+1, len(row))
		}
		for j, count := range row {
			total += count
			if i == j {
				right += count
			}
		}
	}
	alt := fmt.Sprintf("confusion matrix of %d classes: %d of %d on the diagonal", n, right, total)
	return figure(m.Caption, alt, m.draw())
}

func (m Matrix) draw() string {
	n := len(m.Labels)
	rowStyle := style(ink, smallSize, text.XRight, text.YCenter)
	columnStyle := style(ink, smallSize, text.XLeft, text.YCenter)
	columnStyle.Rotation = math.Pi / 3
	names := make([]string, n)
	var longest vg.Length
	for i, l := range m.Labels {
		names[i] = plain(l, 26)
		longest = max(longest, rowStyle.Width(names[i]))
	}
	const side = 20 // room for the axes' names
	lean := longest * vg.Length(math.Cos(math.Pi/3))
	head := longest*vg.Length(math.Sin(math.Pi/3)) + 14
	left := longest + 10 + side
	cell := min((chartWidth-left-max(lean, 20))/vg.Length(n), 46)
	height := head + cell*vg.Length(n) + side + 4
	canvas := vgsvg.New(chartWidth, height)
	area := draw.New(canvas)
	top := height - head
	end := left + cell*vg.Length(n)

	countStyle := style(ink, min(cell*0.4, smallSize), text.XCenter, text.YCenter)
	for i, row := range m.Counts {
		y := top - vg.Length(i)*cell
		area.FillText(rowStyle, vg.Point{X: left - 7, Y: y - cell/2}, names[i])
		x := left + vg.Length(i)*cell
		area.FillText(columnStyle, vg.Point{X: x + cell*0.45, Y: top + 6}, names[i])
		sum := 0
		for _, count := range row {
			sum += count
		}
		for j, count := range row {
			x := left + vg.Length(j)*cell
			if count == 0 {
				continue
			}
			share := float64(count) / float64(sum)
			part := s1
			if i != j {
				part = s2
			}
			fillRect(area, part.alpha(0.08+0.87*math.Sqrt(share)), x+0.5, y-cell+0.5, x+cell-0.5, y-0.5)
			number := compact(count)
			countStyle.Color = ink.solid()
			if share > 0.35 {
				countStyle.Color = paper.solid()
			}
			if countStyle.Font.Size >= 7 && countStyle.Width(number) < cell-2 {
				area.FillText(countStyle, vg.Point{X: x + cell/2, Y: y - cell/2}, number)
			}
		}
	}
	for i := 0; i <= n; i++ {
		d := vg.Length(i) * cell
		area.StrokeLine2(grid.line(0.7), left, top-d, end, top-d)
		area.StrokeLine2(grid.line(0.7), left+d, top, left+d, top-cell*vg.Length(n))
	}
	axis := style(muted, textSize, text.XCenter, text.YCenter)
	area.FillText(axis, vg.Point{X: (left + end) / 2, Y: side/2 + 1}, "taken for")
	axis.Rotation = math.Pi / 2
	area.FillText(axis, vg.Point{X: 9, Y: top - cell*vg.Length(n)/2}, "truth")
	return finish(canvas, chartWidth, height)
}

// compact writes a count in at most four characters: 950, 1.2k, 12k.
func compact(n int) string {
	v, suffix := float64(n), ""
	for _, next := range []string{"k", "M", "G"} {
		if v < 999.5 {
			break
		}
		v, suffix = v/1000, next
	}
	if suffix != "" && v < 9.95 {
		return strconv.FormatFloat(v, 'f', 1, 64) + suffix
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + suffix
}
