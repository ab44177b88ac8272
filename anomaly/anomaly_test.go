package anomaly

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/safetensors"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// benign makes n windows of a small office: some web connections and DNS, now busy, now idle.
func benign(seed uint64, n int) []window.Vector {
	r := rand.New(rand.NewPCG(seed, 0))
	windows := make([]window.Vector, n)
	busy := 0.5
	for i := range windows {
		busy = max(0.05, min(1, busy+0.2*r.NormFloat64()))
		windows[i] = office(r, busy, 0)
	}
	return windows
}

// office is one window, with so many packets of a SYN flood in it.
func office(r *rand.Rand, busy float64, flood int) window.Vector {
	var p window.Partial
	add := func(src, dst byte, sport, dport uint16, proto, flags uint8, size int) {
		h := packet.Headers{
			Version: 4, Proto: proto, TTL: 64 - src%2, TCPFlags: flags, IPLen: size,
			SrcPort: sport, DstPort: dport, Has: packet.HasPorts,
		}
		if proto == 6 {
			h.Has |= packet.HasFlags
		}
		h.Src[3], h.Dst[3] = src, dst
		p.Add(&h)
	}
	for range int(40 * busy * r.Float64()) {
		host, port := byte(r.IntN(6)), uint16(40000+r.IntN(100))
		add(host, 200, port, 443, 6, packet.ACK, 52)
		add(200, host, 443, port, 6, packet.ACK|packet.PSH, 1000+r.IntN(460))
		if r.IntN(5) == 0 {
			add(host, 201, port, 53, 17, 0, 70)
			add(201, host, 53, port, 17, 0, 150)
		}
	}
	for range flood {
		add(byte(r.IntN(256)), 3, uint16(r.IntN(60000)), 80, 6, packet.SYN, 40)
	}
	return p.Vector()
}

// quick is options that train in well under a second.
func quick(profile string) Options {
	return Options{Profile: profile, Length: 5 * time.Second, Hidden: 12, Epochs: 4, Batch: 32, Seed: 7}
}

func mustTrain(t *testing.T, segments [][]window.Vector, o Options) *Model {
	t.Helper()
	m, err := Train(context.Background(), segments, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func profiles(t *testing.T, f func(t *testing.T, profile string)) {
	for _, p := range []string{Paper, Default} {
		t.Run(p, func(t *testing.T) { f(t, p) })
	}
}

func TestFindsAFloodAndForgetsIt(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		o := quick(profile)
		o.Epochs = 15
		m := mustTrain(t, [][]window.Vector{benign(1, 600)}, o)
		d := m.NewDetector()
		r := rand.New(rand.NewPCG(2, 2))
		var alarms []int
		for i := range 60 {
			flood := 0
			if i >= 30 && i < 35 {
				flood = 300
			}
			if d.Score(office(r, 0.5, flood)).Anomalous {
				alarms = append(alarms, i)
			}
		}
		got := fmt.Sprint(alarms)
		want := "[30 31 32 33 34]"
		if profile == Paper {
			want = "[30 31 32 33 34 35 36]" // equation 1 takes in the two windows before
		}
		if got != want {
			t.Errorf("alarms at windows %s, want %s", got, want)
		}
	})
}

