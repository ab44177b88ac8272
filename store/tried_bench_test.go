package store_test

import (
	"context"
	"testing"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store"
)

// BenchmarkCompare compares models on trial over a million flows that are stored.
func BenchmarkCompare(b *testing.B) {
	ctx := context.Background()
	w, err := store.Create(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Begin(ctx, store.Source{Name: "bench"}); err != nil {
		b.Fatal(err)
	}
	const flows = 1_000_000
	events := make([]event.Event, 10_000)
	labels := []string{"dns", "http", "https", "ssh", "mqtt"}
	for n := 0; n < flows; n += len(events) {
		for i := range events {
			f := &event.Shadow{LiveModel: "apps@1", LiveApp: labels[i%5], Label: event.Label{App: labels[i*i%5], Confidence: float64(i%100) / 100, Source: "flow", Packets: 8, Model: "apps@2"}}
			events[i] = event.Event{Nanos: int64(n+i) * 1e6, Type: event.TypeShadow, Tuple: &event.Tuple{FlowID: uint64(n*7919+i*104729) % (1 << 53)}, Shadow: f}
		}
		if err := w.Append(ctx, events, store.Position{Ordinal: uint64(n + len(events))}); err != nil {
			b.Fatal(err)
		}
	}
	info, err := w.Info(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, err := store.Compare(ctx, w, store.Range{})
		if err != nil || c.Apps[0].Flows != flows {
			b.Fatal(c, err)
		}
	}
	b.ReportMetric(float64(info.Bytes)/flows, "B/flow")
}
