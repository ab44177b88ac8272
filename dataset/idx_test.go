package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func idxOf(tb testing.TB, dims []int, elements []byte) []byte {
	tb.Helper()
	size := 1
	for _, d := range dims[1:] {
		size *= d
	}
	var b bytes.Buffer
	if err := WriteIDX(&b, dims[0], dims[1:], func(dst []byte, i int) []byte { return append(dst, elements[i*size:(i+1)*size]...) }); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestReadIDX(t *testing.T) {
	whole := idxOf(t, []int{2, 1, 3}, []byte("abcdef"))
	if want := "\x00\x00\x08\x03\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x03abcdef"; string(whole) != want {
		t.Errorf("written %q, want %q", whole, want)
	}
	dims, elements, err := ReadIDX(bytes.NewReader(whole))
	if err != nil || !slices.Equal(dims, []int{2, 1, 3}) || string(elements) != "abcdef" {
		t.Errorf("read %v %q, %v", dims, elements, err)
	}
	for name, data := range map[string]string{
		"shorter than its header":           string(whole[:3]),
		"shorter than its header ":          string(whole[:9]),
		"5 bytes of elements":               string(whole[:len(whole)-1]),
		"more elements":                     string(whole) + "g",
		"elements of type 0xd":              "\x00\x00\x0d\x01\x00\x00\x00\x00",
		"0 dimensions":                      "\x00\x00\x08\x00",
		"starts with":                       "\x1f\x8b\x08\x03",
		"are more than":                     "\x00\x00\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"0 bytes of elements, dimensions [": "\x00\x00\x08\x01\xf0\x00\x00\x00",
	} {
		if _, _, err := ReadIDX(strings.NewReader(data)); !errors.Is(err, ErrIDX) || !strings.Contains(err.Error(), strings.TrimSpace(name)) {
			t.Errorf("%q: %v, want ErrIDX with %q", data, err, name)
		}
	}
	if err := WriteIDX(&bytes.Buffer{}, 1, []int{2}, func(dst []byte, _ int) []byte { return append(dst, 'x') }); err == nil {
		t.Error("an item that is too short was written")
	}
}

func FuzzReadIDX(f *testing.F) {
	f.Add(idxOf(f, []int{2, 1, 3}, []byte("abcdef")))
	f.Add(idxOf(f, []int{3}, []byte{1, 2, 3}))
	f.Add([]byte("\x00\x00\x08\x03\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dims, elements, err := ReadIDX(bytes.NewReader(data))
		if err != nil {
			return
		}
		if dims[0] > len(data) { // nothing but zeros in the other dimensions
			return
		}
		if again := idxOf(t, dims, elements); !bytes.Equal(again, data) {
			t.Errorf("read and written again: %x, want %x", again, data)
		}
	})
}

func TestOpenImages(t *testing.T) {
	dir := t.TempDir()
	writeText(t, filepath.Join(dir, "t10k-images-idx3-ubyte"), string(idxOf(t, []int{4, 2, 2}, []byte("aaaabbbbccccdddd"))))
	writeText(t, filepath.Join(dir, "t10k-labels-idx1-ubyte"), string(idxOf(t, []int{4}, []byte{10, 2, 2, 0})))
	writeCapture(t, filepath.Join(dir, "raw", "x.pcapng"), web) // not a directory of label raw
	set, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"0", "2", "10"}; !slices.Equal(set.Classes, want) || set.Rows != 2 || set.Columns != 2 || len(set.Flows) != 0 {
		t.Errorf("classes %v of %d×%d, %d flows; want %v of 2×2, none", set.Classes, set.Rows, set.Columns, len(set.Flows), want)
	}
	if got := set.Images[0]; got.Label != "10" || got.Class != 2 || string(got.Pixels) != "aaaa" {
		t.Errorf("first image %+v", got)
	}
	writeText(t, filepath.Join(dir, "t10k-classes.txt"), "0 BitTorrent\n2 FTP\n")
	if set, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"10", "BitTorrent", "FTP"}; !slices.Equal(set.Classes, want) {
		t.Errorf("classes %v, want %v", set.Classes, want)
	}
	writeText(t, filepath.Join(dir, "t10k-labels-idx1-ubyte"), string(idxOf(t, []int{3}, []byte{10, 2, 2})))
	if _, err = Open(dir, Options{}); !errors.Is(err, ErrIDX) {
		t.Errorf("three labels for four images: %v, want ErrIDX", err)
	}
}

func TestClassNames(t *testing.T) {
	for text, want := range map[string]string{
		"BitTorrent\nWorld of Warcraft\n": "0=BitTorrent 1=World of Warcraft",
		"# names\n1 FTP\n0 SMB 2\n":       "0=SMB 2 1=FTP",
		"id,name\n3,\"Gmail\"\n":          "3=Gmail",
		"0\tA\n1\tB":                      "0=A 1=B",
		"1 A\n1 B":                        "line 2: class 1 is \"B\" here and \"A\" above",
		"300 A":                           "line 1: \"300 A\" is not a class (0 to 255) with its name",
	} {
		names, err := parseClassNames(strings.NewReader(text))
		var parts []string
		for i := range 256 {
			if name, ok := names[i]; ok {
				parts = append(parts, fmt.Sprint(i, "=", name))
			}
		}
		got := strings.Join(parts, " ")
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
