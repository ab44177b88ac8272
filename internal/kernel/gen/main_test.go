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
