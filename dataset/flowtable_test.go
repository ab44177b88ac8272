package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

func TestParseTime(t *testing.T) {
	madrid := time.FixedZone("east", 3600)
	for _, test := range []struct {
		text      string
		zone      *time.Location
		nanos     int64
		precision int64
	}{
		{"1547127288.026074", nil, 1547127288026074000, 1},
		{"1547127288", nil, 1547127288000000000, 1},
		{"1547127288026", nil, 1547127288026000000, 1},       // milliseconds
		{"1547127288026074", nil, 1547127288026074000, 1},    // microseconds
		{"1547127288026074123", nil, 1547127288026074123, 1}, // nanoseconds
		{"1547127288.0260741239", nil, 1547127288026074123, 1},
		{"-1.5", nil, -1500000000, 1},
		{"1.5e9", nil, 1500000000000000000, 1},
		{"2016-06-09T13:15:43Z", nil, 1465478143000000000, 1},
		{"2016-06-09T13:15:43.25+02:00", nil, 1465470943250000000, 1},
		{"2016-06-09 13:15:43", nil, 1465478143000000000, 1e9},
		{"2016-06-09 13:15:43", madrid, 1465474543000000000, 1e9},
		{"2016-06-09 13:15:43.5", nil, 1465478143500000000, 1},
		{"9/6/2016 13:15", nil, 1465478100000000000, 60e9},
		{"09/06/2016 01:15:43 PM", nil, 1465478143000000000, 1e9},
	} {
		nanos, precision, err := parseTime(test.text, test.zone)
		if err != nil || nanos != test.nanos || precision != test.precision {
			t.Errorf("%q: %d ± %d, %v; want %d ± %d", test.text, nanos, precision, err, test.nanos, test.precision)
		}
	}
	for _, text := range []string{"", "x", "1.2.3", "1e99", "NaN", "99999999999999999999", "1.x", "31/31/2016 1:00", "9999-01-01T00:00:00Z"} {
		if nanos, _, err := parseTime(text, nil); err == nil {
			t.Errorf("%q is read as %d", text, nanos)
		}
	}
}

