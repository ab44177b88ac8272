package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// testKeys has a key of each kind.
var testKeys = []Key{
	{Name: "apps", Kind: Text, Usage: "model"},
	{Name: "filter", Kind: Text, Usage: "of packets"},
	{Name: "store", Kind: Text, Usage: "directory"},
	{Name: "quiet", Kind: Bool, Usage: "says less", Default: "false"},
	{Name: "store-days", Kind: Integer, Usage: "days", Default: "30"},
	{Name: "speed", Kind: Number, Usage: "times", Default: "0"},
	{Name: "lateness", Kind: Duration, Usage: "time", Default: "1s"},
	{Name: "store-bytes", Kind: Size, Usage: "size", Default: "10GiB"},
	{Name: "interface", Kind: List, Usage: "names"},
}

// show is what a file sets, on one line.
func show(entries []Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Key+"="+strings.Join(e.Values, "+"))
	}
	return strings.Join(all, " ")
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"comments alone", "# a\n\n# b\n", ""},
		{"document begins", "---\napps: a\n", "apps=a"},
		{"all kinds", "apps: a@1\nquiet: true\nstore-days: 7\nspeed: 2.5\nlateness: 90s\nstore-bytes: 5GiB\ninterface: [eth0, eth1]\n",
			"apps=a@1 quiet=true store-days=7 speed=2.5 lateness=90s store-bytes=5GiB interface=eth0+eth1"},
		{"other ways to write them", "speed: 2\nlateness: 0\nstore-bytes: 1048576\ninterface: eth0\nfilter: >\n  not port 22\n  and tcp\n",
			"speed=2 lateness=0 store-bytes=1048576 interface=eth0 filter=not port 22 and tcp"},
		{"a list below its key", "interface:\n- eth0\n- 'eth1'\n", "interface=eth0+eth1"},
		{"an empty list", "interface: []\n", "interface="},
		{"quotes", "apps: \"true\"\nfilter: 'host 10.0.0.1 # no comment'\n", "apps=true filter=host 10.0.0.1 # no comment"},
		{"lines end as in Windows", "apps: a\r\nquiet: true\r\n", "apps=a quiet=true"},
		{"flow style", "{apps: a, quiet: false}", "apps=a quiet=false"},
	} {
		entries, err := Parse("weir.yaml", []byte(test.text), testKeys)
		if got := show(entries); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.name, got, err, test.want)
		}
	}
}

