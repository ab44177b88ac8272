package dataset

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/flow"
)

// Packets of the captures that most tests use.
var (
	web  = talk{at: 100, src: "10.0.0.1:40000", dst: "192.0.2.1:80", payload: "GET / HTTP/1.1"}
	name = talk{at: 101, src: "10.0.0.1:5353", dst: "192.0.2.53:53", udp: true, payload: "query"}
	six  = talk{at: 102, src: "[2001:db8::1]:40001", dst: "[2001:db8::2]:443", payload: "hello"}
	mute = talk{at: 103, src: "10.0.0.1:40002", dst: "192.0.2.1:81"}
)

// describe says in one line per example where it is and what it is called.
func describe(s *Set) string {
	var b strings.Builder
	for _, f := range s.Flows {
		fmt.Fprintf(&b, "%s %v>%v %s %q\n", s.Captures[f.Capture].Name, f.Key.Source(), f.Key.Destination(), f.Label, f.Opening[0].Data)
	}
	return b.String()
}

func TestOpenForms(t *testing.T) {
	all := []talk{web, name, six, mute}
	flowsWant := `x.pcapng 10.0.0.1:40000>192.0.2.1:80 http "GET / HTTP/1.1"
x.pcapng 10.0.0.1:5353>192.0.2.53:53 dns "query"
x.pcapng [2001:db8::1]:40001>[2001:db8::2]:443 tls "hello"
`
	tests := map[string]struct {
		captures map[string][]talk
		files    map[string]string
		opts     Options
		want     string
		problems []ProblemKind
	}{
		"labels.csv": {
			captures: map[string][]talk{"a.pcapng": {web}, "sub/b.pcapng": {name}, "sub/deep/c.pcapng": {six}, "d.pcapng": {web}, "unlisted.pcapng": {web}},
			files: map[string]string{"labels.csv": "file,label,android\n" +
				"a.pcapng,one,7\n" + // below dir
				"set/sub/b.pcapng,two,8\n" + // below dir's parent
				"elsewhere/deep/c.pcapng,three,\n" + // base name
				"gone.pcapng,four,\n" +
				"a.pcapng,one,7\n"},
			want: `a.pcapng 10.0.0.1:40000>192.0.2.1:80 one "GET / HTTP/1.1"
sub/b.pcapng 10.0.0.1:5353>192.0.2.53:53 two "query"
sub/deep/c.pcapng [2001:db8::1]:40001>[2001:db8::2]:443 three "hello"
`,
			problems: []ProblemKind{MissingCapture, ListedTwice, NoLabel, NoLabel},
		},
		"labels.csv with another column": {
			captures: map[string][]talk{"a.pcapng": {web}},
			files:    map[string]string{"labels.csv": "file;label;device\na.pcapng;one;\"Plug; red\"\n"},
			opts:     Options{LabelColumn: "device"},
			want:     "a.pcapng 10.0.0.1:40000>192.0.2.1:80 Plug; red \"GET / HTTP/1.1\"\n",
		},
		"flows.csv": {
			captures: map[string][]talk{"x.pcapng": all},
			files: map[string]string{"flows.csv": "file,src,src_port,dst,dst_port,protocol,label\n" +
				"x.pcapng,192.0.2.1,80,10.0.0.1,40000,TCP,http\n" + // the other direction
				"x.pcapng,10.0.0.1,5353,192.0.2.53,53,17,dns\n" +
				"x.pcapng,2001:db8::1,40001,2001:db8::2,443,6,tls\n" +
				"x.pcapng,10.0.0.1,40002,192.0.2.1,81,tcp,silent\n" +
				"x.pcapng,10.9.9.9,1,192.0.2.1,81,tcp,nowhere\n" +
				"x.pcapng,10.0.0.1,0,192.0.2.1,0,icmp,ping\n"},
			want: flowsWant,
		},
		"flows.csv of nDPI's results": {
			captures: map[string][]talk{"pcap/x.pcapng": all},
			files: map[string]string{"flows.csv": "capture,flow,l4,src,dst,proto,name,confidence,category,packets,bytes,leaf\n" +
				"x.pcapng,1,TCP,10.0.0.1:40000,192.0.2.1:80,7/HTTP,HTTP,DPI,Web,1,1,http\n" +
				"x.pcapng,2,UDP,10.0.0.1:5353,192.0.2.53:53,5/DNS,DNS,Match by port,Net,1,1,dns\n" +
				"x.pcapng,3,TCP,[2001:db8::1]:40001,[2001:db8::2]:443,91/TLS,TLS,DPI,Web,1,1,tls\n"},
			opts: Options{Confidence: "DPI"},
			want: `pcap/x.pcapng 10.0.0.1:40000>192.0.2.1:80 http "GET / HTTP/1.1"
pcap/x.pcapng [2001:db8::1]:40001>[2001:db8::2]:443 tls "hello"
`,
		},
		"ndpiReader's table": {
			captures: map[string][]talk{"x.pcapng": all},
			files: map[string]string{"flows.csv": "#flow_id|protocol|first_seen|last_seen|duration|src_ip|src_port|dst_ip|dst_port|ndpi_proto_num|ndpi_proto\n" +
				"1|6|100.0|100.0|0.0|10.0.0.1|40000|192.0.2.1|80|7|http\n" +
				"2|17|101.0|101.0|0.0|10.0.0.1|5353|192.0.2.53|53|5|dns\n" +
				"3|6|102.0|102.0|0.0|2001:db8::1|40001|2001:db8::2|443|91|tls\n"},
			want: flowsWant,
		},
		"Zeek conn log": {
			captures: map[string][]talk{"x.pcapng": all},
			files: map[string]string{"conn.log.labeled": "#separator \\x09\n#unset_field\t-\n" +
				"#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\ttunnel_parents   label   detailed-label\n" +
				"#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tinterval\tset[string]   string   string\n" +
				"100.000000\tC1\t10.0.0.1\t40000\t192.0.2.1\t80\ttcp\t-\t(empty)   http   -\n" +
				"101.000000\tC2\t10.0.0.1\t5353\t192.0.2.53\t53\tudp\t0.5\t(empty)   dns   -\n" +
				"102.000000\tC3\t2001:db8::1\t40001\t2001:db8::2\t443\ttcp\t0.5\t(empty)   tls   -\n#close\t2026\n"},
			want: flowsWant,
		},
		"CICFlowMeter": {
			captures: map[string][]talk{"x.pcapng": all},
			files: map[string]string{"flows.csv": "Flow ID, Source IP, Source Port, Destination IP, Destination Port, Protocol, Timestamp, Flow Duration, Label\n" +
				"a,192.0.2.1,80,10.0.0.1,40000,6,1/1/1970 0:01,5000000,http\n" +
				"b,10.0.0.1,5353,192.0.2.53,53,17,01/01/1970 00:01:41,1,dns\n" +
				"c,2001:db8::1,40001,2001:db8::2,443,6,01/01/1970 12:01:42 AM,1,tls\n"},
			want: flowsWant,
		},
		"one 5-tuple, two labels, told apart by time": {
			captures: map[string][]talk{"x.pcapng": {web, {at: 9000, src: web.src, dst: web.dst, payload: "later"}}},
			files: map[string]string{"flows.csv": "file,src,src_port,dst,dst_port,proto,ts,duration,label\n" +
				"x.pcapng,10.0.0.1,40000,192.0.2.1,80,tcp,9000.1,1,second\n" +
				"x.pcapng,10.0.0.1,40000,192.0.2.1,80,tcp,99.9,1,first\n"},
			want: `x.pcapng 10.0.0.1:40000>192.0.2.1:80 first "GET / HTTP/1.1"
x.pcapng 10.0.0.1:40000>192.0.2.1:80 second "later"
`,
		},
		"a flow's row before its capture's label": {
			captures: map[string][]talk{"x.pcapng": {web, name}},
			files: map[string]string{
				"labels.csv": "file,label\nx.pcapng,benign\n",
				"flows.csv":  "file,src,src_port,dst,dst_port,proto,label\nx.pcapng,10.0.0.1,40000,192.0.2.1,80,tcp,attack\n",
			},
			want: `x.pcapng 10.0.0.1:40000>192.0.2.1:80 attack "GET / HTTP/1.1"
x.pcapng 10.0.0.1:5353>192.0.2.53:53 benign "query"
`,
		},
		"one directory per label": {
			captures: map[string][]talk{"curl/a.pcapng": {web}, "curl/more/b.pcapng": {web}, "dig/a.pcapng": {name}, "top.pcapng": {web}},
			want: `curl/a.pcapng 10.0.0.1:40000>192.0.2.1:80 curl "GET / HTTP/1.1"
curl/more/b.pcapng 10.0.0.1:40000>192.0.2.1:80 curl "GET / HTTP/1.1"
dig/a.pcapng 10.0.0.1:5353>192.0.2.53:53 dig "query"
`,
			problems: []ProblemKind{NoLabel},
		},
		"process labels": {
			captures: map[string][]talk{"run/x.pcapng": {
				{at: 100, src: web.src, dst: web.dst, payload: "a", process: "curl"},
				{at: 101, src: web.dst, dst: web.src, payload: "b", process: "nginx"},
				{at: 102, src: web.src, dst: web.dst, payload: "c", process: "curl"},
				{at: 103, src: name.src, dst: name.dst, udp: true, payload: "q", process: "Web Content"},
				six,
			}},
			want: `run/x.pcapng 10.0.0.1:40000>192.0.2.1:80 curl "a"
run/x.pcapng 10.0.0.1:5353>192.0.2.53:53 Web Content "q"
`,
		},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "set")
			for file, packets := range test.captures {
				writeCapture(t, filepath.Join(dir, file), packets...)
			}
			for file, text := range test.files {
				writeText(t, filepath.Join(dir, file), text)
			}
			set, err := Open(dir, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(set); got != test.want {
				t.Errorf("examples:\n%s\nwant:\n%s", got, test.want)
			}
			var kinds []ProblemKind
			for _, p := range set.Problems {
				kinds = append(kinds, p.Kind)
			}
			if !slices.Equal(kinds, test.problems) {
				t.Errorf("problems %v, want %v", set.Problems, test.problems)
			}
		})
	}
}

