package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weirnet/weir/packet"
)

// fakeKernel fills a ring as the kernel does.
type fakeKernel struct {
	r      *ring
	number int // of the block that it fills
}

func newFakeKernel(blockSize, blocks int) (*fakeKernel, *ring) {
	r := &ring{memory: make([]byte, blockSize*blocks), blockSize: blockSize, blocks: blocks, link: packet.LinkEthernet, longest: 1522}
	k := &fakeKernel{r: r}
	k.fill(1)
	return k, r
}

// fakePacket is a packet as a driver hands it over.
type fakePacket struct {
	nanos    int64
	data     []byte // without the tag
	wireLen  int    // 0: all of it is in data
	tci, tag int    // VLAN tag that was taken off; tag 0: none
	protocol uint16 // of the cooked header
	kind     uint8
}

// block hands over a block with packets. It fails when the ring is full.
func (k *fakeKernel) block(t testing.TB, packets ...fakePacket) {
	t.Helper()
	head := k.r.block(k.number)
	if head.Block_status != unix.TP_STATUS_KERNEL {
		t.Fatalf("block %d is not the kernel's", k.number)
	}
	base := k.number * k.r.blockSize
	at := base + 48
	head.Num_pkts, head.Offset_to_first_pkt = uint32(len(packets)), 48
	for _, p := range packets {
		h := k.r.header(at)
		*h = unix.Tpacket3Hdr{
			Sec: uint32(p.nanos / 1e9), Nsec: uint32(p.nanos % 1e9), Status: unix.TP_STATUS_USER,
			Snaplen: uint32(len(p.data)), Len: uint32(max(p.wireLen, len(p.data))), Mac: 96 + reserve - 14,
		}
		if p.tag != 0 {
			h.Status |= unix.TP_STATUS_VLAN_VALID
			h.Hv1.Vlan_tci = uint32(p.tci)
			if p.tag != unix.ETH_P_8021Q {
				h.Status |= unix.TP_STATUS_VLAN_TPID_VALID
				h.Hv1.Vlan_tpid = uint16(p.tag)
			}
		}
		*(*unix.RawSockaddrLinklayer)(unsafe.Pointer(&k.r.memory[at+addrOffset])) = unix.RawSockaddrLinklayer{
			Family: unix.AF_PACKET, Protocol: networkOrder(p.protocol), Ifindex: 7, Hatype: unix.ARPHRD_ETHER, Pkttype: p.kind,
			Halen: 6, Addr: [8]uint8{2, 4, 6, 8, 10, 12},
		}
		copy(k.r.memory[at+int(h.Mac):], p.data)
		size := (int(h.Mac) + len(p.data) + 15) &^ 15
		h.Next_offset = uint32(size)
		at += size
		if at > base+k.r.blockSize {
			t.Fatal("the block is too short for the packets of the test")
		}
	}
	head.Block_status = unix.TP_STATUS_USER
	k.number = (k.number + 1) % k.r.blocks
	k.fill(1)
}

// fill says how many packets are in the block that the kernel fills.
func (k *fakeKernel) fill(packets uint32) {
	if open := k.r.block(k.number); open.Block_status == unix.TP_STATUS_KERNEL {
		open.Num_pkts = packets
	}
}

// takeAll gives out what a ring has.
func takeAll(r *ring) (packets []got) {
	for r.ready() {
		var p Packet
		if r.take(&p) {
			packets = append(packets, keep(&p))
		}
	}
	return packets
}

