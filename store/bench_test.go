package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

const (
	benchFlows = 1_000_000
	benchDay   = int64(24 * time.Hour)
)

// dayOfFlows gives the events of a day with a million flows of 5,000 inner and 20,000 outer hosts and 20
// applications to use.
func dayOfFlows(use func(*event.Event)) {
	r := rand.New(rand.NewPCG(1, 2))
	inner, outer := make([]string, 5000), make([]string, 20000)
	for i := range inner {
		inner[i] = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	}
	for i := range outer {
		outer[i] = fmt.Sprintf("%d.%d.%d.%d", 1+r.IntN(9), r.IntN(256), r.IntN(256), r.IntN(256))
	}
	apps := make([]string, 20)
	for i := range apps {
		apps[i] = fmt.Sprintf("application-%d", i)
	}
	ports := []uint16{443, 80, 53, 22, 123, 8080, 993, 3389}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	stats := int64(0)
	for i := range int64(benchFlows) {
		now := storetest.Start + i*(benchDay/benchFlows)
		if now >= stats {
			use(&event.Event{Nanos: now, Type: event.TypeStats, Stats: &event.Stats{}})
			stats = now + int64(10*time.Second)
		}
		packets := uint64(1 + r.ExpFloat64()*20)
		bytes := packets * uint64(60+r.IntN(1400))
		sure := float64(float32(r.Float64()))
		var community [28]byte
		for k := range community {
			community[k] = alphabet[r.IntN(64)]
		}
		use(&event.Event{Nanos: now, Type: event.TypeFlow,
			Tuple: &event.Tuple{FlowID: r.Uint64() >> 11, CommunityID: "1:" + string(community[:]),
				SrcIP: inner[int(r.ExpFloat64()*500)%len(inner)], SrcPort: uint16(32768 + r.IntN(30000)),
				DestIP: outer[int(r.ExpFloat64()*2000)%len(outer)], DestPort: ports[int(r.ExpFloat64()*2)%len(ports)], Proto: []string{"TCP", "UDP"}[r.IntN(2)]},
			Flow: &event.Flow{PacketsToServer: packets, PacketsToClient: packets / 2, BytesToServer: bytes, BytesToClient: bytes / 3,
				IPToServer: bytes - 14*packets, IPToClient: bytes/3 - 7*packets, PayloadToServer: bytes - 54*packets, PayloadToClient: bytes / 4,
				Start: event.Time(now - r.Int64N(int64(time.Minute))), End: event.Time(now), Reason: "idle_timeout",
				App: apps[int(r.ExpFloat64()*4)%len(apps)], Confidence: &sure, LabelSource: "flow", LabelPackets: 1 + r.IntN(10), Model: "apps@20261122-1"},
		})
	}
}

var bench struct {
	once  sync.Once
	dir   string
	store *store.DiskWriter
}

// day returns a store with a day of a million flows; it stays for the benchmarks that follow.
func day(b *testing.B) *store.DiskWriter {
	bench.once.Do(func() {
		dir, err := os.MkdirTemp("", "weir-bench-")
		must(b, err)
		bench.dir = dir
		s, err := store.Create(dir, store.Options{})
		must(b, err)
		bench.store = s
		r, err := store.NewRecorder(context.Background(), s, store.Source{Name: "day"}, store.RecorderOptions{Wait: true})
		must(b, err)
		dayOfFlows(func(e *event.Event) { must(b, r.Write(e)) })
		must(b, r.Close(true))
		info, err := s.Info(context.Background())
		must(b, err)
		b.Logf("%d flows in %d segments, %d bytes", info.Flows, info.Segments, info.Bytes)
	})
	return bench.store
}

// BenchmarkRecord is what storing a flow costs: the difference of the two is the store's share.
func BenchmarkRecord(b *testing.B) {
	b.Run("generate", func(b *testing.B) {
		start := cpuTime()
		for b.Loop() {
			dayOfFlows(func(*event.Event) {})
		}
		b.ReportMetric((cpuTime()-start)/float64(b.N)/benchFlows, "cpu-ns/flow")
	})
	b.Run("store", func(b *testing.B) { record(b, 0) })
	// One flow in a hundred is novel and kept, with 96 numbers and a kilobyte of payload.
	b.Run("samples", func(b *testing.B) { record(b, 100) })
}

