//go:build !(amd64 || arm64) || purego

package flow

import "unsafe"

// prefetch does nothing: Table.Fetch reads what it prefetches for its next step, and the processor does
// some of it at a time.
func prefetch(unsafe.Pointer) {}
