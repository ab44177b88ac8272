package capture

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weirnet/weir/packet"
)

// Live is one stream of packets from one or more interfaces, in order of their times: packet sockets with a TPACKET_V3
// ring each, read in place. One goroutine calls its methods, except Stop.
//
// An interface has several rings when several processors receive (PACKET_FANOUT_CPU): each fills its own, so
// that none waits for another, and in order of time. A full ring spills into the others (PACKET_FANOUT_FLAG_ROLLOVER).
// Read merges the rings by time, which puts the flows together again whatever processor saw which half; therefore no
// distribution by flow is asked of the kernel, and no reassembly of fragments (PACKET_FANOUT_FLAG_DEFRAG), after which
// packets would not be those of the wire.
type Live struct {
	interfaces []*liveInterface
	rings      []*ring
	sockets    []int // of the rings
	poll       []unix.PollFd
	control    int // socket for ioctl; -1 when closed

	hold     time.Duration // a packet is visible no later than this after its time
	complete int64         // see Complete
	losses   []Loss
	stop     atomic.Bool
	stopped  time.Time // when nothing more was let in; zero before

	opened  time.Time
	wall    int64         // time of day when Read last looked, in nanoseconds since the Unix epoch
	passed  time.Duration // and the time since opened, by the clock that is never set
	step    clockStep     // while packets from before it may be in the rings
	stepped time.Duration // see ClockStep
	counted time.Time     // when the kernel was last asked for its counts
	asked   time.Time     // and the drivers for theirs
}

// liveInterface is an interface that is watched.
type liveInterface struct {
	counts  LiveCounts
	index   int
	rings   []*ring
	sockets []int
	missed  uint64 // that the driver told last
}

// clockStep is that the clock of the machine was set by some time, more than zero when ahead.
type clockStep struct {
	by     time.Duration
	border int64         // between the times of packets from before and after
	seen   time.Duration // when, since opened
}

// after reports whether a time is from after the clock was set.
func (s *clockStep) after(nanos int64) bool {
	return s.by > 0 && nanos >= s.border || s.by < 0 && nanos < s.border
}

