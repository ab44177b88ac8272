package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The highest score of every stretch of time survives decimation, and nothing is invented.
func TestTimelineKeepsPeaks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		n := 1 + r.IntN(5000)
		var line Timeline
		peak := map[int]float64{}
		const columns = 300
		var at int64
		for range n {
			at += r.Int64N(10)
			score := r.ExpFloat64()
			if r.IntN(20) == 0 {
				score = math.NaN()
			}
			line.Points = append(line.Points, TimePoint{Nanos: at, Score: score, Threshold: float64(r.IntN(3))})
		}
		r.Shuffle(n, func(i, j int) { line.Points[i], line.Points[j] = line.Points[j], line.Points[i] })
		first, last := int64(math.MaxInt64), int64(math.MinInt64)
		scored := 0
		for _, p := range line.Points {
			if finite(p.Score) {
				first, last, scored = min(first, p.Nanos), max(last, p.Nanos), scored+1
			}
		}
		column := func(nanos int64) int {
			if last == first {
				return 0
			}
			return min(int(float64(nanos-first)/(float64(last-first)/columns)), columns-1)
		}
		for _, p := range line.Points {
			if finite(p.Score) {
				peak[column(p.Nanos)] = max(peak[column(p.Nanos)], p.Score)
			}
		}
		got := line.Columns(columns)
		if scored <= columns {
			if len(got) != scored {
				t.Fatalf("%d scored points, %d kept", scored, len(got))
			}
			continue
		}
		if len(got) != len(peak) {
			t.Fatalf("%d columns hold points, %d points kept", len(peak), len(got))
		}
		for i, p := range got {
			if want := peak[column(p.Nanos)]; p.Score != want {
				t.Fatalf("column %d: score %g, want %g", column(p.Nanos), p.Score, want)
			}
			if i > 0 && p.Nanos < got[i-1].Nanos {
				t.Fatalf("points out of order at %d", i)
			}
		}
	}
}

func TestSpansJoined(t *testing.T) {
	got := joined([]Span{{"a", 30, 40}, {"a", 0, 10}, {"b", 11, 12}, {"a", 12, 20}, {"a", 13, 15}}, 2)
	want := []Span{{"a", 0, 20}, {"b", 11, 12}, {"a", 30, 40}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestApplicationsRanked(t *testing.T) {
	a := Applications{Most: 3, Rows: []Application{{"d", 1, 40}, {"b", 5, 20}, {"a", 5, 10}, {"c", 2, 30}, {"e", 0, 0}}}
	want := []Application{{"a", 5, 10}, {"b", 5, 20}, {"3 others", 3, 70}}
	got := a.ranked()
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d: got %v, want %v", i, got[i], want[i])
		}
	}
	if a.Rows[0].Name != "d" {
		t.Error("the caller's rows were reordered")
	}
}

// Numbers at the edges draw something and never panic.
func TestExtremes(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, b := range []Block{
		Applications{Rows: []Application{{"a", 0, 0}}},
		Applications{Rows: []Application{{"a", math.MaxUint64, math.MaxUint64}, {"b", 0, 0}}},
		Bars{Rows: []Bar{{Name: "a", Value: 0}}},
		Bars{Rows: []Bar{{Name: "a", Value: -3}, {Name: "b", Value: inf}}},
		Lines{Series: []Series{{X: []float64{1}, Y: []float64{0}}}},
		Lines{Series: []Series{{X: []float64{1, 2}, Y: []float64{nan, nan}}}},
		Lines{Log: true, Series: []Series{{X: []float64{1, 2, 3}, Y: []float64{0, 1e-300, 1e300}}}},
		Lines{Log: true, Series: []Series{{X: []float64{1}, Y: []float64{1}}}},
		Lines{Unit: true, Diagonal: true, Series: []Series{{X: []float64{0, 1}, Y: []float64{0, 1}}}},
		Lines{Share: true, Whole: true, Series: []Series{{X: []float64{1, 1}, Y: []float64{1, 1}, Steps: true}}},
		Timeline{Points: []TimePoint{{0, 0, 0}}},
		Timeline{Points: []TimePoint{{math.MaxInt64, 1, nan}}},
		Timeline{Points: []TimePoint{{math.MinInt64 + 1, 1, inf}, {0, 1, inf}}},
		Timeline{Points: []TimePoint{{0, 1e300, 1e-300}, {1, 0, 1}, {2, inf, 1}}},
		Timeline{Points: []TimePoint{{0, -1, -2}, {1, -1, -2}}},
		Timeline{Points: []TimePoint{{0, 1, 1}}, Spans: []Span{{"a", 5, 2}}},
		Matrix{Labels: []string{"a"}, Counts: [][]int{{0}}},
		Matrix{Labels: make([]string, 120), Counts: square(120)},
		Reliability{Bins: []ReliabilityBin{{0, 1, 1, nan, nan}}},
	} {
		h, err := b.html()
		if err != nil || h == "" {
			t.Errorf("%#v: %d bytes, error %v", b, len(h), err)
		}
	}
}

