//go:build linux

package main

import (
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

// segment is a TCP segment between a client's port and a server's.
func segment(t *testing.T, from, to uint16, flags uint8, payload string) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 77, 0, 1}, DstIP: net.IP{10, 77, 0, 1}}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(from), DstPort: layers.TCPPort(to), SYN: flags&packet.SYN != 0, ACK: flags&packet.ACK != 0}
	tcp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, eth, ip, tcp, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// readAll returns copies of the packets of a capture that must be without fault.
func readAll(t *testing.T, path string) []capture.Packet {
	t.Helper()
	r, err := capture.Open([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []capture.Packet
	batch := make([]capture.Packet, 64)
	for {
		n, err := r.Read(batch)
		if err == io.EOF {
			break
		}
		for _, p := range batch[:n] {
			p.Data, p.Comment = append([]byte(nil), p.Data...), append([]byte(nil), p.Comment...)
			all = append(all, p)
		}
	}
	for _, fault := range r.Faults() {
		t.Error(fault)
	}
	return all
}

func TestRecordingCuts(t *testing.T) {
	const headers = 14 + 20 + 20
	path := filepath.Join(t.TempDir(), "x", "cut.pcapng.zst")
	r, err := NewRecording(path, Cut{Payloads: 2, PayloadLen: 10, Packets: 6, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		from, to uint16
		flags    uint8
		payload  string
		keep     int // bytes in the file, 0: not in it
	}{
		{50001, 80, packet.ACK, "from before", 0},
		{50000, 80, packet.SYN, "", headers},
		{80, 50000, packet.SYN | packet.ACK, "", headers},
		{50000, 80, packet.ACK, "GET / HTTP/1.1", headers + 10},
		{80, 50000, packet.ACK, "200", headers + 3},
		{80, 50000, packet.ACK, "later payload", headers},
		{50000, 80, packet.ACK, "", headers},
		{50000, 80, packet.ACK, "seventh packet", 0},
	}
	now := time.Unix(1700000000, 123456789)
	for _, s := range steps {
		frame := segment(t, s.from, s.to, s.flags, s.payload)
		var h packet.Headers
		h.Decode(packet.LinkEthernet, frame, len(frame))
		if got := labelOf(&h); got != "http" {
			t.Errorf("label of ports %d, %d is %q, want http", s.from, s.to, got)
		}
		if err := r.Add(now, frame, &h, "http", "http"); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, path)
	for _, s := range steps {
		if s.keep == 0 {
			continue
		}
		if len(got) == 0 {
			t.Fatalf("packet %+v is missing", s)
		}
		p := got[0]
		got = got[1:]
		if wire := max(60, headers+len(s.payload)); len(p.Data) != s.keep || p.WireLen != wire {
			t.Errorf("packet %+v: %d of %d bytes, want %d of %d", s, len(p.Data), p.WireLen, s.keep, wire)
		}
		if p.Nanos != now.UnixNano() || string(p.Comment) != "process=http" {
			t.Errorf("packet %+v: time %d, comment %q", s, p.Nanos, p.Comment)
		}
	}
	if len(got) != 0 {
		t.Errorf("%d packets too many", len(got))
	}
	if count := *r.Counts["http"]; count != (Count{Flows: 1, Packets: 6, Payloads: 3, PayloadBytes: 14 + 3 + 13}) {
		t.Errorf("counted %+v", count)
	}
}

func TestTagged(t *testing.T) {
	frame := segment(t, 50000, 22, packet.SYN, "")
	var h packet.Headers
	if reason := h.Decode(packet.LinkEthernet, tagged(frame, 77), len(frame)+4); reason != packet.OK || h.VLANs != 1 || h.VLAN != 77 || h.DstPort != 22 {
		t.Errorf("a tagged frame decodes to %v, %d tags, VLAN %d, port %d", reason, h.VLANs, h.VLAN, h.DstPort)
	}
	if got := tagged(frame, 0); len(got) != len(frame) {
		t.Errorf("without a VLAN, a frame of %d bytes became %d", len(frame), len(got))
	}
}

// TestPortsTellApps holds what labels rest on: a port has one server, and no client gets it
// (Linux gives clients ports from 32768 on).
func TestPortsTellApps(t *testing.T) {
	owner := map[uint16]string{}
	for _, app := range Apps {
		for _, port := range app.Ports {
			if port == 0 {
				continue
			}
			if other := owner[port]; other != "" {
				t.Errorf("port %d belongs to %s and %s", port, other, app.Name)
			}
			owner[port] = app.Name
			if got := appOf(port); got == nil || got.Name != app.Name || port >= 32768 {
				t.Errorf("port %d of %s is not known by it", port, app.Name)
			}
		}
	}
	for port, want := range map[uint16]string{passiveFirst: "ftp", passiveLast: "ftp"} {
		if got := appOf(port); got == nil || got.Name != want {
			t.Errorf("port %d is not %s", port, want)
		}
	}
	if got := appOf(0); got != nil {
		t.Errorf("port 0 is %s", got.Name)
	}
}