// record stores days of flows; one in so many is unlike training, 0: none is.
func record(b *testing.B, novel int) {
	start := cpuTime()
	r := rand.New(rand.NewPCG(5, 6))
	kinds := make([][]int8, 40)
	for i := range kinds {
		kinds[i] = make([]int8, 96)
		for k := range kinds[i] {
			kinds[i][k] = int8(r.IntN(255) - 127)
		}
	}
	opening := make([]byte, 1000)
	for b.Loop() {
		s, err := store.Create(b.TempDir(), store.Options{})
		must(b, err)
		r, err := store.NewRecorder(context.Background(), s, store.Source{Name: "day"}, store.RecorderOptions{Wait: true})
		must(b, err)
		n := 0
		dayOfFlows(func(e *event.Event) {
			if n++; novel > 0 && n%novel == 0 && e.Type == event.TypeFlow {
				must(b, r.Write(&event.Event{Nanos: e.Nanos, Type: event.TypeLabel, Tuple: e.Tuple, Label: &event.Label{
					App: e.Flow.App, Novel: true, Model: e.Flow.Model, Sample: &event.Sample{Start: e.Flow.Start, Embedding: kinds[n/novel%len(kinds)], Opening: opening},
				}}))
			}
			must(b, r.Write(e))
		})
		must(b, r.Close(true))
		info, err := s.Info(context.Background())
		must(b, err)
		b.ReportMetric(float64(info.Bytes)/benchFlows, "B/flow")
		must(b, s.Close())
	}
	b.ReportMetric((cpuTime()-start)/float64(b.N)/benchFlows, "cpu-ns/flow")
}

// BenchmarkQuery asks a day of a million flows.
func BenchmarkQuery(b *testing.B) {
	ctx := context.Background()
	newest := storetest.Start + benchDay
	count := func(b *testing.B, s store.Reader, q store.FlowQuery) {
		n := 0
		start := cpuTime()
		for b.Loop() {
			n = 0
			for _, err := range s.Flows(ctx, q) {
				must(b, err)
				n++
			}
		}
		b.ReportMetric(float64(n), "flows")
		b.ReportMetric((cpuTime()-start)/float64(b.N)/1e6, "cpu-ms/op")
	}
	for _, by := range []store.Dimension{store.Apps, store.Hosts, store.Ports} {
		for _, span := range []time.Duration{24 * time.Hour, 90 * time.Minute} {
			b.Run(fmt.Sprintf("top-%ss/%v", by, span), func(b *testing.B) {
				s := day(b)
				start := cpuTime()
				for b.Loop() {
					_, err := s.Top(ctx, store.TopQuery{Range: store.Range{Since: newest - int64(span)}, By: by, Limit: 10})
					must(b, err)
				}
				b.ReportMetric((cpuTime()-start)/float64(b.N)/1e6, "cpu-ms/op")
			})
		}
	}
	for _, q := range []struct {
		name string
		q    store.FlowQuery
	}{
		{"host-busy", store.FlowQuery{Host: netip.MustParsePrefix("10.0.0.1/32")}},
		{"host-rare", store.FlowQuery{Host: netip.MustParsePrefix("10.0.15.1/32")}},
		{"host-none", store.FlowQuery{Host: netip.MustParsePrefix("192.0.2.1/32")}},
		{"host-newest-100", store.FlowQuery{Host: netip.MustParsePrefix("10.0.0.1/32"), Newest: true, Limit: 100}},
		{"network", store.FlowQuery{Host: netip.MustParsePrefix("10.0.0.0/28")}},
		{"app-hour", store.FlowQuery{App: "application-3", Range: store.Range{Since: newest - int64(time.Hour)}}},
		{"newest-1000", store.FlowQuery{Newest: true, Limit: 1000}},
		{"all", store.FlowQuery{}},
	} {
		b.Run(q.name, func(b *testing.B) { count(b, day(b), q.q) })
	}
}