// TestErrors wants each fault with its line and column, what it is, the caret below it, and the hint.
func TestErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"app: a\n", "w:1:1: unknown key \"app\"\napp: a\n^\ndid you mean apps?"},
		{"# c\nSTORE_DAYS: 1\n", "w:2:1: unknown key \"STORE_DAYS\"\nSTORE_DAYS: 1\n^\ndid you mean store-days?"},
		{"nothing-like-it-at-all: 1\n", "w:1:1: unknown key \"nothing-like-it-at-all\"\nnothing-like-it-at-all: 1\n^"},
		{"quiet: yes\n", "w:1:8: quiet: want true or false\nquiet: yes\n       ^"},
		{"store-days: \"7\"\n", "w:1:13: store-days: want a whole number\nstore-days: \"7\"\n            ^"},
		{"store-days: 7.5\n", "w:1:13: store-days: want a whole number\nstore-days: 7.5\n            ^"},
		{"speed: fast\n", "w:1:8: speed: want a number\nspeed: fast\n       ^"},
		{"lateness: true\n", "w:1:11: lateness: want a duration such as 90s or 5m\nlateness: true\n          ^"},
		{"store-bytes: 1.5\n", "w:1:14: store-bytes: want a number of bytes such as 64MiB\nstore-bytes: 1.5\n             ^"},
		{"apps: 2026\n", "w:1:7: apps: want text\napps: 2026\n      ^\ntext that YAML takes for something else stands in quotes"},
		{"apps: [a]\n", "w:1:7: apps: want text\napps: [a]\n      ^"},
		{"apps:\n", "w:1:7: apps has no value\napps:\n     ^\nwithout the line the default holds"},
		{"apps: a\nquiet: true\napps: b\n", "w:3:1: apps is there twice, first in line 1\napps: b\n^"},
		{"interface: [a, 1]\n", "w:1:16: interface: want text\ninterface: [a, 1]\n               ^\ntext that YAML takes for something else stands in quotes"},
		{"apps: &a b\n", "w:1:7: apps: anchors, aliases and tags are not taken here\napps: &a b\n      ^\nwrite the value itself; text that begins with &, * or ! stands in quotes"},
		{"apps: *a\n", "w:1:7: apps: anchors, aliases and tags are not taken here\napps: *a\n      ^\nwrite the value itself; text that begins with &, * or ! stands in quotes"},
		{"interface: [*a]\n", "w:1:13: interface: anchors, aliases and tags are not taken here\ninterface: [*a]\n            ^\nwrite the value itself; text that begins with &, * or ! stands in quotes"},
		{"<<: {apps: a}\n", "w:1:1: a key is a word\n<<: {apps: a}\n^\nnothing of YAML but keys, values and lists is needed here"},
		{"filter:\n  days: 3\n", "w:2:3: filter: want text\n  days: 3\n  ^\ntext that YAML takes for something else stands in quotes"},
		{"store:\n  days: 3\n", "w:2:3: store: want text\n  days: 3\n  ^\nthere are no sections: did you mean store-days?"},
		{"store:\n  days: 3\n  bytes: 1GiB\n", "w:2:3: store: want text\n  days: 3\n  ^\nthere are no sections: did you mean store-days?"},
		{"- apps\n", "w:1:1: want lines such as store-days: 30\n- apps\n^"},
		{"apps: a\n---\napps: b\n", "w:3:1: a second document: a configuration is one\napps: b\n^"},
		{"filter: a: b\n", "w:1:9: mapping value is not allowed in this context\nfilter: a: b\n        ^\ntext that has a colon before a space, or at its end, stands in quotes"},
		{"filter: ü\nquiet: \x00\n", "w:2:8: this is no text: a byte that YAML does not allow\nquiet: \x00\n       ^"},
		{"apps: \xff\n", "w:1:7: this is no text: a byte that YAML does not allow\napps: \ufffd\n      ^"},
	} {
		_, err := Parse("w", []byte(test.text), testKeys)
		if err == nil || err.Error() != test.want {
			t.Errorf("%q: got\n%v\nwant\n%s", test.text, err, test.want)
		}
	}
	if _, err := Parse("w", []byte("apps: b\n\tquiet: true\n"), testKeys); err == nil || !strings.Contains(err.Error(), "not with tabs") {
		t.Errorf("a tab: got %v", err)
	}
	for _, text := range []string{strings.Repeat("[", 60_000), strings.Repeat("- ", 30_000), strings.Repeat("a: [\n", 12_000), strings.Repeat("{a: ", 16_000)} {
		if _, err := Parse("w", []byte(text), testKeys); err == nil || !strings.Contains(err.Error(), "too many lists") {
			t.Errorf("lists in lists: got %v", err)
		}
	}
	if _, err := Parse("w", make([]byte, maxBytes+1), testKeys); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a file that is too large: got %v", err)
	}
}

// TestAllAtOnce wants every fault told, and what is right.
func TestAllAtOnce(t *testing.T) {
	entries, err := Parse("w", []byte("app: a\nquiet: 1\nspeed: 2\nstore-days: x\n"), testKeys)
	var places []string
	for _, one := range err.(interface{ Unwrap() []error }).Unwrap() {
		first, _, _ := strings.Cut(one.Error(), ": ")
		places = append(places, first)
	}
	if want := []string{"w:1:1", "w:2:8", "w:4:13"}; !slices.Equal(places, want) || show(entries) != "speed=2" {
		t.Errorf("got %q and %q, want %q", places, show(entries), want)
	}
}

