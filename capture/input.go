package capture

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// input is a file that has its turn in the stream.
type input struct {
	path   string
	pipe   bool  // cannot be opened twice: standard input, named pipes
	opened *file // a pipe that was opened to see its first packet
	nanos  int64 // time of the first packet, while there is an order to find
}

// take opens the input; see openFile for spare.
func (in *input) take(spare *[]byte) *file {
	if in.opened != nil {
		f := in.opened
		in.opened = nil
		return f
	}
	return openFile(in.path, spare)
}

// order sorts the inputs by the time of their first packets. Inputs without packets come first,
// inputs with equal times stay as they are.
func (r *Reader) order() {
	for i := range r.inputs {
		in := &r.inputs[i]
		spare := &r.buf
		if in.pipe {
			spare = new([]byte)
		}
		f := openFile(in.path, spare)
		in.nanos = f.peek()
		if in.pipe {
			in.opened = f
		} else {
			f.close()
		}
	}
	slices.SortStableFunc(r.inputs, func(a, b input) int {
		return cmp.Compare(a.nanos, b.nanos)
	})
}

// expand turns a path as it was given into the files that it stands for.
func expand(path string) ([]input, []Fault) {
	if path == "-" {
		return []input{{path: path, pipe: true}}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, []Fault{{File: path, Offset: Unopened, Err: bareCause(err)}}
	}
	if !info.IsDir() {
		return []input{{path: path, pipe: !info.Mode().IsRegular()}}, nil
	}
	var inputs []input
	var faults []Fault
	// The function returns no error, so WalkDir returns none.
	filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		hidden := name != path && strings.HasPrefix(entry.Name(), ".")
		switch {
		case err != nil:
			faults = append(faults, Fault{File: name, Offset: Unopened, Err: bareCause(err)})
		case hidden && entry.IsDir():
			return fs.SkipDir
		case hidden || entry.IsDir():
		case isRegular(name, entry) && (hasCaptureName(name) || isCapture(name)):
			inputs = append(inputs, input{path: name})
		}
		return nil
	})
	if len(inputs) == 0 && len(faults) == 0 {
		faults = append(faults, Fault{File: path, Offset: Unopened, Err: errors.New("no captures in this directory")})
	}
	return inputs, faults
}

// isRegular reports whether a directory entry is a file, itself or by way of a symbolic link.
func isRegular(path string, entry fs.DirEntry) bool {
	if entry.Type()&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		return err == nil && info.Mode().IsRegular()
	}
	return entry.Type().IsRegular()
}

// hasCaptureName reports whether a file of this name is meant to be a capture, whatever is in it.
func hasCaptureName(path string) bool {
	name := strings.ToLower(filepath.Base(path))
	for _, compression := range []string{".gz", ".zst"} {
		name = strings.TrimSuffix(name, compression)
	}
	switch filepath.Ext(name) {
	case ".pcap", ".pcapng", ".cap", ".ntar":
		return true
	}
	return false
}
