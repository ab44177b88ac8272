package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/weirnet/weir/packet"
)

// Block types of pcapng that hold packets or what they need; the others are passed over.
const (
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
	blockSection   = 0x0a0d0d0a
)

// Option codes of pcapng.
const (
	optEnd      = 0
	optComment  = 1
	optName     = 2 // if_name
	optTsresol  = 9
	optTsoffset = 14
)

const (
	// maxBlockLen is what libwiretap takes for a real block: the largest packet and 128 KiB
	// of options.
	maxBlockLen = 32 + maxPacketLenDBus + 128<<10
	// maxInterfaces bounds the memory for the interfaces of one section.
	maxInterfaces = 1 << 16
	// byteOrderMagic follows type and length of a section header block.
	byteOrderMagic = 0x1a2b3c4d
)

// sectionMagic is the type of the block that every pcapng file starts with.
var sectionMagic = [4]byte{0x0a, 0x0d, 0x0d, 0x0a}

// pcapng decodes the blocks of a pcapng file (draft-ietf-opsawg-pcapng).
type pcapng struct {
	swap       bool // the section's byte order is big endian
	interfaces []netInterface
	last       int64 // time of the latest packet that had one

	// A block that is passed over goes by without being kept in memory.
	passing int // bytes of it that are still to come, 0 outside of such a block
	passed  int // bytes of it that went by
}

