//go:build unix

package capture

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestOpenPipes(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- os.WriteFile(fifo, pcapOf(5, 25), 0o600) }()

	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out.Write(pcapOf(10, 11))
	out.Close()
	stdin := os.Stdin
	os.Stdin = in
	defer func() { os.Stdin = stdin; in.Close() }()

	r, err := Open([]string{"-", write(t, dir, "file", pcapOf(7)), fifo})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	packets, faults := drain(t, r, 64)
	if want := []int{5, 25, 7, 10, 11}; !slices.Equal(times(packets), want) || faults != nil {
		t.Errorf("got times %v, faults %v; want %v and no fault", times(packets), faults, want)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
