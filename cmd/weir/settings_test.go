package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/weirnet/weir/config"
)

// runFlags returns all flags of a run.
func runFlags(t *testing.T) (*runner, *pflag.FlagSet) {
	t.Helper()
	g := new(shared)
	r := newRunner(g)
	g.flags(r.Flags())
	return r, r.Flags()
}

// TestEveryFlagHasAKey wants a key for every flag of weir run that a user sees, of a kind that is known, and a flag for every key.
func TestEveryFlagHasAKey(t *testing.T) {
	_, flags := runFlags(t)
	run, _, err := newRoot().Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	run.InitDefaultHelpFlag()
	all := keys(flags)
	var want []string
	see := func(f *pflag.Flag) {
		if f.Hidden || slices.Contains(noKeys, f.Name) {
			return
		}
		want = append(want, f.Name)
		if _, known := kinds[f.Value.Type()]; !known {
			t.Errorf("--%s: values of the type %q have no kind", f.Name, f.Value.Type())
		}
	}
	run.Flags().VisitAll(see)
	run.InheritedFlags().VisitAll(see)
	var got []string
	for _, k := range all {
		got = append(got, k.Name)
	}
	slices.Sort(want)
	slices.Sort(got)
	if want = slices.Compact(want); !slices.Equal(got, want) || len(got) < 30 {
		t.Errorf("keys are\n%q\nflags are\n%q", got, want)
	}
	for _, name := range noKeys {
		if f := run.Flags().Lookup(name); f == nil {
			t.Errorf("%s is no flag, and no key for want of it", name)
		}
	}
	for _, name := range changeable {
		if !slices.Contains(got, name) {
			t.Errorf("%s can be changed, and is no key", name)
		}
	}
	for name, others := range displaces {
		for _, key := range append(others, name) {
			if !slices.Contains(got, key) {
				t.Errorf("%s displaces, or is displaced, and is no key", key)
			}
		}
	}
}

// TestKeyIsFlag sets every key by the file, by --set and by its flag, and wants the same.
func TestKeyIsFlag(t *testing.T) {
	samples := map[config.Kind][]string{config.Text: {"some text"}, config.Bool: {"true"}, config.Integer: {"7"}, config.Number: {"2.5"}, config.Duration: {"1m30s"}, config.Size: {"3MiB"}, config.List: {"a", "b"}}
	_, flags := runFlags(t)
	for _, k := range keys(flags) {
		values := samples[k.Kind]
		if k.Kind == config.Bool && k.Default == "true" {
			values = []string{"false"}
		}
		var file, sets, given settings
		_, byFlag := runFlags(t)
		for _, v := range values {
			if err := byFlag.Set(k.Name, v); err != nil {
				t.Errorf("--%s %s: %v", k.Name, v, err)
			}
			sets.sets = append(sets.sets, k.Name+"="+v)
		}
		var text strings.Builder
		if err := config.Write(&text, "", []config.Setting{{Key: k, Values: values, Set: true}}); err != nil {
			t.Fatal(err)
		}
		file.file = filepath.Join(t.TempDir(), "weir.yaml")
		if err := os.WriteFile(file.file, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		_, byFile := runFlags(t)
		_, bySet := runFlags(t)
		for how, err := range map[string]error{"flag": given.apply(byFlag, false), "file": file.apply(byFile, false), "--set": sets.apply(bySet, false)} {
			if err != nil {
				t.Errorf("%s by %s: %v", k.Name, how, err)
			}
		}
		want := given.values[k.Name]
		if slices.Equal(want, []string{flags.Lookup(k.Name).DefValue}) {
			t.Errorf("%s: %q is its default: the test tests nothing", k.Name, want)
		}
		if f, s := file.values[k.Name], sets.values[k.Name]; !slices.Equal(f, want) || !slices.Equal(s, want) || !byFile.Changed(k.Name) || !bySet.Changed(k.Name) {
			t.Errorf("%s: by the file %q, by --set %q, by the flag %q", k.Name, f, s, want)
		}
	}
}

// TestPrecedence wants defaults below the file below --set below flags, and alternatives of the file to give way.
func TestPrecedence(t *testing.T) {
	name := filepath.Join(t.TempDir(), "weir.yaml")
	text := "interface: eth0\nuser: weir\nsnapshot-length: 100\nfilter: udp\nstore-days: 3\nsend: ['udp://a:1', 'udp://b:1']\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args  string
		words bool
		want  map[string]string
	}{
		{"", false, map[string]string{"interface": "eth0", "user": "weir", "filter": "udp", "store-days": "3", "send": "udp://a:1 udp://b:1", "lateness": "1s"}},
		{"--set store-days=5 --set user=root", false, map[string]string{"store-days": "5", "user": "root"}},
		{"--set store-days=5 --set store-days=6", false, map[string]string{"store-days": "6"}},
		{"--set store-days=5 --store-days 7", false, map[string]string{"store-days": "7"}},
		{"--send udp://c:1", false, map[string]string{"send": "udp://c:1"}},
		{"--set send=udp://c:1 --set send=udp://d:1", false, map[string]string{"send": "udp://c:1 udp://d:1"}},
		{"--set send=", false, map[string]string{"send": ""}},
		{"-r a.pcap", false, map[string]string{"read": "a.pcap", "interface": "", "user": "", "snapshot-length": "262144", "filter": "udp"}},
		{"-r a.pcap", true, map[string]string{"filter": "udp"}},
		{"--set read=a.pcap", false, map[string]string{"read": "a.pcap", "interface": ""}},
		{"--bpf f", false, map[string]string{"bpf": "f", "filter": ""}},
		{"", true, map[string]string{"filter": ""}},
		{"-i eth1 --user u", false, map[string]string{"interface": "eth1", "user": "u", "filter": "udp"}},
	} {
		r, flags := runFlags(t)
		r.from.file = name
		if err := flags.Parse(strings.Fields(test.args)); err != nil {
			t.Fatal(err)
		}
		if err := r.from.apply(flags, test.words); err != nil {
			t.Fatal(err)
		}
		for key, want := range test.want {
			if got := strings.Join(r.from.values[key], " "); got != want {
				t.Errorf("%q with words %t: %s is %q, want %q", test.args, test.words, key, got, want)
			}
		}
	}
}

// TestDocumentedConfiguration reads the example of the documentation.
func TestDocumentedConfiguration(t *testing.T) {
	docs, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(docs), "```yaml\n# /etc/weir/weir.yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("docs/operating.md has no example of a configuration")
	}
	name := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, flags := runFlags(t)
	r.from.file = name
	if err := r.from.apply(flags, false); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"interface", "apps", "anomaly", "store", "http"} {
		if !flags.Changed(key) {
			t.Errorf("the example sets no %s", key)
		}
	}
	// Models and directories are those of the machine that it is for.
	for _, key := range []string{"apps", "anomaly", "output"} {
		if err := flags.Set(key, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.check(nil); err != nil {
		t.Error(err)
	}
}
