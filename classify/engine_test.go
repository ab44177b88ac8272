package classify

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/weirnet/weir/nn"
)

// architectures are the profiles as they are, and small ones.
func architectures(t *testing.T) map[string]Architecture {
	t.Helper()
	all := small()
	for _, profile := range []string{Default, Paper} {
		a, err := NewArchitecture(profile, 7)
		if err != nil {
			t.Fatal(err)
		}
		all["profile "+profile] = a
	}
	images := all["profile "+Paper]
	images.Flow = false
	all["images"] = images
	return all
}

// ragged are flows whose payloads end anywhere.
func ragged(a *Architecture, n int) []*Sample {
	r := nn.NewRand(9)
	all := make([]*Sample, n)
	for i := range all {
		s := &Sample{Class: int32(i % a.Classes), Weight: 1}
		for range 1 + r.Uint64()%4 {
			payload := make([]byte, r.Uint64()%uint64(a.Normaliser.Bytes+1))
			for k := range payload {
				payload[k] = byte(r.Uint64() % uint64(3+60*int(s.Class)))
			}
			var in Input
			a.fillBytes(&in, payload)
			in.Length = uint16(len(payload))
			for k := range in.Scalars {
				in.Scalars[k] = float32(r.Normal())
			}
			s.Inputs = append(s.Inputs, in)
		}
		all[i] = s
	}
	return all
}

func TestEngineIsTheNetwork(t *testing.T) {
	for name, a := range architectures(t) {
		n := initialised(a, 4)
		samples := ragged(&a, 12)
		n.Train(nn.Pass{Train: true}, samples, 12, 0) // running statistics that are not those of a fresh network
		m := &Model{Settings: Settings{Arch: a}, params: n.Params()}
		e, again := m.Engine(), m.Engine()
		// Several flows at once, a packet of each in turn.
		tracks, twins, others := make([]*Track, len(samples)), make([]*Track, len(samples)), make([]*Track, len(samples))
		for i := range samples {
			tracks[i], twins[i], others[i] = e.NewTrack(), n.NewTrack(), again.NewTrack()
		}
		for step := range 4 {
			for i, s := range samples {
				if step >= len(s.Inputs) {
					continue
				}
				in := &s.Inputs[step]
				packet, flow := e.Step(tracks[i], in)
				wantPacket, wantFlow := n.Step(twins[i], in)
				alike(t, name+": packet scores", packet, wantPacket)
				alike(t, name+": flow scores", flow, wantFlow)
				alike(t, name+": state", e.State(tracks[i]), n.State(twins[i]))
			}
		}
		// An engine that met other flows before says the same, bit for bit.
		for i, s := range slices.Backward(samples) {
			for step := range s.Inputs {
				again.Step(others[i], &s.Inputs[step])
			}
			if !slices.Equal(again.State(others[i]), e.State(tracks[i])) {
				t.Errorf("%s: flow %d has another state where flows came in another order", name, i)
			}
		}
	}
}

func TestMeasureInt8(t *testing.T) {
	for name, a := range architectures(t) {
		n := initialised(a, 4)
		samples := ragged(&a, 40)
		n.Train(nn.Pass{Train: true}, samples, 40, 0)
		q, err := n.MeasureInt8(samples, 2)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := n.MeasureInt8(samples, 1)
		if got, want := mustJSON(t, again), mustJSON(t, q); got != want {
			t.Errorf("%s: one worker measures %s, two %s", name, got, want)
		}
		packets := 0
		for _, s := range samples {
			packets += len(s.Inputs)
		}
		if q.Packet.Samples != packets || (q.Flow != nil) != a.Flow || a.Flow && q.Flow.Samples != len(samples) {
			t.Errorf("%s: measured on %d packets and flows %+v, want %d and %d", name, q.Packet.Samples, q.Flow, packets, len(samples))
		}
		// Weights are random: what they make of random bytes is close to ties.
		if q.Packet.Agreement < 0.9 || a.Flow && q.Flow.Agreement < 0.8 {
			t.Errorf("%s: agreement %+v", name, q)
		}
		if large := a.Normaliser.Bytes > 100; large != (len(q.Packet.Ranges) > 0) && q.Packet.Float32-q.Packet.Int8 <= maxLoss {
			t.Errorf("%s: ranges %v", name, q.Packet.Ranges)
		}
	}
}

func TestRoundingIsRefused(t *testing.T) {
	exact := answers{make([]int32, 1000), make([]int32, 1000)}
	for _, test := range []struct {
		wrong int
		cheap bool
	}{{0, true}, {2, true}, {3, false}} {
		rounded := answers{make([]int32, 1000), make([]int32, 1000)}
		for i := range test.wrong {
			rounded.said[i] = 1
		}
		r := exact.against(&rounded)
		if r.cheap() != test.cheap || r.Agreement != 1-float64(test.wrong)/1000 {
			t.Errorf("%d of 1000 answers lost: %+v, cheap %t", test.wrong, r, r.cheap())
		}
	}
	if r := (&answers{}).against(&answers{}); r.cheap() {
		t.Error("int8 is used where nothing was measured")
	}
}

// A model in int8 that is stored and read again says the same, bit for bit.
func TestInt8Survives(t *testing.T) {
	a, err := NewArchitecture(Default, 3)
	if err != nil {
		t.Fatal(err)
	}
	m := randomModel(t, a)
	samples := ragged(&a, 30)
	if m.Int8, err = m.network().MeasureInt8(samples, 1); err != nil {
		t.Fatal(err)
	}
	m.Int8.Packet.Used, m.Int8.Flow.Used = true, true
	settings, weights, err := m.Save()
	if err != nil {
		t.Fatal(err)
	}
	back, err := Load(settings, m.Labels, weights)
	if err != nil {
		t.Fatal(err)
	}
	if p, f := back.Engine(), back.Engine(); p == nil || !back.programs.packet.Int8() && len(m.Int8.Packet.Ranges) > 0 || f == nil {
		t.Error("the model that was read runs in float32")
	}
	for _, s := range samples {
		if got, want := back.Judge(back.Engine(), s.Inputs), m.Judge(m.Engine(), s.Inputs); !slices.Equal(got.LogProbs, want.LogProbs) {
			t.Errorf("read again it says %v, want %v", got.LogProbs, want.LogProbs)
		}
	}
	for _, r := range []string{`[2,1]`, `[0,1e39]`} {
		bad := fmt.Sprintf(`{"architecture":%s,"packet_temperature":1,"flow_temperature":1,"int8":{"packet":{"used":true,"ranges":{"x":%s}}}}`, mustJSON(t, a), r)
		if _, err := Load([]byte(bad), m.Labels, weights); err == nil {
			t.Errorf("a range of %s is accepted", r)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
