package capture

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/weirnet/weir/packet"
)

// Largest packets that are taken for real, in bytes. They are those of Wireshark's libwiretap,
// so that a damaged length field ends a file at the same packet here and there.
const (
	maxPacketLen       = 262144
	maxPacketLenDBus   = 128 << 20
	maxPacketLenEBHSCR = 32 << 20
	maxPacketLenUSB    = 128 << 20
)

// maxLen returns the largest packet of a link type.
func maxLen(link packet.LinkType) uint32 {
	switch link {
	case 231: // LINKTYPE_DBUS
		return maxPacketLenDBus
	case 249: // LINKTYPE_USBPCAP
		return maxPacketLenUSB
	case 279: // LINKTYPE_EBHSCR
		return maxPacketLenEBHSCR
	}
	return maxPacketLen
}

// pcap decodes the records of a pcap file (draft-ietf-opsawg-pcap) and of its relatives.
type pcap struct {
	swap       bool // the file's byte order is big endian
	recordLen  int  // bytes of a record header: 16, or 24 in the "modified" variant
	fileLen    int  // bytes of the file header
	multiplier int64
	lengths    lengthOrder
	link       packet.LinkType
}

// lengthOrder tells which of a record's two lengths comes first.
type lengthOrder uint8

const (
	capturedFirst lengthOrder = iota // since version 2.3
	wireFirst                        // before
	largerIsWire                     // in version 2.3: some writers had not noticed
)

// pcapVariants returns the variant that a magic number stands for.
func pcapVariants(magic [4]byte) (v pcap, ok bool) {
	v = pcap{recordLen: 16, fileLen: 24, multiplier: 1000}
	n := binary.LittleEndian.Uint32(magic[:])
	for _, v.swap = range []bool{false, true} {
		switch n {
		case 0xa1b2c3d4:
			return v, true
		case 0xa1b23c4d: // nanoseconds
			v.multiplier = 1
			return v, true
		case 0xa1b2cd34: // with interface index, protocol and direction in each record
			v.recordLen = 24
			return v, true
		case 0x1c0001ab: // Ixia, captured in software: total length after the file header
			v.fileLen = 28
			return v, true
		case 0x1c0001ac: // Ixia, captured in hardware: nanoseconds
			v.fileLen, v.multiplier = 28, 1
			return v, true
		}
		n = bits.ReverseBytes32(n)
	}
	return v, false
}

// readHeader reads the rest of the file header.
func (d pcap) readHeader(w *window) (format, error) {
	if !w.fill(d.fileLen) {
		return nil, fmt.Errorf("cut short: the file header of %d bytes has only %d", d.fileLen, len(w.unread()))
	}
	b := w.unread()
	var order binary.ByteOrder = binary.LittleEndian
	if d.swap {
		order = binary.BigEndian
	}
	major, minor := order.Uint16(b[4:]), order.Uint16(b[6:])
	if major < 2 {
		return nil, fmt.Errorf("pcap: version %d.%d is not known", major, minor)
	}
	switch {
	case major == 2 && minor < 3, major == 543: // 543 is DG/UX
		d.lengths = wireFirst
	case major == 2 && minor == 3:
		d.lengths = largerIsWire
	}
	// The upper bits hold the length of the frame check sequence, not the link type.
	d.link = packet.LinkType(order.Uint32(b[20:]) & 0x03ffffff)
	if major == 2 && minor == 2 && d.multiplier == 1000 {
		d.fromAIX()
	}
	w.r += d.fileLen
	return &d, nil
}

// fromAIX corrects for AIX, which writes version 2.2, interface types of RFC 1573 in place of
// link types, and nanoseconds.
func (d *pcap) fromAIX() {
	link, ok := map[packet.LinkType]packet.LinkType{6: 1, 9: 6, 15: 10, 24: 0}[d.link]
	if ok {
		d.link, d.multiplier = link, 1
	}
}

func (d *pcap) decode(b []byte, batch []Packet) (p progress) {
	limit := maxLen(d.link)
	for p.packets < len(batch) {
		record := b[p.used:]
		if len(record) < d.recordLen {
			p.need = d.recordLen
			return p
		}
		seconds := binary.LittleEndian.Uint32(record)
		fraction := binary.LittleEndian.Uint32(record[4:])
		capLen := binary.LittleEndian.Uint32(record[8:])
		wireLen := binary.LittleEndian.Uint32(record[12:])
		if d.swap {
			seconds = bits.ReverseBytes32(seconds)
			fraction = bits.ReverseBytes32(fraction)
			capLen = bits.ReverseBytes32(capLen)
			wireLen = bits.ReverseBytes32(wireLen)
		}
		if d.lengths == wireFirst || d.lengths == largerIsWire && capLen > wireLen {
			capLen, wireLen = wireLen, capLen
		}
		if capLen > limit {
			p.err = fmt.Errorf("damaged: packet of %d bytes, more than the %d allowed", capLen, limit)
			return p
		}
		end := d.recordLen + int(capLen)
		if len(record) < end {
			p.need = end
			return p
		}
		// Field by field: a literal would be built elsewhere and copied, which the processor has to wait for.
		out := &batch[p.packets]
		// Seconds and fraction are 32 bits each: their sum fits into an int64 until 2106.
		out.Nanos = int64(seconds)*second + int64(fraction)*d.multiplier
		out.Data = record[d.recordLen:end:end]
		out.WireLen = int(max(wireLen, capLen))
		out.Link = d.link
		out.Comment = nil
		p.packets++
		p.used += end
	}
	return p
}
