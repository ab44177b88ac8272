package capture

import "fmt"

// Unopened is the Offset of a Fault in a file of which no byte was read.
const Unopened = -1

// Fault says where and why a file could not be read further. Everything before Offset was.
type Fault struct {
	File   string // path as given, or found in a directory; "-" is standard input
	Offset int64  // bytes into the file, decompressed, where the unreadable record starts; Unopened
	Err    error
}

// Error returns file, offset and cause in one line.
func (f Fault) Error() string {
	if f.Offset == Unopened {
		return fmt.Sprintf("%s: %v", f.File, f.Err)
	}
	return fmt.Sprintf("%s: offset %d: %v", f.File, f.Offset, f.Err)
}

// Unwrap returns Err.
func (f Fault) Unwrap() error { return f.Err }