func TestParseEnd(t *testing.T) {
	for _, test := range []struct{ addr, port, want string }{
		{"10.0.0.1", "80", "10.0.0.1:80"},
		{"10.0.0.1", "80.0", "10.0.0.1:80"},
		{"10.0.0.1", "0x50", "10.0.0.1:80"},
		{"10.0.0.1:80", "", "10.0.0.1:80"},
		{"10.0.0.1", "", "10.0.0.1:0"},
		{"[fe80::1%eth0]:80", "", "[fe80::1]:80"},
		{"[fe80::1]", "80", "[fe80::1]:80"},
		{"fe80::1:80", "", "[fe80::1:80]:0"},
		{"::ffff:10.0.0.1", "80", "10.0.0.1:80"},
	} {
		got, err := parseEnd(test.addr, test.port)
		if err != nil || got.String() != test.want {
			t.Errorf("%q, %q: %v, %v; want %s", test.addr, test.port, got, err, test.want)
		}
	}
	for _, bad := range [][2]string{{"", ""}, {"host", "80"}, {"10.0.0.1", "65536"}, {"10.0.0.1", "-1"}, {"10.0.0.1:80", "80"}} {
		if got, err := parseEnd(bad[0], bad[1]); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

func TestBadRowsAreCounted(t *testing.T) {
	var b strings.Builder
	b.WriteString("src,dst,proto,label\n10.0.0.1,10.0.0.2,tcp,a\n")
	for range 3 * maxBadRows {
		b.WriteString(",,,\n")
	}
	b.WriteString("10.0.0.1,10.0.0.2,tcp\n10.0.0.1,10.0.0.2,nonsense,a\n")
	ft, err := parseFlowTable("t", strings.NewReader(b.String()), flowTableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(ft.rows) != 1 || ft.unlabeled != 1 || ft.badCount != 3*maxBadRows+1 || len(ft.bad) != maxBadRows || ft.bad[0].Line != 3 {
		t.Errorf("%d rows, %d unlabelled, %d bad, %d named from line %d", len(ft.rows), ft.unlabeled, ft.badCount, len(ft.bad), ft.bad[0].Line)
	}
}

func FuzzFlowTable(f *testing.F) {
	f.Add("file,src,src_port,dst,dst_port,protocol,label\nx.pcap,10.0.0.1,1,10.0.0.2,2,6,\"a, b\"\n")
	f.Add("capture;l4;src;dst;proto;leaf;confidence\nx;TCP;[::1]:5;[::2]:6;7.1/x;y;DPI\n")
	f.Add("#flow_id|protocol|src_ip|dst_ip|ndpi_proto\n1|17|1.2.3.4|5.6.7.8|DNS\n")
	f.Add("#separator \\x09\n#fields\tts\tid.orig_h\tid.resp_h\tproto\tx   label\n1.5\t10.0.0.1\t10.0.0.2\ticmp\t-   a\n#close\n")
	f.Add("\xef\xbb\xbfSrc IP, Dst IP, Protocol, Timestamp, Flow Duration, Label\n1.1.1.1,2.2.2.2,6,3/7/2017 8:55,1e99,Web Attack \x96 XSS\n")
	f.Fuzz(func(t *testing.T, text string) {
		ft, err := parseFlowTable("t", strings.NewReader(text), flowTableOptions{})
		if err != nil {
			return
		}
		j := newJoiner(ft.rows)
		for i, row := range ft.rows {
			if int(row.label) >= len(ft.labels) || int(row.capture) >= len(ft.captures) || ft.labels[row.label] == "" {
				t.Fatalf("row %d: %+v of %d labels, %d captures", i, row, len(ft.labels), len(ft.captures))
			}
			if row.end < row.start || (row.start == noTime) != (row.end == noTime) {
				t.Errorf("row %d lasts from %d to %d", i, row.start, row.end)
			}
			if row.key != joinKey(row.key) {
				t.Errorf("row %d: key %+v is not its own join key", i, row.key)
			}
			if found, m := j.find(row.key, row.start, row.start); m == oneRow && ft.rows[found].key != row.key || m == noRow {
				t.Errorf("row %d is not found by its own key and time: row %d, %v", i, found, m)
			}
		}
	})
}

// TestJoin compares find with a plain reading of its rules.
func TestJoin(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() flow.Key {
		k, err := keyOf(
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(2))}), uint16(rng.IntN(2))),
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(2))}), uint16(rng.IntN(2))), packet.TCP)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	outcomes := map[match]int{}
	for range 2000 {
		var rows []flowRow
		for range 1 + rng.IntN(8) {
			row := flowRow{key: key(), start: noTime, end: noTime, label: int32(rng.IntN(2))}
			if rng.IntN(4) > 0 {
				row.start = int64(rng.IntN(20)) * second
				row.end = row.start + int64(rng.IntN(5))*second
			}
			rows = append(rows, row)
		}
		j := newJoiner(rows)
		k, start := key(), int64(rng.IntN(20))*second
		last := start + int64(rng.IntN(5))*second
		row, m := j.find(k, start, last)
		outcomes[m]++
		label, want := slowFind(rows, k, start, last)
		if m != want || m == oneRow && rows[row].label != label {
			t.Fatalf("rows %+v\nfind(%+v, %d, %d) = row %d, %v; want label %d, %v", rows, k, start, last, row, m, label, want)
		}
	}
	if len(outcomes) != 3 {
		t.Errorf("outcomes %v: the test does not reach all three", outcomes)
	}
}

// slowFind returns the label that find must find: rows of the 5-tuple that agree need no time,
// otherwise the nearest in time decides, at most a second away.
func slowFind(rows []flowRow, k flow.Key, start, last int64) (label int32, m match) {
	type candidate struct{ distance, offset int64 }
	best, labels, all := candidate{math.MaxInt64, math.MaxInt64}, map[int32]bool{}, map[int32]bool{}
	for _, r := range rows {
		if r.key != k {
			continue
		}
		all[r.label] = true
		c := candidate{}
		if r.start != noTime {
			c.distance = max(r.start-last, start-r.end, 0)
			c.offset = max(r.start-start, start-r.start)
		}
		if c.distance < best.distance || c.distance == best.distance && c.offset < best.offset {
			best, labels = c, map[int32]bool{}
		}
		if c == best {
			labels[r.label], label = true, r.label
		}
	}
	switch {
	case len(all) == 0:
		return 0, noRow
	case len(all) == 1:
		return label, oneRow
	case len(labels) > 1:
		return 0, ambiguous
	case best.distance > joinSlack:
		return 0, noRow
	}
	return label, oneRow
}

func TestSeparators(t *testing.T) {
	for header, want := range map[string]string{
		"a,b,c": "[a b c]", "a;b;c,d": "[a b c,d]", "a\tb": "[a b]", "#a|b|c": "[a b c]", "\xef\xbb\xbfa,\"b,c\"": "[a b,c]", "a": "[a]",
	} {
		tab, err := newTable("t", strings.NewReader(header+"\n"))
		if err != nil || fmt.Sprint(tab.columns) != want {
			t.Errorf("%q: %v, %v; want %s", header, tab.columns, err, want)
		}
	}
	if _, err := newTable("t", strings.NewReader(strings.Repeat("x", 2*maxLine))); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a header of 2 MiB: %v", err)
	}
}
