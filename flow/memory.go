package flow

import "unsafe"

// memory is what a table's cells, index and openings lie in: pieces from the system that the garbage
// collector neither scans nor counts, or plain Go memory where there is no such thing. Nothing in it is
// a pointer. Pieces never move and go back all together.
type memory struct {
	mapped [][]byte
	onHeap bool // take Go memory: for tests of what other systems do
}

// pieceLen is the size of most pieces, bytes: that of a huge page.
const pieceLen = 2 << 20

// piece returns n zero bytes that begin at a multiple of 64, and of pieceLen where the system gives
// memory itself. With huge the system is asked for huge pages, which makes them resident as a whole
// when the first byte is used.
func (m *memory) piece(n int, huge bool) []byte {
	if !m.onHeap {
		if all, use := mapPiece(n); use != nil {
			m.mapped = append(m.mapped, all)
			if huge {
				adviseHuge(use)
			}
			return use
		}
	}
	return make([]byte, n)
}

// free gives everything back. No address in it may be used after.
func (m *memory) free() {
	for _, piece := range m.mapped {
		unmapPiece(piece)
	}
	m.mapped = nil
}

// as returns a piece as a value of a type without pointers.
func as[T any](piece []byte) *T {
	if uintptr(len(piece)) < unsafe.Sizeof(*new(T)) {
		panic("flow: piece of memory too short")
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(piece)))
}

// gap returns the bytes to the first address in b that is a multiple of pieceLen.
func gap(b []byte) int {
	return int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) % pieceLen)
}