func TestRingPutsTagsBack(t *testing.T) {
	plain := append(frame(12, 1), 0x08, 0x00, 0x45, 1, 2, 3)
	inner := append(frame(12, 1), 0x81, 0x00, 0x00, 0x05, 0x08, 0x00, 0x45)
	with := func(tag ...byte) string { return string(slices.Concat(plain[:12], tag, plain[12:])) }
	tests := []struct {
		name string
		give fakePacket
		want string
		wire int
	}{
		{"no tag", fakePacket{data: plain}, string(plain), 18},
		{"cut by the snap length", fakePacket{data: plain, wireLen: 900}, string(plain), 900},
		{"802.1Q", fakePacket{data: plain, tag: 0x8100, tci: 0x2004}, with(0x81, 0, 0x20, 4), 22},
		{"802.1Q, cut", fakePacket{data: plain, wireLen: 900, tag: 0x8100, tci: 77}, with(0x81, 0, 0, 77), 904},
		{"802.1ad", fakePacket{data: plain, tag: 0x88a8, tci: 77}, with(0x88, 0xa8, 0, 77), 22},
		{"802.1ad and another in the frame", fakePacket{data: inner, tag: 0x88a8, tci: 77}, string(slices.Concat(inner[:12], []byte{0x88, 0xa8, 0, 77}, inner[12:])), 23},
		{"cut before the tag's place", fakePacket{data: plain[:11], tag: 0x8100, tci: 1}, string(plain[:11]), 11},
	}
	k, r := newFakeKernel(4096, 4)
	for _, test := range tests {
		test.give.nanos = 5_000000007
		k.block(t, test.give)
		want := []got{{Nanos: 5_000000007, WireLen: test.wire, Link: packet.LinkEthernet, Data: test.want}}
		if all := takeAll(r); !reflect.DeepEqual(all, want) {
			t.Errorf("%s: got %+v, want %+v", test.name, all, want)
		}
		r.release()
	}
}

func TestRingCooks(t *testing.T) {
	k, r := newFakeKernel(4096, 4)
	r.link, r.cooked = packet.LinkSLL2, true
	ip := []byte{0x45, 1, 2, 3}
	k.block(t, fakePacket{data: ip, protocol: 0x0800, kind: 3}, fakePacket{data: ip, wireLen: 90, protocol: 0x0800, tag: 0x8100, tci: 9})
	sll := func(protocol uint16, kind byte) []byte {
		return slices.Concat(binary.BigEndian.AppendUint16(nil, protocol), []byte{0, 0, 0, 0, 0, 7, 0, 1, kind, 6, 2, 4, 6, 8, 10, 12, 0, 0})
	}
	want := []got{
		{WireLen: 24, Link: packet.LinkSLL2, Data: string(slices.Concat(sll(0x0800, 3), ip))},
		{WireLen: 114, Link: packet.LinkSLL2, Data: string(slices.Concat(sll(0x8100, 0), []byte{0, 9, 8, 0}, ip))},
	}
	if all := takeAll(r); !reflect.DeepEqual(all, want) {
		t.Errorf("got  %+v\nwant %+v", all, want)
	}
}

func TestRingLendsBlocks(t *testing.T) {
	k, r := newFakeKernel(4096, 4)
	one := fakePacket{nanos: 1, data: frame(60, 1)}
	for round := range 9 {
		k.block(t, one, one, one)
		k.block(t) // empty blocks are passed over
		k.block(t, one, one)
		if got := r.full(); got != 3 {
			t.Fatalf("round %d: %d blocks are full, want 3", round, got)
		}
		var p Packet
		for range 4 {
			if !r.ready() || !r.take(&p) {
				t.Fatal("no packet")
			}
		}
		r.release()
		if got := r.full(); got != 1 { // the one at hand stays
			t.Fatalf("round %d: %d blocks are full, want 1", round, got)
		}
		if n := len(takeAll(r)); n != 1 {
			t.Fatalf("round %d: %d packets were left, want 1", round, n)
		}
		if got := r.full(); got != 1 {
			t.Fatalf("round %d: %d blocks are lent, want 1", round, got)
		}
		r.release()
		if got := r.full(); got != 0 {
			t.Fatalf("round %d: %d blocks are full, want 0", round, got)
		}
	}
	if r.captured != 9*5 || r.oversize != 0 {
		t.Errorf("counted %d packets, %d oversize", r.captured, r.oversize)
	}
	k.block(t, fakePacket{data: frame(60, 1), wireLen: 1523}, fakePacket{data: frame(60, 1), wireLen: 1522})
	takeAll(r)
	if r.oversize != 1 {
		t.Errorf("counted %d frames longer than the link allows, want 1", r.oversize)
	}
}

// port443 accepts TCP from port 443 over IPv4 without options, in untagged frames.
var port443 = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x0800, SkipTrue: 3},
	bpf.LoadAbsolute{Off: 34, Size: 2}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 443, SkipTrue: 1},
	bpf.RetConstant{Val: 50}, bpf.RetConstant{},
}

