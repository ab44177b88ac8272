// Package event holds the one record that outputs know: a label, an ended flow, a closed window,
// an alert or the statistics of the run, written as one JSON line that programs made for
// Suricata's EVE can read. It is not a bus and keeps nothing.
//
//	w := event.NewWriter(os.Stdout)
//	w.Write(&event.Event{Nanos: now, Type: event.TypeStats, Stats: &event.Stats{Packets: 7}})
package event

import (
	"fmt"
	"strconv"
	"time"

	"github.com/weirnet/weir/window"
)

// Type is the value of event_type; the object of the event bears the same name.
type Type string

// The types of events, see docs/formats.md.
const (
	TypeLabel  Type = "label"  // a flow got a label or changed it
	TypeFlow   Type = "flow"   // a flow ended
	TypeWindow Type = "window" // a window closed and was scored
	TypeAlert  Type = "alert"  // a window's score reached the threshold
	TypeStats  Type = "stats"  // counters, every ten seconds of traffic and at the end

	TypeShadow     Type = "shadow"     // a flow is decided, and a model on trial was asked as well
	TypeSuppressed Type = "suppressed" // a window's score reached the threshold, but an exclusion says not to raise an alert
)

// Event is one record. Exactly one of the objects is set, the one that Type names; the tuple is
// set for labels and flows; Alert is set for alerts and suppressed ones.
type Event struct {
	Nanos  int64 // time of the packet or window that caused it
	Type   Type
	Tuple  *Tuple
	Label  *Label
	Flow   *Flow
	Window *Window
	Alert  *Alert
	Stats  *Stats
	Shadow *Shadow
}

// Shadow is what a model on trial says of a flow whose label is final, of the same payloads. Nothing else hangs on it.
type Shadow struct {
	Label
	LiveModel string `json:"live_model"` // that gave the flow's label
	LiveApp   string `json:"live_app"`
	LiveNovel bool   `json:"live_novel"`
	Agrees    bool   `json:"agrees"` // the same application, novel for both or for neither
}

// ShadowScore is what a detector on trial says of a window.
type ShadowScore struct {
	Score     *float64 `json:"score"` // null as in Window
	Threshold float64  `json:"threshold"`
	Anomalous bool     `json:"anomalous"` // never an alert
	Model     string   `json:"model"`
}

// Comparison holds models on trial against those in use, since the start or since one of those in use was another.
type Comparison struct {
	Apps    *AppsComparison    `json:"apps,omitempty"`
	Anomaly *AnomalyComparison `json:"anomaly,omitempty"`
}

// AppsComparison counts flows that both models labelled.
type AppsComparison struct {
	Model     string `json:"model"` // on trial
	Live      string `json:"live"`
	Flows     uint64 `json:"flows"`
	Agree     uint64 `json:"agree"`      // the same application, novel or not
	NovelLive uint64 `json:"novel_live"` // to the model in use
	Novel     uint64 `json:"novel"`      // to the one on trial
	NovelBoth uint64 `json:"novel_both"`
	Skipped   uint64 `json:"skipped"` // flows that the one on trial was not asked about for want of time
}

// AnomalyComparison counts windows that both detectors scored.
type AnomalyComparison struct {
	Model     string `json:"model"` // on trial
	Live      string `json:"live"`
	Windows   uint64 `json:"windows"`
	AboveLive uint64 `json:"above_live"` // anomalous to the detector in use
	Above     uint64 `json:"above"`      // to the one on trial
	AboveBoth uint64 `json:"above_both"`
	// Correlation is Pearson's, of the logarithms of both scores; 0 while it is not known.
	Correlation float64 `json:"correlation"`
}

// Tuple names a flow: the originator is the source.
type Tuple struct {
	FlowID      uint64 `json:"flow_id"` // below 2^53, so that every JSON reader keeps it whole
	CommunityID string `json:"community_id"`
	SrcIP       string `json:"src_ip"`
	SrcPort     uint16 `json:"src_port"`
	DestIP      string `json:"dest_ip"`
	DestPort    uint16 `json:"dest_port"`
	Proto       string `json:"proto"`
}

// Label tells the application of a flow.
type Label struct {
	App        string  `json:"app"`
	Confidence float64 `json:"confidence"` // calibrated probability, 0 to 1
	Source     string  `json:"source"`     // packet: the CNN said so; flow: the LSTM
	Packets    int     `json:"packets"`    // payload packets the label rests on
	Novel      bool    `json:"novel"`      // unlike everything seen in training
	Model      string  `json:"model"`

	Sample *Sample `json:"-"` // what to learn the flow from; for history, lines do not bear it. nil unless it is novel and kept
}

