package classify

import (
	"testing"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
)

// sparing is a listener whose effort changes with the packets.
type sparing struct {
	*listener
	effort  func(ordinal uint64) Effort
	at      Effort
	packets [NumEfforts]uint64 // payload packets of undecided flows, by effort
}

func (s *sparing) Packet(p *meter.Packet) {
	s.at = s.effort(p.Ordinal)
	s.SetEffort(s.at)
	if p.Joined && !p.Flow.Final() && s.at != Full {
		s.packets[s.at]++
	}
	s.listener.Packet(p)
}

// run classifies packets with an effort that may change, and calls ended for every flow.
func (s *sparing) run(t *testing.T, m *Model, n int, ended func(f *flow.Flow, opening []flow.Payload)) {
	t.Helper()
	s.listener = &listener{New(m), map[uint64][]flow.Payload{}, ended, 0}
	in, err := meter.New(meter.Config{Flow: flow.Config{OpeningPackets: m.Arch.Packets}}, 1, func(int) meter.Handler { return s })
	if err != nil {
		t.Fatal(err)
	}
	in.Add(conversations(t, n, 1500))
	in.Close()
	if n := s.remembered(); n != 0 {
		t.Errorf("%d flows are remembered after all have ended", n)
	}
	shed := s.Shed()
	if shed.Packets != s.packets {
		t.Errorf("counted %v packets that were not looked at, want %v", shed.Packets, s.packets)
	}
}

func TestLessEffort(t *testing.T) {
	for name, a := range small() {
		a.Early = 2
		m := randomModel(t, a)
		for effort := Full; effort < NumEfforts; effort++ {
			s := &sparing{effort: func(uint64) Effort { return effort }}
			var given, labelled uint64
			s.run(t, m, 600, func(f *flow.Flow, opening []flow.Payload) {
				if len(opening) == 0 {
					return
				}
				given++
				l := f.Label
				if l.Class != flow.NoClass {
					labelled++
				}
				if !l.Final {
					t.Errorf("%s, %v: flow %v has ended and its label %+v is not final", name, effort, f.Key, l)
				}
				switch effort {
				case Full:
					if l.Packets != uint64(len(opening)) {
						t.Errorf("%s, %v: the label of flow %v rests on %d of %d packets", name, effort, f.Key, l.Packets, len(opening))
					}
				case NoFlowNetwork:
					if l.Source != flow.FromPacket || l.Packets != 1 || l.Class == flow.NoClass {
						t.Errorf("%s, %v: flow %v has the label %+v, want that of one packet", name, effort, f.Key, l)
					}
				case NoLabels:
					if len(opening) > 1 {
						t.Errorf("%s, %v: %d payloads of flow %v were kept", name, effort, len(opening), f.Key)
					}
					fallthrough
				default:
					if l.Class != flow.NoClass {
						t.Errorf("%s, %v: flow %v has the label %+v, want none", name, effort, f.Key, l)
					}
				}
			})
			var want [NumEfforts]uint64
			if effort != Full {
				want[effort] = given
			}
			if shed := s.Shed(); shed.Flows != want || given < 20 {
				t.Errorf("%s, %v: counted %v flows, want %v", name, effort, shed.Flows, want)
			}
			if effort <= NoFlowNetwork && labelled != given || effort > NoFlowNetwork && labelled != 0 {
				t.Errorf("%s, %v: %d of %d flows have a label", name, effort, labelled, given)
			}
		}
	}
}

// A time of less effort changes nothing in the flows that go on after it and were not given up in it.
func TestEffortComesBack(t *testing.T) {
	for name, a := range small() {
		a.Early = 2
		m := randomModel(t, a)
		want := map[uint64]flow.Label{}
		(&sparing{effort: func(uint64) Effort { return Full }}).run(t, m, 2000, func(f *flow.Flow, _ []flow.Payload) { want[f.ID()] = f.Label })
		for effort := NoFlowNetwork; effort <= NoNetworks; effort++ {
			s := &sparing{effort: func(ordinal uint64) Effort {
				if ordinal < 1900 && ordinal/50%2 == 0 {
					return effort
				}
				return Full
			}}
			same, other := 0, uint64(0)
			s.run(t, m, 2000, func(f *flow.Flow, _ []flow.Payload) {
				if f.Label == want[f.ID()] {
					same++
				} else {
					other++
				}
			})
			given := s.Shed().Flows[effort]
			if other > given || other == 0 || same < 10 {
				t.Errorf("%s, %v: %d flows have another label than with all the effort, %d the same, want no more than the %d that were given up", name, effort, other, same, given)
			}
			if s.packets[effort] == 0 {
				t.Errorf("%s, %v: no packet met it", name, effort)
			}
		}
	}
}

func TestShedAdds(t *testing.T) {
	a := Shed{Packets: [NumEfforts]uint64{0, 1, 2, 3}, Flows: [NumEfforts]uint64{0, 4, 5, 6}}
	a.Add(&a)
	if want := (Shed{Packets: [NumEfforts]uint64{0, 2, 4, 6}, Flows: [NumEfforts]uint64{0, 8, 10, 12}}); a != want {
		t.Errorf("got %v, want %v", a, want)
	}
	for e := Full; e < NumEfforts; e++ {
		if e.String() == "" {
			t.Errorf("effort %d has no name", e)
		}
	}
}

// wavering loses its effort between Wait and Packet, as happens when another goroutine takes it away.
type wavering struct {
	*Classifier
	t      *testing.T
	seen   map[uint64]int // payloads by first packet
	behind int            // packets that Wait refused because payloads before them were not looked at
	labels []flow.Label   // of flows that are over
}

func (w *wavering) Packet(p *meter.Packet) {
	first := p.Flow.FirstPacket()
	if p.Joined {
		w.seen[first]++
	}
	w.SetEffort(NoNetworks)
	if !p.Joined || w.seen[first] < 3 {
		w.Classifier.Packet(p)
		return
	}
	w.SetEffort(Full)
	if w.Wait(p) {
		w.t.Errorf("packet %d waits, and the packets before it were not looked at", p.Ordinal)
	}
	w.behind++
	w.SetEffort(NoLabels)
	w.Classifier.Packet(p)
}

func (w *wavering) Settle() { w.Classifier.Settle() }

func (w *wavering) Ended(f *flow.Flow, _ uint64) {
	w.Classifier.Ended(f)
	w.labels = append(w.labels, f.Label)
}

// A flow of which the networks have seen nothing gets no label when it is given up, whenever the effort changes.
func TestEffortEndsBetweenWaitAndPacket(t *testing.T) {
	for name, a := range small() {
		w := &wavering{Classifier: New(randomModel(t, a)), t: t, seen: map[uint64]int{}}
		in, err := meter.New(meter.Config{Flow: flow.Config{OpeningPackets: a.Packets}}, 1, func(int) meter.Handler { return w })
		if err != nil {
			t.Fatal(err)
		}
		in.Add(conversations(t, 600, 1500))
		in.Close()
		if w.behind < 10 {
			t.Errorf("%s: %d packets came to be tested with", name, w.behind)
		}
		for _, l := range w.labels {
			if l.Class != flow.NoClass {
				t.Errorf("%s: a flow that no network has seen has the label %+v", name, l)
				break
			}
		}
	}
}
