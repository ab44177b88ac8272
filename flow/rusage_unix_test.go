//go:build unix

package flow

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the processor time that the process has taken.
func cpuTime() time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// reportCPU adds the processor time per operation since from to a benchmark's result: on a shared
// machine it says more than the time that passed.
func reportCPU(b *testing.B, from time.Duration, operations int) {
	b.ReportMetric(float64(cpuTime()-from)/float64(operations), "cpu-ns/op")
}
