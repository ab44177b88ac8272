//go:build (amd64 || arm64) && !purego

package flow

import "unsafe"

// prefetch asks the processor for the cache line at p and does not wait for it. A load would do too,
// but the processor runs only some hundred instructions past a load that has not come, and so has fewer
// lines on their way: 105 ns instead of 60 per packet at 10 million flows.
//
//go:noescape
func prefetch(p unsafe.Pointer)
