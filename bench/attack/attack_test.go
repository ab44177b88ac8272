package attack

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/weirnet/weir/packet"
)

// TestKinds checks that captures are whole, the same every time, and what they are meant to be.
func TestKinds(t *testing.T) {
	const packets = 3000
	for _, kind := range Kinds() {
		var file, again bytes.Buffer
		if err := Write(&file, kind, packets, 1); err != nil {
			t.Fatal(err)
		}
		if err := Write(&again, kind, packets, 1); err != nil || !bytes.Equal(file.Bytes(), again.Bytes()) {
			t.Errorf("%s: the same seed gives other bytes (%v)", kind, err)
		}
		n, late, later, deep := 0, 0, 0, 0
		sizes, flows := map[int]bool{}, map[packet.Headers]bool{}
		var last uint64
		for b := file.Bytes()[24:]; len(b) > 0; n++ {
			now := uint64(binary.LittleEndian.Uint32(b))*1e6 + uint64(binary.LittleEndian.Uint32(b[4:]))
			if now < last {
				late++
			}
			last = now
			frame := b[16 : 16+binary.LittleEndian.Uint32(b[8:])]
			b = b[16+len(frame):]
			sizes[len(frame)] = true
			var h packet.Headers
			switch reason := h.Decode(packet.LinkEthernet, frame, len(frame)); {
			case reason == packet.TooDeep, h.Proto == 4:
				deep++
			case reason != packet.OK && kind != "noise" && kind != "nested":
				t.Fatalf("%s: packet %d: %v", kind, n, reason)
			}
			if h.Has&packet.LaterFragment != 0 {
				later++
			}
			flows[packet.Headers{Src: h.Src, Dst: h.Dst, SrcPort: h.SrcPort, DstPort: h.DstPort}] = true
		}
		if n != packets {
			t.Errorf("%s: %d packets, want %d", kind, n, packets)
		}
		for what, wrong := range map[string]bool{
			"times go back":                kind != "clock" && late > 0,
			"times do not go back":         kind == "clock" && late == 0,
			"the years do not go by":       kind == "years" && last < 4e15,
			"sizes differ":                 (kind == "small" || kind == "scan") && len(sizes) != 1,
			"frames are not of 9000 bytes": kind == "large" && !sizes[9000],
			"flows come again":             (kind == "flows" || kind == "scan") && len(flows) != packets,
			"half are later fragments":     kind == "fragments" && later != packets/2,
			"headers are not deep":         kind == "nested" && deep < packets/2,
		} {
			if wrong {
				t.Errorf("%s: %s: %d sizes, %d tuples, %d later fragments, %d deep, %d back in time", kind, what, len(sizes), len(flows), later, deep, late)
			}
		}
	}
	if err := Write(&bytes.Buffer{}, "nosuch", 1, 1); err == nil {
		t.Error("a kind that does not exist is written")
	}
}