// Flow is the account of an ended flow. The server is the responder.
type Flow struct {
	PacketsToServer uint64   `json:"pkts_toserver"`
	PacketsToClient uint64   `json:"pkts_toclient"`
	BytesToServer   uint64   `json:"bytes_toserver"` // frames as on the wire, as tshark and Suricata count
	BytesToClient   uint64   `json:"bytes_toclient"`
	IPToServer      uint64   `json:"ip_bytes_toserver"` // IP packets, as NetFlow counts
	IPToClient      uint64   `json:"ip_bytes_toclient"`
	PayloadToServer uint64   `json:"payload_bytes_toserver"`
	PayloadToClient uint64   `json:"payload_bytes_toclient"`
	Start           Time     `json:"start"`
	End             Time     `json:"end"`
	Reason          string   `json:"reason"`               // IPFIX flowEndReason, in words
	App             string   `json:"app,omitempty"`        // absent without a label
	Confidence      *float64 `json:"confidence,omitempty"` // absent without a label
	Novel           bool     `json:"novel,omitempty"`
	LabelSource     string   `json:"label_source,omitempty"`  // packet: the CNN said so; flow: the LSTM; absent without a label
	LabelPackets    int      `json:"label_packets,omitempty"` // payload packets the label rests on
	Model           string   `json:"model,omitempty"`         // that gave the label
	NoveltyBin      uint8    `json:"-"`                       // of flow.Label, for statistics
}

// Window is a scored unit of time.
type Window struct {
	Start     Time     `json:"start"`
	Length    float64  `json:"length"` // seconds
	Packets   uint64   `json:"packets"`
	Score     *float64 `json:"score"` // null where the detector needs more windows before it; never in an Alert
	Threshold float64  `json:"threshold"`
	Anomalous bool     `json:"anomalous"`
	Lost      uint64   `json:"lost"` // packets known to be missing in this window
	// Unsure says that the score reaches the threshold, but not without features that are lower than expected, and packets
	// are missing: it may be for them alone. Such a window is not anomalous.
	Unsure bool   `json:"unsure,omitempty"`
	Model  string `json:"model"`

	Shadow *ShadowScore `json:"shadow,omitempty"` // absent without a detector on trial

	Vector *window.Vector `json:"-"` // the 53 features; for history, lines do not bear them
	Apps   []Share        `json:"-"` // what passed, by application; for who watches, lines do not bear it. nil without labels
}

// Share is what of a window's packets belongs to flows of an application, by the label that each had when they passed.
type Share struct {
	App     string // "": no label
	Novel   bool   // unlike everything in training
	Packets uint64
	Payload uint64 // bytes
}

// Alert is an anomalous window with its explanation.
type Alert struct {
	Window
	Summary  string    `json:"summary,omitempty"`    // in one plain sentence, what was too much or too little, and whose
	Features []Feature `json:"features"`             // all 53, largest share first; the shares add up to the score
	Apps     []Mover   `json:"apps_moved,omitempty"` // applications that moved the number of packets
	Top      Top       `json:"top"`
	// Exclusion is the number of the one that suppressed the alert; 0: none did.
	Exclusion int64    `json:"exclusion,omitempty"`
	Evidence  Evidence `json:"evidence"`
}

// Feature is one of the 53 parts of a score.
type Feature struct {
	Name     string  `json:"name"`
	Observed float64 `json:"observed"`
	Expected float64 `json:"expected"`
	Share    float64 `json:"share"` // part of the score
	// Usual is the range that ninety-eight in a hundred windows of the training lie in; absent from models that do not know it.
	Usual *[2]float64 `json:"usual,omitempty"`
	// Movers are those whose packets made the most of what is other than in the windows before, of the leading features.
	Movers []Mover `json:"movers,omitempty"`
}

// Mover is someone or something whose packets moved a feature.
type Mover struct {
	By       string  `json:"by"` // src_ip, dest_ip, dest_port or app
	Name     string  `json:"name"`
	Observed float64 `json:"observed"` // its packets, or values, that count in the feature
	Usual    float64 `json:"usual"`    // in a window of those before
	Part     float64 `json:"part"`     // of the feature's change, 0 to 1
}

// Top names what made up an anomalous window.
type Top struct {
	Sources      []Count `json:"src_ips"`
	Destinations []Count `json:"dest_ips"`
	Ports        []Count `json:"dest_ports"`
	Apps         []Count `json:"apps,omitempty"`
}

// Count is how many packets of a window something had.
type Count struct {
	Name    string `json:"name"`
	Packets uint64 `json:"packets"`
}

// Evidence tells how to get the packets of an alert out of the capture.
type Evidence struct {
	Start Time   `json:"start"`
	End   Time   `json:"end"`
	Files string `json:"files,omitempty"` // that the window's packets came from
	How   string `json:"how,omitempty"`   // a command line; absent when the packets came from a pipe
	// Of packets that are kept (package evidence). From is the start of the first window that is: those before Start are what
	// the detector needs to come to the same score. Packets are as many as counted in all of them.
	From    Time     `json:"from,omitempty"`
	Packets uint64   `json:"packets,omitempty"`
	Slices  []string `json:"slices,omitempty"` // files, one for each window that has packets, in order
	Exact   bool     `json:"exact,omitempty"`  // a run over the slices gives the window the same score, bit for bit
}

