//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package flow

import "golang.org/x/sys/unix"

// mapPiece returns n bytes of anonymous memory, and all that was mapped for it; nothing when the system
// refuses.
func mapPiece(n int) (all, use []byte) {
	all, err := mapAnonymous(n)
	if err != nil {
		return nil, nil
	}
	if gap(all) == 0 {
		return all, all
	}
	// What is mapped beside the piece is never used, so it costs addresses and no memory.
	unmapPiece(all)
	if all, err = mapAnonymous(n + pieceLen); err != nil {
		return nil, nil
	}
	from := gap(all)
	return all, all[from : from+n : from+n]
}

func mapAnonymous(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

func unmapPiece(all []byte) { _ = unix.Munmap(all) } // it fails for what was never mapped alone
