package capture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

var bothOrders = map[string]order{"little endian": binary.LittleEndian, "big endian": binary.BigEndian}

func TestFormats(t *testing.T) {
	a, b := frame(60, 1), frame(77, 2)
	type maker func(f *builder)
	two := func(na, nb int64) []got {
		return []got{{na, 60, 1, string(a), ""}, {nb, 1500, 1, string(b), ""}}
	}
	tests := []struct {
		name string
		make maker
		want []got
	}{
		{"pcap in microseconds", func(f *builder) {
			f.pcapHeader(0xa1b2c3d4, 1).record(10, 999999, a, 60).record(11, 0, b, 1500)
		}, two(10_999999000, 11e9)},
		{"pcap in nanoseconds", func(f *builder) {
			f.pcapHeader(0xa1b23c4d, 1).record(10, 999999999, a, 60).record(1<<32-1, 1, b, 1500)
		}, two(10_999999999, (1<<32-1)*1e9+1)},
		{"modified pcap", func(f *builder) {
			f.pcapHeader(0xa1b2cd34, 1)
			f.u32(10, 5, 60, 60, 2).u16(0x800).bytes(0, 0).bytes(a...)
			f.u32(11, 6, 77, 1500, 2).u16(0x800).bytes(4, 0).bytes(b...)
		}, two(10_000005000, 11_000006000)},
		{"Ixia pcap", func(f *builder) {
			f.pcapHeader(0x1c0001ac, 1).u32(169).record(10, 5, a, 60).record(11, 6, b, 1500)
		}, two(10_000000005, 11_000000006)},
		{"pcap 2.2, wire length first", func(f *builder) {
			f.u32(0xa1b2c3d4).u16(2, 2).u32(0, 0, 65535, 1)
			f.u32(10, 0, 60, 60).bytes(a...).u32(11, 0, 1500, 77).bytes(b...)
		}, two(10e9, 11e9)},
		{"pcap 2.3, lengths in either order", func(f *builder) {
			f.u32(0xa1b2c3d4).u16(2, 3).u32(0, 0, 65535, 1)
			f.u32(10, 0, 60, 60).bytes(a...).u32(11, 0, 1500, 77).bytes(b...)
		}, two(10e9, 11e9)},
		{"AIX", func(f *builder) {
			f.u32(0xa1b2c3d4).u16(2, 2).u32(0, 0, 65535, 6)
			f.u32(10, 7, 60, 60).bytes(a...).u32(11, 8, 1500, 77).bytes(b...)
		}, two(10_000000007, 11_000000008)},
		{"link type below the length of the frame check sequence", func(f *builder) {
			f.pcapHeader(0xa1b2c3d4, 0x24000001).record(10, 0, a, 60).record(11, 0, b, 1500)
		}, two(10e9, 11e9)},
		{"captured more than there was", func(f *builder) {
			f.pcapHeader(0xa1b2c3d4, 101).record(10, 0, a, 20)
		}, []got{{10e9, 60, 101, string(a), ""}}},
		{"only a file header", func(f *builder) { f.pcapHeader(0xa1b2c3d4, 1) }, nil},
		{"empty packet", func(f *builder) {
			f.pcapHeader(0xa1b2c3d4, 1).record(10, 0, nil, 0)
		}, []got{{10e9, 0, 1, "", ""}}},

		{"only a section", func(f *builder) { f.section() }, nil},
		{"enhanced packets", func(f *builder) {
			f.section().netInterface(1, 0, nil).enhanced(0, 10_000001, a, 60, nil).enhanced(0, 11_000002, b, 1500, nil)
		}, two(10_000001000, 11_000002000)},
		{"simple packets have the time of the packet before", func(f *builder) {
			f.section().netInterface(1, 77, nil)
			f.block(blockSimple, f.body().u32(60).bytes(a...).b)
			f.enhanced(0, 10_000001, a, 60, nil)
			f.block(blockSimple, f.body().u32(1500).bytes(b...).b)
		}, append([]got{{0, 60, 1, string(a), ""}}, two(10_000001000, 10_000001000)...)},
		{"obsolete packets", func(f *builder) {
			f.section().netInterface(1, 0, nil)
			f.block(blockPacket, f.body().u16(0, 3).u32(0, 10_000000, 60, 60).bytes(a...).b)
			f.block(blockPacket, f.body().u16(0, 3).u32(0, 11_000000, 77, 1500).bytes(b...).b)
		}, two(10e9, 11e9)},
		{"interfaces with clocks of their own", func(f *builder) {
			f.section()
			f.netInterface(1, 0, f.body().option(optTsresol, 9).option(optEnd).b)
			f.netInterface(101, 0, f.body().option(optTsresol, 0x80|20).b)
			f.netInterface(113, 0, f.body().option(2, 'e', 't', 'h', '0').option(optTsresol, 3).
				option(optTsoffset, f.AppendUint64(nil, 1000)...).option(optEnd).b)
			f.enhanced(2, 10_005, a, 60, nil)
			f.enhanced(0, 11_000000001, a, 60, nil)
			f.enhanced(1, 12<<20|1<<19, a, 60, nil)
		}, []got{
			{1010_005000000, 60, 113, string(a), ""},
			{11_000000001, 60, 1, string(a), ""},
			{12_500000000, 60, 101, string(a), ""},
		}},
		{"comments", func(f *builder) {
			f.section().netInterface(1, 0, f.body().option(optComment, []byte("not a packet's")...).option(optEnd).b)
			f.enhanced(0, 1, a, 60, f.body().option(2, 0, 0, 0, 1).option(optComment, []byte("first")...).option(optComment, []byte("second")...).option(optEnd).b)
			f.enhanced(0, 2, a, 60, f.body().option(optComment, []byte("without end")...).b)
			f.enhanced(0, 3, a, 60, f.body().option(optEnd).option(optComment, []byte("behind the end")...).b)
		}, []got{
			{1000, 60, 1, string(a), "first"},
			{2000, 60, 1, string(a), "without end"},
			{3000, 60, 1, string(a), ""},
		}},
		{"other blocks are passed over", func(f *builder) {
			f.section().block(0xbad, frame(500_000, 9)).netInterface(1, 0, nil).block(5, nil)
			f.enhanced(0, 10_000000, a, 60, nil).block(0x40000bad, frame(5, 9)).enhanced(0, 11_000000, b, 1500, nil).block(4, nil)
		}, two(10e9, 11e9)},
		{"sections of both byte orders", func(f *builder) {
			f.section().netInterface(1, 0, nil).enhanced(0, 10_000000, a, 60, nil)
			other := &builder{order: order(binary.BigEndian)}
			if f.order == order(binary.BigEndian) {
				other.order = binary.LittleEndian
			}
			other.section().netInterface(101, 0, nil).netInterface(1, 0, nil).enhanced(1, 11_000000, b, 1500, nil)
			f.bytes(other.b...)
		}, two(10e9, 11e9)},
		{"block lengths without the padding", func(f *builder) {
			f.section().netInterface(1, 0, nil)
			body := f.body().u32(0, 0, 11_000000, 77, 1500).bytes(b...).b
			f.u32(blockEnhanced, uint32(len(body)+12)).bytes(body...).bytes(0, 0, 0).u32(uint32(len(body) + 12))
		}, two(10e9, 11e9)[1:]},
	}
	for _, test := range tests {
		for name, o := range bothOrders {
			t.Run(test.name+", "+name, func(t *testing.T) {
				f := &builder{order: o}
				test.make(f)
				for _, way := range []struct{ window, step int }{{0, 0}, {16, 1 << 20}, {100, 7}, {windowSize, 1 << 20}} {
					packets, _, _, end := readBytes(f.b, way.window, way.step)
					if end != io.EOF {
						t.Errorf("window of %d bytes: ended with %v, want io.EOF", way.window, end)
					}
					if !slices.Equal(packets, test.want) {
						t.Errorf("window of %d bytes: got %d packets\n%+v\nwant %d\n%+v", way.window, len(packets), packets, len(test.want), test.want)
					}
				}
			})
		}
	}
}

