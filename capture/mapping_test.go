//go:build linux && (amd64 || arm64)

package capture

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mapped opens a file that must be mapped, step bytes of it at a time.
func mapped(t testing.TB, path string, step int) *file {
	t.Helper()
	f := openFile(path, new([]byte))
	if f.window.mapping == nil {
		f.close()
		t.Skip("no lease to be had here: the file is read")
	}
	f.window.mapping.step = step
	return f
}

// checkMapped reads a capture that it writes to path in both ways.
func checkMapped(t *testing.T, path string, data []byte, step int) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	f := mapped(t, path, step)
	defer f.close()
	var packets []got
	batch := make([]Packet, 3)
	n, end := f.read(batch)
	for ; n > 0; n, end = f.read(batch) {
		for i := range batch[:n] {
			packets = append(packets, keep(&batch[i]))
		}
	}
	want, wantOffset, _, wantEnd := readBytes(data, windowSize, 1<<20)
	if !slices.Equal(packets, want) || f.offset != wantOffset || end.Error() != wantEnd.Error() {
		t.Errorf("mapped: %d packets, then offset %d %v\nread: %d packets, then offset %d %v",
			len(packets), f.offset, end, len(want), wantOffset, wantEnd)
	}
}

// TestMappedEqualsRead reads captures, whole, cut and damaged anywhere, in both ways.
func TestMappedEqualsRead(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	path := filepath.Join(t.TempDir(), "x.pcap")
	packets := corpus(300)
	for _, data := range [][]byte{pcapBytes(t, packets), pcapngBytes(t, packets)} {
		for trial := range 60 {
			b := slices.Clone(data[:len(data)-r.IntN(2)*r.IntN(len(data)-8)])
			if trial%3 == 1 {
				b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
			}
			checkMapped(t, path, b, 1+r.IntN(2000))
		}
	}
}

// TestTruncatedWhileMapped checks that somebody who truncates the file has to wait until the bytes
// in use are copied, and that what is then read is what is left.
func TestTruncatedWhileMapped(t *testing.T) {
	var b bytes.Buffer
	b.Write((&builder{order: binary.LittleEndian}).pcapHeader(0xa1b2c3d4, 1).b)
	one := (&builder{order: binary.LittleEndian}).record(1, 0, frame(1000, 1), 1000).b
	for range 1000 {
		b.Write(one)
	}
	for _, test := range []struct {
		name    string
		size    int64
		packets int
		fault   string
	}{
		{"to a record's end", 24 + 500*1016, 500, ""},
		{"into a record", 24 + 500*1016 + 100, 500, "offset 508024: cut short: a record of at least 1016 bytes has only 100"},
		{"to nothing", 0, 2, "offset 2056: cut short: a record of at least 1016 bytes has only 992"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, t.TempDir(), "x.pcap", b.Bytes())
			f := mapped(t, path, 3*1016)
			defer f.close()
			batch := make([]Packet, 100)
			n, _ := f.read(batch)
			if n != 2 {
				t.Fatalf("%d packets at first, want those of the first step", n)
			}
			if err := os.Truncate(path, test.size); err != nil { // waits for leaseCheck
				t.Fatal(err)
			}
			for i := range batch[:n] {
				if !bytes.Equal(batch[i].Data, frame(1000, 1)) {
					t.Fatalf("packet %d changed while it was in use", i)
				}
			}
			packets, end := n, error(nil)
			for n > 0 {
				n, end = f.read(batch)
				packets += n
			}
			fault := ""
			if end != io.EOF {
				fault = Fault{Offset: f.offset, Err: end}.Error()
			}
			if packets != test.packets || !strings.HasSuffix(fault, test.fault) {
				t.Errorf("%d packets, then %q, want %d, then %q", packets, fault, test.packets, test.fault)
			}
		})
	}
}

// TestTruncatedWhileReading has a file truncated under a reader that goes on.
func TestTruncatedWhileReading(t *testing.T) {
	data := pcapBytes(t, corpus(20_000))
	path := write(t, t.TempDir(), "x.pcap", data)
	f := mapped(t, path, 1000)
	defer f.close()
	truncated := make(chan error, 1)
	batch := make([]Packet, 100)
	packets, sum := 0, 0
	for {
		n, _ := f.read(batch)
		if packets == 0 {
			go func() { truncated <- os.Truncate(path, 0) }()
		}
		if n == 0 {
			break
		}
		packets += n
		for i := range batch[:n] {
			for _, c := range batch[i].Data {
				sum += int(c)
			}
		}
	}
	if err := <-truncated; err != nil || packets == 0 || sum == 0 {
		t.Errorf("%d packets, truncation: %v; want some, nil", packets, err)
	}
}

// TestAppendedWhileMapped checks that a file to which somebody adds is read to its new end.
func TestAppendedWhileMapped(t *testing.T) {
	data := pcapOf(1, 2, 3)
	path := write(t, t.TempDir(), "x.pcap", data)
	f := mapped(t, path, 60)
	defer f.close()
	batch := make([]Packet, 1)
	if n, err := f.read(batch); n != 1 {
		t.Fatalf("read = %d, %v; want a packet", n, err)
	}
	appended := make(chan error, 1)
	go func() {
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = out.Write(pcapOf(4, 5)[24:])
			out.Close()
		}
		appended <- err
	}()
	time.Sleep(2 * leaseCheck)
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	seconds := []int64{batch[0].Nanos / second}
	for {
		n, err := f.read(batch)
		if n == 0 {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
		seconds = append(seconds, batch[0].Nanos/second)
	}
	if !slices.Equal(seconds, []int64{1, 2, 3, 4, 5}) {
		t.Errorf("got packets of seconds %v, want 1 to 5", seconds)
	}
}

// TestWrittenFilesAreNotMapped: a file that somebody holds open for writing may be truncated at any
// time.
func TestWrittenFilesAreNotMapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pcap")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	out.Write(pcapOf(1, 2))
	f := openFile(path, new([]byte))
	defer f.close()
	if f.window.mapping != nil {
		t.Error("a file that is being written was mapped")
	}
	if n, err := f.read(make([]Packet, 9)); n != 2 {
		t.Errorf("read = %d, %v; want 2 packets", n, err)
	}
}

// FuzzMapped reads any bytes in both ways: see TestMappedEqualsRead.
func FuzzMapped(f *testing.F) {
	packets := corpus(5)
	f.Add(pcapBytes(f, packets), uint8(100))
	f.Add(pcapngBytes(f, packets), uint8(100))
	path := filepath.Join(f.TempDir(), "x.pcap")
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		if len(data) < 4 || bytes.HasPrefix(data, []byte{0x1f, 0x8b}) || bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			return // nothing to map
		}
		checkMapped(t, path, data, int(step)+1)
	})
}
