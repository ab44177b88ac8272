package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The IDX format of the MNIST files (http://yann.lecun.com/exdb/mnist/): two zero bytes, the type
// of the elements, the number of dimensions, each dimension as a big-endian uint32, then the
// elements, the last dimension running fastest. Only unsigned bytes are read and written here.
const (
	idxUint8  = 0x08
	idxImages = 3 // dimensions of a file of images: count, rows, columns
	idxLabels = 1 // dimensions of a file of labels: count
)

// ErrIDX is what reading an IDX file that is not one gives, wrapped with the cause.
var ErrIDX = errors.New("dataset: bad IDX file")

// maxIDX is the largest size of the elements of an IDX file, in bytes: they are held in memory.
const maxIDX = 4 << 30

// ReadIDX reads an IDX file of unsigned bytes: its dimensions and its elements. A file that holds
// fewer or more elements than its dimensions say is refused.
func ReadIDX(r io.Reader) (dims []int, elements []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, nil, fmt.Errorf("%w: shorter than its header", ErrIDX)
	}
	switch {
	case head[0] != 0 || head[1] != 0:
		return nil, nil, fmt.Errorf("%w: starts with %#x", ErrIDX, head)
	case head[2] != idxUint8:
		return nil, nil, fmt.Errorf("%w: elements of type %#x, only unsigned bytes (0x08) are read", ErrIDX, head[2])
	case head[3] < 1 || head[3] > 4:
		return nil, nil, fmt.Errorf("%w: %d dimensions", ErrIDX, head[3])
	}
	size := int64(1)
	for range head[3] {
		var dim [4]byte
		if _, err := io.ReadFull(r, dim[:]); err != nil {
			return nil, nil, fmt.Errorf("%w: shorter than its header", ErrIDX)
		}
		d := int64(binary.BigEndian.Uint32(dim[:]))
		dims = append(dims, int(d))
		if d != 0 && size > maxIDX/d {
			return nil, nil, fmt.Errorf("%w: dimensions %d are more than %d bytes", ErrIDX, dims, int64(maxIDX))
		}
		size *= d
	}
	// The dimensions are not trusted with memory: the buffer grows with what is really there.
	elements, err = io.ReadAll(io.LimitReader(r, size+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %v", ErrIDX, err)
	case int64(len(elements)) < size:
		return nil, nil, fmt.Errorf("%w: %d bytes of elements, dimensions %d need %d", ErrIDX, len(elements), dims, size)
	case int64(len(elements)) > size:
		return nil, nil, fmt.Errorf("%w: more elements than dimensions %d say", ErrIDX, dims)
	}
	return dims, elements, nil
}

// WriteIDX writes an IDX file of unsigned bytes: the first dimension is the number of items that
// next is called for, the others are dims. next appends the bytes of item i to dst.
func WriteIDX(w io.Writer, count int, dims []int, next func(dst []byte, i int) []byte) error {
	head := []byte{0, 0, idxUint8, byte(1 + len(dims))}
	size := 1
	for _, d := range append([]int{count}, dims...) {
		head = binary.BigEndian.AppendUint32(head, uint32(d))
	}
	for _, d := range dims {
		size *= d
	}
	b := bufio.NewWriterSize(w, 64<<10)
	b.Write(head)
	var item []byte
	for i := range count {
		if item = next(item[:0], i); len(item) != size {
			return fmt.Errorf("dataset: item %d has %d bytes, dimensions %d need %d", i, len(item), dims, size)
		}
		b.Write(item)
	}
	return b.Flush()
}
