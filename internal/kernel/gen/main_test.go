package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The generated files in the repository are what the templates beside this test make.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the templates make: run go generate ./internal/kernel", name)
		}
	}
}

// GNU as 2.40 encodes {vex} vpdpbusd like this.
func TestVexDot(t *testing.T) {
	tests := []struct {
		b, a, acc int
		want      [5]byte
	}{
		{12, 13, 0, [5]byte{0xc4, 0xc2, 0x15, 0x50, 0xc4}},
		{1, 2, 11, [5]byte{0xc4, 0x62, 0x6d, 0x50, 0xd9}},
		{14, 15, 8, [5]byte{0xc4, 0x42, 0x05, 0x50, 0xc6}},
		{7, 0, 3, [5]byte{0xc4, 0xe2, 0x7d, 0x50, 0xdf}},
	}
	for _, test := range tests {
		if got := vexDot(test.b, test.a, test.acc); got != test.want {
			t.Errorf("VPDPBUSD Y%d, Y%d, Y%d is % x, want % x", test.b, test.a, test.acc, got, test.want)
		}
	}
}
