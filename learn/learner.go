package learn

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weirnet/weir/window"
)

// Phase is how far a Learner is.
type Phase string

// The phases in their order. Discard leads back to Idle from each, Start from Idle and Live to Watching.
const (
	Idle     Phase = "idle"
	Watching Phase = "watching" // windows are collected
	Review   Phase = "review"   // a person looks at what stands out
	Training Phase = "training"
	Trained  Phase = "trained" // a person consents, or not
	Live     Phase = "live"    // what was learned was promoted
)

// What a Learner refuses.
var (
	ErrPhase = errors.New("learn: this is not the time for it")
	ErrInput = errors.New("learn: not as wanted")
)

// MaxWindows bounds what a Learner keeps: 100,000 windows are 47 MB, and almost six days of 5 s.
const MaxWindows = 100_000

// maxStretches bounds what a State tells of windows that stand out.
const maxStretches = 200

// Config says for whom a Learner learns.
type Config struct {
	Model string // name of the detector

	Ready func() error // says why no model could be kept, before anything is collected
	// Train makes a version of Model from the windows that are not left out, and returns when it is kept or ctx ends.
	// progress may be told of passes over the windows, from any goroutine.
	Train func(ctx context.Context, t *Task, progress func(done, of int)) (*Result, error)
	// Promote makes a version the live one. It reports whether the run that goes on takes it over.
	Promote func(ref string) (taken bool, err error)
}

// Task is what there is to train from.
type Task struct {
	Model   string         `json:"model"`
	Live    string         `json:"live"` // NAME@VERSION to compare with; "": none
	Length  time.Duration  `json:"length"`
	Home    []netip.Prefix `json:"home"`
	PerDay  float64        `json:"per_day"` // false alarms a day to promise; 0: the default share
	Epochs  int            `json:"epochs"`  // 0: those of the profile
	Notes   []string       `json:"notes"`
	Windows []Window       `json:"windows"`
}

// Result is what training gave. Alarms are of the same windows: those that were learned from, and those that were left out.
type Result struct {
	Ref         string  `json:"ref"`
	Windows     int     `json:"windows"` // learned from
	Left        int     `json:"left"`
	Threshold   float64 `json:"threshold"`
	Promise     string  `json:"promise"` // what can be expected, in a sentence
	PerDay      float64 `json:"per_day"` // false alarms a day that can be expected at most
	Alarms      int     `json:"alarms"`
	AlarmsLeft  int     `json:"alarms_left"`
	Live        string  `json:"live"` // that it was compared with; "": nothing
	LiveAlarms  int     `json:"live_alarms"`
	LiveOnLeft  int     `json:"live_alarms_left"`
	LiveMissing string  `json:"live_missing"` // why there is no comparison
}

// Count asks for windows of a kind.
type Count struct {
	Length time.Duration
	Home   []netip.Prefix
}

// Learner leads through learning beside a run. Turn, Counting, Add, Uses and End are the run's, called by its one goroutine; the rest
// may be called by anyone.
type Learner struct {
	cfg Config

	asked atomic.Bool // Turn has something to do

	mu       sync.Mutex
	phase    Phase
	lesson   Lesson
	home     []netip.Prefix
	begun    bool // windows are counted as asked
	skip     bool // the next window began before
	ended    bool // nothing more comes
	gap      bool // the next window does not follow the last
	file     string
	source   string   // of what is watched, as the journal knows it
	journal  *journal // nil: the lesson is not kept
	hours    [24]int
	use      map[int64]bool // what a person said, by start of a window
	told     string
	done, of int
	result   *Result
	taken    bool
	using    string // NAME@VERSION that judges now
	fixed    *Count // its windows
	stop     context.CancelFunc
	changes  uint64
	work     sync.WaitGroup
	screens  sync.Mutex
	screened *Screened // of the first windows of the lesson
	first    int64     // start of the lesson's first window, which tells lessons apart
}

// New returns a Learner that is idle.
func New(cfg Config) *Learner { return &Learner{cfg: cfg, phase: Idle, use: map[int64]bool{}} }

// Uses tells which detector judges from here on, and which windows.
func (l *Learner) Uses(ref string, c Count) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.using, l.fixed = ref, &c
	l.changes++
}

