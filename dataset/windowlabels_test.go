package dataset

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

func keyBetween(tb testing.TB, src, dst string, proto uint8) flow.Key {
	tb.Helper()
	k, err := keyOf(netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst), proto)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestWindowLabels(t *testing.T) {
	web := keyBetween(t, "10.0.0.1:40000", "192.0.2.1:80", packet.TCP)
	dns := keyBetween(t, "10.0.0.1:5353", "192.0.2.53:53", packet.UDP)
	packets := []struct {
		at  float64
		key flow.Key
	}{{10, web}, {11, dns}, {12.5, web}, {30, web}, {31, flow.Key{}}}
	zeek := "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\tlabel\tdetailed-label\n"
	tests := map[string]struct {
		file, text string
		want       string // attacks of the packets
		attacks    string
		finish     string
	}{
		"list":               {"l.csv", "1;0\r\n2;1\r\n3;0\r\n4;1\r\n5;0\r\n", "0 1 0 1 0", "1=1", ""},
		"list from 0":        {"l.csv", "0,0\n1,0\n2,0\n3,0\n4,7", "0 0 0 0 7", "7=7", ""},
		"list with names":    {"l.txt", "packet,label\n1,Benign\n2,scan\n3,\n4,flood\n5,scan\n", "0 1 0 2 1", "1=scan 2=flood", ""},
		"list too short":     {"l.csv", "1;0\n2;1\n", "0 1 0 0 0", "1=1", "2 labels for 5 packets"},
		"list too long":      {"l.csv", "1;0\n2;1\n3;0\n4;0\n5;0\n6;0\n", "0 1 0 0 0", "1=1", "6 labels for 5 packets"},
		"bytes":              {"l.u8", "\x00\x00\x03\x01\x00", "0 0 3 1 0", "1=1 3=3", ""},
		"bytes, too few":     {"l.u8", "\x00", "0 0 0 0 0", "", "1 labels for 5 packets"},
		"intervals":          {"l.csv", "id,attack,start,end,seconds,source\n1,scan,11,12.5,1,x\n2,flood,12,30,1,x\n", "0 1 1 2 0", "1=scan 2=flood", ""},
		"intervals, no id":   {"l.csv", "attack,start,end\nscan,1970-01-01T00:00:11Z,1970-01-01 00:00:12\n", "0 1 1 0 0", "1=scan", ""},
		"flows":              {"conn.log", zeek + "10\tC\t192.0.2.1\t80\t10.0.0.1\t40000\ttcp\t3\tMalicious\tC&C\n30\tC\t10.0.0.1\t40000\t192.0.2.1\t80\ttcp\t-\tMalicious\t-\n11\tC\t10.0.0.1\t5353\t192.0.2.53\t53\tudp\t-\tBenign\t-\n", "1 0 1 2 0", "1=C&C 2=Malicious", ""},
		"flows at no time":   {"conn.log", zeek + "10000\tC\t192.0.2.1\t80\t10.0.0.1\t40000\ttcp\t3\tMalicious\tC&C\n", "0 0 0 0 0", "1=C&C", "no packet belongs to any of the 1 labelled flows"},
		"flows without time": {"f.csv", "src,src_port,dst,dst_port,protocol,label\n10.0.0.1,40000,192.0.2.1,80,6,bot\n", "1 0 1 1 0", "1=bot", ""},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), test.file)
			writeText(t, path, test.text)
			l, err := OpenWindowLabels(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got, attacks []string
			for n, p := range packets {
				got = append(got, fmt.Sprint(l.Attack(uint64(n), int64(p.at*1e9), p.key)))
			}
			for _, a := range l.Attacks() {
				attacks = append(attacks, fmt.Sprint(a.ID, "=", l.Name(a.ID)))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("attacks of the packets %v, want %s", got, test.want)
			}
			if strings.Join(attacks, " ") != test.attacks {
				t.Errorf("attacks %v, want %s", attacks, test.attacks)
			}
			err = l.Finish()
			if (err == nil) != (test.finish == "") || err != nil && !strings.Contains(err.Error(), test.finish) {
				t.Errorf("Finish: %v, want %q", err, test.finish)
			}
		})
	}
}

