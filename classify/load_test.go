package classify

import (
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
)

// saved is a small model with novelty, as Save gives it.
func saved(tb testing.TB) (settings []byte, weights map[string]safetensors.Tensor) {
	tb.Helper()
	a := Architecture{
		Classes: 2, Packets: 2, Normaliser: Normaliser{Bytes: 8}, Encoding: 2, ByteSize: 2, Filters: 2, Width: 2, Stride: 2,
		Flow: true, LengthSize: 2, Hidden: 2, Layers: 1, Early: 0.9,
	}
	params := NewNetwork(a).Params()
	nn.Init(params, 1)
	novelty, err := FitNovelty([]Place{{State: []float32{0, 1}, Packets: 1}, {State: []float32{1, 0}, Packets: 2}, {State: []float32{1, 1}, Packets: 3}})
	if err != nil {
		tb.Fatal(err)
	}
	novelty.Thresholds = []float64{1, 1, 1, 1, 1}
	m, err := NewModel(Settings{Arch: a, PacketTemperature: 1, FlowTemperature: 1, Novelty: novelty, Tunnels: true}, []string{"a", "b"}, params)
	if err != nil {
		tb.Fatal(err)
	}
	if settings, weights, err = m.Save(); err != nil {
		tb.Fatal(err)
	}
	return settings, weights
}

func TestLoadRefuses(t *testing.T) {
	settings, weights := saved(t)
	m, err := Load(settings, []string{"a", "b"}, weights)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Tunnels {
		t.Error("the model forgot that it looked into tunnels")
	}
	tests := map[string]struct {
		change func(map[string]safetensors.Tensor)
		want   string
	}{
		"a tensor of nothing": {func(w map[string]safetensors.Tensor) {
			w["extra"] = safetensors.Tensor{Shape: []int{1}, Data: []float32{1}}
		}, `tensor "extra" belongs to nothing`},
		"novelty that is no number": {func(w map[string]safetensors.Tensor) {
			n := w[meansTensor]
			n.Data = append([]float32{float32(math.NaN())}, n.Data[1:]...)
			w[meansTensor] = n
		}, "novelty: a tensor holds NaN"},
		"infinite novelty": {func(w map[string]safetensors.Tensor) {
			n := w[whitenTensor]
			n.Data = append([]float32{float32(math.Inf(1))}, n.Data[1:]...)
			w[whitenTensor] = n
		}, "novelty: a tensor holds +Inf"},
	}
	for name, test := range tests {
		changed := maps.Clone(weights)
		test.change(changed)
		if _, err := Load(settings, []string{"a", "b"}, changed); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// Whatever settings say, they load with the weights at hand or are refused, and what loads can judge.
func FuzzLoad(f *testing.F) {
	settings, weights := saved(f)
	f.Add(settings)
	for _, edit := range [][2]string{{`"classes":2`, `"classes":3`}, {`"flow":true`, `"flow":false`}, {`"packet_temperature":1`, `"packet_temperature":1e-300`},
		{`"thresholds":[1,`, `"thresholds":[0,`}, {`"stride":2`, `"stride":0`}, {`"early":0.9`, `"early":-1`}, {`"bytes":8`, `"bytes":9`}, {`"hidden":2`, `"hidden":4096`}, {`"classes":2`, `"classes":4096`}, {`"packets":2`, `"packets":256`}} {
		f.Add([]byte(strings.Replace(string(settings), edit[0], edit[1], 1)))
	}
	f.Fuzz(func(t *testing.T, settings []byte) {
		m, err := Load(settings, []string{"a", "b"}, weights)
		if err != nil {
			return
		}
		in := Input{Bytes: make([]uint16, m.Arch.Normaliser.Bytes)}
		v := m.Judge(m.Engine(), []Input{in, in, in})
		if len(v.Packets) != 3 || v.Decided < 1 || !(v.Confidence >= 0 && v.Confidence <= 1.001) {
			t.Errorf("%s: verdict %+v", settings, v)
		}
	})
}