// OpenLive opens the interfaces. Packets are seen from its return on, up to Stop. The error wraps ErrNoPermission,
// ErrNoInterface or ErrDown where it is one of them.
func OpenLive(cfg LiveConfig) (*Live, error) {
	cfg = cfg.withDefaults()
	if len(cfg.Interfaces) == 0 {
		return nil, errors.New("capture: no interface given")
	}
	control, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	now := time.Now()
	l := &Live{control: control, hold: cfg.BlockTimeout + holdBack, complete: math.MinInt64, opened: now, counted: now, asked: now}
	for _, name := range cfg.Interfaces {
		if err := l.open(name, cfg); err != nil {
			l.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return l, nil
}

// open adds an interface.
func (l *Live) open(name string, cfg LiveConfig) error {
	i := &liveInterface{counts: LiveCounts{Interface: name}}
	link, cooked, longest := packet.LinkSLL2, true, math.MaxInt
	if name != AnyInterface {
		device, err := net.InterfaceByName(name)
		if err != nil {
			return ErrNoInterface
		}
		if device.Flags&net.FlagUp == 0 {
			return fmt.Errorf("%w: ip link set %s up", ErrDown, name)
		}
		hardware, err := hardwareType(l.control, name)
		if err != nil {
			return err
		}
		i.index = device.Index
		if link, cooked = linkOf(hardware); link == packet.LinkEthernet {
			longest = device.MTU + 14 + 2*tagLen
		}
	}
	var filter LiveFilter
	if cfg.Filter != nil {
		var err error
		if filter, err = cfg.Filter(link); err != nil {
			return err
		}
	}
	program, match := filter.divide(link, cooked, loopbackIndex(), cfg.SnapLen)
	blockSize, blocks := layout(cfg.RingMemory / len(cfg.Interfaces) / cfg.Rings)
	l.interfaces = append(l.interfaces, i)
	for range cfg.Rings {
		r := &ring{
			blockSize: blockSize, blocks: blocks,
			link: link, cooked: cooked, match: match, longest: longest,
		}
		fd, err := r.open(i.index, cfg.BlockTimeout)
		if err != nil {
			return err
		}
		l.rings, l.sockets = append(l.rings, r), append(l.sockets, fd)
		i.rings, i.sockets = append(i.rings, r), append(i.sockets, fd)
		l.poll = append(l.poll, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if err := join(i.sockets); err != nil {
		return err
	}
	if !cfg.NoPromiscuous && i.index != 0 {
		all := unix.PacketMreq{Ifindex: int32(i.index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(i.sockets[0], unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &all); err != nil {
			return os.NewSyscallError("setsockopt PACKET_ADD_MEMBERSHIP", err)
		}
	}
	i.missed = missed(name)
	for _, fd := range i.sockets {
		if err := attach(fd, program); err != nil {
			return err
		}
	}
	return nil
}

// layout cuts the memory of a ring into blocks. Many short ones are better than few long ones: the kernel hands a
// block over at the latest after the block timeout, however little is in it, so blocks are also how long a ring lasts
// when few packets come. No block is shorter than the longest frame that the kernel makes.
func layout(memory int) (blockSize, blocks int) {
	const longest, shortest, many = 1 << 20, 128 << 10, 256
	blockSize = longest
	for blockSize > shortest && memory/blockSize < many {
		blockSize /= 2
	}
	return blockSize, max(memory/blockSize, 4)
}

// open makes the ring's socket, with a filter that lets nothing in.
func (r *ring) open(index int, timeout time.Duration) (fd int, err error) {
	kind := unix.SOCK_RAW
	if r.cooked {
		kind = unix.SOCK_DGRAM
	}
	// Protocol 0 receives nothing before bind.
	if fd, err = unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		if errors.Is(err, unix.EPERM) {
			return -1, ErrNoPermission
		}
		return -1, os.NewSyscallError("socket", err)
	}
	fail := func(call string, err error) (int, error) {
		unix.Close(fd)
		return -1, os.NewSyscallError(call, err)
	}
	if err := attach(fd, nothing); err != nil {
		return fail("", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fail("setsockopt PACKET_VERSION", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_RESERVE, reserve); err != nil {
		return fail("setsockopt PACKET_RESERVE", err)
	}
	const frame = 2048 // says nothing in this version, but must divide the block
	request := unix.TpacketReq3{
		Block_size: uint32(r.blockSize), Block_nr: uint32(r.blocks),
		Frame_size: frame, Frame_nr: uint32(r.blockSize / frame * r.blocks),
		Retire_blk_tov: uint32(timeout.Milliseconds()),
	}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &request); err != nil {
		return fail("setsockopt PACKET_RX_RING", err)
	}
	if r.memory, err = unix.Mmap(fd, 0, r.blockSize*r.blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fail("mmap", err)
	}
	all := unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: index}
	if err := unix.Bind(fd, &all); err != nil {
		unix.Munmap(r.memory)
		return fail("bind", err)
	}
	return fd, nil
}

// join makes one group of an interface's sockets, of which each packet goes to one.
func join(sockets []int) error {
	if len(sockets) < 2 {
		return nil
	}
	const how = unix.PACKET_FANOUT_CPU | unix.PACKET_FANOUT_FLAG_ROLLOVER
	const call = "setsockopt PACKET_FANOUT"
	if err := unix.SetsockoptInt(sockets[0], unix.SOL_PACKET, unix.PACKET_FANOUT, (how|unix.PACKET_FANOUT_FLAG_UNIQUEID)<<16); err != nil {
		return os.NewSyscallError(call, err)
	}
	group, err := unix.GetsockoptInt(sockets[0], unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return os.NewSyscallError("getsockopt PACKET_FANOUT", err)
	}
	for _, fd := range sockets[1:] {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group&0xffff|how<<16); err != nil {
			return os.NewSyscallError(call, err)
		}
	}
	return nil
}

// loopbackIndex returns the index of the loopback interface, -1 without one.
func loopbackIndex() int32 {
	all, _ := net.Interfaces()
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return int32(i.Index)
		}
	}
	return -1
}

// nothing is the filter that refuses all packets.
var nothing = []bpf.RawInstruction{{Op: retK}}

// The instructions of classic BPF that are needed here, <linux/bpf_common.h>.
const (
	retK  = 0x06 // return K
	loadK = 0x00 // A = K
	loadW = 0x20 // A = the word at K
	jumpK = 0x15 // if A == K go on after Jt instructions, else after Jf

	extension = 0xfffff000 // K from here on asks the kernel about the packet: SKF_AD_OFF
	askType   = extension + uint32(bpf.ExtType)
	askIndex  = extension + uint32(bpf.ExtInterfaceIndex)
	askTagged = extension + uint32(bpf.ExtVLANTagPresent)
)

// divide returns the program that the kernel runs, and what decides here on frames that the kernel sees without their VLAN
// tag or their cooked header; nil: nothing. The program also leaves out what was sent on the loopback interface, since it
// comes again as received, and cuts packets to snapLen.
func (f *LiveFilter) divide(link packet.LinkType, cooked bool, loopback int32, snapLen int) (program []bpf.RawInstruction, match func([]byte, int) bool) {
	accept := bpf.RawInstruction{Op: retK, K: uint32(snapLen)}
	program = []bpf.RawInstruction{
		{Op: loadW, K: askType}, {Op: jumpK, Jf: 3, K: unix.PACKET_OUTGOING},
		{Op: loadW, K: askIndex}, {Op: jumpK, Jf: 1, K: uint32(loopback)},
		{Op: retK},
	}
	rest := f.Socket
	switch {
	case cooked && f.Match != nil:
		return append(program, accept), f.Match
	case rest == nil:
		rest = f.Program
		if link == packet.LinkEthernet && f.Match != nil {
			match = f.Match
			program = append(program, bpf.RawInstruction{Op: loadW, K: askTagged}, bpf.RawInstruction{Op: jumpK, Jt: 1}, accept)
		}
	}
	if rest == nil {
		return append(program, accept), match
	}
	program = append(program, bpf.RawInstruction{Op: loadK}) // a program begins with A = 0
	for _, instruction := range rest {
		if instruction.Op == retK {
			instruction.K = min(instruction.K, uint32(snapLen))
		}
		program = append(program, instruction)
	}
	return program, match
}

// attach makes the kernel ask a filter before it puts a packet into the socket's ring.
func attach(fd int, program []bpf.RawInstruction) error {
	code := make([]unix.SockFilter, len(program))
	for i, p := range program {
		code[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: unsafe.SliceData(code)}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
	runtime.KeepAlive(code)
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
}

func networkOrder(v uint16) uint16 {
	b := [2]byte{byte(v >> 8), byte(v)}
	return *(*uint16)(unsafe.Pointer(&b))
}

// Read puts the next packets of the stream into batch and returns how many. It waits for packets no longer than a
// tenth of a second and then returns 0 without an error: time has passed, see Complete. After Stop it gives out
// what the rings hold and then returns io.EOF. It returns the same when no interface is left.
//
// The packets' Data lie in the rings and are valid until the next call of Read or Close. Nobody may write to them. At most half
// of a ring is given out at a time.
func (l *Live) Read(batch []Packet) (int, error) {
	started := time.Now()
	for {
		for _, r := range l.rings {
			r.release()
		}
		now := time.Now()
		if l.moved(now.UnixNano(), now.Sub(l.opened)).Abs() > l.hold/2 {
			now = time.Now() // perhaps the processor was taken away between the readings of the two clocks
		}
		visible := l.look(now.UnixNano(), now.Sub(l.opened))
		if (l.stop.Load() || l.gone()) && l.stopped.IsZero() {
			if err := l.shut(now); err != nil {
				return 0, err
			}
		}
		if now.Sub(l.counted) >= countEvery {
			if err := l.count(now, now.Sub(l.asked) >= askEvery); err != nil {
				return 0, err
			}
		}
		n, waiting, lent := l.merge(batch, visible)
		left := idle - now.Sub(started)
		switch {
		case n > 0:
			return n, nil
		case l.step.by != 0 && !lent && l.passed-l.step.seen > l.hold:
			l.stepped, l.step = l.stepped+l.step.by, clockStep{}
			return 0, nil
		case !waiting && !lent && !l.stopped.IsZero() && now.Sub(l.stopped) > l.hold:
			if err := l.count(now, true); err != nil {
				return 0, err
			}
			return 0, io.EOF
		case left <= 0:
			return 0, nil
		case lent: // nothing of half a ring was wanted
			continue
		}
		if err := l.wait(left, waiting); err != nil {
			return 0, err
		}
	}
}

// visible says up to which time all packets can be seen in a ring from which none is to be had now.
type visible struct {
	open  int64 // when there are some in the block that the kernel fills
	quiet int64 // when there is none
}

// of returns it for one ring.
func (v visible) of(r *ring) int64 {
	if r.quiet() {
		return v.quiet
	}
	return v.open
}

// moved returns by how much the clock of the machine was set since look was last called.
func (l *Live) moved(wall int64, passed time.Duration) time.Duration {
	if l.wall == 0 {
		return 0
	}
	return time.Duration(wall-l.wall) - (passed - l.passed)
}

// look takes the time of day and the time since the start. When the clock of the machine was set, no packet waits for
// others: it might wait for years.
func (l *Live) look(wall int64, passed time.Duration) visible {
	step := l.moved(wall, passed)
	l.wall, l.passed = wall, passed
	if step.Abs() > l.hold/2 {
		l.step = clockStep{by: l.step.by + step, seen: passed}
		l.step.border = wall - int64(l.step.by/2) // before it was set, it would be wall - by now
		l.complete = math.MinInt64
	}
	if l.step.by != 0 {
		return visible{math.MaxInt64, math.MaxInt64}
	}
	return visible{open: wall - int64(l.hold), quiet: wall - int64(onItsWay)}
}

// merge puts packets of all rings into batch, the oldest first. Of a ring without a packet, nothing younger than what is
// visible of it is given out beside it. It reports how many packets there are, whether more are waiting, and whether it stopped because
// half of a ring is lent.
func (l *Live) merge(batch []Packet, v visible) (n int, waiting, lent bool) {
	for n < len(batch) && !lent {
		// What follows the oldest packet in its ring goes with it, up to the next oldest of the others.
		var first *ring
		until := int64(math.MaxInt64)
		for _, r := range l.rings {
			switch {
			case r.lent >= r.blocks/2:
				lent = true
			case !r.ready():
				if len(l.rings) > 1 {
					until = min(until, v.of(r))
				}
			case l.step.after(r.nanos): // the packets from before come first
			case first == nil:
				first = r
			case r.nanos < first.nanos:
				first, until = r, min(until, first.nanos)
			default:
				until = min(until, r.nanos)
			}
		}
		if lent || first == nil || first.nanos > until {
			break
		}
		for n < len(batch) && first.left > 0 && first.nanos <= until && !l.step.after(first.nanos) {
			if first.take(&batch[n]) {
				n++
			}
		}
	}
	complete := int64(math.MaxInt64)
	for _, r := range l.rings {
		if r.ready() {
			waiting = true
			complete = min(complete, r.nanos-1)
		} else {
			complete = min(complete, v.of(r))
		}
	}
	if l.step.by == 0 {
		l.complete = max(l.complete, complete)
	}
	return n, waiting, lent
}

// Complete returns a time, in nanoseconds since the Unix epoch, up to which Read has given out all packets. It goes on
// by the clock when none come. It is math.MinInt64 before the first Read and after the clock was set.
func (l *Live) Complete() int64 { return l.complete }

// Lag returns the share of the rings that is full or at work, of the interface where it is largest, and how long
// packets have been waiting.
func (l *Live) Lag() (fill float64, behind time.Duration) {
	for _, i := range l.interfaces {
		full, blocks := 0, 0
		for _, r := range i.rings {
			full += r.full()
			blocks += r.blocks
		}
		fill = max(fill, float64(full)/float64(blocks))
	}
	if l.complete == math.MinInt64 {
		return fill, 0
	}
	return fill, max(time.Duration(time.Now().UnixNano()-l.complete)-l.hold, 0)
}

// ClockStep returns by how much the clock of the machine was set since the last call, or for how long the machine slept: more
// than zero when ahead. What Read gave out until then is from before, what it gives out next from after it.
func (l *Live) ClockStep() time.Duration {
	step := l.stepped
	l.stepped = 0
	return step
}

// Losses returns what was lost since the last call. It is valid until the next call of Read.
func (l *Live) Losses() []Loss {
	losses := l.losses
	l.losses = l.losses[:0]
	return losses
}

// Counts returns the counts of each interface so far.
func (l *Live) Counts() []LiveCounts {
	all := make([]LiveCounts, len(l.interfaces))
	for k, i := range l.interfaces {
		c := i.counts
		for _, r := range i.rings {
			c.Captured += r.captured
			c.Received -= r.refused
			c.Oversize += r.oversize
		}
		all[k] = c
	}
	return all
}

// Stop asks Read to let nothing more in and to give out what is there. Any goroutine may call it.
func (l *Live) Stop() { l.stop.Store(true) }

// Close closes the interfaces. No packet is valid after it.
func (l *Live) Close() error {
	var errs []error
	for k, r := range l.rings {
		errs = append(errs, unix.Munmap(r.memory), unix.Close(l.sockets[k]))
	}
	l.rings, l.sockets, l.interfaces = nil, nil, nil
	if l.control >= 0 {
		errs = append(errs, unix.Close(l.control))
		l.control = -1
	}
	return errors.Join(errs...)
}

// shut lets nothing more in.
func (l *Live) shut(now time.Time) error {
	for _, fd := range l.sockets {
		if err := attach(fd, nothing); err != nil {
			return err
		}
	}
	l.stopped = now
	return nil
}

// gone reports whether no interface is left.
func (l *Live) gone() bool {
	for _, i := range l.interfaces {
		if !i.counts.Gone {
			return false
		}
	}
	return true
}

// countEvery and askEvery are how often the kernel and the drivers are asked for their counts.
const (
	countEvery = 100 * time.Millisecond
	askEvery   = time.Second
)

// count asks the kernel for its counts, which begin anew each time that they are read, and if wished drivers for theirs. It
// looks after interfaces that are down then, too.
func (l *Live) count(now time.Time, ask bool) error {
	var dropped, untaken uint64
	for _, i := range l.interfaces {
		for _, fd := range i.sockets {
			s, err := unix.GetsockoptTpacketStatsV3(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
			if err != nil {
				return os.NewSyscallError("getsockopt PACKET_STATISTICS", err)
			}
			i.counts.Received += uint64(s.Packets) // dropped ones included
			i.counts.Dropped += uint64(s.Drops)
			dropped += uint64(s.Drops)
		}
		if !ask || i.index == 0 {
			continue
		}
		if total := missed(i.counts.Interface); total > i.missed && !i.counts.Gone {
			i.counts.Missed += total - i.missed
			untaken += total - i.missed
			i.missed = total
		}
		if i.counts.Down {
			l.lookAfter(i)
		}
	}
	l.losses = appendLosses(l.losses, l.counted, now, dropped)
	l.losses = appendLosses(l.losses, l.asked, now, untaken)
	l.counted = now
	if ask {
		l.asked = now
	}
	return nil
}

// appendLosses spreads packets that were lost after since and no later than now evenly over that time: one loss for each
// countEvery or packet, and a few thousand at most, so that an hour in which nobody read costs no more.
func appendLosses(losses []Loss, since, now time.Time, packets uint64) []Loss {
	const most = 4096
	passed := now.Sub(since)
	parts := min(uint64(max((passed+countEvery-1)/countEvery, 1)), packets, most)
	for k := range parts {
		before := passed / time.Duration(parts) * time.Duration(parts-1-k)
		losses = append(losses, Loss{now.Add(-before).UnixNano(), packets*(k+1)/parts - packets*k/parts})
	}
	return losses
}

// wait waits for packets, or while some are held back, at most so long.
func (l *Live) wait(most time.Duration, held bool) error {
	if held {
		time.Sleep(min(most, 5*time.Millisecond)) // poll would return at once
		return nil
	}
	if _, err := unix.Poll(l.poll, int(most.Milliseconds())+1); err != nil {
		if errors.Is(err, unix.EINTR) {
			return nil
		}
		return os.NewSyscallError("poll", err)
	}
	for k := range l.poll {
		if l.poll[k].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) == 0 {
			continue
		}
		errno, err := unix.GetsockoptInt(l.sockets[k], unix.SOL_SOCKET, unix.SO_ERROR)
		if err != nil {
			return os.NewSyscallError("getsockopt SO_ERROR", err)
		}
		i := l.owner(l.sockets[k])
		if errno != 0 && errno != int(unix.ENETDOWN) {
			return fmt.Errorf("%s: %w", i.counts.Interface, unix.Errno(errno))
		}
		if l.lookAfter(i); i.counts.Gone {
			l.poll[k].Fd = -1 // nothing will come
		}
	}
	return nil
}

// owner returns the interface of a socket.
func (l *Live) owner(socket int) *liveInterface {
	return l.interfaces[slices.IndexFunc(l.interfaces, func(i *liveInterface) bool { return slices.Contains(i.sockets, socket) })]
}

// lookAfter sees what has become of an interface that was down.
func (l *Live) lookAfter(i *liveInterface) {
	is, err := up(l.control, i.counts.Interface)
	i.counts.Down = err != nil || !is
	// A socket whose interface has gone is bound to none, whatever bears the name now.
	if address, err := unix.Getsockname(i.sockets[0]); err == nil {
		if a, ok := address.(*unix.SockaddrLinklayer); ok && a.Ifindex != i.index {
			i.counts.Down, i.counts.Gone = true, true
		}
	}
}