func TestRingFiltersWhatTheKernelSawOtherwise(t *testing.T) {
	filter := filterOf(t, port443...)
	k, r := newFakeKernel(4096, 4)
	_, r.match = filter.divide(packet.LinkEthernet, false, 1, 96)
	data := slices.Concat(make([]byte, 12), []byte{8, 0}, make([]byte, 20), []byte{1, 443 - 256}, make([]byte, 40))
	// The kernel has judged the first. The second is one of a VLAN, which the program does not look into.
	k.block(t, fakePacket{data: data}, fakePacket{data: data, tag: 0x8100, tci: 5})
	if n := len(takeAll(r)); n != 1 || r.captured != 1 || r.refused != 1 {
		t.Errorf("%d packets came, counts %d and %d refused; want 1, 1 and 1", n, r.captured, r.refused)
	}
	// Cooked, all of it is judged here.
	filter = filterOf(t, bpf.LoadAbsolute{Off: 0, Size: 2}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x86dd, SkipFalse: 1}, bpf.RetConstant{Val: 30}, bpf.RetConstant{})
	_, r.match = filter.divide(packet.LinkSLL2, true, 1, 96)
	r.link, r.cooked = packet.LinkSLL2, true
	k.block(t, fakePacket{data: frame(40, 0), protocol: 0x0800}, fakePacket{data: frame(40, 0), protocol: 0x86dd})
	if all := takeAll(r); len(all) != 1 || all[0].WireLen != 60 {
		t.Errorf("got %+v, want one packet", all)
	}
}

// filterOf makes a filter of a program for frames as they are in files.
func filterOf(t *testing.T, program ...bpf.Instruction) LiveFilter {
	t.Helper()
	raw, err := bpf.Assemble(program)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return LiveFilter{Program: raw, Match: func(frame []byte, _ int) bool {
		n, err := vm.Run(frame)
		return err == nil && n > 0
	}}
}

func TestFilterIsDivided(t *testing.T) {
	both := filterOf(t, port443...)
	socket := LiveFilter{Match: both.Match, Program: both.Program, Socket: []bpf.RawInstruction{{Op: loadW, K: askTagged}, {Op: 0x16}}}
	own := LiveFilter{Socket: socket.Socket}
	for _, test := range []struct {
		name   string
		filter LiveFilter
		link   packet.LinkType
		cooked bool
		length int  // of the program, without the part that leaves out what loopback sent
		here   bool // some frames are judged here
	}{
		{"none", LiveFilter{}, packet.LinkEthernet, false, 1, false},
		{"none, cooked", LiveFilter{}, packet.LinkSLL2, true, 1, false},
		{"for frames", both, packet.LinkEthernet, false, 3 + 1 + 6, true},
		{"for frames, no Ethernet", both, packet.LinkRaw, false, 1 + 6, false},
		{"for frames, cooked", both, packet.LinkSLL2, true, 1, true},
		{"for both", socket, packet.LinkEthernet, false, 1 + 2, false},
		{"for both, cooked", socket, packet.LinkSLL2, true, 1, true},
		{"for the kernel alone", own, packet.LinkEthernet, false, 1 + 2, false},
		{"for the kernel alone, cooked", own, packet.LinkSLL2, true, 1 + 2, false},
	} {
		program, match := test.filter.divide(test.link, test.cooked, 1, 96)
		if got := len(program) - 5; got != test.length || (match != nil) != test.here {
			t.Errorf("%s: a program of %d more instructions, judged here: %v; want %d and %v", test.name, got, match != nil, test.length, test.here)
		}
		for _, i := range program {
			if i.Op == retK && i.K > 96 {
				t.Errorf("%s: packets may be %d bytes long, want no more than 96", test.name, i.K)
			}
		}
	}
}

// fakeLive is a Live over rings that no kernel fills.
func fakeLive(rings ...*ring) *Live {
	return &Live{rings: rings, hold: holdBack, opened: time.Now(), control: -1, interfaces: []*liveInterface{{rings: rings}}}
}

