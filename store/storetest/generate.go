package storetest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/window"
)

// Start is the time of the first event that a Generator makes: 2026-11-22 00:00 UTC.
const Start = int64(1795305600) * int64(time.Second)

// Generator makes events as a sensor would: flows that end some time after their last packet, a window
// every ten seconds, alarms that come in groups, statistics, labels. The same seed gives the same
// events. Used by one goroutine.
type Generator struct {
	rand   *rand.Rand
	hosts  []string
	now    int64
	window int64
	alarm  int // windows that are still to be anomalous
	queue  []event.Event
	flows  uint64
	stats  event.Stats

	// Every is the mean time between two flows.
	Every time.Duration
}

// WindowLength is how long the windows of a Generator are.
const WindowLength = 10 * time.Second

// Apps are the labels that a Generator gives; some flows have none.
var Apps = []string{"dns", "http", "ssh", "rtp", `<b>"bobby'; DROP TABLE flows;--`}

// NewGenerator returns a generator of so many hosts.
func NewGenerator(seed uint64, hosts int) *Generator {
	g := &Generator{rand: rand.New(rand.NewPCG(seed, 5)), now: Start, window: Start, Every: 2 * time.Second}
	for i := range hosts {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if i%8 == 7 {
			var v6 [16]byte
			v6[0], v6[1], v6[14], v6[15] = 0x20, 0x01, byte(i>>8), byte(i)
			addr = netip.AddrFrom16(v6)
		}
		g.hosts = append(g.hosts, addr.String())
	}
	return g
}

// Next returns the next event.
func (g *Generator) Next() event.Event {
	for len(g.queue) == 0 {
		g.now += int64(g.rand.ExpFloat64() * float64(g.Every))
		for ; g.window+int64(WindowLength) <= g.now; g.window += int64(WindowLength) {
			g.close()
		}
		g.end()
	}
	e := g.queue[0]
	g.queue = g.queue[1:]
	return e
}

// Take returns the next n events.
func (g *Generator) Take(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = g.Next()
	}
	return events
}

func (g *Generator) end() {
	r := g.rand
	g.flows++
	// Some flows are told up to an hour after their last packet.
	last := g.now - r.Int64N(int64(time.Second))
	if r.IntN(3) == 0 {
		last = g.now - r.Int64N(int64(time.Hour))
	}
	packets := uint64(1 + r.IntN(20))
	bytes := packets * uint64(60+r.IntN(1400))
	tuple := event.Tuple{
		FlowID: r.Uint64() >> 11, CommunityID: fmt.Sprintf("1:%027d=", r.Uint64()),
		SrcIP: g.hosts[r.IntN(len(g.hosts))], SrcPort: uint16(1024 + r.IntN(60000)),
		DestIP: g.hosts[r.IntN(len(g.hosts))], DestPort: []uint16{53, 80, 443, 22, 8080}[r.IntN(5)], Proto: []string{"TCP", "UDP"}[r.IntN(2)],
	}
	if r.IntN(10) == 0 {
		tuple.SrcPort, tuple.DestPort, tuple.Proto = 8, 0, "ICMP"
	}
	f := event.Flow{
		PacketsToServer: packets, PacketsToClient: packets / 2, BytesToServer: bytes, BytesToClient: 2 * bytes,
		IPToServer: bytes - 14*packets, IPToClient: 2*bytes - 7*packets, PayloadToServer: bytes / 2, PayloadToClient: bytes / 3,
		Start: event.Time(last - r.Int64N(int64(time.Minute))), End: event.Time(last), Reason: "idle_timeout",
	}
	if i := r.IntN(len(Apps) + 1); i < len(Apps) {
		confidence := float64(float32(r.Float64()))
		f.App, f.Confidence, f.Novel = Apps[i], &confidence, r.IntN(10) == 0
		f.LabelSource, f.LabelPackets, f.Model = "flow", 1+r.IntN(10), "apps@20261122-1"
		g.queue = append(g.queue, event.Event{Nanos: last, Type: event.TypeLabel, Tuple: &tuple, Label: &event.Label{
			App: f.App, Confidence: confidence, Source: "flow", Packets: f.LabelPackets, Novel: f.Novel, Model: f.Model,
		}})
	}
	g.queue = append(g.queue, event.Event{Nanos: last, Type: event.TypeFlow, Tuple: &tuple, Flow: &f})
}

// close ends a window.
func (g *Generator) close() {
	r := g.rand
	if g.alarm == 0 && r.IntN(20) == 0 {
		g.alarm = 1 + r.IntN(6)
	}
	vector := new(window.Vector)
	for i := range vector {
		vector[i] = float64(r.IntN(1000)) / 8
	}
	packets := uint64(r.IntN(5000))
	vector[1] = float64(packets)
	w := event.Window{
		Start: event.Time(g.window), Length: WindowLength.Seconds(), Packets: packets, Threshold: 1, Model: "anomaly@20261122-1", Vector: vector,
	}
	end := g.window + int64(WindowLength)
	if g.window > Start { // the first is not scored
		score := r.Float64()
		if g.alarm > 0 {
			score++
		}
		w.Score, w.Anomalous = &score, g.alarm > 0
	}
	if r.IntN(50) == 0 {
		w.Lost, w.Unsure = uint64(r.IntN(10)), r.IntN(2) == 0
	}
	g.queue = append(g.queue, event.Event{Nanos: end, Type: event.TypeWindow, Window: &w})
	if w.Anomalous {
		g.queue = append(g.queue, event.Event{Nanos: end, Type: event.TypeAlert, Alert: &event.Alert{
			Window: w, Features: []event.Feature{{Name: "syn", Observed: 1000, Expected: 3, Share: *w.Score}},
			Top:      event.Top{Sources: []event.Count{{Name: g.hosts[0], Packets: packets}}, Destinations: []event.Count{}, Ports: []event.Count{{Name: "80", Packets: 7}}},
			Evidence: event.Evidence{Start: event.Time(g.window), End: event.Time(end)},
		}})
		g.stats.Alerts++
	}
	if g.alarm > 0 {
		g.alarm--
	}
	g.stats.Windows++
	g.stats.Packets += packets
	g.stats.Flows = g.flows
	stats := g.stats
	stats.DecodeErrors, stats.Drops = map[string]uint64{}, map[string]uint64{"packets_late": g.stats.Windows}
	g.queue = append(g.queue, event.Event{Nanos: end, Type: event.TypeStats, Stats: &stats})
}
