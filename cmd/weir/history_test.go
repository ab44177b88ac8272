package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/sensor"
	"github.com/weirnet/weir/store"
	"github.com/weirnet/weir/store/storetest"
)

// scriptSameFlows wants two files to have the same events of flows, in whatever order:
// sameflows FILE FILE
func scriptSameFlows(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "sameflows FILE FILE")
	var flows [2][]string
	for i := range flows {
		for line := range strings.Lines(ts.ReadFile(args[i])) {
			if strings.Contains(line, `"event_type":"flow"`) {
				flows[i] = append(flows[i], line)
			}
		}
		slices.Sort(flows[i])
	}
	if len(flows[0]) == 0 || len(flows[0]) != len(flows[1]) {
		ts.Fatalf("%s has %d flows, %s %d", args[0], len(flows[0]), args[1], len(flows[1]))
	}
	for i := range flows[0] {
		if flows[0][i] != flows[1][i] {
			ts.Fatalf("a flow of %s is\n%sone of %s\n%s", args[0], flows[0][i], args[1], flows[1][i])
		}
	}
}

// scriptManyFlows writes a capture of so many flows of a packet each, over three hours:
// manyflows FILE N
func scriptManyFlows(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "manyflows FILE N")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	file, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	w := bufio.NewWriter(file)
	le := binary.LittleEndian
	header := le.AppendUint32(nil, 0xa1b2c3d4)
	header = le.AppendUint16(le.AppendUint16(header, 2), 4)
	for _, v := range []uint32{0, 0, 65535, 101} { // raw IP
		header = le.AppendUint32(header, v)
	}
	w.Write(header)
	for i := range n {
		micros := storetest.Start/1000 + int64(i)*(3*3600*1e6)/int64(n)
		packet := []byte{0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, byte(i >> 8), byte(i), 192, 0, 2, byte(i % 7)}
		packet = binary.BigEndian.AppendUint16(packet, uint16(1024+i%60000))
		packet = binary.BigEndian.AppendUint16(packet, 53)
		packet = append(packet, 0, 12, 0, 0, 1, 2, 3, 4)
		record := le.AppendUint32(nil, uint32(micros/1e6))
		record = le.AppendUint32(record, uint32(micros%1e6))
		record = le.AppendUint32(le.AppendUint32(record, uint32(len(packet))), uint32(len(packet)))
		w.Write(append(record, packet...))
	}
	ts.Check(w.Flush())
	ts.Check(file.Close())
}

// scriptBreakRuns runs weir run on a capture again and again, and breaks it off at random moments: by
// SIGKILL and by an interrupt, in turn. A history that is whole is begun anew: breakruns N CAPTURE STORE [FLAG…]
func scriptBreakRuns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: breakruns N CAPTURE STORE [FLAG…]")
	}
	times, err := strconv.Atoi(args[0])
	ts.Check(err)
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	broken := 0
	for i := range times {
		cmd, stderr := start(ts, append([]string{"weir", "run", "-r", args[1], "--store", args[2], "--workers", "1"}, args[3:]...))
		time.Sleep(time.Duration(r.Int64N(int64(400 * time.Millisecond))))
		signal := os.Signal(os.Interrupt)
		if i%2 == 0 {
			signal = syscall.SIGKILL
		}
		cmd.Process.Signal(signal)
		cmd.Wait()
		ts.Logf("%v: %s", cmd.ProcessState, stderr)
		if !cmd.ProcessState.Success() {
			broken++
		} else {
			ts.Check(os.RemoveAll(ts.MkAbs(args[2]))) // it came to its end: begin anew
		}
	}
	if broken == 0 {
		ts.Fatalf("no run was broken off")
	}
}

