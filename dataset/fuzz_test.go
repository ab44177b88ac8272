package dataset

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever labels.csv says, reading it ends without a panic, and every capture that it names has
// a label and a place where it is named.
func FuzzParseLabels(f *testing.F) {
	dir := f.TempDir()
	for _, name := range []string{"a.pcap", "b.pcap"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			f.Fatal(err)
		}
	}
	for _, text := range []string{
		"file,label\na.pcap,web\nb.pcap,dns\n", "file,label\na.pcap,web\na.pcap,dns\n", "file;label;start_utc\na.pcap;web;2026-01-02 03:04:05\n",
		"capture\tlabel\n\"a.pcap\"\tweb\n", "file,label\n../../etc/passwd,web\n", "file,label\nnul\x00,web\n", "label\nweb\n", "", "\xef\xbb\xbffile,label\r\nb.pcap,\xff\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "labels.csv")
		captures := []string{filepath.Join(dir, "a.pcap"), filepath.Join(dir, "b.pcap")}
		jobs := map[string]*job{}
		set := &Set{Dir: dir}
		err := parseLabels(path, strings.NewReader(text), set, Options{}, newResolver(captures), func(path string) *job {
			if jobs[path] == nil {
				jobs[path] = &job{path: path}
			}
			return jobs[path]
		})
		if err != nil {
			return
		}
		for path, j := range jobs {
			if j.label == "" || j.listed == "" || j.facts["file"] != "" {
				t.Errorf("%s: label %q, named at %q, facts %q", path, j.label, j.listed, j.facts)
			}
		}
	})
}

// Class names that are taken are of the numbers 0 to 255 and not empty.
func FuzzParseClassNames(f *testing.F) {
	for _, text := range []string{"web\ndns\n", "0 web\n1,dns\n", "class,name\n3;\"Gmail\"\n", "# nothing\n\n256 x\n", "1 a\n1 b\n", "-1 x", "0\t\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		names, err := parseClassNames(strings.NewReader(text))
		if err != nil {
			return
		}
		for number, name := range names {
			if number < 0 || number > 255 || strings.TrimSpace(name) == "" {
				t.Errorf("%q: class %d is %q", text, number, name)
			}
		}
	})
}