func TestMergeOrdersRingsByTime(t *testing.T) {
	ka, a := newFakeKernel(8192, 8)
	kb, b := newFakeKernel(8192, 8)
	kc, c := newFakeKernel(8192, 8)
	at := func(nanos ...int64) (packets []fakePacket) {
		for _, n := range nanos {
			packets = append(packets, fakePacket{nanos: n, data: frame(60, byte(n))})
		}
		return packets
	}
	ka.block(t, at(1, 2, 5, 6)...)
	ka.block(t, at(7, 20)...)
	kb.block(t, at(3, 4, 8, 9)...)
	kb.block(t, at(30)...)
	kc.block(t, at(10)...)
	l := fakeLive(a, b, c)
	var times []int64
	step := func(size int, horizon int64) (waiting bool) {
		batch := make([]Packet, size)
		for _, r := range l.rings {
			r.release()
		}
		n, waiting, _ := l.merge(batch, visible{open: horizon, quiet: math.MinInt64})
		for i := range batch[:n] {
			if batch[i].Data[0] != byte(batch[i].Nanos) {
				t.Errorf("packet at %d has the bytes of another", batch[i].Nanos)
			}
			times = append(times, batch[i].Nanos)
		}
		return waiting
	}
	step(5, 15)
	if want := []int64{1, 2, 3, 4, 5}; !slices.Equal(times, want) || l.Complete() != 5 {
		t.Fatalf("got %v, complete to %d; want %v and 5", times, l.Complete(), want)
	}
	// Ring c is empty after its packet at 10: nothing after the horizon may come before what it may still show.
	if waiting := step(100, 15); !waiting || l.Complete() != 15 || !slices.Equal(times[5:], []int64{6, 7, 8, 9, 10}) {
		t.Fatalf("got %v, complete to %d, waiting %v; want up to 10, 15 and true", times, l.Complete(), waiting)
	}
	kc.block(t, at(16, 31)...)
	step(100, 18) // all three have one: the oldest may go
	if !slices.Equal(times[10:], []int64{16, 20}) || l.Complete() != 18 {
		t.Fatalf("got %v, complete to %d; want 16, 20 and 18", times[10:], l.Complete())
	}
	if waiting := step(100, 40); waiting || !slices.Equal(times[12:], []int64{30, 31}) || l.Complete() != 40 {
		t.Fatalf("got %v, complete to %d, waiting %v; want 30, 31, 40 and false", times[12:], l.Complete(), waiting)
	}
	if fill, _ := l.Lag(); fill != 2.0/24 { // what was given out since the last release
		t.Errorf("the rings are full to %v, want %v", fill, 2.0/24)
	}
}

func TestClockThatIsSet(t *testing.T) {
	const day = int64(24 * time.Hour)
	ka, a := newFakeKernel(8192, 8)
	kb, b := newFakeKernel(8192, 8)
	var times []int64
	for _, by := range []int64{day, -day, 3e9, -3e9} {
		l := fakeLive(a, b)
		start := 100 * day
		wall, passed := start, time.Second
		read := func(after time.Duration, step int64) (given int) {
			wall, passed = wall+int64(after)+step, passed+after
			visible := l.look(wall, passed)
			batch := make([]Packet, 10)
			for _, r := range l.rings {
				r.release()
			}
			n, _, _ := l.merge(batch, visible)
			for i := range batch[:n] {
				times = append(times, batch[i].Nanos-start)
			}
			return n
		}
		read(0, 0)
		read(time.Second, 1e6) // adjusted a little
		if l.step.by != 0 || l.Complete() != wall-int64(l.hold) {
			t.Fatalf("by %d: step %v, complete to %d", by, l.step.by, l.Complete())
		}
		// One ring has packets from before and after, the other from before alone, then from after.
		ka.block(t, fakePacket{nanos: wall + 1, data: frame(60, 1)}, fakePacket{nanos: wall + 3 + by, data: frame(60, 1)})
		kb.block(t, fakePacket{nanos: wall + 2, data: frame(60, 1)})
		times = nil
		first := wall - start
		if n := read(time.Millisecond, by); n != 2 || !slices.Equal(times, []int64{first + 1, first + 2}) {
			t.Fatalf("by %d: got %v, want the two packets from before, from %d", by, times, first)
		}
		kb.block(t, fakePacket{nanos: wall + 1, data: frame(60, 1)})
		if n := read(time.Millisecond, 0); n != 0 || l.step.by < time.Duration(by)-1 || l.step.by > time.Duration(by)+1 {
			t.Fatalf("by %d: got %d packets, step %v", by, n, l.step.by)
		}
		l.step = clockStep{} // as Read does once the block timeout has passed
		if n := read(l.hold+1, 0); n != 2 || times[2] != first+3+by {
			t.Fatalf("by %d: got %v, want the two packets from after", by, times)
		}
		// A machine that slept is one whose clock was set ahead; an hour between two calls is none.
		if read(time.Hour, 0); l.step.by != 0 {
			t.Errorf("by %d: step %v after an hour", by, l.step.by)
		}
		a.release()
		b.release()
	}
}

