//go:build ui

package web

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"path"
	"strings"
	"testing"
)

// maxBundle bounds what a browser loads before it shows anything, in bytes as they are sent.
const maxBundle = 60_000

// TestBundle holds the built dashboard to its size, and to what its policy allows: no script and no style in the page.
func TestBundle(t *testing.T) {
	size := 0
	err := fs.WalkDir(builtIn(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(builtIn(), name)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return err
		}
		z.Write(data)
		if err := z.Close(); err != nil {
			return err
		}
		size += packed.Len()
		if path.Ext(name) == ".html" && (strings.Contains(string(data), "<style") || strings.Contains(string(data), "<script>")) {
			t.Errorf("%s has code in it", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", size)
	if size > maxBundle {
		t.Errorf("the dashboard has %d bytes compressed, %d are allowed", size, maxBundle)
	}
}

// TestPages serves what was built.
func TestPages(t *testing.T) {
	s := newTest(t, nil)
	for _, view := range views {
		r := ask(t, s, "GET", view, "")
		if data := string(read(t, r)); r.StatusCode != 200 || !strings.Contains(data, `<div id="app">`) || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: got %d %s", view, r.StatusCode, data)
		}
	}
	scripts, err := fs.Glob(builtIn(), "assets/*.js")
	if err != nil || len(scripts) == 0 {
		t.Fatal(scripts, err)
	}
	r := ask(t, s, "GET", "/"+scripts[0], "")
	if r.StatusCode != 200 || !strings.Contains(r.Header.Get("Cache-Control"), "immutable") || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("got %d %v", r.StatusCode, r.Header)
	}
	if r := ask(t, s, "GET", "/assets/../index.html", ""); r.StatusCode == 200 {
		t.Error("a path with .. is answered")
	}
	if r := ask(t, s, "POST", "/", "x"); r.StatusCode == 200 {
		t.Error("a post to a page is answered")
	}
}
