package meter

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/window"
)

// live meters packets as an interface gives them, with the clock going on between them: Advance is called now and
// then, never beyond the packet to come.
func live(t *testing.T, all []capture.Packet, cfg Config, workers int, seed uint64) (windows, others []string, c Counters) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 3))
	found := NewFindings(func(s string) {
		if flow, end, ok := strings.Cut(s, " ended at "); ok { // the place is that of the clock
			_, end, _ = strings.Cut(end, ":")
			s = flow + " ended:" + end
		}
		others = append(others, s)
	})
	cfg.Found = found
	cfg.OnWindow = func(w *window.Window) {
		windows = append(windows, fmt.Sprintf("window %d: %v late %d", w.Start, w.Vector(), w.Late))
	}
	m, err := New(cfg, workers, func(i int) Handler { return &recorder{found.Queue(i)} })
	must(t, err)
	if seed == 0 { // as a file
		m.Add(all)
		m.Close()
		return windows, others, m.Counters()
	}
	for len(all) > 0 {
		n := 1 + r.IntN(min(len(all), 20))
		m.Add(all[:n])
		last := all[n-1].Nanos
		if all = all[n:]; len(all) == 0 {
			break
		}
		for now := last; r.IntN(3) > 0; {
			now += int64(r.Float64() * float64(all[0].Nanos-now))
			m.Advance(now)
		}
		if r.IntN(4) == 0 {
			m.Advance(all[0].Nanos)
		}
	}
	m.Close()
	return windows, others, m.Counters()
}

func TestClockChangesNothingWhilePacketsCome(t *testing.T) {
	all := traffic(t, 4000)
	slices.SortStableFunc(all, func(a, b capture.Packet) int { return cmp.Compare(a.Nanos, b.Nanos) })
	cfg := Config{Window: 5 * time.Second, Lateness: time.Second, MaxGap: 100}
	wantWindows, wantOthers, want := live(t, all, cfg, 1, 0)
	slices.Sort(wantOthers) // flows that end between two packets may do so one after the other
	for seed := range uint64(20) {
		windows, others, c := live(t, all, cfg, 1+int(seed%3), 1+seed)
		slices.Sort(others)
		if !slices.Equal(windows, wantWindows) {
			t.Fatalf("seed %d: other windows than without a clock", seed)
		}
		if !slices.Equal(others, wantOthers) {
			t.Fatalf("seed %d: other flows than without a clock", seed)
		}
		if !reflect.DeepEqual(c, want) {
			t.Fatalf("seed %d: counters\n got %+v\nwant %+v", seed, c, want)
		}
	}
}

func TestTimeGoesOnWithoutPackets(t *testing.T) {
	const second = int64(time.Second)
	for _, packets := range []int{1, 3, 30} {
		all := even(t, packets)
		start := all[0].Nanos
		var closed []int64
		var ticks []int64
		ended := 0
		found := NewFindings(func(s string) {
			if strings.Contains(s, "ended at") {
				ended++
			}
		})
		cfg := Config{
			Found: found, Window: time.Second, Lateness: time.Second, Every: 10 * time.Second,
			OnWindow: func(w *window.Window) { closed = append(closed, (w.Start-start)/second) },
			OnTick:   func(nanos int64) { ticks = append(ticks, (nanos-start)/second) },
		}
		cfg.Flow.Lifetime = 30 * time.Second
		m, err := New(cfg, 2, func(i int) Handler { return &recorder{found.Queue(i)} })
		must(t, err)
		m.Advance(start - second) // before the first packet there is nothing to end
		m.Add(all)
		last := all[packets-1].Nanos
		if m.Advance(last); len(closed) > max(0, (packets-11)/10) {
			t.Errorf("%d packets: windows %v have closed too early", packets, closed)
		}
		m.Advance(start + 5*second)
		if want := []int64{0, 1, 2, 3}; !slices.Equal(closed, want) {
			t.Errorf("%d packets: after 5 s windows %v have closed, want %v", packets, closed, want)
		}
		m.Advance(last + 29*second)
		if ended != 0 {
			t.Errorf("%d packets: %d flows ended before their time", packets, ended)
		}
		for s := range int64(30) {
			m.Advance(last + (29+s)*second)
		}
		if ended != 1 {
			t.Errorf("%d packets: %d flows ended by the clock, want 1", packets, ended)
		}
		if len(ticks) < 2 {
			t.Errorf("%d packets: ticks at %v, want some", packets, ticks)
		}
		m.Advance(start) // back: nothing
		m.Close()
		if c := m.Counters(); c.Window.Late != 0 || c.TimeOutliers != 0 || c.Flow.Flows != 1 {
			t.Errorf("%d packets: %+v", packets, c)
		}
	}
}

