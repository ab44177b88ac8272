package capture

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/pcapgo"
)

// written returns what a Writer makes of packets.
func written(t testing.TB, packets []Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for i := range packets {
		if err := w.Write(&packets[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWriterRoundTrip(t *testing.T) {
	packets := []Packet{
		{Nanos: 1700000000123456789, Data: frame(60, 1), WireLen: 60, Link: 1},
		{Nanos: 0, Data: frame(61, 2), WireLen: 1500, Link: 101, Comment: AppendProcess(nil, "curl", 7)},
		{Nanos: math.MaxInt64, Data: nil, WireLen: 0, Link: 1},
		{Nanos: 1, Data: frame(262144, 3), WireLen: 262144, Link: 65535, Comment: bytes.Repeat([]byte("x"), 65535)},
		{Nanos: 2, Data: frame(63, 4), WireLen: 10, Link: 101},
	}
	data := written(t, packets)
	var want []got
	for i := range packets {
		want = append(want, keep(&packets[i]))
	}
	want[4].WireLen = 63 // never less than what was captured
	packetsRead, _, _, end := readBytes(data, windowSize, 1<<20)
	if end != io.EOF || !slices.Equal(packetsRead, want) {
		t.Errorf("read back: %v, %d packets, want io.EOF and the %d written", end, len(packetsRead), len(want))
	}

	// pcapgo (github.com/gopacket/gopacket) is the oracle; it does not give comments.
	r, err := pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		data, info, err := r.ReadPacketData()
		if err != nil {
			t.Fatalf("pcapgo: packet %d: %v", i, err)
		}
		if string(data) != w.Data || info.Timestamp.UnixNano() != w.Nanos || info.Length != w.WireLen {
			t.Errorf("pcapgo: packet %d: %d bytes of %d at %d, want %d of %d at %d", i, len(data), info.Length, info.Timestamp.UnixNano(), len(w.Data), w.WireLen, w.Nanos)
		}
	}
}

func TestWriterWithoutPackets(t *testing.T) {
	if packets, _, _, end := readBytes(written(t, nil), windowSize, 1<<20); end != io.EOF || packets != nil {
		t.Errorf("read back: %v, %d packets; want io.EOF and none", end, len(packets))
	}
}

func TestWriterRefuses(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, test := range []struct {
		packet Packet
		want   string
	}{
		{Packet{Nanos: -1}, "capture: packet from before 1970 cannot be written"},
		{Packet{Data: make([]byte, 262145), Link: 1}, "capture: packet of 262145 bytes cannot be written: readers allow 262144"},
		{Packet{Comment: make([]byte, 65536)}, "capture: comment of 65536 bytes cannot be written: pcapng allows 65535"},
		{Packet{Link: 65536}, "capture: link type 65536 cannot be written: pcapng allows 65535"},
	} {
		if err := w.Write(&test.packet); err == nil || err.Error() != test.want {
			t.Errorf("Write = %v, want %q", err, test.want)
		}
	}
	if w.Flush(); b.Len() != 28 {
		t.Errorf("refused packets left %d bytes in the file, want the 28 of the section header", b.Len())
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriterError(t *testing.T) {
	w := NewWriter(brokenDisk{})
	p := Packet{Data: make([]byte, 100_000), Link: 1}
	if err := w.Write(&p); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("Write = %v, want disk full", err)
	}
	if err := w.Flush(); err == nil {
		t.Error("Flush after a failed Write = nil, want the error")
	}
}
