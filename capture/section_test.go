package capture

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSectionRoundTrip(t *testing.T) {
	for _, want := range []Section{{}, {Comment: "what\nand why"}, {Interface: "eth0", SnapLen: 96}, {strings.Repeat("x", 65535), "any", 262144}} {
		var b bytes.Buffer
		w := NewWriter(&b)
		w.Section = want
		if err := w.Write(&Packet{Nanos: 1, Data: frame(60, 1), WireLen: 60, Link: 1}); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "x.pcapng")
		if err := os.WriteFile(file, b.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := ReadSection(file)
		if err != nil || got != want {
			t.Errorf("got %.40q, %q, %d, want %.40q, %q, %d; %v", got.Comment, got.Interface, got.SnapLen, want.Comment, want.Interface, want.SnapLen, err)
		}
		if packets, faults := readAll(t, file); len(packets) != 1 || len(faults) > 0 {
			t.Errorf("%d packets, %v", len(packets), faults)
		}
	}
}

// readAll reads a capture whole.
func readAll(t *testing.T, file string) (packets []Packet, faults []Fault) {
	t.Helper()
	r, err := Open([]string{file})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var batch [16]Packet
	for {
		n, err := r.Read(batch[:])
		packets = append(packets, batch[:n]...)
		if err != nil {
			return packets, r.Faults()
		}
	}
}

func FuzzReadSection(f *testing.F) {
	var b bytes.Buffer
	w := NewWriter(&b)
	w.Section = Section{"comment", "eth0", 96}
	w.Write(&Packet{Nanos: 1, Data: frame(60, 1), WireLen: 60, Link: 1})
	w.Flush()
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:50])
	f.Add([]byte{0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 28})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readSection(bytes.NewReader(data))
		if err == nil && len(s.Comment)+len(s.Interface) > len(data) {
			t.Fatalf("%d bytes say %d", len(data), len(s.Comment)+len(s.Interface))
		}
	})
}
