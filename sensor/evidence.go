package sensor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/event"
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

// evidence tells how to cut the packets of a window out of the captures they came from. What came
// through a pipe or from an interface is gone.
func evidence(files []string, start, end int64) event.Evidence {
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
