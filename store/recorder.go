package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/weirnet/weir/event"
)

// RecorderOptions say how a Recorder deals with a store that is slow or fails.
type RecorderOptions struct {
	// Wait holds the watching back while the queue is full, and fails when the store does: for captures,
	// which can be read again. Without it watching goes on, and what does not fit is lost and counted.
	Wait    bool
	Queue   int                                 // bytes of events that may wait; 0: 32 MiB, with Wait 8
	Every   time.Duration                       // longest time between an event and its commit; 0: a second
	Age     time.Duration                       // of what to keep, see Policy; 0: any
	Bytes   int64                               // of what to keep, see Policy; 0: any
	Samples int64                               // bytes of samples to keep, see Policy; 0: any
	Tell    func(level slog.Level, text string) // what a person should know, once for each change; nil: nobody
	Now     func() time.Time                    // the clock that no age reaches beyond; nil: time.Now
	Retry   time.Duration                       // between attempts to store what the store refused; 0: a second
}

// Reasons of losses, as they stand among the drops of statistics.
const (
	lostQueue  = "store_queue_full" // the store is slower than what is told
	lostDisk   = "store_disk_full"
	lostLocked = "store_locked" // another process held the database
	lostFailed = "store_failed" // anything else; the log says what
)

// ErrChanged says that a source which was read again gives other events than those that are stored.
var ErrChanged = errors.New("its events are not those that the store has of it: another version of weir, or other options")

// Recorder writes events to a store, in a goroutine of its own and through a bounded queue. Events are
// written by one goroutine; Close and Lost may be called by another.
type Recorder struct {
	store  Store
	opts   RecorderOptions
	stored Position      // at the beginning
	wake   chan struct{} // there is enough to store
	ended  sync.WaitGroup

	mu       sync.Mutex
	at       Position  // of the last event
	room     sync.Cond // the queue has become shorter, or err was set
	queue    []*chunk  // the last one takes more
	free     []*chunk  // to be used again
	size     int       // bytes of the queue and of what is being stored
	closing  bool      // no more events come
	err      error     // why no more is taken
	lost     map[string]uint64
	cause    string // reason of what is lost now; "": the store works
	losing   uint64 // events lost since this was told; 0: none are
	lastLoss time.Time

	// Of the goroutine that stores:
	batch   []event.Event
	newest  int64  // time of the history and of the stream
	trouble string // of Maintain, told already
}

// chunkEvents is how many events a chunk holds, commitChunks how many of them are stored at once.
const (
	chunkEvents  = 512
	commitChunks = 16
)

// chunk is a part of the queue with the memory that its events refer to.
type chunk struct {
	events []event.Event
	tuples [chunkEvents]event.Tuple
	flows  [chunkEvents]event.Flow
	sure   [chunkEvents]float64
	size   int
	at     Position // of its last event
}

