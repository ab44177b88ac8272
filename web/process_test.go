package web

import (
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestProcessMetrics(t *testing.T) {
	ballast := make([]byte, 64<<20)
	for i := range ballast {
		ballast[i] = 1
	}
	runtime.GC()
	var x exposition
	x.process()
	got := map[string]float64{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+) (.+)$`).FindAllStringSubmatch(string(x.text), -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Error(err)
		}
		got[m[1]] = v
	}
	least := map[string]float64{
		"go_memstats_heap_alloc_bytes": 64 << 20, "weir_go_memory_bytes": 64 << 20, "go_goroutines": 1, "go_gc_duration_seconds_count": 1, "go_gc_duration_seconds_sum": 1e-9,
	}
	if runtime.GOOS == "linux" {
		least["process_resident_memory_bytes"], least["process_cpu_seconds_total"] = 64<<20, 1e-3
	}
	for name, want := range least {
		if got[name] < want || got[name] > 1<<40 {
			t.Errorf("%s is %g, want %g or more", name, got[name], want)
		}
	}
	runtime.KeepAlive(ballast)
	if !strings.Contains(string(x.text), "# TYPE go_gc_duration_seconds summary\n") {
		t.Errorf("no summary of pauses:\n%s", x.text)
	}
	checkMetrics(t, string(x.text))
}