// A ring whose open block is empty does not hold the others back.
func TestMergeSeesThatNothingIsThere(t *testing.T) {
	ka, a := newFakeKernel(8192, 4)
	kb, b := newFakeKernel(8192, 4)
	l := fakeLive(a, b)
	batch := make([]Packet, 10)
	v := visible{open: 10, quiet: 50}
	ka.block(t, fakePacket{nanos: 40, data: frame(60, 1)}, fakePacket{nanos: 60, data: frame(60, 1)})
	if n, waiting, _ := l.merge(batch, v); n != 0 || !waiting || l.Complete() != 10 {
		t.Errorf("beside a block that is being filled: %d packets, waiting %v, complete to %d; want 0, true and 10", n, waiting, l.Complete())
	}
	kb.fill(0)
	if n, waiting, _ := l.merge(batch, v); n != 1 || !waiting || l.Complete() != 50 {
		t.Errorf("beside an empty block: %d packets, waiting %v, complete to %d; want 1, true and 50", n, waiting, l.Complete())
	}
	// All blocks that were given out are lent: the kernel fills none.
	for i := range 4 {
		kb.block(t, fakePacket{nanos: int64(70 + i), data: frame(60, 1)})
	}
	takeAll(b)
	if b.quiet() {
		t.Error("a ring of which all is lent is said to be empty")
	}
}

func TestLossesAreSpreadOverTheTimeThatTheyTook(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, test := range []struct {
		passed  time.Duration
		packets uint64
		want    []Loss // Nanos: before now
	}{
		{100 * time.Millisecond, 0, nil},
		{100 * time.Millisecond, 7, []Loss{{0, 7}}},
		{0, 7, []Loss{{0, 7}}},
		{300 * time.Millisecond, 7, []Loss{{-200e6, 2}, {-100e6, 2}, {0, 3}}},
		{time.Second, 2, []Loss{{-500e6, 1}, {0, 1}}},
	} {
		var want []Loss
		for _, l := range test.want {
			want = append(want, Loss{now.UnixNano() + l.Nanos, l.Packets})
		}
		if got := appendLosses(nil, now.Add(-test.passed), now, test.packets); !slices.Equal(got, want) {
			t.Errorf("%d packets in %v: %v, want %v", test.packets, test.passed, got, want)
		}
	}
	year := appendLosses(nil, now.AddDate(-1, 0, 0), now, 1e12)
	var sum uint64
	for k, l := range year {
		sum += l.Packets
		if k > 0 && l.Nanos <= year[k-1].Nanos {
			t.Fatalf("loss %d of a year is no later than the one before", k)
		}
	}
	if len(year) > 5000 || sum != 1e12 {
		t.Errorf("a year is %d losses that add up to %d, want few and 10¹²", len(year), sum)
	}
}

