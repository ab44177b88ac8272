package window

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/weirnet/weir/packet"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// naive is the features by their definition, with maps and two passes over floats.
func naive(packets []packet.Headers) Vector {
	type addr struct {
		version uint8
		addr    packet.Addr
	}
	var v Vector
	if len(packets) == 0 {
		return v
	}
	n := float64(len(packets))
	srcs, dsts := map[addr]bool{}, map[addr]bool{}
	sports, dports := map[uint16]int{}, map[uint16]int{}
	flags := map[string]int{}
	var sizes, ttls float64
	tcp, udp, icmp := 0, 0, 0
	for _, h := range packets {
		sizes += float64(h.IPLen)
		ttls += float64(h.TTL)
		srcs[addr{h.Version, h.Src}] = true
		dsts[addr{h.Version, h.Dst}] = true
		if (h.Proto == 6 || h.Proto == 17) && h.Has&packet.HasPorts != 0 {
			sports[h.SrcPort]++
			dports[h.DstPort]++
		}
		if h.Proto == 17 {
			udp++
		}
		if h.Proto == 1 || h.Proto == 58 {
			icmp++
		}
		if h.Proto == 6 {
			tcp++
			if h.Has&packet.HasFlags != 0 {
				bit := func(name string, b uint8) bool {
					if h.TCPFlags&b != 0 {
						flags[name]++
					}
					return h.TCPFlags&b != 0
				}
				fin, syn, rst := bit("fin", 1), bit("syn", 2), bit("rst", 4)
				psh, ack := bit("psh", 8), bit("ack", 16)
				bit("urg", 32)
				for name, both := range map[string]bool{
					"fin_ack": fin && ack, "syn_ack": syn && ack, "rst_ack": rst && ack, "psh_ack": psh && ack,
				} {
					if both {
						flags[name]++
					}
				}
			}
		}
	}
	value := map[string]float64{
		"packets": n, "packet_size_mean": sizes / n, "ttl_mean": ttls / n,
		"src_ips": float64(len(srcs)), "dst_ips": float64(len(dsts)),
		"src_ports": float64(len(sports)), "dst_ports": float64(len(dports)),
		"icmp": float64(icmp), "udp": float64(udp),
	}
	for _, h := range packets {
		d, t := float64(h.IPLen)-sizes/n, float64(h.TTL)-ttls/n
		value["packet_size_var"] += d * d / n
		value["ttl_var"] += t * t / n
	}
	for name, count := range flags {
		value[name] = float64(count)
		value[name+"_share"] = float64(count) / float64(tcp)
	}
	for _, port := range []uint16{110, 22, 53, 443, 80, 25, 465, 587, 995, 993, 143} {
		value[fmt.Sprintf("src_port_%d", port)] = float64(sports[port])
		value[fmt.Sprintf("dst_port_%d", port)] = float64(dports[port])
	}
	for i, name := range Names {
		v[i] = value[name]
	}
	return v
}

// randomPacket makes headers in which every case of the definition turns up often.
func randomPacket(r *rand.Rand) packet.Headers {
	h := packet.Headers{
		Version: 4,
		Proto:   []uint8{6, 6, 6, 17, 17, 1, 58, 132, 47}[r.IntN(9)],
		TTL:     []uint8{1, 63, 64, 128, 255}[r.IntN(5)],
		IPLen:   []int{20, 40, 60, 576, 1500, 65575}[r.IntN(6)],
	}
	n := 4
	if r.IntN(3) == 0 {
		h.Version, n = 6, 16
	}
	h.Src[0], h.Dst[0] = 10, 10
	h.Src[n-1], h.Dst[n-1] = uint8(r.IntN(40)), uint8(r.IntN(40))
	if n == 16 && r.IntN(2) == 0 {
		h.Src[n-1], h.Src[3] = 0, h.Src[n-1] // the bytes of an IPv4 address in an IPv6 one
	}
	if r.IntN(10) > 0 {
		ports := []uint16{110, 22, 53, 443, 80, 25, 465, 587, 995, 993, 143, 0, 1, 65535, 40000}
		h.SrcPort, h.DstPort = ports[r.IntN(len(ports))], uint16(r.IntN(1<<16))
		if r.IntN(2) == 0 {
			h.SrcPort, h.DstPort = h.DstPort, h.SrcPort
		}
		h.Has |= packet.HasPorts
		if h.Proto == 6 && r.IntN(10) > 0 {
			h.TCPFlags = uint8(r.IntN(256))
			h.Has |= packet.HasFlags
		}
	}
	return h
}

