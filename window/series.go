package window

import (
	"errors"
	"math"
	"time"
)

// DefaultMaxGap is how many empty windows Series fills in after a window before it skips ahead.
const DefaultMaxGap = 1 << 20

// Bounds on the empty windows of a whole series that has a MaxGap: a megabyte of packets with
// random times must not become a thousand gigabytes of silence, each gap of it just short enough.
// Two months of 5 s windows without a packet fit; so do, for ever, 256 packets together in one window of 256.
const (
	maxEmpty          = 1 << 20
	maxEmptyPerWindow = 256 // on top of it, for each window as many as it has packets, up to this
)

// Window is a closed window.
type Window struct {
	Start  int64 // nanoseconds since the Unix epoch, a multiple of Length
	Length time.Duration
	// Skipped is the number of empty windows between this one and the one before that were
	// left out because there were more than MaxGap, or too many in the series.
	Skipped int64
	// Partial holds the features, the top talkers, and the packets lost and late. It and the
	// Window are valid until the function that the window was emitted to returns.
	*Partial
}

// Series is the windows of one stream in order of time. It is used by one goroutine, except
// that its Accumulators may each be used by another.
type Series struct {
	length  time.Duration
	maxGap  int64
	emit    func(*Window)
	pool    pool
	empty   Partial
	started bool
	next    int64  // the index of the window to emit next
	run     int64  // empty windows emitted since the last that was not
	earned  int64  // empty windows that may be emitted beside maxEmpty
	skipped int64  // empty windows left out since the last emitted
	window  Window // what emit is given, reused
	stats   Stats
}

// Stats counts what became of windows and packets.
type Stats struct {
	Windows int64  // emitted
	Empty   int64  // of them without a packet
	Skipped int64  // empty windows left out because a gap was longer than MaxGap, or for their sum
	Late    uint64 // packets that came after their window had closed
	Lost    uint64 // packets that the capture dropped
}

// Add adds the counts of another series.
func (s *Stats) Add(o *Stats) {
	s.Windows += o.Windows
	s.Empty += o.Empty
	s.Skipped = add(s.Skipped, o.Skipped)
	s.Late += o.Late
	s.Lost += o.Lost
}

// NewSeries returns a series of windows of the given length that calls emit for each, in order
// of time and without holes, empty windows included; but of a gap of more than maxGap empty
// windows only the first maxGap are emitted, the rest is skipped and told in the next Window.
// A maxGap of 0 means DefaultMaxGap, a negative one no limit. With a limit, all empty windows
// together are no more than 1,048,576 and one for each packet, of a window up to 256.
func NewSeries(length time.Duration, maxGap int64, emit func(*Window)) (*Series, error) {
	if length <= 0 {
		return nil, errors.New("window: the window length must be more than zero")
	}
	switch {
	case maxGap == 0:
		maxGap = DefaultMaxGap
	case maxGap < 0:
		maxGap = math.MaxInt64
	}
	return &Series{length: length, maxGap: maxGap, emit: emit}, nil
}

// NewAccumulator returns an accumulator for one worker of this series.
func (s *Series) NewAccumulator() *Accumulator {
	return &Accumulator{
		length: s.length,
		series: s,
		open:   make(map[int64]*Partial),
		closed: math.MinInt64,
	}
}

func (s *Series) partial() *Partial { return s.pool.get() }

// Close emits all windows of a lower index than before, given what each worker's Take(before)
// returned, which it uses up; the order of the workers does not matter. Empty windows are emitted up to before
// too, once there was a first packet; with before = math.MaxInt64, the end of the stream, the
// last window with a packet is the last.
func (s *Series) Close(before int64, taken ...[]Part) {
	for {
		index := int64(math.MaxInt64)
		var whole *Partial
		for _, parts := range taken {
			if len(parts) > 0 {
				index = min(index, parts[0].Index)
			}
		}
		for i, parts := range taken {
			if len(parts) == 0 || parts[0].Index != index {
				continue
			}
			if taken[i] = parts[1:]; whole == nil {
				whole = parts[0].Partial
				continue
			}
			whole.Merge(parts[0].Partial)
			s.pool.put(parts[0].Partial)
		}
		if whole == nil {
			break
		}
		s.fill(index)
		s.emitOne(index, whole)
		s.pool.put(whole)
	}
	if before != math.MaxInt64 {
		s.fill(before)
	}
}

// SkipGaps leaves out all empty windows from here on and tells them as skipped.
func (s *Series) SkipGaps() { s.maxGap = 0 }

// Restart begins the series anew, for when the clock was set: the next window follows on no other. All windows must have been
// closed; workers are the accumulators of the series.
func (s *Series) Restart(workers ...*Accumulator) {
	s.started, s.run, s.skipped = false, 0, 0
	for _, a := range workers {
		a.closed = math.MinInt64
	}
}

// fill emits the empty windows before index.
func (s *Series) fill(index int64) {
	if !s.started || index <= s.next {
		return
	}
	gap := uint64(index) - uint64(s.next) // the distance of two int64 always fits
	allowed := s.maxGap - s.run
	if s.maxGap < math.MaxInt64 {
		allowed = min(allowed, maxEmpty+s.earned-s.stats.Empty)
	}
	filled := min(gap, uint64(max(allowed, 0)))
	for range filled {
		s.emitOne(s.next, &s.empty)
	}
	if rest := gap - filled; rest > 0 {
		s.skipped = add(s.skipped, int64(min(rest, math.MaxInt64)))
		s.stats.Skipped = add(s.stats.Skipped, int64(min(rest, math.MaxInt64)))
		s.next = index
	}
}

func (s *Series) emitOne(index int64, p *Partial) {
	if p.packets == 0 {
		s.run++
		s.stats.Empty++
	} else {
		s.run = 0
		s.earned += int64(min(p.packets, maxEmptyPerWindow))
	}
	s.started = true
	s.next = addIndex(index)
	s.stats.Windows++
	s.stats.Late += p.Late
	s.stats.Lost += p.Lost
	s.window = Window{Start: Start(index, s.length), Length: s.length, Skipped: s.skipped, Partial: p}
	s.emit(&s.window)
	s.skipped = 0
}

// Stats returns the counts so far.
func (s *Series) Stats() Stats { return s.stats }
