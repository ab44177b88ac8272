//go:build !linux

package kernel

import "testing"

// buffer is test memory; on Linux it ends at a page which may not be touched.
type buffer struct{ floats []float32 }

func newBuffer(t testing.TB, floats int) *buffer {
	t.Helper()
	return &buffer{make([]float32, floats)}
}