func (d *pcapng) u16(b []byte) uint16 {
	if d.swap {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (d *pcapng) u32(b []byte) uint32 {
	if d.swap {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (d *pcapng) decode(b []byte, batch []Packet) (p progress) {
	for p.packets < len(batch) {
		if d.passing > 0 && !d.pass(b, &p) {
			return p
		}
		block := b[p.used:]
		if len(block) < 12 {
			p.need = 12
			return p
		}
		kind := binary.LittleEndian.Uint32(block)
		if kind == blockSection { // the same in both byte orders
			if p.err = d.readByteOrder(block[8:]); p.err != nil {
				return p
			}
		} else if d.swap {
			kind = bits.ReverseBytes32(kind)
		}
		length := d.u32(block[4:])
		least, name := blockKind(kind)
		if length < least || length > maxBlockLen {
			p.err = fmt.Errorf("damaged: %s of %d bytes, possible are %d to %d", name, length, least, maxBlockLen)
			return p
		}
		// The length must be a multiple of four; where it is not, the padding was forgotten.
		whole := int(length+3) &^ 3
		if least == anyBlockLen {
			d.passing, d.passed = whole, 0
			continue
		}
		if len(block) < whole {
			p.need = whole
			return p
		}
		if p.err = d.checkTrailer(block[whole-4:], whole); p.err != nil {
			return p
		}
		body := block[8 : whole-4]
		switch kind {
		case blockEnhanced:
			p.err = d.readPacket(body, d.u32(body), &batch[p.packets])
		case blockPacket:
			p.err = d.readPacket(body, uint32(d.u16(body)), &batch[p.packets])
		case blockSimple:
			p.err = d.readSimple(body, &batch[p.packets])
		case blockInterface:
			p.err = d.readInterface(body)
		case blockSection:
			p.err = d.readSection(body)
		}
		if p.err != nil {
			return p
		}
		p.used += whole
		if kind != blockInterface && kind != blockSection {
			p.packets++
		}
	}
	return p
}

// anyBlockLen is the length of a block without a body.
const anyBlockLen = 12

// blockKind returns the least length of a block, and what messages call it. It is anyBlockLen
// for blocks that are passed over.
func blockKind(kind uint32) (least uint32, name string) {
	switch kind {
	case blockEnhanced:
		return 32, "enhanced packet block"
	case blockPacket:
		return 32, "packet block"
	case blockSimple:
		return 16, "simple packet block"
	case blockInterface:
		return 20, "interface description block"
	case blockSection:
		return 28, "section header block"
	}
	return anyBlockLen, "block"
}

// pass lets bytes of b go by that belong to a block of no interest, all but its trailer, which
// must be right like any other. It reports whether the block is at its end.
func (d *pcapng) pass(b []byte, p *progress) bool {
	n := min(len(b)-p.used, d.passing-4)
	p.used += n
	d.passing -= n
	d.passed += n
	p.open = d.passed
	if len(b)-p.used < 4 {
		p.need, p.passing = d.passing, true
		return false
	}
	if p.err = d.checkTrailer(b[p.used:], d.passed+4); p.err != nil {
		return false
	}
	p.used += 4
	p.open = 0
	d.passing = 0
	return true
}

// checkTrailer compares the length at the end of a block with that at its start, both rounded
// up to a multiple of four.
func (d *pcapng) checkTrailer(b []byte, whole int) error {
	if trailer := d.u32(b); int(int64(trailer)+3)&^3 != whole {
		return fmt.Errorf("damaged: a block of %d bytes says %d at its end", whole, trailer)
	}
	return nil
}

// readByteOrder learns the byte order of a new section.
func (d *pcapng) readByteOrder(b []byte) error {
	switch magic := binary.LittleEndian.Uint32(b); magic {
	case byteOrderMagic:
		d.swap = false
	case bits.ReverseBytes32(byteOrderMagic):
		d.swap = true
	default:
		return fmt.Errorf("damaged: byte-order magic % x", b[:4])
	}
	return nil
}

// readSection starts a new section: the interfaces of the one before are forgotten.
func (d *pcapng) readSection(body []byte) error {
	if major, minor := d.u16(body[4:]), d.u16(body[6:]); major != 1 {
		return fmt.Errorf("pcapng: version %d.%d is not known", major, minor)
	}
	err := d.eachOption(body[16:], func(uint16, []byte) {})
	if err == nil {
		d.interfaces = d.interfaces[:0]
	}
	return err
}

// readInterface adds an interface to the section.
func (d *pcapng) readInterface(body []byte) error {
	if len(d.interfaces) == maxInterfaces {
		return fmt.Errorf("damaged: more than %d interfaces in a section", maxInterfaces)
	}
	link := packet.LinkType(d.u16(body))
	in := netInterface{link: link, maxLen: maxLen(link), snapLen: d.u32(body[4:])}
	resolution, offset := byte(6), int64(0)
	err := d.eachOption(body[8:], func(code uint16, value []byte) {
		switch {
		case code == optTsresol && len(value) == 1:
			resolution = value[0]
		case code == optTsoffset && len(value) == 8:
			if d.swap {
				offset = int64(binary.BigEndian.Uint64(value))
			} else {
				offset = int64(binary.LittleEndian.Uint64(value))
			}
		}
	})
	if err != nil {
		return err
	}
	in.clock = newClock(resolution, offset)
	d.interfaces = append(d.interfaces, in)
	return nil
}

// readPacket reads an enhanced packet block, or an obsolete packet block, which differs in its
// first four bytes only.
func (d *pcapng) readPacket(body []byte, number uint32, out *Packet) error {
	if number >= uint32(len(d.interfaces)) {
		return fmt.Errorf("damaged: packet of interface %d, the section has %d", number, len(d.interfaces))
	}
	in := &d.interfaces[number]
	capLen, wireLen := d.u32(body[12:]), d.u32(body[16:])
	data, options, err := split(body[20:], capLen, in.maxLen)
	if err != nil {
		return err
	}
	var comment []byte
	if len(options) > 0 {
		if comment, err = d.comment(options); err != nil {
			return err
		}
	}
	d.last = in.clock.nanos(uint64(d.u32(body[4:]))<<32 | uint64(d.u32(body[8:])))
	out.Nanos = d.last
	out.Data = data
	out.WireLen = int(max(wireLen, capLen))
	out.Link = in.link
	out.Comment = comment
	return nil
}

// readSimple reads a simple packet block. It bears no time: the packet gets that of the one
// before it, 0 when there is none. It belongs to the first interface, whose snap length tells
// how much of it was captured.
func (d *pcapng) readSimple(body []byte, out *Packet) error {
	if len(d.interfaces) == 0 {
		return errors.New("damaged: simple packet block in a section without interface")
	}
	in := &d.interfaces[0]
	wireLen := d.u32(body)
	capLen := wireLen
	if in.snapLen != 0 {
		capLen = min(capLen, in.snapLen)
	}
	data, _, err := split(body[4:], capLen, in.maxLen)
	if err != nil {
		return err
	}
	*out = Packet{Nanos: d.last, Data: data, WireLen: int(wireLen), Link: in.link}
	return nil
}

// split cuts what follows the fixed part of a packet block into the packet and the options.
func split(b []byte, capLen, limit uint32) (data, options []byte, err error) {
	if capLen > limit {
		return nil, nil, fmt.Errorf("damaged: packet of %d bytes, more than the %d allowed", capLen, limit)
	}
	padded := int(capLen+3) &^ 3
	if padded > len(b) {
		return nil, nil, fmt.Errorf("damaged: packet of %d bytes in a block with room for %d", capLen, len(b))
	}
	return b[:capLen:capLen], b[padded:], nil
}

// comment returns the first opt_comment, nil without one.
func (d *pcapng) comment(options []byte) (comment []byte, err error) {
	for len(options) > 0 && err == nil {
		var code uint16
		var value []byte
		code, value, options, err = d.option(options)
		if code == optComment && comment == nil {
			comment = value
		}
	}
	return comment, err
}

// eachOption calls f for every option.
func (d *pcapng) eachOption(options []byte, f func(code uint16, value []byte)) (err error) {
	for len(options) > 0 {
		var code uint16
		var value []byte
		if code, value, options, err = d.option(options); err != nil {
			return err
		}
		f(code, value)
	}
	return nil
}

// option takes the first option from b, which is not empty. Nothing is left after the end of
// options.
func (d *pcapng) option(b []byte) (code uint16, value, rest []byte, err error) {
	if len(b) < 4 {
		return 0, nil, nil, fmt.Errorf("damaged: %d bytes where an option starts", len(b))
	}
	code = d.u16(b)
	n := int(d.u16(b[2:]))
	b = b[4:]
	if padded := (n + 3) &^ 3; padded > len(b) {
		return 0, nil, nil, fmt.Errorf("damaged: option of %d bytes where there are %d", n, len(b))
	} else if code != optEnd {
		rest = b[padded:]
	}
	return code, b[:n:n], rest, nil
}
