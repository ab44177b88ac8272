package filter

import (
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weirnet/weir/packet"
)

// kernelFilter is a pair of sockets of which the second one receives only what a program passes. It
// needs no privileges: the kernel filters what is sent between processes as it does packets.
type kernelFilter struct {
	fds [2]int
}

func newKernelFilter(t *testing.T) *kernelFilter {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Skip("no sockets: ", err)
	}
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return &kernelFilter{fds}
}

func (k *kernelFilter) attach(raw []bpf.RawInstruction) error {
	filter := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return unix.SetsockoptSockFprog(k.fds[1], unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: (*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(filter)))})
}

// passes reports whether the kernel passes data.
func (k *kernelFilter) passes(t *testing.T, data []byte) bool {
	t.Helper()
	if err := unix.Sendto(k.fds[0], data, 0, nil); err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	_, _, err := unix.Recvfrom(k.fds[1], buf, 0)
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	return err == nil
}

// TestKernel wants that Linux takes all programs, and passes what Match passes.
func TestKernel(t *testing.T) {
	k := newKernelFilter(t)
	if err := k.attach([]bpf.RawInstruction{{Op: opReturn, K: 65535}}); err != nil {
		t.Skip("NOT CHECKED in the kernel, which takes no filters here: ", err)
	}
	all := frames()
	for i, expr := range readExpressions(t) {
		for link := range linkNames {
			e, err := Parse(expr)
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := e.CompileSocket(link, 65535); err == nil {
				if err := k.attach(raw); err != nil {
					t.Fatalf("%q for sockets on link type %d: the kernel says: %v\n%v", expr, link, err, raw)
				}
			}
			p, err := e.Compile(link, 65535)
			if err != nil {
				continue
			}
			if err := k.attach(p.Raw()); err != nil {
				t.Fatalf("%q on link type %d: the kernel says: %v\n%v", expr, link, err, p.Raw())
			}
			for j := i % 97; j < len(all); j += 97 {
				f := all[j]
				if f.link != link && link != packet.LinkEthernet {
					continue
				}
				if got, want := k.passes(t, f.data), p.Match(f.data, len(f.data)); got != want {
					t.Fatalf("%q on link type %d passes %x in the kernel: %v, in Match: %v", expr, link, f.data, got, want)
				}
			}
		}
	}
}
