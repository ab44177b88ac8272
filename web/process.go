package web

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// process appends what the process needs, under the names that Prometheus's own libraries give it.
func (x *exposition) process() {
	if cpu, ok := cpuSeconds(); ok {
		x.family("process_cpu_seconds_total", "counter", "Processor time, user and system.")
		x.sample("process_cpu_seconds_total", "", "", cpu)
	}
	if resident, ok := residentBytes(); ok {
		x.gauge("process_resident_memory_bytes", "Memory that is there, rings and mapped files among it.", float64(resident))
	}
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(heap)
	x.gauge("go_memstats_heap_alloc_bytes", "Objects of Go, dead ones that are not collected yet among them. Flows are not in Go's heap.", float64(heap[0].Value.Uint64()))
	x.gauge("weir_go_memory_bytes", "Memory that Go's runtime holds.", float64(heap[1].Value.Uint64()-heap[2].Value.Uint64()))
	x.gauge("go_goroutines", "Goroutines.", float64(runtime.NumGoroutine()))
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	x.family("go_gc_duration_seconds", "summary", "Pauses of garbage collection.")
	x.sample("go_gc_duration_seconds_sum", "", "", gc.PauseTotal.Seconds())
	x.sample("go_gc_duration_seconds_count", "", "", float64(gc.NumGC))
}
