package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/window"
)

// kind is a type that a field of an event can have.
type kind func(v any) bool

var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)

func isText(v any) bool   { s, ok := v.(string); return ok && s != "" }
func isNumber(v any) bool { _, ok := v.(float64); return ok }
func isBool(v any) bool   { _, ok := v.(bool); return ok }
func isList(v any) bool   { _, ok := v.([]any); return ok }
func isTime(v any) bool   { s, ok := v.(string); return ok && timestamp.MatchString(s) }
func isCount(v any) bool {
	n, ok := v.(float64)
	return ok && n >= 0 && n == math.Trunc(n)
}
func isShare(v any) bool { n, ok := v.(float64); return ok && n >= 0 && n <= 1 }
func isReasons(v any) bool {
	m, ok := v.(map[string]any)
	for _, n := range m {
		ok = ok && isCount(n)
	}
	return ok
}

// The fields that docs/formats.md promises, by event type.
var (
	tupleFields = map[string]kind{
		"flow_id": isCount, "community_id": isText, "src_ip": isText, "src_port": isCount,
		"dest_ip": isText, "dest_port": isCount, "proto": isText,
	}
	windowFields = map[string]kind{
		"start": isTime, "length": isNumber, "packets": isCount, "score": isNumber,
		"threshold": isNumber, "anomalous": isBool, "lost": isCount, "model": isText,
	}
	objectFields = map[event.Type]map[string]kind{
		event.TypeLabel: {
			"app": isText, "confidence": isShare, "source": isText, "packets": isCount, "novel": isBool, "model": isText,
		},
		event.TypeFlow: {
			"pkts_toserver": isCount, "pkts_toclient": isCount, "bytes_toserver": isCount, "bytes_toclient": isCount,
			"ip_bytes_toserver": isCount, "ip_bytes_toclient": isCount,
			"payload_bytes_toserver": isCount, "payload_bytes_toclient": isCount,
			"start": isTime, "end": isTime, "reason": isText,
		},
		event.TypeWindow: windowFields,
		event.TypeAlert:  windowFields,
		event.TypeStats: {
			"packets": isCount, "bytes": isCount, "flows": isCount, "active_flows": isCount, "labelled_flows": isCount,
			"novel_flows": isCount, "windows": isCount, "alerts": isCount, "decode_errors": isReasons, "drops": isReasons,
			"packets_per_second": isNumber, "bits_per_second": isNumber,
		},
	}
)

func checkFields(object map[string]any, want map[string]kind) error {
	for name, is := range want {
		if v, ok := object[name]; !ok || !is(v) {
			return fmt.Errorf("field %s is %v", name, v)
		}
	}
	return nil
}

// scriptJSONLines wants a file to hold events as docs/formats.md promises them, and so many of
// each type: jsonlines FILE TYPE=N|TYPE>=N…
func scriptJSONLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: jsonlines FILE TYPE=N|TYPE>=N…")
	}
	s := stream{counts: map[event.Type]int{}, labels: map[float64]string{}}
	for i, line := range strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n") {
		if err := s.add(line); err != nil {
			ts.Fatalf("%s:%d: %v\n%s", args[0], i+1, err, line)
		}
	}
	if err := s.finish(); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
	for _, cond := range args[1:] {
		name, want, least := strings.Cut(cond, ">=")
		if !least {
			name, want, _ = strings.Cut(cond, "=")
		}
		n, err := strconv.Atoi(want)
		ts.Check(err)
		if got := s.counts[event.Type(name)]; got != n && !(least && got > n) {
			ts.Fatalf("%s has %d events of type %s, want %s", args[0], got, name, cond)
		}
	}
}

// stream checks events one by one and against each other.
type stream struct {
	counts map[event.Type]int
	labels map[float64]string // by flow_id: the last application
	window map[string]any     // the last one
	stats  map[string]any     // the last ones
}

func (s *stream) add(line string) error {
	var e map[string]any
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return err
	}
	if err := checkFields(e, map[string]kind{"timestamp": isTime, "event_type": isText}); err != nil {
		return err
	}
	kind := event.Type(e["event_type"].(string))
	fields, known := objectFields[kind]
	object, ok := e[string(kind)].(map[string]any)
	if !known || !ok {
		return fmt.Errorf("event of type %q with object %v", kind, e[string(kind)])
	}
	if err := checkFields(object, fields); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	s.counts[kind]++
	switch kind {
	case event.TypeLabel, event.TypeFlow:
		if err := checkFields(e, tupleFields); err != nil {
			return err
		}
		if id := e["community_id"].(string); !strings.HasPrefix(id, "1:") || len(id) != 30 {
			return fmt.Errorf("community_id %q is not of version 1", id)
		}
		return s.flow(kind, e["flow_id"].(float64), object)
	case event.TypeWindow:
		s.window = object
	case event.TypeAlert:
		return s.alert(object)
	case event.TypeStats:
		s.stats = object
	}
	return nil
}

