package learn

import (
	"time"

	"github.com/weirnet/weir/window"
)

// State is what a Learner tells. Times are Unix seconds, lengths of time seconds.
type State struct {
	Possible bool        `json:"possible"` // a run goes on that can be learned from
	Phase    Phase       `json:"phase"`
	Model    string      `json:"model"`  // name of what is learned
	InUse    string      `json:"in_use"` // NAME@VERSION that judges now; "": none
	Window   float64     `json:"window"` // length of a window: of the lesson, or of the detector in use; 0: to be chosen
	Fixed    bool        `json:"fixed"`  // the detector in use says which windows
	Want     float64     `json:"want"`   // time to learn
	Seen     float64     `json:"seen"`
	Windows  int         `json:"windows"`
	Lost     int         `json:"lost"`    // of them, those that lost packets
	Odd      int         `json:"odd"`     // those that stand out
	Chosen   int         `json:"chosen"`  // those that a person put in or left out
	Left     int         `json:"left"`    // those left out of what is learned
	Hours    [24]int     `json:"hours"`   // windows with packets, by hour of the day in UTC
	Stands   []StandsOut `json:"stands"`  // the first of the stretches
	More     int         `json:"more"`    // stretches that are not told
	Trust    string      `json:"warning"` // what to think of before trusting it
	Done     int         `json:"done"`    // passes of training
	Of       int         `json:"of"`
	Result   *Result     `json:"result"` // null: none yet
	Taken    bool        `json:"taken"`  // the run takes over what was promoted
	Told     string      `json:"told"`
	Change   uint64      `json:"change"` // grows with every change: a State with less is older
}

// StandsOut is windows in a row that stand out, or that a person left out.
type StandsOut struct {
	Start    float64      `json:"start"`
	End      float64      `json:"end"`
	Windows  int          `json:"windows"`
	Used     bool         `json:"used"` // put back in by a person
	Odd      bool         `json:"odd"`  // false: only a person left them out
	What     string       `json:"what"`
	Features []OddFeature `json:"features"`
}

// OddFeature is a feature that stands out, and what it mostly is.
type OddFeature struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Usual float64 `json:"usual"`
}

// Changes grows with every change of what State tells.
func (l *Learner) Changes() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes
}

// Counts tells how many windows are collected, and how far training is, for metrics.
func (l *Learner) Counts() (phase Phase, windows int, share float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.phase == Watching && l.lesson.Want > 0:
		share = min(float64(l.lesson.Seen())/float64(l.lesson.Want), 1)
	case l.phase == Training && l.of > 0:
		share = float64(l.done) / float64(l.of)
	}
	return l.phase, len(l.lesson.Windows), share
}

// ManyOdd is the share of windows that stand out above which a person should look before trusting what is learned.
const ManyOdd = 0.1

// State tells how it stands.
func (l *Learner) State() *State {
	l.mu.Lock()
	windows, exact := l.lesson.Windows, l.phase != Watching
	l.mu.Unlock()
	screened := l.screen(windows, exact) // takes a while, and what was added does not change

	l.mu.Lock()
	defer l.mu.Unlock()
	s := &State{
		Possible: true, Phase: l.phase, Model: l.cfg.Model, InUse: l.using, Window: l.lesson.Length.Seconds(), Fixed: l.fixed != nil,
		Want: l.lesson.Want.Seconds(), Seen: l.lesson.Seen().Seconds(), Windows: len(windows), Hours: l.hours,
		Lost: screened.LostCount, Odd: screened.OddCount, Chosen: len(l.use), Stands: []StandsOut{}, Done: l.done, Of: l.of, Result: l.result, Taken: l.taken, Told: l.told, Change: l.changes,
	}
	s.Possible = !l.ended || l.phase != Idle && l.phase != Live
	if s.Window == 0 && l.fixed != nil {
		s.Window = l.fixed.Length.Seconds()
	}
	if n := len(windows); n > 0 && float64(s.Odd) > ManyOdd*float64(n) {
		s.Trust = "Many windows stand out: what is normal here is of several kinds, or it was not a normal time. Look at them first."
	}
	at := 0
	tell := func(first, count int, odd *Stretch) {
		one := StandsOut{Start: seconds(windows[first].Start), End: seconds(windows[first+count-1].Start + int64(l.lesson.Length)), Windows: count, Odd: odd != nil, Features: []OddFeature{}}
		one.Used = !l.leaves(&windows[first], odd != nil)
		one.What = "left out by hand"
		if odd != nil {
			one.What = odd.sentence()
			for _, f := range odd.Features {
				one.Features = append(one.Features, OddFeature{Name: window.Names[f.Index], Value: f.Value, Usual: f.Median})
			}
		}
		if len(s.Stands) < maxStretches {
			s.Stands = append(s.Stands, one)
		} else {
			s.More++
		}
	}
	for i := 0; i < len(windows); i++ {
		if l.leaves(&windows[i], screened.Odd[i]) {
			s.Left++
		}
		switch {
		case at < len(screened.Stretches) && screened.Stretches[at].First == i:
			tell(i, screened.Stretches[at].Count, &screened.Stretches[at])
			at++
		case !screened.Odd[i] && windows[i].Lost == 0 && l.leaves(&windows[i], false):
			tell(i, 1, nil)
		}
	}
	return s
}

// Nothing is the State where no run goes on.
func Nothing() *State { return &State{Phase: Idle, Stands: []StandsOut{}} }

func seconds(nanos int64) float64 { return float64(nanos/int64(time.Microsecond)) / 1e6 }
