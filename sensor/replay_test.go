package sensor

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/event"
	"github.com/weirnet/weir/evidence"
	"github.com/weirnet/weir/meter"
	"github.com/weirnet/weir/window"
)

// segment is a TCP packet without payload.
func segment(nanos int64, src, dst byte, srcPort, dstPort uint16, flags byte, size int) capture.Packet {
	b := make([]byte, 14+size)
	b[12] = 8
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(ip[2:], uint16(size))
	copy(ip[12:], []byte{10, 0, 0, src, 10, 0, 0, dst})
	tcp := ip[20:]
	binary.BigEndian.PutUint16(tcp, srcPort)
	binary.BigEndian.PutUint16(tcp[2:], dstPort)
	tcp[12], tcp[13] = 0x50, flags
	return capture.Packet{Nanos: nanos, Data: b, WireLen: len(b), Link: 1}
}

// traffic is so many seconds of two clients that talk to a server, with a scan from a third in every seventh window after the
// hundredth, silences, and packets out of order, some of them too late for their window.
func traffic(seconds int) []capture.Packet {
	r := rand.New(rand.NewPCG(1, 2))
	const begin = 1_700_000_000_000_000_000
	var all []capture.Packet
	for s := range seconds {
		if s%61 > 56 {
			continue
		}
		at := func() int64 { return begin + int64(s)*1e9 + r.Int64N(1e9) }
		for range 20 + r.IntN(20) {
			client, port := byte(1+r.IntN(2)), uint16(40_000+r.IntN(4))
			all = append(all, segment(at(), client, 9, port, 443, 0x10, 40+r.IntN(500)), segment(at(), 9, client, 443, port, 0x18, 40+r.IntN(1400)))
		}
		if s > 100 && s/2%7 == 0 {
			for port := range 200 {
				all = append(all, segment(at(), 66, 9, 50_000, uint16(port), 0x02, 40))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b capture.Packet) int {
		switch {
		case a.Nanos < b.Nanos:
			return -1
		case a.Nanos > b.Nanos:
			return 1
		}
		return 0
	})
	for i := range all {
		switch {
		case i%10 == 3 && i+40 < len(all):
			all[i], all[i+40] = all[i+40], all[i]
		case i%500 == 7 && i+400 < len(all):
			all[i], all[i+400] = all[i+400], all[i]
		}
	}
	return all
}

// trained learns the traffic before the first scan.
func trained(t *testing.T, profile string) *anomaly.Model {
	t.Helper()
	var vectors []window.Vector
	m, err := meter.New(meter.Config{NoFlows: true, Window: windowLen, Lateness: time.Second, OnWindow: func(w *window.Window) { vectors = append(vectors, w.Vector()) }}, 1, nil)
	must(t, err)
	m.Add(traffic(100))
	m.Close()
	model, err := anomaly.Train(context.Background(), [][]window.Vector{vectors}, anomaly.Options{
		Profile: profile, Length: windowLen, Hidden: 8, Epochs: 20, Seed: 1, FalseAlarms: 0.1, Workers: 2,
	})
	must(t, err)
	return model
}

// run returns the alerts of a run over packets.
func run(t *testing.T, m *anomaly.Model, all []capture.Packet, workers int, r *evidence.Recorder) (alerts []event.Alert) {
	t.Helper()
	s, err := New(Config{
		Meter: meter.Config{Lateness: time.Second, MaxGap: 100}, Anomaly: m, AnomalyName: "a@1",
		Emit: func(e *event.Event) error {
			if e.Type == event.TypeAlert {
				alerts = append(alerts, *e.Alert)
			}
			return nil
		},
	}, workers)
	must(t, err)
	if r != nil {
		s.KeepEvidence(r)
	}
	for part := range slices.Chunk(all, 97) {
		must(t, s.Add("capture.pcap", part))
	}
	_, err = s.Close()
	must(t, err)
	return alerts
}

// What is kept of an alert gives its window the same score, bit for bit, in a run of its own: for both profiles, any number of
// workers, out of order and with late packets.
func TestReplayOfEvidenceScoresTheSame(t *testing.T) {
	all := traffic(400)
	for _, profile := range []string{anomaly.Default, anomaly.Paper} {
		m := trained(t, profile)
		for _, workers := range []int{1, 3} {
			dir := t.TempDir()
			source := evidence.Source{Name: "test"}
			r, err := evidence.Create(dir, source, evidence.Options{Length: windowLen, Wait: true})
			must(t, err)
			alerts := run(t, m, all, workers, r)
			must(t, r.Close())
			if lost := r.Lost(); len(lost) > 0 {
				t.Errorf("lost %v", lost)
			}
			exact := 0
			for _, a := range alerts {
				e := &a.Evidence
				if !e.Exact {
					if a.Packets > 0 && profile == anomaly.Default {
						t.Errorf("%s: window of %d packets at %d cannot be judged again", profile, a.Packets, a.Start)
					}
					continue
				}
				exact++
				file := filepath.Join(t.TempDir(), "slice.pcapng")
				f, err := os.Create(file)
				must(t, err)
				n, err := evidence.Dir(dir).Export(f, evidence.Slice{Key: source.Key(), From: int64(e.From), To: int64(e.End)})
				must(t, err)
				must(t, f.Close())
				if n != e.Packets {
					t.Errorf("%d packets are kept, %d are told", n, e.Packets)
				}
				same := func(got []event.Alert) {
					t.Helper()
					if len(got) == 0 {
						t.Fatalf("%s, %d workers: no alert from the slice of %d", profile, workers, a.Start)
					}
					// The windows before it may be alarmed too; nothing comes after it.
					if last := got[len(got)-1]; last.Start != a.Start || *last.Score != *a.Score || last.Packets != a.Packets || *last.Vector != *a.Vector {
						t.Fatalf("%s, %d workers: window %d scores %v of %d packets, and %v of %d again", profile, workers, a.Start, *a.Score, a.Packets, *last.Score, last.Packets)
					}
				}
				same(run(t, m, read(t, file), 1, nil))
				same(run(t, m, read(t, e.Slices...), 2, nil))
			}
			if exact < 15 {
				t.Errorf("%s: %d of %d alerts can be judged again: too few for a test", profile, exact, len(alerts))
			}
		}
	}
}

// read reads captures whole.
func read(t *testing.T, files ...string) (all []capture.Packet) {
	t.Helper()
	r, err := capture.Open(files)
	must(t, err)
	defer r.Close()
	batch := make([]capture.Packet, 64)
	for {
		n, err := r.Read(batch)
		for _, p := range batch[:n] {
			p.Data = slices.Clone(p.Data)
			all = append(all, p)
		}
		if err != nil {
			return all
		}
	}
}
