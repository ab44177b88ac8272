package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// The parts of onnx.proto that models of this package's networks have. Field numbers are those of
// https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.

type modelProto struct {
	ir                int64
	producer, version string
	graph             graphProto
	opsets            []opset
	metadata          []entry
}

type opset struct {
	domain  string
	version int64
}

type entry struct{ key, value string }

type graphProto struct {
	name            string
	nodes           []node
	initializers    []tensorProto
	inputs, outputs []valueInfo
}

type node struct {
	name, op, domain string
	in, out          []string
	attributes       []attribute
	at               int // offset in the file
}

// attribute is a setting of a node; kind says which of the fields it is.
type attribute struct {
	name   string
	kind   attributeKind
	f      float32
	i      int64
	s      string
	t      *tensorProto
	floats []float32
	ints   []int64
}

type attributeKind int64

const (
	attrFloat   attributeKind = 1
	attrInt     attributeKind = 2
	attrString  attributeKind = 3
	attrTensor  attributeKind = 4
	attrFloats  attributeKind = 6
	attrInts    attributeKind = 7
	attrStrings attributeKind = 8
)

// tensorProto is a constant. Exactly one of the data fields holds values.
type tensorProto struct {
	name   string
	dims   []int64
	typ    elemType
	raw    []byte // little endian; of the file, not copied
	floats []float32
	ints   []int64 // of int32_data and int64_data
	at     int     // offset in the file
	fault  string  // why its values cannot be read, if they are needed
}

type elemType int64

const (
	typeFloat  elemType = 1
	typeUint8  elemType = 2
	typeInt8   elemType = 3
	typeInt32  elemType = 6
	typeInt64  elemType = 7
	typeBool   elemType = 9
	typeDouble elemType = 11
)

func (t elemType) String() string {
	names := [...]string{"undefined", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool",
		"float16", "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16"}
	if t >= 0 && int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("type %d", int64(t))
}

// valueInfo is an input or an output. A dimension without a fixed size is dynamic.
type valueInfo struct {
	name string
	typ  elemType
	dims []int64
	at   int
}

const dynamic = -1

// batchName is what exported models call their dynamic dimension.
const batchName = "batch"

// --- writing ---

func appendVarint(b []byte, field protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendString(b []byte, field protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func (m *modelProto) encode() []byte {
	b := appendVarint(nil, 1, m.ir)
	b = appendString(b, 2, m.producer)
	b = appendString(b, 3, m.version)
	b = appendBytes(b, 7, m.graph.encode())
	for _, o := range m.opsets {
		b = appendBytes(b, 8, appendVarint(appendString(nil, 1, o.domain), 2, o.version))
	}
	for _, e := range m.metadata {
		b = appendBytes(b, 14, appendString(appendString(nil, 1, e.key), 2, e.value))
	}
	return b
}

func (g *graphProto) encode() []byte {
	var b []byte
	for i := range g.nodes {
		b = appendBytes(b, 1, g.nodes[i].encode())
	}
	b = appendString(b, 2, g.name)
	for i := range g.initializers {
		b = appendBytes(b, 5, g.initializers[i].encode())
	}
	for _, v := range g.inputs {
		b = appendBytes(b, 11, v.encode())
	}
	for _, v := range g.outputs {
		b = appendBytes(b, 12, v.encode())
	}
	return b
}

func (n *node) encode() []byte {
	var b []byte
	for _, s := range n.in {
		b = appendString(b, 1, s)
	}
	for _, s := range n.out {
		b = appendString(b, 2, s)
	}
	b = appendString(b, 3, n.name)
	b = appendString(b, 4, n.op)
	for i := range n.attributes {
		b = appendBytes(b, 5, n.attributes[i].encode())
	}
	return b
}

func (a *attribute) encode() []byte {
	b := appendString(nil, 1, a.name)
	switch a.kind {
	case attrFloat:
		b = protowire.AppendFixed32(protowire.AppendTag(b, 2, protowire.Fixed32Type), math.Float32bits(a.f))
	case attrInt:
		b = appendVarint(b, 3, a.i)
	case attrInts:
		for _, i := range a.ints {
			b = appendVarint(b, 8, i)
		}
	}
	return appendVarint(b, 20, int64(a.kind))
}

func (t *tensorProto) encode() []byte {
	var b []byte
	for _, d := range t.dims {
		b = appendVarint(b, 1, d)
	}
	b = appendVarint(b, 2, int64(t.typ))
	b = appendString(b, 8, t.name)
	return appendBytes(b, 9, t.raw)
}

func (v *valueInfo) encode() []byte {
	var shape []byte
	for _, d := range v.dims {
		dim := appendVarint(nil, 1, d)
		if d == dynamic {
			dim = appendString(nil, 2, batchName)
		}
		shape = appendBytes(shape, 1, dim)
	}
	tensor := appendBytes(appendVarint(nil, 1, int64(v.typ)), 2, shape)
	return appendBytes(appendString(nil, 1, v.name), 2, appendBytes(nil, 1, tensor))
}

// --- reading ---

// maxParts bounds the messages, strings and numbers of a file outside of tensors: each takes some
// bytes in the file and up to some hundred in memory.
const maxParts = 1 << 18

type decoder struct{ parts int }

// field is one field of a message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bits   uint64 // of numbers
	bytes  []byte // of strings, messages and packed numbers
	at     int    // offset of bytes in the file, or of the field
}

// fault is an error at a byte of the file.
func fault(at int, format string, args ...any) error {
	return fmt.Errorf("offset %d: %w", at, fmt.Errorf(format, args...))
}

// message calls visit for each field of a message that lies at an offset of the file.
func (d *decoder) message(data []byte, at int, visit func(f *field) error) error {
	for len(data) > 0 {
		d.parts++
		if d.parts > maxParts {
			return fault(at, "more than %d parts", maxParts)
		}
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return fault(at, "%w", protowire.ParseError(n))
		}
		f := field{number: number, kind: kind, at: at}
		data, at = data[n:], at+n
		switch kind {
		case protowire.VarintType:
			f.bits, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(data)
			f.bits = uint64(v)
		case protowire.Fixed64Type:
			f.bits, n = protowire.ConsumeFixed64(data)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(data)
			f.at = at + max(n, 0) - len(f.bytes)
		default:
			return fault(at, "field %d has wire type %d", number, kind)
		}
		if n < 0 {
			return fault(at, "field %d: %w", number, protowire.ParseError(n))
		}
		data, at = data[n:], at+n
		if err := visit(&f); err != nil {
			return err
		}
	}
	return nil
}

