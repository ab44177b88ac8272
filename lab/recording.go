//go:build linux

package main

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

// Cut says what a recording leaves out. Cut packets keep their length on the wire.
type Cut struct {
	Payloads   int  // packets of a flow that keep payload
	PayloadLen int  // bytes of payload that these keep; every other packet ends with its headers
	Packets    int  // packets of a flow that are kept at all, 0 for all of them
	Whole      bool // nothing of a flow whose opening came before the recording
}

// Recording is a capture file that is being written. It is used under the wire's lock.
type Recording struct {
	Start, End time.Time // of the packets kept; zero without any
	Counts     map[string]*Count

	cut   Cut
	flows map[flow.Key]*Cut // what of Cut is used up
	out   *capture.Writer
	to    []io.Closer // what out writes to, innermost first
}

// Count is what a recording holds of one label.
type Count struct{ Flows, Packets, Payloads, PayloadBytes int } // Flows: those with payload

// NewRecording starts a zstd-compressed pcapng file.
func NewRecording(path string, cut Cut) (*Recording, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewWriter(file, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return &Recording{Counts: map[string]*Count{}, cut: cut, flows: map[flow.Key]*Cut{}, out: capture.NewWriter(z), to: []io.Closer{z, file}}, nil
}

// Add records a frame that belongs to label, as far as the cut lets it. A label of "" is a packet
// of no program: ARP, neighbour discovery. The packet carries process, unless that is "".
func (r *Recording) Add(now time.Time, frame []byte, h *packet.Headers, label, process string) error {
	keep := len(frame)
	if h.Version != 0 {
		keep = min(keep, h.IPOffset+96)
	}
	if label != "" && h.Has&packet.HasPorts != 0 {
		id, _ := flow.KeyOf(h).Canonical()
		used := r.flows[id]
		if used == nil {
			opening := h.Proto != packet.TCP || h.TCPFlags&(packet.SYN|packet.ACK) == packet.SYN
			if r.cut.Whole && !opening {
				return nil
			}
			used = new(Cut)
			r.flows[id] = used
		}
		used.Packets++
		if r.cut.Packets > 0 && used.Packets > r.cut.Packets {
			return nil
		}
		count := r.Counts[label]
		if count == nil {
			count = new(Count)
			r.Counts[label] = count
		}
		count.Packets++
		keep = len(frame)
		if h.Has&packet.HasPayload != 0 {
			keep = h.PayloadOffset
			if h.PayloadWireLen > 0 {
				if used.Payloads++; used.Payloads == 1 {
					count.Flows++
				}
				count.Payloads++
				count.PayloadBytes += h.PayloadWireLen
				if used.Payloads <= r.cut.Payloads {
					keep += min(h.PayloadLen, r.cut.PayloadLen)
				}
			}
		}
	}
	if r.Start.IsZero() {
		r.Start = now
	}
	r.End = now
	p := capture.Packet{Nanos: now.UnixNano(), Data: frame[:keep], WireLen: len(frame), Link: packet.LinkEthernet}
	if process != "" {
		p.Comment = capture.AppendProcess(nil, process, 0)
	}
	return r.out.Write(&p)
}

// Close ends the file.
func (r *Recording) Close() error {
	err := r.out.Flush()
	for _, c := range r.to {
		if e := c.Close(); err == nil {
			err = e
		}
	}
	return err
}

// labelOf names what made a packet: the application at one of its ports, ping, or "".
func labelOf(h *packet.Headers) string {
	if h.Has&packet.HasICMP != 0 && (h.ICMPType == 0 || h.ICMPType == 8 || h.ICMPType == 128 || h.ICMPType == 129) {
		return "ping"
	}
	if h.Has&packet.HasPorts == 0 {
		return ""
	}
	for _, port := range []uint16{h.DstPort, h.SrcPort} {
		if app := appOf(port); app != nil {
			return app.Name
		}
	}
	return ""
}
