package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

func TestLines(t *testing.T) {
	tuple := &Tuple{FlowID: 7, CommunityID: "1:x", SrcIP: "10.0.0.1", SrcPort: 1024, DestIP: "10.0.0.2", DestPort: 53, Proto: "UDP"}
	score := 1.5
	window := Window{Start: 1_500_000_000, Length: 0.5, Packets: 3, Score: &score, Threshold: 1, Anomalous: true, Lost: 0, Model: "normal@1"}
	for _, c := range []struct {
		event Event
		want  string
	}{
		{Event{Nanos: 1_000_001_000, Type: TypeLabel, Tuple: tuple, Label: &Label{App: `<b>"`, Confidence: 0.5, Source: "flow", Packets: 2, Model: "apps@1"}},
			`{"timestamp":"1970-01-01T00:00:01.000001Z","event_type":"label","flow_id":7,"community_id":"1:x","src_ip":"10.0.0.1","src_port":1024,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP","label":{"app":"\u003cb\u003e\"","confidence":0.5,"source":"flow","packets":2,"novel":false,"model":"apps@1"}}`},
		{Event{Type: TypeWindow, Window: &window},
			`{"timestamp":"1970-01-01T00:00:00.000000Z","event_type":"window","window":{"start":"1970-01-01T00:00:01.500000Z","length":0.5,"packets":3,"score":1.5,"threshold":1,"anomalous":true,"lost":0,"model":"normal@1"}}`},
		{Event{Type: TypeAlert, Alert: &Alert{Window: window, Features: []Feature{{Name: "syn", Observed: 9, Expected: 1, Share: 1.5}}}},
			`{"timestamp":"1970-01-01T00:00:00.000000Z","event_type":"alert","alert":{"start":"1970-01-01T00:00:01.500000Z","length":0.5,"packets":3,"score":1.5,"threshold":1,"anomalous":true,"lost":0,"model":"normal@1","features":[{"name":"syn","observed":9,"expected":1,"share":1.5}],"top":{"src_ips":null,"dest_ips":null,"dest_ports":null},"evidence":{"start":"1970-01-01T00:00:00.000000Z","end":"1970-01-01T00:00:00.000000Z"}}}`},
		{Event{Type: TypeWindow, Window: &Window{Length: 5, Threshold: 1, Model: "paper@1"}}, // not scored
			`{"timestamp":"1970-01-01T00:00:00.000000Z","event_type":"window","window":{"start":"1970-01-01T00:00:00.000000Z","length":5,"packets":0,"score":null,"threshold":1,"anomalous":false,"lost":0,"model":"paper@1"}}`},
	} {
		var out bytes.Buffer
		w := NewWriter(&out)
		if err := errors.Join(w.Write(&c.event), w.Flush()); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(out.String(), "\n"); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.event.Type, got, c.want)
		}
	}
}

func TestOfFlow(t *testing.T) {
	f := flow.Flow{
		Start: 1, Last: 2_000_000_000, Packets: [2]uint64{3, 2}, Bytes: [2]uint64{300, 200},
		Key:    flow.Key{Src: packet.Addr{10, 0, 0, 1}, Dst: packet.Addr{10, 0, 0, 2}, SrcPort: 5, DstPort: 443, Version: 4, Proto: packet.TCP, Kind: flow.Ports},
		Reason: flow.IdleTimeout, Label: flow.Label{Class: 0, Confidence: 0.25, Source: flow.FromFlow, Packets: 3},
	}
	e := OfFlow(&f, "tls", "apps@1")
	if e.Tuple.FlowID != f.ID()&(1<<53-1) || f.ID()>>53 == 0 {
		t.Errorf("flow_id is %d of %d, want what is below 2^53", e.Tuple.FlowID, f.ID())
	}
	if e.Flow.App != "tls" || *e.Flow.Confidence != 0.25 || e.Flow.Reason != "idle_timeout" || e.Flow.PacketsToServer != 3 {
		t.Errorf("got %+v", e.Flow)
	}
	if e.Flow.LabelSource != "flow" || e.Flow.LabelPackets != 3 || e.Flow.Model != "apps@1" {
		t.Errorf("the label is told as %+v", e.Flow)
	}
	line, err := json.Marshal(OfFlow(&f, "", "").Flow)
	if err != nil || bytes.Contains(line, []byte("app")) || bytes.Contains(line, []byte("confidence")) || bytes.Contains(line, []byte("label")) {
		t.Errorf("a flow without label shows one: %s, %v", line, err)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestTimeReadsBack(t *testing.T) {
	for _, want := range []Time{0, 1_500_000_000, -1000, 4e18, -4e18} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Time
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%s reads back as %d, want %d, %v", text, got, want, err)
		}
	}
	var got Time
	for _, bad := range []string{`""`, `"yesterday"`, `7`, `null1`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s reads as a time", bad)
		}
	}
}

func TestWriterKeepsFirstError(t *testing.T) {
	w := NewWriter(failing{})
	for range 1000 {
		w.Write(&Event{Type: TypeStats, Stats: &Stats{}})
	}
	if err := w.Flush(); err == nil || err.Error() != "disk full" {
		t.Errorf("Flush: got %v, want disk full", err)
	}
}