func checkVector(t *testing.T, got, want Vector) {
	t.Helper()
	for i, name := range Names {
		limit := 0.0
		if k := KindOf(i); k == Mean || k == Variance {
			limit = 1e-9 * math.Abs(want[i])
		}
		if math.Abs(got[i]-want[i]) > limit {
			t.Errorf("%s: got %v, want %v", name, got[i], want[i])
		}
	}
}

func TestVectorEqualsNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 300 {
		var p Partial
		var packets []packet.Headers
		for range n {
			h := randomPacket(r)
			packets = append(packets, h)
			p.Add(&h)
		}
		checkVector(t, p.Vector(), naive(packets))
		if t.Failed() {
			t.Fatalf("with %d packets", n)
		}
	}
}

func TestMergeOfAnySplitIsTheWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		var whole Partial
		parts := make([]Partial, 1+r.IntN(6))
		for range r.IntN(500) {
			h := randomPacket(r)
			part := &parts[r.IntN(len(parts))]
			whole.Add(&h)
			part.Add(&h)
			if class := int32(r.IntN(9)); class < 7 {
				whole.label(class, class%3 == 0, int(class)*7)
				part.label(class, class%3 == 0, int(class)*7)
			}
		}
		parts[0].Late, parts[0].Lost = 3, 4
		var merged Partial
		for _, i := range r.Perm(len(parts)) {
			merged.Merge(&parts[i])
		}
		if got, want := merged.Vector(), whole.Vector(); got != want {
			t.Fatalf("merged %d parts: got %v, want %v", len(parts), got, want)
		}
		if got, want := merged.Top(5), whole.Top(5); !reflect.DeepEqual(got, want) {
			t.Fatalf("top of merged parts: got %v, want %v", got, want)
		}
		if got, want := merged.Labels(), whole.Labels(); !slices.Equal(got, want) {
			t.Fatalf("labels of merged parts: got %v, want %v", got, want)
		}
		if merged.Late != 3 || merged.Lost != 4 {
			t.Fatalf("late, lost: got %d, %d, want 3, 4", merged.Late, merged.Lost)
		}
	}
}

// The variance of large numbers that differ little is where sums in floats lose their digits.
func TestVarianceIsExact(t *testing.T) {
	for _, test := range []struct {
		sizes []int
		want  float64
	}{
		{[]int{1500}, 0},
		{[]int{1500, 1500, 1500}, 0},
		{[]int{1<<31 - 1, 1<<31 - 2}, 0.25},
		{[]int{0, 1<<31 - 1}, float64(1<<31-1) * float64(1<<31-1) / 4},
		{[]int{1 << 40, 1<<40 + 2, 1<<40 + 4}, 8.0 / 3},
	} {
		var p Partial
		for _, size := range test.sizes {
			p.Add(&packet.Headers{Version: 4, IPLen: size})
		}
		if got := p.Vector()[packetSizeVar]; math.Abs(got-test.want) > 1e-15*test.want {
			t.Errorf("variance of %v: got %v, want %v", test.sizes, got, test.want)
		}
	}
	var p Partial
	for range 3_000_000 { // the sum of squares passes 64 bits
		p.Add(&packet.Headers{Version: 4, IPLen: 1 << 22})
		p.Add(&packet.Headers{Version: 4, IPLen: 1<<22 + 2})
	}
	if got := p.Vector()[packetSizeVar]; got != 1 {
		t.Errorf("variance of 6 million sizes one beside their mean: got %v, want 1", got)
	}
}

func addrOf(i uint32) (a packet.Addr) {
	binary.BigEndian.PutUint32(a[:], i)
	return a
}