// text returns a string. Those of Protocol Buffers are UTF-8, and what becomes of others is for the next reader to say: names
// would come back from JSON as other names.
func (f *field) text() (string, error) {
	if f.kind != protowire.BytesType || !utf8.Valid(f.bytes) {
		return "", fault(f.at, "field %d is no string", f.number)
	}
	return string(f.bytes), nil
}

func (f *field) integer() (int64, error) {
	if f.kind != protowire.VarintType {
		return 0, fault(f.at, "field %d is no integer", f.number)
	}
	return int64(f.bits), nil
}

// sub visits the fields of a message in a field.
func (d *decoder) sub(f *field, visit func(f *field) error) error {
	if f.kind != protowire.BytesType {
		return fault(f.at, "field %d is no message", f.number)
	}
	return d.message(f.bytes, f.at, visit)
}

// integers appends a repeated integer, packed or not.
func (d *decoder) integers(dst []int64, f *field) ([]int64, error) {
	if f.kind == protowire.VarintType {
		return append(dst, int64(f.bits)), nil
	}
	if f.kind != protowire.BytesType {
		return nil, fault(f.at, "field %d holds no integers", f.number)
	}
	data, at := f.bytes, f.at
	for len(data) > 0 {
		v, n := protowire.ConsumeVarint(data)
		if n < 0 {
			return nil, fault(at, "field %d: %w", f.number, protowire.ParseError(n))
		}
		dst = append(dst, int64(v))
		data, at = data[n:], at+n
	}
	return dst, nil
}

// floats appends a repeated float, packed or not.
func (d *decoder) floats(dst []float32, f *field) ([]float32, error) {
	if f.kind == protowire.Fixed32Type {
		return append(dst, math.Float32frombits(uint32(f.bits))), nil
	}
	if f.kind != protowire.BytesType || len(f.bytes)%4 != 0 {
		return nil, fault(f.at, "field %d holds no floats", f.number)
	}
	for i := 0; i < len(f.bytes); i += 4 {
		dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(f.bytes[i:])))
	}
	return dst, nil
}

func decodeModel(data []byte) (*modelProto, error) {
	d, m, graphs := new(decoder), new(modelProto), 0
	err := d.message(data, 0, func(f *field) (err error) {
		switch f.number {
		case 1:
			m.ir, err = f.integer()
		case 2:
			m.producer, err = f.text()
		case 3:
			m.version, err = f.text()
		case 7:
			graphs++
			err = d.graph(f, &m.graph)
		case 8:
			var o opset
			err = d.sub(f, func(f *field) (err error) {
				switch f.number {
				case 1:
					o.domain, err = f.text()
				case 2:
					o.version, err = f.integer()
				}
				return err
			})
			m.opsets = append(m.opsets, o)
		case 14:
			var e entry
			err = d.sub(f, func(f *field) (err error) {
				switch f.number {
				case 1:
					e.key, err = f.text()
				case 2:
					e.value, err = f.text()
				}
				return err
			})
			m.metadata = append(m.metadata, e)
		}
		return err
	})
	if err == nil && graphs != 1 {
		err = errors.New("no model: it holds no graph")
	}
	return m, err
}

