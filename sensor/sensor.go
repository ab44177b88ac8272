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
	"net/netip"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/classify"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/evidence"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/window"
)

// Config says what a sensor runs. Without models it writes flows and statistics alone.
type Config struct {
	Meter       meter.Config    // Window, Home and the functions are the sensor's own
	Apps        *classify.Model // nil: no labels
	Anomaly     *anomaly.Model  // nil: no windows
	AnomalyName string          // NAME@VERSION of Anomaly
	// On trial beside Apps and Anomaly, which must take the same input: told as such, and of no other consequence.
	ShadowApps        *classify.Model
	ShadowAnomaly     *anomaly.Model
	ShadowAnomalyName string

	Samples SampleConfig // of flows, to learn from

	Emit     func(*event.Event) error
	OnWindow func(*window.Window)   // sees every window that closes, before it is judged; nil: nobody does
	Capture  func() []event.Capture // counts of the interfaces, for stats; nil: captures are read
	// Suppress says which exclusion an alert falls under, 0 for none; it is asked when a window has closed. nil: there are none.
	Suppress func(*event.Alert) (exclusion int64)
}

// StatsEvery is how much traffic time lies between two stats events.
const StatsEvery = 10 * time.Second

// Sensor is used by one goroutine.
type Sensor struct {
	cfg      Config
	meter    *meter.Meter
	detector *anomaly.Detector
	workers  []*labelledFlows // none without Config.Apps
	classes  classes
	promoted event.Models
	shadow   shadow
	drifts   drifts
	sampling sampling
	before   classify.Shed // of classifiers that are no longer in use
	summary  Summary
	labelled uint64 // flows that ended with a label
	novel    uint64 // of them
	file     string // that the packets at hand come from
	batch    []capture.Packet
	at       int // of batch: the packet that the meter sees next
	sources  sources
	recent   recent
	samples  samples
	counted  time.Duration      // length of the windows that are counted; 0: none are
	home     []netip.Prefix     // of them
	judged   int                // windows that the detector has seen since it knew none
	evidence *evidence.Recorder // nil: none is kept
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
	if err := s.shadow.begin(&s.cfg); err != nil {
		return nil, err
	}
	m := cfg.Meter
	m.Every, m.OnTick = StatsEvery, s.stats
	found := meter.NewFindings(s.found)
	m.Found = found
	if cfg.Anomaly != nil {
		s.detector = cfg.Anomaly.NewDetector()
		s.drifts.anewAnomaly(cfg.Anomaly)
		s.recent.replay = cfg.Anomaly.NewDetector()
		w := s.windows(cfg.Anomaly.Length, cfg.Anomaly.Home)
		m.Window, m.Home, m.OnWindow, m.OnPacket = w.Length, w.Home, w.OnWindow, w.OnPacket
		s.begin(&w)
	}
	if cfg.Apps == nil {
		m.Flow.OpeningPackets = -1
	} else {
		s.drifts.anewApps(cfg.Apps)
	}
	var err error
	s.meter, err = meter.New(m, workers, func(i int) meter.Handler {
		ended := endedFlows{classes: &s.classes, queue: found.Queue(i)}
		if cfg.Apps == nil {
			return &ended
		}
		w := &labelledFlows{endedFlows: ended, samples: cfg.Samples}
		if cfg.Samples.Recent > 0 {
			w.recent = newOpenings(cfg.Samples.Recent / max(workers, 1))
		}
		w.use(cfg.Apps, s.classes.of(cfg.Apps))
		if cfg.ShadowApps != nil {
			w.trial = &trial{model: cfg.ShadowApps, engine: cfg.ShadowApps.Engine()}
		}
		s.workers = append(s.workers, w)
		return w
	})
	return s, err
}

// KeepEvidence has the packets that windows count recorded, and those of alerts kept. It is called before the first packet, and not
// without a detector; r must stay open until the sensor is closed, or is told to keep no more, nil.
func (s *Sensor) KeepEvidence(r *evidence.Recorder) { s.evidence = r }

// Add takes a batch of packets of one file. It returns the first error of Emit so far.
func (s *Sensor) Add(file string, batch []capture.Packet) error {
	s.file, s.batch, s.at = file, batch, 0
	s.meter.Add(batch)
	s.batch = nil // the packets are the caller's again
	return s.err
}

// Wait returns when everything that the packets so far have shown was emitted: see meter.Meter.Wait.
func (s *Sensor) Wait() { s.meter.Wait() }

// Close ends the open flows and windows and returns what there is to tell.
func (s *Sensor) Close() (*Summary, error) {
	s.meter.Close()
	_, now := s.meter.Span()
	s.stats(now)
	s.summary.Counters = s.meter.Counters()
	s.summary.Shed = s.shed()
	s.summary.Shadow, s.summary.Disagreements = s.comparison(), s.shadow.disagreements()
	s.summary.finish()
	return &s.summary, s.err
}

