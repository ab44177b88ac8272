// Package sensor wires the straight line: packets from a source through a meter, its flows
// through the classifier, its windows through the detector, and what they say as events to a
// sink. It also keeps the summary that a person reads at the end.
//
//	s, err := sensor.New(sensor.Config{Apps: apps, Emit: writer.Write}, 2)
//	for each batch { err = s.Add(file, batch) }
//	summary, err := s.Close()
package sensor

import (
	"math"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/packet"
	"github.com/weirnet/weir/window"
)

// Config says what a sensor runs. Without models it writes flows and statistics alone.
type Config struct {
	Meter       meter.Config    // Window, Home and the functions are the sensor's own
	Apps        *classify.Model // nil: no labels
	Anomaly     *anomaly.Model  // nil: no windows
	AnomalyName string          // NAME@VERSION of Anomaly
	Emit        func(*event.Event) error
	Capture     func() []event.Capture // counts of the interfaces, for stats; nil: captures are read
}

// StatsEvery is how much traffic time lies between two stats events.
const StatsEvery = 10 * time.Second

// Sensor is used by one goroutine.
type Sensor struct {
	cfg      Config
	meter    *meter.Meter
	workers  []*worker
	queues   []*meter.Queue[event.Event]
	detector *anomaly.Detector
	summary  Summary
	file     string // that the packets at hand come from
	sources  sources
	last     lastStats
	incident anomaly.Incident // that the last alert belongs to
	effort   classify.Effort
	err      error
}

// lastStats is what the rates of the next stats event are reckoned from.
type lastStats struct {
	nanos   int64
	packets uint64
	bytes   uint64
}

// New returns a sensor with the given number of workers.
func New(cfg Config, workers int) (*Sensor, error) {
	s := &Sensor{cfg: cfg}
	m := cfg.Meter
	m.Every, m.OnTick = StatsEvery, func(nanos int64) {
		s.drain()
		s.stats(nanos)
	}
	m.OnRest = s.drain
	if cfg.Anomaly != nil {
		s.detector = cfg.Anomaly.NewDetector()
		m.Window, m.Home = cfg.Anomaly.Length, cfg.Anomaly.Home
		m.OnWindow = s.window
		s.sources.length = m.Window
		m.OnPacket = func(_ uint64, nanos int64, _ *packet.Headers, counted bool) {
			if counted {
				s.sources.add(s.file, nanos)
			}
		}
	}
	if cfg.Apps == nil {
		m.Flow.OpeningPackets = -1
	}
	var err error
	s.meter, err = meter.New(m, workers, func(int) meter.Handler {
		w := newWorker(&s.cfg)
		s.workers = append(s.workers, w)
		s.queues = append(s.queues, &w.queue)
		return w
	})
	return s, err
}

// Add takes a batch of packets of one file. It returns the first error of Emit.
func (s *Sensor) Add(file string, batch []capture.Packet) error {
	s.file = file
	s.meter.Add(batch)
	s.drain()
	return s.err
}

// Close ends the open flows and windows and returns what there is to tell.
func (s *Sensor) Close() (*Summary, error) {
	s.meter.Close()
	s.drain()
	_, now := s.meter.Span()
	s.stats(now)
	s.summary.Counters = s.meter.Counters()
	s.summary.Shed = s.shed()
	for _, w := range s.workers {
		s.summary.add(w)
	}
	s.summary.finish(s.cfg.Apps)
	return &s.summary, s.err
}

// drain emits what the workers have found, in stream order.
func (s *Sensor) drain() {
	meter.Drain(s.queues, func(e event.Event) { s.emit(&e) })
}

func (s *Sensor) emit(e *event.Event) {
	if s.err == nil {
		s.err = s.cfg.Emit(e)
	}
}

