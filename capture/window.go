package capture

import "io"

// windowSize is the number of bytes that a window starts with. Smaller reads cost more calls, larger
// ones leave the second-level cache between read(2) and the walk over the records: 39 ns per packet of
// IMIX with 1 MiB, 51 with 256 KiB, 44 with 4 MiB.
const windowSize = 1 << 20

// window is the part of a file that is in memory and may be looked at. The formats decode packets out
// of it in place, so its bytes move only in fill, which is called between two batches. A window
// without a source holds its whole file.
type window struct {
	source  io.Reader // of decompressed bytes; nil when there are no more
	mapping *mapping  // of which buf is the data, in place of a source; nil without one
	buf     []byte
	r, w    int   // the unread bytes are buf[r:w]
	base    int64 // offset in the file of buf[0]
	end     error // why there were no more bytes, io.EOF at the end of the file
}

// unread returns the bytes that are in memory and not yet decoded.
func (w *window) unread() []byte { return w.buf[w.r:w.w] }

// offset returns the place in the file of the first unread byte.
func (w *window) offset() int64 { return w.base + int64(w.r) }

// fill reads on until n bytes are unread, and reports whether they are. Bytes that were unread
// before are kept; slices of the window are not valid afterwards.
//
// n may come from a damaged length field: the buffer grows to at most eight times what has
// really arrived.
func (w *window) fill(n int) bool {
	if w.w-w.r >= n {
		return true
	}
	if w.mapping != nil {
		to := min(len(w.buf), max(w.r+n, w.w+w.mapping.step))
		if w.mapping.use(w.r, to) {
			w.w, w.end = to, io.EOF
			return w.w-w.r >= n
		}
		w.readInstead()
	}
	if w.r > 0 && w.source != nil {
		w.base += int64(w.r)
		w.w = copy(w.buf, w.buf[w.r:w.w])
		w.r = 0
	}
	for idle := 0; w.w-w.r < n; {
		if w.source == nil {
			return false
		}
		if w.w == len(w.buf) {
			w.grow(n)
		}
		m, err := w.source.Read(w.buf[w.w:])
		w.w += m
		if m > 0 {
			idle = 0
		} else if idle++; idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
		if err != nil {
			w.source, w.end = nil, err
		}
	}
	return true
}

// grow makes room in a full buffer, on the way to n bytes. The last step is a large one, lest a
// packet of 128 MiB leave as much again behind in smaller buffers.
func (w *window) grow(n int) {
	size := 2 * len(w.buf)
	if n <= 8*len(w.buf) {
		size = n
	}
	buf := make([]byte, size)
	copy(buf, w.buf[:w.w])
	w.buf = buf
}

// readInstead goes on where the mapping ends, by reading the file.
func (w *window) readInstead() {
	_, err := w.mapping.file.Seek(w.base+int64(w.w), io.SeekStart)
	w.source = w.mapping.file
	if err != nil {
		w.source, w.end = nil, err
	}
	w.mapping = nil
	w.base += int64(w.r)
	buf := make([]byte, max(windowSize, 2*(w.w-w.r)))
	w.w = copy(buf, w.buf[w.r:w.w])
	w.buf, w.r = buf, 0
}
