package web

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/store/storetest"
)

func noWords(*event.Alert) string { return "" }

// TestLiveInParts follows a Live in parts of many sizes: together they are what it tells at once.
func TestLiveInParts(t *testing.T) {
	all := storetest.NewGenerator(3, 20).Take(20_000)
	whole := NewLive()
	parts := NewLive()
	var at cursor
	var start, score []float64
	alerts := 0
	for i := range all {
		whole.Observe(&all[i])
		parts.Observe(&all[i])
		if i%97 == 0 || i == len(all)-1 {
			to := parts.cursor()
			s := parts.between(at, to, noWords)
			at = to
			if s.Skipped != 0 {
				t.Fatalf("%d windows skipped", s.Skipped)
			}
			start = append(start, s.Windows.Start...)
			for _, v := range s.Windows.Score {
				if v != nil {
					score = append(score, *v)
				}
			}
			alerts += len(s.Alerts)
		}
	}
	want := whole.between(cursor{}, whole.cursor(), noWords)
	if !reflect.DeepEqual(start, want.Windows.Start) || len(start) == 0 || len(score) == 0 {
		t.Errorf("%d windows in parts, %d at once", len(start), len(want.Windows.Start))
	}
	if alerts < len(want.Alerts) || alerts == 0 {
		t.Errorf("%d alerts in parts, %d at once", alerts, len(want.Alerts))
	}
	if !reflect.DeepEqual(parts.mix(), whole.mix()) || len(whole.mix()) < 5 {
		t.Error("the mix of applications differs")
	}
}

// TestLiveIsBounded tells more than is kept.
func TestLiveIsBounded(t *testing.T) {
	l := NewLive()
	for i := range 3 * liveWindows {
		l.Observe(&event.Event{Nanos: int64(i), Type: event.TypeWindow, Window: &event.Window{Start: event.Time(i) * 1000}})
	}
	for i := range 3 * liveApps {
		l.Observe(&event.Event{Nanos: 5, Type: event.TypeFlow, Flow: &event.Flow{App: strings.Repeat("x", i%7) + string(rune('a'+i%5000)), PacketsToServer: 1}})
	}
	s := l.between(cursor{}, l.cursor(), noWords)
	if len(s.Windows.Start) != liveWindows || s.Skipped != 2*liveWindows || s.Windows.Start[0] != seconds(2*liveWindows*1000) {
		t.Errorf("%d windows from %v, %d skipped", len(s.Windows.Start), s.Windows.Start[0], s.Skipped)
	}
	packets := uint64(0)
	for _, a := range s.Apps {
		packets += a.Packets
	}
	if len(s.Apps) != liveApps+1 || packets != 3*liveApps {
		t.Errorf("%d applications with %d packets", len(s.Apps), packets)
	}
}

// TestMixForgets keeps the last hour of traffic.
func TestMixForgets(t *testing.T) {
	l := NewLive()
	flow := func(minute int, app string) {
		l.Observe(&event.Event{Nanos: int64(minute) * int64(time.Minute), Type: event.TypeFlow, Flow: &event.Flow{App: app, PacketsToServer: 1}})
	}
	flow(100, "old")
	flow(130, "middle")
	flow(165, "new")
	flow(90, "older than what is kept")
	if got := l.mix(); len(got) != 2 || got[0].Name != "middle" || got[1].Name != "new" {
		t.Errorf("got %v", got)
	}
}

func TestObserveFlowDoesNotAllocate(t *testing.T) {
	l := NewLive()
	e := event.Event{Nanos: 5, Type: event.TypeFlow, Flow: &event.Flow{App: "dns"}}
	l.Observe(&e)
	if n := testing.AllocsPerRun(100, func() { l.Observe(&e) }); n != 0 {
		t.Errorf("%v allocations for a flow", n)
	}
}

func BenchmarkObserveFlow(b *testing.B) {
	l := NewLive()
	e := event.Event{Nanos: 5, Type: event.TypeFlow, Flow: &event.Flow{App: "dns"}}
	for b.Loop() {
		l.Observe(&e)
	}
}

