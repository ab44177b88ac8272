package capture

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow bounds the memory that a zstd stream may ask for: what `zstd --long` writes and
// `zstd -d` accepts without further options.
const maxZstdWindow = 128 << 20

// format decodes the packets of one file format.
type format interface {
	// decode decodes whole records from the start of b into batch, until one of them is full
	// or empty. The packets' slices lie in b. Damage after the first packet is left for the
	// next call, which finds it again.
	decode(b []byte, batch []Packet) progress
}

// progress is what one call of decode came to.
type progress struct {
	packets int   // put into the batch
	used    int   // bytes of b that are done with
	need    int   // bytes from used on without which there is nothing more to decode
	open    int   // bytes up to used that belong to a block that is not yet at its end
	passing bool  // what is needed may come bit by bit
	err     error // damage in the record at used
}

// file is one open capture.
type file struct {
	path   string
	offset int64 // of the fault, once read has returned one
	closer []func()
	window window
	format format // nil until the file header was read
	first  bool   // peeked holds the file's first packet, which was not given out yet
	peeked [1]Packet
	fault  error // the file could not be opened
}

// openFile opens a capture and looks for compression. It always returns a file: one that cannot
// be opened gives its fault when it is read. spare is a buffer for the window, made here if it is
// needed and empty.
func openFile(path string, spare *[]byte) *file {
	f := &file{path: path}
	in := os.Stdin
	if path != "-" {
		var err error
		if in, err = os.Open(path); err != nil {
			f.fault = bareCause(err)
			return f
		}
		f.closer = append(f.closer, func() { in.Close() })
	}
	source, closeSource, err := decompress(in)
	if err != nil {
		f.fault = err
		return f
	}
	f.closer = append(f.closer, closeSource)
	// A pipe stays with this goroutine: nothing ends a goroutine that waits for one.
	_, plain := source.(*bufio.Reader)
	if info, err := in.Stat(); err == nil && info.Mode().IsRegular() {
		if plain && path != "-" { // standard input may begin anywhere in its file
			if m := newMapping(in); m != nil {
				f.closer = append(f.closer, m.close)
				f.window = window{mapping: m, buf: m.data}
				return f
			}
		} else {
			ahead := &readAhead{source: source}
			f.closer = append(f.closer, ahead.close)
			source = ahead
		}
	}
	if len(*spare) == 0 {
		*spare = make([]byte, windowSize)
	}
	f.window = window{source: source, buf: *spare}
	return f
}

// decompress returns the decompressed bytes of in: in itself, buffered, unless it starts as gzip
// (RFC 1952) or zstd (RFC 8878) do.
func decompress(in io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(in, 4<<10)
	magic, err := b.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, bareCause(err)
	}
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, compressionError("gzip", err)
		}
		return named{"gzip", z}, func() { z.Close() }, nil
	case len(magic) == 4 && magic[1] == 0xb5 && magic[2] == 0x2f && magic[3] == 0xfd && magic[0] == 0x28:
		// One decoder without goroutines of its own.
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, compressionError("zstd", err)
		}
		return named{"zstd", z}, z.Close, nil
	}
	return b, func() {}, nil
}

// named puts the name of a compression before its errors.
type named struct {
	name string
	io.Reader
}

func (n named) Read(p []byte) (int, error) {
	m, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = compressionError(n.name, err)
	}
	return m, err
}

// compressionError says in which compression an error is, unless it says so itself.
func compressionError(name string, err error) error {
	switch err = bareCause(err); {
	case err == io.ErrUnexpectedEOF:
		return fmt.Errorf("%s: compressed data cut short", name)
	case strings.HasPrefix(err.Error(), name+": "):
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// bareCause takes the path out of an error of package os: a Fault has it already.
func bareCause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func (f *file) close() {
	for i := len(f.closer) - 1; i >= 0; i-- {
		f.closer[i]()
	}
	f.closer = nil
}

// read puts the next packets into batch. Without packets it says why: io.EOF after the last
// one, or a fault at f.offset.
func (f *file) read(batch []Packet) (int, error) {
	if f.first {
		f.first = false
		batch[0] = f.peeked[0]
		return 1, nil
	}
	if f.fault != nil {
		f.offset = Unopened
		return 0, f.fault
	}
	if f.format == nil {
		format, err := readHeader(&f.window)
		if err != nil {
			f.offset = f.window.offset()
			return 0, err
		}
		f.format = format
	}
	for {
		p := f.format.decode(f.window.unread(), batch)
		f.window.r += p.used
		if p.packets > 0 {
			return p.packets, nil
		}
		f.offset = f.window.offset() - int64(p.open)
		if p.err != nil {
			return 0, p.err
		}
		want := p.need
		if p.passing {
			want = len(f.window.unread()) + 1
		}
		if !f.window.fill(want) {
			have := len(f.window.unread()) + p.open
			if f.window.end != io.EOF {
				return 0, bareCause(f.window.end)
			}
			if have == 0 {
				return 0, io.EOF
			}
			return 0, fmt.Errorf("cut short: a record of at least %d bytes has only %d", p.need+p.open, have)
		}
	}
}

// peek reads ahead to the first packet and returns its time, the earliest there is without one.
// A fault on the way is found again by the read that counts.
func (f *file) peek() (nanos int64) {
	n, _ := f.read(f.peeked[:])
	if n == 0 {
		return math.MinInt64
	}
	f.first = true
	return f.peeked[0].Nanos
}

// readHeader recognises the format by its first bytes and consumes the file header.
func readHeader(w *window) (format, error) {
	if !w.fill(4) {
		if w.end != io.EOF {
			return nil, bareCause(w.end)
		}
		if len(w.unread()) == 0 {
			return nil, errors.New("empty file")
		}
		return nil, fmt.Errorf("neither pcap nor pcapng: %d bytes in all", len(w.unread()))
	}
	magic := [4]byte(w.unread())
	if magic == sectionMagic {
		return &pcapng{}, nil
	}
	if v, ok := pcapVariants(magic); ok {
		return v.readHeader(w)
	}
	return nil, fmt.Errorf("neither pcap nor pcapng: starts with % x", magic)
}

// isCapture reports whether the file starts like a capture, perhaps below compression.
func isCapture(path string) bool {
	in, err := os.Open(path)
	if err != nil {
		return false
	}
	defer in.Close()
	source, closeSource, err := decompress(in)
	if err != nil {
		return false
	}
	defer closeSource()
	var magic [4]byte
	if _, err := io.ReadFull(source, magic[:]); err != nil {
		return false
	}
	_, ok := pcapVariants(magic)
	return ok || magic == sectionMagic
}