// flow holds the account of a flow to the labels that came before it.
func (s *stream) flow(kind event.Type, id float64, object map[string]any) error {
	if kind == event.TypeLabel {
		if source := object["source"]; source != "packet" && source != "flow" {
			return fmt.Errorf("source is %q", source)
		}
		s.labels[id] = object["app"].(string)
		return nil
	}
	if !slices.Contains([]any{"idle_timeout", "active_timeout", "end_of_flow", "forced_end", "lack_of_resources"}, object["reason"]) {
		return fmt.Errorf("reason is %q", object["reason"])
	}
	app, _ := object["app"].(string)
	if app != s.labels[id] {
		return fmt.Errorf("the flow is of %q, its last label was %q", app, s.labels[id])
	}
	if _, ok := object["confidence"]; ok != (app != "") || ok && !isShare(object["confidence"]) {
		return fmt.Errorf("confidence is %v for application %q", object["confidence"], app)
	}
	delete(s.labels, id)
	return nil
}

// alert holds an alert to the window before it, its shares to its score.
func (s *stream) alert(object map[string]any) error {
	for name := range windowFields {
		if object[name] != s.window[name] {
			return fmt.Errorf("%s is %v in the alert, %v in its window", name, object[name], s.window[name])
		}
	}
	score, threshold := object["score"].(float64), object["threshold"].(float64)
	if object["anomalous"] != true || score < threshold {
		return fmt.Errorf("an alert with score %v below the threshold %v", score, threshold)
	}
	features, _ := object["features"].([]any)
	if len(features) != len(window.Names) {
		return fmt.Errorf("%d features, want %d", len(features), len(window.Names))
	}
	sum, last := 0.0, math.Inf(1)
	for _, f := range features {
		f, _ := f.(map[string]any)
		err := checkFields(f, map[string]kind{"name": isText, "observed": isNumber, "expected": isNumber, "share": isNumber})
		if err != nil {
			return err
		}
		share := f["share"].(float64)
		if share > last {
			return errors.New("the features are not in the order of their shares")
		}
		sum += share
		last = share
	}
	if math.Abs(sum-score) > 1e-9*max(1, score) {
		return fmt.Errorf("the shares add up to %v, the score is %v", sum, score)
	}
	top, _ := object["top"].(map[string]any)
	if err := checkFields(top, map[string]kind{"src_ips": isList, "dest_ips": isList, "dest_ports": isList}); err != nil {
		return fmt.Errorf("top: %w", err)
	}
	evidence, _ := object["evidence"].(map[string]any)
	return checkFields(evidence, map[string]kind{"start": isTime, "end": isTime, "files": isText, "how": isText})
}

// finish holds the last counters to what was there.
func (s *stream) finish() error {
	if s.stats == nil {
		return nil // weir flows writes none
	}
	for name, kind := range map[string]event.Type{"flows": event.TypeFlow, "windows": event.TypeWindow, "alerts": event.TypeAlert} {
		if got := s.stats[name].(float64); int(got) != s.counts[kind] {
			return fmt.Errorf("the last stats count %v %s, the events %d", got, name, s.counts[kind])
		}
	}
	if len(s.labels) > 0 {
		return fmt.Errorf("%d flows got a label and never ended", len(s.labels))
	}
	return nil
}

// scriptParquet wants a Parquet file to hold the rows of a CSV file: parquet FILE CSV
func scriptParquet(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "parquet FILE CSV")
	want, err := csv.NewReader(strings.NewReader(ts.ReadFile(args[1]))).ReadAll()
	ts.Check(err)
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	info, err := f.Stat()
	ts.Check(err)
	file, err := parquet.OpenFile(f, info.Size())
	ts.Check(err)
	var header []string
	for _, c := range file.Root().Columns() {
		header = append(header, c.Name())
	}
	if !slices.Equal(header, want[0]) {
		ts.Fatalf("columns are %q, want %q", header, want[0])
	}
	if got := file.NumRows(); got != int64(len(want)-1) {
		ts.Fatalf("%d rows, want %d", got, len(want)-1)
	}
	rows := parquet.NewReader(file)
	defer rows.Close()
	buffer := make([]parquet.Row, 1)
	for i := 1; ; i++ {
		n, err := rows.ReadRows(buffer)
		if n == 0 && errors.Is(err, io.EOF) {
			return
		}
		if n == 0 {
			ts.Check(err)
		}
		got := []string{time.Unix(0, buffer[0][0].Int64()).UTC().Format(time.RFC3339Nano)}
		for _, v := range buffer[0][1:] {
			got = append(got, strconv.FormatFloat(v.Double(), 'f', -1, 64))
		}
		if !slices.Equal(got, want[i]) {
			ts.Fatalf("row %d is\n%q, want\n%q", i, got, want[i])
		}
	}
}

// outside matches what would make a page fetch something or run something.
var outside = regexp.MustCompile(`(?i)<(script|link|iframe|object|embed|img)\b|\b(src|srcset|data|action)\s*=|href="[^#]|url\(|@import|\bon[a-z]+\s*=\s*"`)

// scriptPage wants a file to be one whole HTML page without references to anything outside:
// page FILE
func scriptPage(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 1, "page FILE")
	text := ts.ReadFile(args[0])
	if found := outside.FindString(text); found != "" {
		ts.Fatalf("%s refers to something outside: %q", args[0], found)
	}
	if rest := strings.ReplaceAll(text, `"http://www.w3.org/2000/svg"`, ""); strings.Contains(rest, "http://") || strings.Contains(rest, "https://") {
		ts.Fatalf("%s holds an address of the web", args[0])
	}
	if !strings.HasPrefix(strings.ToLower(text), "<!doctype html>") || strings.Count(text, "</html>") != 1 || !strings.Contains(text, "<svg") {
		ts.Fatalf("%s is not one whole page with figures", args[0])
	}
}