// The score as its definition reads, one window and one feature at a time.
func TestScoreIsItsDefinition(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		m := mustTrain(t, [][]window.Vector{benign(1, 200)}, quick(profile))
		d := m.NewDetector()
		r := rand.New(rand.NewPCG(3, 3))
		net := m.net
		context := make([][]float32, 2, 100)
		for i := range context {
			context[i] = make([]float32, features)
		}
		anomalous := 0
		var v window.Vector
		for i := range 80 {
			if i%6 == 0 { // and some windows that repeat
				v = office(r, r.Float64(), 20*r.IntN(10)/9)
			}
			z := make([]float32, features)
			m.Scaling.apply(z, &v)
			context = append(context, z)
			var x []float32
			for _, row := range context[len(context)-3:] {
				x = append(x, row...)
			}
			y := net.forward(nn.Pass{}, x, []int{3})
			want := 0.0
			for j := range features {
				if profile == Paper {
					for k := range 3 {
						want += math.Pow(float64(x[k*features+j])-float64(y[k*features+j]), 2)
					}
					continue
				}
				w := 0.0
				for k := range features {
					w += float64(m.distance.whiten[j*features+k]) * float64(z[k])
				}
				e := float64(z[j]) - float64(y[2*features+j])
				want += (e*e/m.ErrorVariance[j]/m.ErrorScale + w*w/m.DistanceScale) / 2
			}
			got := d.Score(v)
			if profile == Paper && i < 2 {
				if got.Scored || got.Score != 0 || got.Anomalous {
					t.Errorf("window %d: got a score %v before there are three windows", i, got.Score)
				}
				continue
			}
			if math.Abs(got.Score-want) > 1e-6*want {
				t.Errorf("window %d: score %v, want %v", i, got.Score, want)
			}
			sum := 0.0
			for j, share := range got.Shares {
				if share < 0 {
					t.Errorf("window %d: share of %s is %v", i, window.Names[j], share)
				}
				sum += share
			}
			if sum != got.Score {
				t.Errorf("window %d: shares add up to %v, the score is %v", i, sum, got.Score)
			}
			if got.Anomalous != (got.Score >= m.Threshold.Value) {
				t.Errorf("window %d: anomalous %v at score %v, threshold %v", i, got.Anomalous, got.Score, m.Threshold.Value)
			}
			if got.Anomalous {
				anomalous++
				if profile == Default {
					clear(z) // what comes after sees a usual window
				}
			}
		}
		if anomalous == 0 || anomalous == 80 {
			t.Errorf("%d of 80 windows anomalous: the test is blind", anomalous)
		}
	})
}

func TestExpectedIsInTheFeaturesUnits(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		o := quick(profile)
		o.Epochs, o.Hidden = 60, 32
		windows := benign(1, 400)
		m := mustTrain(t, [][]window.Vector{windows}, o)
		d := m.NewDetector()
		var observed, expected float64
		for _, v := range windows {
			if r := d.Score(v); r.Scored {
				observed += v[1]
				expected += r.Expected[1]
				for i, x := range r.Expected {
					if !(x >= 0) || window.KindOf(i) == window.Share && x > 1 {
						t.Fatalf("expected %s: %v", window.Names[i], x)
					}
				}
			}
		}
		if expected < 0.8*observed || expected > 1.2*observed {
			t.Errorf("expected %.0f packets in all, observed %.0f", expected, observed)
		}
	})
}

func TestResetStartsAnew(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		m := mustTrain(t, [][]window.Vector{benign(1, 200)}, quick(profile))
		windows := benign(4, 5)
		d := m.NewDetector()
		var want []Result
		for _, v := range windows {
			want = append(want, d.Score(v))
		}
		d.Reset()
		for i, v := range windows {
			if got := d.Score(v); got != want[i] {
				t.Errorf("window %d after Reset: score %v, want %v", i, got.Score, want[i].Score)
			}
		}
	})
}

