package sensor

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/window"
)

// A run without a detector counts windows from some packet on, of another length later, and then gets its first detector: packets and
// flows are those of a run that does nothing of it, and the windows are those of the detector that was there from the start.
func TestFirstDetector(t *testing.T) {
	all := packets(t, 8)
	run := func(workers, batch int, teach bool) (windows map[int64]window.Vector, lengths map[time.Duration]int, scored []string, s *Summary) {
		t.Helper()
		windows, lengths = map[int64]window.Vector{}, map[time.Duration]int{}
		m := detectorOf(t, 1)
		cfg := Config{
			Apps: applications(t), Emit: func(e *event.Event) error {
				if e.Type == event.TypeWindow {
					scored = append(scored, fmt.Sprint(e.Window.Start, e.Window.Packets, e.Window.Model, e.Window.Score != nil, e.Window.Anomalous))
				}
				return nil
			},
			OnWindow: func(w *window.Window) {
				lengths[w.Length]++
				if w.Length == m.Length {
					windows[w.Start] = w.Vector()
				}
			},
		}
		if !teach {
			cfg.OnWindow = nil
		}
		sensor, err := New(cfg, workers)
		must(t, err)
		for i := 0; i < len(all); i += batch {
			if teach && i/batch == len(all)/batch/8 {
				must(t, sensor.CountWindows(7*m.Length, nil))
			}
			if teach && i/batch == len(all)/batch/4 {
				must(t, sensor.CountWindows(m.Length, m.Home))
				must(t, sensor.CountWindows(m.Length, m.Home))
			}
			if teach && i/batch == len(all)/batch/2 {
				must(t, sensor.PromoteAnomaly(m, "anomaly@1"))
				if err := sensor.CountWindows(3*m.Length, nil); !errors.Is(err, ErrOtherInput) {
					t.Errorf("other windows than the detector's: error %v", err)
				}
			}
			must(t, sensor.Add("capture.pcap", all[i:min(i+batch, len(all))]))
		}
		s, err = sensor.Close()
		must(t, err)
		return windows, lengths, scored, s
	}
	_, _, _, plain := run(2, 64, false)
	windows, lengths, scored, taught := run(2, 64, true)
	if got, want := taught.Counters.Flow, plain.Counters.Flow; got != want {
		t.Errorf("flows differ from those of a run that learns nothing\n got %+v\nwant %+v", got, want)
	}
	if got, want := [3]any{taught.Counters.Packets, taught.Counters.Bytes, taught.Counters.Decoded}, [3]any{plain.Counters.Packets, plain.Counters.Bytes, plain.Counters.Decoded}; got != want {
		t.Errorf("packets differ from those of a run that learns nothing: %v, want %v", got, want)
	}
	if n := int64(0); true {
		for _, k := range lengths {
			n += int64(k)
		}
		if len(lengths) != 2 || taught.Counters.Window.Windows != n {
			t.Errorf("windows seen by length: %v, counted %d", lengths, taught.Counters.Window.Windows)
		}
	}
	if len(scored) < 3 {
		t.Fatalf("%d windows were judged", len(scored))
	}

	// Windows that began after they were counted are those of a run that had the detector from the start.
	whole := map[int64]window.Vector{}
	s, err := New(Config{Anomaly: detectorOf(t, 1), Emit: func(*event.Event) error { return nil }, OnWindow: func(w *window.Window) { whole[w.Start] = w.Vector() }}, 1)
	must(t, err)
	must(t, s.Add("capture.pcap", all))
	_, err = s.Close()
	must(t, err)
	first := int64(1<<63 - 1)
	for start := range windows {
		first = min(first, start)
	}
	same := 0
	for start, v := range windows {
		if start > first {
			if v != whole[start] {
				t.Errorf("window %d differs", start)
			}
			same++
		}
	}
	if same < 5 {
		t.Errorf("%d windows were compared", same)
	}
	// On one worker it is the same.
	_, _, again, one := run(1, 64, true)
	if !reflect.DeepEqual(scored, again) || one.Counters.Flow.Flows != taught.Counters.Flow.Flows {
		t.Errorf("one worker:\n got %v\nwant %v", again, scored)
	}
}
