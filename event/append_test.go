package event

import (
	"bytes"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

// encoded returns the line that encoding/json makes, which is what append is measured by.
func encoded(e *Event) (string, error) {
	var out bytes.Buffer
	w := NewWriter(&out)
	err := w.enc.Encode(line{Timestamp: Time(e.Nanos), Type: e.Type, Tuple: e.Tuple, Label: e.Label, Flow: e.Flow, Window: e.Window, Alert: e.Alert, Stats: e.Stats})
	err = errors.Join(err, w.Flush())
	return out.String(), err
}

// FuzzAppend wants that labels and flows come out byte for byte as encoding/json has them.
func FuzzAppend(f *testing.F) {
	f.Add("https", "idle_timeout", int64(1_748_736_000_123_456_789), int64(-1), uint64(7), uint16(443), 0.5, true)
	f.Add("<b>\"\\&é\x00\xff\u2028", "", int64(math.MinInt64), int64(math.MaxInt64), uint64(math.MaxUint64), uint16(0), 1e-7, false)
	f.Add("x", "y", int64(999_999_999), int64(1_000_000_000), uint64(0), uint16(1), math.Inf(1), true)
	f.Fuzz(func(t *testing.T, text, other string, nanos, start int64, n uint64, port uint16, v float64, yes bool) {
		tuple := &Tuple{FlowID: n, CommunityID: other, SrcIP: text, SrcPort: port, DestIP: other, DestPort: ^port, Proto: text}
		flow := &Flow{
			PacketsToServer: n, PacketsToClient: n / 2, BytesToServer: n / 3, BytesToClient: n / 5, IPToServer: n / 7, IPToClient: n / 11,
			PayloadToServer: n / 13, PayloadToClient: n / 17, Start: Time(start), End: Time(nanos), Reason: other, App: text, Novel: yes,
		}
		if yes {
			flow.Confidence, flow.LabelSource, flow.LabelPackets, flow.Model = &v, other, int(n), text
		}
		for _, e := range []*Event{
			{Nanos: nanos, Type: TypeLabel, Tuple: tuple, Label: &Label{text, v, other, int(n), yes, text, nil}},
			{Nanos: nanos, Type: TypeFlow, Tuple: tuple, Flow: flow},
		} {
			var out bytes.Buffer
			w := NewWriter(&out)
			for range 2 { // the second time, the second is known
				if !w.append(e) {
					if _, err := encoded(e); err == nil {
						t.Fatalf("%+v was not appended", e)
					}
					break
				}
				if want, err := encoded(e); string(w.line) != want || err != nil {
					t.Fatalf("got  %s\nwant %s%v", w.line, want, err)
				}
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	e := &Event{
		Nanos: 1_748_736_000_123_456_789, Type: TypeFlow,
		Tuple: &Tuple{FlowID: 1 << 50, CommunityID: "1:3x03LApeMwf2ZXv2jiJMGKnYCIg=", SrcIP: "10.77.0.12", SrcPort: 48459, DestIP: "10.77.0.5", DestPort: 53, Proto: "UDP"},
		Flow:  &Flow{PacketsToServer: 1, PacketsToClient: 1, BytesToServer: 100, BytesToClient: 104, Start: 1_748_736_000_000_000_000, End: 1_748_736_000_123_456_789, Reason: "idle_timeout"},
	}
	w := NewWriter(io.Discard)
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			if err := w.Write(e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		for b.Loop() {
			if err := w.enc.Encode(line{Timestamp: Time(e.Nanos), Type: e.Type, Tuple: e.Tuple, Label: e.Label, Flow: e.Flow, Window: e.Window, Alert: e.Alert, Stats: e.Stats}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestWriteDoesNotAllocate(t *testing.T) {
	e := &Event{Type: TypeFlow, Tuple: &Tuple{CommunityID: "1:x", SrcIP: "10.0.0.1", Proto: "UDP"}, Flow: &Flow{Reason: "idle_timeout"}}
	w := NewWriter(io.Discard)
	if n := testing.AllocsPerRun(100, func() { w.Write(e) }); n != 0 {
		t.Errorf("a flow allocates %v times", n)
	}
}

func BenchmarkOfFlow(b *testing.B) {
	f := &flow.Flow{Key: flow.Key{Src: packet.Addr{10, 0, 0, 1}, Dst: packet.Addr{198, 18, 200, 200}, SrcPort: 50_000, DstPort: 443, Version: 4, Proto: packet.TCP, Kind: flow.Ports}}
	b.ReportAllocs()
	for b.Loop() {
		OfFlow(f, "", "")
	}
}
