package kernel

import (
	"syscall"
	"testing"
	"unsafe"
)

// buffer is test memory that ends at a page which may not be touched: a kernel that reads or
// writes one float too far stops the test.
type buffer struct{ floats []float32 }

func newBuffer(t testing.TB, floats int) *buffer {
	t.Helper()
	page := syscall.Getpagesize()
	size := (4*floats + page - 1) / page * page
	mem, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("mapping test memory: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(mem); err != nil {
			t.Errorf("unmapping test memory: %v", err)
		}
	})
	if err := syscall.Mprotect(mem[size:], syscall.PROT_NONE); err != nil {
		t.Fatalf("protecting the page behind test memory: %v", err)
	}
	return &buffer{unsafe.Slice((*float32)(unsafe.Pointer(&mem[0])), size/4)}
}