// Past 1,048,576 addresses the count is an estimate, and still that of the whole however split.
func TestDistinctBeyondTheCap(t *testing.T) {
	const n = maxDistinct + 400_000
	var whole Partial
	var parts [3]Partial
	for i := range uint32(n) {
		h := packet.Headers{Version: 4, IPLen: 40, Src: addrOf(i * 2654435761)}
		if i == maxDistinct {
			if got := whole.Vector()[srcIPs]; got != maxDistinct {
				t.Errorf("at the cap: got %v addresses, want exactly %d", got, maxDistinct)
			}
		}
		whole.Add(&h)
		parts[i%7%3].Add(&h)
	}
	got := whole.Vector()
	if math.Abs(got[srcIPs]/n-1) > 0.03 {
		t.Errorf("beyond the cap: got %v addresses, want %d to 3 %%", got[srcIPs], n)
	}
	var merged Partial
	for i := range parts {
		merged.Merge(&parts[i])
	}
	if merged.Vector() != got {
		t.Errorf("merged: got %v, want %v", merged.Vector()[srcIPs], got[srcIPs])
	}
	var again Partial // a part already beyond the cap into an empty one, and the other way round
	again.Merge(&whole)
	if again.Vector() != got {
		t.Errorf("into empty: got %v, want %v", again.Vector()[srcIPs], got[srcIPs])
	}
	parts[0].Merge(&whole)
	if parts[0].Vector()[srcIPs] != got[srcIPs] {
		t.Errorf("into a part: got %v, want %v", parts[0].Vector()[srcIPs], got[srcIPs])
	}
	if size := whole.Size(); size > 100<<20 {
		t.Errorf("a window of %d addresses holds %d bytes, want at most 100 MiB", n, size)
	}
	whole.Reset()
	h := packet.Headers{Version: 4, Src: addrOf(1)}
	whole.Add(&h)
	if got := whole.Vector()[srcIPs]; got != 1 {
		t.Errorf("after Reset: got %v addresses, want 1", got)
	}
	whole.Reset()
	if size := whole.Size(); size > 1<<20 {
		t.Errorf("the second Reset after a flood still holds %d bytes", size)
	}
}

