package kernel

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weirnet/weir/internal/kernel/peak"
)

// eachVariant runs a test under every variant that this machine can run.
func eachVariant(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	before := active
	defer func() { active = before }()
	for _, v := range supported() {
		active = v
		t.Run(v.String(), test)
	}
}

const canary = 12345.678

// last returns the last n floats of the memory, filled by next, behind 16 canaries.
func (b *buffer) last(n int, next func() float32) []float32 {
	end := len(b.floats)
	for i := end - n - 16; i < end-n; i++ {
		b.floats[i] = canary
	}
	x := b.floats[end-n : end : end]
	for i := range x {
		x[i] = next()
	}
	return x
}

// check fails the test when one of the canaries before the last n floats is gone.
func (b *buffer) check(t testing.TB, name string, n int) {
	t.Helper()
	end := len(b.floats)
	for i := end - n - 16; i < end-n; i++ {
		if b.floats[i] != canary {
			t.Fatalf("%s: wrote %v to float %d before the buffer", name, b.floats[i], end-n-i)
		}
	}
}

func normal(r *rand.Rand) func() float32 {
	return func() float32 { return float32(r.NormFloat64()) }
}

func randomFloats(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// sameBits reports the first index at which x and y differ, or -1.
func sameBits(x, y []float32) int {
	for i := range x {
		if math.Float32bits(x[i]) != math.Float32bits(y[i]) {
			return i
		}
	}
	return -1
}

func TestChoose(t *testing.T) {
	tests := []struct {
		wish string
		can  []variant
		want variant
		err  string
	}{
		{"", []variant{avx512, avx2, plain}, avx512, ""},
		{"", []variant{plain}, plain, ""},
		{"go", []variant{avx512, avx2, plain}, plain, ""},
		{"avx2", []variant{avx512, avx2, plain}, avx2, ""},
		{"avx512", []variant{avx2, plain}, avx2, "cannot run here"},
		{"sse9", []variant{avx2, plain}, avx2, "is unknown"},
	}
	for _, test := range tests {
		got, err := choose(test.wish, test.can)
		if got != test.want {
			t.Errorf("WEIR_KERNEL=%q of %v: got %v, want %v", test.wish, test.can, got, test.want)
		}
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("WEIR_KERNEL=%q of %v: got error %v, want one that says %q", test.wish, test.can, err, test.err)
		}
	}
}

func TestAvailable(t *testing.T) {
	names := Available()
	if len(names) == 0 || names[len(names)-1] != "go" {
		t.Errorf("Available() = %v, want a list that ends on go", names)
	}
	if !strings.Contains(strings.Join(names, " "), Name()) {
		t.Errorf("Name() = %s, want one of %v", Name(), names)
	}
}

// Every variant with vectors has loops to be measured by, which end.
func TestPeakLoops(t *testing.T) {
	for _, v := range supported() {
		for name, of := range map[string]func(string) (peak.Loop, bool){"floats": peak.Floats, "bytes": peak.Bytes} {
			loop, known := of(v.String())
			if known != (v != plain) {
				t.Errorf("a loop of %s for %v: %v", name, v, known)
			}
			if known {
				loop.Run(3)
			}
		}
	}
}
