package sensor

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/meter"
)

// trying runs over packets with models on trial.
func trying(t *testing.T, all []capture.Packet, workers, batch int, change func(*Config)) ([]event.Event, *Summary) {
	t.Helper()
	var events []event.Event
	cfg := Config{
		Meter: meter.Config{Lateness: time.Second, MaxGap: 100}, Apps: applications(t), Anomaly: detector(t), AnomalyName: "anomaly@1",
		Emit: func(e *event.Event) error { events = append(events, *e); return nil },
	}
	cfg.Meter.Flow.OpeningPackets = cfg.Apps.Arch.Packets
	change(&cfg)
	s, err := New(cfg, workers)
	must(t, err)
	for part := range slices.Chunk(all, batch) {
		must(t, s.Add("capture.pcap", part))
	}
	summary, err := s.Close()
	must(t, err)
	return events, summary
}

// Models on trial change nothing but what is said of them.
func TestShadowChangesNothing(t *testing.T) {
	all := packets(t, 6)
	want, plain := trying(t, all, 2, 64, func(*Config) {})
	onTrial := func(c *Config) {
		c.ShadowApps = otherApplications(t, "apps@2", 8)
		c.ShadowAnomaly, c.ShadowAnomalyName = detectorOf(t, 1), "anomaly@2"
	}
	got, summary := trying(t, all, 1, len(all), onTrial)
	for _, run := range []struct{ workers, batch int }{{2, 97}, {8, 64}} {
		again, _ := trying(t, all, run.workers, run.batch, onTrial)
		if a, b := lines(t, again), lines(t, got); a != b {
			t.Errorf("%+v: %s", run, differ(a, b))
		}
	}
	asked, decided := 0, map[uint64]string{}
	var bare []event.Event
	for _, e := range got {
		switch e.Type {
		case event.TypeShadow:
			asked++
			if e.Shadow.Model != "apps@2" || e.Shadow.LiveApp != decided[e.Tuple.FlowID] {
				t.Errorf("on trial: %+v, the flow's label is %q", e.Shadow, decided[e.Tuple.FlowID])
			}
			continue
		case event.TypeLabel:
			decided[e.Tuple.FlowID] = e.Label.App
		case event.TypeWindow:
			w := *e.Window
			if w.Shadow == nil || w.Shadow.Model != "anomaly@2" {
				t.Errorf("a window says %+v of the detector on trial", w.Shadow)
			}
			w.Shadow, e.Window = nil, &w
		case event.TypeStats:
			st := *e.Stats
			st.Shadow, e.Stats = nil, &st
		}
		bare = append(bare, e)
	}
	if a, b := lines(t, bare), lines(t, want); a != b {
		t.Errorf("without what is said of models on trial: %s", differ(a, b))
	}
	c := summary.Shadow
	if c == nil || c.Apps.Flows != uint64(asked) || asked < 10 || c.Apps.Agree == c.Apps.Flows || len(summary.Disagreements) == 0 {
		t.Fatalf("%d flows were asked about, the comparison is %+v", asked, c.Apps)
	}
	differing := uint64(0)
	for _, d := range summary.Disagreements {
		differing += d.Flows
	}
	if differing != c.Apps.Flows-c.Apps.Agree {
		t.Errorf("%d flows in pairs that differ, want %d", differing, c.Apps.Flows-c.Apps.Agree)
	}
	if a := c.Anomaly; a.Windows != uint64(len(plain.Timeline)) || a.AboveLive != plain.AlertCount || a.Correlation == 0 {
		t.Errorf("windows: %+v, want %d, %d of them alerts", a, len(plain.Timeline), plain.AlertCount)
	}
}

// A model on trial against itself agrees wholly.
func TestShadowOfItself(t *testing.T) {
	_, summary := trying(t, packets(t, 6), 2, 64, func(c *Config) {
		c.ShadowApps = applications(t)
		c.ShadowAnomaly, c.ShadowAnomalyName = c.Anomaly, "anomaly@1"
	})
	c := summary.Shadow
	if c.Apps.Flows == 0 || c.Apps.Agree != c.Apps.Flows || c.Apps.Novel != c.Apps.NovelBoth || c.Apps.NovelLive != c.Apps.NovelBoth || len(summary.Disagreements) > 0 {
		t.Errorf("applications: %+v", c.Apps)
	}
	if c.Anomaly.AboveBoth != c.Anomaly.Above || c.Anomaly.Above != c.Anomaly.AboveLive || math.Abs(c.Anomaly.Correlation-1) > 1e-9 {
		t.Errorf("windows: %+v", c.Anomaly)
	}
}

func TestShadowRefuses(t *testing.T) {
	emit := func(*event.Event) error { return nil }
	long := detectorOf(t, 0)
	long.Length = time.Hour
	for i, cfg := range []Config{
		{ShadowApps: applications(t)},
		{ShadowAnomaly: detector(t)},
		{Anomaly: detector(t), ShadowAnomaly: long},
	} {
		cfg.Emit = emit
		if _, err := New(cfg, 1); !errors.Is(err, ErrOtherInput) {
			t.Errorf("%d: error %v, want ErrOtherInput", i, err)
		}
	}
}

// The correlation is that of the definition.
func TestCorrelation(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var m moments
	var xs, ys []float64
	for range 1000 {
		x := 1e6 + r.NormFloat64()
		y := x + r.NormFloat64()
		xs, ys = append(xs, x), append(ys, y)
		m.add(x, y)
	}
	mx, my := 0.0, 0.0
	for i := range xs {
		mx, my = mx+xs[i]/1000, my+ys[i]/1000
	}
	var xy, xx, yy float64
	for i := range xs {
		xy, xx, yy = xy+(xs[i]-mx)*(ys[i]-my), xx+(xs[i]-mx)*(xs[i]-mx), yy+(ys[i]-my)*(ys[i]-my)
	}
	if got, want := m.correlation(), xy/math.Sqrt(xx*yy); math.Abs(got-want) > 1e-6 {
		t.Errorf("correlation %v, want %v", got, want)
	}
}
