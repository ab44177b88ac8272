package store

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/s2"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/window"
)

// Rows that are not in a segment yet lie in the database in batches, one for each Append: compact and
// quick to write, because they are read again within the hour. A batch is compressed as a whole (S2). Before
// that each row is numbers as varints, times as differences, and strings as their index among those of the
// batch; 0 brings a new one.

// flowRow is a row of a segment of flows. The tags are its columns in Parquet: signed integers and
// microseconds, because not every reader knows others.
type flowRow struct {
	Start           int64   `parquet:"start,delta,timestamp(microsecond)"`
	End             int64   `parquet:"end,delta,timestamp(microsecond)"`
	FlowID          int64   `parquet:"flow_id"`
	CommunityID     string  `parquet:"community_id"`
	SrcIP           string  `parquet:"src_ip,dict"`
	SrcPort         int32   `parquet:"src_port,delta"`
	DestIP          string  `parquet:"dest_ip,dict"`
	DestPort        int32   `parquet:"dest_port,dict"`
	Proto           string  `parquet:"proto,dict"`
	PacketsToServer int64   `parquet:"pkts_toserver,delta"`
	PacketsToClient int64   `parquet:"pkts_toclient,delta"`
	BytesToServer   int64   `parquet:"bytes_toserver,delta"`
	BytesToClient   int64   `parquet:"bytes_toclient,delta"`
	IPToServer      int64   `parquet:"ip_bytes_toserver,delta"`
	IPToClient      int64   `parquet:"ip_bytes_toclient,delta"`
	PayloadToServer int64   `parquet:"payload_bytes_toserver,delta"`
	PayloadToClient int64   `parquet:"payload_bytes_toclient,delta"`
	Reason          string  `parquet:"reason,dict"`
	App             string  `parquet:"app,dict,optional"` // the zero values of optional columns are null
	Confidence      float64 `parquet:"confidence,optional"`
	Novel           bool    `parquet:"novel"`
	LabelSource     string  `parquet:"label_source,dict,optional"`
	LabelPackets    int32   `parquet:"label_packets,dict,optional"`
	Model           string  `parquet:"model,dict,optional"`
}

// rowOf returns the row of a flow.
func rowOf(t *event.Tuple, f *event.Flow) flowRow {
	row := flowRow{
		Start: micros(int64(f.Start)), End: micros(int64(f.End)),
		FlowID: count(t.FlowID), CommunityID: t.CommunityID,
		SrcIP: t.SrcIP, SrcPort: int32(t.SrcPort), DestIP: t.DestIP, DestPort: int32(t.DestPort), Proto: t.Proto,
		PacketsToServer: count(f.PacketsToServer), PacketsToClient: count(f.PacketsToClient),
		BytesToServer: count(f.BytesToServer), BytesToClient: count(f.BytesToClient),
		IPToServer: count(f.IPToServer), IPToClient: count(f.IPToClient),
		PayloadToServer: count(f.PayloadToServer), PayloadToClient: count(f.PayloadToClient),
		Reason: f.Reason, App: text(f.App), Novel: f.Novel,
		LabelSource: f.LabelSource, LabelPackets: int32(min(max(f.LabelPackets, 0), math.MaxInt32)), Model: text(f.Model),
	}
	if f.Confidence != nil && row.App != "" {
		row.Confidence = *f.Confidence
	}
	return row
}

// flow fills in the flow of a row.
func (r *flowRow) flow(f *Flow) {
	*f = Flow{
		Tuple: event.Tuple{
			FlowID: uint64(r.FlowID), CommunityID: r.CommunityID,
			SrcIP: r.SrcIP, SrcPort: uint16(r.SrcPort), DestIP: r.DestIP, DestPort: uint16(r.DestPort), Proto: r.Proto,
		},
		Flow: event.Flow{
			PacketsToServer: uint64(r.PacketsToServer), PacketsToClient: uint64(r.PacketsToClient),
			BytesToServer: uint64(r.BytesToServer), BytesToClient: uint64(r.BytesToClient),
			IPToServer: uint64(r.IPToServer), IPToClient: uint64(r.IPToClient),
			PayloadToServer: uint64(r.PayloadToServer), PayloadToClient: uint64(r.PayloadToClient),
			Start: event.Time(nanos(r.Start)), End: event.Time(nanos(r.End)),
			Reason: r.Reason, App: r.App, Novel: r.Novel,
			LabelSource: r.LabelSource, LabelPackets: int(r.LabelPackets), Model: r.Model,
		},
	}
	if r.App != "" {
		confidence := r.Confidence
		f.Flow.Confidence = &confidence
	}
}

