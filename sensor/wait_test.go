package sensor

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/packet"
)

// hasty is a model that has learned nothing and decides some flows before their openings are full.
func hasty(t *testing.T, name string, seed uint64, labels ...string) *classify.Model {
	t.Helper()
	arch, err := classify.NewArchitecture(classify.Default, len(labels))
	must(t, err)
	arch.Early = 0.4
	params := classify.NewNetwork(arch).Params()
	nn.Init(params, seed)
	m, err := classify.NewModel(classify.Settings{Arch: arch, PacketTemperature: 1, FlowTemperature: 0.05}, labels, params)
	must(t, err)
	m.Name = name
	return m
}

// quarrels are packets of flows that begin, answer, are cut off, come to life again, come in fragments and fall silent, all at once.
func quarrels(n int) []capture.Packet {
	r := rand.New(rand.NewPCG(9, 9))
	var all []capture.Packet
	nanos := int64(1_700_000_000e9)
	for len(all) < n {
		if nanos += r.Int64N(4e6); r.IntN(400) == 0 {
			nanos += r.Int64N(4e9) // long enough for windows to close and flows to end
		}
		a, b := byte(1+r.IntN(12)), byte(100+r.IntN(3))
		port := uint16(1000 + r.IntN(2))
		flags, size := byte(packet.ACK), r.IntN(120)*r.IntN(2)
		switch r.IntN(25) {
		case 0, 1:
			flags, size = packet.SYN, 0
		case 2:
			flags |= packet.FIN
		case 3:
			flags |= packet.RST
		case 4:
			flags = packet.SYN // with data
		}
		p := segment(nanos, a, b, port, 443, flags, 40+size)
		if r.IntN(2) == 0 {
			p = segment(nanos, b, a, 443, port, flags, 40+size)
		}
		for i := range p.Data[54:] {
			p.Data[54+i] = a * byte(r.IntN(4))
		}
		switch ip := p.Data[14:]; r.IntN(30) {
		case 0: // the first fragment of a datagram
			ip[6] |= 0x20
		case 1: // a later one
			ip[6], ip[7] = 0, 4
		case 2: // of another protocol
			ip[9] = packet.ICMP
		}
		all = append(all, p)
	}
	return all
}

// settled gives a sensor packets in parts of some lengths, and changes its models and effort at the same places, whatever
// the parts.
func settled(t *testing.T, all []capture.Packet, workers int, flows meter.Config, parts func() int) string {
	t.Helper()
	var events []event.Event
	cfg := Config{
		Meter: flows, Apps: hasty(t, "apps@1", 1, "a", "b", "c"), Anomaly: detector(t), AnomalyName: "anomaly@1",
		ShadowApps: hasty(t, "trial@1", 5, "a", "b", "c"),
		Emit:       func(e *event.Event) error { events = append(events, *e); return nil },
	}
	cfg.Meter.Lateness, cfg.Meter.MaxGap = time.Second, 100
	cfg.Meter.Flow.OpeningPackets = cfg.Apps.Arch.Packets
	s, err := New(cfg, workers)
	must(t, err)
	others := []*classify.Model{hasty(t, "apps@2", 2, "x", "b"), hasty(t, "apps@3", 3, "y", "a", "z"), cfg.Apps}
	const every = 331
	for i := 0; len(all) > 0; i++ {
		stretch := all[:min(every, len(all))]
		all = all[len(stretch):]
		for len(stretch) > 0 {
			n := min(max(parts(), 1), len(stretch))
			must(t, s.Add("capture.pcap", stretch[:n]))
			stretch = stretch[n:]
		}
		s.Wait()
		switch {
		case i%4 == 1:
			must(t, s.PromoteApps(others[i/4%len(others)]))
		case i%4 == 2:
			s.setEffort(classify.Effort(1 + i/4%3))
		case i%4 == 3:
			s.setEffort(classify.Full)
		}
	}
	_, err = s.Close()
	must(t, err)
	count := map[event.Type]int{}
	for i := range events {
		e := &events[i]
		if count[e.Type]++; e.Type == event.TypeStats && i+1 < len(events) { // what was shed is counted up to when it is told, not to its place
			e.Stats.Shed, e.Stats.Shadow.Apps.Skipped = nil, 0
		}
	}
	for _, kind := range []event.Type{event.TypeLabel, event.TypeFlow, event.TypeShadow, event.TypeWindow} {
		if count[kind] < 15 {
			t.Errorf("%d events %s are too few to test with", count[kind], kind)
		}
	}
	return lines(t, events)
}

// What waits for labels comes out as if nothing did: each packet given alone, which waits for none, shows the same events.
func TestNothingShowsThatPacketsWait(t *testing.T) {
	all := quarrels(5000)
	for name, c := range map[string]struct {
		limit   func(*meter.Config)
		workers []int
	}{
		"no limit":     {func(*meter.Config) {}, []int{1, 2, 8}},
		"short lives":  {func(c *meter.Config) { c.Flow.Lifetime, c.Flow.Active = 80*time.Millisecond, 300*time.Millisecond }, []int{1, 3}},
		"few flows":    {func(c *meter.Config) { c.Flow.MaxFlows = 15 }, []int{1}},
		"one way":      {func(c *meter.Config) { c.Flow.Directional = true }, []int{2}},
		"little space": {func(c *meter.Config) { c.Flow.FragmentCache, c.WindowMemory = 2, 4096 }, []int{1}},
	} {
		var cfg meter.Config
		c.limit(&cfg)
		want := settled(t, all, 1, cfg, func() int { return 1 })
		for _, workers := range c.workers {
			r := rand.New(rand.NewPCG(1, uint64(workers)))
			for kind, parts := range map[string]func() int{
				"all": func() int { return len(all) }, "pairs": func() int { return 2 }, "any": func() int { return 1 << r.IntN(9) },
			} {
				if got := settled(t, all, workers, cfg, parts); got != want {
					t.Errorf("%s: %s", fmt.Sprint(name, ", ", workers, " workers, parts: ", kind), differ(got, want))
				}
			}
		}
	}
}
