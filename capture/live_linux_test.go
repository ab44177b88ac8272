package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weirnet/weir/packet"
)

// namespace puts the test into a network namespace of its own that ends with it, with a loopback interface and two more, near
// and far, that are joined, with no traffic of their own. It needs root and iproute2; where WEIR_REQUIRE
// names live, as in CI, their absence is a failure.
func namespace(t *testing.T) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "root"
	} else if _, err := exec.LookPath("ip"); err != nil {
		missing = "ip, of Debian's package iproute2"
	}
	if missing == "" {
		runtime.LockOSThread() // for good: the thread ends with the test's goroutine
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			missing = fmt.Sprintf("the right to make a network namespace (%v)", err)
		}
	}
	if missing != "" {
		if strings.Contains(os.Getenv("WEIR_REQUIRE"), "live") {
			t.Fatalf("this test needs %s", missing)
		}
		t.Skipf("NOT RUN: this test needs %s", missing)
	}
	ip(t, "link add near type veth peer name far")
	for _, name := range []string{"near", "far"} {
		ip(t, "link set "+name+" arp off addrgenmode none mtu 3000")
		ip(t, "link set "+name+" up")
	}
	ip(t, "link set lo up")
	time.Sleep(50 * time.Millisecond)
}

func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
}

// sender sends frames on an interface.
func sender(t *testing.T, name string) (send func(frame []byte)) {
	t.Helper()
	device, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	to := unix.SockaddrLinklayer{Ifindex: device.Index}
	return func(frame []byte) {
		if err := unix.Sendto(fd, frame, 0, &to); err != nil {
			t.Errorf("sendto: %v", err)
		}
	}
}

func openLive(t *testing.T, cfg LiveConfig) *Live {
	t.Helper()
	l, err := OpenLive(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// stopAndDrain returns what is given out until the end.
func stopAndDrain(t *testing.T, l *Live) (packets []got) {
	t.Helper()
	l.Stop()
	batch := make([]Packet, 64)
	deadline := time.Now().Add(5 * time.Second)
	for {
		n, err := l.Read(batch)
		for i := range batch[:n] {
			packets = append(packets, keep(&batch[i]))
		}
		if err == io.EOF {
			return packets
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("Read: %d, %v", n, err)
		}
	}
}

// mark makes frame number n: Ethernet, then what nobody answers.
func mark(n, length int) []byte {
	b := make([]byte, length)
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00})
	binary.BigEndian.PutUint32(b[14:], uint32(n))
	return b
}

func number(data string) int { return int(binary.BigEndian.Uint32([]byte(data[14:]))) }

func TestLiveSeesFramesAsTheyAreOnTheWire(t *testing.T) {
	namespace(t)
	send := sender(t, "far")
	before := time.Now().UnixNano()
	l := openLive(t, LiveConfig{Interfaces: []string{"near"}, Rings: 2})
	plain := mark(1, 100)
	tagged := func(tags ...byte) []byte { return slices.Concat(plain[:12], tags, plain[12:]) }
	frames := [][]byte{
		plain,
		tagged(0x81, 0, 0x60, 5),
		tagged(0x88, 0xa8, 0, 7, 0x81, 0, 0, 5),
		mark(2, 1514),
		mark(3, 20),
	}
	var want []string
	for _, f := range frames {
		send(f)
		want = append(want, string(f))
	}
	var found []string
	for _, p := range stopAndDrain(t, l) {
		found = append(found, p.Data)
		if p.WireLen != len(p.Data) || p.Link != packet.LinkEthernet || p.Nanos < before || p.Nanos > time.Now().UnixNano() {
			t.Errorf("packet of %d bytes: wire length %d, link %d, time %d", len(p.Data), p.WireLen, p.Link, p.Nanos)
		}
	}
	if !slices.Equal(found, want) {
		t.Errorf("got  %x\nwant %x", found, want)
	}
	wantCounts := []LiveCounts{{Interface: "near", Captured: 5, Received: 5}}
	if c := l.Counts(); !reflect.DeepEqual(c, wantCounts) {
		t.Errorf("counts %+v, want %+v", c, wantCounts)
	}
}

