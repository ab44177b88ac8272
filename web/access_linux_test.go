package web

import (
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
)

// TestTokenOnFullDisk wants no half of a token to stay, which would be refused when there is room again.
func TestTokenOnFullDisk(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 10, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	_, err := LoadToken(file)
	if again := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); again != nil {
		t.Fatal(again)
	}
	if err == nil {
		t.Fatal("a token that does not fit is no error")
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("what was written stays: %v", err)
	}
	if _, err := LoadToken(file); err != nil {
		t.Errorf("when there is room: %v", err)
	}
}
