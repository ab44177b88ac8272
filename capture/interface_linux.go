package capture

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/weirnet/weir/packet"
)

// CanCapture returns nil if this process may capture, or why it may not.
func CanCapture() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return ErrNoPermission
		}
		return os.NewSyscallError("socket", err)
	}
	return unix.Close(fd)
}

// look fills in what the package net does not tell.
func (i *Interface) look(f *net.Interface) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if kind, err := hardwareType(fd, f.Name); err == nil {
		i.Link, _ = linkOf(kind)
	}
	i.Offloads = offloads(fd, f.Name)
}

// linkOf returns the link type of captures on a device of an ARPHRD type, and whether its packets are to be taken in cooked form.
// That is the way for all whose own header is unknown here or, as with PPP, is not always there.
func linkOf(hardware uint16) (link packet.LinkType, cooked bool) {
	switch hardware {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		return packet.LinkEthernet, false
	case unix.ARPHRD_NONE, unix.ARPHRD_RAWIP: // tun, WireGuard, mobile modems
		return packet.LinkRaw, false
	}
	return packet.LinkSLL2, true
}

// hardwareType returns the ARPHRD type of an interface.
func hardwareType(fd int, name string) (uint16, error) {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFHWADDR, r); err != nil {
		return 0, os.NewSyscallError("ioctl SIOCGIFHWADDR", err)
	}
	return r.Uint16(), nil // the address family of a hardware address is its ARPHRD type
}

// up reports whether an interface is switched on.
func up(fd int, name string) (bool, error) {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return false, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r); err != nil {
		return false, os.NewSyscallError("ioctl SIOCGIFFLAGS", err)
	}
	return r.Uint16()&unix.IFF_UP != 0, nil
}

// offloads returns which of gro, lro, tso and gso are on. It leaves out what the driver does not tell.
func offloads(fd int, name string) (on []string) {
	const flagLRO = 1 << 15 // ETH_FLAG_LRO of <linux/ethtool.h>
	for _, o := range []struct {
		name string
		get  uint32
		mask uint32
	}{
		{"gro", unix.ETHTOOL_GGRO, 1},
		{"lro", unix.ETHTOOL_GFLAGS, flagLRO},
		{"tso", unix.ETHTOOL_GTSO, 1},
		{"gso", unix.ETHTOOL_GGSO, 1},
	} {
		if v, err := ethtool(fd, name, o.get); err == nil && v&o.mask != 0 {
			on = append(on, o.name)
		}
	}
	return on
}

// ethtool asks for one value of an interface (ioctl SIOCETHTOOL, <linux/ethtool.h>).
func ethtool(fd int, name string, get uint32) (uint32, error) {
	value := struct{ cmd, data uint32 }{cmd: get}
	request := struct { // struct ifreq, whose union is at least 16 bytes long
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return 0, errno
	}
	return value.data, nil
}

// missed returns how many packets the card of an interface has had no room for.
func missed(name string) (sum uint64) {
	for _, counter := range []string{"rx_missed_errors", "rx_fifo_errors"} {
		text, err := os.ReadFile("/sys/class/net/" + name + "/statistics/" + counter)
		if err != nil {
			continue
		}
		n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		sum += n
	}
	return sum
}