// pcapOf returns a pcap file with one packet for each time, in seconds.
func pcapOf(seconds ...uint32) []byte {
	f := (&builder{order: binary.LittleEndian}).pcapHeader(0xa1b2c3d4, 1)
	for _, s := range seconds {
		f.record(s, 0, frame(40, byte(s)), 40)
	}
	return f.b
}

// write puts a file into dir and returns its path.
func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

func zstded(data []byte) []byte {
	z, _ := zstd.NewWriter(nil)
	return z.EncodeAll(data, nil)
}

// times returns the packets' times in seconds.
func times(packets []got) (seconds []int) {
	for _, p := range packets {
		seconds = append(seconds, int(p.Nanos/1e9))
	}
	return seconds
}

func TestOpenOrdersFilesByFirstPacket(t *testing.T) {
	dir := t.TempDir()
	paths := []string{
		write(t, dir, "z", pcapOf(30, 31)),
		write(t, dir, "y", gzipped(pcapOf(10, 35))),
		write(t, dir, "x", zstded(pcapOf(20))),
		write(t, dir, "w", pcapOf()),
		write(t, dir, "v", pcapOf(10, 11)),
	}
	r, err := Open(paths)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	packets, faults := drain(t, r, 64)
	if want := []int{10, 35, 10, 11, 20, 30, 31}; !slices.Equal(times(packets), want) || faults != nil {
		t.Errorf("got times %v, faults %v; want %v and no fault", times(packets), faults, want)
	}
	var names []string
	for _, path := range r.Files() {
		names = append(names, filepath.Base(path))
	}
	if want := []string{"w", "y", "v", "x", "z"}; !slices.Equal(names, want) {
		t.Errorf("Files = %v, want %v", names, want)
	}
}

