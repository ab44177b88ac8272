package event

import (
	"encoding/binary"
	"errors"

	"github.com/weirnet/weir/flow"
)

// Sample is what a decided flow can be learned from, and be grouped with others by. It holds payload: it goes to the history of the
// machine that saw it and nowhere else.
type Sample struct {
	Start      Time    // of the flow
	Embedding  []int8  // its direction among flows, to be compared by the cosine; nil: not known
	Nearest    string  // label whose flows in training are most similar; "": not known
	Similarity float64 // to them, by the cosine
	Limit      float64 // similarity from which flows are taken for alike by the model; 0: not known
	Opening    []byte  // see AppendOpening
}

// MaxOpening bounds the bytes of a Sample's Opening. Ten payloads of 784 bytes take a quarter of it.
const MaxOpening = 32 << 10

// openingVersion begins every opening.
const openingVersion = 1

// AppendOpening appends an opening of a flow that started at a time, as samples hold it (docs/formats.md). What would make it longer than
// MaxOpening is left out: whole payloads, the last ones.
func AppendOpening(dst []byte, start int64, payloads []flow.Payload) []byte {
	from := len(dst)
	dst = append(dst, openingVersion)
	for i := range payloads {
		p := &payloads[i]
		before := len(dst)
		dst = binary.AppendVarint(dst, p.Nanos-start)
		dst = binary.AppendUvarint(dst, uint64(p.Len)<<1|uint64(p.Dir&1))
		dst = binary.AppendUvarint(dst, uint64(len(p.Data)))
		dst = append(dst, p.Data...)
		if len(dst)-from > MaxOpening {
			return dst[:before]
		}
	}
	return dst
}

// ErrOpening says that bytes are no opening.
var ErrOpening = errors.New("event: bytes that are no opening")

// ParseOpening reads what AppendOpening wrote of a flow that started at a time. The payloads refer to b.
func ParseOpening(b []byte, start int64) ([]flow.Payload, error) {
	if len(b) == 0 || b[0] != openingVersion || len(b) > MaxOpening {
		return nil, ErrOpening
	}
	var payloads []flow.Payload
	for b = b[1:]; len(b) > 0; {
		after, n := binary.Varint(b)
		if n <= 0 {
			return nil, ErrOpening
		}
		length, k := binary.Uvarint(b[n:])
		if k <= 0 || length>>1 > 1<<31-1 {
			return nil, ErrOpening
		}
		captured, j := binary.Uvarint(b[n+k:])
		b = b[min(n+k+max(j, 0), len(b)):]
		if j <= 0 || captured > uint64(len(b)) || captured > length>>1 {
			return nil, ErrOpening
		}
		payloads = append(payloads, flow.Payload{Nanos: start + after, Dir: flow.Direction(length & 1), Len: int(length >> 1), Data: b[:captured:captured]})
		b = b[captured:]
	}
	return payloads, nil
}
