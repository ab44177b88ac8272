package window

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/weirnet/weir/packet"
)

// row is what the tests compare of a window.
type row struct {
	start, packets, late, skipped int64
}

// run feeds packet times (in seconds, windows of one second) through n workers, packet i to
// worker i%n, as the package comment says.
func run(t *testing.T, seconds []float64, n int, lateness time.Duration, maxGap int64) ([]row, Stats) {
	t.Helper()
	var rows []row
	s, err := NewSeries(time.Second, maxGap, func(w *Window) {
		rows = append(rows, row{w.Start / int64(time.Second), int64(w.Packets()), int64(w.Late), w.Skipped})
	})
	if err != nil {
		t.Fatal(err)
	}
	workers := make([]*Accumulator, n)
	for i := range workers {
		workers[i] = s.NewAccumulator()
	}
	closeBefore := func(index int64) {
		var taken [][]Part
		for _, a := range workers {
			taken = append(taken, a.Take(index))
		}
		s.Close(index, taken...)
	}
	clock := NewClock(time.Second, lateness)
	for i, second := range seconds {
		nanos := int64(second * 1e9)
		if clock.Observe(nanos) {
			closeBefore(clock.Due())
		}
		workers[i%n].Add(nanos, &packet.Headers{Version: 4, Src: addrOf(uint32(i))})
	}
	closeBefore(math.MaxInt64)
	return rows, s.Stats()
}

func TestSeries(t *testing.T) {
	for _, test := range []struct {
		name     string
		seconds  []float64
		lateness time.Duration
		maxGap   int64
		want     []row
	}{
		{"no packets", nil, 0, 0, nil},
		{"empty windows between", []float64{10.5, 13.2}, 0, 0, []row{{10, 1, 0, 0}, {11, 0, 0, 0}, {12, 0, 0, 0}, {13, 1, 0, 0}}},
		{"before 1970", []float64{-1.5, -0.1, 0}, 0, 0, []row{{-2, 1, 0, 0}, {-1, 1, 0, 0}, {0, 1, 0, 0}}},
		{"late packets go to no closed window", []float64{10.5, 11, 10.9, 11.5, 10.2}, 0, 0, []row{{10, 1, 0, 0}, {11, 2, 2, 0}}},
		{"in time within the lateness", []float64{10.5, 11.4, 10.9, 11.5, 10.2}, 500 * time.Millisecond, 0, []row{{10, 2, 0, 0}, {11, 2, 1, 0}}},
		{"before the first", []float64{10.5, 8.5, 10.6}, -1, 0, []row{{8, 1, 0, 0}, {9, 0, 0, 0}, {10, 2, 0, 0}}},
		{"late before the first", []float64{10.5, 8.5, 10.6}, 0, 0, []row{{10, 2, 1, 0}}},
		{"open to the end", []float64{10.5, 90, 10.6, 12.5, 90}, -1, 2, []row{
			{10, 2, 0, 0}, {11, 0, 0, 0}, {12, 1, 0, 0}, {13, 0, 0, 0}, {14, 0, 0, 0}, {90, 2, 0, 75}}},
		{"a gap as long as allowed", []float64{0, 4}, 0, 3, []row{{0, 1, 0, 0}, {1, 0, 0, 0}, {2, 0, 0, 0}, {3, 0, 0, 0}, {4, 1, 0, 0}}},
		{"a longer gap", []float64{0, 5}, 0, 3, []row{{0, 1, 0, 0}, {1, 0, 0, 0}, {2, 0, 0, 0}, {3, 0, 0, 0}, {5, 1, 0, 1}}},
		{"a longer gap, closed in two steps", []float64{0, 5, 7}, 2 * time.Second, 3, []row{
			{0, 1, 0, 0}, {1, 0, 0, 0}, {2, 0, 0, 0}, {3, 0, 0, 0}, {5, 1, 0, 1}, {6, 0, 0, 0}, {7, 1, 0, 0}}},
		{"no limit", []float64{0, 3}, 0, -1, []row{{0, 1, 0, 0}, {1, 0, 0, 0}, {2, 0, 0, 0}, {3, 1, 0, 0}}},
		{"the ends of time", []float64{-9.3e9, 9.2e9}, 0, 1, []row{
			{-9223372036, 1, 0, 0}, {-9223372036, 0, 0, 0}, {9200000000, 1, 0, 18423372035}}},
	} {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d workers", test.name, n), func(t *testing.T) {
				got, _ := run(t, test.seconds, n, test.lateness, test.maxGap)
				if !reflect.DeepEqual(got, test.want) {
					t.Errorf("start, packets, late, skipped\n got %v\nwant %v", got, test.want)
				}
			})
		}
	}
}

