package classify

import (
	"fmt"
	"math"
	"sync"

	"github.com/weirnet/weir/nn/infer"
)

// Int8 is what rounding the networks to int8 costs, measured on validation flows. A network is
// rounded in service where that costs little enough.
type Int8 struct {
	Packet Rounding  `json:"packet"`
	Flow   *Rounding `json:"flow,omitempty"` // nil without a flow network
}

// Rounding is what rounding one network to int8 costs.
type Rounding struct {
	Used      bool         `json:"used"`             // in service; otherwise float32
	Samples   int          `json:"samples"`          // packets each alone, or flows after their last packet
	Float32   float64      `json:"accuracy_float32"` // of all networks in float32
	Int8      float64      `json:"accuracy_int8"`    // of this one in int8, after the packet network as it is in service
	Agreement float64      `json:"agreement"`        // share of the same answers
	Ranges    infer.Ranges `json:"ranges,omitempty"` // of values, by node of the network's graph; where used
}

// maxLoss is the share of right answers that rounding may cost: 0.2 points of accuracy.
const maxLoss = 0.002

// calibrationPackets is how many packets show the ranges of values.
const calibrationPackets = 4096

// ranges returns the ranges of the networks that run in int8.
func (q *Int8) ranges() (packet, flow infer.Ranges) {
	if q == nil {
		return nil, nil
	}
	if q.Packet.Used {
		packet = q.Packet.Ranges
	}
	if q.Flow != nil && q.Flow.Used {
		flow = q.Flow.Ranges
	}
	return packet, flow
}

// check refuses ranges that are none.
func (q *Int8) check() error {
	packet, flow := q.ranges()
	for _, ranges := range [...]infer.Ranges{packet, flow} {
		for name, r := range ranges {
			if low, high := float64(r[0]), float64(r[1]); !(low <= high) || math.IsInf(low, 0) || math.IsInf(high, 0) {
				return fmt.Errorf("classify: settings: int8: the range of %q is from %v to %v", name, low, high)
			}
		}
	}
	return nil
}

// MeasureInt8 finds out which networks may run in int8 for at most 0.2 points of accuracy: of
// packets, and of flows after their last packet. Packets that training holds too do not count alone; a
// flow counts whatever it consists of. The result is for Settings.Int8; it is nil without samples.
func (n *Network) MeasureInt8(samples []*Sample, workers int) (*Int8, error) {
	total := 0
	for _, s := range samples {
		total += len(s.Inputs)
	}
	if total == 0 {
		return nil, nil
	}
	exact, err := n.compile(nil, nil, 1)
	if err != nil {
		return nil, err
	}
	packet, flow := n.Arch.observe(exact, samples, total)
	rounded, err := n.compile(packet, flow, 1)
	if err != nil {
		return nil, err
	}
	all := [...]programs{ // by packet network, then by flow network: float32, int8
		exact, {exact.packet, rounded.flow}, {rounded.packet, exact.flow}, rounded,
	}
	answers := make([]answered, len(all))
	for i, p := range all {
		if n.Arch.Flow || i == 0 || i == 2 {
			answers[i] = n.Arch.answer(p, samples, workers)
		}
	}
	base := &answers[0]
	q := &Int8{Packet: base.packets.against(&answers[2].packets)}
	q.Packet.Used = q.Packet.cheap() && rounded.packet.Int8()
	if n.Arch.Flow {
		through := base.flows.against(&answers[2].flows) // of the flow network in float32 behind it
		q.Packet.Used = q.Packet.Used && through.cheap()
		which := 1
		if q.Packet.Used {
			which = 3
		}
		r := base.flows.against(&answers[which].flows)
		r.Used = r.cheap() && rounded.flow.Int8()
		q.Flow = &r
		if r.Used {
			r.Ranges = flow
		}
	}
	if q.Packet.Used {
		q.Packet.Ranges = packet
	}
	return q, nil
}