func TestLiveSeesEachPacketOfLoopbackOnce(t *testing.T) {
	namespace(t)
	for _, name := range []string{"lo", AnyInterface} {
		l := openLive(t, LiveConfig{Interfaces: []string{name}, Rings: 2})
		to, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		from, err := net.Dial("udp4", to.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		for i := range 100 {
			fmt.Fprintf(from, "datagram %d", i)
		}
		packets := stopAndDrain(t, l)
		for i, p := range packets {
			var h packet.Headers
			if reason := h.Decode(p.Link, []byte(p.Data), p.WireLen); reason != packet.OK {
				t.Fatalf("%s: packet %d: %v", name, i, reason)
			}
			if got, want := string(h.Payload([]byte(p.Data))), fmt.Sprintf("datagram %d", i); got != want {
				t.Fatalf("%s: packet %d holds %q, want %q", name, i, got, want)
			}
		}
		if c := l.Counts()[0]; len(packets) != 100 || c.Captured != 100 || c.Received != 100 || c.Dropped != 0 {
			t.Errorf("%s: %d packets, counts %+v; want 100", name, len(packets), c)
		}
	}
}

func TestLiveReadsDevicesWithoutEthernet(t *testing.T) {
	namespace(t)
	tun, err := unix.Open("/dev/net/tun", unix.O_RDWR, 0)
	if err != nil {
		t.Skipf("no tun device here: %v", err)
	}
	defer unix.Close(tun)
	request, _ := unix.NewIfreq("tun0")
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, request); err != nil {
		t.Skipf("no tun device here: %v", err)
	}
	ip(t, "link set tun0 addrgenmode none")
	ip(t, "link set tun0 up")
	l := openLive(t, LiveConfig{Interfaces: []string{"tun0"}})
	whole := append([]byte{0x45, 0, 0, 24, 0, 0, 0, 0, 9, 253, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}, "weir"...)
	if _, err := unix.Write(tun, whole); err != nil {
		t.Fatal(err)
	}
	packets := stopAndDrain(t, l)
	if len(packets) != 1 || packets[0].Link != packet.LinkRaw || packets[0].Data != string(whole) {
		t.Errorf("got %+v, want the packet from its IP header on", packets)
	}
}

func TestLiveMergesInterfacesAndProcessors(t *testing.T) {
	namespace(t)
	ip(t, "link add near2 type veth peer name far2")
	for _, name := range []string{"near2", "far2"} {
		ip(t, "link set "+name+" arp off addrgenmode none up")
	}
	one, two := sender(t, "far"), sender(t, "far2")
	l := openLive(t, LiveConfig{Interfaces: []string{"near", "near2"}, Rings: 3})
	const frames = 3000
	for i := range frames {
		if i%50 == 0 { // to another processor, where there is one
			var set unix.CPUSet
			set.Set(i / 50 % runtime.NumCPU())
			unix.SchedSetaffinity(0, &set)
		}
		if i%3 == 0 {
			two(mark(i, 60))
		} else {
			one(mark(i, 60))
		}
	}
	packets := stopAndDrain(t, l)
	if len(packets) != frames {
		t.Fatalf("%d packets came, want %d", len(packets), frames)
	}
	for i, p := range packets {
		if number(p.Data) != i || i > 0 && p.Nanos < packets[i-1].Nanos {
			t.Fatalf("packet %d is number %d", i, number(p.Data))
		}
	}
	var captured []uint64
	for _, c := range l.Counts() {
		captured = append(captured, c.Captured)
	}
	if !slices.Equal(captured, []uint64{frames - frames/3, frames / 3}) {
		t.Errorf("captured %v", captured)
	}
}