func (d *decoder) graph(f *field, g *graphProto) error {
	return d.sub(f, func(f *field) (err error) {
		switch f.number {
		case 1:
			var n node
			n, err = d.node(f)
			g.nodes = append(g.nodes, n)
		case 2:
			g.name, err = f.text()
		case 5:
			var t tensorProto
			t, err = d.tensor(f)
			g.initializers = append(g.initializers, t)
		case 11:
			var v valueInfo
			v, err = d.value(f)
			g.inputs = append(g.inputs, v)
		case 12:
			var v valueInfo
			v, err = d.value(f)
			g.outputs = append(g.outputs, v)
		case 15:
			err = fault(f.at, "sparse weights")
		}
		return err
	})
}

func (d *decoder) node(f *field) (n node, err error) {
	n.at = f.at
	err = d.sub(f, func(f *field) (err error) {
		var s string
		switch f.number {
		case 1:
			s, err = f.text()
			n.in = append(n.in, s)
		case 2:
			s, err = f.text()
			n.out = append(n.out, s)
		case 3:
			n.name, err = f.text()
		case 4:
			n.op, err = f.text()
		case 5:
			var a attribute
			a, err = d.attribute(f)
			n.attributes = append(n.attributes, a)
		case 7:
			n.domain, err = f.text()
		}
		return err
	})
	return n, err
}

func (d *decoder) attribute(f *field) (a attribute, err error) {
	err = d.sub(f, func(f *field) (err error) {
		switch f.number {
		case 1:
			a.name, err = f.text()
		case 2:
			if f.kind != protowire.Fixed32Type {
				return fault(f.at, "attribute %q is no float", a.name)
			}
			a.f = math.Float32frombits(uint32(f.bits))
		case 3:
			a.i, err = f.integer()
		case 4:
			a.s, err = f.text()
		case 5:
			a.t = new(tensorProto)
			*a.t, err = d.tensor(f)
		case 7:
			a.floats, err = d.floats(a.floats, f)
		case 8:
			a.ints, err = d.integers(a.ints, f)
		case 20:
			var kind int64
			kind, err = f.integer()
			a.kind = attributeKind(kind)
		}
		return err
	})
	return a, err
}

func (d *decoder) tensor(f *field) (t tensorProto, err error) {
	t.at = f.at
	err = d.sub(f, func(f *field) (err error) {
		var v int64
		switch f.number {
		case 1:
			t.dims, err = d.integers(t.dims, f)
		case 2:
			v, err = f.integer()
			t.typ = elemType(v)
		case 3:
			t.fault = "values in segments"
		case 4:
			t.floats, err = d.floats(t.floats, f)
		case 5, 7:
			t.ints, err = d.integers(t.ints, f)
		case 8:
			t.name, err = f.text()
		case 9:
			if f.kind != protowire.BytesType {
				return fault(f.at, "tensor %q: raw data are no bytes", t.name)
			}
			t.raw = f.bytes
		case 6, 10, 11:
			t.fault = "values in another field than raw_data, float_data, int32_data or int64_data"
		case 13:
			t.fault = "values in another file"
		case 14:
			if v, err = f.integer(); v != 0 {
				t.fault = "values in another file"
			}
		}
		return err
	})
	return t, err
}

func (d *decoder) value(f *field) (v valueInfo, err error) {
	v.at = f.at
	err = d.sub(f, func(f *field) (err error) {
		switch f.number {
		case 1:
			v.name, err = f.text()
		case 2:
			err = d.sub(f, func(f *field) error { // TypeProto
				if f.number != 1 {
					return nil // a sequence or a map: has no element type, and is refused for that
				}
				return d.sub(f, func(f *field) (err error) { // TypeProto.Tensor
					switch f.number {
					case 1:
						var typ int64
						typ, err = f.integer()
						v.typ = elemType(typ)
					case 2:
						err = d.shape(f, &v)
					}
					return err
				})
			})
		}
		return err
	})
	return v, err
}

func (d *decoder) shape(f *field, v *valueInfo) error {
	return d.sub(f, func(f *field) error {
		if f.number != 1 {
			return nil
		}
		size := int64(dynamic)
		err := d.sub(f, func(f *field) (err error) {
			if f.number == 1 {
				size, err = f.integer()
			}
			return err
		})
		v.dims = append(v.dims, size)
		return err
	})
}
