package dataset

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	other := web
	other.src, other.payload = "10.0.0.7:40000", "POST / HTTP/1.1"
	writeCapture(t, filepath.Join(dir, "a1.pcapng"), web, mute)
	writeCapture(t, filepath.Join(dir, "a2.pcapng"), web, mute) // the same file
	writeCapture(t, filepath.Join(dir, "b1.pcapng"), name, other)
	writeCapture(t, filepath.Join(dir, "flows.pcapng"), web, six, name)
	writeText(t, filepath.Join(dir, "bad.pcap"), "this is no capture at all")
	writeText(t, filepath.Join(dir, "labels.csv"), "file,label\na1.pcapng,web\na2.pcapng,web\nb1.pcapng,names\nbad.pcap,web\ngone.pcapng,web\n")
	writeText(t, filepath.Join(dir, "flows.csv"), "file,src,src_port,dst,dst_port,proto,label\n"+
		"flows.pcapng,10.0.0.1,40000,192.0.2.1,80,tcp,names\n"+
		"flows.pcapng,2001:db8::1,40001,2001:db8::2,443,tcp,\x1b[31mtls\n"+
		"flows.pcapng,10.0.0.9,1,192.0.2.1,80,tcp,nobody\n")
	set, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	set.Dir = "set"
	for i := range set.Problems {
		set.Problems[i].Name = strings.ReplaceAll(set.Problems[i].Name, dir, "set")
	}
	report := set.Check()
	text, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "check.json")
	got := string(text) + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("report:\n%s\nwant:\n%s", got, want)
	}
	var read Report
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&read, report) {
		t.Errorf("JSON read back:\n%+v\nwant:\n%+v", &read, report)
	}
}
