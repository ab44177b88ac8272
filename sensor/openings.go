package sensor

import (
	"sync"
	"sync/atomic"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
)

// SampleConfig says what is kept of flows to learn from. The zero value keeps nothing.
type SampleConfig struct {
	// Novel has what flows unlike everything in training look like told with their label (event.Sample).
	Novel bool
	// Recent is the memory, in bytes over all workers, for the openings of the flows that were decided last, whatever their label: see
	// Sensor.Opening. Those before are forgotten.
	Recent int
}

// What is told of novel flows is bounded, however many there are: so many at once, and so many a second of traffic on the mean.
const (
	samplesAtOnce    = 2000
	samplesPerSecond = 50
)

// ofWorker is how many times these bounds a worker may tell. The order of the stream is found after it, and between the two wait all
// flows that end at once. Where a worker alone finds so many, which of them are told depends on the number of workers.
const ofWorker = 2

// lostSamples is, among the drops of statistics, how many novel flows nothing was kept of because too many came at a time.
const lostSamples = "novel_samples_rate"

// sampling bounds the samples that are told. It is used by one goroutine; that of the sensor uses it in stream order, so that what it
// leaves out does not depend on the number of workers. Any other may read lost.
type sampling struct {
	started bool
	nanos   int64
	room    float64 // samples that may be told at once
	lost    atomic.Uint64
}

// take reports whether a sample may be told at a time, within so many times the bounds.
func (s *sampling) take(nanos int64, times float64) bool {
	if !s.started {
		s.started, s.nanos, s.room = true, nanos, times*samplesAtOnce
	}
	if nanos > s.nanos {
		s.room = min(s.room+float64(nanos-s.nanos)*times*samplesPerSecond/1e9, times*samplesAtOnce)
		s.nanos = nanos
	}
	if s.room < 1 {
		s.lost.Add(1)
		return false
	}
	s.room--
	return true
}

// openings are those of the flows that one worker has decided last. Others may ask while the worker adds.
type openings struct {
	mu    sync.Mutex
	ring  []byte // openings, one behind the other
	next  int    // place of the next one
	queue []kept // by number, modulo its length; the oldest is number first
	first uint64
	last  uint64 // number behind the newest
}

// kept is where an opening lies.
type kept struct {
	id       uint64
	start    int64
	from, to int
}

// newOpenings returns room for so many bytes of openings. The memory is touched as it is needed.
func newOpenings(bytes int) *openings {
	const least = 256 // bytes that openings have on the mean, or more of them than the queue holds are forgotten early
	return &openings{ring: make([]byte, bytes), queue: make([]kept, max(bytes/least, 1))}
}

// add remembers an encoded opening.
func (o *openings) add(id uint64, start int64, opening []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(opening) > len(o.ring) {
		return
	}
	if o.next+len(opening) > len(o.ring) {
		// Those that lie between here and the end are the oldest ones.
		for o.first < o.last && o.at(o.first).from >= o.next {
			o.first++
		}
		o.next = 0
	}
	to := o.next + len(opening)
	for o.first < o.last && (o.last-o.first == uint64(len(o.queue)) || o.at(o.first).from < to && o.at(o.first).to > o.next) {
		o.first++
	}
	copy(o.ring[o.next:], opening)
	*o.at(o.last) = kept{id, start, o.next, to}
	o.last++
	o.next = to
}

func (o *openings) at(n uint64) *kept { return &o.queue[n%uint64(len(o.queue))] }

// find returns the sample of a flow, nil when it is not remembered. It looks at all of them, a fraction of a millisecond: people ask, and an
// index would cost every flow.
func (o *openings) find(id uint64) *event.Sample {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := o.last; n > o.first; n-- {
		if k := o.at(n - 1); k.id == id {
			return &event.Sample{Start: event.Time(k.start), Opening: append([]byte(nil), o.ring[k.from:k.to]...)}
		}
	}
	return nil
}

// lostSamples is how many novel flows nothing was told of to learn from.
func (s *Sensor) lostSamples() uint64 {
	lost := s.sampling.lost.Load()
	for _, w := range s.workers {
		lost += w.sampling.lost.Load()
	}
	return lost
}

// Opening returns the opening of a flow, by its number in events, if it was decided lately; nil: it is not remembered. Any goroutine may
// ask, at any time.
func (s *Sensor) Opening(flowID uint64) *event.Sample {
	for _, w := range s.workers {
		if w.recent != nil {
			if found := w.recent.find(flowID); found != nil {
				return found
			}
		}
	}
	return nil
}

// learns reports whether anything is kept of decided flows.
func (w *labelledFlows) learns() bool { return w.samples.Novel || w.recent != nil }

// decided keeps the opening of a flow that has a final label now.
func (w *labelledFlows) decided(f *flow.Flow, opening []flow.Payload) {
	if len(opening) == 0 {
		w.encoded = w.encoded[:0]
		return
	}
	w.encoded = event.AppendOpening(w.encoded[:0], f.Start, opening)
	if w.recent != nil {
		w.recent.add(event.FlowID(f), f.Start, w.encoded)
	}
}

// sample returns what is told of a novel flow whose opening was encoded last and that the classifier has just decided, as its novel-th
// novel one; nil where nothing is to be.
func (w *labelledFlows) sample(f *flow.Flow, c *classify.Classifier, novel int, nanos int64) *event.Sample {
	if !w.samples.Novel || !f.Label.Final || !f.Label.Novel || len(w.encoded) == 0 || !w.sampling.take(nanos, ofWorker) {
		return nil
	}
	e := c.Novel(novel)
	return &event.Sample{
		Start: event.Time(f.Start), Embedding: e.Vector, Nearest: e.Nearest, Similarity: e.Similarity, Limit: e.Limit,
		Opening: append([]byte(nil), w.encoded...),
	}
}
