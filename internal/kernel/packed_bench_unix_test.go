//go:build unix

package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirnet/weir/internal/kernel/peak"
)

// layerShape is a layer of a network as a product on an image: one part, or two as at the end of a
// residual block.
type layerShape struct {
	name  string
	grid  Grid // of what is written
	out   int
	parts []convShape
}

// convShape is a convolution with its own padding.
type convShape struct{ in, kernel, stride int }

// benchLayers are those of the packet network of profile paper (classify.NewArchitecture) and of its
// flow network, then layers of profile default.
var benchLayers = []layerShape{
	{"stem3x3s2", Grid{14, 14}, 16, []convShape{{1, 3, 2}}},
	{"block1.1x1", Grid{14, 14}, 16, []convShape{{16, 1, 1}}},
	{"block1.3x3", Grid{14, 14}, 16, []convShape{{16, 3, 1}}},
	{"block1.end", Grid{14, 14}, 64, []convShape{{16, 1, 1}, {16, 1, 1}}},
	{"block2.1x1", Grid{14, 14}, 32, []convShape{{64, 1, 1}}},
	{"block2.3x3s2", Grid{7, 7}, 32, []convShape{{32, 3, 2}}},
	{"block2.end", Grid{7, 7}, 128, []convShape{{32, 1, 1}, {64, 1, 2}}},
	{"block3.1x1", Grid{7, 7}, 64, []convShape{{128, 1, 1}}},
	{"block3.3x3s2", Grid{4, 4}, 64, []convShape{{64, 3, 2}}},
	{"block3.end", Grid{4, 4}, 256, []convShape{{64, 1, 1}, {128, 1, 2}}},
	{"dense", Grid{1, 1}, 128, []convShape{{256, 1, 1}}},
	{"wide3x3", Grid{14, 14}, 64, []convShape{{64, 3, 1}}},
	{"lstm", Grid{1, 1}, 512, []convShape{{784, 1, 1}, {128, 1, 1}}},
	{"lstm.batch32", Grid{1, 32}, 512, []convShape{{784, 1, 1}, {128, 1, 1}}},
	{"default.dense", Grid{1, 1}, 96, []convShape{{2048, 1, 1}}},
	{"default.dense.batch32", Grid{1, 32}, 96, []convShape{{2048, 1, 1}}},
	{"default.head", Grid{1, 1}, 20, []convShape{{96, 1, 1}}},
	{"default.lstm", Grid{1, 1}, 512, []convShape{{118, 1, 1}, {128, 1, 1}}},
}

// products counts them.
func (l layerShape) products() (n int) {
	for _, c := range l.parts {
		n += l.grid.Height * l.grid.Width * l.out * c.kernel * c.kernel * c.in
	}
	return n
}

// parts are the runs of the layer, padded images of which they are taken, and their strides.
func leftSides[T float32 | uint8](l layerShape, next func() T) (runs []Runs, left [2]Left[T]) {
	for i, c := range l.parts {
		runs = append(runs, Runs{Segments: c.kernel, Length: c.kernel * c.in})
		height, width := (l.grid.Height-1)*c.stride+c.kernel, (l.grid.Width-1)*c.stride+c.kernel
		data := make([]T, height*width*c.in+3)
		for j := range data {
			data[j] = next()
		}
		left[i] = Left[T]{data, width * c.in * c.stride, c.in * c.stride, width * c.in}
	}
	return runs, left
}

// rows is how many elements the right matrix has in a column.
func rows(runs []Runs) (n int) {
	for _, r := range runs {
		n += r.Segments * r.Length
	}
	return n
}

// besidePeak runs a product and the loop of the same multipliers in turns, about 50 µs of each.
func besidePeak(b *testing.B, products int, run func(), loop peak.Loop, known bool) {
	repeat := func(f func(int)) (n int) {
		for n = 1; ; n *= 2 {
			start := cpuTime()
			f(n)
			if cpuTime()-start > 50*time.Microsecond {
				return n
			}
		}
	}
	times := func(n int) {
		for range n {
			run()
		}
	}
	if !known {
		loop.Run = func(int) { time.Sleep(0) }
	}
	n, rounds := repeat(times), 1
	if known {
		rounds = repeat(loop.Run)
	}
	var spent, spun time.Duration
	turns := 0
	for b.Loop() {
		start := cpuTime()
		times(n)
		middle := cpuTime()
		loop.Run(rounds)
		spent, spun = spent+middle-start, spun+cpuTime()-middle
		turns++
	}
	rate := float64(products) * float64(n*turns) / spent.Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(spent.Seconds()*1e6/float64(n*turns), "µs/product")
	b.ReportMetric(2*rate/1e9, "GOP/s")
	if known {
		most := float64(loop.Products) * float64(rounds*turns) / spun.Seconds()
		b.ReportMetric(2*most/1e9, "peak-GOP/s")
		b.ReportMetric(100*rate/most, "%peak")
	}
}

// BenchmarkPackedFloats is the layers of benchLayers in f32, beside the peak.
func BenchmarkPackedFloats(b *testing.B) {
	benchPacked(b, func(b *testing.B, layers []layerShape, v variant) {
		r := rand.New(rand.NewPCG(1, 1))
		var all []func()
		products := 0
		for _, l := range layers {
			runs, left := leftSides(l, normal(r))
			w := PackFloats(randomFloats(r, rows(runs)*l.out), l.out, nil, runs...)
			p := &FloatProduct{Grid: l.grid, A: left, ReLU: true, Dst: Places[float32]{make([]float32, l.grid.Height*l.grid.Width*l.out), l.grid.Width * l.out, l.out}}
			all = append(all, func() { w.Multiply(p) })
			products += l.products()
		}
		loop, known := peak.Floats(v.String())
		besidePeak(b, products, each(all), loop, known)
	})
}

// BenchmarkPackedBytes is the same in int8.
func BenchmarkPackedBytes(b *testing.B) {
	benchPacked(b, func(b *testing.B, layers []layerShape, v variant) {
		r := rand.New(rand.NewPCG(1, 1))
		var all []func()
		products := 0
		for _, l := range layers {
			runs, left := leftSides(l, func() uint8 { return uint8(r.Uint32()) })
			weights := make([]int8, rows(runs)*l.out)
			for i := range weights {
				weights[i] = int8(r.Uint32())
			}
			w := PackBytes(weights, l.out, randomFloats(r, l.out), randomFloats(r, l.out), runs...)
			p := &ByteProduct{Grid: l.grid, A: left, Dst: Places[uint8]{make([]uint8, l.grid.Height*l.grid.Width*l.out), l.grid.Width * l.out, l.out}}
			all = append(all, func() { w.Multiply(p) })
			products += l.products()
		}
		loop, known := peak.Bytes(v.String())
		besidePeak(b, products, each(all), loop, known)
	})
}

func each(list []func()) func() {
	return func() {
		for _, f := range list {
			f()
		}
	}
}

// benchPacked runs the layers one by one, and all convolutions of the paper's network together.
func benchPacked(b *testing.B, run func(b *testing.B, layers []layerShape, v variant)) {
	before := active
	defer func() { active = before }()
	for i := range len(benchLayers) + 1 {
		name, layers := "paper", benchLayers[:10]
		if i > 0 {
			name, layers = benchLayers[i-1].name, benchLayers[i-1:i]
		}
		for _, v := range supported() {
			b.Run(fmt.Sprintf("%s/%s", name, v), func(b *testing.B) {
				active = v
				run(b, layers, v)
			})
		}
	}
}