// Turn returns the windows that should be counted, when that is news. It costs a look at a flag.
func (l *Learner) Turn() (Count, bool) {
	if !l.asked.Load() {
		return Count{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked.Store(false)
	return Count{l.lesson.Length, l.home}, l.phase == Watching
}

// Counting says that what Turn asked for is done, or why it cannot be.
func (l *Learner) Counting(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes++
	if err != nil {
		l.phase, l.told = Idle, err.Error()
		return
	}
	l.begun, l.skip = true, true
}

// Add takes the next window of the run. The first one after the start began before it, and is not learned from.
func (l *Learner) Add(w *window.Window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != Watching || !l.begun || w.Length != l.lesson.Length {
		return
	}
	if l.skip {
		l.skip = false
		return
	}
	l.lesson.Add(w)
	last := &l.lesson.Windows[len(l.lesson.Windows)-1]
	last.Gap, l.gap = last.Gap || l.gap, false
	l.changes++
	l.hour(last)
	l.note(entry{Window: last})
	if l.lesson.Enough() || len(l.lesson.Windows) == MaxWindows {
		l.look("")
	}
}

// hour counts a window for the hour of its day. The caller holds mu.
func (l *Learner) hour(w *Window) {
	if w.Packets > 0 {
		l.hours[time.Unix(0, w.Start).UTC().Hour()]++
	}
}

// End says that no more windows come.
func (l *Learner) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.changes++
	if l.phase == Watching {
		l.look("All is read: what was seen until then is there to learn from.")
	}
}

// look begins the review. The caller holds mu.
func (l *Learner) look(told string) {
	l.lesson.Trim()
	l.phase, l.told, l.begun = Review, told, false
	l.changes++
}

// Start begins to collect windows for a time, 0: until Enough, or the end. Where a detector is in use, length and home are its own, and may be left 0 and nil.
func (l *Learner) Start(want, length time.Duration, home []netip.Prefix) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != Idle && l.phase != Live {
		return fmt.Errorf("%w: learning goes on already; discard it first", ErrPhase)
	}
	if l.ended {
		return fmt.Errorf("%w: all is read, no more windows come", ErrPhase)
	}
	if f := l.fixed; f != nil {
		if length == 0 {
			length = f.Length
		}
		if home == nil {
			home = f.Home
		}
		if length != f.Length || !slices.Equal(home, f.Home) {
			return fmt.Errorf("%w: %s judges windows of %v here, and what takes over must judge the same", ErrInput, l.using, f.Length)
		}
	}
	switch {
	case length < 100*time.Millisecond || length > time.Hour:
		return fmt.Errorf("%w: windows of %v: want 100ms to 1h", ErrInput, length)
	case want != 0 && want < length || want > 366*24*time.Hour:
		return fmt.Errorf("%w: %v to learn: want one window at least and a year at most, or 0 for as long as there is something", ErrInput, want)
	case want/length > MaxWindows:
		return fmt.Errorf("%w: %d windows are more than the %d that are kept: take longer windows or less time", ErrInput, want/length, MaxWindows)
	}
	if err := l.cfg.Ready(); err != nil {
		return fmt.Errorf("%w: what is learned could not be kept: %w", ErrInput, err)
	}
	l.clear()
	l.phase, l.home = Watching, home
	l.lesson = Lesson{Length: length, Want: want}
	if err := l.beginJournal(); err != nil {
		l.clear()
		return fmt.Errorf("%w: the lesson could not be kept: %w", ErrInput, err)
	}
	l.asked.Store(true)
	return nil
}

// clear forgets the lesson. The caller holds mu.
func (l *Learner) clear() {
	if l.stop != nil {
		l.stop()
		l.stop = nil
	}
	l.forgetJournal()
	l.gap = false
	l.phase, l.lesson, l.begun, l.hours, l.told = Idle, Lesson{}, false, [24]int{}, ""
	l.result, l.taken, l.done, l.of = nil, false, 0, 0
	clear(l.use)
	l.changes++
}

// Enough ends the watching before its time.
func (l *Learner) Enough() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != Watching {
		return fmt.Errorf("%w: no windows are collected", ErrPhase)
	}
	l.note(entry{Enough: true})
	l.look("")
	return nil
}

// Choose says, of the windows that begin from since to before until, whether to learn from them, whatever stands out.
func (l *Learner) Choose(since, until int64, use bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != Watching && l.phase != Review {
		return fmt.Errorf("%w: windows are chosen before training", ErrPhase)
	}
	c := &choice{since, until, use}
	if err := l.choose(c); err != nil {
		return err
	}
	l.note(entry{Choose: c})
	l.changes++
	return nil
}

// choose notes what a person said. The caller holds mu.
func (l *Learner) choose(c *choice) error {
	var some []int64
	for i := range l.lesson.Windows {
		w := &l.lesson.Windows[i]
		switch {
		case w.Start < c.Since || w.Start >= c.Until:
		case w.Lost > 0 && c.Use:
			return fmt.Errorf("%w: packets of the window at %s were lost", ErrInput, time.Unix(0, w.Start).UTC().Format(time.DateTime))
		default:
			some = append(some, w.Start)
		}
	}
	if len(some) == 0 {
		return fmt.Errorf("%w: no window of the lesson begins then", ErrInput)
	}
	for _, start := range some {
		l.use[start] = c.Use
	}
	return nil
}

