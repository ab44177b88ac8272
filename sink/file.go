package sink

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// File writes lines to a file that may be full or replaced. A line stands in it whole or not at all, as far as the file lets itself be cut. Used
// by one goroutine.
type File struct {
	name string
	f    *os.File
	tell func(string)
	lost uint64 // lines
	how  trouble

	open     int64 // bytes at the file's end that begin a line
	skipping bool  // until the next line begins
	torn     bool  // the file ends within a line that goes no further
}

// NewFile returns a File onto f, which is open for writing and bears the name.
func NewFile(name string, f *os.File, tell func(string)) *File {
	return &File{name: name, f: f, tell: tell, how: trouble{tell: tell}}
}

// Write writes parts of lines. It never fails: what cannot be written is lost, in whole lines, and counted.
func (o *File) Write(p []byte) (int, error) {
	all := len(p)
	if o.skipping {
		end := bytes.IndexByte(p, '\n') + 1
		if end == 0 {
			return all, nil
		}
		o.lost++
		o.skipping = false
		p = p[end:]
	}
	if len(p) == 0 {
		return all, nil
	}
	var err error
	if o.torn {
		if _, err = o.f.Write([]byte{'\n'}); err == nil {
			o.torn = false
		}
	}
	n := 0
	if err == nil {
		n, err = o.f.Write(p)
	}
	if end := bytes.LastIndexByte(p[:n], '\n'); end >= 0 {
		o.open = int64(n - end - 1)
	} else {
		o.open += int64(n)
	}
	if err == nil {
		o.how.works(func() string {
			return fmt.Sprintf("events are written to %s again, after %d were lost", o.name, o.lost)
		})
		return all, nil
	}
	rest := p[n:]
	o.lost += uint64(bytes.Count(rest, []byte{'\n'}))
	o.skipping = rest[len(rest)-1] != '\n'
	o.cut()
	o.how.fails("events are lost", err)
	return all, nil
}

// cut takes the beginning of a line that was lost off the file.
func (o *File) cut() {
	if o.open == 0 {
		return
	}
	info, err := o.f.Stat()
	if err == nil && info.Mode().IsRegular() {
		if err = o.f.Truncate(info.Size() - o.open); err == nil {
			_, err = o.f.Seek(0, io.SeekEnd)
		}
	} else {
		err = os.ErrInvalid
	}
	o.torn = o.torn || err != nil
	o.open = 0
}

// Reopen opens the file anew, under its name: what is there goes on, what is not is made. A file that cannot be opened leaves
// the old one in use. Lines that were written must be whole.
func (o *File) Reopen() {
	f, err := os.OpenFile(o.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		o.tell(fmt.Sprintf("events go on into the file that was open: %v", err))
		return
	}
	if err := o.f.Close(); err != nil {
		o.tell(fmt.Sprintf("events may be lost: %v", err))
	}
	o.f, o.open, o.torn = f, 0, false
}

// AddLost adds the lines that were lost to the counts.
func (o *File) AddLost(counts map[string]uint64) {
	if o.lost > 0 {
		counts[OutputFailed] += o.lost
	}
}

// Close closes the file.
func (o *File) Close() error { return o.f.Close() }