func TestWindowLabelsNamedByIntervals(t *testing.T) {
	dir := t.TempDir()
	writeText(t, filepath.Join(dir, "mixed.labels.u8"), "\x00\x02\x01")
	writeText(t, filepath.Join(dir, "mixed.intervals.csv"), "id,attack,start,end\n1,flood,1,2\n2,scan,3,4\n")
	l, err := OpenWindowLabels(filepath.Join(dir, "mixed.labels.u8"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.Name(1) != "flood" || l.Name(2) != "scan" || l.Name(0) != "" {
		t.Errorf("attacks %v, want flood and scan", l.Attacks())
	}
}

func TestWindowLabelsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "holds no labels",
		"1;0\n3;0\n":             "l.csv line 2: packet 3 where packet 2 is due",
		"1;0\nx;0\n":             `l.csv line 2: "x" is not a packet number`,
		"1;0\n\nabc\n":           `l.csv line 3: "abc" is not "n;0"`,
		"7;0\n":                  "line 1: packet 7 where packet 0 is due",
		"1;70000\n":              `line 1: "70000" is not the number of an attack`,
		"id,start,end\n1,2,1\n":  "line 2: ends at 1 before it starts at 2",
		"id,start,end\n1,x,1\n":  `line 2: "x" is not a time`,
		"id,start,end\n-1,1,1\n": `line 2: "-1" is not the number of an attack`,
		"start,end\n1,1\n":       "need the columns start, end and id or attack; it has start, end",
		"id,attack,start,end\n1,a,1,2\n1,b,1,2\n":   `line 3: attack 1 is "b" here and "a" above`,
		"src,dst,proto,label\n1.2.3.4,x,tcp,a\n":    `line 2: destination: "x" is not an IP address`,
		"src,dst,proto,label\n1.2.3.4,::1,tcp,a\n":  "line 2: 1.2.3.4 and ::1 are of different IP versions",
		"src,dst,proto,label\n1.2.3.4,x,tcp,a\n,,,": `line 2: destination: "x" is not an IP address`,
	} {
		path := filepath.Join(t.TempDir(), "l.csv")
		writeText(t, path, text)
		if _, err := OpenWindowLabels(path, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", text, err, want)
		}
	}
}

func FuzzWindowLabels(f *testing.F) {
	f.Add("1;0\n2;1\n3;scan\n")
	f.Add("id,attack,start,end\n1,scan,11,12.5\n")
	f.Add("#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tduration\tx   label   detailed-label\n1.5\t10.0.0.1\t1\t10.0.0.2\t2\ttcp\t3\t-   a   b\n")
	f.Add("src,src_port,dst,dst_port,protocol,label\n[::1]:5,,::2,80,6,\"bot, net\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseWindowLabels("labels", strings.NewReader(text), nil)
		if err != nil {
			return
		}
		known := map[int]bool{0: true}
		for _, a := range l.Attacks() {
			if a.ID < 1 || a.Name == "" || known[a.ID] {
				t.Errorf("attack %+v of %v", a, l.Attacks())
			}
			known[a.ID] = true
		}
		key := keyBetween(t, "10.0.0.1:1", "10.0.0.2:2", packet.TCP)
		for n := range uint64(4) {
			nanos := int64(n) * second
			id := l.Attack(n, nanos, key)
			if !known[id] {
				t.Errorf("packet %d belongs to attack %d, which is none of %v", n, id, l.Attacks())
			}
			if l.intervals != nil {
				if want := slowDuring(l, nanos); id != want {
					t.Errorf("at %d: attack %d, want %d", nanos, id, want)
				}
			}
		}
		l.Finish()
	})
}

// slowDuring is during without what it keeps.
func slowDuring(l *WindowLabels, nanos int64) int {
	for _, in := range l.intervals {
		if nanos >= in.start && nanos <= in.end {
			return in.id
		}
	}
	return 0
}
