package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/weirnet/weir/packet"
)

func made(t *testing.T, c corpus) []byte {
	t.Helper()
	c.length = 10 * time.Second
	var b bytes.Buffer
	if err := c.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestCorpora checks what is promised of the two captures, and that their checksums are right.
func TestCorpora(t *testing.T) {
	for name, test := range map[string]struct {
		corpus
		frame, six, tagged float64
	}{
		"imix": {corpus{packets: 200_000, flows: 8_000, seed: 1, mix: imix}, 580, 0.12, 0.05},
		"min":  {corpus{packets: 100_000, flows: 20_000, seed: 1, mix: flood}, 60, 0, 0},
	} {
		type key struct {
			src, dst         packet.Addr
			srcPort, dstPort uint16
			proto            uint8
		}
		flows := map[key]int{}
		packets, frames, six, tagged, last := 0, 0, 0, 0, uint64(0)
		for file := made(t, test.corpus)[24:]; len(file) > 0; packets++ {
			seconds, micros := binary.LittleEndian.Uint32(file), binary.LittleEndian.Uint32(file[4:])
			if now := uint64(seconds)*1e6 + uint64(micros); now < last || micros > 999_999 {
				t.Fatalf("%s: packet %d at %d.%06d comes before the one before it", name, packets, seconds, micros)
			} else {
				last = now
			}
			n := int(binary.LittleEndian.Uint32(file[8:]))
			frame := file[16 : 16+n]
			file = file[16+n:]
			frames += n
			var h packet.Headers
			if reason := h.Decode(packet.LinkEthernet, frame, n); reason != packet.OK {
				t.Fatalf("%s: packet %d: %v", name, packets, reason)
			}
			checkSums(t, &h, frame)
			if h.Version == 6 {
				six++
			}
			if h.VLANs > 0 {
				tagged++
			}
			k := key{h.Src, h.Dst, h.SrcPort, h.DstPort, h.Proto}
			if flows[key{h.Dst, h.Src, h.DstPort, h.SrcPort, h.Proto}] > 0 {
				k = key{h.Dst, h.Src, h.DstPort, h.SrcPort, h.Proto}
			}
			flows[k]++
		}
		if packets != test.packets || len(flows) != test.flows {
			t.Errorf("%s: %d packets of %d flows, want %d of %d", name, packets, len(flows), test.packets, test.flows)
		}
		near := func(what string, got, want, off float64) {
			if math.Abs(got-want) > off {
				t.Errorf("%s: %s %.3f, want %.3f to within %.3f", name, what, got, want, off)
			}
		}
		n := float64(packets)
		near("mean frame", float64(frames)/n, test.frame, 0.05*test.frame)
		near("IPv6", float64(six)/n, test.six, 0.3*test.six)
		near("VLAN", float64(tagged)/n, test.tagged, 0.5*test.tagged)
	}
}

// checkSums checks the checksums of the IP header and of what it carries.
func checkSums(t *testing.T, h *packet.Headers, frame []byte) {
	t.Helper()
	ip := frame[h.IPOffset : h.IPOffset+h.IPLen]
	header, pseudo := 40, ip[8:40]
	if h.Version == 4 {
		header, pseudo = 20, ip[12:20]
		if got := fold(sum(0, ip[:header])); got != 0 {
			t.Fatalf("IP header % x: checksum off by %04x", ip[:header], got)
		}
	}
	s := sum(uint32(h.Proto)+uint32(len(ip)-header), pseudo)
	if h.Proto == packet.ICMP {
		s = 0
	}
	if got := fold(sum(s, ip[header:])); got != 0 {
		t.Fatalf("protocol %d: checksum off by %04x", h.Proto, got)
	}
}

func TestSeedDecidesEverything(t *testing.T) {
	c := corpus{packets: 5_000, flows: 500, seed: 7, mix: imix}
	once := sha256.Sum256(made(t, c))
	if sha256.Sum256(made(t, c)) != once {
		t.Error("the same seed gave two captures")
	}
	if c.seed = 8; sha256.Sum256(made(t, c)) == once {
		t.Error("two seeds gave the same capture")
	}
}
