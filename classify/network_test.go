package classify

import (
	"math"
	"slices"
	"testing"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/nn"
)

// small are networks of every kind, small enough to check value by value.
func small() map[string]Architecture {
	text := Architecture{
		Classes: 3, Packets: 4, Normaliser: Normaliser{Bytes: 24, Collapse: true, Runs: true},
		Encoding: 6, ByteSize: 2, Filters: 3, Width: 4, Stride: 2, Grams: 16, GramSize: 3, GramDrop: 0.3,
		Flow: true, LengthSize: 2, Hidden: 5, Layers: 1, Dropout: 0.2, ByteDrop: 0.3, Early: 0.9,
	}
	plain := text
	plain.Grams, plain.GramSize, plain.GramDrop, plain.ByteDrop, plain.Layers = 0, 0, 0, 0, 2
	image := text
	image.Flow = false
	raw := Architecture{
		Classes: 3, Packets: 4, Normaliser: Normaliser{Bytes: ImageSide * ImageSide}, Residual: true, Encoding: 4,
		Flow: true, RawBytes: true, Hidden: 4, Layers: 2, Dropout: 0.2, Shift: 0.7, Early: 2,
	}
	return map[string]Architecture{"text": text, "without grams": plain, "images": image, "paper": raw}
}

// flows are samples of one to four packets, of random bytes and lengths.
func flows(a *Architecture, n int) []*Sample {
	r := nn.NewRand(7)
	samples := make([]*Sample, n)
	for i := range samples {
		payloads := make([]flow.Payload, 1+i%a.Packets)
		if !a.Flow {
			payloads = payloads[:1]
		}
		for k := range payloads {
			data := make([]byte, 1+r.Uint64()%40)
			for j := range data {
				data[j] = byte(r.Uint64())
			}
			payloads[k] = flow.Payload{Nanos: int64(k) * 5e6, Dir: flow.Direction(r.Uint64() % 2), Len: len(data), Data: data}
		}
		samples[i] = &Sample{Inputs: a.Inputs(payloads, 6), Class: int32(i % a.Classes), Group: int32(i % a.Classes), Weight: 1 + float32(i%3)/4}
	}
	return samples
}

func initialised(a Architecture, seed uint64) *Network {
	n := NewNetwork(a)
	nn.Init(n.Params(), seed)
	return n
}

// The gradient of the joint loss is the slope of that loss, along random directions of each tensor.
// Random means the same in each pass: dropout is a function of the pass.
func TestNetworkGradient(t *testing.T) {
	for name, a := range small() {
		if name == "paper" {
			continue // its layers are checked in nn; joined they only make each other noisy
		}
		n := initialised(a, 3)
		samples := flows(&a, 8)
		pass := nn.Pass{Train: true, Seed: 5, Step: 2, Shard: 1}
		total := 0.0
		for _, s := range samples {
			total += float64(s.Weight)
		}
		loss := func() float64 { return n.Train(pass, samples, total, 0.05) }
		nn.ZeroGrad(n.Params())
		loss()
		gradients := map[string][]float32{}
		for _, p := range n.Params() {
			gradients[p.Name] = slices.Clone(p.Grad)
		}
		r := nn.NewRand(11)
		for _, p := range n.Params() {
			if p.Buffer() {
				continue
			}
			grad := gradients[p.Name]
			was := slices.Clone(p.Value)
			dir, norm := make([]float64, len(grad)), 0.0
			slope, length := 0.0, 0.0
			for i, g := range grad {
				dir[i] = r.Normal() + float64(g)
				norm += float64(g) * float64(g)
				length += dir[i] * dir[i]
			}
			length = math.Sqrt(length)
			at := func(h float64) float64 {
				for i := range p.Value {
					p.Value[i] = float32(float64(was[i]) + h*dir[i]/length)
				}
				return loss()
			}
			for i, g := range grad {
				slope += float64(g) * dir[i] / length
			}
			// The corners of ReLU lie anywhere: among several steps one must agree.
			best := math.Inf(1)
			for _, h := range []float64{1e-2, 3e-3, 1e-3, 3e-4} {
				best = min(best, math.Abs((at(h)-at(-h))/(2*h)-slope))
			}
			copy(p.Value, was)
			if limit := 0.02*math.Sqrt(norm) + 2e-4; best > limit {
				t.Errorf("%s: %s: the gradient says slope %.5g, the loss differs from that by %.2g (limit %.2g)", name, p.Name, slope, best, limit)
			}
		}
	}
}

// Packet by packet, as in service, gives what whole flows give in training's evaluation.
func TestStepAgreesWithPredict(t *testing.T) {
	for name, a := range small() {
		n := initialised(a, 3)
		samples := flows(&a, 6)
		// Running statistics that are not those of a fresh network.
		n.Train(nn.Pass{Train: true}, samples, 6, 0)
		packet, steps := n.Predict(samples)
		packet, steps = slices.Clone(packet), slices.Clone(steps)
		k, row := a.Classes, 0
		track := n.NewTrack()
		for i, s := range samples {
			track.Reset()
			for j := range s.Inputs {
				p, f := n.Step(track, &s.Inputs[j])
				near(t, name+": packet scores", i, j, p, packet[row*k:(row+1)*k])
				if a.Flow {
					near(t, name+": flow scores", i, j, f, steps[row*k:(row+1)*k])
				} else if f != nil {
					t.Errorf("%s: flow scores without a flow network", name)
				}
				row++
			}
			if track.Packets != len(s.Inputs) {
				t.Errorf("%s: %d packets seen, want %d", name, track.Packets, len(s.Inputs))
			}
		}
	}
}