// CompareInt8 measures on other samples what the networks that run in int8 lose to float32 in service: flows are judged by both
// networks as they are in service against both in float32. Nothing is chosen: Used says what runs, and there are no Ranges. It is nil where
// nothing runs in int8, or without samples.
func (m *Model) CompareInt8(samples []*Sample, workers int) (*Int8, error) {
	if m.Int8 == nil || !m.Int8.Packet.Used && (m.Int8.Flow == nil || !m.Int8.Flow.Used) || len(samples) == 0 {
		return nil, nil
	}
	n := m.network()
	exact, err := n.compile(nil, nil, 1)
	if err != nil {
		return nil, err
	}
	packet, flow := m.Int8.ranges()
	service, err := n.compile(packet, flow, 1)
	if err != nil {
		return nil, err
	}
	one, other := m.Arch.answer(exact, samples, workers), m.Arch.answer(service, samples, workers)
	q := &Int8{Packet: one.packets.against(&other.packets)}
	q.Packet.Used = m.Int8.Packet.Used
	if m.Int8.Flow != nil {
		r := one.flows.against(&other.flows)
		r.Used = m.Int8.Flow.Used
		q.Flow = &r
	}
	return q, nil
}

// observe returns the ranges of values over some of the packets, evenly taken.
func (a *Architecture) observe(p programs, samples []*Sample, total int) (packet, flow infer.Ranges) {
	e := a.engine(p)
	watch := p.packet.NewObserver()
	e.packet = watch.Worker
	var watchFlow *infer.Observer
	if p.flow != nil {
		watchFlow = p.flow.NewObserver()
		e.flow = watchFlow.Worker
	}
	step := max(1, total/calibrationPackets)
	t := e.NewTrack()
	at := 0
	for _, s := range samples {
		if at += len(s.Inputs); at/step == (at-len(s.Inputs))/step {
			continue
		}
		t.Reset()
		for i := range s.Inputs {
			e.Step(t, &s.Inputs[i])
			watch.Look()
			if watchFlow != nil {
				watchFlow.Look()
			}
		}
	}
	packet = watch.Ranges()
	if watchFlow != nil {
		flow = watchFlow.Ranges()
	}
	return packet, flow
}

// answered is what networks say of samples.
type answered struct{ packets, flows answers }

// answers are the most likely classes beside the true ones.
type answers struct{ said, true []int32 }

// answer runs the networks over samples.
func (a *Architecture) answer(p programs, samples []*Sample, workers int) answered {
	workers = max(workers, 1)
	parts := make([]answered, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			e, part := a.engine(p), &parts[w]
			t := e.NewTrack()
			for _, s := range samples[len(samples)*w/workers : len(samples)*(w+1)/workers] {
				t.Reset()
				var flow []float32
				for i := range s.Inputs {
					var packet []float32
					packet, flow = e.Step(t, &s.Inputs[i])
					if !s.Inputs[i].Repeat {
						part.packets.add(packet, s.Class)
					}
				}
				if flow != nil {
					part.flows.add(flow, s.Class)
				}
			}
		})
	}
	wg.Wait()
	all := parts[0]
	for _, part := range parts[1:] {
		all.packets.said, all.packets.true = append(all.packets.said, part.packets.said...), append(all.packets.true, part.packets.true...)
		all.flows.said, all.flows.true = append(all.flows.said, part.flows.said...), append(all.flows.true, part.flows.true...)
	}
	return all
}

func (a *answers) add(scores []float32, class int32) {
	said, _ := best(scores)
	a.said, a.true = append(a.said, said), append(a.true, class)
}

// against compares the answers in float32 with those in int8.
func (a *answers) against(b *answers) Rounding {
	r := Rounding{Samples: len(a.said)}
	if r.Samples == 0 {
		return r
	}
	exact, rounded, same := 0, 0, 0
	for i, said := range a.said {
		if said == a.true[i] {
			exact++
		}
		if b.said[i] == a.true[i] {
			rounded++
		}
		if said == b.said[i] {
			same++
		}
	}
	n := float64(r.Samples)
	r.Float32, r.Int8, r.Agreement = float64(exact)/n, float64(rounded)/n, float64(same)/n
	return r
}

// cheap reports whether rounding may be used. Where nothing was measured nothing is known.
func (r *Rounding) cheap() bool { return r.Samples > 0 && r.Float32-r.Int8 <= maxLoss+1e-9 }