// follow opens the events of a server.
func follow(t *testing.T, address string) (*http.Response, *bufio.Scanner) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+prefix+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Authorization", "Bearer "+token)
	got, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(got.Body)
	lines.Buffer(nil, 16<<20)
	return got, lines
}

// message returns the next event of a stream.
func message(t *testing.T, lines *bufio.Scanner) (name string, s State) {
	t.Helper()
	for lines.Scan() {
		if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = n
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if err := json.Unmarshal([]byte(data), &s); err != nil {
				t.Fatal(err)
			}
			return name, s
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
	return name, s
}

func serve(t *testing.T, s *Server) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// TestFollow has two who follow, of whom one comes later: both know the same in the end.
func TestFollow(t *testing.T) {
	live := NewLive()
	s := newTest(t, func(c *Config) { c.Live, c.Limit.Every = live, 2*time.Millisecond })
	address := serve(t, s)
	window := func(i int) {
		live.Observe(&event.Event{Nanos: int64(i) * 1e9, Type: event.TypeWindow, Window: &event.Window{Start: event.Time(i) * 1e9, Length: 1}})
	}
	window(0)
	first, lines := follow(t, address)
	defer first.Body.Close()
	name, state := message(t, lines)
	if name != "state" || len(state.Windows.Start) != 1 || first.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s with %d windows", name, len(state.Windows.Start))
	}
	got := state.Windows.Start
	go func() {
		for i := 1; i < 500; i++ {
			window(i)
			if i%50 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		live.End()
	}()
	var second *bufio.Scanner
	for !state.Ended {
		name, state = message(t, lines)
		if name != "update" {
			t.Fatalf("got %s", name)
		}
		got = append(got, state.Windows.Start...)
		if second == nil {
			var r *http.Response
			r, second = follow(t, address)
			defer r.Body.Close()
		}
	}
	late, state := message(t, second)
	if late != "state" {
		t.Fatalf("got %s", late)
	}
	all := state.Windows.Start
	for !state.Ended {
		_, state = message(t, second)
		all = append(all, state.Windows.Start...)
	}
	for _, times := range [][]float64{got, all} {
		if len(times) != 500 {
			t.Fatalf("%d windows of 500", len(times))
		}
		for i, v := range times {
			if v != float64(i) {
				t.Fatalf("window %d is %v", i, v)
			}
		}
	}
}

// TestSlowAndMany has a client that takes nothing, and more than there is place for.
func TestSlowAndMany(t *testing.T) {
	live := NewLive()
	s := newTest(t, func(c *Config) { c.Live, c.Limit = live, Limits{Clients: 1, Queue: 2} })
	c := s.stream.join()
	if c == nil {
		t.Fatal("refused")
	}
	if r := ask(t, s, "GET", prefix+"/events", ""); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one too many: got %d", r.StatusCode)
	}
	for i := range 3 {
		live.Observe(&event.Event{Nanos: int64(i), Type: event.TypeStats, Stats: &event.Stats{}})
		s.stream.update()
	}
	select {
	case <-c.gone:
	default:
		t.Error("who takes nothing was not dropped")
	}
	if now, slow, refused := s.stream.counts(); now != 0 || slow != 1 || refused != 1 {
		t.Errorf("%d follow, %d slow, %d refused", now, slow, refused)
	}
}

// TestMixOfWindows has windows tell what passes: flows that end later do not tell it again.
func TestMixOfWindows(t *testing.T) {
	l := NewLive()
	l.Observe(&event.Event{Nanos: 5, Type: event.TypeFlow, Flow: &event.Flow{App: "dns", PacketsToServer: 2, PayloadToServer: 60}})
	l.Observe(&event.Event{Nanos: 1e9, Type: event.TypeWindow, Window: &event.Window{Apps: []event.Share{{App: "dns", Packets: 2, Payload: 60}, {App: "dns", Novel: true, Packets: 9}}}})
	l.Observe(&event.Event{Nanos: 5, Type: event.TypeFlow, Flow: &event.Flow{App: "dns", PacketsToServer: 2, PayloadToServer: 60, BytesToServer: 100}})
	want := []Total{{Name: "dns", Novel: true, Packets: 9}, {Name: "dns", Flows: 1, Packets: 2, Payload: 60, Bytes: 100}}
	if got := l.mix(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
