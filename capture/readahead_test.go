package capture

import (
	"bytes"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

// counted counts the reads of an endless source.
type counted struct{ reads atomic.Int32 }

func (c *counted) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return len(p), nil
}

func TestReadAheadIsBounded(t *testing.T) {
	source := new(counted)
	a := &readAhead{source: source}
	p := make([]byte, 10)
	a.Read(p)
	time.Sleep(20 * time.Millisecond)
	if n := source.reads.Load(); n != 1 {
		t.Errorf("%d reads of the source after the first Read, want 1: nothing is read ahead yet", n)
	}
	a.Read(p)
	time.Sleep(20 * time.Millisecond)
	if n := source.reads.Load(); n > 1+aheadBlocks {
		t.Errorf("%d reads of the source after the second Read, want at most %d", n, 1+aheadBlocks)
	}
	a.close() // or the test does not end
}

func TestReadAheadGivesAllAndThenTheError(t *testing.T) {
	data := pcapBytes(t, corpus(5000))
	broken := errors.New("broken")
	for _, end := range []error{io.EOF, broken} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"as it comes": func(r io.Reader) io.Reader { return r }, "a byte short": iotest.HalfReader, "error with the last bytes": iotest.DataErrReader,
		} {
			source := wrap(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(end)))
			a := &readAhead{source: source}
			var got bytes.Buffer
			_, err := io.Copy(&got, a)
			want := end
			if want == io.EOF {
				want = nil // as io.Copy has it
			}
			if err != want || !bytes.Equal(got.Bytes(), data) {
				t.Errorf("%s: %d bytes, then %v; want %d, then %v", name, got.Len(), err, len(data), want)
			}
			if _, err := a.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s: no error after the end", name)
			}
			a.close()
		}
	}
}
