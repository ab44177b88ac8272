package filter

import (
	"errors"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/weirnet/weir/packet"
)

// inKernel does what Linux does with a packet before a socket's filter sees it: it takes out the
// outermost VLAN tag, and keeps it beside the packet.
func inKernel(data []byte) (rest []byte, tagged bool, tag, tagType uint32) {
	if len(data) < 16 || data[12] != 0x81 && data[12] != 0x88 || data[13] != map[byte]byte{0x81: 0x00, 0x88: 0xa8}[data[12]] {
		return data, false, 0, 0
	}
	tagType = uint32(data[12])<<8 | uint32(data[13])
	tag = uint32(data[14])<<8 | uint32(data[15])
	return append(append([]byte(nil), data[:12]...), data[16:]...), true, tag, tagType
}

// withMetadata puts numbers in place of the loads of metadata, as they are of one packet.
func withMetadata(raw []bpf.RawInstruction, tagged bool, tag, tagType uint32) []bpf.RawInstruction {
	raw = append([]bpf.RawInstruction(nil), raw...)
	for i, in := range raw {
		if in.Op != opLoadWord || in.K < metadata {
			continue
		}
		v := map[uint32]uint32{metaTag: tag, metaTagType: tagType}[in.K]
		if in.K == metaTagPresent && tagged {
			v = 1
		}
		raw[i] = bpf.RawInstruction{Op: opLoadConst, K: v}
	}
	return raw
}

// A socket's program passes a packet without its tag exactly if the program for captures passes it
// with its tag.
func TestSocketEqualsCapture(t *testing.T) {
	var all []frame
	for _, f := range frames() {
		if f.link == packet.LinkEthernet {
			all = append(all, f)
		}
	}
	refused, tags := 0, 0
	for i, expr := range readExpressions(t) {
		e, err := Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Compile(packet.LinkEthernet, 0)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := e.CompileSocket(packet.LinkEthernet, 0)
		if err != nil {
			var at *Error
			if !errors.As(err, &at) {
				t.Fatalf("%q: %v", expr, err)
			}
			refused++
			t.Log(expr, ": ", err)
			continue
		}
		for j := i % 3; j < len(all); j += 3 {
			f := all[j]
			rest, tagged, tag, tagType := inKernel(f.data)
			wireLen := f.wireLen
			if tagged {
				wireLen -= 4
				tags++
			}
			want := p.Match(f.data, f.wireLen)
			if got := run(&Program{steps: steps(withMetadata(raw, tagged, tag, tagType))}, rest, uint32(wireLen)) != 0; got != want {
				t.Fatalf("%q passes %x on a socket: %v, from a capture: %v\n%v", expr, f.data, got, want, raw)
			}
		}
	}
	if tags == 0 {
		t.Error("no packets with tags")
	}
	if refused > 3 {
		t.Errorf("%d expressions are refused on sockets", refused)
	}
}
