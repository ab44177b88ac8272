package meter

import (
	"cmp"
	"slices"
)

// Queue holds what one worker's Handler has found until all workers' findings are put in stream
// order by Drain. Its zero value is ready for use.
type Queue[T any] struct {
	entries []entry[T]
}

type entry[T any] struct {
	at, first uint64
	value     T
}

// Put appends a finding made at a place in the stream (Packet.Ordinal, or what Ended was given)
// about the flow whose first packet has the ordinal first.
func (q *Queue[T]) Put(at, first uint64, value T) {
	q.entries = append(q.entries, entry[T]{at, first, value})
}

// Drain empties the queues of all workers, which must be at rest, and hands over their findings
// in an order that does not depend on how many workers there are: by place, then by flow, then
// as they were put. The scratch memory of the first queue is reused.
func Drain[T any](queues []*Queue[T], f func(T)) {
	if len(queues) == 0 {
		return
	}
	all := queues[0].entries
	for _, q := range queues[1:] {
		all = append(all, q.entries...)
		q.entries = q.entries[:0]
	}
	slices.SortStableFunc(all, func(a, b entry[T]) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.first, b.first))
	})
	for i := range all {
		f(all[i].value)
	}
	clear(all)
	queues[0].entries = all[:0]
}
