package infer

import (
	"github.com/weirnet/weir/nn/graph"
)

// value is where a value of the graph lies in a worker's arena. Channels lie side by side; around
// an image that padded convolutions read there is a frame of zeros.
type value struct {
	shape       graph.Shape
	bytes       bool // otherwise floats
	padH, padW  int  // of the frame
	buffer      *buffer
	at          int // of the first place, in the buffer of a sample
	line, place int // from a line to the next, from a place to the next
	lines       int // in Worker.lines: how many are other than those of an image of zeros; 0 where nobody knows
}

// buffer is memory for one value, or for several of which one holds the others.
type buffer struct {
	bytes bool
	size  int  // elements for one sample
	many  bool // each sample of a batch has its own; otherwise one after the other uses it
	at    int  // offset in the arena
}

// tight reports whether all places lie one behind the other.
func (v *value) tight() bool {
	s := &v.shape
	return (s.Width == 1 || v.place == s.Channels) && (s.Height == 1 || v.line == s.Width*v.place)
}

// tightLines reports whether the places of a line do.
func (v *value) tightLines() bool { return v.shape.Width == 1 || v.place == v.shape.Channels }

// first returns the offset of the first place of a sample in the arena.
func (v *value) first(sample int) int {
	at := v.buffer.at + v.at
	if v.buffer.many {
		at += sample * v.buffer.size
	}
	return at
}

// stride is the distance between the samples of a batch.
func (v *value) stride() int {
	if v.buffer.many {
		return v.buffer.size
	}
	return 0
}

// indexed reports whether the layer reads its input as places in a table.
func indexed(l layer) bool {
	switch l := l.(type) {
	case *bag, *table:
		return true
	case *single:
		_, ok := l.op.(graph.Embedding)
		return ok
	}
	return false
}

// framing gives values the frames that convolutions over them need.
func (c *compiler) framing() {
	for _, l := range c.layers {
		p, ok := l.(*product)
		if !ok {
			continue
		}
		for _, q := range p.parts {
			v := &c.values[q.in]
			v.padH, v.padW = max(v.padH, q.PadH), max(v.padW, q.PadW)
		}
	}
	// The same image under another name lies in the same frame.
	for i := len(c.layers) - 1; i >= 0; i-- {
		if u, v := c.same(i); v != nil {
			u.padH, u.padW = max(u.padH, v.padH), max(u.padW, v.padW)
		}
	}
	for i := range c.layers {
		if u, v := c.same(i); v != nil {
			v.padH, v.padW = u.padH, u.padW
		}
	}
}

// same returns what layer i reads and produces if it leaves everything as it is.
func (c *compiler) same(i int) (in, out *value) {
	if l, ok := c.layers[i].(*reshape); ok && c.values[l.in].shape == c.values[i].shape && !c.isIndex(l.in) {
		return &c.values[l.in], &c.values[i]
	}
	return nil, nil
}

// housing decides which buffer a value lies in, readers first: what is joined lies in the result,
// and what is only read as another shape lies where it did.
func (c *compiler) housing() {
	wide := make([]bool, len(c.values)) // read by filters wider than a place
	for _, l := range c.layers {
		if p, ok := l.(*product); ok {
			for _, q := range p.parts {
				wide[q.in] = wide[q.in] || q.KernelW > 1
			}
		}
	}
	for i := len(c.layers) - 1; i >= 0; i-- {
		l := c.layers[i]
		v := &c.values[i]
		if l == nil {
			continue
		}
		if _, input := l.(*source); input && !c.stored[i] {
			continue
		}
		if v.buffer == nil {
			v.own()
		}
		switch l := l.(type) {
		case *reshape:
			u := &c.values[l.in]
			if u, _ := c.same(i); u != nil && u.buffer == nil {
				u.buffer, u.at, u.line, u.place = v.buffer, v.at, v.line, v.place
				continue
			}
			if !v.tight() || v.framed() || u.framed() || c.isIndex(l.in) {
				continue
			}
			if u.buffer == nil {
				u.inside(v.buffer, v.at, u.shape.Channels)
			} else if u.tight() && v.buffer.size == v.shape.Size() && c.alone(i) {
				v.inside(u.buffer, u.at, v.shape.Channels)
			}
		case *concat:
			at := v.at
			for _, in := range l.in {
				u := &c.values[in]
				strided := v.shape.Places() > 1
				if u.buffer == nil && !u.framed() && !c.isIndex(in) && !(strided && wide[in]) {
					u.inside(v.buffer, at, v.place)
					u.line = v.line
				}
				at += u.shape.Channels
			}
		}
	}
}

// alone reports whether no other value has been put into the buffer of value i.
func (c *compiler) alone(i int) bool {
	for j := range c.values {
		if j != i && c.values[j].buffer == c.values[i].buffer {
			return false
		}
	}
	return true
}

func (v *value) framed() bool { return v.padH > 0 || v.padW > 0 }

// own gives a value a buffer of its own.
func (v *value) own() {
	s := &v.shape
	v.place = s.Channels
	v.line = (s.Width + 2*v.padW) * s.Channels
	v.at = v.padH*v.line + v.padW*v.place
	v.buffer = &buffer{bytes: v.bytes, size: (s.Height + 2*v.padH) * v.line}
}

// inside puts a value into the buffer of another.
func (v *value) inside(b *buffer, at, place int) {
	v.buffer, v.at, v.place, v.line = b, at, place, v.shape.Width*place
}

// isIndex reports whether a value is an input that layers look up in tables, and nothing else.
func (c *compiler) isIndex(v graph.Value) bool {
	_, ok := c.layers[v].(*source)
	return ok && c.index[v]
}