func TestClockDoesNotBelieveAPacketFromTheFuture(t *testing.T) {
	all := even(t, 3)
	all[1].Nanos = year2100
	closed := 0
	m, err := New(Config{NoFlows: true, Window: time.Second, Lateness: time.Second, OnWindow: func(*window.Window) { closed++ }}, 1, nil)
	must(t, err)
	m.Add(all[1:2])
	m.Advance(all[0].Nanos)
	if _, newest := m.Span(); closed != 0 || newest != year2100 {
		t.Errorf("a clock behind the only packet closed %d windows", closed)
	}
	m.Add(all[:1])
	m.Add(all[2:])
	m.Advance(all[2].Nanos + 10e9)
	if _, newest := m.Span(); closed != 9 || newest != all[2].Nanos+10e9 {
		t.Errorf("%d windows closed, time %d; want 9 and the clock's", closed, newest)
	}
	if m.Close(); m.Counters().TimeOutliers != 1 {
		t.Errorf("%d outliers, want 1", m.Counters().TimeOutliers)
	}
}

func TestRestart(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour * 24, 24 * time.Hour} {
		before, after := even(t, 50), even(t, 50)
		for i := range after {
			after[i].Nanos += 5e9 + int64(by)
		}
		var starts []int64
		var packets, flows uint64
		cfg := Config{Window: time.Second, Lateness: time.Second, OnWindow: func(w *window.Window) {
			starts = append(starts, (w.Start-before[0].Nanos)/1e9)
			packets += w.Packets()
		}}
		found := NewFindings(func(s string) {
			if strings.Contains(s, "ended at") {
				flows++
			}
		})
		cfg.Found = found
		m, err := New(cfg, 2, func(i int) Handler { return &recorder{found.Queue(i)} })
		must(t, err)
		m.Add(before)
		m.Restart()
		m.Add(after)
		m.Close()
		first := int64(by/time.Second) + 5
		want := []int64{0, 1, 2, 3, 4, first, first + 1, first + 2, first + 3, first + 4}
		c := m.Counters()
		if !slices.Equal(starts, want) || packets != 100 || flows != 2 || c.Window.Late != 0 || c.TimeOutliers != 0 {
			t.Errorf("by %v: windows %v, want %v; %d packets in them, %d flows, %+v", by, starts, want, packets, flows, c)
		}
	}
}

func TestLose(t *testing.T) {
	all := even(t, 50)
	lost := map[int64]uint64{}
	cfg := Config{NoFlows: true, Window: time.Second, Lateness: time.Second, OnWindow: func(w *window.Window) {
		lost[(w.Start-all[0].Nanos)/1e9] += w.Lost
	}}
	m, err := New(cfg, 2, nil)
	must(t, err)
	m.Add(all[:10])
	m.Lose(all[35].Nanos, 7) // of packets still to come
	m.Lose(all[0].Nanos, 1)
	m.Add(all[10:])
	m.Lose(all[0].Nanos, 2) // its window has closed: the oldest open one tells
	m.Close()
	if want := map[int64]uint64{0: 1, 1: 0, 2: 0, 3: 9, 4: 0}; !reflect.DeepEqual(lost, want) {
		t.Errorf("lost %v, want %v", lost, want)
	}
	if c := m.Counters(); c.Lost != 10 || c.Window.Lost != 10 {
		t.Errorf("counted %d and %d, want 10", c.Lost, c.Window.Lost)
	}
	// Without windows they count as well.
	m, err = New(Config{}, 1, func(int) Handler { return silent{} })
	must(t, err)
	if m.Lose(math.MaxInt64, 3); m.Counters().Lost != 3 {
		t.Errorf("counted %d, want 3", m.Counters().Lost)
	}
}
