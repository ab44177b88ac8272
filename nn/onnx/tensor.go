package onnx

import (
	"fmt"
	"slices"

	"github.com/weirnet/weir/nn/graph"
)

// maxSize bounds the values of one sample of a tensor, and so every dimension.
const maxSize = 1 << 22

// tensor is an ONNX tensor that is computed: some or all elements of a value of the graph, in some
// order.
type tensor struct {
	value graph.Value
	dims  []int // with dynamic for the batch
	batch int   // axis of the batch
	// at says where each element, row-major and without the batch, lies in the value, each in a place
	// of its own; nil: in order, and all of it.
	at []int32
	// fresh marks the result of a product that may take a bias and goes by no other name.
	fresh bool
}

// size returns the elements of one sample.
func size(dims []int) int {
	n := 1
	for _, d := range dims {
		if d != dynamic {
			n *= d
		}
	}
	return n
}

// spend counts the elements of one sample of a new tensor, which are bounded, and returns them.
func (r *reader) spend(dims []int) (int, error) {
	n := 1
	for _, d := range dims {
		if d == dynamic {
			continue
		}
		if d < 1 || n > maxSize/d {
			return 0, fmt.Errorf("dimensions %v hold nothing or more than %d values", dims, maxSize)
		}
		n *= d
	}
	return n, r.spendNumbers(n)
}

func (r *reader) spendNumbers(n int) error {
	if r.budget -= n; r.budget < 0 {
		return fmt.Errorf("the network takes too much memory for the length of its file")
	}
	return nil
}

// whole returns the number of elements of the value that a tensor is of.
func (r *reader) whole(t *tensor) int { return r.g.Nodes[t.value].Shape.Size() }

// place returns where an element lies in the value.
func (t *tensor) place(i int) int {
	if t.at == nil {
		return i
	}
	return int(t.at[i])
}

// planesOf returns the order of an image whose channels come first, nil where that is the same.
func planesOf(s graph.Shape) []int32 {
	if s.Channels == 1 || s.Places() == 1 {
		return nil
	}
	at := make([]int32, 0, s.Size())
	for c := range s.Channels {
		for p := range s.Places() {
			at = append(at, int32(p*s.Channels+c))
		}
	}
	return at
}

// simplify makes a tensor one of the part of a joined vector that all its elements are in, and forgets
// an order that is none.
func (r *reader) simplify(t *tensor) *tensor {
	for {
		n := &r.g.Nodes[t.value]
		if _, ok := n.Op.(graph.Concat); !ok || n.Shape.Places() > 1 || len(t.at) == 0 {
			break
		}
		low, high := int(slices.Min(t.at)), int(slices.Max(t.at))
		start, k := 0, 0
		for ; k < len(n.In)-1 && start+r.g.Nodes[n.In[k]].Shape.Size() <= low; k++ {
			start += r.g.Nodes[n.In[k]].Shape.Size()
		}
		if high >= start+r.g.Nodes[n.In[k]].Shape.Size() {
			break
		}
		t.value = n.In[k]
		for i := range t.at {
			t.at[i] -= int32(start)
		}
	}
	if len(t.at) != r.whole(t) {
		return t
	}
	for i, p := range t.at {
		if int(p) != i {
			return t
		}
	}
	t.at = nil
	return t
}

// reshaped returns a value read as another shape.
func (r *reader) reshaped(v graph.Value, shape graph.Shape) (graph.Value, error) {
	for {
		n := &r.g.Nodes[v]
		if n.Shape == shape {
			return v, nil
		}
		if _, ok := n.Op.(graph.Reshape); !ok {
			return r.g.TryApply(r.name()+".reshape", graph.Reshape{To: shape}, v)
		}
		v = n.In[0]
	}
}

// arranged returns the value of a tensor as a shape, whose elements must lie in the given order.
func (r *reader) arranged(t *tensor, shape graph.Shape, order []int32) (graph.Value, error) {
	if !slices.Equal(t.at, order) || r.whole(t) != shape.Size() {
		return 0, fmt.Errorf("its input's elements would have to be moved or picked before it, which weir's networks cannot")
	}
	return r.reshaped(t.value, shape)
}