func square(n int) [][]int {
	m := make([][]int, n)
	for i := range m {
		m[i] = make([]int, n)
		m[i][i] = i * 1000
	}
	return m
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Ratio(0.7666), "0.767"}, {Ratio(math.NaN()), "–"},
		{Percent(0), "0 %"}, {Percent(0.93), "93 %"}, {Percent(0.0931), "9.3 %"}, {Percent(0.00931), "0.93 %"}, {Percent(0.00001), "<0.01 %"}, {Percent(1), "100 %"},
		{Percent(0.0996), "10 %"},
		{Count(0), "0"}, {Count(1234), "1234"}, {Count(12345), "12\u202f345"}, {Count(int64(-1234567)), "−1\u202f234\u202f567"},
		{Count(uint64(math.MaxUint64)), "18\u202f446\u202f744\u202f073\u202f709\u202f551\u202f615"},
		{Short(0), "0"}, {Short(950), "950"}, {Short(999.7), "1 k"}, {Short(12345), "12.3 k"}, {Short(4.56e6), "4.56 M"}, {Short(1e21), "1000 E"},
		{Bytes(12), "12 B"}, {Bytes(1.5e9), "1.5 GB"},
		{Plain(0.05), "0.05"}, {Plain(1234.5), "1234"}, {Plain(math.Inf(1)), "–"},
		{compact(999), "999"}, {compact(1000), "1.0k"}, {compact(9960), "10k"}, {compact(999499), "999k"}, {compact(1_200_000), "1.2M"},
		{plain("a\nb\u202ec\xff", 10), "a\ufffdb\ufffdc\ufffd"}, {plain("abcdef", 4), "abc…"}, {plain("abcd", 4), "abcd"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTicks(t *testing.T) {
	labels := func(lo, hi float64, n int) (out []string) {
		for _, tick := range steps(n, Plain).Ticks(lo, hi) {
			out = append(out, tick.Label)
		}
		return out
	}
	for _, c := range []struct {
		lo, hi float64
		want   []string
	}{
		{0, 1, []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}},
		{0, 7, []string{"0", "2", "4", "6"}},
		{-1, 1, []string{"-1", "-0.5", "0", "0.5", "1"}},
	} {
		got := labels(c.lo, c.hi, 5)
		if len(got) != len(c.want) {
			t.Errorf("%g to %g: got %v, want %v", c.lo, c.hi, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%g to %g: got %v, want %v", c.lo, c.hi, got, c.want)
			}
		}
	}
	for _, c := range []struct {
		lo, hi float64
		want   int
	}{{0.7, 15000, 5}, {0.2, 3, 4}, {1e-300, 1e300, 6}} {
		if got := decades(6, Plain).Ticks(c.lo, c.hi); len(got) < c.want || len(got) > 7 {
			t.Errorf("%g to %g: %d ticks, want %d to 7", c.lo, c.hi, len(got), c.want)
		}
	}
}