// scriptHalfway feeds weir run a capture through a pipe, and looks at its history before the end: alerts are there, and
// no other process may write: halfway CAPTURE STORE
func scriptHalfway(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "halfway CAPTURE STORE")
	data, err := os.ReadFile(args[0])
	ts.Check(err)
	read, write, err := os.Pipe()
	ts.Check(err)
	cmd, stderr := startWith(ts, read, []string{"weir", "run", "-r", "-", "--anomaly", "anomaly", "--store", args[1]})
	ts.Check(read.Close())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	_, err = write.Write(data[:len(data)*9/10])
	ts.Check(err)
	seen := poll(ended, func() bool {
		s, err := store.Open(ts.MkAbs(args[1]))
		if err != nil {
			return false
		}
		defer s.Close()
		info, err := s.Info(context.Background())
		return err == nil && info.Alerts > 0
	})
	if !seen {
		ts.Fatalf("the run ended before it had alerts:\n%s", stderr)
	}
	if _, err := store.Create(ts.MkAbs(args[1]), store.Options{}); err == nil {
		ts.Fatalf("a second writer is let in")
	}
	_, err = write.Write(data[len(data)*9/10:])
	ts.Check(err)
	ts.Check(write.Close())
	if err := <-ended; err != nil {
		ts.Fatalf("%v:\n%s", err, stderr)
	}
}

// Strings from the network and from users cannot move a terminal's cursor.
func TestHistoryIsPrintable(t *testing.T) {
	const evil = "\x1b[2J\u202e\u0007"
	sure, score := 0.5, 2.0
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	flow := store.Flow{
		Tuple: event.Tuple{SrcIP: evil, DestIP: evil, Proto: evil},
		Flow:  event.Flow{App: evil, Confidence: &sure, Novel: true},
	}
	if err := printFlow(w, &flow); err != nil || w.Flush() != nil {
		t.Fatal(err)
	}
	printTop(&out, "application", &store.Top{Totals: []store.Total{{Name: evil, Bytes: 1}, {Name: evil, Novel: true}, {}}, Rest: store.Total{Flows: 1, Bytes: 1 << 40}})
	alert := store.Alert{Triage: store.Triage{Verdict: store.Dismissed, Note: evil, Who: evil}, Alert: event.Alert{
		Window: event.Window{Score: &score, Model: evil}, Features: []event.Feature{{Name: evil, Share: 2}},
		Top: event.Top{Sources: []event.Count{{Name: evil}}}, Evidence: event.Evidence{How: evil},
	}}
	if err := showAlert(&out, &alert); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(sensor.Explain(&alert.Alert), evil) == false {
		t.Fatal("the alert says nothing evil")
	}
	for _, r := range out.String() {
		if r != '\n' && string(r) != printable(string(r)) {
			t.Fatalf("%q in\n%q", r, out.String())
		}
	}
}

func TestParsePast(t *testing.T) {
	const newest = int64(1_795_305_600_000_000_000)
	hour := int64(time.Hour)
	for text, want := range map[string]int64{
		"": 0, "0s": newest, "90m": newest - 3*hour/2, "7d": newest - 7*24*hour, "1.5d": newest - 36*hour,
		"1970-01-01T00:00:01Z": 1e9, "2026-11-22T01:00:00.5+01:00": 1_795_305_600_500_000_000,
	} {
		if got, err := parsePast("since", text, newest); got != want || err != nil {
			t.Errorf("%q is %d, want %d; %v", text, got, want, err)
		}
	}
	for _, text := range []string{"d", "-1h", "-1d", "NaNd", "1e300d", "2026", "1h2", "0001-01-01T00:00:00Z"} {
		if got, err := parsePast("since", text, newest); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func TestHistoryAge(t *testing.T) {
	for _, test := range []struct {
		days int
		want time.Duration
	}{{0, 0}, {30, 720 * time.Hour}, {106_751, 106_751 * 24 * time.Hour}, {106_752, 106_751 * 24 * time.Hour}, {213_504, 106_751 * 24 * time.Hour}, {math.MaxInt, 106_751 * 24 * time.Hour}} {
		if got := (&history{days: test.days}).age(); got != test.want {
			t.Errorf("%d days: got %v, want %v", test.days, got, test.want)
		}
	}
}
