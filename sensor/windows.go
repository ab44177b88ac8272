package sensor

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/evidence"
	"github.com/weirnet/weir/window"
)

// topLen is how many addresses, ports and applications an alert names.
const topLen = 5

// window scores a closed window. The meter calls it between packets.
func (s *Sensor) window(w *window.Window) {
	if w.Skipped > 0 {
		s.forget()
	}
	if s.cfg.OnWindow != nil {
		s.cfg.OnWindow(w)
	}
	v := w.Vector()
	if s.detector == nil {
		s.count(w, v)
		return
	}
	r := s.detector.Score(v)
	s.judged++
	unsure := w.Lost > 0 && r.Anomalous && !surplus(&v, &r)
	if unsure {
		r.Anomalous = false
		s.detector.Reset() // or it would make the next windows odd too
		s.judged = 0
	}
	end := w.Start + int64(w.Length)
	labels := s.classes.byName(w.Labels())
	out := event.Window{
		Start: event.Time(w.Start), Length: w.Length.Seconds(), Packets: w.Packets(),
		Threshold: r.Threshold, Anomalous: r.Anomalous, Lost: w.Lost, Unsure: unsure, Model: s.cfg.AnomalyName, Vector: &v, Apps: s.mix(labels),
	}
	if r.Scored {
		out.Score = &r.Score
		s.drifts.window(r.Score)
	}
	s.shadow.window(&out, &v)
	if unsure && s.shadow.detector != nil {
		s.shadow.detector.Reset()
	}
	s.recent.add(v, evidence.Window{Start: w.Start, Packets: w.Packets()})
	index := window.Index(w.Start, w.Length)
	apps, files := s.apps(labels), s.sources.take(index)
	s.emit(&event.Event{Nanos: end, Type: event.TypeWindow, Window: &out})
	if r.Scored && len(s.summary.Timeline) < maxPoints {
		s.summary.Timeline = append(s.summary.Timeline, Point{w.Start, r.Score, r.Threshold, r.Anomalous})
	}
	seen := s.samples.take(index)
	for _, l := range labels[min(1, len(labels)):] {
		seen.apps = append(seen.apps, l.Packets)
	}
	if !r.Anomalous {
		s.samples.usually(seen)
		return
	}
	alert := event.Alert{Window: out, Features: features(v, r), Top: top(w, apps), Evidence: cuts(files, w.Start, end)}
	alert.Shadow = nil // of a detector on trial no alert says anything
	s.explain(&alert, seen)
	s.samples.drop(seen)
	if s.cfg.Suppress != nil {
		if alert.Exclusion = s.cfg.Suppress(&alert); alert.Exclusion != 0 {
			s.summary.Suppressed++
			s.emit(&event.Event{Nanos: end, Type: event.TypeSuppressed, Alert: &alert})
			return
		}
	}
	s.keep(&alert.Evidence, &r)
	s.emit(&event.Event{Nanos: end, Type: event.TypeAlert, Alert: &alert})
	if s.incident.Windows == 0 || !s.incident.Join(w.Start, w.Length, r.Score) {
		s.incident = anomaly.Incident{}
		s.incident.Join(w.Start, w.Length, r.Score)
		s.summary.Incidents++
	}
	s.summary.alert(alert)
}

// explain says whose packets an alert is about.
func (s *Sensor) explain(a *event.Alert, seen *sample) {
	if usual := s.cfg.Anomaly.Usual; usual != nil {
		for i := range a.Features {
			a.Features[i].Usual = &usual[slices.Index(window.Names[:], a.Features[i].Name)]
		}
	}
	s.samples.movers(a.Features[:leading(a.Features, *a.Score)], seen)
	a.Apps = s.samples.apps(seen.apps, func(app int) string { return s.classes.names[app] })
	a.Summary = summarise(a, seen)
}

// surplus reports whether a window is anomalous for what there is more of than expected. Packets that are missing make counts
// smaller; shares, means and variances they leave as they are, but for noise. So what a window has too much of was there,
// however much is missing; what it has too little of may have been lost.
func surplus(v *window.Vector, r *anomaly.Result) bool {
	sum := 0.0
	for i, share := range r.Shares {
		if v[i] >= r.Expected[i] {
			sum += share
		}
	}
	return sum >= r.Threshold
}

// mix returns what passed in a window, by application; labels are those of classes.byName.
func (s *Sensor) mix(labels []window.Labelled) []event.Share {
	var all []event.Share
	for slot, l := range labels {
		name := ""
		if slot > 0 {
			name = s.classes.names[slot-1]
		}
		if n := l.Packets - l.NovelPackets; n > 0 {
			all = append(all, event.Share{App: name, Packets: n, Payload: l.Payload - l.NovelPayload})
		}
		if l.NovelPackets > 0 {
			all = append(all, event.Share{App: name, Novel: true, Packets: l.NovelPackets, Payload: l.NovelPayload})
		}
	}
	return all
}

// apps returns the packets of a window by application, most first; labels are those of classes.byName.
func (s *Sensor) apps(labels []window.Labelled) []event.Count {
	var counts []event.Count
	for app, l := range labels[min(1, len(labels)):] {
		if l.Packets > 0 {
			counts = append(counts, event.Count{Name: s.classes.names[app], Packets: l.Packets})
		}
	}
	slices.SortFunc(counts, func(a, b event.Count) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), strings.Compare(a.Name, b.Name))
	})
	return counts[:min(len(counts), topLen)]
}

// features takes a score apart, the largest share first.
func features(observed window.Vector, r anomaly.Result) []event.Feature {
	all := make([]event.Feature, len(observed))
	for i, v := range observed {
		all[i] = event.Feature{Name: window.Names[i], Observed: v, Expected: r.Expected[i], Share: r.Shares[i]}
	}
	slices.SortStableFunc(all, func(a, b event.Feature) int { return cmp.Compare(b.Share, a.Share) })
	return all
}

func top(w *window.Window, apps []event.Count) event.Top {
	t := w.Top(topLen)
	out := event.Top{Apps: apps, Sources: []event.Count{}, Destinations: []event.Count{}, Ports: []event.Count{}}
	for _, a := range t.SrcAddrs {
		out.Sources = append(out.Sources, event.Count{Name: a.Addr.String(), Packets: a.Packets})
	}
	for _, a := range t.DstAddrs {
		out.Destinations = append(out.Destinations, event.Count{Name: a.Addr.String(), Packets: a.Packets})
	}
	for _, p := range t.DstPorts {
		out.Ports = append(out.Ports, event.Count{Name: strconv.Itoa(int(p.Port)), Packets: p.Packets})
	}
	return out
}
