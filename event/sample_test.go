package event

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/weirnet/weir/flow"
)

func TestOpeningRoundTrip(t *testing.T) {
	want := []flow.Payload{
		{Nanos: 1_000_000_123, Dir: flow.Originator, Len: 5, Data: []byte("hello")},
		{Nanos: 999_000_000, Dir: flow.Responder, Len: 1400, Data: bytes.Repeat([]byte{0}, 784)}, // before the start: clocks go back
		{Nanos: 1_000_000_123, Dir: flow.Responder, Len: 9, Data: []byte{}},
	}
	got, err := ParseOpening(AppendOpening(nil, 1_000_000_000, want), 1_000_000_000)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
}

func TestOpeningIsBounded(t *testing.T) {
	var long []flow.Payload
	for range 100 {
		long = append(long, flow.Payload{Len: 1000, Data: make([]byte, 1000)})
	}
	b := AppendOpening([]byte("before"), 0, long)
	if len(b) > len("before")+MaxOpening || len(b) < MaxOpening-1100 {
		t.Errorf("%d bytes, at most %d are wanted, and hardly less", len(b), MaxOpening)
	}
	got, err := ParseOpening(b[len("before"):], 0)
	if err != nil || len(got) != 32 {
		t.Errorf("%d payloads, %v; want the first 32, whole", len(got), err)
	}
}

func FuzzParseOpening(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add([]byte{1, 0, 10, 5, 'h', 'e', 'l', 'l', 'o'}, int64(7))
	f.Add([]byte{1, 0, 4, 200, 200, 200, 200, 200, 200, 200, 200, 200, 1}, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, start int64) {
		payloads, err := ParseOpening(b, start)
		if err != nil {
			return
		}
		again, err := ParseOpening(AppendOpening(nil, start, payloads), start)
		if err != nil || !reflect.DeepEqual(again, payloads) {
			t.Errorf("read again: %v, %v; want %v", again, err, payloads)
		}
	})
}
