package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// views are the paths of the dashboard's pages; all are index.html, which shows what the URL says.
var views = []string{"/", "/alerts", "/flows", "/unknown", "/models", "/learn"}

// pages serves the dashboard from memory, compressed once.
type pages map[string]*page

type page struct {
	plain, packed []byte
	kind, tag     string
	forever       bool // its name has its hash
}

// newPages reads the built dashboard; nil: there is none, and the page says so.
func newPages(ui fs.FS) (http.Handler, error) {
	if ui == nil {
		return http.HandlerFunc(missing), nil
	}
	p := pages{}
	err := fs.WalkDir(ui, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(ui, name)
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
		sum := sha256.Sum256(data)
		kind := mime.TypeByExtension(path.Ext(name))
		if path.Ext(name) == ".js" { // which some systems call otherwise
			kind = "text/javascript; charset=utf-8"
		}
		p["/"+name] = &page{data, packed.Bytes(), kind, `"` + hex.EncodeToString(sum[:12]) + `"`, strings.HasPrefix(name, "assets/")}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, view := range views {
		p[view] = p["/index.html"]
	}
	return p, nil
}

// ServeHTTP implements http.Handler.
func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p[r.URL.Path]
	if f == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.tag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if f.forever {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	data := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		data = f.packed
	}
	w.Write(data)
}

// missing says how to get the dashboard.
func missing(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	io.WriteString(w, `<!doctype html><html lang="en"><meta charset="utf-8"><title>weir</title>
<h1>weir is watching</h1>
<p>This weir was built without its dashboard. <code>make build</code> builds it with one, where Node and npm are installed.</p>
<p>The API is all there: <a href="/api/v1/status">status</a>, <a href="/api/v1/live">live</a>,
<a href="/api/v1/incidents">incidents</a>, <a href="/api/v1/flows">flows</a>, <a href="/api/v1/openapi.json">its description</a>.</p>
</html>
`)
}
