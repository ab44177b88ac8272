package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// Write writes f. Tensors stand in the order of their names, so equal files are equal in every
// byte. It returns an error before writing when a tensor does not fit its shape or a name is not
// valid, and that of w otherwise.
func Write(w io.Writer, f *File) error {
	header, err := f.header()
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	out := bufio.NewWriterSize(w, 1<<16)
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], uint64(len(header)))
	out.Write(word[:])
	out.Write(header)
	for _, name := range f.names() {
		for _, v := range f.Tensors[name].Data {
			binary.LittleEndian.PutUint32(word[:4], math.Float32bits(v))
			out.Write(word[:4])
		}
	}
	return out.Flush() // keeps the first error
}

// header returns the JSON header, filled with spaces to a multiple of eight bytes.
func (f *File) header() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if len(f.Metadata) > 0 {
		for k, v := range f.Metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("metadata %q is not UTF-8", k)
			}
		}
		if err := writeJSON(&b, metadataKey, f.Metadata); err != nil {
			return nil, err
		}
	}
	at := 0
	for _, name := range f.names() {
		t := f.Tensors[name]
		if name == metadataKey || !utf8.ValidString(name) {
			return nil, fmt.Errorf("%q cannot name a tensor", name)
		}
		n, err := size(t.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if n != len(t.Data) {
			return nil, fmt.Errorf("tensor %q: %d values for shape %v", name, len(t.Data), t.Shape)
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		end := at + 4*n
		if err := writeJSON(&b, name, entry{Type: "F32", Shape: shape, Offsets: []int{at, end}}); err != nil {
			return nil, err
		}
		at = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return nil, fmt.Errorf("header of %d bytes, the format allows %d", b.Len(), maxHeader)
	}
	return b.Bytes(), nil
}

// entry describes one tensor in the header.
type entry struct {
	Type    string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets []int  `json:"data_offsets"` // [begin, end) in bytes from the end of the header
}

func writeJSON(b *bytes.Buffer, key string, value any) error {
	k, err := json.Marshal(key)
	if err != nil {
		return err
	}
	v, err := json.Marshal(value)
	if err != nil {
		return err
	}
	b.Write(k)
	b.WriteByte(':')
	b.Write(v)
	return nil
}
