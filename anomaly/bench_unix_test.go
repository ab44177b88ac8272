//go:build unix

package anomaly

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/weirnet/weir/nn"
)

// The network alone, per sequence of three windows. Speed does not depend on what the weights are.
func BenchmarkNetwork(b *testing.B) {
	net := newNetwork(64)
	nn.Init(net.Params(), 1)
	r := nn.NewRand(2)
	for _, batch := range []int{1, 256} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			w := net.compile(batch).NewWorker()
			x := make([]float32, steps*features)
			for i := range x {
				x[i] = float32(r.Normal())
			}
			i := 0
			perCPU(b, func() {
				w.SetFloats(0, i, x)
				if i++; i == batch {
					w.Run(batch)
					i = 0
				}
			})
		})
	}
}

// perCPU runs f in a loop and reports the processor time it takes, so that what else the machine
// does blurs the figures less.
func perCPU(b *testing.B, f func()) {
	before := cpuTime(b)
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
