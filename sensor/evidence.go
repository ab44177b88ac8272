package sensor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/evidence"
	"github.com/weirnet/weir/window"
)

// sources remembers which captures the packets of the open windows came from. There are never more
// windows in it than the meter holds open, nor more files to a window than there are.
type sources struct {
	length     time.Duration
	files      map[int64][]string // by window, in order of their first packet
	file       string             // of the last packet
	start, end int64              // times of the window of the last packet
}

// add notes that a packet of a file counts in the window of its time.
func (s *sources) add(file string, nanos int64) {
	if nanos >= s.start && nanos < s.end && file == s.file {
		return
	}
	index := window.Index(nanos, s.length)
	s.file, s.start, s.end = file, window.Start(index, s.length), window.Start(index+1, s.length)
	if s.files == nil {
		s.files = map[int64][]string{}
	}
	if !slices.Contains(s.files[index], file) {
		s.files[index] = append(s.files[index], file)
	}
}

// take returns the files of a window and forgets them.
func (s *sources) take(index int64) []string {
	files := s.files[index]
	delete(s.files, index)
	return files
}

// cuts tells how to cut the packets of a window out of the captures they came from. What came
// through a pipe or from an interface is gone.
func cuts(files []string, start, end int64) event.Evidence {
	seconds := func(nanos int64) string {
		return strconv.FormatFloat(time.Duration(nanos).Seconds(), 'f', 6, 64)
	}
	var cuts []string
	for _, file := range files {
		if file == "-" || file == "" {
			continue
		}
		out := "evidence.pcapng"
		if len(cuts) > 0 {
			out = fmt.Sprintf("evidence-%d.pcapng", len(cuts)+1)
		}
		cuts = append(cuts, fmt.Sprintf("editcap -A %s -B %s %s %s", seconds(start), seconds(end), shellQuote(file), out))
	}
	return event.Evidence{
		Start: event.Time(start), End: event.Time(end), Files: strings.Join(files, ", "), How: strings.Join(cuts, " && "),
	}
}

// shellQuote makes one word of a shell command of a file's name, whatever is in it; no program
// takes it for an option.
func shellQuote(name string) string {
	if strings.HasPrefix(name, "-") {
		name = "./" + name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// recent is the last windows of the stream, the newest last, since it began or there was a gap: what an alert may need
// before its own window to be scored the same again.
type recent struct {
	vectors []window.Vector
	windows []evidence.Window
	replay  *anomaly.Detector
}

// contextWindows is how many windows go with the one of an alert, where they will do: as many as the detector looks back.
// maxContext is how many are tried when they will not: whether an earlier window counts as anomalous may
// hang on those before it.
const (
	contextWindows = 2
	maxContext     = 16
)

func (r *recent) add(v window.Vector, w evidence.Window) {
	if len(r.windows) > maxContext {
		r.vectors, r.windows = r.vectors[:copy(r.vectors, r.vectors[1:])], r.windows[:copy(r.windows, r.windows[1:])]
	}
	r.vectors, r.windows = append(r.vectors, v), append(r.windows, w)
}

func (r *recent) forget() { r.vectors, r.windows = r.vectors[:0], r.windows[:0] }

// enough returns the windows up to the newest that a detector at the start of a stream must be given to judge the
// newest as it was judged, bit for bit. Without such, exact is false and they are those that it looked at.
func (r *recent) enough(judged *anomaly.Result) (windows []evidence.Window, exact bool) {
	last := len(r.windows) - 1
	for _, before := range contextOrder {
		first := last - before
		// A stream begins and ends with a window that has packets.
		if first < 0 || r.windows[first].Packets == 0 || r.windows[last].Packets == 0 {
			continue
		}
		r.replay.Reset()
		var again anomaly.Result
		for i := first; i <= last; i++ {
			again = r.replay.Score(r.vectors[i])
		}
		if again.Scored && again.Score == judged.Score && again.Anomalous == judged.Anomalous {
			return r.windows[first:], true
		}
	}
	return r.windows[max(last-contextWindows, 0):], false
}

// contextOrder is how many windows before the newest are tried: some context first, for people too; fewer where nothing else
// will do, such as at the start of a stream.
var contextOrder = [...]int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, maxContext, 1, 0}

// keep has the packets of an alert kept, and says in its evidence where.
func (s *Sensor) keep(e *event.Evidence, judged *anomaly.Result) {
	if s.evidence == nil {
		return
	}
	windows, exact := s.recent.enough(judged)
	windows = slices.Clone(windows)
	e.From, e.Exact = event.Time(windows[0].Start), exact
	for _, w := range windows {
		e.Packets += w.Packets
	}
	e.Slices = s.evidence.Files(windows)
	s.evidence.Keep(windows)
}
