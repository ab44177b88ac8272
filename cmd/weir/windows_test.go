package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/dataset"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/packet"
)

// ip4 is an IPv4 packet from 10.0.0.1 to 10.0.0.2 with a payload; fragment is its field of that name.
func ip4(proto uint8, fragment uint16, payload []byte) []byte {
	f := make([]byte, 20, 20+len(payload))
	f[0], f[8], f[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(f[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(f[4:], 7)
	binary.BigEndian.PutUint16(f[6:], fragment)
	from, to := netip.MustParseAddr("10.0.0.1").As4(), netip.MustParseAddr("10.0.0.2").As4()
	copy(f[12:], from[:])
	copy(f[16:], to[:])
	return append(f, payload...)
}

// The later fragments of an attack's packets are the attack's, and so are those in a tunnel when
// windows look into tunnels.
func TestAttackPacketsByFlow(t *testing.T) {
	const (
		linkRaw  = 101
		ipInIP   = 4
		moreFrag = 0x2000
	)
	udp := make([]byte, 24)
	binary.BigEndian.PutUint16(udp, 1000)
	binary.BigEndian.PutUint16(udp[2:], 53)
	binary.BigEndian.PutUint16(udp[4:], 24)
	var file bytes.Buffer
	w := capture.NewWriter(&file)
	for _, frame := range [][]byte{
		ip4(packet.UDP, moreFrag, udp),
		ip4(packet.UDP, 3, make([]byte, 16)),
		ip4(ipInIP, 0, ip4(packet.UDP, 0, udp)),
	} {
		if err := w.Write(&capture.Packet{Nanos: 1_700_000_000e9, Data: frame, WireLen: len(frame), Link: linkRaw}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path, table := filepath.Join(dir, "a.pcapng"), filepath.Join(dir, "flows.csv")
	rows := "src,src_port,dst,dst_port,protocol,label\n10.0.0.1,1000,10.0.0.2,53,17,bot\n"
	for name, data := range map[string][]byte{path: file.Bytes(), table: []byte(rows)} {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, tunnels := range []bool{false, true} {
		labels, err := dataset.OpenWindowLabels(table, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		in := &input{files: []string{path}}
		in.tunnels = tunnels
		g := &shared{workers: 2}
		_, attacks, err := g.readWindows(context.Background(), in, meter.Config{Window: time.Second}, labels)
		if err != nil {
			t.Fatal(err)
		}
		want := 2
		if tunnels {
			want = 3
		}
		if got := attacks[1_700_000_000][1]; got != want {
			t.Errorf("tunnels %t: the attack has %d packets, want %d", tunnels, got, want)
		}
	}
}
