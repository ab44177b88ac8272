package store

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/s2"

	"github.com/weirnet/weir/event"
)

// someRows are rows with everything that rows can have.
func someRows() (flows []flowRow, windows []windowRow) {
	for i := range 50 {
		f := flowRow{
			Start: int64(i)*1e6 - 5e6, End: int64(i%7) * 1e9, FlowID: 1<<53 - int64(i), CommunityID: "1:" + strings.Repeat("x", i%3*14),
			SrcIP: "10.0.0.1", SrcPort: 65535, DestIP: []string{"::1", "10.0.0.2"}[i%2], DestPort: int32(i), Proto: "TCP",
			PacketsToServer: int64(i), BytesToServer: math.MaxInt64, PayloadToClient: 1 << 40, Reason: "idle_timeout",
		}
		if i%3 > 0 {
			f.App, f.Confidence, f.Novel, f.LabelSource, f.LabelPackets, f.Model = "app"+strings.Repeat("é", i%4), 0.25, i%2 == 0, "flow", 10, "apps@1"
		}
		flows = append(flows, f)
		w := windowRow{Start: math.MinInt64/1000 + int64(i), Length: 0.5, Packets: int64(i), Score: float64(i), Threshold: 1, Anomalous: i > 1, Lost: int64(i % 2), Unsure: i%2 == 1, Model: "a@1"}
		if i%2 == 0 {
			w.Known = true
			for k := range w.Vector {
				w.Vector[k] = float64(i * k)
			}
			w.Vector[packetsFeature] = float64(w.Packets)
		}
		windows = append(windows, w)
	}
	windows[3].Score = math.Inf(1)
	return flows, windows
}

func TestBatch(t *testing.T) {
	wantFlows, wantWindows := someRows()
	var w batchWriter
	for range 2 { // a writer is used again
		w.reset()
		for i := range wantFlows {
			w.flow(&wantFlows[i])
		}
		if w.rows != 50 || w.first != 0 || w.last != 6e9 {
			t.Errorf("the batch has %d rows from %d to %d", w.rows, w.first, w.last)
		}
		r, err := newBatchReader(w.data())
		if err != nil {
			t.Fatal(err)
		}
		var got []flowRow
		for r.more() {
			var row flowRow
			r.flow(&row)
			got = append(got, row)
		}
		if r.err() != nil || !reflect.DeepEqual(got, wantFlows) {
			t.Fatalf("%v: got %+v, want %+v", r.err(), got, wantFlows)
		}
		w.reset()
		for i := range wantWindows {
			w.window(&wantWindows[i])
		}
		if r, err = newBatchReader(w.data()); err != nil {
			t.Fatal(err)
		}
		for i := 0; r.more(); i++ {
			var row windowRow
			if r.window(&row); !reflect.DeepEqual(row, wantWindows[i]) {
				t.Fatalf("got %+v, want %+v", row, wantWindows[i])
			}
		}
		if r.err() != nil {
			t.Fatal(r.err())
		}
	}
}

// FuzzBatch reads what no writer wrote: that is told or gives rows, never more.
func FuzzBatch(f *testing.F) {
	flows, windows := someRows()
	var w batchWriter
	for i := range flows {
		w.flow(&flows[i])
	}
	f.Add(w.buf)
	w = batchWriter{}
	for i := range windows {
		w.window(&windows[i])
	}
	f.Add(w.buf)
	w, score := batchWriter{}, 2.5
	w.tried(&Tried{Nanos: 5e9, FlowID: 7, Flow: &event.Shadow{LiveModel: "a@1", LiveApp: "dns", Label: event.Label{App: "http", Model: "a@2"}}})
	w.tried(&Tried{Nanos: 6e9, Window: &event.Window{Model: "d@1", Score: &score, Shadow: &event.ShadowScore{Model: "d@2"}}})
	f.Add(w.buf)
	f.Fuzz(func(t *testing.T, data []byte) {
		packed := s2.Encode(nil, data)
		for _, input := range [][]byte{data, packed} {
			for _, read := range []func(*batchReader){
				func(r *batchReader) { r.flow(new(flowRow)) },
				func(r *batchReader) { r.window(new(windowRow)) },
				func(r *batchReader) { r.tried(new(Tried)) },
			} {
				r, err := newBatchReader(input)
				if err != nil {
					continue
				}
				for r.more() {
					left := len(r.buf)
					if read(r); len(r.buf) >= left {
						t.Fatal("a row that takes no bytes")
					}
				}
			}
		}
	})
}

// totalsTwin reads roll-ups as any program does.
func totalsTwin(text string) (all []Total, named []bool, ok bool) {
	var rows [][]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&rows) != nil || d.More() {
		return nil, nil, false
	}
	for _, row := range rows {
		if len(row) != 6 {
			return nil, nil, false
		}
		var t Total
		name, isName := row[0].(string)
		if !isName && row[0] != nil {
			return nil, nil, false
		}
		t.Name = name
		var novel uint64
		for i, n := range [...]*uint64{&novel, &t.Flows, &t.Packets, &t.Bytes, &t.Payload} {
			number, isNumber := row[i+1].(json.Number)
			if !isNumber || json.Unmarshal([]byte(number), n) != nil {
				return nil, nil, false
			}
		}
		t.Novel = novel == 1
		all, named = append(all, t), append(named, isName)
	}
	return all, named, true
}

