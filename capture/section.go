package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxSectionHead bounds what ReadSection reads: two blocks with an option of the longest kind each.
const maxSectionHead = 1 << 18

// ReadSection returns what the first section of a pcapng file says of its packets: what a Writer was told.
func ReadSection(path string) (Section, error) {
	f, err := os.Open(path)
	if err != nil {
		return Section{}, err
	}
	defer f.Close()
	s, err := readSection(bufio.NewReader(io.LimitReader(f, maxSectionHead)))
	if err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func readSection(in io.Reader) (s Section, err error) {
	d := new(pcapng)
	for {
		var head [12]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return s, ignoreEnd(err)
		}
		kind := d.u32(head[:])
		if binary.LittleEndian.Uint32(head[:]) == blockSection {
			if s != (Section{}) {
				return s, nil
			}
			kind = blockSection
			if err := d.readByteOrder(head[8:]); err != nil {
				return s, err
			}
		}
		length := d.u32(head[4:])
		if length < 16 || length%4 != 0 || length > maxSectionHead {
			return s, fmt.Errorf("damaged: block of %d bytes", length)
		}
		body := make([]byte, length-16)
		if _, err := io.ReadFull(in, body); err != nil {
			return s, ignoreEnd(err)
		}
		var trailer [4]byte
		if _, err := io.ReadFull(in, trailer[:]); err != nil {
			return s, ignoreEnd(err)
		}
		switch {
		case kind == blockSection && len(body) >= 12:
			err = d.eachOption(body[12:], func(code uint16, value []byte) {
				if code == optComment && s.Comment == "" {
					s.Comment = string(value)
				}
			})
		case kind == blockInterface && len(body) >= 4:
			s.SnapLen = int(d.u32(body)) // the link type stood in head
			err = d.eachOption(body[4:], func(code uint16, value []byte) {
				if code == optName {
					s.Interface = string(value)
				}
			})
			return s, err
		case kind == blockEnhanced || kind == blockPacket || kind == blockSimple:
			return s, nil
		}
		if err != nil {
			return s, err
		}
	}
}

// ignoreEnd takes the end of a file for that of what a section says.
func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