// windowRow is a row of a segment of windows: its columns are those of windowSchema.
type windowRow struct {
	Start     int64 // microseconds
	Length    float64
	Packets   int64
	Score     float64 // NaN: not scored
	Threshold float64
	Anomalous bool
	Lost      int64
	Unsure    bool
	Model     string
	Known     bool // whether Vector is known
	Vector    window.Vector
}

func windowRowOf(w *event.Window) windowRow {
	row := windowRow{
		Start: micros(int64(w.Start)), Length: w.Length, Packets: count(w.Packets), Score: math.NaN(),
		Threshold: w.Threshold, Anomalous: w.Anomalous, Lost: count(w.Lost), Unsure: w.Unsure, Model: text(w.Model),
	}
	if w.Score != nil {
		row.Score = *w.Score
	}
	if w.Vector != nil {
		row.Known, row.Vector = true, *w.Vector
	}
	return row
}

func (r *windowRow) window() *event.Window {
	w := &event.Window{
		Start: event.Time(nanos(r.Start)), Length: r.Length, Packets: uint64(r.Packets),
		Threshold: r.Threshold, Anomalous: r.Anomalous, Lost: uint64(r.Lost), Unsure: r.Unsure, Model: r.Model,
	}
	if score := r.Score; !math.IsNaN(score) {
		w.Score = &score
	}
	if vector := r.Vector; r.Known {
		w.Vector = &vector
	}
	return w
}

// micros rounds nanoseconds down to microseconds, as events write them.
func micros(nanos int64) int64 {
	us := nanos / 1000
	if nanos%1000 < 0 {
		us--
	}
	return us
}

// nanos is the time of so many microseconds.
func nanos(micros int64) int64 {
	return min(max(micros, math.MinInt64/1000), math.MaxInt64/1000) * 1000
}