func TestBatchesDoNotSpanFiles(t *testing.T) {
	dir := t.TempDir()
	r, err := Open([]string{write(t, dir, "a", pcapOf(1, 2, 3)), write(t, dir, "b", pcapOf(4)), write(t, dir, "c", pcapOf(5, 6))})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var batches []string
	batch := make([]Packet, 2)
	for {
		n, err := r.Read(batch)
		if err == io.EOF {
			break
		}
		batches = append(batches, fmt.Sprintf("%s%d", filepath.Base(r.File()), n))
		if r.Waits() {
			t.Error("a file makes Read wait")
		}
	}
	if want := []string{"a2", "a1", "b1", "c2"}; !slices.Equal(batches, want) {
		t.Errorf("got batches %v, want %v", batches, want)
	}
}

func TestOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b/2.pcap", pcapOf(1))
	write(t, dir, "a/no-extension", pcapOf(1))
	write(t, dir, "a/unnamed-compressed", gzipped(pcapOf(1)))
	write(t, dir, "b/1.PCAPNG.zst", zstded(pcapOf(1)))
	write(t, dir, "labels.csv", []byte("file,label\n"))
	write(t, dir, "table.csv.gz", gzipped([]byte("file,label\n")))
	write(t, dir, "nothing", nil)
	write(t, dir, ".hidden.pcap", pcapOf(1))
	write(t, dir, ".hidden/3.pcap", pcapOf(1))
	write(t, dir, "c/text.pcap", []byte("file,label\n"))
	if err := os.Symlink(filepath.Join(dir, ".hidden.pcap"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	r, err := Open([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var names []string
	for _, path := range r.Files() {
		name, _ := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
	}
	// c/text.pcap has no first packet, so it comes first.
	want := []string{"c/text.pcap", "a/no-extension", "a/unnamed-compressed", "b/1.PCAPNG.zst", "b/2.pcap", "link"}
	if !slices.Equal(names, want) {
		t.Errorf("Files = %v, want %v", names, want)
	}
	packets, faults := drain(t, r, 64)
	if len(packets) != 5 {
		t.Errorf("got %d packets, want 5", len(packets))
	}
	if len(faults) != 1 || !strings.HasSuffix(faults[0], "text.pcap: offset 0: neither pcap nor pcapng: starts with 66 69 6c 65") {
		t.Errorf("got faults %q, want one about text.pcap", faults)
	}
}

// TestReadDoesNotWait checks that packets in a pipe are given out before the next arrive.
func TestReadDoesNotWait(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = stdin; in.Close(); out.Close() }()
	data := pcapOf(1, 2, 3)
	out.Write(data[:len(data)-1])
	r, err := Open([]string{"-"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	batch := make([]Packet, 8)
	if n, err := r.Read(batch[:1]); n != 1 || err != nil || r.Waits() {
		t.Fatalf("Read of one = %d, %v, waits %t with two and a half packets in the pipe; want 1, nil, false", n, err, r.Waits())
	}
	if n, err := r.Read(batch); n != 1 || err != nil || !r.Waits() {
		t.Fatalf("Read = %d, %v, waits %t with one and a half packets in the pipe; want 1, nil, true", n, err, r.Waits())
	}
	out.Write(data[len(data)-1:])
	if n, err := r.Read(batch); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v with one more packet; want 1, nil", n, err)
	}
}

func TestClose(t *testing.T) {
	dir := t.TempDir()
	r, err := Open([]string{write(t, dir, "a", pcapOf(1, 2, 3)), write(t, dir, "b", pcapOf(4))})
	if err != nil {
		t.Fatal(err)
	}
	r.Read(make([]Packet, 1))
	r.Close()
	if n, err := r.Read(make([]Packet, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read after Close = %d, %v; want 0, io.EOF", n, err)
	}
}

// Packets that are not wanted are counted and left out; a batch may then be empty.
func TestKeep(t *testing.T) {
	r, err := Open([]string{"../samples/tiny.pcap"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Keep(func(p *Packet) bool { return p.WireLen < 100 })
	batch := make([]Packet, 1)
	kept, empty := uint64(0), 0
	for {
		n, err := r.Read(batch)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range batch[:n] {
			if p.WireLen >= 100 {
				t.Errorf("a packet of %d bytes came through", p.WireLen)
			}
		}
		if kept += uint64(n); n == 0 {
			empty++
		}
	}
	if kept == 0 || r.LeftOut() == 0 || kept+r.LeftOut() != 135 || empty == 0 {
		t.Errorf("%d packets kept and %d left out of 135, %d empty batches", kept, r.LeftOut(), empty)
	}
}
