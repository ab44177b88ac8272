package learn

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// journal keeps a lesson in a file, so that it goes on after a restart. Lines are written by a goroutine of its own; when the disk
// does not keep up or fails, it gives up and says so, and watching goes on.
type journal struct {
	file  *os.File
	lines chan []byte // closed to end it
	done  chan struct{}
	err   error       // set before done is closed
	over  atomic.Bool // the disk does not keep up, or failed: nothing more is written
}

// entry is a line of a journal: one of its fields.
type entry struct {
	Start  *lessonStart `json:"start,omitempty"`
	Window *Window      `json:"window,omitempty"`
	Choose *choice      `json:"choose,omitempty"`
	Enough bool         `json:"enough,omitempty"`
}

type lessonStart struct {
	Model  string         `json:"model"`
	Source string         `json:"source"`
	Length time.Duration  `json:"length"`
	Want   time.Duration  `json:"want"`
	Home   []netip.Prefix `json:"home"`
}

type choice struct {
	Since, Until int64
	Use          bool
}

// waitingLines bounds what waits for the disk: minutes of windows.
const waitingLines = 256

// openJournal begins to write behind the first size bytes of a file.
func openJournal(name string, size int64) (*journal, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.Seek(size, io.SeekStart)
	if err := errors.Join(f.Truncate(size), err); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	j := &journal{file: f, lines: make(chan []byte, waitingLines), done: make(chan struct{})}
	go func() {
		defer close(j.done)
		for line := range j.lines {
			if j.err == nil {
				if _, j.err = f.Write(line); j.err != nil {
					j.over.Store(true)
				}
			}
		}
		j.err = errors.Join(j.err, f.Close())
	}()
	return j, nil
}

// add writes an entry, some time. It reports false from when on nothing more is written.
func (j *journal) add(e entry) bool {
	line, err := json.Marshal(e)
	if err != nil {
		j.over.Store(true)
	}
	if j.over.Load() {
		return false
	}
	select {
	case j.lines <- append(line, '\n'):
		return true
	default:
		j.over.Store(true)
		return false
	}
}

// close writes what waits.
func (j *journal) close() error {
	close(j.lines)
	<-j.done
	return j.err
}

// note adds an entry to the journal, if there is one. The caller holds mu.
func (l *Learner) note(e entry) {
	if l.journal != nil && !l.journal.add(e) {
		l.told = "The disk does not keep up, or is full: what is learned from here on will not outlast a restart."
	}
}

// beginJournal keeps the lesson at hand from its start on. The caller holds mu.
func (l *Learner) beginJournal() error {
	if l.file == "" {
		return nil
	}
	var err error
	if l.journal, err = openJournal(l.file, 0); err != nil {
		return err
	}
	l.note(entry{Start: &lessonStart{l.cfg.Model, l.source, l.lesson.Length, l.lesson.Want, l.home}})
	return nil
}

// forgetJournal removes the journal and does not wait for what is being written. The caller holds mu.
func (l *Learner) forgetJournal() {
	if j := l.journal; j != nil {
		l.journal = nil
		os.Remove(l.file)
		l.work.Go(func() { j.close() })
	}
}

// Keep has lessons kept in a file, and goes on with the one that is there, of the same source, model and windows: the time between is
// a gap. It is called before anything else but Uses. Another lesson that is there is told and gone with the next start.
func (l *Learner) Keep(file, source string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file, l.source = file, source
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var size int64 // of the whole lines
	enough := false
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadBytes('\n')
		var e entry
		if err != nil || json.Unmarshal(line, &e) != nil {
			break // the end, or where a writing was cut off
		}
		if size == 0 {
			s := e.Start
			fixed := l.fixed == nil || s != nil && s.Length == l.fixed.Length && slices.Equal(s.Home, l.fixed.Home)
			if s == nil || s.Model != l.cfg.Model || s.Source != source || s.Length <= 0 || !fixed {
				l.told = "There is a lesson from before the restart, of something else: the next start of learning replaces it."
				return nil
			}
			l.lesson, l.home = Lesson{Length: s.Length, Want: s.Want}, s.Home
		}
		size += int64(len(line))
		switch {
		case e.Window != nil && len(l.lesson.Windows) < MaxWindows:
			l.lesson.Windows = append(l.lesson.Windows, *e.Window)
			l.hour(e.Window)
		case e.Choose != nil:
			l.choose(e.Choose)
		case e.Enough:
			enough = true
		}
	}
	if size == 0 {
		return nil
	}
	if l.journal, err = openJournal(file, size); err != nil {
		return err
	}
	l.phase, l.gap = Watching, true
	l.told = fmt.Sprintf("The lesson from before the restart goes on: %d windows were kept.", len(l.lesson.Windows))
	l.changes++
	if enough || l.lesson.Enough() || len(l.lesson.Windows) == MaxWindows {
		l.look(l.told)
		return nil
	}
	l.asked.Store(true)
	return nil
}
