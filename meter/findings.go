package meter

import (
	"cmp"
	"slices"
)

// Findings brings what the Handlers of all workers find into the order of the stream, so that one worker
// and eight give the same output. Each Handler puts what it finds into the Queue of its worker; the
// Meter whose Config.Found it is hands it to a function, on the goroutine that calls the Meter, between
// the calls of OnWindow and OnTick that it comes between.
type Findings[T any] struct {
	tell   func(T)
	queues []*Queue[T]
	list   []entry[T] // of the stretches that were gathered, in order; told are list[:next]
	next   int
}

// NewFindings returns Findings that are told to a function.
func NewFindings[T any](tell func(T)) *Findings[T] { return &Findings[T]{tell: tell} }

// Queue returns the queue of a worker. It must be asked for before the Meter is used.
func (f *Findings[T]) Queue(worker int) *Queue[T] {
	for len(f.queues) <= worker {
		f.queues = append(f.queues, &Queue[T]{handed: make(chan []entry[T], maxFlight), spare: make(chan []entry[T], maxFlight+1)})
	}
	return f.queues[worker]
}

// Queue takes what one worker's Handler finds. It is used by the goroutine that calls the Handler.
type Queue[T any] struct {
	entries []entry[T]
	between bool            // what is found belongs before the packet of its place
	handed  chan []entry[T] // one for each stretch that the worker is done with and nobody has gathered
	spare   chan []entry[T] // empty, to be used again
}

type entry[T any] struct {
	at    uint64 // 2·place in the stream, and 1 more for what the packet there brought
	first uint64
	value T
}

// Put appends a finding made at a place in the stream (Packet.Ordinal, or what Ended was given)
// about the flow whose first packet has the ordinal first.
func (q *Queue[T]) Put(at, first uint64, value T) {
	at *= 2
	if !q.between {
		at++
	}
	q.entries = append(q.entries, entry[T]{at, first, value})
}

// findings is Findings of any type, as the Meter uses it.
type findings interface {
	// between says whether what a worker finds is found between packets, before that of its place.
	between(worker int, on bool)
	// hand is called by a worker when it is done with a stretch.
	hand(worker int)
	// gather takes over what all workers have found in a stretch that they are done with.
	gather()
	// tellBefore tells what was gathered and found before the packets and marks of a place in the stream.
	tellBefore(at uint64)
}

func (f *Findings[T]) between(worker int, on bool) {
	if worker < len(f.queues) {
		f.queues[worker].between = on
	}
}

func (f *Findings[T]) hand(worker int) {
	if worker >= len(f.queues) {
		return
	}
	q := f.queues[worker]
	q.handed <- q.entries
	select {
	case q.entries = <-q.spare:
	default:
		q.entries = nil
	}
}

func (f *Findings[T]) gather() {
	for _, q := range f.queues {
		entries := <-q.handed
		f.list = append(f.list, entries...)
		clear(entries)
		if cap(entries) > 0 {
			select {
			case q.spare <- entries[:0]:
			default:
			}
		}
	}
	// By place, then by flow, then as they were put: no order depends on how many workers there are.
	order := func(a, b entry[T]) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.first, b.first)) }
	if list := f.list[f.next:]; !slices.IsSortedFunc(list, order) {
		slices.SortStableFunc(list, order)
	}
}

func (f *Findings[T]) tellBefore(at uint64) {
	for f.next < len(f.list) && f.list[f.next].at/2 < at {
		f.tell(f.list[f.next].value)
		f.next++
	}
	if f.next == len(f.list) {
		clear(f.list)
		f.list, f.next = f.list[:0], 0
	}
}
