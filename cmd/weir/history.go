package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// history is the store that a run writes to. Without a directory it does nothing.
type history struct {
	dir   string
	days  int
	bytes byteSize

	samples  int64 // bytes of samples, see sampleFlags
	g        *shared
	settings string // what else than the captures decides the events
	source   store.Source
	store    *store.DiskWriter
	recorder *store.Recorder
	gone     bool // the directory is removed at the end
}

func (h *history) flags(c *cobra.Command) {
	h.bytes = 10 << 30
	c.Flags().StringVar(&h.dir, "store", "", "directory of the history to write; then -o is needed for events as well")
	c.Flags().IntVar(&h.days, "store-days", 30, "days that the history goes back, from its newest event; 0: any")
	c.Flags().Var(&h.bytes, "store-bytes", "size of the history; the oldest goes first")
}

// check tells what is wrong with the flags.
func (h *history) check() error {
	if h.days < 0 {
		return usageError{fmt.Errorf("--store-days %d: must not be negative", h.days)}
	}
	return nil
}

// retain changes for how long and up to which size is kept what is stored.
func (h *history) retain(days int, bytes byteSize) {
	h.days, h.bytes = days, bytes
	if h.gone {
		h.bytes = min(h.bytes, passingBytes)
	}
	if h.recorder != nil {
		h.recorder.Retain(h.age(), int64(h.bytes))
	}
}

// age is how far the history goes back. More days than a Duration holds, 292 years, are as many as it does, and not a few minutes.
func (h *history) age() time.Duration {
	const day = 24 * time.Hour
	return time.Duration(min(int64(h.days), int64(math.MaxInt64/day))) * day
}

// open opens the store.
func (h *history) open(g *shared, settings string) (err error) {
	h.g, h.settings = g, settings
	if h.dir == "" {
		return nil
	}
	h.store, err = store.Create(h.dir, store.Options{})
	return err
}

// passing makes a history that lasts as long as the program, for a dashboard to ask, unless there is one to stay.
func (h *history) passing() (err error) {
	if h.dir != "" {
		return nil
	}
	h.gone = true
	h.bytes = min(h.bytes, passingBytes)
	h.dir, err = os.MkdirTemp("", "weir-")
	return err
}

// asked is the directory of a history that was asked for, "" without one.
func (h *history) asked() string {
	if h.gone {
		return ""
	}
	return h.dir
}

// passingBytes bounds a history that nobody asked for.
const passingBytes = 1 << 30

// captures begins the history of captures, or goes on with it where it is stored: a second reading of the same
// captures stores nothing twice.
func (h *history) captures(files []string) error {
	h.source = capturesSource(files, h.settings)
	if h.store != nil && strings.HasPrefix(h.source.Name, "pipe ") {
		slog.Info("what comes through a pipe is not recognised: read twice, it stands in the history twice")
	}
	return h.begin(true)
}

// capturesSource is the source that captures are.
func capturesSource(files []string, settings string) store.Source {
	s := store.Source{Settings: settings}
	all := sha256.New()
	known := true // by their content, so that they are recognised
	for _, file := range files {
		id, err := captureIdentity(file)
		if err != nil {
			continue // reading it tells
		}
		if id == "" {
			known = false
			continue
		}
		s.Captures = append(s.Captures, store.Capture{Name: filepath.Base(file), Identity: id})
		io.WriteString(all, id)
	}
	s.Name = "captures " + hex.EncodeToString(all.Sum(nil)[:16])
	if !known {
		s.Name = "pipe " + time.Now().UTC().Format(time.RFC3339Nano)
	}
	return s
}

// watching begins the history of what passes on interfaces: a source of its own each time.
func (h *history) watching(interfaces []string) error {
	name := fmt.Sprintf("%s since %s", strings.Join(interfaces, ", "), time.Now().UTC().Format(time.RFC3339Nano))
	h.source = store.Source{Name: name, Settings: h.settings}
	return h.begin(false)
}

// begin begins the history of the source. With wait, watching waits for the store; otherwise it goes on whatever the
// store does, and what is lost is counted.
func (h *history) begin(wait bool) (err error) {
	if h.store == nil {
		return nil
	}
	h.recorder, err = store.NewRecorder(context.Background(), h.store, h.source, store.RecorderOptions{
		Wait: wait, Age: h.age(), Bytes: int64(h.bytes), Samples: h.samples,
		Tell: func(level slog.Level, text string) {
			if level >= slog.LevelWarn || !h.g.quiet {
				slog.Log(context.Background(), level, text)
			}
		},
	})
	if err != nil {
		return err
	}
	switch at := h.recorder.Stored(); {
	case at.Done:
		h.g.info("history: %s has these captures already", h.dir)
	case at.Ordinal > 0:
		h.g.info("history: %s has the first %d events of these captures, and goes on after them", h.dir, at.Ordinal)
	}
	return nil
}

// beside returns what takes an event for the history, and then gives it to another, nil: to nobody.
func (h *history) beside(next func(*event.Event) error) func(*event.Event) error {
	if h.store == nil {
		return next
	}
	return func(e *event.Event) error {
		if h.recorder != nil { // there is one unless nothing could be read
			if e.Stats != nil {
				for reason, n := range h.recorder.Lost() {
					e.Stats.Drops[reason] = n
				}
			}
			if err := h.recorder.Write(e); err != nil {
				return err
			}
		}
		if next == nil {
			return nil
		}
		return next(e)
	}
}

