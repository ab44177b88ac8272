package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Parse reads a file that is in memory. Every byte must belong to the length, the header or
// exactly one tensor. The values are copied out of data.
func Parse(data []byte) (*File, error) {
	f, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return f, nil
}

// Read reads a file of at most limit bytes from r.
func Read(r io.Reader, limit int64) (*File, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("safetensors: longer than %d bytes", limit)
	}
	return Parse(data)
}

func parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("%d bytes are too short for a header", len(data))
	}
	length := binary.LittleEndian.Uint64(data)
	if length > maxHeader || length > uint64(len(data)-8) {
		return nil, fmt.Errorf("header of %d bytes in a file of %d", length, len(data))
	}
	header, values := data[8:8+length], data[8+length:]
	h, err := parseHeader(header)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if err := h.cover(len(values)); err != nil {
		return nil, err
	}
	f := &File{Metadata: h.metadata, Tensors: make(map[string]Tensor, len(h.tensors))}
	for _, t := range h.tensors {
		x := make([]float32, (t.Offsets[1]-t.Offsets[0])/4)
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(values[t.Offsets[0]+4*i:]))
		}
		f.Tensors[t.name] = Tensor{Shape: t.Shape, Data: x}
	}
	return f, nil
}

type header struct {
	metadata map[string]string
	tensors  []named
}

type named struct {
	name string
	entry
}

// cover checks that the tensors, one after the other, are the bytes of the values: no gap, no
// overlap, nothing beyond the end.
func (h *header) cover(bytes int) error {
	slices.SortFunc(h.tensors, func(a, b named) int {
		if d := a.Offsets[0] - b.Offsets[0]; d != 0 {
			return d
		}
		if d := a.Offsets[1] - b.Offsets[1]; d != 0 {
			return d // a tensor without values comes before the one that starts where it lies
		}
		return strings.Compare(a.name, b.name)
	})
	at := 0
	for _, t := range h.tensors {
		if t.Offsets[0] != at {
			return fmt.Errorf("tensor %q starts at byte %d, the one before it ends at %d", t.name, t.Offsets[0], at)
		}
		if t.Offsets[1] > bytes {
			return fmt.Errorf("tensor %q ends at byte %d of %d", t.name, t.Offsets[1], bytes)
		}
		at = t.Offsets[1]
	}
	if at != bytes {
		return fmt.Errorf("%d bytes of values, %d of them in tensors", bytes, at)
	}
	return nil
}

// parseHeader reads the JSON object token by token: encoding/json would let the last of two
// equal names win.
func parseHeader(text []byte) (*header, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, errors.New("does not start with {")
	}
	if !utf8.Valid(text) {
		return nil, errors.New("not UTF-8")
	}
	h := &header{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	seen := map[string]bool{}
	err := object(d, func(name string) error {
		if seen[name] {
			return fmt.Errorf("%q stands twice", name)
		}
		seen[name] = true
		if name == metadataKey {
			h.metadata = map[string]string{}
			return object(d, func(key string) error {
				if _, twice := h.metadata[key]; twice {
					return fmt.Errorf("metadata %q stands twice", key)
				}
				value, err := stringToken(d)
				h.metadata[key] = value
				return err
			})
		}
		e, err := parseEntry(d)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		h.tensors = append(h.tensors, named{name, e})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if rest := bytes.Trim(text[d.InputOffset():], " "); len(rest) > 0 {
		return nil, errors.New("more after the closing }")
	}
	return h, nil
}

// parseEntry reads and checks what the header says about one tensor.
func parseEntry(d *json.Decoder) (e entry, err error) {
	seen := map[string]bool{}
	err = object(d, func(key string) (err error) {
		if seen[key] {
			return fmt.Errorf("%s stands twice", key)
		}
		seen[key] = true
		switch key {
		case "dtype":
			e.Type, err = stringToken(d)
		case "shape":
			e.Shape, err = integers(d)
		case "data_offsets":
			e.Offsets, err = integers(d)
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		return err
	})
	if err != nil {
		return e, err
	}
	if len(seen) != 3 {
		return e, errors.New("needs dtype, shape and data_offsets")
	}
	if e.Type != "F32" {
		return e, fmt.Errorf("values of type %q, only F32 is supported", e.Type)
	}
	n, err := size(e.Shape)
	if err != nil {
		return e, err
	}
	if len(e.Offsets) != 2 || e.Offsets[0] > e.Offsets[1] || e.Offsets[1]-e.Offsets[0] != 4*n {
		return e, fmt.Errorf("bytes %v for shape %v", e.Offsets, e.Shape)
	}
	return e, nil
}

// object reads a JSON object; member reads the value of the name that it is given.
func object(d *json.Decoder, member func(name string) error) error {
	if err := delim(d, '{'); err != nil {
		return err
	}
	for d.More() {
		name, err := stringToken(d)
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
	return delim(d, '}')
}

// integers reads a JSON array of integers from 0 to what an int holds.
func integers(d *json.Decoder) ([]int, error) {
	if err := delim(d, '['); err != nil {
		return nil, err
	}
	list := []int{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		number, _ := t.(json.Number)
		n, err := strconv.ParseUint(number.String(), 10, strconv.IntSize-1)
		if err != nil {
			return nil, fmt.Errorf("%v is not an integer from 0 on that fits in an int", t)
		}
		list = append(list, int(n))
	}
	return list, delim(d, ']')
}

// stringToken reads one JSON string.
func stringToken(d *json.Decoder) (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("%v where a string belongs", t)
	}
	return s, nil
}

func delim(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%v where %v belongs", t, want)
	}
	return nil
}