// TestLongLine wants a place in a long line shown with what is around it.
func TestLongLine(t *testing.T) {
	_, err := Parse("w", []byte("apps: "+strings.Repeat("a", 500)+": b"+strings.Repeat("c", 500)), testKeys)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if len(line) > 2*shown+1 {
			t.Errorf("a line of %d: %s", len(line), line)
		}
	}
}

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "weir.yaml")
	if _, err := Read(name, testKeys); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	if err := os.WriteFile(name, []byte("apps: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := Read(name, testKeys)
	if err != nil || show(entries) != "apps=a" {
		t.Errorf("got %q, %v", show(entries), err)
	}
	wrong := entries[0].Wrong(errors.New("no such model"))
	if want := name + ":1:7: no such model\napps: a\n      ^"; wrong.Error() != want {
		t.Errorf("got %q, want %q", wrong, want)
	}
}

// TestWrite wants what is written to be read again as it was, whatever text there is.
func TestWrite(t *testing.T) {
	for _, text := range []string{"a", "", "true", "No", "~", "null", "1", "0x1f", "1e3", ".5", ".inf", "1s", "a: b", "a #b", "- a", "[a]", "{", "&a", "*a", "!a", "|", ">", "%", "@", "`", `"`, `'`, `\`,
		" a ", "ü", "日本", "not port 22 and host 10.0.0.1", "syslog:", "tcp://h:1", "2026-11-22", "12:30", "<<", "=", "a\nb", "a\tb", "---", "…\u2028", "\u0085", "<>&"} {
		settings := []Setting{
			{Key: testKeys[0], Values: []string{text}, Set: true},
			{Key: testKeys[1]},
			{Key: testKeys[3], Values: []string{"true"}, Set: true},
			{Key: testKeys[4], Values: []string{"7"}, Set: true},
			{Key: testKeys[5], Values: []string{"0.5"}, Set: true},
			{Key: testKeys[6], Values: []string{"1m30s"}, Set: true},
			{Key: testKeys[7], Values: []string{"64MiB"}, Set: true},
			{Key: testKeys[8], Values: []string{text, "b"}, Set: true},
		}
		var out bytes.Buffer
		if err := Write(&out, "Head.", settings); err != nil {
			t.Fatal(err)
		}
		entries, err := Parse("w", out.Bytes(), testKeys)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		i := 0
		for _, s := range settings {
			if !s.Set {
				continue
			}
			if i == len(entries) || entries[i].Key != s.Name || !reflect.DeepEqual(entries[i].Values, s.Values) {
				t.Errorf("%q: %s is read as %q of %s", text, s.Name, show(entries), out.String())
				break
			}
			i++
		}
		if !strings.Contains(out.String(), "\n# of packets\n#filter:\n") || !strings.Contains(out.String(), "\n# times\n# a number; default 0\nspeed: 0.5\n") {
			t.Errorf("the comments of\n%s", out.String())
		}
	}
}

// FuzzParse wants an error that shows its place or entries of the keys there are, of the kinds they have, that are read again as they were.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"apps: a\nquiet: true\nstore-days: 7\nspeed: 2.5\nlateness: 90s\nstore-bytes: 5GiB\ninterface: [eth0, eth1]\n", "apps: |\n  a\n", "interface:\n- a\n- b\n", "{apps: a}",
		"apps: &a b\nfilter: *a\n", "<<: *a", "? a\n: b", "!!map {}", "%YAML 1.2\n---\napps: a\n...\n", "apps: \"\\u00e9\\n\"", "\tapps: a", "[[[[", "a: {b: [c, {d: e}]}", "apps: >-\n  a\n\n  b\n", "- - -", "'", "\ufeffapps: a",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := Parse("w", data, testKeys)
		if err != nil {
			if !errors.As(err, new(*Error)) || err.Error() == "" || strings.Contains(err.Error(), "this YAML cannot be read") {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		var settings []Setting
		for _, e := range entries {
			k, ok := find(testKeys, e.Key)
			if !ok || k.Kind != List && len(e.Values) != 1 {
				t.Fatalf("%q: %v", data, e)
			}
			settings = append(settings, Setting{Key: k, Values: e.Values, Set: true})
		}
		var out bytes.Buffer
		if err := Write(&out, "", settings); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("w", out.Bytes(), testKeys)
		if err != nil || show(again) != show(entries) {
			t.Errorf("%q: %q is written as\n%s\nand read as %q, %v", data, show(entries), out.String(), show(again), err)
		}
	})
}
