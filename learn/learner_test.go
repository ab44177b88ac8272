package learn

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// normal returns windows like each other but for those at odd, which have many more packets, and lost, which lost some.
func normal(t *testing.T, length time.Duration, n int, odd, lost []int) (all []*window.Window) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		one := new(window.Partial)
		packets := 20 + rng.IntN(5)
		if slices.Contains(odd, i) {
			packets = 900
		}
		for p := range packets {
			h := packet.Headers{Version: 4, Proto: 17, TTL: 64, IPLen: 100 + rng.IntN(9), Has: packet.HasPorts, SrcPort: uint16(1000 + p), DstPort: 53}
			h.Src, h.Dst = packet.AddrFrom(netip.MustParseAddr("192.0.2.1")), packet.AddrFrom(netip.MustParseAddr("192.0.2.2"))
			one.Add(&h)
		}
		if slices.Contains(lost, i) {
			one.Lost = 3
		}
		all = append(all, &window.Window{Start: int64(i) * int64(length), Length: length, Partial: one})
	}
	return all
}

// bench is a Learner whose training the test is.
type bench struct {
	*Learner
	mu       sync.Mutex
	tasks    []*Task
	finish   chan error // one for each training
	promoted []string
}

func newBench() *bench {
	b := &bench{finish: make(chan error, 1)}
	b.Learner = New(Config{
		Model: "office",
		Ready: func() error { return nil },
		Train: func(ctx context.Context, t *Task, progress func(done, of int)) (*Result, error) {
			b.mu.Lock()
			b.tasks = append(b.tasks, t)
			b.mu.Unlock()
			progress(1, 4)
			select {
			case err := <-b.finish:
				if ctx.Err() != nil { // it was meant for the next one
					b.finish <- err
					return nil, ctx.Err()
				}
				return &Result{Ref: "office@1"}, err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
		Promote: func(ref string) (bool, error) {
			b.promoted = append(b.promoted, ref)
			return true, nil
		},
	})
	return b
}

// until waits for a phase.
func (b *bench) until(t *testing.T, want Phase) *State {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s := b.State()
		if s.Phase == want {
			return s
		}
		if time.Now().After(end) {
			t.Fatalf("phase %s, want %s: %s", s.Phase, want, s.Told)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start has the windows of a second counted that were asked for.
func (b *bench) start(t *testing.T, want time.Duration) {
	t.Helper()
	must(t, b.Start(want, time.Second, nil))
	c, news := b.Turn()
	if !news || c.Length != time.Second {
		t.Fatalf("to be counted: %v, %v", c, news)
	}
	if _, again := b.Turn(); again {
		t.Fatal("asked twice")
	}
	b.Counting(nil)
}

func TestLesson(t *testing.T) {
	b := newBench()
	b.start(t, 120*time.Second)
	all := normal(t, time.Second, 140, []int{50, 51, 80}, []int{30})
	for i, w := range all[:60] {
		b.Add(w)
		if s := b.State(); s.Phase != Watching || s.Windows != i || s.Want != 120 {
			t.Fatalf("after %d windows: %+v", i+1, s)
		}
	}
	if s := b.State(); s.Hours[0] != 59 || s.Hours[1] != 0 || s.Seen != 59 {
		t.Errorf("hours %v, seen %v s", s.Hours, s.Seen)
	}
	for _, w := range all[60:] {
		b.Add(w)
	}
	s := b.until(t, Review)
	if s.Windows != 120 || s.Lost != 1 || s.Odd != 3 || s.Left != 4 || len(s.Stands) != 2 {
		t.Fatalf("to look at: %+v", s)
	}
	if one := s.Stands[0]; one.Start != 50 || one.End != 52 || one.Windows != 2 || one.Used || !one.Odd || len(one.Features) == 0 || one.What == "" {
		t.Errorf("what stands out: %+v", one)
	}

	// A person puts one back in and leaves another out.
	must(t, b.Choose(80e9, 81e9, true))
	must(t, b.Choose(100e9, 101e9, false))
	if err := b.Choose(30e9, 31e9, true); !errors.Is(err, ErrInput) {
		t.Errorf("a window that lost packets was taken: %v", err)
	}
	if err := b.Choose(500e9, 501e9, true); !errors.Is(err, ErrInput) {
		t.Errorf("a window that is not there was taken: %v", err)
	}
	if s := b.State(); s.Left != 4 || len(s.Stands) != 3 || !s.Stands[1].Used || s.Stands[2].Odd || s.Stands[2].Used {
		t.Errorf("chosen: %+v", s)
	}

	must(t, b.Train(0.5, 3))
	if s := b.until(t, Training); s.Result != nil {
		t.Errorf("a result before training: %+v", s.Result)
	}
	must(t, b.Cancel())
	b.until(t, Review)
	must(t, b.Train(0, 0))
	b.finish <- errors.New("no luck")
	if s := b.until(t, Review); s.Told != "Training failed: no luck" {
		t.Errorf("told %q", s.Told)
	}
	must(t, b.Train(0, 0))
	if _, err := b.Promote(); !errors.Is(err, ErrPhase) {
		t.Errorf("promoted before it was trained: %v", err)
	}
	b.finish <- nil
	if s := b.until(t, Trained); s.Result.Ref != "office@1" {
		t.Errorf("result %+v", s.Result)
	}
	if _, err := b.Promote(); err != nil || !slices.Equal(b.promoted, []string{"office@1"}) {
		t.Errorf("promoted %v: %v", b.promoted, err)
	}
	if s := b.State(); s.Phase != Live || !s.Taken {
		t.Errorf("in the end: %+v", s)
	}
	b.start(t, 0) // and again
	b.Close()     // and every training is over
	task := b.tasks[len(b.tasks)-1]
	segments := Segments(task.Windows)
	if got := []int{len(segments), len(segments[0]), len(segments[1])}; !slices.Equal(got, []int{4, 29, 19}) { // 1-29, 31-49, 52-99, 101-120
		t.Errorf("segments of %v", got)
	}
	if !slices.ContainsFunc(b.tasks, func(t *Task) bool { return t.PerDay == 0.5 && t.Epochs == 3 && t.Model == "office" }) {
		t.Error("no task has what was asked for")
	}
}

func TestStartRefuses(t *testing.T) {
	b := newBench()
	for _, one := range []struct{ want, length time.Duration }{
		{time.Hour, 0}, {time.Hour, time.Millisecond}, {time.Second, 5 * time.Second}, {-time.Second, time.Second}, {MaxWindows*time.Second + time.Second, time.Second}, {time.Hour, 2 * time.Hour},
	} {
		if err := b.Start(one.want, one.length, nil); !errors.Is(err, ErrInput) {
			t.Errorf("%v of windows of %v: error %v", one.want, one.length, err)
		}
	}
	for name, f := range map[string]func() error{
		"enough": b.Enough, "choose": func() error { return b.Choose(0, 1, true) }, "train": func() error { return b.Train(0, 0) }, "cancel": b.Cancel, "discard": b.Discard,
	} {
		if err := f(); !errors.Is(err, ErrPhase) {
			t.Errorf("%s when nothing is learned: error %v", name, err)
		}
	}
	b.Uses("office@7", Count{Length: 2 * time.Second})
	if err := b.Start(time.Hour, time.Second, nil); !errors.Is(err, ErrInput) {
		t.Errorf("other windows than those of the detector in use: error %v", err)
	}
	must(t, b.Start(time.Hour, 0, nil))
	if c, news := b.Turn(); !news || c.Length != 2*time.Second {
		t.Errorf("to be counted: %v, %v", c, news)
	}
	b.Counting(errors.New("cannot"))
	if s := b.until(t, Idle); s.Told != "cannot" {
		t.Errorf("told %q", s.Told)
	}
	must(t, b.Start(time.Hour, 0, nil))
	if err := b.Start(time.Hour, 0, nil); !errors.Is(err, ErrPhase) {
		t.Errorf("started twice: %v", err)
	}
	must(t, b.Discard())
	b.End()
	if err := b.Start(time.Hour, 0, nil); !errors.Is(err, ErrPhase) {
		t.Errorf("started behind the end: %v", err)
	}
}

// What is collected is bounded, and the end of what is watched is the end of the lesson.
func TestEnds(t *testing.T) {
	b := newBench()
	b.start(t, 0)
	w := normal(t, time.Second, 2, nil, nil)
	for i := range MaxWindows + 2 {
		one := *w[0]
		one.Start = int64(i) * 1e9
		b.Add(&one)
	}
	if phase, n, _ := b.Counts(); phase != Review || n != MaxWindows {
		t.Errorf("%s with %d windows", phase, n)
	}
	must(t, b.Discard())
	b.start(t, 0)
	b.Add(w[0])
	b.Add(w[1])
	b.End()
	if s := b.until(t, Review); s.Windows != 1 || s.Told == "" || !s.Possible {
		t.Errorf("at the end: %+v", s)
	}
	must(t, b.Train(0, 0)) // it takes until Close
	b.Close()
}

// A lesson that is kept goes on after a restart, also where the last writing was cut off.
func TestLessonOutlastsARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lesson.jsonl")
	all := normal(t, time.Second, 140, []int{50, 51, 80}, []int{30})
	b := newBench()
	must(t, b.Keep(file, "eth0"))
	b.start(t, 120*time.Second)
	for _, w := range all[:60] {
		b.Add(w)
	}
	must(t, b.Choose(51e9, 52e9, true))
	b.End() // as when the service is stopped
	b.Close()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	_, err = f.WriteString(`{"window":{"start":123`)
	must(t, errors.Join(err, f.Close()))

	other := newBench()
	must(t, other.Keep(file, "eth1"))
	if s := other.State(); s.Phase != Idle || s.Told == "" {
		t.Errorf("of another interface: %+v", s)
	}
	other.Close()

	b = newBench()
	must(t, b.Keep(file, "eth0"))
	if s := b.State(); s.Phase != Watching || s.Windows != 59 || s.Hours[0] != 59 || s.Chosen != 1 || s.Want != 120 {
		t.Fatalf("after the restart: %+v", s)
	}
	if c, news := b.Turn(); !news || c.Length != time.Second {
		t.Fatalf("to be counted: %v, %v", c, news)
	}
	b.Counting(nil)
	for _, w := range all[69:] {
		b.Add(w)
	}
	if s := b.State(); s.Phase != Review || s.Windows != 110 {
		t.Errorf("in the end: %+v", s)
	}
	for i, w := range b.lesson.Windows {
		if w.Gap != (i == 59) || w.Start == 69e9 {
			t.Errorf("window %d at %d, gap %v", i, w.Start, w.Gap)
		}
	}
	b.Close()
	b = newBench()
	must(t, b.Keep(file, "eth0"))
	if s := b.State(); s.Phase != Review || s.Windows != 110 {
		t.Errorf("after another restart: %+v", s)
	}
	must(t, b.Discard())
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("a lesson that was discarded is still there: %v", err)
	}
}

// What stands out among many windows takes a while to see: the run, which adds windows, does not wait for it.
func TestTrainBesideScreen(t *testing.T) {
	b := newBench()
	b.start(t, 0)
	for _, w := range normal(t, time.Second, 40, nil, nil) {
		b.Add(w)
	}
	must(t, b.Enough())
	b.screens.Lock() // somebody looks
	trained := make(chan error)
	go func() { trained <- b.Train(0, 0) }()
	added := make(chan bool)
	go func() {
		for range 100 {
			b.Counts()
			time.Sleep(time.Millisecond)
		}
		close(added)
	}()
	select {
	case <-added:
	case <-time.After(20 * time.Second):
		t.Error("the run waits for what stands out")
	}
	b.screens.Unlock()
	must(t, <-trained)
	b.finish <- nil
	b.until(t, Trained)
	b.Close()
}
