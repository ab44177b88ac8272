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
			for i := range p.values {
				if v := &p.values[i]; v.lines > 0 {
					*v.live(whole, 0) = v.shape.Height
				}
			}
			short.Run(1)
			whole.Run(1)
			for i := range p.outputs {
				if got, want := short.Output(i, 0), whole.Output(i, 0); !slices.Equal(got, want) {
					t.Fatalf("bytes %t: with %d bytes output %d is %g apart from the whole's", encoded, length, i, apart(got, want))
				}
			}
			// 60 bytes are 3 lines. The stem makes 2 of them; the first block's filters of 3×3 reach
			// one more, the second block's halve that and reach one more.
			if length != 60 {
				continue
			}
			for i := range p.values {
				v := &p.values[i]
				if most := map[int]int{20: 3, 10: 3, 5: 2}[v.shape.Height]; v.lines > 0 && *v.live(short, 0) > most {
					t.Errorf("bytes %t: with 60 bytes %d lines of %s are computed, want at most %d", encoded, *v.live(short, 0), p.names[i], most)
				}
				if v.buffer != nil && v.shape.Height > 1 && v.lines == 0 {
					t.Errorf("bytes %t: all lines of %s are computed", encoded, p.names[i])
				}
			}
		}
	}
}
