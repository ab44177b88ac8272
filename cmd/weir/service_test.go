package main

import (
	"io"
	"math"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/sensor"
	"github.com/weirnet/weir/systemd"
)

// source gives packets of a capture, and then none until it is ended.
type source struct {
	r   *capture.Reader
	end chan struct{}
}

func (s *source) Read(batch []capture.Packet) (int, error) {
	if n, _ := s.r.Read(batch); n > 0 {
		return n, nil
	}
	select {
	case <-s.end:
		return 0, io.EOF
	case <-time.After(time.Millisecond):
		return 0, nil
	}
}
func (s *source) Complete() int64               { return math.MinInt64 }
func (s *source) ClockStep() time.Duration      { return 0 }
func (s *source) Losses() []capture.Loss        { return nil }
func (s *source) Lag() (float64, time.Duration) { return 0, 0 }

// TestWatchdogOfAStuckRun wants the watchdog to be fed while packets are looked at or there are none, not while what takes
// events stands still, and again when it goes on.
func TestWatchdogOfAStuckRun(t *testing.T) {
	const dog = 30 * time.Second
	environment := map[string]string{"NOTIFY_SOCKET": "nobody", "WATCHDOG_USEC": "30000000"}
	var alive pulse
	s := service{manager: systemd.New(func(name string) string { return environment[name] }), alive: &alive}
	r, err := capture.Open([]string{"../../samples/demo.pcapng.zst"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	stuck, release := make(chan struct{}), make(chan struct{})
	first := true
	watched, err := sensor.New(sensor.Config{Emit: func(*event.Event) error {
		if first {
			first = false
			close(stuck)
			<-release
		}
		return nil
	}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	from := &source{r: r, end: make(chan struct{})}
	ended := make(chan error)
	go func() {
		ended <- watched.Watch(from, sensor.Watcher{Each: alive.beside(func() error { return nil })})
	}()
	beats := func() time.Time { return time.Unix(0, alive.last.Load()) }
	<-stuck
	// The packets of other workers may be looked at yet, but not for long.
	for last := beats(); ; {
		time.Sleep(50 * time.Millisecond)
		now := beats()
		if now.Equal(last) {
			break
		}
		last = now
	}
	last := beats()
	if alive.last.Load() == 0 || !s.works(last) || s.works(last.Add(dog/2)) || s.works(last.Add(time.Hour)) {
		t.Errorf("the last beat was at %v: fed then %t, fed after half the time %t", last, s.works(last), s.works(last.Add(dog/2)))
	}
	close(release)
	for !beats().After(last) {
		time.Sleep(time.Millisecond)
	}
	last = beats()
	for !beats().After(last) { // without packets as well
		time.Sleep(time.Millisecond)
	}
	if now := beats(); !s.works(now) {
		t.Error("a run that goes on is not told to do its work")
	}
	close(from.end)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := watched.Close(); err != nil {
		t.Error(err)
	}
}