func TestOpenCounts(t *testing.T) {
	dir := t.TempDir()
	writeCapture(t, filepath.Join(dir, "x.pcapng"), web, name, six, mute, web.back(104, "reply"))
	writeText(t, filepath.Join(dir, "flows.csv"), "file,src,src_port,dst,dst_port,protocol,label\n"+
		"x.pcapng,10.0.0.1,40000,192.0.2.1,80,6,http\n"+
		"x.pcapng,10.0.0.1,40002,192.0.2.1,81,6,silent\n"+
		"x.pcapng,10.9.9.9,1,192.0.2.1,81,6,nowhere\n"+
		"x.pcapng,10.0.0.1,5353,192.0.2.53,53,udp,a\n"+
		"x.pcapng,10.0.0.1,5353,192.0.2.53,53,udp,b\n"+
		"x.pcapng,10.0.0.1,0,192.0.2.1,0,icmp,ping\n"+
		"x.pcapng,10.0.0.1,40000,192.0.2.1,80,6,\n"+
		"x.pcapng,somewhere,40000,192.0.2.1,80,6,http\n"+
		"gone.pcapng,10.0.0.1,40000,192.0.2.1,80,6,http\n")
	set, err := Open(dir, Options{Flow: flow.Config{OpeningPackets: 1, OpeningBytes: 3}})
	if err != nil {
		t.Fatal(err)
	}
	c := set.Captures[0]
	if c.Packets != 5 || c.Flows != 4 || c.Examples != 1 || c.NoPayload != 1 || c.Unlabelled != 2 || c.Ambiguous != 1 {
		t.Errorf("capture counts %+v, want 5 packets, 4 flows, 1 example, 1 without payload, 2 unlabelled, 1 of them ambiguous", c)
	}
	if c.First != 100*second || c.Last != 104*second || len(c.SHA256) != 64 {
		t.Errorf("capture from %d to %d, SHA-256 %q", c.First, c.Last, c.SHA256)
	}
	want := TableStats{Name: "flows.csv", Rows: 7, Joined: 2, NoFlow: 3, NoPorts: 1, NoCapture: 1, Unlabelled: 1, Bad: 1}
	if set.Tables[0] != want {
		t.Errorf("table %+v, want %+v", set.Tables[0], want)
	}
	f := set.Flows[0]
	if len(f.Opening) != 1 || string(f.Opening[0].Data) != "GET" || f.Opening[0].Len != 14 {
		t.Errorf("opening %+v, want GET of 14 bytes", f.Opening)
	}
	if !set.Unreadable() {
		t.Error("a capture is missing, but Unreadable is false")
	}
}

