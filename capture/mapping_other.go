//go:build !linux || !(amd64 || arm64)

package capture

import "os"

// mapping is a file in memory, which there is on 64-bit Linux alone: elsewhere nothing keeps others
// from truncating a mapped file.
type mapping struct {
	file *os.File
	data []byte
	step int
}

func newMapping(*os.File) *mapping { return nil }

func (m *mapping) use(from, to int) bool { return false }

func (m *mapping) close() {}
