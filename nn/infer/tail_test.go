package infer

import (
	"slices"
	"testing"

	"github.com/weirnet/weir/nn"
)

// The bits are those of an image computed whole, and less than the whole is computed.
func TestLinesBehindThePayloadAreLeftOut(t *testing.T) {
	for _, encoded := range []bool{false, true} {
		r := nn.NewRand(2)
		n := large["image"](r)
		var o Options
		if encoded {
			o.Ranges = observe(t, n, r)
		}
		p := compile(t, n.g, o)
		short, whole := p.NewWorker(), p.NewWorker()
		full := make([]byte, 400)
		for i := range full {
			full[i] = byte(1 + r.Uint64()%255)
		}
		for _, length := range []int{400, 21, 0, 130, 399, 1, 400, 60} {
			short.SetBytes(0, 0, full[:length])
			whole.SetBytes(0, 0, full[:length])
			for i := range whole.lines {
				whole.lines[i] = 20
			}
			short.Run(1)
			whole.Run(1)
			for i := range p.outputs {
				if got, want := short.Output(i, 0), whole.Output(i, 0); !slices.Equal(got, want) {
					t.Fatalf("bytes %t: with %d bytes output %d is %g apart from the whole's", encoded, length, i, apart(got, want))
				}
			}
			// 60 bytes are 3 lines; the stem makes 2 of them and the first block 3 again.
			if got := slices.Max(short.lines); length == 60 && got != 3 {
				t.Errorf("bytes %t: with 60 bytes %d lines are computed, want 3", encoded, got)
			}
		}
	}
}
