package classify

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/packet"
)

// conversations are n packets of some UDP and TCP flows of one to twenty payloads, some of them
// fragmented, some without payload, captured up to snap bytes.
func conversations(t *testing.T, n, snap int) []capture.Packet {
	t.Helper()
	r := rand.New(rand.NewPCG(3, uint64(snap)))
	var all []capture.Packet
	frame := func(ls ...gopacket.SerializableLayer) {
		buf := gopacket.NewSerializeBuffer()
		ls = append([]gopacket.SerializableLayer{&layers.Ethernet{
			SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}}, ls...)
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
			t.Fatal(err)
		}
		data := buf.Bytes()
		all = append(all, capture.Packet{
			Nanos: 1_700_000_000e9 + int64(len(all))*3e6, Data: data[:min(snap, len(data))], WireLen: len(data),
			Link: packet.LinkType(layers.LinkTypeEthernet),
		})
	}
	for len(all) < n {
		port := r.IntN(40)
		src, dst := net.IPv4(10, 0, 0, byte(port%3)), net.IPv4(10, 0, 1, 1)
		data := make(gopacket.Payload, r.IntN(60))
		for i := range data {
			data[i] = byte(r.IntN(5) * port)
		}
		ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, SrcIP: src, DstIP: dst, Id: uint16(len(all)), Protocol: layers.IPProtocolUDP}
		switch {
		case port < 20:
			tcp := &layers.TCP{SrcPort: layers.TCPPort(1000 + port), DstPort: 443, ACK: true}
			ip.Protocol = layers.IPProtocolTCP
			frame(ip, tcp, data)
		case r.IntN(4) > 0:
			frame(ip, &layers.UDP{SrcPort: layers.UDPPort(1000 + port), DstPort: 53}, data)
		default:
			ip.Flags = layers.IPv4MoreFragments
			frame(ip, &layers.UDP{SrcPort: layers.UDPPort(1000 + port), DstPort: 53}, make(gopacket.Payload, 24))
			later := *ip
			later.Flags, later.FragOffset = 0, 4
			frame(&later, data)
		}
	}
	return all
}

// listener hands what a meter finds to a classifier and keeps the openings.
type listener struct {
	*Classifier
	openings map[uint64][]flow.Payload // by first packet
	ended    func(f *flow.Flow, opening []flow.Payload)
	most     int // tracks at a time
}

// remembered returns how many flows a classifier has tracks of.
func (c *Classifier) remembered() int { return len(c.tracks) - len(c.tags) }

func (l *listener) Packet(p *meter.Packet) {
	if p.Joined {
		opening := p.Flow.Opening(nil)
		one := opening[len(opening)-1]
		one.Data = slices.Clone(one.Data)
		first := p.Flow.FirstPacket()
		l.openings[first] = append(l.openings[first], one)
	}
	l.Classifier.Packet(p)
	l.most = max(l.most, l.remembered())
}

func (l *listener) Ended(f *flow.Flow, _ uint64) {
	l.Classifier.Ended(f)
	l.ended(f, l.openings[f.FirstPacket])
	delete(l.openings, f.FirstPacket)
}

// listen classifies packets as service does.
func listen(t *testing.T, m *Model, cfg flow.Config, all []capture.Packet, ended func(*flow.Flow, []flow.Payload)) *listener {
	t.Helper()
	l := &listener{New(m), map[uint64][]flow.Payload{}, ended, 0}
	cfg.OpeningPackets = m.Arch.Packets
	in, err := meter.New(meter.Config{Flow: cfg}, 1, func(int) meter.Handler { return l })
	if err != nil {
		t.Fatal(err)
	}
	in.Add(all)
	in.Close()
	if n := l.remembered(); n != 0 {
		t.Errorf("%d flows are remembered after all have ended", n)
	}
	return l
}