// Stats are the counters since the start.
type Stats struct {
	Packets      uint64            `json:"packets"`
	Bytes        uint64            `json:"bytes"`
	Flows        uint64            `json:"flows"`
	ActiveFlows  uint64            `json:"active_flows"`
	Labelled     uint64            `json:"labelled_flows"` // of those that ended
	Novel        uint64            `json:"novel_flows"`    // of those that ended
	Windows      uint64            `json:"windows"`
	Alerts       uint64            `json:"alerts"`
	Suppressed   uint64            `json:"suppressed_alerts,omitempty"`
	DecodeErrors map[string]uint64 `json:"decode_errors"`
	Drops        map[string]uint64 `json:"drops"`
	PacketRate   float64           `json:"packets_per_second"` // of traffic time, since the last stats event
	BitRate      float64           `json:"bits_per_second"`
	Shed         *Shed             `json:"shed,omitempty"`     // absent when there was time for all work
	Capture      []Capture         `json:"capture,omitempty"`  // live alone: each interface
	Models       *Models           `json:"models,omitempty"`   // absent without models
	Shadow       *Comparison       `json:"shadow,omitempty"`   // absent without models on trial
	Drift        *Drift            `json:"drift,omitempty"`    // absent while it is not known
	Learning     *Learning         `json:"learning,omitempty"` // absent while nothing is learned from the dashboard
}

// Learning tells how far learning from a run is.
type Learning struct {
	Phase   string  `json:"phase"`   // watching, review, training, trained, live
	Windows int     `json:"windows"` // collected
	Share   float64 `json:"share"`   // of watching or training that is done, 0 to 1
}

// Models tells which models are in use, and how often that changed since the start.
type Models struct {
	Apps     string `json:"apps,omitempty"`
	Anomaly  string `json:"anomaly,omitempty"`
	Promoted uint64 `json:"promoted"` // times that another version took over
	Refused  uint64 `json:"refused"`  // promoted versions that could not take over: the one before goes on
}

// Drift tells how far what models in use give is from what they gave for validation data. What is not known is absent.
type Drift struct {
	Scores      *Shift `json:"scores,omitempty"`      // of windows
	Confidences *Shift `json:"confidences,omitempty"` // of the final labels of flows
	Novelty     *Shift `json:"novelty,omitempty"`     // of the same flows
}

// Shift is of one quantity.
type Shift struct {
	Index    float64   `json:"index"`    // population stability index: by custom, below 0.1 little has changed, above 0.25 much has
	Count    int       `json:"count"`    // values that it is of, the last ones
	Edges    []float64 `json:"edges"`    // between bins
	Training []float64 `json:"training"` // share of validation values in each bin, one more than edges
	Now      []float64 `json:"now"`      // share of the last values
}

// Shed tells what networks did not look at because packets came faster than they could.
type Shed struct {
	Effort  string            `json:"effort"`  // at the time: full, no_flow_network, no_networks, no_labels
	Packets map[string]uint64 `json:"packets"` // payload packets, by the effort when they came
	Flows   map[string]uint64 `json:"flows"`   // flows that were given up, by the effort when they were
}

// Capture is the count of one interface.
type Capture struct {
	Interface string `json:"interface"`
	Captured  uint64 `json:"captured"`
	Received  uint64 `json:"received"`           // passed the filter: captured, still waiting, or dropped
	Dropped   uint64 `json:"dropped"`            // by the kernel for want of room in the rings
	Missed    uint64 `json:"missed,omitempty"`   // by the card, as its driver tells
	Oversize  uint64 `json:"oversize,omitempty"` // frames that the card or the kernel had put together of several
}

// Time is nanoseconds since the Unix epoch, written as RFC 3339 in UTC with microseconds.
type Time int64

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.append(make([]byte, 0, 32)), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(text []byte) error {
	at, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(text))
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	*t = Time(at.UnixNano())
	return nil
}

func (t Time) append(dst []byte) []byte {
	dst = append(dst, '"')
	dst = time.Unix(0, int64(t)).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z07:00")
	return append(dst, '"')
}

// ProtoName is the name of an IANA protocol number as EVE writes it; numbers without one stay numbers.
func ProtoName(proto uint8) string {
	switch proto {
	case 1:
		return "ICMP"
	case 6:
		return "TCP"
	case 17:
		return "UDP"
	case 58:
		return "IPv6-ICMP"
	case 132:
		return "SCTP"
	case 47:
		return "GRE"
	}
	return strconv.Itoa(int(proto))
}