func TestTop(t *testing.T) {
	var p Partial
	for i, n := range []int{3, 9, 9, 1} {
		for range n {
			p.Add(&packet.Headers{Version: 4, Proto: 17, Has: packet.HasPorts, Src: addrOf(uint32(i)), DstPort: uint16(i)})
		}
	}
	got := p.Top(2)
	want := Top{
		SrcAddrs: []AddrCount{{netip.MustParseAddr("0.0.0.1"), 9}, {netip.MustParseAddr("0.0.0.2"), 9}},
		DstAddrs: []AddrCount{{netip.MustParseAddr("0.0.0.0"), 22}},
		SrcPorts: []PortCount{{0, 22}},
		DstPorts: []PortCount{{1, 9}, {2, 9}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := p.Top(0); got.SrcAddrs != nil {
		t.Errorf("Top(0): got %v, want nothing", got)
	}
}

func TestFilter(t *testing.T) {
	home, err := NewFilter([]netip.Prefix{
		netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("fd00::1/128"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		src, dst string
		want     bool
	}{
		{"10.0.0.1", "8.8.8.8", true},
		{"8.8.8.8", "10.255.0.1", true},
		{"10.0.0.1", "192.168.7.9", false},
		{"10.0.0.1", "192.168.8.9", true},
		{"8.8.8.8", "9.9.9.9", false},
		{"2001:db8:1::", "2001:db9::", true},
		{"2001:db8:1::", "2001:db8:2::", false},
		{"a00:1::", "2001:db9::", false}, // the bytes of 10.0.0.1, but IPv6
		{"fd00::1", "fd00::2", true},
	} {
		src, dst := netip.MustParseAddr(test.src), netip.MustParseAddr(test.dst)
		h := packet.Headers{Version: 4}
		if src.Is6() {
			h.Version = 6
		}
		copy(h.Src[:], src.AsSlice())
		copy(h.Dst[:], dst.AsSlice())
		if got := home.Counts(&h); got != test.want {
			t.Errorf("%s to %s: got %v, want %v", test.src, test.dst, got, test.want)
		}
	}
	if new(Filter).Counts(&packet.Headers{}) {
		t.Error("a frame without IP counts")
	}
	if _, err := NewFilter([]netip.Prefix{{}}); err == nil {
		t.Error("an invalid network: got no error")
	}
	all, err := NewFilter([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")})
	if err != nil || all.Counts(&packet.Headers{Version: 4}) {
		t.Errorf("inside to inside of 0.0.0.0/0 counts (error %v)", err)
	}
}

// golden is the features of a made-up half minute, as CSV.
func golden() []byte {
	var out bytes.Buffer
	w := NewCSVWriter(&out)
	s, err := NewSeries(5*time.Second/2, 0, func(win *Window) {
		if err := w.Write(win); err != nil {
			panic(err)
		}
	})
	if err != nil {
		panic(err)
	}
	a := s.NewAccumulator()
	r := rand.New(rand.NewPCG(3, 3))
	now := time.Date(2026, 11, 3, 8, 59, 50, 0, time.UTC).UnixNano()
	for i := range 60 {
		h := randomPacket(r)
		a.Add(now, &h)
		now += int64(r.IntN(int(time.Second)))
		if i == 30 {
			now += int64(8 * time.Second)
		}
	}
	s.Close(math.MaxInt64, a.Take(math.MaxInt64))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func TestGolden(t *testing.T) {
	const name = "testdata/made-up.csv"
	got := golden()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWritersReadBack(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	starts := []int64{0, 1, -1, 1_500_000_000, math.MinInt64, math.MaxInt64, 1_760_000_000_123_456_789}
	var vectors []Vector
	var csvOut, parquetOut bytes.Buffer
	writers := []Writer{NewCSVWriter(&csvOut), NewParquetWriter(&parquetOut)}
	for i, start := range starts {
		var p Partial
		for range i * 5 {
			h := randomPacket(r)
			p.Add(&h)
		}
		vectors = append(vectors, p.Vector())
		for _, w := range writers {
			if err := w.Write(&Window{Start: start, Length: time.Second, Partial: &p}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, w := range writers {
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}

	rows, err := csv.NewReader(&csvOut).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := rows[0]; got[0] != "start" || !reflect.DeepEqual(got[1:], Names[:]) {
		t.Errorf("CSV header: got %v", got)
	}
	for i, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[0])
		if err != nil || at.UnixNano() != starts[i] {
			t.Errorf("CSV start: got %s (error %v), want %d ns", row[0], err, starts[i])
		}
		for j, field := range row[1:] {
			if x, err := strconv.ParseFloat(field, 64); err != nil || x != vectors[i][j] {
				t.Errorf("CSV row %d, %s: got %s, want %v", i, Names[j], field, vectors[i][j])
			}
		}
	}
	if got := rows[4][0]; got != "1970-01-01T00:00:01.5Z" {
		t.Errorf("CSV start of 1.5 s: got %s", got)
	}

	file, err := parquet.OpenFile(bytes.NewReader(parquetOut.Bytes()), int64(parquetOut.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for i, column := range file.Schema().Columns() {
		want := "start"
		if i > 0 {
			want = Names[i-1]
		}
		if column[0] != want {
			t.Errorf("Parquet column %d: got %s, want %s", i, column[0], want)
		}
	}
	got := make([]parquet.Row, len(starts)+1)
	reader := parquet.NewGenericReader[any](file)
	defer reader.Close()
	n, err := reader.ReadRows(got)
	if err != nil && err != io.EOF || n != len(starts) {
		t.Fatalf("Parquet: got %d rows, error %v, want %d", n, err, len(starts))
	}
	for i, row := range got[:n] {
		if row[0].Int64() != starts[i] {
			t.Errorf("Parquet start: got %d, want %d", row[0].Int64(), starts[i])
		}
		for j := range Names {
			if x := row[1+j].Double(); x != vectors[i][j] {
				t.Errorf("Parquet row %d, %s: got %v, want %v", i, Names[j], x, vectors[i][j])
			}
		}
	}
}

// FuzzMerge splits made-up packets between two parts in every way that the fuzzer thinks of.
func FuzzMerge(f *testing.F) {
	f.Add([]byte("a few bytes that stand for packets"), uint64(5))
	f.Fuzz(func(t *testing.T, data []byte, split uint64) {
		var whole, left, right Partial
		var packets []packet.Headers
		for i := 0; i+8 <= len(data); i += 8 {
			b := data[i:]
			h := packet.Headers{
				Version: 4 + b[0]&1*2, Proto: b[1], TTL: b[2], TCPFlags: b[3], Has: uint16(b[0] >> 1),
				SrcPort: uint16(b[4]), DstPort: uint16(b[5]) << 4, IPLen: int(b[6])<<8 | int(b[7]),
			}
			h.Src[0], h.Dst[3] = b[4], b[5]
			packets = append(packets, h)
			whole.Add(&h)
			if split>>(i/8%64)&1 == 0 {
				left.Add(&h)
			} else {
				right.Add(&h)
			}
		}
		checkVector(t, whole.Vector(), naive(packets))
		left.Merge(&right)
		if left.Vector() != whole.Vector() {
			t.Errorf("merged: got %v, want %v", left.Vector(), whole.Vector())
		}
	})
}