func TestOpenDoesNotDependOnWorkers(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		p := web
		p.payload = fmt.Sprint(i)
		writeCapture(t, filepath.Join(dir, fmt.Sprint("label", i%3), fmt.Sprint(i, ".pcapng")), p, name)
	}
	var want string
	for workers := 1; workers < 5; workers++ {
		set, err := Open(dir, Options{Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(set); want == "" {
			want = got
		} else if got != want {
			t.Errorf("%d workers:\n%s\nwant:\n%s", workers, got, want)
		}
	}
}

func TestOpenDamaged(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "a", "whole.pcapng")
	writeCapture(t, whole, web, name)
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(dir, "a", "cut.pcapng"), string(data[:len(data)-10]))
	writeText(t, filepath.Join(dir, "b", "none.pcap"), "no capture")
	set, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Flows) != 3 {
		t.Errorf("%d flows, want the one before the cut and two:\n%s", len(set.Flows), describe(set))
	}
	if len(set.Problems) != 2 || set.Problems[0].Kind != DamagedCapture || set.Problems[1].Kind != UnreadableCapture {
		t.Errorf("problems %v, want a damaged and an unreadable capture", set.Problems)
	}
}

func TestOpenRefuses(t *testing.T) {
	tests := map[string]struct {
		file, text string
		opts       Options
		want       string
	}{
		"contradiction":     {"labels.csv", "file,label\nx.pcapng,one\nx.pcapng,two\n", Options{}, `labels.csv line 3: x.pcapng is "two" here and "one" at`},
		"no label column":   {"labels.csv", "file,name\nx.pcapng,one\n", Options{}, "needs the columns file and label; it has file, name"},
		"no such column":    {"flows.csv", "file,src,dst,proto,label\n", Options{LabelColumn: "leaf"}, `no column "leaf"; it has file, src, dst, proto, label`},
		"no confidence":     {"flows.csv", "file,src,dst,proto,label\n", Options{Confidence: "DPI"}, "no column confidence"},
		"no protocol":       {"flows.csv", "file,src,dst,label\n", Options{}, "no column for protocol"},
		"nothing readable":  {"flows.csv", "src,dst,proto,label\na,b,tcp,x\n", Options{}, `line 2: source: "a" is not an IP address`},
		"bad start":         {"labels.csv", "file,label,start_utc\nx.pcapng,one,yesterday\n", Options{}, `line 2: start_utc: "yesterday" is not a time`},
		"empty table":       {"labels.csv", "", Options{}, "no header"},
		"too large":         {"labels.csv", "file,label\nx.pcapng,one\n", Options{Memory: 100}, "does not fit in memory"},
		"no labels":         {"other.csv", "", Options{}, "no table names it"},
		"images, no labels": {"a-images-idx3-ubyte", "\x00\x00\x08\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01", Options{}, "no a-labels-idx1-ubyte beside it"},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			dir := t.TempDir()
			writeCapture(t, filepath.Join(dir, "x.pcapng"), web)
			writeText(t, filepath.Join(dir, test.file), test.text)
			if _, err := Open(dir, test.opts); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "gone"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func TestPoolAndAdopt(t *testing.T) {
	s := &Set{Captures: make([]Capture, 3)}
	for label, captures := range map[string][]int{"common": {0, 0, 1, 1}, "rare": {0}, "alone": {2, 2, 2}, Etc: {1}} {
		for _, c := range captures {
			s.Flows = append(s.Flows, Flow{Capture: c, Label: label})
		}
	}
	s.Pool(2, 2)
	if want := []string{"common", Etc}; !slices.Equal(s.Classes, want) {
		t.Errorf("classes %v, want %v", s.Classes, want)
	}
	if want := []Pooled{{"alone", 3, 1}, {"rare", 1, 1}}; !slices.Equal(s.Pooled, want) {
		t.Errorf("pooled %v, want %v", s.Pooled, want)
	}
	for _, f := range s.Flows {
		if want := map[string]int{"common": 0}[f.Label]; f.Label != "common" && f.Class != 1 || f.Label == "common" && f.Class != want {
			t.Errorf("%s has class %d", f.Label, f.Class)
		}
	}
	s.Adopt([]string{"rare", "common"}, nil)
	for _, f := range s.Flows {
		if want, ok := map[string]int{"rare": 0, "common": 1}[f.Label]; ok && f.Class != want || !ok && f.Class != NoClass {
			t.Errorf("adopted: %s has class %d", f.Label, f.Class)
		}
	}
	s.Pool(0, 0)
	if want := []string{"alone", "common", "rare", Etc}; !slices.Equal(s.Classes, want) || s.Pooled != nil {
		t.Errorf("without pooling: classes %v, pooled %v, want %v", s.Classes, s.Pooled, want)
	}
}

// Flows that a full table ended early are told.
func TestOpenTellsEvictedFlows(t *testing.T) {
	dir := t.TempDir()
	writeCapture(t, filepath.Join(dir, "a", "x.pcapng"), web, name, six)
	set, err := Open(dir, Options{Flow: flow.Config{MaxFlows: 1}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Problem{{FlowsEvicted, "a/x.pcapng", "2 flows ended early because the flow table was full: what followed of them counts as new flows"}}
	if !reflect.DeepEqual(set.Problems, want) {
		t.Errorf("problems %+v, want %+v", set.Problems, want)
	}
	if set.Unreadable() {
		t.Error("a full flow table makes the capture unreadable")
	}
}

// A capture and its compressed copy are the same capture.
func TestOpenKnowsCompressedCopies(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "a", "x.pcapng")
	writeCapture(t, plain, web, name)
	data, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	writeText(t, filepath.Join(dir, "a", "y.pcapng.gz"), packed.String())
	set, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x, y := set.Captures[0], set.Captures[1]; x.SHA256 != y.SHA256 || x.Bytes != int64(len(data)) || y.Bytes != x.Bytes {
		t.Errorf("hashes %q of %d bytes and %q of %d, want the same", x.SHA256, x.Bytes, y.SHA256, y.Bytes)
	}
	if copies := set.Check().Copies; len(copies) != 1 {
		t.Errorf("copies %q, want one pair", copies)
	}
}
