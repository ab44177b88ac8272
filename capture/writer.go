package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/weirnet/weir/packet"
)

// Section is what a Writer says of its packets beside them.
type Section struct {
	Comment   string // for people; at most 65,535 bytes are written
	Interface string // that the packets were captured on; empty: not known
	SnapLen   int    // bytes of each that were captured; 0: all
}

// Writer writes packets as a pcapng file: little endian, times in nanoseconds, one interface for
// each link type, a comment where a packet has one. It is used by one goroutine.
type Writer struct {
	// Section may be set before the first Write or Flush.
	Section    Section
	w          *bufio.Writer
	interfaces map[packet.LinkType]uint32
	buf        []byte
	err        error // the first one in writing: nothing is written after it
}

// ErrUnwritable says that pcapng cannot hold a packet.
var ErrUnwritable = errors.New("cannot be written")

// NewWriter returns a Writer onto w. Nothing is written before the first Write or Flush.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: bufio.NewWriterSize(w, 64<<10)}
}

// Write appends a packet. A packet that pcapng cannot hold is refused with an error and leaves
// the file as it was: one from before 1970, one larger than readers allow for its link type, a
// comment of more than 65,535 bytes, a link type above 65,535.
func (w *Writer) Write(p *Packet) error {
	switch limit := maxLen(p.Link); {
	case p.Nanos < 0:
		return fmt.Errorf("capture: packet from before 1970 %w", ErrUnwritable)
	case len(p.Data) > int(limit):
		return fmt.Errorf("capture: packet of %d bytes %w: readers allow %d", len(p.Data), ErrUnwritable, limit)
	case len(p.Comment) > math.MaxUint16:
		return fmt.Errorf("capture: comment of %d bytes %w: pcapng allows %d", len(p.Comment), ErrUnwritable, math.MaxUint16)
	case p.Link > math.MaxUint16:
		return fmt.Errorf("capture: link type %d %w: pcapng allows %d", p.Link, ErrUnwritable, math.MaxUint16)
	}
	w.start()
	number, ok := w.interfaces[p.Link]
	if !ok {
		number = uint32(len(w.interfaces))
		w.interfaces[p.Link] = number
		w.writeInterface(p.Link)
	}
	b := w.begin(blockEnhanced)
	b = binary.LittleEndian.AppendUint32(b, number)
	b = binary.LittleEndian.AppendUint32(b, uint32(p.Nanos>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(p.Nanos))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.Data)))
	b = binary.LittleEndian.AppendUint32(b, uint32(min(uint64(max(p.WireLen, len(p.Data))), math.MaxUint32)))
	b = appendPadded(b, p.Data)
	if len(p.Comment) > 0 {
		b = appendOption(b, optComment, p.Comment)
		b = appendOption(b, optEnd, nil)
	}
	w.finish(b)
	return w.err
}

// Flush writes what is buffered. The file is complete after it, even without any packet.
func (w *Writer) Flush() error {
	w.start()
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return w.err
}

// start writes the section header once.
func (w *Writer) start() {
	if w.interfaces != nil {
		return
	}
	w.interfaces = make(map[packet.LinkType]uint32)
	b := w.begin(blockSection)
	b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
	b = binary.LittleEndian.AppendUint16(b, 1) // version 1.0
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint64(b, math.MaxUint64) // section length not known
	if comment := w.Section.Comment; comment != "" {
		b = appendOption(b, optComment, []byte(comment[:min(len(comment), math.MaxUint16)]))
		b = appendOption(b, optEnd, nil)
	}
	w.finish(b)
}

func (w *Writer) writeInterface(link packet.LinkType) {
	b := w.begin(blockInterface)
	b = binary.LittleEndian.AppendUint16(b, uint16(link))
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(max(w.Section.SnapLen, 0)))
	if name := w.Section.Interface; name != "" {
		b = appendOption(b, optName, []byte(name[:min(len(name), math.MaxUint16)]))
	}
	b = appendOption(b, optTsresol, []byte{9})
	b = appendOption(b, optEnd, nil)
	w.finish(b)
}

// begin starts a block in the writer's buffer; finish sets its lengths and writes it.
func (w *Writer) begin(kind uint32) []byte {
	b := binary.LittleEndian.AppendUint32(w.buf[:0], kind)
	return append(b, 0, 0, 0, 0)
}

func (w *Writer) finish(b []byte) {
	length := uint32(len(b) + 4)
	binary.LittleEndian.PutUint32(b[4:], length)
	b = binary.LittleEndian.AppendUint32(b, length)
	w.buf = b
	if w.err == nil {
		_, w.err = w.w.Write(b)
	}
}

// appendOption appends an option of pcapng.
func appendOption(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return appendPadded(b, value)
}

// appendPadded appends data and zeros up to a multiple of four bytes.
func appendPadded(b, data []byte) []byte {
	b = append(b, data...)
	for n := len(data); n%4 != 0; n++ {
		b = append(b, 0)
	}
	return b
}
