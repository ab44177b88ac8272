package capture

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/weirnet/weir/packet"
)

// order is a byte order that can read and append.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// builder puts capture files together by hand, in either byte order.
type builder struct {
	order
	b []byte
}

func (f *builder) u16(values ...uint16) *builder {
	for _, v := range values {
		f.b = f.AppendUint16(f.b, v)
	}
	return f
}

func (f *builder) u32(values ...uint32) *builder {
	for _, v := range values {
		f.b = f.AppendUint32(f.b, v)
	}
	return f
}

func (f *builder) bytes(data ...byte) *builder {
	f.b = append(f.b, data...)
	return f
}

// pcapHeader starts a pcap file of version 2.4.
func (f *builder) pcapHeader(magic uint32, link uint32) *builder {
	return f.u32(magic).u16(2, 4).u32(0, 0, 65535, link)
}

// record appends a pcap record.
func (f *builder) record(seconds, fraction uint32, data []byte, wireLen int) *builder {
	return f.u32(seconds, fraction, uint32(len(data)), uint32(wireLen)).bytes(data...)
}

// block appends a pcapng block around body, which is padded.
func (f *builder) block(kind uint32, body []byte) *builder {
	body = appendPadded(nil, body)
	length := uint32(len(body) + 12)
	return f.u32(kind, length).bytes(body...).u32(length)
}

// body returns an empty builder of the same byte order.
func (f *builder) body() *builder { return &builder{order: f.order} }

func (f *builder) option(code uint16, value ...byte) *builder {
	f.u16(code, uint16(len(value)))
	f.b = appendPadded(f.b, value)
	return f
}

func (f *builder) section() *builder {
	return f.block(blockSection, f.body().u32(byteOrderMagic).u16(1, 0).u32(0xffffffff, 0xffffffff).b)
}

func (f *builder) netInterface(link uint16, snapLen uint32, options []byte) *builder {
	return f.block(blockInterface, f.body().u16(link, 0).u32(snapLen).bytes(options...).b)
}

func (f *builder) enhanced(number uint32, ticks uint64, data []byte, wireLen int, options []byte) *builder {
	body := f.body().u32(number, uint32(ticks>>32), uint32(ticks), uint32(len(data)), uint32(wireLen))
	body.b = appendPadded(body.b, data)
	return f.block(blockEnhanced, body.bytes(options...).b)
}

// frame returns n bytes that differ from one frame to the next.
func frame(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i)
	}
	return b
}

// got is a packet that outlives its batch.
type got struct {
	Nanos   int64
	WireLen int
	Link    packet.LinkType
	Data    string
	Comment string
}

func keep(p *Packet) got {
	return got{p.Nanos, p.WireLen, p.Link, string(p.Data), string(p.Comment)}
}

// drain reads to the end.
func drain(t testing.TB, r *Reader, size int) (packets []got, faults []string) {
	t.Helper()
	batch := make([]Packet, size)
	for {
		n, err := r.Read(batch)
		for i := range batch[:n] {
			packets = append(packets, keep(&batch[i]))
		}
		if err == io.EOF {
			break
		}
		if err != nil || n == 0 {
			t.Fatalf("Read = %d, %v; want packets or io.EOF", n, err)
		}
	}
	for _, f := range r.Faults() {
		faults = append(faults, f.Error())
	}
	return packets, faults
}

// readBytes reads a file that is in memory through a window that starts with windowLen bytes,
// in reads of at most step bytes. With windowLen 0 the window has no source: all of it is there.
func readBytes(data []byte, windowLen, step int) (packets []got, offset int64, buffer int, end error) {
	f := &file{path: "memory", window: window{buf: data, w: len(data), end: io.EOF}}
	if windowLen > 0 {
		f.window = window{buf: make([]byte, windowLen), source: &stepReader{bytes.NewReader(data), step}}
	}
	batch := make([]Packet, 3)
	for {
		n, err := f.read(batch)
		for i := range batch[:n] {
			packets = append(packets, keep(&batch[i]))
		}
		if n == 0 {
			return packets, f.offset, len(f.window.buf), err
		}
	}
}

// stepReader reads a few bytes at a time, as pipes do.
type stepReader struct {
	r    io.Reader
	step int
}

func (s *stepReader) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.step)]) }
