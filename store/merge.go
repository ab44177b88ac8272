package store

import (
	"cmp"
	"container/heap"
	"context"
	"math"
	"slices"
)

// segment is a segment as the manifest has it.
type segment struct {
	id   int64
	file string
	sealed
	first, last int64 // lowest and highest time, microseconds
}

// merge puts the rows of segments, each in order of time, and those that wait for one in order of
// time; equal times stay in the order in which the rows came. A segment is opened when its first row may
// be the next one, so that few are open at a time and a limit spares the rest.
type merge[T any] struct {
	ctx     context.Context
	newest  bool // the newest first
	time    func(*T) int64
	open    func(segment) (*cursor[T], error)
	gone    func(context.Context, segment, error) bool // whether such an error of open is none
	waiting []T
	closed  []segment // that are not open yet
	cursors []*cursor[T]
}

// cursor goes through the rows of one segment.
type cursor[T any] struct {
	id    int64
	rows  []T // the next ones
	more  func() ([]T, error)
	close func()
}

// each gives rows to use until it returns false or so many were given (0: all), and the error of a
// segment when it comes to it; the rest of that segment is left out. A row is valid until use returns.
func (m *merge[T]) each(limit int, use func(*T, error) bool) {
	defer func() {
		for _, c := range m.cursors {
			c.close()
		}
	}()
	m.start()
	for n := 0; limit == 0 || n < limit; n++ {
		if err := m.ctx.Err(); err != nil {
			use(nil, err)
			return
		}
		if !m.reach(use) || len(m.cursors) == 0 {
			return
		}
		c := m.cursors[0]
		if !use(&c.rows[0], nil) {
			return
		}
		c.rows = c.rows[1:]
		if !m.refill(use) {
			return
		}
	}
}

// start puts everything in the order in which it will be looked at.
func (m *merge[T]) start() {
	slices.SortStableFunc(m.waiting, func(a, b T) int { return cmp.Compare(m.time(&a), m.time(&b)) })
	slices.SortFunc(m.closed, func(a, b segment) int {
		if m.newest {
			return cmp.Compare(b.last, a.last)
		}
		return cmp.Compare(a.first, b.first)
	})
	if m.newest {
		slices.Reverse(m.waiting)
	}
	if len(m.waiting) > 0 { // they came after all that is in segments
		m.Push(&cursor[T]{id: math.MaxInt64, rows: m.waiting, more: func() ([]T, error) { return nil, nil }, close: func() {}})
	}
}

// reach opens the segments that may hold the next row.
func (m *merge[T]) reach(use func(*T, error) bool) bool {
	for len(m.closed) > 0 {
		s := m.closed[0]
		if len(m.cursors) > 0 {
			next := m.time(&m.cursors[0].rows[0])
			if m.newest && s.last < next || !m.newest && s.first > next {
				return true
			}
		}
		m.closed = m.closed[1:]
		c, err := m.open(s)
		if err == nil && c != nil {
			if c.rows, err = c.more(); len(c.rows) > 0 && err == nil {
				heap.Push(m, c)
				continue
			}
			c.close()
		}
		if err != nil && !m.gone(m.ctx, s, err) && !use(nil, err) {
			return false
		}
	}
	return true
}

// refill brings the cursor at the top, whose first row was used, to its place.
func (m *merge[T]) refill(use func(*T, error) bool) bool {
	c := m.cursors[0]
	var err error
	if len(c.rows) == 0 {
		c.rows, err = c.more()
	}
	if err == nil && len(c.rows) > 0 {
		heap.Fix(m, 0)
		return true
	}
	heap.Pop(m)
	c.close()
	return err == nil || use(nil, err)
}

// Len implements heap.Interface, as do the methods below.
func (m *merge[T]) Len() int { return len(m.cursors) }

func (m *merge[T]) Swap(i, j int) { m.cursors[i], m.cursors[j] = m.cursors[j], m.cursors[i] }

func (m *merge[T]) Push(c any) { m.cursors = append(m.cursors, c.(*cursor[T])) }

func (m *merge[T]) Pop() any {
	last := len(m.cursors) - 1
	c := m.cursors[last]
	m.cursors = m.cursors[:last]
	return c
}

func (m *merge[T]) Less(i, j int) bool {
	a, b := m.cursors[i], m.cursors[j]
	if m.newest {
		a, b = b, a
	}
	return cmp.Or(cmp.Compare(m.time(&a.rows[0]), m.time(&b.rows[0])), cmp.Compare(a.id, b.id)) < 0
}