// inOrder returns the value of a tensor as a sequence of rows of a width, or as any shape with that
// many channels that it has.
func (r *reader) inOrder(t *tensor, width int) (graph.Value, error) {
	shape := r.g.Nodes[t.value].Shape
	if shape.Channels != width {
		shape = graph.Sequence(size(t.dims)/width, width)
	}
	return r.arranged(t, shape, nil)
}

// transpose moves axes.
func (r *reader) transpose() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	rank := len(t.dims)
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = rank - 1 - i
	}
	if a := r.setting("perm"); a != nil {
		if len(a.ints) != rank {
			return fmt.Errorf("perm %s of %d axes", few(a.ints), rank)
		}
		for i, p := range a.ints {
			if p < 0 || p >= int64(rank) || slices.Contains(a.ints[:i], p) {
				return fmt.Errorf("perm %s of %d axes", few(a.ints), rank)
			}
			perm[i] = int(p)
		}
	}
	n, err := r.spend(t.dims)
	if err != nil {
		return err
	}
	strides := stridesOf(t.dims)
	out := &tensor{value: t.value, at: make([]int32, 0, n)}
	moved := make([]int, rank)
	for i, p := range perm {
		out.dims = append(out.dims, t.dims[p])
		moved[i] = strides[p]
		if p == t.batch {
			out.batch = i
		}
	}
	walk(out.dims, moved, func(i int) { out.at = append(out.at, int32(t.place(i))) })
	return r.give(0, operand{tensor: r.simplify(out)})
}

// stridesOf returns how far apart, row-major and without the batch, neighbours along each axis lie.
func stridesOf(dims []int) []int {
	strides, n := make([]int, len(dims)), 1
	for i := len(dims) - 1; i >= 0; i-- {
		if dims[i] == dynamic {
			continue
		}
		strides[i] = n
		n *= dims[i]
	}
	return strides
}

// walk visits the elements of one sample, row-major, with the sum of index times stride of each.
func walk(dims, strides []int, visit func(at int)) {
	index := make([]int, len(dims))
	at := 0
	for {
		visit(at)
		k := len(dims) - 1
		for ; k >= 0; k-- {
			if dims[k] == dynamic {
				continue
			}
			index[k]++
			at += strides[k]
			if index[k] < dims[k] {
				break
			}
			at -= strides[k] * dims[k]
			index[k] = 0
		}
		if k < 0 {
			return
		}
	}
}

// relabel gives the first input of the node other dimensions, of which one is the batch.
func (r *reader) relabel(t *tensor, dims []int) error {
	batch := slices.Index(dims, dynamic)
	if batch < 0 || slices.Contains(dims[batch+1:], dynamic) || size(dims) != size(t.dims) ||
		size(dims[:batch]) != size(t.dims[:t.batch]) {
		return fmt.Errorf("reads %v as %v: the batch must stay an axis of its own", t.dims, dims)
	}
	return r.give(0, operand{tensor: &tensor{value: t.value, dims: dims, batch: batch, at: t.at}})
}

