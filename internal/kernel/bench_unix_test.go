//go:build unix

package kernel

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/weirnet/weir/internal/kernel/peak"
)

// cpuTime is the time that this process has had, so that what else the machine does blurs the
// figures less.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// gemmShapes are products that package nn asks for.
var gemmShapes = []struct {
	name           string
	transA, transB bool
	m, n, k, lda   int // lda 0: dense
}{
	{"square", false, false, 512, 512, 512, 0},
	{"conv1x1", false, false, 196 * 16, 64, 256, 0},
	{"conv3x3", false, false, 784, 16, 144, 0},
	{"conv3x3deep", false, false, 49 * 8, 256, 576, 0},
	{"conv1x1small", false, false, 784, 64, 16, 0},
	{"conv1dstrided", false, false, 64 * 32, 32, 64, 32},
	{"dense", false, false, 64, 256, 784, 0},
	{"denseInputGrad", false, true, 64, 784, 256, 0},
	{"denseWeightGrad", true, false, 784, 256, 64, 0},
	{"lstmStep", false, false, 16, 256, 64, 0},
	{"lstmStepInputGrad", false, true, 16, 64, 256, 0},
	{"lstmBatch", false, false, 64, 512, 128, 0},
	{"lstmBatchInputGrad", false, true, 64, 128, 512, 0},
	{"lstmWeightGrad", true, false, 64, 256, 160, 0},
	{"convWeightGrad", true, false, 64, 64, 196 * 16, 0},
	{"conv1dWeightGrad", true, false, 64, 32, 64 * 32, 32},
	{"convInputGrad", false, true, 196 * 8, 256, 64, 0},
	{"row", false, false, 1, 256, 784, 0},
	{"rowTransB", false, true, 1, 256, 784, 0},
	{"rows4", false, false, 4, 512, 128, 0},
}

func BenchmarkGemm(b *testing.B) {
	before := active
	defer func() { active = before }()
	for _, s := range gemmShapes {
		for _, v := range supported() {
			b.Run(fmt.Sprintf("%s/%dx%dx%d/%s", s.name, s.m, s.n, s.k, v), func(b *testing.B) {
				active = v
				lda, ldb := s.k, s.n
				if s.transA {
					lda = s.m
				}
				if s.transB {
					ldb = s.k
				}
				if s.lda != 0 {
					lda = s.lda
				}
				r := rand.New(rand.NewPCG(1, 1))
				x, y, c := randomFloats(r, s.m*s.k), randomFloats(r, s.k*s.n), make([]float32, s.m*s.n)
				loop, known := peak.Floats(v.String())
				besidePeak(b, s.m*s.n*s.k, func() {
					Gemm(s.transA, s.transB, s.m, s.n, s.k, x, lda, y, ldb, 0, c, s.n)
				}, loop, known)
			})
		}
	}
}

func BenchmarkElementwise(b *testing.B) {
	before := active
	defer func() { active = before }()
	const rows, columns = 256, 64
	for _, k := range kernelCases {
		for _, v := range supported() {
			b.Run(fmt.Sprintf("%s/%s", k.name, v), func(b *testing.B) {
				active = v
				r := rand.New(rand.NewPCG(1, 1))
				var x [][]float32
				for _, n := range k.sizes(rows, columns) {
					x = append(x, randomFloats(r, n))
				}
				start := cpuTime()
				for b.Loop() {
					k.run(x)
				}
				b.ReportMetric(float64(cpuTime()-start)/float64(b.N*rows*columns), "ns/element")
			})
		}
	}
}

// BenchmarkLookup is what profile default does with a payload of 256 bytes beside its products, and
// the end of profile paper's convolutions.
func BenchmarkLookup(b *testing.B) {
	before := active
	defer func() { active = before }()
	r := rand.New(rand.NewPCG(2, 1))
	table := NewTable(randomFloats(r, 8*257*32), 8, 257, 32, 4)
	text, sums, bytes := make([]uint16, 256), make([]float32, table.Places(256)*32), make([]uint8, 63*32)
	grams, index, bag := randomFloats(r, 8192*32), make([]uint16, 253), make([]float32, 32)
	for i := range text {
		text[i] = uint16(r.IntN(257))
	}
	for i := range index {
		index[i] = uint16(r.IntN(8192))
	}
	image, mean := make([]uint8, 16*256), make([]float32, 256)
	logits := randomFloats(r, 20)
	for _, op := range []struct {
		name string
		run  func()
	}{
		{"Table 63×8 rows of 32", func() { table.Floats(sums, text, true) }},
		{"SumRows 253 rows of 32", func() { SumRows(bag, grams, index) }},
		{"Quantise 2016", func() { Quantise(bytes, sums, 1, 0) }},
		{"AverageBytes 16 rows of 256", func() { AverageBytes(mean, image, 0.1) }},
		{"Softmax 20", func() { Softmax(logits) }},
	} {
		for _, v := range supported() {
			b.Run(fmt.Sprintf("%s/%s", op.name, v), func(b *testing.B) {
				active = v
				start := cpuTime()
				for b.Loop() {
					op.run()
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(cpuTime()-start)/1e3/float64(b.N), "µs/call")
			})
		}
	}
}
