// Package store keeps the history of what a sensor saw: ended flows, scored windows, alerts with
// what people made of them, and who talked most. It takes events and answers typed queries; it knows
// no packets, and no one who asks knows SQL.
//
//	s, err := store.Open("history", store.Options{})
//	r, err := store.NewRecorder(ctx, s, store.Source{Name: "day.pcap"}, store.RecorderOptions{Wait: true})
//	for each event { err = r.Write(e) }
//	err = r.Close(true)
//	top, err := s.Top(ctx, store.TopQuery{By: store.Hosts, Limit: 10})
//
// A Disk is a directory: a SQLite database for what is small or edited, and Parquet segments of about an hour
// for flows and windows, which other programs open as they are (docs/formats.md).
//
// # What is acknowledged
//
// The events of a source have ordinals, the first is 1. Append stores events together with the
// position of the last one, all or nothing, in one transaction that is synced to the disk. When it
// has returned, they are acknowledged: no end of the process, however sudden, loses them or makes
// them appear twice. A source that is read again from its start, such as a capture after a kill, is
// told by Begin how far it is stored, and goes on there.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/internal/lock"
)

// Store is history that is written by one and read by many.
type Store interface {
	Writer
	Reader
	// Close ends the use of the store. What was appended stays.
	Close() error
}

// Writer takes events. Used by one goroutine.
type Writer interface {
	// Begin names the source of the events that follow and returns how far it is stored already. It
	// refuses with ErrKnown what the store holds as read in another way.
	Begin(ctx context.Context, s Source) (Position, error)
	// Append stores events and the position of the last of them, both or neither. What history does not
	// keep of them (labels: the flow has the last one) still counts in the position. It keeps no pointer.
	Append(ctx context.Context, events []event.Event, at Position) error
	// Maintain seals what is due and removes what the policy says, and tells what it removed. An
	// error of it loses nothing; the next call tries again.
	Maintain(ctx context.Context, p Policy) (Removed, error)
}

// Reader answers questions. Any number of goroutines may ask, in other processes too while one
// writes; each answer is of one moment.
type Reader interface {
	// Info tells what there is.
	Info(ctx context.Context) (Info, error)
	// Flows yields flows by the time of their last packet. An error is told and, where it is of one
	// segment, the rest goes on. A *Flow is valid until the next one.
	Flows(ctx context.Context, q FlowQuery) iter.Seq2[*Flow, error]
	// Windows yields windows by their start, with errors as Flows has them.
	Windows(ctx context.Context, q WindowQuery) iter.Seq2[*event.Window, error]
	// Scores returns the scores of windows in order of time.
	Scores(ctx context.Context, q ScoreQuery) ([]Score, error)
	// Top returns who had most, by bytes.
	Top(ctx context.Context, q TopQuery) (Top, error)
	// Incidents returns incidents in order of their start.
	Incidents(ctx context.Context, q IncidentQuery) ([]Incident, error)
	// Alerts yields alerts in order of their ID; those of one incident when its ID is named.
	Alerts(ctx context.Context, q AlertQuery) iter.Seq2[*Alert, error]
	// Triage notes what a person made of an alert or of a whole incident; the newest note holds. It
	// returns ErrUnknown when there is none of this ID. It may run beside the one that writes.
	Triage(ctx context.Context, id ID, t Triage) error
	// Exclusions returns what is excluded, in order of their ID, also what has expired.
	Exclusions(ctx context.Context) ([]Exclusion, error)
	// Exclude keeps an exclusion and returns its ID. Like RemoveExclusion, it may run beside the one that writes.
	Exclude(ctx context.Context, x Exclusion) (id int64, err error)
	// RemoveExclusion forgets an exclusion; what it has suppressed stays so. It returns ErrNoExclusion when there is none of this ID.
	RemoveExclusion(ctx context.Context, id int64) error
	// Suppressed yields the alerts that exclusions suppressed, in order of time.
	Suppressed(ctx context.Context, q SuppressedQuery) iter.Seq2[*Suppressed, error]
	// Tried yields what models on trial said, of flows that were decided and windows that start in the range, in the order that it came.
	Tried(ctx context.Context, when Range) iter.Seq2[*Tried, error]
	Labeller
}

