package anomaly

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
	"github.com/weirnet/weir/window"
)

// saved is a model that nobody trained, as Save gives it.
func saved(tb testing.TB) (settings []byte, weights map[string]safetensors.Tensor) {
	tb.Helper()
	m := &Model{Settings: Settings{
		Profile: Default, Features: window.FeatureVersion, Length: time.Second, Hidden: 2, Tunnels: true,
		ErrorScale: 1, DistanceScale: 1, Threshold: Threshold{Value: 1},
	}, net: newNetwork(2)}
	for i := range features {
		m.Scaling.Scale[i], m.ErrorVariance[i] = 1, 1
	}
	nn.Init(m.net.Params(), 1)
	m.distance.whiten = make([]float32, features*features)
	settings, weights, err := m.Save()
	if err != nil {
		tb.Fatal(err)
	}
	return settings, weights
}

func TestLoadRefusesStrayTensors(t *testing.T) {
	settings, weights := saved(t)
	m, err := Load(settings, weights)
	if err != nil {
		t.Fatal(err)
	}
	if !m.Tunnels {
		t.Error("the model forgot that it looked into tunnels")
	}
	stray := maps.Clone(weights)
	stray["extra"] = safetensors.Tensor{Shape: []int{1}, Data: []float32{1}}
	if _, err := Load(settings, stray); err == nil || !strings.Contains(err.Error(), `tensor "extra" belongs to nothing`) {
		t.Errorf("a tensor of nothing: %v", err)
	}
}

// Whatever settings say, they load with the weights at hand or are refused, and what loads can score.
func FuzzLoad(f *testing.F) {
	settings, weights := saved(f)
	f.Add(settings)
	for _, edit := range [][2]string{{`"profile":"default"`, `"profile":"paper"`}, {`"hidden":2`, `"hidden":3`}, {`"hidden":2`, `"hidden":4096`}, {`"window":1000000000`, `"window":-1`},
		{`"error_scale":1`, `"error_scale":1e308`}, {`"home"`, `"home":["10.0.0.0/8"],"x"`}, {`"value":1`, `"value":1e-320`}} {
		f.Add([]byte(strings.Replace(string(settings), edit[0], edit[1], 1)))
	}
	f.Fuzz(func(t *testing.T, settings []byte) {
		m, err := Load(settings, weights)
		if err != nil {
			return
		}
		d := m.NewDetector()
		for range steps + 1 {
			r := d.Score(window.Vector{1: 7})
			if r.Threshold != m.Threshold.Value || r.Score < 0 {
				t.Errorf("%s: result %+v", settings, r)
			}
		}
	})
}