func near(t *testing.T, what string, flow, packet int, got, want []float32) {
	t.Helper()
	for c := range want {
		if math.Abs(float64(got[c]-want[c])) > 1e-4 {
			t.Errorf("%s of flow %d, packet %d: class %d is %v by steps, %v at once", what, flow, packet, c, got[c], want[c])
		}
	}
}

// What a payload holds behind the bytes that are looked at changes nothing; neither does memory
// that an input had before.
func TestFillReusesItsMemory(t *testing.T) {
	a := small()["text"]
	var used Input
	a.Fill(&used, &flow.Payload{Data: []byte("a payload longer than the next one"), Len: 34}, 17, 3, 0)
	payload := &flow.Payload{Nanos: 2e9, Dir: flow.Responder, Len: 5000, Data: []byte("short")}
	a.Fill(&used, payload, 6, 1, 1e9)
	var fresh Input
	a.Fill(&fresh, payload, 6, 1, 1e9)
	if !slices.Equal(used.Bytes, fresh.Bytes) || used.Length != fresh.Length || used.Scalars != fresh.Scalars {
		t.Errorf("a used input becomes %+v, a fresh one %+v", used, fresh)
	}
	if used.Length != 2*lengthBuckets-1 {
		t.Errorf("a long payload of the responder has length index %d, want the last, %d", used.Length, 2*lengthBuckets-1)
	}
	if used.Bytes[4] != 't' || used.Bytes[5] != padding {
		t.Errorf("bytes %v, want the payload and padding", used.Bytes[:8])
	}
}

func TestGrams(t *testing.T) {
	row := func(s string) []uint16 {
		r := make([]uint16, 16)
		for i := range r {
			r[i] = padding
			if i < len(s) {
				r[i] = uint16(s[i])
			}
		}
		return r
	}
	const shift = 32 - 13
	tests := []struct {
		text string
		want int
	}{{"", 0}, {"abc", 0}, {"abcd", 1}, {"abcde", 2}, {"0123456789abcdef", 13}}
	for _, test := range tests {
		got := appendGrams(nil, row(test.text), shift)
		if len(got) != test.want {
			t.Errorf("%q has %d runs of four, want %d", test.text, len(got), test.want)
		}
		for _, k := range got {
			if k >= 8192 {
				t.Errorf("%q: index %d, want below 8192", test.text, k)
			}
		}
	}
	// The same run has the same index anywhere.
	a, b := appendGrams(nil, row("..host"), shift), appendGrams(nil, row("host"), shift)
	if a[2] != b[0] {
		t.Errorf("run host has index %d at place 2 and %d at place 0", a[2], b[0])
	}
}

func TestShift(t *testing.T) {
	a := Architecture{Normaliser: Normaliser{Bytes: 12}, Shift: 0.5}
	text := []uint16{'a', 'b', 'c', 'd', 'e', 'f', padding, padding, padding, padding, padding, padding}
	rows := slices.Repeat(text, 400)
	a.shift(nn.NewRand(1), rows)
	moved := 0
	for i := 0; i < len(rows); i += len(text) {
		row := rows[i : i+len(text)]
		if slices.Equal(row, text) {
			continue
		}
		moved++
		// Some first part stays; what follows is of the text.
		same := 0
		for row[same] == text[same] {
			same++
		}
		for _, b := range row[same:] {
			if !slices.Contains(text, b) {
				t.Errorf("row %v holds %d, which %v does not", row, b, text)
			}
		}
	}
	if moved < 140 || moved > 240 { // one in six of the moves that are drawn changes nothing
		t.Errorf("%d of 400 rows were moved, want about half", moved)
	}
}

func TestArchitectureCheck(t *testing.T) {
	for _, profile := range []string{Paper, Default} {
		a, err := NewArchitecture(profile, 5)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Check(); err != nil {
			t.Errorf("profile %s: %v", profile, err)
		}
	}
	if _, err := NewArchitecture("huge", 5); err == nil {
		t.Error("an unknown profile is taken")
	}
	tests := []struct {
		name  string
		spoil func(*Architecture)
	}{
		{"one class", func(a *Architecture) { a.Classes = 1 }},
		{"no packets", func(a *Architecture) { a.Packets = 0 }},
		{"too many bytes", func(a *Architecture) { a.Normaliser.Bytes = maxBytes + 1 }},
		{"a filter wider than the text", func(a *Architecture) { a.Width = 1000 }},
		{"no stride", func(a *Architecture) { a.Stride = 0 }},
		{"grams not a power of two", func(a *Architecture) { a.Grams = 1000 }},
		{"too many grams", func(a *Architecture) { a.Grams = 1 << 17 }},
		{"negative grams", func(a *Architecture) { a.Grams = -2 }},
		{"grams of no size", func(a *Architecture) { a.GramSize = 0 }},
		{"dropout of all", func(a *Architecture) { a.Dropout = 1 }},
		{"dropout of NaN", func(a *Architecture) { a.GramDrop = math.NaN() }},
		{"an image of another size", func(a *Architecture) { a.Residual = true }},
		{"a huge recurrent layer", func(a *Architecture) { a.Hidden = 1 << 20 }},
	}
	for _, test := range tests {
		a, _ := NewArchitecture(Default, 5)
		test.spoil(&a)
		if a.Check() == nil {
			t.Errorf("%s: not refused", test.name)
		}
	}
}