var (
	// ErrKnown refuses a source that the store holds already, read in another way.
	ErrKnown = errors.New("it has these captures already")
	// ErrUnknown says that there is no alert of the ID asked for.
	ErrUnknown = errors.New("no such alert")
	// ErrNoExclusion says that there is no exclusion of the ID asked for.
	ErrNoExclusion = errors.New("no such exclusion")
	// ErrInUse says that another process writes to the store.
	ErrInUse = lock.ErrInUse
	// ErrFull says that the disk has no room.
	ErrFull = errors.New("no space left on the disk")
	// ErrLocked says that another process has held the database locked for too long.
	ErrLocked = errors.New("locked by another process")
)

// Source is a stream of events: the same source gives the same events again when it is read
// again.
type Source struct {
	Name     string    // identity
	Captures []Capture // that it reads: each belongs to one source alone
	Settings string    // what else decides the events, such as the models; for people to read
}

// Capture is a file of packets.
type Capture struct {
	Name     string // for people
	Identity string // of its content
}

// Position is how far the events of a source are stored.
type Position struct {
	Ordinal uint64 // of the last event
	Digest  uint64 // of all events up to it
	Done    bool   // the source has ended
}

// Policy says what history to keep.
type Policy struct {
	Age   time.Duration // 0: of any age. Counts back from Now
	Bytes int64         // of the directory; 0: any
	// Bytes of samples that bear no correction; 0: any. There are never more than MaxSamples.
	Samples int64
	Now     int64 // the time that Age counts from, nanoseconds since the Unix epoch
}

// Removed is what a policy cost.
type Removed struct {
	Flows   int64
	Windows int64
	Alerts  int64
	Samples int64 // that bore no correction
	Before  int64 // nothing older is left of what was removed, nanoseconds since the Unix epoch
}

// String says how much was removed.
func (r Removed) String() string {
	if r.Samples > 0 && r.Flows+r.Windows+r.Alerts == 0 {
		return fmt.Sprintf("the samples of %d flows", r.Samples)
	}
	text := fmt.Sprintf("%d flows, %d windows and %d alerts", r.Flows, r.Windows, r.Alerts)
	if r.Samples > 0 {
		text += fmt.Sprintf(", and the samples of %d flows", r.Samples)
	}
	return text
}

// Any reports whether anything was removed.
func (r Removed) Any() bool { return r.Flows > 0 || r.Windows > 0 || r.Alerts > 0 || r.Samples > 0 }

// Info tells what a store holds.
type Info struct {
	Oldest, Newest int64 // time that the history spans, nanoseconds since the Unix epoch; both 0 when it is empty
	Flows, Windows int64
	Alerts         int64
	Incidents      int64
	Segments       int
	Bytes          int64 // on the disk
	Sources        []SourceInfo
}

// SourceInfo tells how far a source is stored.
type SourceInfo struct {
	Source
	Position
	Newest int64        // time of its newest window or statistics; 0 when it had none
	Stats  *event.Stats // the last ones; nil: none yet
}

// Range is a span of time in nanoseconds since the Unix epoch, from Since to before Until. A
// Since of 0 is the beginning, an Until of 0 the end.
type Range struct {
	Since, Until int64
}

// bounds returns the range without its zeros.
func (r Range) bounds() (since, until int64) {
	since, until = r.Since, r.Until
	if since == 0 {
		since = math.MinInt64
	}
	if until == 0 {
		until = math.MaxInt64
	}
	return since, until
}

// Contains reports whether a time lies in the range.
func (r Range) Contains(nanos int64) bool {
	since, until := r.bounds()
	return nanos >= since && nanos < until
}

// Flow is an ended flow. Times are kept to the microsecond, as events tell them.
type Flow struct {
	Tuple event.Tuple
	Flow  event.Flow
}

// Event returns the event that told of the flow. It refers to f.
func (f *Flow) Event() event.Event {
	return event.Event{Nanos: int64(f.Flow.End), Type: event.TypeFlow, Tuple: &f.Tuple, Flow: &f.Flow}
}

// FlowQuery asks for flows whose last packet lies in the range and for which all else holds.
type FlowQuery struct {
	Range
	App    string       // label; "": any
	Host   netip.Prefix // that either end lies in; the zero Prefix: any
	Port   uint16       // of either end; 0: any
	Novel  bool         // only those unlike training
	Newest bool         // the newest first
	Limit  int          // 0: all
}

// WindowQuery asks for windows that start in the range.
type WindowQuery struct {
	Range
	Limit int // 0: all
}

// Score is the score of a window, or the highest of several.
type Score struct {
	Start     int64         // nanoseconds since the Unix epoch
	Length    time.Duration // of the window
	Packets   uint64
	Score     *float64 // nil: not scored
	Threshold float64
	Anomalous bool
	Lost      uint64 // packets known to be missing
	Unsure    bool   // the score reaches the threshold, but perhaps for lost packets alone
	Model     string
}

