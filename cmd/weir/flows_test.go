package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/packet"
)

// segment is a TCP segment without payload as a frame of link type RAW.
func segment(src, dst string, port uint16, flags byte) []byte {
	f := make([]byte, 40)
	f[0], f[8], f[9] = 0x45, 64, packet.TCP
	binary.BigEndian.PutUint16(f[2:], 40)
	from, to := netip.MustParseAddr(src).As4(), netip.MustParseAddr(dst).As4()
	copy(f[12:], from[:])
	copy(f[16:], to[:])
	binary.BigEndian.PutUint16(f[20:], port)
	binary.BigEndian.PutUint16(f[22:], 80)
	f[32], f[33] = 5<<4, flags
	return f
}

// The table holds neither a flow that another with its key has replaced nor one that is over.
func TestFlowTableAfterTheLastPacket(t *testing.T) {
	const linkRaw = 101
	var file bytes.Buffer
	w := capture.NewWriter(&file)
	for _, p := range []struct {
		second int64
		port   uint16
		flags  byte
	}{
		{0, 1000, packet.SYN},
		{1000, 2000, packet.SYN},
		{1001, 2000, packet.RST},
		{1002, 2000, packet.SYN}, // a new flow
		{3000, 3000, packet.SYN},
		{3000, 4000, packet.SYN},
		{3001, 4000, packet.RST}, // closed, but still in the table
		{3599, 2000, packet.ACK},
		{3600, 3000, packet.ACK}, // the first one's lifetime is over
	} {
		frame := segment("10.0.0.1", "10.0.0.2", p.port, p.flags)
		if err := w.Write(&capture.Packet{Nanos: 1_700_000_000e9 + p.second*1e9, Data: frame, WireLen: len(frame), Link: linkRaw}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.pcapng")
	if err := os.WriteFile(path, file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	g := &shared{workers: 2}
	cfg := meter.Config{Flow: flow.Config{Lifetime: time.Hour, OpeningPackets: -1}}
	if err := g.flowTable(context.Background(), &input{files: []string{path}}, cfg, nil, &out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n")[1:] {
		fields := strings.Fields(line)
		got = append(got, strings.Join(append(fields[2:3], fields[5:]...), " ")) // source port, packets, lifetime, label
	}
	if want := "2000 2 3599 -, 3000 2 3600 -, 4000 2 3001 -"; strings.Join(got, ", ") != want {
		t.Errorf("got rows %q, want %q", strings.Join(got, ", "), want)
	}
}