func TestSaveAndLoad(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		m := mustTrain(t, [][]window.Vector{benign(1, 200)}, quick(profile))
		settings, weights, err := m.Save()
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(settings, weights)
		if err != nil {
			t.Fatal(err)
		}
		a, b := m.NewDetector(), loaded.NewDetector()
		for i, v := range benign(5, 50) {
			if got, want := b.Score(v), a.Score(v); got != want {
				t.Fatalf("window %d: loaded model scores %v, want %v", i, got.Score, want.Score)
			}
		}

		refused := func(what string, settings string, weights map[string]safetensors.Tensor, want string) {
			t.Helper()
			if _, err := Load([]byte(settings), weights); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got error %v, want one with %q", what, err, want)
			}
		}
		s := string(settings)
		refused("no JSON", "{", weights, "settings")
		refused("another profile", strings.Replace(s, `"profile":"`+profile, `"profile":"best`, 1), weights, "profile")
		refused("another window", strings.Replace(s, `"window":5000000000`, `"window":0`, 1), weights, "length")
		refused("another hidden size", strings.Replace(s, `"hidden":12`, `"hidden":13`, 1), weights, "lstm")
		refused("a huge hidden size", strings.Replace(s, `"hidden":12`, `"hidden":1000000000`, 1), weights, "hidden")
		refused("a scale of 0", strings.Replace(s, `"scale":[`, `"scale":[0,`, 1), weights, "scale")
		refused("no threshold", strings.Replace(s, `"threshold":{"value":`, `"threshold":{"value":-`, 1), weights, "threshold")
		for name := range weights {
			less := maps.Clone(weights)
			delete(less, name)
			refused("without "+name, s, less, name)
			short := maps.Clone(weights)
			short[name] = safetensors.Tensor{Shape: []int{1}, Data: []float32{1}}
			refused("short "+name, s, short, name)
			bad := maps.Clone(weights)
			data := append([]float32(nil), weights[name].Data...)
			data[3] = float32(math.NaN())
			bad[name] = safetensors.Tensor{Shape: weights[name].Shape, Data: data}
			refused("NaN in "+name, s, bad, name)
		}
		other := strings.Replace(s, window.FeatureVersion, "another-1", 1)
		if _, err := Load([]byte(other), weights); !errors.Is(err, ErrFeatures) {
			t.Errorf("another version of the features: got error %v, want ErrFeatures", err)
		}
	})
}

func TestIncident(t *testing.T) {
	const s = int64(time.Second)
	var got []Incident
	var now Incident
	for _, alarm := range []struct{ at, score float64 }{{0, 1}, {5, 4}, {15, 2}, {30, 3}, {35, 1}} {
		if !now.Join(int64(alarm.at)*s, 5*time.Second, alarm.score) {
			got = append(got, now)
			now = Incident{}
			now.Join(int64(alarm.at)*s, 5*time.Second, alarm.score)
		}
	}
	got = append(got, now)
	want := []Incident{{0, 15 * s, 3, 4}, {30 * s, 35 * s, 2, 3}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestScoreAllocatesNothing(t *testing.T) {
	profiles(t, func(t *testing.T, profile string) {
		d := mustTrain(t, [][]window.Vector{benign(1, 100)}, quick(profile)).NewDetector()
		v := benign(2, 1)[0]
		d.Score(v)
		if got := testing.AllocsPerRun(50, func() { d.Score(v) }); got > 0 {
			t.Errorf("%v allocations per window, want none", got)
		}
	})
}

func BenchmarkScore(b *testing.B) {
	o := quick(Default)
	o.Hidden, o.Epochs = 64, 1
	m, err := Train(context.Background(), [][]window.Vector{benign(1, 100)}, o)
	if err != nil {
		b.Fatal(err)
	}
	d := m.NewDetector()
	windows := benign(2, 256)
	b.ReportAllocs()
	for i := range b.N {
		d.Score(windows[i&255])
	}
}

func BenchmarkSilence(b *testing.B) {
	o := quick(Default)
	o.Hidden, o.Epochs = 64, 1
	m, err := Train(context.Background(), [][]window.Vector{benign(1, 100)}, o)
	if err != nil {
		b.Fatal(err)
	}
	d := m.NewDetector()
	for range b.N {
		d.Score(window.Vector{})
	}
}

func Example() {
	m, err := Train(context.Background(), [][]window.Vector{benign(1, 300)}, Options{Length: 5 * time.Second, Hidden: 8, Epochs: 5})
	if err != nil {
		fmt.Println(err)
		return
	}
	d := m.NewDetector()
	r := d.Score(office(rand.New(rand.NewPCG(9, 9)), 0.5, 500))
	most := 0
	for i, share := range r.Shares {
		if share > r.Shares[most] {
			most = i
		}
	}
	fmt.Println(r.Anomalous, window.Names[most])
	// Output: true syn
}