// Train trains from what is not left out, in a goroutine of its own; 0 is the default of either.
func (l *Learner) Train(perDay float64, epochs int) error {
	l.mu.Lock()
	windows, ready := l.lesson.Windows, l.phase == Review || l.phase == Trained
	l.mu.Unlock()
	if ready {
		l.screen(windows, true) // takes a while, in which Add must not wait; below it is known
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != Review && l.phase != Trained {
		return fmt.Errorf("%w: there is nothing to train from yet", ErrPhase)
	}
	if !(perDay >= 0 && perDay <= 1e6) || epochs < 0 || epochs > 10_000 {
		return fmt.Errorf("%w: false alarms a day %v, passes %d", ErrInput, perDay, epochs)
	}
	t := &Task{Model: l.cfg.Model, Live: l.using, Length: l.lesson.Length, Home: l.home, PerDay: perDay, Epochs: epochs, Windows: slices.Clone(l.lesson.Windows)}
	screened := l.screen(t.Windows, true)
	left := 0
	for i := range t.Windows {
		w := &t.Windows[i]
		if w.Left = l.leaves(w, screened.Odd[i]); w.Left {
			left++
		}
	}
	t.Notes = append(t.Notes, "learned: "+l.lesson.String(),
		fmt.Sprintf("left out: %d of %d windows: %d are unlike the others, %d lost packets, %d were chosen by hand", left, len(t.Windows), screened.OddCount, screened.LostCount, len(l.use)))
	if hours := bits.OnesCount32(l.lesson.Hours(time.Local)); hours < 24 {
		t.Notes = append(t.Notes, fmt.Sprintf("%d of the 24 hours of the day were seen: what is usual at others may raise alarms", hours))
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop, l.phase, l.told, l.result, l.done, l.of = stop, Training, "", nil, 0, 0
	l.changes++
	l.work.Go(func() {
		defer stop()
		r, err := l.cfg.Train(ctx, t, func(done, of int) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if ctx.Err() == nil {
				l.done, l.of = done, of
				l.changes++
			}
		})
		l.mu.Lock()
		defer l.mu.Unlock()
		if ctx.Err() != nil { // discarded or cancelled, and told
			return
		}
		l.stop = nil
		l.changes++
		if err != nil {
			l.phase, l.told = Review, "Training failed: "+err.Error()
			return
		}
		l.phase, l.result = Trained, r
	})
	return nil
}

// leaves reports whether a window is left out. The caller holds mu.
func (l *Learner) leaves(w *Window, odd bool) bool {
	if w.Lost > 0 {
		return true
	}
	if use, said := l.use[w.Start]; said {
		return !use
	}
	return odd
}

// Cancel ends training and leads back to the review.
func (l *Learner) Cancel() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != Training {
		return fmt.Errorf("%w: nothing is trained", ErrPhase)
	}
	l.stop()
	l.stop, l.phase, l.told = nil, Review, "Training was cancelled."
	l.changes++
	return nil
}

// Discard forgets the lesson and what was learned. A version that was trained stays among the models, and is not used.
func (l *Learner) Discard() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == Idle {
		return fmt.Errorf("%w: there is nothing to discard", ErrPhase)
	}
	l.clear()
	return nil
}

// Promote makes what was learned the live version.
func (l *Learner) Promote() (ref string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase != Trained {
		return "", fmt.Errorf("%w: nothing is trained", ErrPhase)
	}
	if l.taken, err = l.cfg.Promote(l.result.Ref); err != nil {
		return "", err
	}
	l.taken = l.taken && !l.ended
	l.phase = Live
	l.lesson.Windows = nil
	l.forgetJournal()
	l.changes++
	return l.result.Ref, nil
}

// Close ends training and waits for it. A lesson that is kept stays in its file.
func (l *Learner) Close() {
	l.mu.Lock()
	if l.stop != nil {
		l.stop()
	}
	if l.journal != nil {
		if err := l.journal.close(); err != nil {
			l.told = err.Error()
		}
		l.journal = nil
	}
	l.mu.Unlock()
	l.work.Wait()
}

// screen returns what stands out among the windows of the lesson. It looks anew when a fiftieth came since, exact: when anything did;
// those that came since stand out in nothing yet.
func (l *Learner) screen(windows []Window, exact bool) *Screened {
	l.screens.Lock()
	defer l.screens.Unlock()
	if len(windows) == 0 {
		return &Screened{}
	}
	if s := l.screened; s != nil && l.first == windows[0].Start {
		news := len(windows) - len(s.Odd)
		if news == 0 {
			return s
		}
		if !exact && news > 0 && news <= len(s.Odd)/50 {
			padded := *s
			padded.Odd = append(slices.Clip(s.Odd), make([]bool, news)...)
			return &padded
		}
	}
	l.screened, l.first = Screen(windows), windows[0].Start
	return l.screened
}
