package capture

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// corpus returns n packets in the sizes of internet traffic ("simple IMIX": 7 of 60 bytes to 4 of
// 590 and 1 of 1514).
func corpus(n int) []Packet {
	random := rand.New(rand.NewPCG(1, 1))
	sizes := []int{60, 60, 60, 60, 60, 60, 60, 590, 590, 590, 590, 1514}
	packets := make([]Packet, n)
	nanos := int64(1700000000e9)
	for i := range packets {
		nanos += random.Int64N(2e6)
		data := frame(sizes[random.IntN(len(sizes))], byte(i))
		packets[i] = Packet{Nanos: nanos / 1000 * 1000, Data: data, WireLen: len(data) + random.IntN(2)*100, Link: 1}
	}
	return packets
}

func info(p *Packet) gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: time.Unix(0, p.Nanos), CaptureLength: len(p.Data), Length: p.WireLen}
}

// pcapBytes is what pcapgo (github.com/gopacket/gopacket) writes.
func pcapBytes(t testing.TB, packets []Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriterNanos(&b)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if err := w.WritePacket(info(&packets[i]), packets[i].Data); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func pcapngBytes(t testing.TB, packets []Packet) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range packets {
		if err := w.WritePacket(info(&packets[i]), packets[i].Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadsWhatPcapgoWrites(t *testing.T) {
	packets := corpus(5000)
	var want []got
	for i := range packets {
		want = append(want, keep(&packets[i]))
	}
	for name, data := range map[string][]byte{"pcap": pcapBytes(t, packets), "pcapng": pcapngBytes(t, packets)} {
		for _, window := range []int{0, 1000, windowSize} {
			read, _, _, end := readBytes(data, window, 1<<20)
			if end != io.EOF || !slices.Equal(read, want) {
				t.Errorf("%s through a window of %d: %v, %d packets; want io.EOF and the %d written", name, window, end, len(read), len(want))
			}
		}
	}
}

// endless gives the same file over and over without allocating.
type endless struct {
	data []byte
	at   int
	skip int // bytes of the file header
}

func (e *endless) Read(p []byte) (int, error) {
	if e.at == len(e.data) {
		e.at = e.skip
	}
	n := copy(p, e.data[e.at:])
	e.at += n
	return n, nil
}

func TestReadDoesNotAllocate(t *testing.T) {
	packets := corpus(500)
	for i := range packets {
		packets[i].Comment = []byte("process=curl pid=1")
	}
	for name, source := range map[string]*endless{
		"pcap":   {data: pcapBytes(t, packets), skip: 24},
		"pcapng": {data: written(t, packets)},
	} {
		f := &file{window: window{buf: make([]byte, windowSize), source: source}}
		batch := make([]Packet, 64)
		read := func() {
			if n, err := f.read(batch); n == 0 {
				t.Fatalf("%s: read = %d, %v", name, n, err)
			}
		}
		for range 100 {
			read()
		}
		if n := testing.AllocsPerRun(1000, read); n != 0 {
			t.Errorf("%s: %v allocations per batch, want 0", name, n)
		}
	}
}

// BenchmarkRead is the time per packet of simple IMIX. "mapped" is a file that is in memory,
// "read" goes through the window; pcapgo beside them.
func BenchmarkRead(b *testing.B) {
	packets := corpus(200_000)
	perPacket := func(b *testing.B, data []byte, run func() int) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n += run()
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
	}
	batch := make([]Packet, 64)
	ours := func(f *file) (n int) {
		for {
			m, _ := f.read(batch)
			if m == 0 {
				return n
			}
			n += m
		}
	}
	buf := make([]byte, windowSize)
	for name, data := range map[string][]byte{"pcap": pcapBytes(b, packets), "pcapng": pcapngBytes(b, packets)} {
		b.Run(name+"/mapped", func(b *testing.B) {
			perPacket(b, data, func() int {
				return ours(&file{window: window{buf: data, w: len(data), end: io.EOF}})
			})
		})
		b.Run(name+"/read", func(b *testing.B) {
			perPacket(b, data, func() int {
				return ours(&file{window: window{buf: buf, source: bytes.NewReader(data)}})
			})
		})
		b.Run(name+"/pcapgo", func(b *testing.B) {
			perPacket(b, data, func() (n int) {
				var r interface {
					ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
				}
				if name == "pcap" {
					r, _ = pcapgo.NewReader(bytes.NewReader(data))
				} else {
					r, _ = pcapgo.NewNgReader(bytes.NewReader(data), pcapgo.DefaultNgReaderOptions)
				}
				for {
					if _, _, err := r.ZeroCopyReadPacketData(); err != nil {
						return n
					}
					n++
				}
			})
		})
	}
}
