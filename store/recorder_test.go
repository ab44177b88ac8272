package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

// moody is a store that fails when it is told to.
type moody struct {
	*storetest.Memory
	mu       sync.Mutex
	err      error         // of Append
	hold     chan struct{} // Append waits until it is closed; nil: it does not
	maintain error
	attempts int
}

func (m *moody) set(err error, hold chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err, m.hold = err, hold
}

func (m *moody) Append(ctx context.Context, events []event.Event, at store.Position) error {
	m.mu.Lock()
	err, hold := m.err, m.hold
	m.attempts++
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	return m.Memory.Append(ctx, events, at)
}

func (m *moody) tries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.attempts
}

func (m *moody) Maintain(ctx context.Context, p store.Policy) (store.Removed, error) {
	if m.maintain != nil {
		return store.Removed{}, m.maintain
	}
	return m.Memory.Maintain(ctx, p)
}

// told collects what a Recorder tells.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (o *told) tell(_ slog.Level, line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, line)
}

func (o *told) count(part string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, line := range o.lines {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 5000 {
		if is() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("it never happened that %s", what)
}

var source = store.Source{Name: "test"}

func recorder(t *testing.T, s store.Store, o store.RecorderOptions) *store.Recorder {
	t.Helper()
	if o.Every == 0 {
		o.Every = time.Millisecond
	}
	if o.Retry == 0 {
		o.Retry = time.Millisecond
	}
	r, err := store.NewRecorder(ctx, s, source, o)
	must(t, err)
	return r
}

func position(t *testing.T, s store.Store) store.Position {
	t.Helper()
	info, err := s.Info(ctx)
	must(t, err)
	return info.Sources[0].Position
}

// A Recorder stores all events, whatever the sensor does with its own memory afterwards.
func TestRecorder(t *testing.T) {
	for _, wait := range []bool{false, true} {
		s := storetest.NewMemory()
		events := storetest.NewGenerator(1, 20).Take(5000)
		r := recorder(t, s, store.RecorderOptions{Wait: wait})
		for i := range events {
			e := events[i]
			if e.Type == event.TypeFlow { // that memory is used again
				tuple, flow := *e.Tuple, *e.Flow
				e.Tuple, e.Flow = &tuple, &flow
				if flow.Confidence != nil {
					sure := *flow.Confidence
					flow.Confidence = &sure
				}
			}
			must(t, r.Write(&e))
			if e.Type == event.TypeFlow {
				if e.Flow.Confidence != nil {
					*e.Flow.Confidence = 77
				}
				*e.Tuple, *e.Flow = event.Tuple{}, event.Flow{}
			}
		}
		must(t, r.Close(true))
		must(t, r.Close(true))
		must(t, r.Write(&events[0])) // nothing after Close
		want := storetest.NewMemory()
		_, err := want.Begin(ctx, source)
		must(t, err)
		must(t, want.Append(ctx, events, store.Position{}))
		compare(t, "flow", s.Flows(ctx, store.FlowQuery{}), want.Flows(ctx, store.FlowQuery{}))
		compare(t, "window", s.Windows(ctx, store.WindowQuery{}), want.Windows(ctx, store.WindowQuery{}))
		compare(t, "alert", s.Alerts(ctx, store.AlertQuery{}), want.Alerts(ctx, store.AlertQuery{}))
		if at := position(t, s); at.Ordinal != 5000 || !at.Done || len(r.Lost()) > 0 {
			t.Errorf("the source is at %+v, lost %v", at, r.Lost())
		}
	}
}

// A source that is read again goes on where it was, and gives nothing new at its end.
func TestRecorderResumes(t *testing.T) {
	s := storetest.NewMemory()
	events := storetest.NewGenerator(1, 20).Take(3000)
	for _, stop := range []int{500, 200, 1700, 1700, len(events), len(events)} {
		r := recorder(t, s, store.RecorderOptions{Wait: true})
		for i := range events[:stop] {
			must(t, r.Write(&events[i]))
		}
		must(t, r.Close(stop == len(events)))
	}
	var want int
	for i := range events {
		if events[i].Type == event.TypeFlow {
			want++
		}
	}
	if got := len(all(t, s.Flows(ctx, store.FlowQuery{}))); got != want {
		t.Errorf("%d flows, want %d", got, want)
	}
	if at := position(t, s); at.Ordinal != uint64(len(events)) || !at.Done {
		t.Errorf("the source is at %+v", at)
	}
}

// Other events than those that are stored are refused: at the place where the source would go on,
// beyond the end of one that is done, and when one that is done becomes shorter.
func TestRecorderRefusesOthers(t *testing.T) {
	events := storetest.NewGenerator(1, 20).Take(1000)
	store1 := func(stop int, done bool) *storetest.Memory {
		s := storetest.NewMemory()
		r := recorder(t, s, store.RecorderOptions{Wait: true})
		for i := range events[:stop] {
			must(t, r.Write(&events[i]))
		}
		must(t, r.Close(done))
		return s
	}
	read := func(s store.Store, change int, events []event.Event) error {
		r := recorder(t, s, store.RecorderOptions{Wait: true})
		for i := range events {
			e := events[i]
			if i == change {
				e.Nanos++
			}
			if err := r.Write(&e); err != nil {
				return errors.Join(err, r.Close(false))
			}
		}
		return r.Close(true)
	}
	for _, c := range []struct {
		what         string
		stored, read int
		done         bool
		change       int
		want         error
	}{
		{"the same", 500, 1000, false, -1, nil},
		{"a change before the place", 500, 1000, false, 7, store.ErrChanged},
		{"a change at the place", 500, 1000, false, 499, store.ErrChanged},
		{"a change after it", 500, 1000, false, 500, nil},
		{"the same to its end", 1000, 1000, true, -1, nil},
		{"more after its end", 500, 1000, true, -1, store.ErrChanged},
		{"less than was stored", 500, 400, false, -1, store.ErrChanged},
	} {
		s := store1(c.stored, c.done)
		before := position(t, s)
		err := read(s, c.change, events[:c.read])
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		if after := position(t, s); c.want != nil && after != before {
			t.Errorf("%s: the position went from %+v to %+v", c.what, before, after)
		}
	}
}

// A capture waits for a store that is slow, and fails with one that fails.
func TestRecorderWaits(t *testing.T) {
	events := storetest.NewGenerator(1, 20).Take(3000)
	s := &moody{Memory: storetest.NewMemory()}
	hold := make(chan struct{})
	s.set(nil, hold)
	r := recorder(t, s, store.RecorderOptions{Wait: true, Queue: 20_000})
	written := make(chan error)
	go func() {
		for i := range events {
			if err := r.Write(&events[i]); err != nil {
				written <- err
				return
			}
		}
		written <- r.Close(true)
	}()
	select {
	case err := <-written:
		t.Fatalf("3000 events fit into 20,000 bytes: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	s.set(nil, nil)
	close(hold)
	must(t, <-written)
	if at := position(t, s); at.Ordinal != 3000 || len(r.Lost()) > 0 {
		t.Errorf("stored up to %d, lost %v", at.Ordinal, r.Lost())
	}

	// Whoever closes while another waits leaves out the event that waits, and nothing before it.
	s = &moody{Memory: storetest.NewMemory()}
	hold = make(chan struct{})
	s.set(nil, hold)
	r = recorder(t, s, store.RecorderOptions{Wait: true, Queue: 20_000})
	n := make(chan int)
	go func() {
		written := 0
		for i := range events {
			if r.Write(&events[i]) != nil {
				break
			}
			written++
		}
		n <- written
	}()
	eventually(t, "the queue was full", func() bool { return s.tries() > 0 })
	time.Sleep(20 * time.Millisecond)
	closed := make(chan error)
	go func() { closed <- r.Close(false) }()
	time.Sleep(5 * time.Millisecond)
	close(hold)
	must(t, <-closed)
	<-n
	want := storetest.NewMemory()
	_, err := want.Begin(ctx, source)
	must(t, err)
	at := position(t, s)
	must(t, want.Append(ctx, events[:at.Ordinal], at))
	compare(t, "flow", s.Flows(ctx, store.FlowQuery{}), want.Flows(ctx, store.FlowQuery{}))
	if at.Ordinal == 0 || at.Ordinal > 100 || at.Done {
		t.Errorf("stored up to %+v", at)
	}

	// Locked is not broken.
	var told told
	s = &moody{Memory: storetest.NewMemory(), err: store.ErrLocked}
	r = recorder(t, s, store.RecorderOptions{Wait: true, Tell: told.tell})
	must(t, r.Write(&events[0]))
	eventually(t, "it was tried again", func() bool { return s.tries() > 3 })
	s.set(nil, nil)
	must(t, r.Close(true))
	if position(t, s).Ordinal != 1 || told.count("events wait") != 1 || told.count("nothing was lost") != 1 {
		t.Errorf("at %+v; told %q", position(t, s), told.lines)
	}

	broken := errors.New("the disk burns")
	for _, s := range []*moody{{Memory: storetest.NewMemory(), err: broken}, {Memory: storetest.NewMemory(), maintain: broken}, {Memory: storetest.NewMemory(), err: store.ErrFull}} {
		want := broken
		if s.maintain == nil {
			want = s.err
		}
		r = recorder(t, s, store.RecorderOptions{Wait: true, Queue: 10_000})
		var err error
		for i := 0; err == nil && i < len(events); i++ {
			err = r.Write(&events[i])
			time.Sleep(10 * time.Microsecond)
		}
		if closed := r.Close(true); !errors.Is(err, want) || !errors.Is(closed, want) {
			t.Errorf("a store that fails with %v: Write %v, Close %v", want, err, closed)
		}
		if s.err != nil && position(t, s).Ordinal != 0 {
			t.Errorf("the position is %+v though nothing was stored", position(t, s))
		}
	}
}

// Live watching goes on whatever the store does: what is lost is counted by its reason, and told
// once for each change.
func TestRecorderLoses(t *testing.T) {
	generator := storetest.NewGenerator(1, 20)
	var flows, written int
	write := func(r *store.Recorder, n int) {
		t.Helper()
		for range n {
			e := generator.Next()
			if e.Type == event.TypeLabel {
				continue
			}
			must(t, r.Write(&e))
			if written++; e.Type == event.TypeFlow {
				flows++
			}
		}
	}
	sum := func(r *store.Recorder) (n int) {
		for _, lost := range r.Lost() {
			n += int(lost)
		}
		return n
	}
	stored := func(s store.Store) int {
		info, err := s.Info(ctx)
		must(t, err)
		return int(info.Flows)
	}

	// A store that is slow.
	var o told
	s := &moody{Memory: storetest.NewMemory()}
	hold := make(chan struct{})
	s.set(nil, hold)
	r := recorder(t, s, store.RecorderOptions{Queue: 50_000, Tell: o.tell})
	write(r, 2000)
	if lost := r.Lost(); lost["store_queue_full"] == 0 || len(lost) != 1 {
		t.Fatalf("lost %v", lost)
	}
	if o.count("losing events: store_queue_full") != 1 {
		t.Errorf("told %q", o.lines)
	}
	close(hold)
	s.set(nil, nil)
	must(t, r.Close(true))
	if lost := sum(r); stored(s)+lost < flows || stored(s) > flows-1 || o.count(fmt.Sprintf("lost %d events; it is written again", lost)) != 1 {
		t.Errorf("%d flows of %d are stored, %d events lost; told %q", stored(s), flows, lost, o.lines)
	}
	if at := position(t, s); at.Ordinal != uint64(written) || !at.Done {
		t.Errorf("the position is %+v after %d events", at, written)
	}

	// A disk that is full or a database that is locked, for some time and to the end.
	for reason, fault := range map[string]error{"store_disk_full": store.ErrFull, "store_locked": store.ErrLocked} {
		flows, written, o = 0, 0, told{}
		s = &moody{Memory: storetest.NewMemory(), err: fault}
		r = recorder(t, s, store.RecorderOptions{Queue: 1 << 20, Tell: o.tell})
		write(r, 500)
		eventually(t, "it was tried again", func() bool { return s.tries() > 3 })
		s.set(nil, nil)
		eventually(t, "all was stored", func() bool { return stored(s) == flows })
		if len(r.Lost()) > 0 || o.count("events wait") != 1 {
			t.Errorf("%s for a while: lost %v, told %q", reason, r.Lost(), o.lines)
		}
		eventually(t, "it was told", func() bool { return o.count("nothing was lost") == 1 })
		s.set(fault, nil)
		write(r, 5)
		eventually(t, "it failed again", func() bool { return o.count("events wait") == 2 })
		write(r, 20_000)
		if lost := r.Lost(); lost[reason] == 0 || o.count("losing events: "+reason) != 1 {
			t.Errorf("%s: lost %v, told %q", reason, lost, o.lines)
		}
		must(t, r.Close(true))
		if before := stored(s); before >= flows || sum(r) == 0 || o.count("losing events") != 1 {
			t.Errorf("%s to the end: %d of %d flows, lost %v, told %q", reason, before, flows, r.Lost(), o.lines)
		}
	}

	// Anything else loses what could not be stored and goes on with the next.
	flows, written, o = 0, 0, told{}
	s = &moody{Memory: storetest.NewMemory(), err: errors.New("poison")}
	r = recorder(t, s, store.RecorderOptions{Tell: o.tell})
	write(r, 100)
	eventually(t, "the events were lost", func() bool { return sum(r) == written })
	s.set(nil, nil)
	before := flows
	write(r, 100)
	must(t, r.Close(true))
	if lost := r.Lost(); lost["store_failed"] == 0 || stored(s) != flows-before || o.count("poison") != 1 {
		t.Errorf("%d flows of %d, lost %v, told %q", stored(s), flows-before, lost, o.lines)
	}

	// What is stored stays so, even when it cannot be sealed.
	o = told{}
	s = &moody{Memory: storetest.NewMemory(), maintain: errors.New("no room for segments")}
	r = recorder(t, s, store.RecorderOptions{Tell: o.tell})
	for range 5 {
		write(r, 100)
		time.Sleep(3 * time.Millisecond)
	}
	must(t, r.Close(true))
	if len(r.Lost()) > 0 || o.count("no room for segments") != 1 {
		t.Errorf("lost %v, told %q", r.Lost(), o.lines)
	}
}

// Age counts from the newest that was watched, but never from a time that has not come.
func TestRecorderAges(t *testing.T) {
	events := storetest.NewGenerator(1, 20).Take(8000)
	newest := time.Unix(0, events[len(events)-1].Nanos)
	for _, c := range []struct {
		now  time.Time
		want bool
	}{{newest.Add(1000 * time.Hour), true}, {time.Unix(0, storetest.Start), false}} {
		var o told
		s := storetest.NewMemory()
		r := recorder(t, s, store.RecorderOptions{Wait: true, Age: time.Hour, Tell: o.tell, Now: func() time.Time { return c.now }})
		for i := range events {
			must(t, r.Write(&events[i]))
		}
		must(t, r.Close(true))
		info, err := s.Info(ctx)
		must(t, err)
		n := 0
		for i := range events {
			if events[i].Type == event.TypeFlow {
				n++
			}
		}
		if removed := int(info.Flows) < n; removed != c.want || (o.count("removed") > 0) != c.want {
			t.Errorf("at %v: %d flows of %d, told %q", c.now, info.Flows, n, o.lines)
		}
	}
}

// Real failures of a database are told by their kind.
func TestDiskFailures(t *testing.T) {
	w := create(t, t.TempDir(), small)
	events := storetest.NewGenerator(1, 50).Take(4000)
	fill(t, w, events[:500], false)
	before := slices.Clone(mustRead(t, w))
	at := position(t, w)
	fails := func(what string, want error) {
		t.Helper()
		err := w.Append(ctx, events[500:], store.Position{Ordinal: 4000})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		wantError(t, err, w.Dir())
		if got := mustRead(t, w); !sameFlows(got, before) || !reflect.DeepEqual(position(t, w), at) {
			t.Errorf("%s: %d flows at %+v, want %d at %+v", what, len(got), position(t, w), len(before), at)
		}
	}
	unlock := store.LockDatabase(t, w)
	fails("a locked database", store.ErrLocked)
	unlock()
	grow := store.LimitDatabase(t, w)
	fails("a full disk", store.ErrFull)
	grow()
	must(t, w.Append(ctx, events[500:], store.Position{Ordinal: 4000}))
	want := storetest.NewMemory()
	_, err := want.Begin(ctx, source)
	must(t, err)
	must(t, want.Append(ctx, events, store.Position{}))
	compare(t, "flow", w.Flows(ctx, store.FlowQuery{}), want.Flows(ctx, store.FlowQuery{}))
	compare(t, "alert", w.Alerts(ctx, store.AlertQuery{}), want.Alerts(ctx, store.AlertQuery{}))
}

func mustRead(t *testing.T, s store.Reader) []store.Flow {
	t.Helper()
	flows, errs := read(s, store.FlowQuery{})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return flows
}