// randomModel is a model that has learned nothing, but knows what is novel to it.
func randomModel(t *testing.T, a Architecture) *Model {
	t.Helper()
	n := initialised(a, 5)
	var places []Place
	for _, s := range flows(&a, 40) {
		track := n.NewTrack()
		for i := range s.Inputs {
			n.Step(track, &s.Inputs[i])
			places = append(places, Place{State: slices.Clone(n.State(track)), Packets: track.Packets, Group: s.Group})
		}
	}
	novelty, err := FitNovelty(places)
	if err != nil {
		t.Fatal(err)
	}
	novelty.SetThresholds(places, 0.5)
	m, err := NewModel(Settings{Arch: a, PacketTemperature: 1.5, FlowTemperature: 2, Novelty: novelty}, []string{"a", "b", "c"}, n.Params())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What service says of a flow in the end is what evaluation says of its opening.
func TestClassifierSaysWhatJudgeSays(t *testing.T) {
	for name, a := range small() {
		for _, early := range []float64{2, 0.4} {
			a.Early = early
			m := randomModel(t, a)
			engine := m.Engine()
			for _, snap := range []int{1500, 60, 42, 34} {
				which := fmt.Sprintf("%s, early %v, snap length %d", name, early, snap)
				labelled, novel, decided := 0, 0, 0
				listen(t, m, flow.Config{}, conversations(t, 600, snap), func(f *flow.Flow, opening []flow.Payload) {
					if len(opening) == 0 {
						if f.Label.Class != flow.NoClass {
							t.Errorf("%s: flow %v has no payload and the label %+v", which, f.Key, f.Label)
						}
						return
					}
					v := m.Judge(engine, a.Inputs(opening, f.Key.Proto))
					want := flow.Label{Class: v.Class, Confidence: v.Confidence, Source: flow.FromPacket, Novel: v.Novel, Final: true, Packets: uint64(v.Decided)}
					if a.Flow {
						want.Source = flow.FromFlow
					}
					if f.Label != want {
						t.Errorf("%s: flow %v with %d payloads has the label\n     %+v, Judge says\n     %+v", which, f.Key, len(opening), f.Label, want)
					}
					labelled++
					if v.Novel {
						novel++
					}
					if v.Decided < len(opening) || v.Decided == a.Packets {
						decided++
					}
				})
				if snap > 34 && (labelled < 20 || decided == 0) {
					t.Errorf("%s: the traffic is too dull: %d flows labelled, %d decided early", which, labelled, decided)
				}
			}
		}
	}
}

// When the memory for openings is used up, packets are labelled one by one, and the rest of a
// fragmented packet is still none.
func TestClassifierWithoutMemoryForOpenings(t *testing.T) {
	a := small()["text"]
	a.Early = 2
	m := randomModel(t, a)
	alone := 0
	cfg := flow.Config{PayloadMemory: 8 << 10}
	all := conversations(t, 600, 1500)
	l := listen(t, m, cfg, all, func(f *flow.Flow, opening []flow.Payload) {
		switch {
		case !f.OpeningShort:
		case len(opening) == 0:
			alone++
			if f.Label.Source != flow.FromPacket || f.Label.Packets != 1 || f.Label.Final {
				t.Errorf("flow %v without an opening has the label %+v, want that of one packet", f.Key, f.Label)
			}
		case f.Label.Source != flow.FromFlow || !f.Label.Final || f.Label.Packets != uint64(len(opening)):
			t.Errorf("flow %v with a short opening has the label %+v, want the flow network's", f.Key, f.Label)
		}
	})
	if alone == 0 {
		t.Error("every flow had an opening: the test tests nothing")
	}
	if most := cfg.PayloadMemory / 512; l.most > most {
		t.Errorf("%d flows are remembered at a time, want at most %d: those with an opening", l.most, most)
	}
}

// Later fragments have no transport header: what is in them is not classified.
func TestLaterFragmentsAreNotClassified(t *testing.T) {
	m := randomModel(t, small()["text"])
	c := New(m)
	table := flow.New(flow.Config{PayloadMemory: 1}) // no opening fits
	defer table.Close()
	later := &packet.Headers{Version: 4, Proto: packet.UDP, Has: packet.Fragment | packet.LaterFragment, PayloadOffset: 34, PayloadLen: 26, PayloadWireLen: 26}
	whole := &packet.Headers{Version: 4, Proto: packet.UDP, Has: packet.HasPayload, PayloadOffset: 34, PayloadLen: 26, PayloadWireLen: 26}
	empty := &packet.Headers{Version: 4, Proto: packet.UDP, Has: packet.HasPayload}
	classify := func(h *packet.Headers, ordinal uint64) (label flow.Label, changed bool) {
		p := &meter.Packet{Capture: &capture.Packet{Data: make([]byte, 60), WireLen: 60}, Headers: h}
		p.Flow, p.Dir, p.Joined = table.Update(h, p.Capture, ordinal)
		changed = c.Packet(p)
		return p.Flow.Label(), changed
	}
	if label, changed := classify(later, 0); changed || label.Class != flow.NoClass {
		t.Errorf("a later fragment got its flow the label %+v", label)
	}
	if label, changed := classify(empty, 1); changed || label.Class != flow.NoClass {
		t.Errorf("a packet without payload got its flow the label %+v", label)
	}
	if label, changed := classify(whole, 2); !changed || label.Class == flow.NoClass {
		t.Error("a packet whose opening is short for want of memory got its flow no label")
	}
	if _, changed := classify(later, 3); changed {
		t.Error("a later fragment changed a label")
	}
}

// Each flow has a track of its own, and what is kept of those that have ended is bounded.
func TestTracksComeAndGo(t *testing.T) {
	a := small()["text"]
	a.Early = 2
	c := New(randomModel(t, a))
	const flows = maxFree + 100
	ended := 0
	table := flow.New(flow.Config{OnEnd: func(f *flow.Flow) {
		c.Ended(f)
		if got := f.Label; !got.Final || got.Packets != 1+f.FirstPacket%2 {
			t.Fatalf("flow %d has the label %+v, want one that rests on its own packets", f.FirstPacket, got)
		}
		ended++
	}})
	defer table.Close()
	for round := range 2 {
		for i := range flows {
			for range 1 + i%2 {
				h := &packet.Headers{Version: 4, Proto: packet.UDP, SrcPort: uint16(i), Has: packet.HasPorts | packet.HasPayload, PayloadLen: 9, PayloadWireLen: 9}
				p := &meter.Packet{Capture: &capture.Packet{Data: make([]byte, 9), WireLen: 60}, Headers: h}
				p.Flow, p.Dir, p.Joined = table.Update(h, p.Capture, uint64(i))
				c.Packet(p)
			}
		}
		if c.remembered() != flows {
			t.Errorf("%d flows are remembered, want %d", c.remembered(), flows)
		}
		table.Flush(flow.ForcedEnd)
		if c.remembered() != 0 || len(c.tracks) != flows || len(c.free) > maxFree || ended != flows*(round+1) {
			t.Errorf("%d flows are remembered and %d tracks kept after all %d have ended, want 0 and at most %d", c.remembered(), len(c.free), ended, maxFree)
		}
	}
}