// read takes how reading went. Where it was broken off, what a sensor tells at its end is not what the
// packets that follow would have made of it: it is left out, and the same command goes on there.
func (h *history) read(err error) error {
	if h.recorder == nil || err == nil || onlyPartly(err) {
		return nil
	}
	closed := h.recorder.Close(false)
	switch {
	case closed == nil:
		h.g.info("history: %s is stored up to here; the same command goes on", h.dir)
	case errors.Is(err, closed):
		return nil // which is why reading was broken off
	}
	return closed
}

// end stores what waits; no event follows. The store can still be asked.
func (h *history) end() error {
	if h.recorder == nil {
		return nil
	}
	err := h.recorder.Close(true)
	h.recorder = nil
	return err
}

// close ends the history.
func (h *history) close() error {
	err := h.end()
	if h.store != nil {
		err = errors.Join(err, h.store.Close())
	}
	if h.gone {
		err = errors.Join(err, os.RemoveAll(h.dir))
	}
	return err
}

// captureIdentity returns what a capture is recognised by: a hash of its size, beginning and end, since captures are too long to be
// read twice. That of a pipe is empty. Captures that differ in the middle alone are told apart by their
// events, which a store has a digest of.
func captureIdentity(file string) (string, error) {
	if file == "-" {
		return "", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", err
	}
	const part = 64 << 10
	h := sha256.New()
	fmt.Fprintln(h, info.Size())
	for _, at := range []int64{0, max(info.Size()-part, 0)} {
		if _, err := io.Copy(h, io.NewSectionReader(f, at, part)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// past is the store and the time that a command asks about.
type past struct {
	dir          string
	since, until string
}

// onlyStore is for commands that ask about no time.
func (p *past) onlyStore(c *cobra.Command) {
	c.Flags().StringVar(&p.dir, "store", "", "directory of the history (default ./store, then the user's data directory)")
}

func (p *past) flags(c *cobra.Command, since string) {
	p.onlyStore(c)
	c.Flags().StringVar(&p.since, "since", since, "time to begin at: a duration such as 90m or 7d, back from the newest that is stored, or as RFC 3339; empty: the oldest")
	c.Flags().StringVar(&p.until, "until", "", "time to end before, in the forms of --since; empty: the newest")
}

// open opens the store and works out the time.
func (p *past) open(ctx context.Context) (*store.Disk, store.Range, error) {
	var r store.Range
	dir := p.dir
	if dir == "" {
		if dir = dataDir("store"); !exists(dir) {
			return nil, r, usageError{errors.New("no history in ./store: name one with --store (weir run --store writes it)")}
		}
	}
	s, err := store.Open(dir)
	if err != nil {
		return nil, r, err
	}
	info, err := s.Info(ctx)
	if err == nil {
		r.Since, err = parsePast("since", p.since, info.Newest)
	}
	if err == nil {
		r.Until, err = parsePast("until", p.until, info.Newest)
	}
	if err != nil {
		return nil, r, errors.Join(err, s.Close())
	}
	return s, r, nil
}

// each does something to all that numbers name, which a command lists; what fails does not keep the others from it.
func (p *past) each(ctx context.Context, numbers []string, what, listed string, do func(*store.Disk, context.Context, int64) error) error {
	var ids []int64
	for _, number := range numbers {
		id, err := strconv.ParseInt(number, 10, 64)
		if err != nil || id < 1 {
			return usageError{fmt.Errorf("%s %q: want a number, as %s lists them", what, number, listed)}
		}
		ids = append(ids, id)
	}
	s, _, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, id := range ids {
		err = errors.Join(err, do(s, ctx, id))
	}
	return err
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// parsePast reads a time as RFC 3339, or as a duration back from the newest that is stored. 0 is none.
func parsePast(flag, text string, newest int64) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		if y := t.Year(); y < 1678 || y > 2261 {
			return 0, usageError{fmt.Errorf("--%s %q: out of range", flag, text)}
		}
		return t.UnixNano(), nil
	}
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n float64
		n, err = strconv.ParseFloat(days, 64)
		d = time.Duration(n * float64(24*time.Hour))
		if !(n >= 0 && n <= 100*365) {
			err = strconv.ErrRange
		}
	}
	if err != nil || d < 0 {
		return 0, usageError{fmt.Errorf("--%s %q: want a duration such as 90m or 7d, or a time such as 2026-11-22T01:30:00Z", flag, text)}
	}
	return newest - int64(d), nil
}

// showTime is a time as people read it.
func showTime(nanos int64) string { return time.Unix(0, nanos).UTC().Format("2006-01-02 15:04:05") }

// showRange says in words which time an answer is about.
func showRange(r store.Range) string {
	switch {
	case r.Since == 0 && r.Until == 0:
		return "all that is stored"
	case r.Since == 0:
		return "up to " + showTime(r.Until)
	case r.Until == 0:
		return "since " + showTime(r.Since)
	}
	return "from " + showTime(r.Since) + " to " + showTime(r.Until)
}
