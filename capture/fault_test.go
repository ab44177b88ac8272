package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFaults has the message and the number of packets before it for every kind of damage. A
// star in a message stands for anything.
func TestFaults(t *testing.T) {
	le := func() *builder { return &builder{order: binary.LittleEndian} }
	a := frame(60, 1)
	one := func() *builder { return le().pcapHeader(0xa1b2c3d4, 1).record(1, 0, a, 60) }
	ng := func() *builder {
		f := le()
		return f.section().netInterface(1, 0, nil).enhanced(0, 1, a, 60, nil)
	}
	cut := func(b []byte, n int) []byte { return b[:len(b)-n] }
	tests := []struct {
		name    string
		data    []byte
		packets int
		want    string
	}{
		{"empty", nil, 0, "offset 0: empty file"},
		{"three bytes", []byte{1, 2, 3}, 0, "offset 0: neither pcap nor pcapng: 3 bytes in all"},
		{"text", []byte("file,label\n"), 0, "offset 0: neither pcap nor pcapng: starts with 66 69 6c 65"},
		{"pcap header cut", le().pcapHeader(0xa1b2c3d4, 1).b[:23], 0, "offset 0: cut short: the file header of 24 bytes has only 23"},
		{"pcap version", le().u32(0xa1b2c3d4).u16(1, 7).u32(0, 0, 0, 0).b, 0, "offset 0: pcap: version 1.7 is not known"},
		{"record header cut", one().bytes(1, 2, 3).b, 1, "offset 100: cut short: a record of at least 16 bytes has only 3"},
		{"record cut", cut(one().record(2, 0, a, 60).b, 1), 1, "offset 100: cut short: a record of at least 76 bytes has only 75"},
		{"record too large", one().u32(2, 0, 262145, 262145).b, 1, "offset 100: damaged: packet of 262145 bytes, more than the 262144 allowed"},
		{"largest record missing", one().u32(2, 0, 262144, 262144).b, 1, "offset 100: cut short: a record of at least 262160 bytes has only 16"},
		{"record of a USB capture may be larger", le().pcapHeader(0xa1b2c3d4, 249).u32(2, 0, 128<<20, 0).b, 0, "offset 24: cut short: a record of at least 134217744 bytes has only 16"},

		{"section cut", le().section().b[:27], 0, "offset 0: cut short: a record of at least 28 bytes has only 27"},
		{"byte order", le().u32(blockSection, 28, 7, 0, 0, 0, 28).b, 0, "offset 0: damaged: byte-order magic 07 00 00 00"},
		{"section version", le().u32(blockSection, 28, byteOrderMagic).u16(2, 0).u32(0, 0, 28).b, 0, "offset 0: pcapng: version 2.0 is not known"},
		{"section option", le().u32(blockSection, 32, byteOrderMagic).u16(1, 0).u32(0, 0).u16(2, 9).u32(32).b, 0, "offset 0: damaged: option of 9 bytes where there are 0"},
		{"block header cut", ng().u32(blockEnhanced).b, 1, "offset 140: cut short: a record of at least 12 bytes has only 4"},
		{"packet block cut", cut(ng().enhanced(0, 2, a, 60, nil).b, 4), 1, "offset 140: cut short: a record of at least 92 bytes has only 88"},
		{"other block cut", cut(ng().block(77, frame(300000, 0)).b, 2), 1, "offset 140: cut short: a record of at least 300012 bytes has only 300010"},
		{"block too small", ng().u32(blockEnhanced, 28, 0).b, 1, "offset 140: damaged: enhanced packet block of 28 bytes, possible are 32 to 134348832"},
		{"block too large", ng().u32(77, 1<<30, 0).b, 1, "offset 140: damaged: block of 1073741824 bytes, possible are 12 to 134348832"},
		{"trailer", ng().u32(77, 16, 0, 20).b, 1, "offset 140: damaged: a block of 16 bytes says 20 at its end"},
		{"packet trailer", append(cut(ng().enhanced(0, 2, a, 60, nil).b, 4), 1, 0, 0, 0), 1, "offset 140: damaged: a block of 92 bytes says 1 at its end"},
		{"interface unknown", ng().enhanced(1, 2, a, 60, nil).b, 1, "offset 140: damaged: packet of interface 1, the section has 1"},
		{"interfaces belong to the section", ng().section().enhanced(0, 2, a, 60, nil).b, 1, "offset 168: damaged: packet of interface 0, the section has 0"},
		{"simple packet without interface", ng().section().block(blockSimple, le().u32(0).b).b, 1, "offset 168: damaged: simple packet block in a section without interface"},
		{"packet larger than its block", ng().block(blockEnhanced, le().u32(0, 0, 0, 61, 61).bytes(a...).b).b, 1, "offset 140: damaged: packet of 61 bytes in a block with room for 60"},
		{"packet too large", ng().block(blockEnhanced, le().u32(0, 0, 0, 262145, 61).b).b, 1, "offset 140: damaged: packet of 262145 bytes, more than the 262144 allowed"},
		{"packet option", ng().enhanced(0, 2, a, 60, le().u16(1, 5).u32(0).b).b, 1, "offset 140: damaged: option of 5 bytes where there are 4"},

		{"gzip header", []byte{0x1f, 0x8b, 8, 0}, 0, "gzip: compressed data cut short"},
		{"gzip cut", cut(gzipped(one().b), 20), 0, "offset *: gzip: compressed data cut short"},
		{"gzip checksum", append(cut(gzipped(one().b), 8), 0, 0, 0, 0, 100, 0, 0, 0), 1, "offset 100: gzip: invalid checksum"},
		{"zstd damage", append(zstded(one().b)[:12], "no more zstd here"...), 0, "offset 0: zstd: *"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, t.TempDir(), "x.pcap", test.data)
			r, err := Open([]string{path})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			packets, faults := drain(t, r, 64)
			if len(packets) != test.packets {
				t.Errorf("got %d packets, want %d", len(packets), test.packets)
			}
			if len(faults) != 1 {
				t.Fatalf("got faults %q, want one", faults)
			}
			start, end, star := strings.Cut(test.want, "*")
			got, named := strings.CutPrefix(faults[0], path+": ")
			if !named || !strings.HasPrefix(got, start) || !strings.HasSuffix(got, end) || !star && got != test.want {
				t.Errorf("got fault  %q\nwant PATH: %q", faults[0], test.want)
			}
		})
	}
}