func TestReadLendsNoMoreThanHalfARing(t *testing.T) {
	k, r := newFakeKernel(4096, 4)
	l := fakeLive(r)
	now := time.Now().UnixNano()
	for range 4 {
		k.block(t, fakePacket{nanos: now, data: frame(60, 1)}, fakePacket{nanos: now, data: frame(60, 1)})
	}
	batch := make([]Packet, 100)
	for _, want := range []int{4, 4} {
		if n, err := l.Read(batch); n != want || err != nil {
			t.Fatalf("Read = %d, %v; want %d", n, err, want)
		}
	}
	// A filter that wants nothing of half a ring does not end the batch.
	r.match = func(frame []byte, _ int) bool { return frame[0] != 0 }
	l.Read(batch[:1])
	for range 3 {
		k.block(t, fakePacket{nanos: now, data: make([]byte, 60), tag: 0x8100})
	}
	k.block(t, fakePacket{nanos: now, data: frame(60, 1), tag: 0x8100})
	if n, err := l.Read(batch); n != 1 || err != nil {
		t.Fatalf("Read = %d, %v; want 1", n, err)
	}
	// Nothing comes: Read returns without a packet, and says that time has passed.
	before := l.Complete()
	if n, err := l.Read(batch); n != 0 || err != nil || l.Complete() <= before {
		t.Fatalf("Read = %d, %v, complete from %d to %d; want nothing and later", n, err, before, l.Complete())
	}
	k.block(t, fakePacket{nanos: now, data: frame(60, 1)})
	l.Stop()
	if n, err := l.Read(batch); n != 1 || err != nil {
		t.Fatalf("Read after Stop = %d, %v; want what is there", n, err)
	}
	for {
		n, err := l.Read(batch)
		if err == io.EOF {
			break
		}
		if n != 0 || err != nil {
			t.Fatalf("Read = %d, %v; want the end", n, err)
		}
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	ka, a := newFakeKernel(1<<16, 4)
	kb, b := newFakeKernel(1<<16, 4)
	l := fakeLive(a, b)
	packets := make([]fakePacket, 100)
	data := frame(60, 1)
	batch := make([]Packet, 64)
	allocs := testing.AllocsPerRun(50, func() {
		for i := range packets {
			packets[i] = fakePacket{nanos: int64(i), data: data, tag: 0x8100 * (i % 2)}
		}
		ka.block(t, packets...)
		kb.block(t, packets...)
		for left := 200; left > 0; {
			n, err := l.Read(batch)
			if n == 0 || err != nil {
				t.Fatal(n, err)
			}
			left -= n
		}
	})
	if allocs != 0 {
		t.Errorf("200 packets allocate %v times", allocs)
	}
}

func TestLayout(t *testing.T) {
	for _, test := range []struct{ memory, blockSize, blocks int }{
		{256 << 20, 1 << 20, 256},
		{128 << 20, 1 << 19, 256},
		{64 << 20, 1 << 18, 256},
		{63 << 20, 1 << 17, 504},
		{4 << 20, 1 << 17, 32},
		{1 << 20, 1 << 17, 8},
		{1, 1 << 17, 4},
	} {
		if size, n := layout(test.memory); size != test.blockSize || n != test.blocks {
			t.Errorf("layout(%d) = %d blocks of %d, want %d of %d", test.memory, n, size, test.blocks, test.blockSize)
		}
	}
}

func TestParseInterfaces(t *testing.T) {
	for _, test := range []struct {
		lists []string
		want  string
	}{
		{[]string{"eth0"}, "[eth0] <nil>"},
		{[]string{"eth0,eth1", "lo"}, "[eth0 eth1 lo] <nil>"},
		{[]string{"eth0", "eth0"}, "[] capture: interface eth0 given twice"},
		{[]string{"eth0,"}, `[] capture: empty interface name in "eth0,"`},
		{[]string{"any", "lo"}, "[] capture: any stands for all interfaces and goes with no other"},
	} {
		names, err := ParseInterfaces(test.lists)
		if got := fmt.Sprint(names, err); got != test.want {
			t.Errorf("ParseInterfaces(%q) = %s, want %s", test.lists, got, test.want)
		}
	}
}

// BenchmarkRing measures what Read costs per packet of the minimum size, of one ring and merged from two.
func BenchmarkRing(b *testing.B) {
	for _, rings := range []int{1, 2} {
		b.Run(fmt.Sprint(rings), func(b *testing.B) {
			var kernels []*fakeKernel
			l := fakeLive()
			var packets []fakePacket
			for i := range 4000 {
				packets = append(packets, fakePacket{nanos: int64(i), data: frame(60, 1)})
			}
			for range rings {
				k, r := newFakeKernel(1<<20, 8)
				kernels, l.rings = append(kernels, k), append(l.rings, r)
			}
			batch := make([]Packet, 1024)
			sum := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for _, k := range kernels {
					k.block(b, packets...)
				}
				b.StartTimer()
				for left := rings * len(packets); left > 0; {
					n, _ := l.Read(batch)
					for i := range batch[:n] {
						sum += int(batch[i].Data[12])
					}
					left -= n
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rings*len(packets)), "ns/packet")
		})
	}
}
