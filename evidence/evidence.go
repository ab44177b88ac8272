// Package evidence keeps packets on disk: a ring of the most recent ones, and of it, for good, the windows that alerts
// rest on. It knows packets and the windows that they count in, no scores, no events and no history.
//
//	r, err := evidence.Create("store/evidence", source, evidence.Options{Length: 5 * time.Second})
//	for each packet that counts in its window { r.Packet(p) }
//	r.Keep(windows) // of an alert, when the last of them has closed
//	err = r.Close()
//
//	n, err := evidence.Dir("store/evidence").Export(file, evidence.Slice{Key: source.Key(), From: start, To: end})
//
// The packets of a window are those that counted in it, neither more nor fewer, in the order in which they came. So the
// features of a window can be computed again from what is kept.
//
// # The directory
//
// ring/ holds segments of the stream, and what a segment is not whole of after a kill is its last packet. alerts/KEY/ holds a
// file for each window of a source that was kept; it is there whole and synced, or not at all. All are pcapng, for
// any program to read.
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weirnet/weir/capture"
)

// Source is the stream that packets are of.
type Source struct {
	Name     string // identity, as the history names it
	Settings string // what else decides which windows alarm
	// Section goes into every file: which interface, snap length, filter and other settings the packets were taken with.
	Section capture.Section
}

// Key names the directory of the source's windows. Other settings give other windows.
func (s *Source) Key() string {
	sum := sha256.Sum256([]byte(s.Name + "\x00" + s.Settings))
	return hex.EncodeToString(sum[:8])
}

// Options say how much is kept, and how. Zero values take the defaults in brackets.
type Options struct {
	Length    time.Duration // of windows; must be given
	RingBytes int64         // of the ring [1 GiB]; at least MinBytes
	KeepBytes int64         // of the windows of alerts [1 GiB]; at least MinBytes
	// Wait holds the caller back while the queue is full: for captures, which wait. Without it packets that
	// the disk is too slow for are left out and counted.
	Wait  bool
	Queue int                                 // bytes of packets that may wait [16 MiB]
	Tell  func(level slog.Level, text string) // what a person should know, once for each change; nil: nobody
}

// MinBytes is the least that either part of the evidence can be bounded by.
const MinBytes = 4 << 20

func (o *Options) check() error {
	if o.RingBytes == 0 {
		o.RingBytes = 1 << 30
	}
	if o.KeepBytes == 0 {
		o.KeepBytes = 1 << 30
	}
	if o.Queue == 0 {
		o.Queue = 16 << 20
	}
	if o.Tell == nil {
		o.Tell = func(slog.Level, string) {}
	}
	switch {
	case o.Length <= 0:
		return fmt.Errorf("evidence: window length %v", o.Length)
	case o.RingBytes < MinBytes || o.KeepBytes < MinBytes:
		return fmt.Errorf("evidence: %d and %d bytes: at least %d are needed", o.RingBytes, o.KeepBytes, MinBytes)
	}
	return nil
}

// Window is a window that is to be kept.
type Window struct {
	Start   int64  // nanoseconds since the Unix epoch
	Packets uint64 // that counted in it
}

const (
	ringDir  = "ring"
	keptDir  = "alerts"
	suffix   = ".pcapng"
	nameForm = "20060102T150405.000000000Z"
)

// keptName matches the names of kept windows; ringName those of segments.
var (
	keptName = regexp.MustCompile(`^\d{8}T\d{6}\.\d{9}Z\.pcapng$`)
	ringName = regexp.MustCompile(`^\d{8,18}\.pcapng$`)
	keyName  = regexp.MustCompile(`^[0-9a-f]{16}$`)
)

// windowFile is the name of the file of a window.
func windowFile(start int64) string { return time.Unix(0, start).UTC().Format(nameForm) + suffix }