func TestFaultsDoNotStopTheStream(t *testing.T) {
	dir := t.TempDir()
	first, last := pcapOf(1, 2), pcapOf(5)
	missing := filepath.Join(dir, "missing.pcap")
	paths := []string{
		write(t, dir, "a.pcap", first[:len(first)-1]),
		missing,
		write(t, dir, "b.pcap", nil),
		write(t, dir, "c.pcap", last),
	}
	r, err := Open(paths)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	packets, faults := drain(t, r, 64)
	if len(packets) != 2 {
		t.Errorf("got %d packets, want 2: those of a.pcap and c.pcap that are whole", len(packets))
	}
	want := []string{
		missing + ": no such file or directory",
		paths[2] + ": offset 0: empty file",
		paths[0] + ": offset 80: cut short: a record of at least 56 bytes has only 55",
	}
	if strings.Join(faults, "\n") != strings.Join(want, "\n") {
		t.Errorf("got faults\n%s\nwant\n%s", strings.Join(faults, "\n"), strings.Join(want, "\n"))
	}
	if !errors.Is(r.Faults()[0], fs.ErrNotExist) {
		t.Errorf("fault %v does not unwrap to fs.ErrNotExist", r.Faults()[0])
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		paths []string
		want  string
	}{
		{nil, "capture: no file given"},
		{[]string{"-", "-"}, "capture: standard input given twice"},
	} {
		if _, err := Open(test.paths); err == nil || err.Error() != test.want {
			t.Errorf("Open(%q) = %v, want %q", test.paths, err, test.want)
		}
	}
	empty := t.TempDir()
	r, err := Open([]string{empty})
	if err != nil {
		t.Fatal(err)
	}
	if _, faults := drain(t, r, 1); len(faults) != 1 || faults[0] != empty+": no captures in this directory" {
		t.Errorf("empty directory: got faults %q", faults)
	}
}

// TestMemoryIsBounded reads length fields that promise what does not come.
func TestMemoryIsBounded(t *testing.T) {
	f := (&builder{order: binary.LittleEndian}).pcapHeader(0xa1b2c3d4, 249).u32(2, 0, 128<<20, 0)
	f.bytes(make([]byte, 1<<20)...)
	if _, _, buffer, _ := readBytes(f.b, windowSize, 1<<20); buffer > 8*len(f.b) {
		t.Errorf("a record of 128 MiB of which %d bytes are there took a buffer of %d", len(f.b), buffer)
	}
	g := (&builder{order: binary.LittleEndian}).section()
	g.block(77, make([]byte, 8<<20))
	if _, _, buffer, _ := readBytes(g.b, windowSize, 1<<20); buffer != windowSize {
		t.Errorf("a block that is passed over took a buffer of %d, want %d", buffer, windowSize)
	}
	var many bytes.Buffer
	many.Write((&builder{order: binary.LittleEndian}).section().b)
	one := (&builder{order: binary.LittleEndian}).netInterface(1, 0, nil).b
	for range maxInterfaces + 1 {
		many.Write(one)
	}
	if _, _, _, err := readBytes(many.Bytes(), windowSize, 1<<20); err == nil || err.Error() != "damaged: more than 65536 interfaces in a section" {
		t.Errorf("65537 interfaces: ended with %v", err)
	}
}

func TestReadError(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "a.pcap", pcapOf(1))
	r, err := Open([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, faults := drain(t, r, 1); len(faults) != 1 || faults[0] != path+": no such file or directory" {
		t.Errorf("file removed after Open: got faults %q", faults)
	}
}
