package dataset

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/packet"
)

const second = int64(1e9)

// talk is a packet of a test capture.
type talk struct {
	at       float64 // seconds since the Unix epoch
	src, dst string  // address:port
	udp      bool
	payload  string
	process  string
}

// back turns a packet around.
func (t talk) back(at float64, payload string) talk {
	t.src, t.dst, t.at, t.payload = t.dst, t.src, at, payload
	return t
}

// frame builds the packet with gopacket, so that what is read here was not written here.
func (t talk) frame(tb testing.TB) []byte {
	tb.Helper()
	src, err := net.ResolveTCPAddr("tcp", t.src)
	if err != nil {
		tb.Fatal(err)
	}
	dst, err := net.ResolveTCPAddr("tcp", t.dst)
	if err != nil {
		tb.Fatal(err)
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	proto := layers.IPProtocolTCP
	if t.udp {
		proto = layers.IPProtocolUDP
	}
	var ip gopacket.NetworkLayer
	var chain []gopacket.SerializableLayer
	if src.IP.To4() != nil {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src.IP.To4(), DstIP: dst.IP.To4()}
		ip, chain = v4, append(chain, eth, v4)
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: src.IP, DstIP: dst.IP}
		ip, chain = v6, append(chain, eth, v6)
	}
	if t.udp {
		l := &layers.UDP{SrcPort: layers.UDPPort(src.Port), DstPort: layers.UDPPort(dst.Port)}
		l.SetNetworkLayerForChecksum(ip)
		chain = append(chain, l)
	} else {
		l := &layers.TCP{SrcPort: layers.TCPPort(src.Port), DstPort: layers.TCPPort(dst.Port), ACK: true, PSH: t.payload != ""}
		l.SetNetworkLayerForChecksum(ip)
		chain = append(chain, l)
	}
	chain = append(chain, gopacket.Payload(t.payload))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, chain...); err != nil {
		tb.Fatal(err)
	}
	frame := append([]byte(nil), buf.Bytes()...)
	for len(frame) < 60 { // Ethernet padding, which is no payload
		frame = append(frame, 0xee)
	}
	return frame
}

// writeCapture writes a pcapng file with the packets given.
func writeCapture(tb testing.TB, path string, packets ...talk) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		tb.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	w := capture.NewWriter(f)
	for _, t := range packets {
		frame := t.frame(tb)
		p := capture.Packet{Nanos: int64(t.at * 1e9), Data: frame, WireLen: len(frame), Link: packet.LinkEthernet}
		if t.process != "" {
			p.Comment = capture.AppendProcess(nil, t.process, 42)
		}
		if err := w.Write(&p); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
}

// writeText writes a text file.
func writeText(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		tb.Fatal(err)
	}
}