func (r *reader) reshape() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	var want []int64
	if a := r.setting("shape"); a != nil {
		want = a.ints
	} else if want, err = r.numbersOf(1); err != nil {
		return err
	}
	if len(want) == 0 || len(want) > 8 {
		return fmt.Errorf("reads %v as %s", t.dims, few(want))
	}
	dims, free, rest := make([]int, len(want)), -1, 1
	for i, d := range want {
		switch {
		case d == 0 && i < len(t.dims):
			dims[i] = t.dims[i]
		case d == batchSize:
			dims[i] = dynamic
		case d == -1 && free < 0:
			free = i
			continue
		case d >= 1 && d <= maxSize:
			dims[i] = int(d)
		default:
			return fmt.Errorf("reads %v as %s", t.dims, few(want))
		}
		if dims[i] != dynamic {
			if rest > maxSize/dims[i] {
				return fmt.Errorf("reads %v as %s", t.dims, few(want))
			}
			rest *= dims[i]
		}
	}
	n := size(t.dims)
	fixed := int64(1) // what stands for the batch where its size is written out
	if r.batch != dynamic {
		fixed = int64(r.batch)
	}
	hasBatch := slices.Contains(dims, dynamic)
	switch {
	case hasBatch && free >= 0 && n%rest == 0:
		dims[free] = n / rest
	case hasBatch:
	case free >= 0 && rest == n:
		dims[free] = dynamic
	case want[0] == fixed:
		dims[0] = dynamic
		if free >= 0 && n%(rest/int(fixed)) == 0 {
			dims[free] = n / (rest / int(fixed))
		}
	}
	return r.relabel(t, dims)
}

func (r *reader) flatten() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	k := r.integer("axis", 1)
	if k < 0 {
		k += int64(len(t.dims))
	}
	if k < 1 || k > int64(len(t.dims)) {
		return fmt.Errorf("axis %d of %d", k, len(t.dims))
	}
	if t.batch >= int(k) || size(t.dims[:k]) != 1 {
		return fmt.Errorf("reads %v as a matrix from axis %d on: the batch must stay an axis of its own", t.dims, k)
	}
	return r.relabel(t, []int{dynamic, size(t.dims)})
}

func (r *reader) squeeze() error {
	if r.isConstant(0) {
		return r.resizeConstant(false)
	}
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	axes, named, err := r.axes(len(t.dims))
	if err != nil {
		return err
	}
	var dims []int
	for i, d := range t.dims {
		drop := slices.Contains(axes, i) || !named && d == 1
		if drop && d != 1 {
			return fmt.Errorf("axis %d of %v is not of size 1", i, t.dims)
		}
		if !drop {
			dims = append(dims, d)
		}
	}
	return r.relabel(t, dims)
}

func (r *reader) unsqueeze() error {
	if r.isConstant(0) {
		return r.resizeConstant(true)
	}
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	dims, err := r.unsqueezed(t.dims)
	if err != nil {
		return err
	}
	return r.relabel(t, dims)
}

// unsqueezed returns dims with axes of size 1 where the node wants them.
func (r *reader) unsqueezed(dims []int) ([]int, error) {
	var count int
	if a := r.setting("axes"); a != nil {
		count = len(a.ints)
	} else {
		list, err := r.numbersOf(1)
		if err != nil {
			return nil, err
		}
		count = len(list)
	}
	if count > 8 || len(dims) > 8 {
		return nil, fmt.Errorf("%d more axes", count)
	}
	rank := len(dims) + count
	axes, _, err := r.axes(rank)
	if err != nil {
		return nil, err
	}
	out := make([]int, 0, rank)
	for i := range rank {
		if slices.Contains(axes, i) {
			out = append(out, 1)
		} else {
			out = append(out, dims[0])
			dims = dims[1:]
		}
	}
	return out, nil
}

// resizeConstant adds or takes axes of size 1.
func (r *reader) resizeConstant(add bool) error {
	c, err := r.constantOf(0)
	if err != nil {
		return err
	}
	out := *c
	if add {
		out.dims, err = r.unsqueezed(c.dims)
	} else {
		var axes []int
		var named bool
		if axes, named, err = r.axes(len(c.dims)); err == nil {
			out.dims = nil
			for i, d := range c.dims {
				if drop := slices.Contains(axes, i) || !named && d == 1; !drop {
					out.dims = append(out.dims, d)
				} else if d != 1 {
					err = fmt.Errorf("axis %d of %v is not of size 1", i, c.dims)
				}
			}
		}
	}
	if err != nil {
		return err
	}
	return r.give(0, operand{constant: &out})
}