// fileWindow is the window that a file is named after.
func fileWindow(name string) (start int64, ok bool) {
	if !keptName.MatchString(name) {
		return 0, false
	}
	t, err := time.Parse(nameForm, strings.TrimSuffix(name, suffix))
	if err != nil || t.Year() < 1970 || t.Year() > 2261 {
		return 0, false
	}
	return t.UnixNano(), true
}

// Dir is a directory of evidence, for reading. Another process may write to it meanwhile.
type Dir string

// Files returns the files of a source's windows that start in [from, to) and are kept, in order of time.
func (d Dir) Files(key string, from, to int64) ([]string, error) {
	if !keyName.MatchString(key) {
		return nil, fmt.Errorf("evidence: %q is no key", key)
	}
	dir := filepath.Join(string(d), keptDir, key)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	var files []string
	for _, e := range entries { // in order of names, which is that of time
		if start, ok := fileWindow(e.Name()); ok && start >= from && start < to && e.Type().IsRegular() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// Slice is the windows of a source that start in [From, To), nanoseconds since the Unix epoch.
type Slice struct {
	Key      string // of the source
	From, To int64
}

// Export writes the packets of slices as one capture, window by window and each window once, and returns how many they are.
// The section is as the first window's file has it. What is damaged is told, and the rest written.
func (d Dir) Export(out io.Writer, slices ...Slice) (packets uint64, err error) {
	w := capture.NewWriter(out)
	var damage error
	written := map[string]bool{}
	for _, s := range slices {
		files, err := d.Files(s.Key, s.From, s.To)
		if err != nil {
			return packets, err
		}
		for _, file := range files {
			if written[file] {
				continue
			}
			if len(written) == 0 {
				if w.Section, err = capture.ReadSection(file); err != nil {
					damage = fmt.Errorf("evidence: %w", err)
				}
			}
			written[file] = true
			n, err := eachPacket(file, w.Write)
			packets += n
			damage = errors.Join(damage, err)
		}
	}
	return packets, errors.Join(damage, w.Flush())
}

// eachPacket calls use for the packets of one file, and returns how many were used.
func eachPacket(file string, use func(*capture.Packet) error) (used uint64, err error) {
	r, err := capture.Open([]string{file})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var batch [256]capture.Packet
	for {
		n, err := r.Read(batch[:])
		for i := range batch[:n] {
			if err := use(&batch[i]); err != nil {
				return used, fmt.Errorf("evidence: %w", err)
			}
			used++
		}
		if errors.Is(err, io.EOF) {
			break
		}
	}
	var faults []error
	for _, fault := range r.Faults() {
		faults = append(faults, fmt.Errorf("evidence: %w", fault))
	}
	return used, errors.Join(faults...)
}

// kept is a file of a window, on the list by which the oldest goes.
type kept struct {
	path string
	size int64 // on the disk
}

// blockBytes is what files take whole ones of on most file systems: many small windows fill a disk too.
const blockBytes = 4096

func onDisk(size int64) int64 { return (size + blockBytes - 1) / blockBytes * blockBytes }

// scanKept lists the windows that are kept, those kept first in front, and removes what a kill left half written.
func scanKept(dir string) (all []kept, err error) {
	type aged struct {
		kept
		at time.Time
	}
	var found []aged
	keys, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if !key.IsDir() || !keyName.MatchString(key.Name()) {
			continue
		}
		entries, err := os.ReadDir(filepath.Join(dir, key.Name()))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			path := filepath.Join(dir, key.Name(), e.Name())
			if hidden, ok := strings.CutPrefix(e.Name(), "."); ok && keptName.MatchString(hidden) {
				if err := os.Remove(path); err != nil {
					return nil, err
				}
				continue
			}
			info, err := e.Info()
			if err != nil || !keptName.MatchString(e.Name()) || !info.Mode().IsRegular() {
				continue
			}
			found = append(found, aged{kept{path, onDisk(info.Size())}, info.ModTime()})
		}
	}
	slices.SortStableFunc(found, func(a, b aged) int { return a.at.Compare(b.at) })
	for _, f := range found {
		all = append(all, f.kept)
	}
	return all, nil
}