// However many workers there are, the same stream gives the same windows, and no packet is lost.
func TestWorkersAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 100 {
		var seconds []float64
		now := 1000.0
		for range r.IntN(300) {
			now += r.Float64() - 0.2
			seconds = append(seconds, now-r.ExpFloat64())
		}
		lateness := time.Duration(r.IntN(4)-1) * time.Second
		want, stats := run(t, seconds, 1, lateness, 3)
		packets := int64(stats.Late)
		for _, w := range want {
			packets += w.packets
		}
		if packets != int64(len(seconds)) {
			t.Fatalf("%d packets in windows or late, want %d", packets, len(seconds))
		}
		for n := 2; n < 6; n++ {
			if got, gotStats := run(t, seconds, n, lateness, 3); !reflect.DeepEqual(got, want) || gotStats != stats {
				t.Fatalf("%d workers: got %v %v, want %v %v", n, got, gotStats, want, stats)
			}
		}
	}
}

// Many gaps, each of them allowed, do not add up to more than the packets are worth.
func TestEmptyWindowsAreBounded(t *testing.T) {
	const gap = DefaultMaxGap
	var packets, skippedAt int64
	s, err := NewSeries(time.Second, 0, func(w *Window) {
		packets += int64(w.Packets())
		if w.Skipped > 0 && skippedAt == 0 {
			skippedAt = w.Start / int64(time.Second)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	a := s.NewAccumulator()
	for i := range int64(20) {
		a.Add(i*gap*1e9, &packet.Headers{Version: 4})
	}
	s.Close(math.MaxInt64, a.Take(math.MaxInt64))
	got := s.Stats()
	if packets != 20 || got.Windows-got.Empty != 20 {
		t.Errorf("windows with packets: got %d with %d packets, want 20 with 20", got.Windows-got.Empty, packets)
	}
	if limit := maxEmpty + packets; got.Empty > limit || got.Empty < maxEmpty {
		t.Errorf("empty windows: got %d, want %d to %d", got.Empty, maxEmpty, limit)
	}
	if got.Empty+got.Skipped != 19*(gap-1) {
		t.Errorf("empty and skipped windows: got %d, want %d", got.Empty+got.Skipped, 19*(gap-1))
	}
	if skippedAt != 2*gap {
		t.Errorf("first window after a skip: got second %d, want %d", skippedAt, 2*gap)
	}
}

func TestSilenceIsEmittedAsTimePasses(t *testing.T) {
	var got []int64
	s, err := NewSeries(time.Second, 2, func(w *Window) { got = append(got, w.Start/int64(time.Second)) })
	if err != nil {
		t.Fatal(err)
	}
	a := s.NewAccumulator()
	s.Close(5, a.Take(5)) // nothing came yet: silence before the first packet is no window
	a.Add(7e9, &packet.Headers{Version: 4})
	for now := int64(7); now < 12; now++ {
		s.Close(now, a.Take(now))
	}
	if want := []int64{7, 8, 9}; !reflect.DeepEqual(got, want) {
		t.Errorf("windows: got %v, want %v", got, want)
	}
	if got, want := s.Stats(), (Stats{Windows: 3, Empty: 2, Skipped: 1}); got != want {
		t.Errorf("stats: got %+v, want %+v", got, want)
	}
}

func TestLose(t *testing.T) {
	var lost []uint64
	s, err := NewSeries(time.Second, 0, func(w *Window) { lost = append(lost, w.Lost) })
	if err != nil {
		t.Fatal(err)
	}
	a := s.NewAccumulator()
	a.Add(0, &packet.Headers{Version: 4})
	a.Lose(1e9, 5)
	a.Add(2e9, &packet.Headers{Version: 4})
	s.Close(2, a.Take(2))
	a.Lose(1e9, 7) // of a window that is closed: told by the oldest open one
	s.Close(math.MaxInt64, a.Take(math.MaxInt64))
	if want := []uint64{0, 5, 7}; !reflect.DeepEqual(lost, want) {
		t.Errorf("lost: got %v, want %v", lost, want)
	}
}

// Size must follow the open windows through growth, switching between them and closing.
func TestAccumulatorSize(t *testing.T) {
	s, err := NewSeries(time.Second, 0, func(*Window) {})
	if err != nil {
		t.Fatal(err)
	}
	a := s.NewAccumulator()
	r := rand.New(rand.NewPCG(6, 6))
	for i := range 100_000 {
		h := packet.Headers{Version: 4, Src: addrOf(r.Uint32())}
		a.Add(int64(r.IntN(50))*1e9, &h)
		want := 0
		if i%100 == 0 {
			for _, p := range a.open {
				want += p.Size()
			}
			if got := a.Size(); got != want {
				t.Fatalf("after %d packets: got %d bytes, want %d", i, got, want)
			}
		}
		if before, needed := Relief(400_000, math.MaxInt64, a); needed {
			s.Close(before, a.Take(before))
			if got := a.Size(); got > 400_000 {
				t.Fatalf("after relief: got %d bytes, want at most 400000", got)
			}
		}
	}
	if got := s.Stats().Windows; got == 0 {
		t.Error("no window was closed for relief")
	}
	s.Close(math.MaxInt64, a.Take(math.MaxInt64))
	if got := a.Size(); got != 0 {
		t.Errorf("all closed: got %d bytes, want 0", got)
	}
}

func TestReliefSparesThePresent(t *testing.T) {
	s, err := NewSeries(time.Second, 0, func(*Window) {})
	if err != nil {
		t.Fatal(err)
	}
	add := func(a *Accumulator, seconds ...int64) {
		for _, second := range seconds {
			a.Add(second*1e9, &packet.Headers{Version: 4})
		}
	}
	for _, tt := range []struct {
		name    string
		open    []int64
		limit   int
		present int64
		before  int64
		needed  bool
	}{
		{"the older half", []int64{1, 2, 3, 4}, 1, 4, 3, true},
		{"no more than what is older", []int64{3, 4, 90, 91, 92, 93}, 1, 4, 4, true},
		{"one alone", []int64{4}, 1, 4, 0, false},
		{"too much ahead", []int64{4, 90, 91, 92}, 1, 4, 91, true},
	} {
		a, b := s.NewAccumulator(), s.NewAccumulator()
		add(a, tt.open...)
		add(b, tt.open[0])
		before, needed := Relief(tt.limit, tt.present, a, b)
		if needed != tt.needed || needed && before != tt.before {
			t.Errorf("%s: close below %d: %t, want below %d: %t", tt.name, before, needed, tt.before, tt.needed)
		}
	}
	// The window at hand alone is what does not fit: nothing is gained by closing it.
	a := s.NewAccumulator()
	add(a, 90)
	ahead := a.Size()
	for i := range uint32(5000) {
		a.Add(4e9, &packet.Headers{Version: 4, Src: addrOf(i)})
	}
	if _, needed := Relief(2*ahead, 4, a); needed {
		t.Error("the window at hand closes for its size, beside one far ahead")
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	s, err := NewSeries(time.Second, 0, func(*Window) {})
	if err != nil {
		t.Fatal(err)
	}
	a := s.NewAccumulator()
	clock := NewClock(time.Second, time.Second)
	r := rand.New(rand.NewPCG(7, 7))
	packets := make([]packet.Headers, 1000)
	for i := range packets {
		packets[i] = randomPacket(r)
	}
	now := int64(0)
	window := func() {
		for i := range packets {
			if clock.Observe(now) {
				s.Close(clock.Due(), a.Take(clock.Due()))
			}
			a.Add(now, &packets[i])
			now += int64(time.Millisecond)
		}
	}
	for range 5 {
		window()
	}
	// What is left is per window of a thousand packets: the list of parts and its sorting.
	if got := testing.AllocsPerRun(20, window); got > 6 {
		t.Errorf("%v allocations per window of 1000 packets, want at most 6", got)
	}
}

// BenchmarkAdd is the time per packet, one in eight of them IPv6, among so many source addresses and
// a tenth of that destinations.
func BenchmarkAdd(b *testing.B) {
	for _, addrs := range []int{100, 20_000, 1_000_000} {
		b.Run(fmt.Sprintf("addrs=%d", addrs), func(b *testing.B) {
			s, err := NewSeries(time.Second, 0, func(*Window) {})
			if err != nil {
				b.Fatal(err)
			}
			a := s.NewAccumulator()
			r := rand.New(rand.NewPCG(8, 8))
			type ends struct {
				src, dst uint32
				port     uint16
				six      bool
			}
			packets := make([]ends, map[int]int{100: 1 << 12, 20_000: 1 << 16, 1_000_000: 1 << 20}[addrs])
			for i := range packets {
				packets[i] = ends{uint32(r.IntN(addrs)), uint32(r.IntN(addrs / 10)), uint16(32768 + r.IntN(28000)), r.IntN(8) == 0}
			}
			h := packet.Headers{Proto: 6, Has: packet.HasPorts | packet.HasFlags, TTL: 64, IPLen: 1500, TCPFlags: 16, DstPort: 443}
			b.ReportAllocs()
			for i := range b.N {
				p := &packets[i&(len(packets)-1)]
				h.Src, h.Dst, h.SrcPort, h.Version = addrOf(p.src), addrOf(p.dst), p.port, 4
				if p.six {
					h.Version = 6
				}
				a.Add(int64(i&1023), &h)
			}
		})
	}
}

func BenchmarkCSVEmpty(b *testing.B) {
	w := NewCSVWriter(discard{})
	win := &Window{Length: time.Second, Partial: new(Partial)}
	b.ReportAllocs()
	for range b.N {
		win.Start += int64(time.Second) / 2
		if err := w.Write(win); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkVector(b *testing.B) {
	var p Partial
	r := rand.New(rand.NewPCG(9, 9))
	for range 5000 {
		h := randomPacket(r)
		p.Add(&h)
	}
	for range b.N {
		p.Vector()
	}
}
