package web

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/event"
)

// metricsType is the content type of Prometheus's text format, version 0.0.4.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metrics answers with the counters of stats as Prometheus reads them. It asks no history, so that a scrape is answered
// whatever the store does.
func (s *Server) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", metricsType)
	w.Write(s.appendMetrics(nil))
}

// health answers with one of two words: ok tells which.
func health(w http.ResponseWriter, ok bool) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
		w.Write([]byte("not ok\n"))
		return
	}
	w.Write([]byte("ok\n"))
}

// appendMetrics appends all metrics. Labels are reasons, efforts, interfaces, models in use and one version: what a packet could make up, such as
// addresses and names of hosts, is never one, so there are as many series as there were at start.
func (s *Server) appendMetrics(dst []byte) []byte {
	x := exposition{dst}
	x.family("weir_build_info", "gauge", "The version of weir.")
	x.sample("weir_build_info", "version", s.cfg.Version, 1)
	x.gauge("weir_start_time_seconds", "When this weir started, Unix seconds.", float64(s.started.UnixMilli())/1000)
	x.process()
	following, slow, refused := s.stream.counts()
	x.gauge("weir_dashboard_clients", "Clients that follow what is watched.", float64(following))
	x.counter("weir_dashboard_clients_dropped_total", "Clients that were dropped because they did not keep up.", slow)
	x.counter("weir_dashboard_clients_refused_total", "Clients that were refused because too many followed.", refused)
	if s.cfg.Live != nil {
		x.live(s.cfg.Live)
	}
	if s.cfg.Learn != nil {
		phase, windows, share := s.cfg.Learn.Counts()
		x.family("weir_learning_phase", "gauge", "1 for the phase that learning from the dashboard is in.")
		x.sample("weir_learning_phase", "phase", string(phase), 1)
		x.gauge("weir_learning_windows", "Windows collected to learn from.", float64(windows))
		x.gauge("weir_learning_progress_ratio", "Share of the watching or the training that is done.", share)
	}
	return x.text
}

// live appends what a Live knows: nothing before the first statistics.
func (x *exposition) live(l *Live) {
	l.mu.Lock()
	stats, now := l.stats, l.now
	var last *point
	if w := l.windows.between(l.windows.next-1, l.windows.next); l.windows.next > 0 {
		last = &w[0]
	}
	l.mu.Unlock()

	if now != math.MinInt64 {
		x.gauge("weir_traffic_time_seconds", "Newest time of traffic, Unix seconds.", float64(now)/float64(time.Second))
	}
	if last != nil {
		x.gauge("weir_window_score", "Score of the last window; NaN: not scored.", last.score)
		x.gauge("weir_window_threshold", "Threshold of the last window.", last.threshold)
	}
	if stats == nil {
		return
	}
	x.counter("weir_packets_total", "Packets.", stats.Packets)
	x.counter("weir_bytes_total", "Bytes of frames on the wire.", stats.Bytes)
	x.counter("weir_flows_total", "Flows that began.", stats.Flows)
	x.gauge("weir_active_flows", "Flows in the table.", float64(stats.ActiveFlows))
	x.counter("weir_labelled_flows_total", "Flows that ended with a label.", stats.Labelled)
	x.counter("weir_novel_flows_total", "Flows that ended unlike everything in training.", stats.Novel)
	x.counter("weir_windows_total", "Windows that closed.", stats.Windows)
	x.counter("weir_alerts_total", "Alerts.", stats.Alerts)
	x.counter("weir_suppressed_alerts_total", "Alerts that exclusions suppressed.", stats.Suppressed)
	x.counters("weir_decode_errors_total", "Packets that could not be decoded whole, by reason.", "reason", stats.DecodeErrors)
	x.counters("weir_drops_total", "What was lost or not done for want of room or time, by reason: docs/formats.md has the unit of each.", "reason", stats.Drops)
	if m := stats.Models; m != nil {
		x.models(m)
	}
	if shed := stats.Shed; shed != nil {
		x.family("weir_effort", "gauge", "1 for the effort that packets get now; absent as long as there was time for all work.")
		x.sample("weir_effort", "effort", shed.Effort, 1)
		x.counters("weir_shed_packets_total", "Payload packets that networks did not look at, by effort.", "effort", shed.Packets)
		x.counters("weir_shed_flows_total", "Flows that networks gave up, by effort.", "effort", shed.Flows)
	}
	x.drift(stats.Drift)
	for _, c := range []struct {
		name, help string
		of         func(*event.Capture) uint64
	}{
		{"captured", "Packets captured.", func(c *event.Capture) uint64 { return c.Captured }},
		{"received", "Packets that passed the filter: captured, dropped or still waiting.", func(c *event.Capture) uint64 { return c.Received }},
		{"dropped", "Packets that the kernel dropped for want of room in the rings.", func(c *event.Capture) uint64 { return c.Dropped }},
		{"missed", "Packets that the card lost, as its driver tells.", func(c *event.Capture) uint64 { return c.Missed }},
		{"oversize", "Frames that were several packets on the wire.", func(c *event.Capture) uint64 { return c.Oversize }},
	} {
		counts := map[string]uint64{}
		for i := range stats.Capture {
			counts[stats.Capture[i].Interface] = c.of(&stats.Capture[i])
		}
		x.counters("weir_capture_"+c.name+"_total", c.help, "interface", counts)
	}
}