// gather picks rows of a table by computed indices, which is an embedding, or elements along an axis
// by constant ones.
func (r *reader) gather() error {
	if r.isConstant(0) && r.operand(1).tensor != nil {
		return r.embedding()
	}
	list, err := r.constantOf(1)
	if err != nil {
		return err
	}
	if list.ints == nil || len(list.dims) > 1 {
		return fmt.Errorf("indices of the shape %v", list.dims)
	}
	return r.pick(r.integer("axis", 0), func(n int) ([]int, error) {
		indices := make([]int, len(list.ints))
		for i, v := range list.ints {
			var err error
			if indices[i], err = axis(v, n); err != nil {
				return nil, fmt.Errorf("index %d of %d", v, n)
			}
		}
		return indices, nil
	}, len(list.dims) == 1)
}

// slice picks a range along one axis.
func (r *reader) slice() error {
	var from, to, along []int64
	step := []int64{1}
	if a := r.setting("starts"); a != nil { // opset 9 and before
		from = a.ints
		if a := r.setting("ends"); a != nil {
			to = a.ints
		}
		if a := r.setting("axes"); a != nil {
			along = a.ints
		}
	} else {
		for i, dst := range []*[]int64{&from, &to, &along, &step} {
			if !r.has(i + 1) {
				continue
			}
			var err error
			if *dst, err = r.numbersOf(i + 1); err != nil {
				return err
			}
		}
	}
	if along == nil {
		along = []int64{0}
	}
	if len(from) != 1 || len(to) != 1 || len(along) != 1 || len(step) != 1 || step[0] != 1 {
		return fmt.Errorf("from %s to %s by %s along %s: only along one axis, by 1", few(from), few(to), few(step), few(along))
	}
	return r.pick(along[0], func(n int) ([]int, error) {
		clamp := func(v int64) int {
			if v < 0 {
				v += int64(n)
			}
			return int(min(max(v, 0), int64(n)))
		}
		var indices []int
		for i := clamp(from[0]); i < clamp(to[0]); i++ {
			indices = append(indices, i)
		}
		if len(indices) == 0 {
			return nil, fmt.Errorf("from %d to %d of %d is nothing", from[0], to[0], n)
		}
		return indices, nil
	}, true)
}

// pick keeps some elements along an axis of the first input; with one index the axis may go.
func (r *reader) pick(along int64, choose func(n int) ([]int, error), keep bool) error {
	if r.isConstant(0) {
		c, err := r.constantOf(0)
		if err != nil {
			return err
		}
		k, err := axis(along, len(c.dims))
		if err != nil {
			return err
		}
		n := c.dims[k]
		if n == dynamic || n > maxSize {
			return fmt.Errorf("picks along axis %d of %v", k, c.dims)
		}
		indices, err := choose(n)
		if err == nil {
			err = r.spendNumbers(len(indices))
		}
		if err != nil {
			return err
		}
		return r.pickConstant(c, k, indices, keep)
	}
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	k, err := axis(along, len(t.dims))
	if err != nil {
		return err
	}
	if k == t.batch {
		return fmt.Errorf("picks samples of the batch")
	}
	indices, err := choose(t.dims[k])
	if err != nil {
		return err
	}
	picked := make([]bool, t.dims[k])
	for _, i := range indices {
		if picked[i] {
			return fmt.Errorf("picks index %d twice", i)
		}
		picked[i] = true
	}
	dims := slices.Clone(t.dims)
	dims[k] = len(indices)
	n, err := r.spend(dims)
	if err != nil {
		return err
	}
	out := &tensor{value: t.value, dims: dims, batch: t.batch, at: make([]int32, 0, n)}
	outer, inner := size(t.dims[:k]), size(t.dims[k+1:])
	for o := range outer {
		for _, i := range indices {
			for j := range inner {
				out.at = append(out.at, int32(t.place((o*t.dims[k]+i)*inner+j)))
			}
		}
	}
	if !keep {
		out.dims = slices.Delete(dims, k, k+1)
		if out.batch > k {
			out.batch--
		}
	}
	return r.give(0, operand{tensor: r.simplify(out)})
}