// ScoreQuery asks for the scores of windows that start in the range.
type ScoreQuery struct {
	Range
	Step time.Duration // keeps the highest score of each step, aligned to the epoch; 0: all
}

// Dimension is what traffic is summed up by.
type Dimension string

// The dimensions of roll-ups.
const (
	Apps  Dimension = "app"  // labels; "": no label
	Hosts Dimension = "host" // addresses of either end
	Ports Dimension = "port" // of the responder, "443/tcp"
)

// TopQuery asks for sums over whole minutes: those that hold any of the range. A flow counts in
// the minute of its last packet.
type TopQuery struct {
	Range
	By    Dimension
	Limit int // 0: all that are kept
}

// Top is an answer to a TopQuery.
type Top struct {
	Totals []Total // most bytes first
	// Rest is what is not told of: of each minute only the first MinuteTop hosts and ports are kept by name, of
	// each hour the first HourTop. What a Total lacks is in it. It has no Name.
	Rest Total
}

// How many hosts and ports of each minute and hour are kept by name; the hours that lie wholly in a
// range are answered by hours. All applications are kept.
const (
	MinuteTop = 50
	HourTop   = 1000
)

// Total is the traffic of an application, host or port.
type Total struct {
	Name    string
	Novel   bool // an application: unlike everything in training, Name is the nearest label
	Flows   uint64
	Packets uint64
	Bytes   uint64 // frames on the wire
	Payload uint64
}

// Add adds the traffic of another.
func (t *Total) Add(o *Total) {
	t.Flows += o.Flows
	t.Packets += o.Packets
	t.Bytes += o.Bytes
	t.Payload += o.Payload
}

// Verdict is what a person made of an alert.
type Verdict string

// The verdicts.
const (
	Untriaged Verdict = "open"      // none yet
	Confirmed Verdict = "confirmed" // what it says is so
	Dismissed Verdict = "dismissed" // nothing to it
)

// Triage is a verdict with who gave it. The zero Triage is no verdict.
type Triage struct {
	Verdict Verdict
	Note    string
	Who     string
	At      int64 // nanoseconds since the Unix epoch
}

// Is reports whether the verdict is v; without one it is Untriaged.
func (t Triage) Is(v Verdict) bool {
	return t.Verdict == v || t.Verdict == "" && v == Untriaged
}

// ID names an alert, 4.2, or an incident with all its alerts, 4.
type ID struct {
	Incident int64
	Alert    int64 // number within the incident, the first is 1; 0: the whole incident
}

func (id ID) String() string {
	if id.Alert == 0 {
		return strconv.FormatInt(id.Incident, 10)
	}
	return fmt.Sprintf("%d.%d", id.Incident, id.Alert)
}

// ParseID reads what String writes.
func ParseID(s string) (ID, error) {
	incident, alert, two := strings.Cut(s, ".")
	id := ID{}
	var err1, err2 error
	id.Incident, err1 = strconv.ParseInt(incident, 10, 64)
	if two {
		id.Alert, err2 = strconv.ParseInt(alert, 10, 64)
	}
	if err1 != nil || err2 != nil || id.Incident < 1 || id.Alert < 0 || two && id.Alert == 0 {
		return ID{}, fmt.Errorf("alert %q: want an incident such as 4, or an alert of it such as 4.2", s)
	}
	return id, nil
}

// Incident is alerts that belong together: each at most anomaly.IncidentGap windows after the one
// before.
type Incident struct {
	ID         int64
	Source     string
	Start, End int64 // of the first and the last anomalous window, nanoseconds since the Unix epoch
	Windows    int   // anomalous ones: its alerts
	Peak       float64
	PeakAlert  int64 // number of the alert with the highest score, the first of equals
	Triage     Triage
}

// IncidentQuery asks for incidents that touch the range.
type IncidentQuery struct {
	Range
	ID      int64   // 0: any
	Verdict Verdict // "": any
	Limit   int     // the newest so many; 0: all
}

// Alert is an alert as it was raised, and what became of it.
type Alert struct {
	ID     ID
	Source string
	Alert  event.Alert
	Triage Triage // its own, or the incident's when that is newer
}

// AlertQuery asks for the alerts whose windows start in the range.
type AlertQuery struct {
	Range
	ID ID // zero: any; an incident: its alerts
}