func TestLiveCountsWhatItLoses(t *testing.T) {
	namespace(t)
	send := sender(t, "far")
	before := time.Now().UnixNano()
	l := openLive(t, LiveConfig{Interfaces: []string{"near"}, Rings: 2, RingMemory: 1})
	const frames = 4000
	for i := range frames {
		send(mark(i, 1514))
	}
	if fill, _ := l.Lag(); fill < 0.75 { // the last block of a ring may be begun
		t.Errorf("the rings are full to %v", fill)
	}
	packets := stopAndDrain(t, l)
	c := l.Counts()[0]
	if c.Captured != uint64(len(packets)) || c.Received != frames || c.Dropped != frames-c.Captured || c.Dropped == 0 {
		t.Errorf("%d packets came, counts %+v; want %d in all, some dropped", len(packets), c, frames)
	}
	var lost uint64
	for _, loss := range l.Losses() {
		lost += loss.Packets
		if loss.Nanos < before {
			t.Errorf("a loss at %d, before anything was captured", loss.Nanos)
		}
	}
	if lost != c.Dropped {
		t.Errorf("losses add up to %d, want %d", lost, c.Dropped)
	}
}

func TestLiveFilters(t *testing.T) {
	namespace(t)
	send := sender(t, "far")
	// Frame numbers that are even; the number of a tagged frame stands elsewhere.
	even := filterOf(t, bpf.LoadAbsolute{Off: 17, Size: 1}, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 1, SkipTrue: 1}, bpf.RetConstant{Val: 1 << 18}, bpf.RetConstant{})
	l := openLive(t, LiveConfig{
		Interfaces: []string{"near"}, SnapLen: 64,
		Filter: func(link packet.LinkType) (LiveFilter, error) {
			if link != packet.LinkEthernet {
				t.Errorf("the filter is for link type %d", link)
			}
			return even, nil
		},
	})
	var want []string
	for i := range 100 {
		frame := mark(i, 200)
		wanted := i%2 == 0
		if i%10 == 1 { // its number is at 18, and at 17 is one of the protocol's bytes, which is even
			frame = slices.Concat(frame[:12], []byte{0x81, 0, 0, 9}, frame[12:])
			wanted = true
		}
		send(frame)
		if wanted {
			want = append(want, string(frame[:64]))
		}
	}
	var found []string
	for _, p := range stopAndDrain(t, l) {
		found = append(found, p.Data[:min(64, len(p.Data))])
		if len(p.Data) > 64+tagLen || p.WireLen < 200 {
			t.Errorf("packet of %d bytes, %d on the wire", len(p.Data), p.WireLen)
		}
	}
	if !slices.Equal(found, want) {
		t.Errorf("%d packets came, want %d", len(found), len(want))
	}
	if c := l.Counts()[0]; c.Received != uint64(len(want)) || c.Captured != c.Received {
		t.Errorf("counts %+v, want %d received", c, len(want))
	}
	_, err := OpenLive(LiveConfig{Interfaces: []string{"near"}, Filter: func(packet.LinkType) (LiveFilter, error) { return LiveFilter{}, errors.New("no such word") }})
	if err == nil || err.Error() != "near: no such word" {
		t.Errorf("error %v, want that of the filter", err)
	}
}

func TestLiveFollowsItsInterface(t *testing.T) {
	namespace(t)
	ip(t, "link set near down")
	if _, err := OpenLive(LiveConfig{Interfaces: []string{"near"}}); !errors.Is(err, ErrDown) {
		t.Errorf("error %v, want ErrDown", err)
	}
	if _, err := OpenLive(LiveConfig{Interfaces: []string{"nowhere"}}); !errors.Is(err, ErrNoInterface) {
		t.Errorf("error %v, want ErrNoInterface", err)
	}
	ip(t, "link set near up")
	l := openLive(t, LiveConfig{Interfaces: []string{"near"}, Rings: 2})
	batch := make([]Packet, 64)
	seen := 0
	until := func(what string, ok func(c LiveCounts) bool) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Second); !ok(l.Counts()[0]); {
			n, err := l.Read(batch)
			seen += n
			if err != nil && err != io.EOF || time.Now().After(deadline) {
				t.Fatalf("%s: %v, counts %+v", what, err, l.Counts())
			}
		}
	}
	send := sender(t, "far")
	send(mark(1, 60))
	until("first packet", func(LiveCounts) bool { return seen == 1 })
	ip(t, "link set near down")
	until("down", func(c LiveCounts) bool { return c.Down && !c.Gone })
	ip(t, "link set near up")
	until("up again", func(c LiveCounts) bool { return !c.Down })
	send(mark(2, 60))
	until("second packet", func(LiveCounts) bool { return seen == 2 })
	send(mark(3, 60))
	ip(t, "link del near")
	until("gone", func(c LiveCounts) bool { return c.Gone })
	for {
		n, err := l.Read(batch)
		if seen += n; err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen != 3 {
		t.Errorf("%d packets came, want 3", seen)
	}
}