// drift appends how far what models give is from their validation: nothing where it is not known.
func (x *exposition) drift(d *event.Drift) {
	if d == nil {
		return
	}
	for _, m := range []struct {
		name, help string
		of         func(*event.Shift) float64
	}{
		{"weir_drift_index", "Population stability index of what a model gave last against validation.", func(s *event.Shift) float64 { return s.Index }},
		{"weir_drift_values", "Values that the index is of.", func(s *event.Shift) float64 { return float64(s.Count) }},
	} {
		x.family(m.name, "gauge", m.help)
		for _, q := range []struct {
			name string
			of   *event.Shift
		}{{"scores", d.Scores}, {"confidences", d.Confidences}, {"novelty", d.Novelty}} {
			if q.of != nil {
				x.sample(m.name, "quantity", q.name, m.of(q.of))
			}
		}
	}
}

// models appends which models are in use: one of a kind at a time.
func (x *exposition) models(m *event.Models) {
	x.family("weir_model_info", "gauge", "1 for each model in use.")
	for _, name := range []string{m.Apps, m.Anomaly} {
		if name != "" {
			x.sample("weir_model_info", "model", name, 1)
		}
	}
	x.counter("weir_models_promoted_total", "Times that another version of a model took over.", m.Promoted)
	x.counter("weir_models_refused_total", "Promoted versions that could not take over.", m.Refused)
}

// exposition is Prometheus's text format in the making.
type exposition struct{ text []byte }

// family begins a metric: its samples follow.
func (x *exposition) family(name, kind, help string) {
	x.text = append(x.text, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"...)
}

// sample appends a sample; without a label it has none.
func (x *exposition) sample(name, label, value string, v float64) {
	x.text = append(x.text, name...)
	if label != "" {
		x.text = append(x.text, "{"+label+`="`+labelEscape.Replace(strings.ToValidUTF8(value, "�"))+`"}`...)
	}
	x.text = append(x.text, ' ')
	x.text = strconv.AppendFloat(x.text, v, 'g', -1, 64)
	x.text = append(x.text, '\n')
}

// labelEscape is what the format wants of a label's value.
var labelEscape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func (x *exposition) gauge(name, help string, v float64) {
	x.family(name, "gauge", help)
	x.sample(name, "", "", v)
}

func (x *exposition) counter(name, help string, n uint64) {
	x.family(name, "counter", help)
	x.sample(name, "", "", float64(n))
}

// counters appends a counter for each value of a label, in their order. Without any it appends nothing.
func (x *exposition) counters(name, help, label string, counts map[string]uint64) {
	if len(counts) == 0 {
		return
	}
	x.family(name, "counter", help)
	for _, value := range slices.Sorted(maps.Keys(counts)) {
		x.sample(name, label, value, float64(counts[value]))
	}
}
