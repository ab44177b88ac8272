package capture

import "io"

// readAhead decompresses beside: on a goroutine of its own, a few blocks ahead of who reads. The
// first bytes are decompressed in Read itself, since of many files no more than the first packet is
// looked at. It is used by one goroutine.
type readAhead struct {
	source io.Reader
	full   chan block  // from the goroutine, which closes it; nil before it was started
	free   chan []byte // to the goroutine
	now    block       // at hand
	at     int         // what is left of it are its bytes from here on
	begun  bool
}

// block is what one Read of the source gave.
type block struct {
	buf []byte
	n   int
	err error
}

const (
	aheadBlocks   = 4
	aheadBlockLen = 256 << 10 // bytes
)

// Read implements io.Reader.
func (a *readAhead) Read(p []byte) (n int, err error) {
	if !a.begun {
		a.begun = true
		n, a.now.err = a.source.Read(p)
		return n, a.now.err
	}
	if a.at == a.now.n {
		if a.now.err != nil {
			return 0, a.now.err
		}
		a.next()
	}
	n = copy(p, a.now.buf[a.at:a.now.n])
	a.at += n
	return n, nil
}

// next changes the block at hand for the next one.
func (a *readAhead) next() {
	if a.full == nil {
		a.full, a.free = make(chan block, aheadBlocks), make(chan []byte, aheadBlocks)
		for range aheadBlocks {
			a.free <- make([]byte, aheadBlockLen)
		}
		go a.run()
	} else {
		a.free <- a.now.buf
	}
	a.now, a.at = <-a.full, 0
}

// run decompresses until the source ends or close is called. There are no more blocks than full has
// room for, so only the source makes it wait.
func (a *readAhead) run() {
	defer close(a.full)
	for buf := range a.free {
		n, err := a.source.Read(buf)
		a.full <- block{buf, n, err}
		if err != nil {
			return
		}
	}
}

// close waits for the goroutine.
func (a *readAhead) close() {
	if a.full == nil {
		return
	}
	close(a.free)
	for range a.full {
	}
}
