package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// Hash returns the SHA-256 of a file's content in hexadecimal and its size in bytes, both of what
// is left when gzip or zstd is taken off: by it a capture is recognised under any name and with
// any compression. Compressed data that end in damage count up to the damage, as they do for a
// Reader. The error is that of a file which cannot be opened or read at all.
func Hash(path string) (sum string, size int64, err error) {
	in, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer in.Close()
	source, closeSource, err := decompress(in)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", path, err)
	}
	defer closeSource()
	h := sha256.New()
	size, err = io.Copy(h, source)
	if err != nil && size == 0 {
		return "", 0, fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}