func FuzzTotals(f *testing.F) {
	r := rollup{rest: Total{Flows: 3, Bytes: math.MaxUint64}}
	for _, name := range []string{"", "a", `"`, `\`, "\x00", "é\u2028", "<&>"} {
		r.totals = append(r.totals, Total{Name: name, Novel: len(name) > 1, Flows: 1, Packets: 2, Bytes: 3, Payload: math.MaxUint64})
	}
	f.Add(string(r.encode()))
	f.Add("[]")
	f.Add(`[["a",0,1,2,3,4],]`)
	f.Add(`[[null,0,1,2,3,4]]x`)
	f.Fuzz(func(t *testing.T, text string) {
		var got []Total
		var gotNamed []bool
		err := decodeTotals(text, func(total *Total, named bool) {
			got, gotNamed = append(got, *total), append(gotNamed, named)
		})
		if err != nil || !utf8.ValidString(text) { // the writer writes nothing else
			return
		}
		want, wantNamed, ok := totalsTwin(text)
		if !ok {
			// Only leading zeros and control bytes in names are read here and refused there.
			return
		}
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(gotNamed, wantNamed) {
			t.Fatalf("%q reads as %+v %v, want %+v %v", text, got, gotNamed, want, wantNamed)
		}
	})
}

// What encode writes reads back with either reader.
func TestTotals(t *testing.T) {
	var r rollup
	for _, name := range []string{"", "a", `"`, `\`, "\x00\x1b", "é\u2028", "<&>", "'", "]", `",0`} {
		r.totals = append(r.totals, Total{Name: name, Novel: len(name) > 1, Flows: 1, Packets: 2, Bytes: 3, Payload: math.MaxUint64})
	}
	for _, rest := range []Total{{}, {Flows: 5, Packets: 6, Bytes: 7, Payload: 8}} {
		r.rest = rest
		text := string(r.encode())
		want, _, ok := totalsTwin(text)
		if !ok {
			t.Fatalf("%s is no JSON of totals", text)
		}
		var got []Total
		var last bool
		if err := decodeTotals(text, func(total *Total, named bool) { got, last = append(got, *total), named }); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		all := r.totals
		if rest.Flows > 0 {
			all = append(all[:len(all):len(all)], rest)
		}
		if !reflect.DeepEqual(got, all) || !reflect.DeepEqual(want, all) || last != (rest.Flows == 0) {
			t.Errorf("%s reads as %+v and %+v, want %+v", text, got, want, all)
		}
		for cut := range len(text) {
			if decodeTotals(text[:cut], func(*Total, bool) {}) == nil {
				t.Errorf("%s reads without error", text[:cut])
			}
		}
	}
}

func TestMicros(t *testing.T) {
	for ns, want := range map[int64]int64{0: 0, 999: 0, 1000: 1, -1: -1, -1000: -1, -1001: -2, math.MaxInt64: math.MaxInt64 / 1000, math.MinInt64: math.MinInt64/1000 - 1} {
		if got := micros(ns); got != want {
			t.Errorf("micros(%d) is %d, want %d", ns, got, want)
		}
		if back := nanos(micros(ns)); back > ns && ns > math.MinInt64+1000 || ns-back >= 1000 && ns > math.MinInt64+1000 {
			t.Errorf("%d comes back as %d", ns, back)
		}
	}
	for _, c := range []struct{ t, unit, want int64 }{{7, 5, 5}, {-7, 5, -10}, {-5, 5, -5}, {0, 5, 0}} {
		if got := floor(c.t, c.unit); got != c.want {
			t.Errorf("floor(%d, %d) is %d, want %d", c.t, c.unit, got, c.want)
		}
	}
}

// A range ends where it says although times are rounded down.
func TestRangeRounds(t *testing.T) {
	for _, r := range []Range{{}, {Since: 1}, {Since: 1000}, {Since: 1001, Until: 2001}, {Since: -1500, Until: 2000}, {Until: 1}} {
		since, until := r.micros()
		for ns := int64(-3000); ns < 4000; ns += 1000 { // times as they are kept
			if got := micros(ns) >= since && micros(ns) < until; got != r.Contains(ns) {
				t.Errorf("%d in %+v: %v, want %v", ns, r, got, r.Contains(ns))
			}
		}
	}
}

func TestRowOfFlow(t *testing.T) {
	sure := 0.5
	row := rowOf(&event.Tuple{FlowID: 1 << 63, SrcPort: 1}, &event.Flow{App: "a\xff", Confidence: &sure, BytesToClient: math.MaxUint64, LabelPackets: -1, Start: -1, End: 1999})
	if row.FlowID != math.MaxInt64 || row.BytesToClient != math.MaxInt64 || row.App != "a\uFFFD" || row.LabelPackets != 0 || row.Start != -1 || row.End != 1 {
		t.Errorf("got %+v", row)
	}
}