// count makes a counter fit the database's and Parquet's signed integers.
func count(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// text makes a label or a model's name what Parquet and JSON call a string; both come from users.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// batchWriter makes a batch of rows. Its zero value is ready for use.
type batchWriter struct {
	buf    []byte
	packed []byte
	seen   map[string]uint64
	rows   int64
	first  int64 // lowest and highest time
	last   int64
	prev   int64 // time of the row before
}

func (w *batchWriter) reset() {
	w.buf, w.rows, w.prev = w.buf[:0], 0, 0
	clear(w.seen)
}

// at begins a row with its time.
func (w *batchWriter) at(t int64) {
	if w.rows == 0 {
		w.first, w.last = t, t
	}
	w.first, w.last = min(w.first, t), max(w.last, t)
	w.buf = binary.AppendVarint(w.buf, t-w.prev)
	w.prev = t
	w.rows++
}

func (w *batchWriter) uint(n int64) { w.buf = binary.AppendUvarint(w.buf, uint64(n)) }
func (w *batchWriter) float(x float64) {
	w.buf = binary.LittleEndian.AppendUint64(w.buf, math.Float64bits(x))
}
func (w *batchWriter) byte(b byte)     { w.buf = append(w.buf, b) }
func (w *batchWriter) string(s string) { w.uint(int64(len(s))); w.buf = append(w.buf, s...) }
func (w *batchWriter) bool(b bool) {
	if b {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

// shared writes a string that rows of the batch have in common.
func (w *batchWriter) shared(s string) {
	if i, ok := w.seen[s]; ok {
		w.uint(int64(i))
		return
	}
	if w.seen == nil {
		w.seen = map[string]uint64{}
	}
	w.seen[s] = uint64(len(w.seen) + 1)
	w.uint(0)
	w.string(s)
}

func (w *batchWriter) flow(r *flowRow) {
	w.at(r.End)
	w.buf = binary.AppendVarint(w.buf, r.End-r.Start)
	w.buf = binary.LittleEndian.AppendUint64(w.buf, uint64(r.FlowID))
	w.string(r.CommunityID)
	w.shared(r.SrcIP)
	w.uint(int64(r.SrcPort))
	w.shared(r.DestIP)
	w.uint(int64(r.DestPort))
	w.shared(r.Proto)
	for _, n := range [...]int64{
		r.PacketsToServer, r.PacketsToClient, r.BytesToServer, r.BytesToClient,
		r.IPToServer, r.IPToClient, r.PayloadToServer, r.PayloadToClient,
	} {
		w.uint(n)
	}
	w.shared(r.Reason)
	w.shared(r.App)
	if r.App != "" {
		w.float(r.Confidence)
		w.bool(r.Novel)
		w.shared(r.LabelSource)
		w.uint(int64(r.LabelPackets))
		w.shared(r.Model)
	}
}

func (w *batchWriter) window(r *windowRow) {
	w.at(r.Start)
	w.float(r.Length)
	w.uint(r.Packets)
	w.float(r.Score)
	w.float(r.Threshold)
	w.bool(r.Anomalous)
	w.uint(r.Lost)
	w.bool(r.Unsure)
	w.shared(r.Model)
	w.bool(r.Known)
	if r.Known {
		for _, x := range r.Vector {
			w.float(x)
		}
	}
}

// data returns the batch as it is stored, valid until the next call.
func (w *batchWriter) data() []byte {
	w.packed = s2.Encode(w.packed[:cap(w.packed)], w.buf)
	return w.packed
}

// errBatch says that a batch is not one that a batchWriter made.
var errBatch = errors.New("damaged rows")

// fullBatch is how many bytes make a batch full, maxBatch what is read at most. The one row that goes
// beyond fullBatch may be a long one.
const (
	fullBatch = 4 << 20
	maxBatch  = 16 << 20
)

// batchReader reads a batch. After a fault it gives zeros and bad is set.
type batchReader struct {
	buf  []byte // that is left
	text string // the whole batch, which strings are parts of
	seen []string
	prev int64
	bad  bool
}

// newBatchReader opens a batch; its rows refer to memory of their own, not to data.
func newBatchReader(data []byte) (*batchReader, error) {
	if n, err := s2.DecodedLen(data); err != nil || n > maxBatch {
		return nil, errBatch
	}
	buf, err := s2.Decode(nil, data)
	if err != nil {
		return nil, errBatch
	}
	return &batchReader{buf: buf, text: string(buf)}, nil
}

// more reports whether there is another row; err of a batch with faults is errBatch.
func (r *batchReader) more() bool { return !r.bad && len(r.buf) > 0 }

func (r *batchReader) err() error {
	if r.bad {
		return errBatch
	}
	return nil
}

func (r *batchReader) fail() { r.bad, r.buf = true, nil }

func (r *batchReader) at() int64 {
	r.prev += r.int()
	return r.prev
}

func (r *batchReader) int() int64 {
	v, n := binary.Varint(r.buf)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

func (r *batchReader) uint() int64 {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 || v > math.MaxInt64 {
		r.fail()
		return 0
	}
	r.buf = r.buf[n:]
	return int64(v)
}

func (r *batchReader) fixed() uint64 {
	if len(r.buf) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.buf)
	r.buf = r.buf[8:]
	return v
}

func (r *batchReader) float() float64 { return math.Float64frombits(r.fixed()) }

func (r *batchReader) bool() bool {
	if len(r.buf) == 0 {
		r.fail()
		return false
	}
	b := r.buf[0]
	r.buf = r.buf[1:]
	return b == 1
}

func (r *batchReader) string() string {
	n := r.uint()
	if n > int64(len(r.buf)) {
		r.fail()
		return ""
	}
	at := len(r.text) - len(r.buf)
	r.buf = r.buf[n:]
	return r.text[at : at+int(n)]
}

func (r *batchReader) shared() string {
	i := r.uint()
	if i == 0 && !r.bad {
		s := r.string()
		r.seen = append(r.seen, s)
		return s
	}
	if i > int64(len(r.seen)) || r.bad {
		r.fail()
		return ""
	}
	return r.seen[i-1]
}

func (r *batchReader) flow(row *flowRow) {
	*row = flowRow{End: r.at()}
	row.Start = row.End - r.int()
	row.FlowID = int64(r.fixed())
	row.CommunityID = r.string()
	row.SrcIP = r.shared()
	row.SrcPort = int32(uint16(r.uint()))
	row.DestIP = r.shared()
	row.DestPort = int32(uint16(r.uint()))
	row.Proto = r.shared()
	for _, n := range [...]*int64{
		&row.PacketsToServer, &row.PacketsToClient, &row.BytesToServer, &row.BytesToClient,
		&row.IPToServer, &row.IPToClient, &row.PayloadToServer, &row.PayloadToClient,
	} {
		*n = r.uint()
	}
	row.Reason = r.shared()
	row.App = r.shared()
	if row.App != "" {
		row.Confidence = r.float()
		row.Novel = r.bool()
		row.LabelSource = r.shared()
		row.LabelPackets = int32(min(r.uint(), math.MaxInt32))
		row.Model = r.shared()
	}
}

func (r *batchReader) window(row *windowRow) {
	*row = windowRow{Start: r.at()}
	row.Length = r.float()
	row.Packets = r.uint()
	row.Score = r.float()
	row.Threshold = r.float()
	row.Anomalous = r.bool()
	row.Lost = r.uint()
	row.Unsure = r.bool()
	row.Model = r.shared()
	if row.Known = r.bool(); row.Known {
		for i := range row.Vector {
			row.Vector[i] = r.float()
		}
	}
}
