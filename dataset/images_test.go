package dataset

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func TestImages(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.pcapng")
	dns := talk{at: 1, src: "10.0.0.1:5353", dst: "192.0.2.53:53", udp: true, payload: "query"}
	syn := talk{at: 2, src: "10.0.0.1:40000", dst: "192.0.2.1:80"}
	writeCapture(t, path,
		syn.back(0, ""), // begins before dns, has its first payload after it
		dns,
		talk{at: 1.5, src: "10.0.0.1:40001", dst: "192.0.2.1:80"}, // never says anything
		syn.back(2.5, "banner"),
		talk{at: 3, src: syn.src, dst: syn.dst, payload: "request"},
		dns.back(3.5, "answer"),
		talk{at: 4, src: syn.src, dst: syn.dst, payload: "request"},                   // again
		talk{at: 9000, src: syn.src, dst: syn.dst, payload: "later"},                  // beyond any lifetime
		talk{at: 9001, src: "[2001:db8::1]:1", dst: "[2001:db8::2]:2", payload: "v6"}, // after the others
	)
	tests := []struct {
		opts  ImageOptions
		want  []string
		shape []int
		stats string
	}{
		{ImageOptions{}, []string{"bannerrequestrequestlater", "queryanswer", "v6"}, []int{28, 28}, "9 packets, 2 without payload, 3 images, 1 empty, 0 refused"},
		{ImageOptions{Bytes: 9}, []string{"bannerreq", "queryansw", "v6"}, []int{3, 3}, "9 packets, 2 without payload, 3 images, 1 empty, 0 refused"},
		{ImageOptions{Unit: SinglePacket, Bytes: 5, Labels: true, Label: 17}, []string{"query", "banne", "reque", "answe", "reque", "later", "v6"}, []int{1, 5}, "9 packets, 2 without payload, 7 images, 0 empty, 0 refused"},
		{ImageOptions{Bytes: 4, Memory: 3 * imageOverhead}, []string{"bann", "quer"}, []int{2, 2}, "9 packets, 2 without payload, 2 images, 0 empty, 2 refused"},
	}
	for i, test := range tests {
		out := filepath.Join(dir, fmt.Sprint(i))
		stats, err := Images([]string{path}, out, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d packets, %d without payload, %d images, %d empty, %d refused", stats.Packets, stats.NoPayload, stats.Images, stats.Empty, stats.Refused); got != test.stats {
			t.Errorf("%+v: %s, want %s", test.opts, got, test.stats)
		}
		got, dims := readImages(t, stats.Files[0])
		if !slices.Equal(dims[1:], test.shape) {
			t.Errorf("%+v: images of %v, want %v", test.opts, dims[1:], test.shape)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v: images %q, want %q", test.opts, got, test.want)
		}
	}
	index, err := os.ReadFile(filepath.Join(dir, "0", "session-index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if want := `image,start,src,src_port,dst,dst_port,protocol,packets,payload_bytes,image_bytes
0,1970-01-01T00:00:00Z,192.0.2.1,80,10.0.0.1,40000,6,5,25,25
1,1970-01-01T00:00:01Z,10.0.0.1,5353,192.0.2.53,53,17,2,11,11
2,1970-01-01T02:30:01Z,2001:db8::1,1,2001:db8::2,2,6,1,2,2
`; string(index) != want {
		t.Errorf("index:\n%s\nwant:\n%s", index, want)
	}
	labels, err := os.ReadFile(filepath.Join(dir, "2", "packet-labels-idx1-ubyte"))
	if want := "\x00\x00\x08\x01\x00\x00\x00\x07" + strings.Repeat("\x11", 7); err != nil || string(labels) != want {
		t.Errorf("labels %q, %v; want %q", labels, err, want)
	}
	set, err := Open(filepath.Join(dir, "2"), Options{})
	if err != nil || len(set.Images) != 7 || set.Images[0].Label != "17" {
		t.Errorf("what was written does not open as a set: %v", err)
	}
}

// readImages returns the images of an IDX file without the zeros at their ends.
func readImages(tb testing.TB, path string) (images []string, dims []int) {
	tb.Helper()
	dims, pixels, err := readIDXFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	size := dims[1] * dims[2]
	for i := range dims[0] {
		images = append(images, strings.TrimRight(string(pixels[i*size:(i+1)*size]), "\x00"))
	}
	return images, dims
}

func TestImagesRefuses(t *testing.T) {
	for want, opts := range map[string]ImageOptions{
		`images of unit "flow"`: {Unit: "flow"},
		"images of -1 bytes":    {Bytes: -1},
		"label 256":             {Label: 256},
	} {
		if _, err := Images([]string{"x"}, t.TempDir(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Images([]string{"gone.pcap"}, out, ImageOptions{}); err == nil || !strings.Contains(err.Error(), "gone.pcap") {
		t.Errorf("missing capture: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("nothing could be read, but there is a directory of images")
	}
}

// TestImagesTwin compares random captures with sessions cut out by gopacket and a plain map.
func TestImagesTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	path := filepath.Join(t.TempDir(), "x.pcapng")
	var packets []talk
	for i := range 500 {
		p := talk{
			at: float64(i), udp: rng.IntN(2) == 0,
			src: net.JoinHostPort(fmt.Sprint("10.0.0.", 1+rng.IntN(3)), fmt.Sprint(1+rng.IntN(3))),
			dst: net.JoinHostPort(fmt.Sprint("10.0.0.", 1+rng.IntN(3)), fmt.Sprint(1+rng.IntN(3))),
		}
		if rng.IntN(3) > 0 {
			p.payload = strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(200))
		}
		packets = append(packets, p)
	}
	writeCapture(t, path, packets...)
	stats, err := Images([]string{path}, t.TempDir(), ImageOptions{Bytes: 400})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := readImages(t, stats.Files[0])

	var order []string
	sessions := map[string]*bytes.Buffer{}
	for _, p := range packets {
		decoded := gopacket.NewPacket(p.frame(t), layers.LayerTypeEthernet, gopacket.Default)
		ends := []string{p.src, p.dst}
		slices.Sort(ends)
		key := fmt.Sprint(ends, decoded.TransportLayer().LayerType())
		if sessions[key] == nil {
			sessions[key] = &bytes.Buffer{}
			order = append(order, key)
		}
		sessions[key].Write(decoded.TransportLayer().LayerPayload())
	}
	var want []string
	for _, key := range order {
		if data := sessions[key].String(); data != "" {
			want = append(want, data[:min(len(data), 400)])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d images, want %d; the first that differs is %d", len(got), len(want), slices.IndexFunc(got, func(s string) bool { return !slices.Contains(want, s) }))
	}
}
