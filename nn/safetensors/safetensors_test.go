package safetensors

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

func sample() *File {
	return &File{
		Metadata: map[string]string{"made by": "weir", "zwölf": "\u2028<&>"},
		Tensors: map[string]Tensor{
			"scalar":   {Shape: []int{}, Data: []float32{3.5}},
			"a.weight": {Shape: []int{2, 3}, Data: []float32{1, -2, 3, float32(math.Inf(1)), 5, math.SmallestNonzeroFloat32}},
			"empty":    {Shape: []int{0, 4}, Data: []float32{}},
			"b":        {Shape: []int{1}, Data: []float32{-0.25}},
		},
	}
}

func encode(t testing.TB, f *File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, f); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// raw builds a file from a header and a number of value bytes.
func raw(header string, values int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, values)...)
}

func TestRoundTrip(t *testing.T) {
	for _, f := range []*File{sample(), {Tensors: map[string]Tensor{}}} {
		data := encode(t, f)
		got, err := Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, f) {
			t.Errorf("got %v, want %v", got, f)
		}
		if again := encode(t, got); !bytes.Equal(again, data) {
			t.Error("the same file gave other bytes when written again")
		}
		if (binary.LittleEndian.Uint64(data)+8)%8 != 0 {
			t.Error("the values are not aligned to eight bytes")
		}
	}
}

func TestReadLimit(t *testing.T) {
	data := encode(t, sample())
	if _, err := Read(bytes.NewReader(data), int64(len(data)-1)); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("got error %v, want one about the length", err)
	}
}

func TestParseRefuses(t *testing.T) {
	one := `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "too short"},
		{"seven bytes", make([]byte, 7), "too short"},
		{"header beyond the end", raw("{}", 0)[:9], "header of 2 bytes"},
		{"header of 2^63 bytes", binary.LittleEndian.AppendUint64(nil, 1<<63), "header of 9223372036854775808"},
		{"header of 2^64-1 bytes", binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "header of"},
		{"no header", raw("", 0), "does not start with {"},
		{"space first", raw(" {}", 0), "does not start with {"},
		{"array", raw("[]", 0), "does not start with {"},
		{"cut JSON", raw("{"+one, 8), "EOF"},
		{"rubbish after", raw("{"+one+"}x", 8), "more after"},
		{"second object", raw("{"+one+"}{}", 8), "more after"},
		{"not UTF-8", raw("{\"\xff\":1}", 0), "not UTF-8"},
		{"tensor is a number", raw(`{"a":1}`, 0), "belongs"},
		{"name twice", raw("{"+one+","+one+"}", 8), "stands twice"},
		{"name twice, escaped", raw("{"+one+","+strings.Replace(one, "a", `\u0061`, 1)+"}", 8), "stands twice"},
		{"key twice", raw(`{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "stands twice"},
		{"missing key", raw(`{"a":{"dtype":"F32","shape":[2]}}`, 8), "needs dtype"},
		{"unknown key", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8), "unknown key"},
		{"other type", raw(`{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`, 8), "only F32"},
		{"negative dimension", raw(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "not an integer"},
		{"fraction", raw(`{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}`, 8), "not an integer"},
		{"null as a dimension", raw(`{"a":{"dtype":"F32","shape":[null],"data_offsets":[0,0]}}`, 0), "not an integer"},
		{"dimension beyond int", raw(`{"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}}`, 8), "not an integer"},
		{"product overflows", raw(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}`, 0), "overflows"},
		{"product overflows to the size", raw(`{"a":{"dtype":"F32","shape":[4611686018427387905,4],"data_offsets":[0,16]}}`, 16), "overflows"},
		{"null dimension", raw(`{"a":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}`, 4), "belongs"},
		{"one offset", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}`, 8), "bytes [8]"},
		{"offsets backwards", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "bytes [8 0]"},
		{"offsets of another size", raw(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4), "bytes [0 4]"},
		{"beyond the end", raw("{"+one+"}", 4), "ends at byte 8 of 4"},
		{"huge, nothing there", raw(`{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}`, 4), "ends at byte 4000000000000"},
		{"hole at the start", raw(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "starts at byte 4"},
		{"overlap", raw("{"+one+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "starts at byte 4"},
		{"the same bytes twice", raw("{"+one+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "starts at byte 0"},
		{"bytes left over", raw("{"+one+"}", 9), "9 bytes of values"},
		{"metadata of numbers", raw(`{"__metadata__":{"a":1}}`, 0), "string belongs"},
		{"metadata twice", raw(`{"__metadata__":{},"__metadata__":{}}`, 0), "stands twice"},
		{"metadata key twice", raw(`{"__metadata__":{"a":"1","a":"2"}}`, 0), "stands twice"},
	}
	for _, test := range tests {
		f, err := Parse(test.data)
		if err == nil {
			t.Errorf("%s: accepted as %v", test.name, f)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %q, want one with %q", test.name, err, test.want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, f := range map[string]*File{
		"size":         {Tensors: map[string]Tensor{"a": {Shape: []int{3}, Data: []float32{1}}}},
		"negative":     {Tensors: map[string]Tensor{"a": {Shape: []int{-1}}}},
		"reserved":     {Tensors: map[string]Tensor{"__metadata__": {Shape: []int{0}}}},
		"not UTF-8":    {Tensors: map[string]Tensor{"\xff": {Shape: []int{0}}}},
		"bad metadata": {Metadata: map[string]string{"a": "\xff"}},
	} {
		var b bytes.Buffer
		if err := Write(&b, f); err == nil || b.Len() > 0 {
			t.Errorf("%s: got error %v and %d bytes, want an error and nothing written", name, err, b.Len())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(encode(f, sample()))
	f.Add(raw(`{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}`, 4))
	f.Add(raw(`{"a":{"dtype":"F32","shape":[0,9],"data_offsets":[0,0]},"__metadata__":{"b":"c"}}  `, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file, err := Parse(data)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(100*len(data)+1<<20) {
			t.Errorf("%d bytes allocated for a file of %d", grown, len(data))
		}
		if err != nil {
			return
		}
		values := 0
		for name, tensor := range file.Tensors {
			n, err := size(tensor.Shape)
			if err != nil || n != len(tensor.Data) {
				t.Errorf("tensor %q: %d values for shape %v", name, len(tensor.Data), tensor.Shape)
			}
			values += 4 * n
		}
		if want := len(data) - 8 - int(binary.LittleEndian.Uint64(data)); values != want {
			t.Errorf("%d bytes in tensors, the file holds %d", values, want)
		}
		again, err := Parse(encode(t, file))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if !bytes.Equal(encode(t, again), encode(t, file)) {
			t.Error("written twice, the files differ")
		}
	})
}
