package nn

import (
	"fmt"

	"github.com/weirnet/weir/internal/kernel"
)

// GlobalAvgPool is the mean over all places of each channel: (n, places, Channels) to
// (n, Channels).
type GlobalAvgPool struct {
	Places, Channels int

	y, dx []float32
}

// NewGlobalAvgPool pools images of the given shape.
func NewGlobalAvgPool(in Image) *GlobalAvgPool {
	return &GlobalAvgPool{Places: in.Height * in.Width, Channels: in.Channels}
}

// Forward maps (n, Places, Channels) to (n, Channels).
func (g *GlobalAvgPool) Forward(_ Pass, x []float32) []float32 {
	size := g.Places * g.Channels
	n := rows("GlobalAvgPool", x, size)
	g.y = sized(g.y, n*g.Channels)
	clear(g.y)
	for i := range n {
		y := g.y[i*g.Channels : (i+1)*g.Channels]
		kernel.AddColumnSums(y, x[i*size:(i+1)*size])
	}
	kernel.Scale(g.y, 1/float32(g.Places))
	return g.y
}

// Backward maps (n, Channels) to (n, Places, Channels).
func (g *GlobalAvgPool) Backward(dy []float32) []float32 {
	n := rows("GlobalAvgPool", dy, g.Channels)
	size := g.Places * g.Channels
	g.dx = sized(g.dx, n*size)
	kernel.Scale(dy, 1/float32(g.Places))
	for i := range n {
		fillRows(g.dx[i*size:(i+1)*size], dy[i*g.Channels:(i+1)*g.Channels])
	}
	return g.dx
}

// Params returns nothing.
func (g *GlobalAvgPool) Params() []*Param { return nil }

// Concat joins rows of several inputs into one row: (n, Widths[0]), (n, Widths[1]), … to
// (n, their sum).
type Concat struct {
	Widths []int

	y  []float32
	dx [][]float32
}

// Forward takes one input per width.
func (c *Concat) Forward(xs ...[]float32) []float32 {
	if len(xs) != len(c.Widths) {
		panic(fmt.Sprintf("nn: Concat: %d inputs for %d widths", len(xs), len(c.Widths)))
	}
	n, total := rows("Concat", xs[0], c.Widths[0]), c.total()
	c.y = sized(c.y, n*total)
	at := 0
	for k, w := range c.Widths {
		if rows("Concat", xs[k], w) != n {
			panic(fmt.Sprintf("nn: Concat: input %d has %d values, want %d rows of %d", k, len(xs[k]), n, w))
		}
		for i := range n {
			copy(c.y[i*total+at:i*total+at+w], xs[k][i*w:])
		}
		at += w
	}
	return c.y
}

// Backward returns the gradient of each input.
func (c *Concat) Backward(dy []float32) [][]float32 {
	total := c.total()
	n := rows("Concat", dy, total)
	c.dx = sized(c.dx, len(c.Widths))
	at := 0
	for k, w := range c.Widths {
		c.dx[k] = sized(c.dx[k], n*w)
		for i := range n {
			copy(c.dx[k][i*w:(i+1)*w], dy[i*total+at:])
		}
		at += w
	}
	return c.dx
}

func (c *Concat) total() int {
	total := 0
	for _, w := range c.Widths {
		total += w
	}
	return total
}

// LastStep takes the last row of each sequence: ragged (Σ lengths, Width) to (n, Width).
// A sequence of length 0 gives a row of zeros.
type LastStep struct {
	Width int

	lengths []int
	y, dx   []float32
}

// Forward takes the rows of all sequences, in order, and their lengths.
func (l *LastStep) Forward(x []float32, lengths []int) []float32 {
	l.lengths = lengths
	l.y = sized(l.y, len(lengths)*l.Width)
	end := 0
	for i, n := range lengths {
		end += n
		row := l.y[i*l.Width : (i+1)*l.Width]
		if n == 0 {
			clear(row)
			continue
		}
		copy(row, x[(end-1)*l.Width:end*l.Width])
	}
	return l.y
}

// Backward returns the gradient of all rows: zero for those that were not the last.
func (l *LastStep) Backward(dy []float32) []float32 {
	total := 0
	for _, n := range l.lengths {
		total += n
	}
	l.dx = sized(l.dx, total*l.Width)
	clear(l.dx)
	end := 0
	for i, n := range l.lengths {
		end += n
		if n > 0 {
			copy(l.dx[(end-1)*l.Width:end*l.Width], dy[i*l.Width:])
		}
	}
	return l.dx
}