// found takes what the workers have found, in stream order.
func (s *Sensor) found(e *event.Event) {
	if e.Type == event.TypeFlow {
		if e.Flow.App != "" {
			s.labelled++
			if e.Flow.Novel {
				s.novel++
			}
		}
		s.drifts.flow(e.Flow)
		s.summary.flow(e.Flow)
	}
	if e.Type == event.TypeShadow {
		s.shadow.flow(e.Shadow)
	}
	if e.Type == event.TypeLabel && e.Label.Sample != nil && !s.sampling.take(e.Nanos, 1) {
		e.Label.Sample = nil
	}
	s.emit(e)
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
		Windows: uint64(c.Window.Windows), Alerts: s.summary.AlertCount, Suppressed: s.summary.Suppressed,
		Labelled: s.labelled, Novel: s.novel, DecodeErrors: DecodeErrors(&c), Drops: Drops(&c), Shed: s.shed(),
	}
	if s.evidence != nil {
		for reason, n := range s.evidence.Lost() {
			st.Drops[reason] = n
		}
	}
	if lost := s.lostSamples(); lost > 0 {
		st.Drops[lostSamples] = lost
	}
	if s.cfg.Capture != nil {
		st.Capture = s.cfg.Capture()
	}
	st.Models, st.Shadow = s.models(), s.comparison()
	st.Drift = s.drifts.event()
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

// endedFlows is the meter.Handler of one worker without labels: it queues events.
type endedFlows struct {
	classes *classes
	queue   *meter.Queue[*event.Event]
}

// Ended implements meter.Handler.
func (w *endedFlows) Ended(f *flow.Flow, at uint64) {
	app, model := w.classes.app(f)
	w.queue.Put(at, f.FirstPacket, event.OfFlow(f, app, model))
}

// labelledFlows is the meter.SettlingHandler of one worker with labels.
type labelledFlows struct {
	endedFlows
	classifiers []*classify.Classifier // the one for flows that begin first, then those that have flows yet
	flow        flow.Flow              // of the packet at hand, reused
	trial       *trial                 // nil: no model is
	samples     SampleConfig
	sampling    sampling
	recent      *openings      // nil: none are kept
	opening     []flow.Payload // scratch
	encoded     []byte         // the opening of the flow that was decided last, see openings
	waiting     []waiting      // packets that meter.Packet.Wait
}

// waiting is a packet that waits for a classifier.
type waiting struct {
	classifier *classify.Classifier
	flow       flow.Ref
	nanos      int64
	at         uint64
}

// Packet implements meter.PacketHandler.
func (w *labelledFlows) Packet(p *meter.Packet) {
	c := w.classifiers[0]
	if len(w.classifiers) > 1 {
		c = w.of(p.Flow.Label().Class)
	}
	if c.Wait(p) {
		p.Wait()
		w.waiting = append(w.waiting, waiting{c, p.Flow, p.Capture.Nanos, p.Ordinal})
		return
	}
	undecided := p.Joined && !p.Flow.Final()
	w.labelled(p.Flow, c, 0, c.Packet(p), undecided, p.Capture.Nanos, p.Ordinal)
}

// Settle implements meter.SettlingHandler.
func (w *labelledFlows) Settle() {
	for _, c := range w.classifiers {
		changed, novel := c.Settle(), 0
		for i := range w.waiting {
			if p := &w.waiting[i]; p.classifier == c {
				w.labelled(p.flow, c, novel, changed[0], true, p.nanos, p.at)
				changed = changed[1:]
				if l := p.flow.Label(); l.Final && l.Novel {
					novel++
				}
			}
		}
	}
	clear(w.waiting)
	w.waiting = w.waiting[:0]
}

// labelled tells of the label of a packet's flow. Where that was undecided and is decided now, what the flow looked like is kept if it is to
// be, and the model on trial asked; novel is the flow's number among those that the classifier has just found novel.
func (w *labelledFlows) labelled(f flow.Ref, c *classify.Classifier, novel int, changed, undecided bool, nanos int64, at uint64) {
	decided := undecided && f.Final()
	tried, learned := decided && w.trial != nil, decided && w.learns()
	if !changed && !tried && !learned {
		return
	}
	f.Record(&w.flow)
	if learned {
		w.opening = f.Opening(w.opening[:0])
		w.decided(&w.flow, w.opening)
	}
	if changed {
		w.label(&w.flow, c, novel, nanos, at)
	}
	if tried {
		w.trial.opening = f.Opening(w.trial.opening[:0])
		w.try(&w.flow, w.trial.opening, nanos, at)
	}
}

// Ended implements meter.Handler.
func (w *labelledFlows) Ended(f *flow.Flow, at uint64) {
	open := !f.Label.Final
	c := w.of(f.Label.Class)
	changed := c.Ended(f)
	if open && w.learns() {
		w.decided(f, f.Opening)
	}
	if changed {
		w.label(f, c, 0, f.Last, at)
	}
	if w.trial != nil && open && len(f.Opening) > 0 {
		w.try(f, f.Opening, f.Last, at)
	}
	w.endedFlows.Ended(f, at)
}

func (w *labelledFlows) label(f *flow.Flow, c *classify.Classifier, novel int, nanos int64, at uint64) {
	app, model := w.classes.app(f)
	w.queue.Put(at, f.FirstPacket, &event.Event{Nanos: nanos, Type: event.TypeLabel, Tuple: event.TupleOf(f), Label: &event.Label{
		App: app, Confidence: float64(f.Label.Confidence), Source: f.Label.Source.String(),
		Packets: int(f.Label.Packets), Novel: f.Label.Novel, Model: model,
		Sample: w.sample(f, c, novel, nanos),
	}})
}
