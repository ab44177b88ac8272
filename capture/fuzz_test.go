package capture

import (
	"encoding/binary"
	"io"
	"slices"
	"testing"
)

// FuzzReadPcap and FuzzReadPcapng share their properties: see checkRead.
func FuzzReadPcap(f *testing.F) {
	for _, o := range bothOrders {
		b := &builder{order: o}
		f.Add(b.pcapHeader(0xa1b2c3d4, 1).record(1, 2, frame(20, 1), 30).record(2, 3, nil, 0).b, uint16(60))
		m := &builder{order: o}
		f.Add(m.pcapHeader(0xa1b2cd34, 231).u32(1, 2, 4, 4, 0, 0, 9).b, uint16(50))
	}
	f.Fuzz(checkRead)
}

func FuzzReadPcapng(f *testing.F) {
	for _, o := range bothOrders {
		b := &builder{order: o}
		b.section().netInterface(1, 10, b.body().option(optTsresol, 0x8a).option(optTsoffset, 1, 2, 3, 4, 5, 6, 7, 8).option(optEnd).b)
		b.block(77, frame(9, 1)).block(blockSimple, b.body().u32(8, 1, 2).b)
		b.enhanced(0, 1<<40, frame(5, 1), 9, b.body().option(optComment, 'x').b)
		b.block(blockPacket, b.body().u16(0, 0).u32(1, 2, 3, 4, 5).b).section()
		f.Add(b.b, uint16(150))
	}
	f.Fuzz(checkRead)
}

// checkRead reads any bytes as a capture. The reader must not panic; must not take memory for
// what is not there; must give the same through a small window that moves over the file in
// small steps as with the whole file in memory; and must give the start of the same packets
// when the file is cut anywhere.
func checkRead(t *testing.T, data []byte, cut uint16) {
	whole, wholeOffset, _, wholeEnd := readBytes(data, 0, 0)
	if wholeEnd != io.EOF && (wholeOffset < 0 || wholeOffset > int64(len(data))) {
		t.Errorf("fault offset %d of %d: %v", wholeOffset, len(data), wholeEnd)
	}
	for i := range whole {
		if whole[i].WireLen < len(whole[i].Data) {
			t.Errorf("packet %d: %d bytes on the wire, %d captured", i, whole[i].WireLen, len(whole[i].Data))
		}
	}
	moved, movedOffset, buffer, movedEnd := readBytes(data, 32, 13)
	if !slices.Equal(moved, whole) || movedOffset != wholeOffset || movedEnd.Error() != wholeEnd.Error() {
		t.Errorf("through a small window: %d packets, then offset %d %v\nwhole: %d packets, then offset %d %v",
			len(moved), movedOffset, movedEnd, len(whole), wholeOffset, wholeEnd)
	}
	if limit := max(32, 8*len(data)); buffer > limit {
		t.Errorf("%d bytes took a buffer of %d, want at most %d", len(data), buffer, limit)
	}
	part, _, _, _ := readBytes(data[:min(int(cut), len(data))], 0, 0)
	if len(part) > len(whole) || !slices.Equal(part, whole[:len(part)]) {
		t.Errorf("cut at byte %d: %d packets that are not the first of the %d of the whole file", cut, len(part), len(whole))
	}
}

// TestAnyCutIsAPrefix cuts a file of each format at every byte.
func TestAnyCutIsAPrefix(t *testing.T) {
	packets := corpus(5)
	packets[2].Comment = []byte("process=x")
	ng := &builder{order: binary.BigEndian, b: written(t, packets)}
	ng.section().block(99, frame(30, 1)).netInterface(1, 0, nil).enhanced(0, 5, frame(9, 9), 9, nil)
	for name, data := range map[string][]byte{"pcap": pcapBytes(t, packets), "pcapng": ng.b} {
		whole, _, _, _ := readBytes(data, 0, 0)
		for n := range data {
			part, _, _, end := readBytes(data[:n], 100, 50)
			if !slices.Equal(part, whole[:len(part)]) {
				t.Fatalf("%s cut at byte %d: %d packets that are not the first %d of the whole file", name, n, len(part), len(part))
			}
			if end == io.EOF && len(part) == len(whole) && name == "pcap" {
				t.Errorf("%s cut at byte %d: no fault", name, n)
			}
		}
	}
}
