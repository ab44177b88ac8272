//go:build linux && (amd64 || arm64)

package capture

import (
	"os"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapping is a file in memory, read front to back. Reading it costs less than read(2), which copies
// (IMIX on a warm page cache: 27 against 39 ns per packet), as long as every cache line is touched in
// order ahead of the walk over the records; without that, each record waits for memory (96 ns).
//
// A mapped file that another process truncates would kill this one with SIGBUS. So a file is mapped
// only under a lease (fcntl(2), F_SETLEASE), for which the kernel makes whoever wants to write or
// truncate the file wait until the lease is given back. That happens within a second, see yield: the
// bytes in use are copied, and what follows is read(2). Where no lease is to be had, because the
// file is being written, belongs to somebody else or lies on a file system without leases, it
// is not mapped.
type mapping struct {
	file *os.File
	data []byte // the whole file
	step int    // bytes that are touched at a time
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	from    int  // the bytes in use are data[from:to]
	to      int  //
	dropped int  // the pages of data[:dropped] were given back
	given   bool // the lease was: only the bytes in use may be touched
	sum     byte
}

const (
	// mappingStep keeps what was touched in the second-level cache until it is decoded.
	mappingStep = 256 << 10
	// mappingKept bounds the resident memory: pages further behind the bytes in use are given back.
	mappingKept = 16 << 20
	// leaseCheck is how often the lease is looked at when nothing is read for a while. The kernel
	// takes it away by force after /proc/sys/fs/lease-break-time, usually 45 s.
	leaseCheck = time.Second
)

var pageSize = os.Getpagesize()

// newMapping maps a regular file from its beginning; nil when it cannot be mapped safely.
func newMapping(file *os.File) *mapping {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK); err != nil {
		return nil
	}
	m := &mapping{file: file, step: mappingStep, stop: make(chan struct{}), done: make(chan struct{})}
	// With the lease, the size stays as it is. An empty file cannot be mapped.
	info, err := file.Stat()
	if err == nil {
		var at unsafe.Pointer
		if at, err = unix.MmapPtr(int(file.Fd()), 0, nil, uintptr(info.Size()), unix.PROT_READ, unix.MAP_SHARED); err == nil {
			m.data = unsafe.Slice((*byte)(at), info.Size())
		}
	}
	if err != nil {
		m.release()
		return nil
	}
	go m.keep()
	return m
}

// use says that the bytes before from are done with and makes those up to to ready to be read, to
// being no more than len(data). It reports false when they cannot be had from memory any more:
// those that were in use before are still there.
func (m *mapping) use(from, to int) (ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.yield(); m.given {
		return false
	}
	if drop := from &^ (pageSize - 1); drop-m.dropped >= mappingKept {
		unix.Madvise(m.data[m.dropped:drop], unix.MADV_DONTNEED) // an error costs memory alone
		m.dropped = drop
	}
	m.from = from
	if ok = m.touch(m.data[m.to:to]); ok {
		m.to = to
	}
	return ok
}

// touch reads a byte of every cache line of b. It reports false when the medium cannot be read, which
// a mapping tells by SIGBUS.
func (m *mapping) touch(b []byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if _, fault := p.(interface{ Addr() uintptr }); !fault {
				panic(p)
			}
			ok = false
		}
	}()
	const line = 64
	sum := m.sum
	for i := 0; i < len(b); i += line {
		sum += b[i]
	}
	m.sum = sum // or the compiler would leave out the loop
	return true
}

// keep gives the lease back in time while nothing is read.
func (m *mapping) keep() {
	defer close(m.done)
	tick := time.NewTicker(leaseCheck)
	defer tick.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-tick.C:
			m.mu.Lock()
			m.yield()
			m.mu.Unlock()
		}
	}
}

// yield gives the lease back if somebody waits for it: it puts a copy in the place of the bytes in
// use, at the same addresses, so that nothing happens to them. When there is no memory for the copy,
// the kernel has to take the lease away.
func (m *mapping) yield() {
	if lease, err := unix.FcntlInt(m.file.Fd(), unix.F_GETLEASE, 0); m.given || err == nil && lease == unix.F_RDLCK {
		return
	}
	m.given = true
	from := m.from &^ (pageSize - 1)
	if length := uintptr(m.to-from+pageSize-1) &^ uintptr(pageSize-1); length > 0 {
		at, err := unix.MmapPtr(-1, 0, nil, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return
		}
		copy(unsafe.Slice((*byte)(at), length), m.data[from:m.to])
		if _, err := unix.MremapPtr(at, length, unsafe.Pointer(&m.data[from]), length, unix.MREMAP_MAYMOVE|unix.MREMAP_FIXED); err != nil {
			unix.MunmapPtr(at, length)
			return
		}
	}
	m.release()
}

func (m *mapping) release() { unix.FcntlInt(m.file.Fd(), unix.F_SETLEASE, unix.F_UNLCK) }

// close ends the mapping; the file stays open.
func (m *mapping) close() {
	close(m.stop)
	<-m.done
	unix.MunmapPtr(unsafe.Pointer(&m.data[0]), uintptr(len(m.data)))
	m.release()
}
