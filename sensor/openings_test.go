package sensor

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/nn"
)

// A ring of openings gives what a plain list does, and holds the last ones.
func TestOpeningsRing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	o := newOpenings(10_000)
	type one struct {
		id      uint64
		opening []byte
	}
	var all []one
	for i := range 5000 {
		x := one{uint64(r.IntN(3000)), bytes.Repeat([]byte{byte(i)}, 1+r.IntN(1+r.IntN(3000)))}
		o.add(x.id, int64(i), x.opening)
		all = append(all, x)
		// Everything that is found is the newest of its flow, and half of the ring at least is in use.
		if i%97 != 0 {
			continue
		}
		found := 0
		seen := map[uint64]bool{}
		for k, old := range slices.Backward(all) {
			if seen[old.id] {
				continue
			}
			seen[old.id] = true
			s := o.find(old.id)
			if s == nil {
				continue
			}
			found += len(old.opening)
			if !bytes.Equal(s.Opening, old.opening) || int64(s.Start) != int64(k) {
				t.Fatalf("after %d: flow %d has an opening of %d bytes from %d, want %d from %d", i, old.id, len(s.Opening), s.Start, len(old.opening), k)
			}
		}
		if last := all[i]; o.find(last.id) == nil {
			t.Fatalf("the opening that was added last is not there")
		}
		if i > 100 && found < 4000 {
			t.Fatalf("after %d: %d bytes are found, of 10,000", i, found)
		}
		if o.last-o.first > uint64(len(o.queue)) {
			t.Fatalf("%d openings are known, there is room for %d", o.last-o.first, len(o.queue))
		}
	}
	o.add(9999, 1, make([]byte, 10_001))
	if o.find(9999) != nil {
		t.Error("an opening is kept that is longer than the ring")
	}
	small := newOpenings(10)
	for i := range uint64(100) {
		small.add(i, 0, []byte{1})
		if small.find(i) == nil || i > 0 && small.find(i-1) != nil {
			t.Fatal("a ring for one opening does not hold the last one alone")
		}
	}
}

func TestOpeningsAddAllocatesNothing(t *testing.T) {
	o := newOpenings(1 << 16)
	opening := make([]byte, 700)
	id := uint64(0)
	for ; id < 1000; id++ {
		o.add(id, 0, opening)
	}
	if n := testing.AllocsPerRun(1000, func() { o.add(id, 0, opening); id++ }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSamplingIsBounded(t *testing.T) {
	var s sampling
	told := 0
	for i := range 1_000_000 { // 100 s
		if s.take(int64(i)*1e5, 1) {
			told++
		}
	}
	if most := samplesAtOnce + 100*samplesPerSecond; told > most || told < most-1 || s.lost.Load() != uint64(1_000_000-told) {
		t.Errorf("%d samples of a million are told, %d not; want %d", told, s.lost.Load(), most)
	}
	var again sampling
	for again.take(10e9, 1) {
	}
	if again.take(0, 1) || again.take(10e9, 1) || !again.take(11e9, 1) {
		t.Error("time that goes back makes room, or time that goes on makes none")
	}
}

// strangers is a model to which every flow is novel.
func strangers(t *testing.T) *classify.Model {
	t.Helper()
	m := applications(t)
	r := nn.NewRand(3)
	places := make([]classify.Place, 300)
	for i := range places {
		state := make([]float32, m.Arch.StateSize())
		for j := range state {
			state[j] = 100 + float32(r.Normal())
		}
		places[i] = classify.Place{State: state, Packets: 1 + i%10, Group: int32(i % 3)}
	}
	n, err := classify.FitNovelty(places)
	must(t, err)
	n.SetThresholds(places, 0.5)
	m.Novelty = n
	return m
}

// samplesOf runs over packets and returns the samples that are told, in order, with the sensor and the events.
func samplesOf(t *testing.T, workers, batch int, c SampleConfig) ([]*event.Event, *Sensor, []event.Event) {
	t.Helper()
	var events []event.Event
	cfg := Config{
		Meter: meter.Config{Lateness: time.Second, MaxGap: 100}, Apps: strangers(t), Samples: c,
		Emit: func(e *event.Event) error {
			events = append(events, *e)
			return nil
		},
	}
	cfg.Meter.Flow.OpeningPackets = cfg.Apps.Arch.Packets
	s, err := New(cfg, workers)
	must(t, err)
	for part := range slices.Chunk(packets(t, 8), batch) {
		must(t, s.Add("capture.pcap", part))
	}
	_, err = s.Close()
	must(t, err)
	var told []*event.Event
	for i := range events {
		if e := &events[i]; e.Type == event.TypeLabel && e.Label.Sample != nil {
			told = append(told, e)
		}
	}
	return told, s, events
}

// Novel flows are told with what they can be learned from, the same whatever the number of workers; what any decided flow looked like is
// remembered.
func TestSamples(t *testing.T) {
	want, s, events := samplesOf(t, 1, 1000, SampleConfig{Novel: true, Recent: 1 << 20})
	if len(want) == 0 {
		t.Fatal("no samples")
	}
	flows := map[uint64]*event.Event{}
	labelled := 0
	for i := range events {
		if e := &events[i]; e.Type == event.TypeFlow {
			flows[e.Tuple.FlowID] = e
			if e.Flow.App != "" {
				labelled++
			}
		}
	}
	if len(want) != labelled {
		t.Errorf("%d samples of %d flows with a label, all of them novel", len(want), labelled)
	}
	for _, e := range want {
		x := e.Label.Sample
		payloads, err := event.ParseOpening(x.Opening, int64(x.Start))
		must(t, err)
		f := flows[e.Tuple.FlowID]
		if !e.Label.Novel || f == nil || f.Flow.Start != x.Start || len(payloads) != f.Flow.LabelPackets || len(x.Embedding) != 96 {
			t.Errorf("flow %+v: sample of %d payloads from %d, %d numbers", f, len(payloads), x.Start, len(x.Embedding))
		}
		if kept := s.Opening(e.Tuple.FlowID); kept == nil || kept.Start != x.Start || !bytes.Equal(kept.Opening, x.Opening) {
			t.Errorf("flow %d: remembered is %+v", e.Tuple.FlowID, kept)
		}
	}
	if s.Opening(12345) != nil {
		t.Error("the opening of no flow is found")
	}
	for _, run := range []struct{ workers, batch int }{{2, 97}, {4, 64}} {
		got, _, _ := samplesOf(t, run.workers, run.batch, SampleConfig{Novel: true})
		if len(got) != len(want) {
			t.Fatalf("%d workers: %d samples, want %d", run.workers, len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("%d workers: sample %d is\n%+v, want\n%+v", run.workers, i, got[i].Label.Sample, want[i].Label.Sample)
			}
		}
	}
	none, s, _ := samplesOf(t, 2, 97, SampleConfig{})
	if len(none) != 0 || s.Opening(want[0].Tuple.FlowID) != nil {
		t.Errorf("%d samples where none are to be kept", len(none))
	}
}

// BenchmarkOpenings is what remembering the opening of a flow costs: three payloads of 300 bytes.
func BenchmarkOpenings(b *testing.B) {
	w := labelledFlows{recent: newOpenings(64 << 20)}
	payload := make([]byte, 300)
	opening := []flow.Payload{{Nanos: 1, Len: 300, Data: payload}, {Nanos: 1000, Dir: flow.Responder, Len: 1400, Data: payload}, {Nanos: 5000, Len: 300, Data: payload}}
	var f flow.Flow
	for b.Loop() {
		f.Start++
		w.decided(&f, opening)
	}
}
