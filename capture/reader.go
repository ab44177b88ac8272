// Package capture reads packets from pcap and pcapng files, plain or compressed, and writes
// pcapng. It yields frames as they were captured and knows nothing of what is in them: that is
// package packet.
//
//	r, err := capture.Open([]string{"monday.pcap", "tuesday.pcapng.gz"})
//	if err != nil {
//		return err
//	}
//	defer r.Close()
//	batch := make([]capture.Packet, 64)
//	for {
//		n, err := r.Read(batch)
//		if err == io.EOF {
//			break
//		}
//		for i := range batch[:n] {
//			use(&batch[i])
//		}
//	}
//	for _, fault := range r.Faults() {
//		fmt.Fprintln(os.Stderr, fault)
//	}
//
// A damaged or truncated file yields every packet before the damage and then a [Fault]; the
// stream goes on with the next file. Memory is bounded whatever the files say: a buffer grows
// only as far as bytes have arrived, and never above the largest packet that is allowed.
package capture

import (
	"errors"
	"io"
)

// Reader is one stream of packets out of one or more capture files. It is used by one goroutine.
type Reader struct {
	inputs []input // what is still to be read is inputs[next:], in order
	next   int
	cur    *file  // the open file, nil between two files
	buf    []byte // for the window of the open file, unless it is mapped
	last   string // path of the file that the last batch came from
	waits  bool   // the next Read may wait for a pipe
	faults []Fault
	wanted func(*Packet) bool // nil: all packets are
	left   uint64             // packets that were not wanted
}

// Open makes one stream of the files in paths, in the order of their first packets. A path is a
// file, a directory or "-" for standard input; a directory stands for all captures in it and
// below it, in the order of their names, without hidden ones. Files may be compressed with gzip
// or zstd: their content tells, not their name.
//
// When there is more than one file, Open reads the first packet of each. It keeps none open
// except pipes, which cannot be read twice.
//
// Files that cannot be read are no error here: they are Faults of the reader. The error is nil
// unless paths itself is wrong.
func Open(paths []string) (*Reader, error) {
	if len(paths) == 0 {
		return nil, errors.New("capture: no file given")
	}
	r := new(Reader)
	for i, path := range paths {
		if path == "-" {
			for _, before := range paths[:i] {
				if before == "-" {
					return nil, errors.New("capture: standard input given twice")
				}
			}
		}
		inputs, faults := expand(path)
		r.inputs = append(r.inputs, inputs...)
		r.faults = append(r.faults, faults...)
	}
	if len(r.inputs) > 1 {
		r.order()
	}
	return r, nil
}

// Files returns the paths of the files in the order in which they are read.
func (r *Reader) Files() []string {
	paths := make([]string, len(r.inputs))
	for i := range r.inputs {
		paths[i] = r.inputs[i].path
	}
	return paths
}

// File returns the path of the file that the last batch came from. A batch never spans two files.
func (r *Reader) File() string { return r.last }

// Waits reports whether the next Read may have to wait until more comes through a pipe: what was read
// so far is all that there is.
func (r *Reader) Waits() bool { return r.waits }

// Faults returns what could not be read so far: all of it once Read has returned io.EOF.
func (r *Reader) Faults() []Fault { return r.faults }

// Keep makes Read leave out the packets that are not wanted; nil wants all.
func (r *Reader) Keep(wanted func(*Packet) bool) { r.wanted = wanted }

// LeftOut returns how many packets were read and not wanted.
func (r *Reader) LeftOut() uint64 { return r.left }

// Read puts the next packets of the stream into batch and returns how many: at least one, and
// only as many as can be had without waiting for more of a pipe. At the end it returns 0 and
// io.EOF, which is its only error; damage in a file is found in Faults. After Keep it may return 0
// without an error, when none of the packets that it came upon was wanted.
//
// The packets' Data and Comment lie in the reader's own buffer or in the file itself, mapped into
// memory. They are valid until the next call of Read or Close, and nobody may write to them.
func (r *Reader) Read(batch []Packet) (int, error) {
	if len(batch) == 0 {
		return 0, nil
	}
	for {
		if r.cur == nil {
			if r.next == len(r.inputs) {
				return 0, io.EOF
			}
			r.cur = r.inputs[r.next].take(&r.buf)
			r.next++
		}
		n, end := r.cur.read(batch)
		if n > 0 {
			r.last, r.waits = r.cur.path, r.inputs[r.next-1].pipe && n < len(batch)
			return r.keep(batch[:n]), nil
		}
		r.leave(end)
	}
}

// keep moves the packets that are wanted to the front of a batch and returns how many they are.
func (r *Reader) keep(batch []Packet) int {
	if r.wanted == nil {
		return len(batch)
	}
	n := 0
	for i := range batch {
		if r.wanted(&batch[i]) {
			batch[n] = batch[i]
			n++
		}
	}
	r.left += uint64(len(batch) - n)
	return n
}

// leave closes the current file, which ended with err.
func (r *Reader) leave(err error) {
	if err != io.EOF {
		r.faults = append(r.faults, Fault{File: r.cur.path, Offset: r.cur.offset, Err: err})
	}
	r.cur.close()
	r.cur = nil
}

// Close releases the open file. Read returns io.EOF from then on.
func (r *Reader) Close() error {
	if r.cur != nil {
		r.cur.close()
		r.cur = nil
	}
	for _, in := range r.inputs[r.next:] {
		if in.opened != nil {
			in.opened.close()
		}
	}
	r.next = len(r.inputs)
	return nil
}