func (s *Sensor) stats(now int64) {
	if now == math.MinInt64 {
		now = 0 // no packet ever
	}
	c := s.meter.Counters()
	st := &event.Stats{
		Packets: c.Packets, Bytes: c.Bytes, Flows: c.Flow.Flows, ActiveFlows: uint64(c.Flow.Alive),
		Windows: uint64(c.Window.Windows), Alerts: s.summary.AlertCount,
		DecodeErrors: DecodeErrors(&c), Drops: Drops(&c), Shed: s.shed(),
	}
	if s.cfg.Capture != nil {
		st.Capture = s.cfg.Capture()
	}
	for _, w := range s.workers {
		st.Labelled += w.labelled
		st.Novel += w.novel
	}
	if s.last.packets == 0 {
		s.last.nanos, _ = s.meter.Span()
	}
	if passed := time.Duration(now - s.last.nanos).Seconds(); passed > 0 {
		st.PacketRate = float64(c.Packets-s.last.packets) / passed
		st.BitRate = 8 * float64(c.Bytes-s.last.bytes) / passed
	}
	s.last = lastStats{now, c.Packets, c.Bytes}
	s.emit(&event.Event{Nanos: now, Type: event.TypeStats, Stats: st})
}

// worker is the meter.Handler of one worker: it labels flows and queues events.
type worker struct {
	cfg        *Config
	classifier *classify.Classifier
	queue      meter.Queue[event.Event]
	apps       map[int64]map[int32]uint64 // packets that count, by open window and class
	totals     map[appKey]*AppTotal
	labelled   uint64
	novel      uint64
}

// appKey is what the totals of a run are kept by.
type appKey struct {
	class int32
	novel bool
}

func newWorker(cfg *Config) *worker {
	w := &worker{cfg: cfg, totals: map[appKey]*AppTotal{}}
	if cfg.Apps != nil {
		w.classifier = classify.New(cfg.Apps)
		if cfg.Anomaly != nil {
			w.apps = map[int64]map[int32]uint64{}
		}
	}
	return w
}

// Packet implements meter.Handler.
func (w *worker) Packet(p *meter.Packet) {
	if w.classifier == nil {
		return
	}
	if w.classifier.Packet(p) {
		w.label(p.Flow, p.Capture.Nanos, p.Ordinal)
	}
	if w.apps != nil && p.Counted && p.Flow.Label.Class != flow.NoClass {
		index := window.Index(p.Capture.Nanos, w.cfg.Anomaly.Length)
		if w.apps[index] == nil {
			w.apps[index] = map[int32]uint64{}
		}
		w.apps[index][p.Flow.Label.Class]++
	}
}

// Ended implements meter.Handler.
func (w *worker) Ended(f *flow.Flow, at uint64) {
	if w.classifier != nil && w.classifier.Ended(f) {
		w.label(f, f.Last, at)
	}
	app := w.app(f)
	model := ""
	if app != "" {
		model = w.cfg.Apps.Name
	}
	w.queue.Put(at, f.FirstPacket, *event.OfFlow(f, app, model))
	key := appKey{flow.NoClass, false}
	if app != "" {
		key = appKey{f.Label.Class, f.Label.Novel}
		w.labelled++
		if f.Label.Novel {
			w.novel++
		}
	}
	t := w.totals[key]
	if t == nil {
		t = new(AppTotal)
		w.totals[key] = t
	}
	t.Flows++
	t.Packets += f.PacketCount()
	t.Bytes += f.Bytes[flow.Originator] + f.Bytes[flow.Responder]
	t.Payload += f.PayloadBytes[flow.Originator] + f.PayloadBytes[flow.Responder]
}

// app is the name of a flow's label, empty without one.
func (w *worker) app(f *flow.Flow) string {
	if w.cfg.Apps == nil || f.Label.Class == flow.NoClass {
		return ""
	}
	return w.cfg.Apps.Labels[f.Label.Class]
}

func (w *worker) label(f *flow.Flow, nanos int64, at uint64) {
	w.queue.Put(at, f.FirstPacket, event.Event{Nanos: nanos, Type: event.TypeLabel, Tuple: event.TupleOf(f), Label: &event.Label{
		App: w.app(f), Confidence: float64(f.Label.Confidence), Source: f.Label.Source.String(),
		Packets: int(f.Label.Packets), Novel: f.Label.Novel, Model: w.cfg.Apps.Name,
	}})
}
