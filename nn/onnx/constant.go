package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// constant is numbers known before the network runs: floats or ints, row-major. A fill is one number
// everywhere; its dims may hold dynamic for the batch.
type constant struct {
	dims   []int
	floats []float32
	ints   []int64
	fill   bool
}

// batchSize stands among the ints of a constant for the size of the batch, which Shape gives.
const batchSize = math.MinInt64

func (c *constant) kind() string {
	if c.floats != nil {
		return "float32"
	}
	return "integers"
}

// scalar returns the value of a constant that holds one number.
func (c *constant) scalar() (float32, bool) {
	switch {
	case len(c.floats) == 1:
		return c.floats[0], true
	case len(c.ints) == 1:
		return float32(c.ints[0]), true
	}
	return 0, false
}

// decode copies the values out of the file. There are as many as the dimensions say.
func (t *tensorProto) decode() (*constant, error) {
	if t.fault != "" {
		return nil, fault(t.at, "%s", t.fault)
	}
	if len(t.dims) > maxRank {
		return nil, fault(t.at, "%d dimensions", len(t.dims))
	}
	c, n := &constant{dims: make([]int, len(t.dims))}, 1
	for i, d := range t.dims {
		if d < 0 || d > math.MaxInt32 || d > 0 && n > math.MaxInt32/int(d) {
			return nil, fault(t.at, "dimensions %v", t.dims)
		}
		c.dims[i] = int(d)
		n *= int(d)
	}
	if n == 0 {
		return nil, fault(t.at, "dimensions %v hold nothing", t.dims)
	}
	width := map[elemType]int{typeFloat: 4, typeInt64: 8, typeInt32: 4, typeUint8: 1}[t.typ]
	have := len(t.ints)
	switch {
	case width == 0:
		return nil, fault(t.at, "values of %v, only float32 and integers are read", t.typ)
	case t.raw != nil:
		have = len(t.raw) / width
		if len(t.raw)%width != 0 {
			have = -1
		}
	case t.typ == typeFloat:
		have = len(t.floats)
	}
	if have != n {
		return nil, fault(t.at, "other values than the %d of dimensions %v", n, t.dims)
	}
	if t.typ == typeFloat {
		c.floats = slices.Clone(t.floats)
		if t.raw != nil {
			c.floats = make([]float32, n)
			for i := range c.floats {
				c.floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.raw[4*i:]))
			}
		}
		for i, v := range c.floats {
			if v-v != 0 {
				return nil, fault(t.at, "value %d is %v", i, v)
			}
		}
		return c, nil
	}
	c.ints = slices.Clone(t.ints)
	if t.raw != nil {
		c.ints = make([]int64, n)
		for i := range c.ints {
			switch b := t.raw[i*width:]; t.typ {
			case typeInt64:
				c.ints[i] = int64(binary.LittleEndian.Uint64(b))
			case typeInt32:
				c.ints[i] = int64(int32(binary.LittleEndian.Uint32(b)))
			default:
				c.ints[i] = int64(b[0])
			}
		}
	}
	return c, nil
}

// maxRank is how many dimensions a constant may have: more than any, and few enough to be told.
const maxRank = 64

// few is a list from the file as errors tell it: there may be millions of numbers.
func few(list []int64) string {
	const most = 8
	if len(list) <= most {
		return fmt.Sprint(list)
	}
	return fmt.Sprintf("%v and %d more", list[:most], len(list)-most)
}

func (r *reader) constant() error {
	c := new(constant)
	for i := range r.n.attributes {
		switch a := &r.n.attributes[i]; a.name {
		case "value":
			if a.t == nil {
				return errors.New("a constant without value")
			}
			return r.give(0, operand{proto: a.t})
		case "value_float":
			c.floats = []float32{a.f}
		case "value_floats":
			c.floats, c.dims = a.floats, []int{len(a.floats)}
		case "value_int":
			c.ints = []int64{a.i}
		case "value_ints":
			c.ints, c.dims = a.ints, []int{len(a.ints)}
		}
	}
	if c.floats == nil && c.ints == nil {
		return errors.New("a constant that is neither a tensor nor numbers")
	}
	return r.give(0, operand{constant: c})
}

func (r *reader) constantOfShape() error {
	dims, err := r.numbersOf(0)
	if err != nil {
		return err
	}
	value := []float32{0}
	if a := r.setting("value"); a != nil && a.t != nil {
		v, err := a.t.decode()
		if err != nil {
			return err
		}
		if len(v.floats) != 1 {
			return errors.New("filled with something else than a float")
		}
		value = v.floats
	}
	return r.fill(value, dims)
}

// fill gives a constant of one number everywhere.
func (r *reader) fill(value []float32, dims []int64) error {
	if len(dims) > maxRank {
		return fmt.Errorf("%d dimensions", len(dims))
	}
	c := &constant{floats: value, fill: true}
	for _, d := range dims {
		switch {
		case d == batchSize:
			d = dynamic
		case d < 1 || d > maxSize:
			return fmt.Errorf("dimension %d", d)
		}
		c.dims = append(c.dims, int(d))
	}
	return r.give(0, operand{constant: c})
}

// expand is read of a constant that is one number everywhere: the zero state of an LSTM.
func (r *reader) expand() error {
	c, err := r.constantOf(0)
	if err != nil {
		return err
	}
	dims, err := r.numbersOf(1)
	if err != nil {
		return err
	}
	if len(c.floats) == 0 || slices.ContainsFunc(c.floats, func(v float32) bool { return v != c.floats[0] }) || len(dims) < len(c.dims) {
		return fmt.Errorf("of a constant of %v to %v", c.dims, few(dims))
	}
	return r.fill(c.floats[:1], dims)
}

// shape gives the dimensions of a tensor.
func (r *reader) shape() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	if r.setting("end") != nil || r.integer("start", 0) != 0 {
		return errors.New("of some dimensions, only of all is read")
	}
	c := &constant{dims: []int{len(t.dims)}}
	for i, d := range t.dims {
		if i == t.batch {
			c.ints = append(c.ints, batchSize)
		} else {
			c.ints = append(c.ints, int64(d))
		}
	}
	return r.give(0, operand{constant: c})
}

// pickConstant picks elements of a constant with at most one dimension, or of a fill.
func (r *reader) pickConstant(c *constant, along int, indices []int, keep bool) error {
	out := &constant{fill: c.fill, floats: c.floats, ints: c.ints}
	if !c.fill {
		if len(c.dims) != 1 {
			return fmt.Errorf("picks from a constant of dimensions %v", c.dims)
		}
		out.floats, out.ints = nil, nil
		for _, i := range indices {
			if c.floats != nil {
				out.floats = append(out.floats, c.floats[i])
			} else {
				out.ints = append(out.ints, c.ints[i])
			}
		}
	}
	out.dims = slices.Clone(c.dims)
	if keep {
		out.dims[along] = len(indices)
	} else {
		out.dims = slices.Delete(out.dims, along, along+1)
	}
	return r.give(0, operand{constant: out})
}

// joinConstants joins lists of integers, as those that make up a shape.
func (r *reader) joinConstants() error {
	c := new(constant)
	for i := range r.n.in {
		list, err := r.numbersOf(i)
		if err != nil {
			return err
		}
		if c.ints = append(c.ints, list...); len(c.ints) > 64 {
			return errors.New("joins more than 64 integers")
		}
	}
	c.dims = []int{len(c.ints)}
	return r.give(0, operand{constant: c})
}