// NewRecorder begins a source, or goes on with it where the store has it.
func NewRecorder(ctx context.Context, s Store, source Source, opts RecorderOptions) (*Recorder, error) {
	if opts.Queue == 0 {
		opts.Queue = 32 << 20
		if opts.Wait {
			opts.Queue = 8 << 20
		}
	}
	if opts.Every == 0 {
		opts.Every = time.Second
	}
	if opts.Retry == 0 {
		opts.Retry = time.Second
	}
	if opts.Tell == nil {
		opts.Tell = func(slog.Level, string) {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	r := &Recorder{store: s, opts: opts, lost: map[string]uint64{}}
	r.wake = make(chan struct{}, 1)
	r.room.L = &r.mu
	info, err := s.Info(ctx)
	if err != nil {
		return nil, err
	}
	r.newest = info.Newest
	if r.stored, err = s.Begin(ctx, source); err != nil {
		return nil, err
	}
	r.ended.Go(r.run)
	return r, nil
}

// Retain changes the Age and Bytes of what to keep. Any goroutine may call it.
func (r *Recorder) Retain(age time.Duration, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opts.Age, r.opts.Bytes = age, bytes
}

// Stored is how far the source was stored when the Recorder began.
func (r *Recorder) Stored() Position { return r.stored }

// Write takes the next event of the source. It copies what a sensor uses again; alerts, statistics and what models on
// trial said must not change any more. Events that are stored already are skipped. With Wait it returns why the store
// fails; ErrChanged it returns in either case. After Close it does nothing.
func (r *Recorder) Write(e *event.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing || r.err != nil {
		return r.err
	}
	at := Position{Ordinal: r.at.Ordinal + 1, Digest: digest(r.at.Digest, e)}
	if at.Ordinal == r.stored.Ordinal && at.Digest != r.stored.Digest || at.Ordinal > r.stored.Ordinal && r.stored.Done {
		r.err = ErrChanged
		return r.err
	}
	if at.Ordinal <= r.stored.Ordinal {
		r.at = at
		return nil
	}
	size := eventSize(e)
	for r.opts.Wait && r.err == nil && !r.closing && r.size > 0 && r.size+size > r.opts.Queue {
		r.signal()
		r.room.Wait()
	}
	if r.closing || r.err != nil {
		return r.err // and the event is not behind us
	}
	r.at = at
	if r.size+size > r.opts.Queue && !r.opts.Wait {
		r.lose(1)
		r.last().at = at // what is lost is behind us
		return nil
	}
	c := r.last()
	if c.add(e) {
		c.size += size
		r.size += size
	}
	c.at = at
	if len(r.queue) >= commitChunks || r.size >= r.opts.Queue/4 {
		r.signal()
	}
	return nil
}

// signal wakes the goroutine that stores.
func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// last returns the chunk that takes the next event.
func (r *Recorder) last() *chunk {
	if n := len(r.queue); n > 0 && len(r.queue[n-1].events) < chunkEvents {
		return r.queue[n-1]
	}
	c := new(chunk)
	if n := len(r.free); n > 0 {
		c, r.free = r.free[n-1], r.free[:n-1]
	}
	r.queue = append(r.queue, c)
	return c
}

// add copies an event, and reports whether there was anything to copy.
func (c *chunk) add(e *event.Event) bool {
	n := len(c.events)
	kept := event.Event{Nanos: e.Nanos, Type: e.Type}
	switch e.Type {
	case event.TypeFlow:
		c.tuples[n], c.flows[n] = *e.Tuple, *e.Flow
		if e.Flow.Confidence != nil {
			c.sure[n] = *e.Flow.Confidence
			c.flows[n].Confidence = &c.sure[n]
		}
		kept.Tuple, kept.Flow = &c.tuples[n], &c.flows[n]
	case event.TypeLabel:
		if e.Label.Sample == nil {
			return false
		}
		t, l := *e.Tuple, *e.Label
		kept.Tuple, kept.Label = &t, &l
	case event.TypeWindow:
		w := *e.Window
		kept.Window = &w
	case event.TypeAlert, event.TypeSuppressed:
		kept.Alert = e.Alert
	case event.TypeStats:
		kept.Stats = e.Stats
	case event.TypeShadow:
		kept.Tuple, kept.Shadow = e.Tuple, e.Shadow
	default:
		return false
	}
	c.events = append(c.events, kept)
	return true
}

// eventSize is about what an event takes in the queue.
func eventSize(e *event.Event) int {
	switch e.Type {
	case event.TypeFlow, event.TypeShadow:
		return 512
	case event.TypeLabel:
		if s := e.Label.Sample; s != nil {
			return 512 + len(s.Embedding) + len(s.Opening)
		}
	case event.TypeWindow, event.TypeStats:
		return 1 << 10
	case event.TypeAlert, event.TypeSuppressed:
		return 1<<10 + 64*len(e.Alert.Features)
	}
	return 0
}

// digest continues the digest of events with one more. It is there to notice that a source has
// changed, not to withstand anyone.
func digest(h uint64, e *event.Event) uint64 {
	mix := func(x uint64) {
		h = (h ^ x) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	mix(uint64(e.Nanos))
	kind := e.Type
	if kind == event.TypeSuppressed { // exclusions may be others when a source is read again
		kind = event.TypeAlert
	}
	mix(uint64(len(kind)))
	switch e.Type {
	case event.TypeFlow:
		t, f := e.Tuple, e.Flow
		mix(uint64(t.SrcPort)<<16 | uint64(t.DestPort))
		mix(f.PacketsToServer<<32 ^ f.PacketsToClient)
		mix(f.BytesToServer<<32 ^ f.BytesToClient)
		mix(uint64(f.Start))
		for i := range len(f.App) {
			h = (h ^ uint64(f.App[i])) * 0x100000001b3
		}
	case event.TypeLabel:
		mix(math.Float64bits(e.Label.Confidence))
	case event.TypeWindow:
		mix(e.Window.Packets)
		if e.Window.Score != nil {
			mix(math.Float64bits(*e.Window.Score))
		}
	}
	return h
}

// Lost returns how many events were lost, by reason.
func (r *Recorder) Lost() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	lost := make(map[string]uint64, len(r.lost))
	for reason, n := range r.lost {
		lost[reason] = n
	}
	return lost
}

// lose counts lost events. r.mu is held.
func (r *Recorder) lose(n int) {
	reason := cmp.Or(r.cause, lostQueue)
	r.lost[reason] += uint64(n)
	r.lastLoss = time.Now()
	if r.losing == 0 {
		r.opts.Tell(slog.LevelWarn, "history is losing events: "+reason)
	}
	r.losing += uint64(n)
}

// Close stores what waits and ends the recording: with done the source has ended, and reading it
// again gives nothing new; without, it may go on where it was. It returns what Write returns. Events that
// are written later are not taken.
func (r *Recorder) Close(done bool) error {
	r.mu.Lock()
	first := !r.closing
	r.closing = true
	if first && r.err == nil {
		at := r.at
		at.Done = done
		switch {
		case done && at.Ordinal < r.stored.Ordinal:
			r.err = ErrChanged
		case at.Ordinal >= r.stored.Ordinal && at != r.stored:
			r.last().at = at
		}
	}
	r.mu.Unlock()
	if !first {
		return nil
	}
	r.signal()
	r.ended.Wait()
	return r.err
}

// run stores what comes into the queue.
func (r *Recorder) run() {
	tick := time.NewTicker(r.opts.Every)
	defer tick.Stop()
	for {
		select {
		case <-r.wake:
		case <-tick.C:
		}
		r.mu.Lock()
		chunks, closing := r.queue, r.closing
		r.queue = nil
		r.mu.Unlock()
		for len(chunks) > 0 {
			n := min(len(chunks), commitChunks)
			r.commit(chunks[:n])
			chunks = chunks[n:]
		}
		r.recovered(closing)
		if closing {
			return
		}
	}
}

// commit stores some chunks, or loses them, and makes room for others.
func (r *Recorder) commit(chunks []*chunk) {
	r.batch = r.batch[:0]
	size := 0
	for _, c := range chunks {
		r.batch = append(r.batch, c.events...)
		size += c.size
	}
	for attempt := 0; ; attempt++ {
		r.mu.Lock()
		failed := r.err != nil
		r.mu.Unlock()
		if failed {
			break
		}
		err := r.store.Append(context.Background(), r.batch, chunks[len(chunks)-1].at)
		if err == nil {
			r.mu.Lock()
			if r.cause != "" && r.losing == 0 {
				r.opts.Tell(slog.LevelInfo, "history is written again, nothing was lost")
			}
			r.cause = ""
			r.mu.Unlock()
			r.maintain()
			break
		}
		if !r.again(err, attempt) {
			break
		}
		time.Sleep(r.opts.Retry)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size -= size
	for _, c := range chunks {
		if len(r.free) < 2*commitChunks {
			clear(c.events)
			c.events, c.size = c.events[:0], 0
			r.free = append(r.free, c)
		}
	}
	r.room.Broadcast()
}

// maxAttempts is how often the last events are tried to be stored when the watching ends.
const maxAttempts = 5

// again deals with an error of Append, and reports whether to try the same events once more.
func (r *Recorder) again(err error, attempt int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	cause := lostFailed
	switch {
	case errors.Is(err, ErrFull):
		cause = lostDisk
	case errors.Is(err, ErrLocked):
		cause = lostLocked
	}
	if r.opts.Wait && cause != lostLocked {
		r.err = err
		return false
	}
	if r.cause != cause {
		r.cause = cause
		r.opts.Tell(slog.LevelWarn, fmt.Sprintf("history cannot be written, events wait: %v", err))
	}
	if r.opts.Wait || cause != lostFailed && !(r.closing && attempt >= maxAttempts) {
		return true
	}
	r.lose(len(r.batch))
	return false
}

// quiet is how long nothing must have been lost before that is told to be over: a queue that is full
// every other second should not fill the log as well.
const quiet = 10 * time.Second

// recovered tells that events are no longer lost.
func (r *Recorder) recovered(closing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.losing > 0 && (closing || r.cause == "" && time.Since(r.lastLoss) >= quiet) {
		again := ""
		if r.cause == "" {
			again = "; it is written again"
		}
		r.opts.Tell(slog.LevelWarn, fmt.Sprintf("history lost %d events%s", r.losing, again))
		r.losing = 0
	}
}

// maintain seals and removes what is due after an Append.
func (r *Recorder) maintain() {
	for i := range r.batch {
		if e := &r.batch[i]; e.Type == event.TypeStats || e.Type == event.TypeWindow {
			r.newest = max(r.newest, e.Nanos)
		}
	}
	// A wrong clock in what is watched must not make everything else old.
	now := min(r.newest, r.opts.Now().UnixNano())
	r.mu.Lock()
	policy := Policy{Age: r.opts.Age, Bytes: r.opts.Bytes, Samples: r.opts.Samples, Now: now}
	r.mu.Unlock()
	removed, err := r.store.Maintain(context.Background(), policy)
	if removed.Any() {
		r.opts.Tell(slog.LevelInfo, fmt.Sprintf("history: removed %s, nothing newer than %s", removed, time.Unix(0, removed.Before).UTC().Format(time.RFC3339)))
	}
	trouble := ""
	if err != nil {
		trouble = err.Error()
		if r.opts.Wait {
			r.mu.Lock()
			r.err = err
			r.mu.Unlock()
		}
	}
	if trouble != r.trouble && trouble != "" && !r.opts.Wait {
		r.opts.Tell(slog.LevelWarn, "history: what was stored could not be sealed or removed: "+trouble)
	}
	r.trouble = trouble
}
