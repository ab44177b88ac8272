package capture

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// One content has one hash, however it is compressed; a cut one has that of what is left.
func TestHash(t *testing.T) {
	content := bytes.Repeat([]byte("what a capture holds "), 1000)
	sum := sha256.Sum256(content)
	want := hex.EncodeToString(sum[:])
	var gz, zst bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(content)
	g.Close()
	z, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	z.Write(content)
	z.Close()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"plain": content, "gzip": gz.Bytes(), "zstd": zst.Bytes()} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		got, size, err := Hash(path)
		if err != nil || got != want || size != int64(len(content)) {
			t.Errorf("%s: %s of %d bytes, %v; want %s of %d", name, got, size, err, want, len(content))
		}
	}
	cut := filepath.Join(dir, "cut")
	if err := os.WriteFile(cut, gz.Bytes()[:gz.Len()-6], 0o666); err != nil {
		t.Fatal(err)
	}
	if got, size, err := Hash(cut); err != nil || got == "" || size == 0 {
		t.Errorf("cut: %q of %d bytes, %v; want what is left", got, size, err)
	}
	if _, _, err := Hash(filepath.Join(dir, "gone")); err == nil {
		t.Error("a file that is not there has a hash")
	}
}

// A label that is found reads back from its written form, and parsing never fails otherwise.
func FuzzParseProcess(f *testing.F) {
	for _, text := range []string{"", "process=", "process=ssh", "process=Web Content pid=12", "process=a pid=b", "process=a pid=1 pid=2\nmore", "process=\r\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, comment []byte) {
		name, pid, ok := ParseProcess(comment)
		if !ok {
			return
		}
		if len(name) == 0 || bytes.ContainsRune(name, '\n') || pid < 0 {
			t.Fatalf("%q: name %q, pid %d", comment, name, pid)
		}
		again, same, ok := ParseProcess(AppendProcess(nil, string(name), pid))
		printable := AppendProcess(nil, string(name), 0)[len("process="):]
		if pid > 0 && (!ok || same != pid || !bytes.Equal(again, printable)) {
			t.Fatalf("%q: %q and %d, written and read again %q and %d", comment, name, pid, again, same)
		}
	})
}
