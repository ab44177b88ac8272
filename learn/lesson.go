// Package learn learns what is normal on a network from its windows: a Lesson collects them and says which stand out, and a Learner
// leads a person through it beside a run that goes on: watch, look, train, compare, consent. It knows no packets, and has others
// count windows, train and promote.
package learn

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/report"
	"github.com/weirnet/weir/window"
)

// Window is a closed window, kept.
type Window struct {
	Start   int64         `json:"start"` // nanoseconds since the Unix epoch
	Vector  window.Vector `json:"vector"`
	Packets uint64        `json:"packets"`
	Lost    uint64        `json:"lost"`
	Gap     bool          `json:"gap"`            // windows before it were skipped
	Left    bool          `json:"left,omitempty"` // out of what is learned
}

// Lesson is the windows that were seen, in order of time.
type Lesson struct {
	Length  time.Duration // of a window
	Want    time.Duration // time to see; 0: all there is
	Windows []Window
}

// Add takes the next window.
func (l *Lesson) Add(w *window.Window) {
	l.Windows = append(l.Windows, Window{Start: w.Start, Vector: w.Vector(), Packets: w.Packets(), Lost: w.Lost, Gap: w.Skipped > 0})
}

// Seen is the time from the start of the first window to the end of the last.
func (l *Lesson) Seen() time.Duration {
	if len(l.Windows) == 0 {
		return 0
	}
	return time.Duration(l.Windows[len(l.Windows)-1].Start-l.Windows[0].Start) + l.Length
}

// Enough reports whether what was wanted was seen.
func (l *Lesson) Enough() bool { return l.Want > 0 && l.Seen() >= l.Want }

// Trim leaves out what is behind the end: the last windows close together with those after it.
func (l *Lesson) Trim() {
	for n := len(l.Windows); l.Want > 0 && n > 0 && l.Windows[n-1].Start >= l.Windows[0].Start+int64(l.Want); n-- {
		l.Windows = l.Windows[:n-1]
	}
}

// Hours are the hours of the day, by the clock of a place, that had packets: bit 0 is midnight to one.
func (l *Lesson) Hours(place *time.Location) (hours uint32) {
	for i := range l.Windows {
		if l.Windows[i].Packets > 0 {
			hours |= 1 << time.Unix(0, l.Windows[i].Start).In(place).Hour()
		}
	}
	return hours
}

// String says what was seen, for people.
func (l *Lesson) String() string {
	return fmt.Sprintf("%s windows of %v, %d of the 24 hours of the day, %v", report.Count(len(l.Windows)), l.Length, bits.OnesCount32(l.Hours(time.Local)), l.Seen().Round(time.Second))
}

// Screened is what is to be said of a lesson's windows.
type Screened struct {
	Odd       []bool // windows that stand out
	OddCount  int
	LostCount int // windows that lost packets, which are not looked at
	Stretches []Stretch
}

// Stretch is windows in a row that stand out.
type Stretch struct {
	First, Count int                  // index of the first, and how many they are
	Features     []anomaly.OddFeature // those that lead in the oddest of them
}

// String says what is odd, for people.
func (s *Stretch) String() string {
	text := ""
	for i, f := range s.Features {
		if i > 0 {
			text += "; "
		}
		text += fmt.Sprintf("%s %s, mostly %s", window.Names[f.Index], report.Plain(f.Value), report.Plain(f.Median))
	}
	return text
}

// Screen compares each window that lost no packets with all of them; see anomaly.Screen.
func Screen(windows []Window) *Screened {
	r := &Screened{Odd: make([]bool, len(windows))}
	whole := make([]window.Vector, 0, len(windows))
	var of []int // windows of whole
	for i := range windows {
		if windows[i].Lost == 0 {
			whole, of = append(whole, windows[i].Vector), append(of, i)
		}
	}
	r.LostCount = len(windows) - len(of)
	s := anomaly.Screen(whole)
	for k := 0; k < len(of); k++ {
		if !s.StandsOut(k) {
			continue
		}
		first, peak := k, k
		for k+1 < len(of) && s.StandsOut(k+1) && of[k+1] == of[k]+1 {
			if k++; s.Oddness[k] > s.Oddness[peak] {
				peak = k
			}
		}
		for i := first; i <= k; i++ {
			r.Odd[of[i]] = true
		}
		r.OddCount += k - first + 1
		r.Stretches = append(r.Stretches, Stretch{of[first], k - first + 1, s.Features[peak][:]})
	}
	return r
}

// Segments returns what is not left out. What comes after a window that is does not follow what was before.
func Segments(windows []Window) (segments [][]window.Vector) {
	for i := range windows {
		w := &windows[i]
		if w.Left {
			continue
		}
		if len(segments) == 0 || w.Gap || i > 0 && windows[i-1].Left {
			segments = append(segments, nil)
		}
		segments[len(segments)-1] = append(segments[len(segments)-1], w.Vector)
	}
	return segments
}
