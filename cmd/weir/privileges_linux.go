package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// permissionRemedy says how a user may get the right to capture.
func permissionRemedy() string {
	self, err := os.Executable()
	if err != nil {
		self = "/path/to/weir"
	}
	return "start it with sudo, or give the program the right once: sudo setcap cap_net_raw=ep " + self
}

// dropPrivileges gives up what capturing needed: root becomes another user, and all capabilities go, for good. It says what
// became of it, for people. The user is that of the name, or who called sudo, or nobody.
func dropPrivileges(name string) (became string, err error) {
	if os.Geteuid() != 0 {
		if name != "" {
			return "", usageError{errors.New("--user is for root alone")}
		}
	} else {
		u, err := successor(name)
		if err != nil {
			return "", err
		}
		if u.uid == 0 {
			return ", as root", nil
		}
		// These three are for all threads of the process.
		err = errors.Join(syscall.Setgroups([]int{u.gid}), syscall.Setresgid(u.gid, u.gid, u.gid), syscall.Setresuid(u.uid, u.uid, u.uid))
		if err != nil {
			return "", fmt.Errorf("becoming %s: %w (--user root keeps the rights)", u.name, err)
		}
		became = ", as " + u.name
	}
	// Capabilities belong to threads, and Go's run-time has several.
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, failed := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if failed == 0 {
		_, _, failed = syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	}
	switch failed {
	case 0:
		return became, nil
	case syscall.ENOTSUP: // a program that was built with cgo, as tests with the race detector are
		slog.Warn("capabilities are kept: this program was built with cgo")
		return became, nil
	}
	return "", fmt.Errorf("giving up capabilities: %w", failed)
}

// identity is whom a process belongs to.
type identity struct {
	name     string
	uid, gid int
}

// successor returns whom root should become.
func successor(name string) (identity, error) {
	if name == "" {
		uid, err1 := strconv.Atoi(os.Getenv("SUDO_UID"))
		gid, err2 := strconv.Atoi(os.Getenv("SUDO_GID"))
		if err1 == nil && err2 == nil {
			return identity{cmp.Or(os.Getenv("SUDO_USER"), strconv.Itoa(uid)), uid, gid}, nil
		}
		name = "nobody"
	}
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, usageError{fmt.Errorf("--user: %w", err)}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return identity{name, uid, gid}, errors.Join(err1, err2)
}
