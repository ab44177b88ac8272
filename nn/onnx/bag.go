package onnx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/weirnet/weir/nn/graph"
)

// graph.Bag has no operator in ONNX. It is written, and read again, as
//
//	rows   = Gather(table with a row of zeros at Count, index)   number = ReduceSum(Cast(Less(index, Count)))
//	sum    = ReduceSum(rows)                                     root   = Sqrt(Max(number, 1))
//	result = Div(sum, root)

// bag is one of the parts that come before the result.
type bag struct {
	part  bagPart
	index graph.Value
	count int             // of there, number and root
	table graph.Embedding // of sum
}

type bagPart uint8

const (
	bagThere  bagPart = iota // which indices are below Count
	bagNumber                // how many
	bagMost                  // at least 1
	bagRoot
	bagSum
)

var errBag = errors.New("only as a part of a sum of a table's rows over the root of their number")

func (r *reader) less() error {
	t, err := r.tensor(0)
	if err != nil {
		return err
	}
	index, err := r.indexOf(t)
	if err != nil {
		return err
	}
	limit, err := r.numbersOf(1)
	if err != nil {
		return err
	}
	if len(limit) != 1 || limit[0] < 1 || limit[0] > maxSize {
		return fmt.Errorf("%w: than %v", errBag, limit)
	}
	return r.give(0, operand{bag: &bag{part: bagThere, index: index, count: int(limit[0])}})
}

// advance gives the bag's next part.
func (r *reader) advance(from, to bagPart) error {
	b := r.operand(0).bag
	if b == nil || b.part != from {
		return errBag
	}
	next := *b
	next.part = to
	return r.give(0, operand{bag: &next})
}

func (r *reader) max() error {
	c, err := r.constantOf(1)
	if err != nil {
		return errors.Join(errBag, err)
	}
	if v, ok := c.scalar(); !ok || v != 1 || len(r.n.in) != 2 {
		return errBag
	}
	return r.advance(bagNumber, bagMost)
}

func (r *reader) sqrt() error { return r.advance(bagMost, bagRoot) }

func (r *reader) reduceSum() error {
	rank := 2 // of there
	t := r.operand(0).tensor
	if t != nil {
		rank = len(t.dims)
	}
	axes, _, err := r.axes(rank)
	if err != nil {
		return err
	}
	if !slices.Equal(axes, []int{1}) || t == nil && r.integer("keepdims", 1) == 0 || t != nil && r.integer("keepdims", 1) != 0 {
		return errBag
	}
	if t == nil {
		return r.advance(bagThere, bagNumber)
	}
	table, ok := r.g.Nodes[t.value].Op.(graph.Embedding)
	if !ok || rank != 3 || t.batch != 0 || t.at != nil {
		return errBag
	}
	return r.give(0, operand{bag: &bag{part: bagSum, index: r.g.Nodes[t.value].In[0], table: table}})
}

// bagOf is the sum over the root.
func (r *reader) bagOf() error {
	sum, root := r.operand(0).bag, r.operand(1).bag
	if sum == nil || sum.part != bagSum || root.part != bagRoot || sum.index != root.index || sum.table.Count != root.count+1 {
		return errBag
	}
	op := graph.Bag{Count: root.count, Size: sum.table.Size, Weight: sum.table.Weight[:root.count*sum.table.Size]}
	if slices.ContainsFunc(sum.table.Weight[len(op.Weight):], func(v float32) bool { return v != 0 }) {
		return fmt.Errorf("%w: the row for none is not zero", errBag)
	}
	v, err := r.put(op, sum.index)
	if err != nil {
		return err
	}
	return r.give(0, operand{tensor: &tensor{value: v, dims: []int{dynamic, op.Size}}})
}