func TestLiveTellsMergedFrames(t *testing.T) {
	namespace(t)
	send := sender(t, "far")
	ip(t, "link set near mtu 1500")
	l := openLive(t, LiveConfig{Interfaces: []string{"near"}})
	ip(t, "link set near mtu 3000")
	send(mark(1, 1514))
	send(mark(2, 3000))
	if packets := stopAndDrain(t, l); len(packets) != 2 || len(packets[1].Data) != 3000 {
		t.Errorf("got %d packets, want 2", len(packets))
	}
	if c := l.Counts()[0]; c.Oversize != 1 {
		t.Errorf("counts %+v, want 1 frame longer than the link allows", c)
	}
}

func TestLiveNeedsPermission(t *testing.T) {
	namespace(t)
	// Of this thread alone, which ends with the test.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
		t.Fatal(errno)
	}
	if err := CanCapture(); !errors.Is(err, ErrNoPermission) {
		t.Errorf("CanCapture: %v, want ErrNoPermission", err)
	}
	if _, err := OpenLive(LiveConfig{Interfaces: []string{"lo"}}); !errors.Is(err, ErrNoPermission) {
		t.Errorf("OpenLive: %v, want ErrNoPermission", err)
	}
}

func TestInterfaces(t *testing.T) {
	namespace(t)
	ip(t, "addr add 192.0.2.1/24 dev near")
	ip(t, "link set far down")
	want := map[string]string{
		"lo":   "true true true 1 65536 [127.0.0.1/8 ::1/128] true",
		"near": "true false false 1 3000 [192.0.2.1/24] true",
		"far":  "false false false 1 3000 [] true",
	}
	found := map[string]string{}
	for range 100 { // until the kernel has noticed that near has no carrier
		all, err := Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		clear(found)
		for _, i := range all {
			if want[i.Name] != "" {
				found[i.Name] = fmt.Sprint(i.Up, i.Running, i.Loopback, i.Link, i.MTU, i.Addresses, slices.Contains(i.Offloads, "gso"))
			}
		}
		if maps.Equal(found, want) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("got  %q\nwant %q", found, want)
}

// TestRingMatchesTheKernel holds the sizes that the ring counts on to what the kernel does.
func TestRingMatchesTheKernel(t *testing.T) {
	if unsafe.Sizeof(unix.Tpacket3Hdr{}) != unix.SizeofTpacket3Hdr || blockHeader != 8 || addrOffset != 48 {
		t.Fatal("the structures of the ring are not as in <linux/if_packet.h>")
	}
	namespace(t)
	send := sender(t, "far")
	l := openLive(t, LiveConfig{Interfaces: []string{"near"}})
	send(mark(1, 60))
	batch := make([]Packet, 1)
	for deadline := time.Now().Add(5 * time.Second); ; {
		if n, err := l.Read(batch); err != nil || time.Now().After(deadline) {
			t.Fatal(n, err)
		} else if n == 1 {
			break
		}
	}
	r := l.rings[0]
	at := bytes.Index(r.memory, mark(1, 60))
	h := r.header(48)
	if room := int(h.Mac) - addrOffset - unix.SizeofSockaddrLinklayer; at != 48+int(h.Mac) || room < sll2Len+tagLen {
		t.Errorf("the frame lies at %d, its header says %d, with %d bytes of room before it", at, 48+int(h.Mac), room)
	}
}
