package meter

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/window"
)

// patient is a Handler that labels flows by their openings: those of several packets together, or with alone set each at once.
type patient struct {
	queue   *Queue[string]
	alone   bool
	waiting []sighted
	most    int // that waited together
}

type sighted struct {
	flow flow.Ref
	at   uint64
}

func (h *patient) Packet(p *Packet) {
	switch {
	case !p.Joined:
	case h.alone:
		h.label(sighted{p.Flow, p.Ordinal})
	default:
		p.Wait()
		h.waiting = append(h.waiting, sighted{p.Flow, p.Ordinal})
		h.most = max(h.most, len(h.waiting))
	}
}

func (h *patient) Settle() {
	for _, s := range h.waiting {
		h.label(s)
	}
	h.waiting = h.waiting[:0]
}

func (h *patient) label(s sighted) {
	opening := s.flow.Opening(nil)
	n, first := len(opening), s.flow.FirstPacket()
	l := flow.Label{Class: int32(first+uint64(n)) % 7, Novel: n%2 == 0, Final: (first*7+uint64(n)*3)%5 == 0, Packets: uint64(n)}
	s.flow.SetLabel(l)
	h.queue.Put(s.at, first, fmt.Sprintf("packet %d of flow %d: %+v after %x", s.at, first, l, opening[n-1].Data))
}

func (h *patient) Ended(f *flow.Flow, at uint64) {
	h.queue.Put(at, f.FirstPacket, fmt.Sprintf("flow %d ended at %d: %v %+v, %d payloads", f.FirstPacket, at, f.Reason, f.Label, len(f.Opening)))
}

// meterPatiently returns everything that comes out of packets, in order, and how many waited together at most.
func meterPatiently(t *testing.T, all []capture.Packet, cfg Config, workers, batch int, alone bool) (lines []string, most int) {
	t.Helper()
	found := NewFindings(func(s string) { lines = append(lines, s) })
	cfg.Found = found
	cfg.OnWindow = func(w *window.Window) {
		lines = append(lines, fmt.Sprintf("window %d: %v late %d labels %v", w.Start, w.Vector(), w.Late, w.Labels()))
	}
	var m *Meter
	cfg.Every = 10 * time.Second
	cfg.OnTick = func(nanos int64) { lines = append(lines, fmt.Sprintf("tick at %d: %+v", nanos, m.Counters())) }
	var handlers []*patient
	m, err := New(cfg, workers, func(i int) Handler {
		handlers = append(handlers, &patient{queue: found.Queue(i), alone: alone})
		return handlers[i]
	})
	must(t, err)
	for given := range slices.Chunk(all, batch) {
		given = clonePackets(nil, given)
		m.Add(given)
		for i := range given { // which are the caller's again
			clear(given[i].Data)
			given[i] = capture.Packet{Nanos: -1}
		}
	}
	m.Close()
	for _, h := range handlers {
		most = max(most, h.most)
		if len(h.waiting) > 0 {
			t.Errorf("%d packets wait after the end", len(h.waiting))
		}
	}
	return append(lines, fmt.Sprintf("%+v", m.Counters())), most
}

// Findings, windows with their labels, and counters at every tick are as if no packet waited for its label.
func TestNothingShowsThatPacketsWait(t *testing.T) {
	for name, all := range streams(t) {
		for limit, cfg := range map[string]Config{
			"no limit":     {},
			"short lives":  {Flow: flow.Config{Lifetime: 2 * time.Second, Active: 5 * time.Second}},
			"few flows":    {Flow: flow.Config{MaxFlows: 40}},
			"open windows": {Lateness: -1, WindowMemory: 64 << 10},
		} {
			if limit != "no limit" && name != "one file" {
				continue
			}
			cfg.Window, cfg.MaxGap = 5*time.Second, 100
			workers := []int{1, 2, 8}
			if limit == "few flows" || limit == "open windows" { // tables and windows share limits
				workers = workers[:1]
			}
			want, _ := meterPatiently(t, all, cfg, 1, 1, true)
			for _, workers := range workers {
				for _, batch := range []int{1, 2, 97, len(all)} {
					got, most := meterPatiently(t, all, cfg, workers, batch, false)
					what := fmt.Sprintf("%s, %s, %d workers, batches of %d", name, limit, workers, batch)
					if i := firstDifference(got, want); i >= 0 {
						t.Fatalf("%s: %d lines, want %d, from line %d on\n got %s\nwant %s", what, len(got), len(want), i, got[min(i, len(got)-1)], want[min(i, len(want)-1)])
					}
					if batch == len(all) && workers == 1 && most < 4 {
						t.Errorf("%s: no more than %d packets waited together", what, most)
					}
				}
			}
		}
	}
}
