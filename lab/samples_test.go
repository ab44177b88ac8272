//go:build linux

package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/weirnet/weir/capture"
	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

const samples = "../samples"

// foreign matches what must not get into a sample: addresses other than the lab's as text, the
// home and working directories of whoever recorded, kernel releases.
var foreign = regexp.MustCompile(`192\.(168|0)\.\d+|172\.(1[6-9]|2\d|3[01])\.\d+|/(root|home|work|tmp)/|\b\d\.\d+\.\d+-[a-z0-9-]*(amd64|generic|cloud|microsoft|fc)`)

// TestSamples holds the sample set to what samples/README.md says of it.
func TestSamples(t *testing.T) {
	var size int64
	filepath.WalkDir(samples, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return err
	})
	if size > 8<<20 {
		t.Errorf("samples hold %d bytes, want at most 8 MiB", size)
	}
	runs := map[string]int{}
	flows := map[string]int{}
	for _, row := range table(t, "apps/labels.csv") {
		packets := readAll(t, filepath.Join(samples, "apps", row["file"]))
		runs[row["label"]]++
		seen := sampleFlows(t, row["file"], packets)
		flows[row["label"]] += len(seen)
		if want, _ := strconv.Atoi(row["flows"]); len(seen) != want {
			t.Errorf("%s: %d flows with payload, labels.csv says %d", row["file"], len(seen), want)
		}
		if at := time.Unix(0, packets[0].Nanos).UTC().Format("2006-01-02T15:04:05.000000Z"); at != row["start_utc"] {
			t.Errorf("%s starts at %s, labels.csv says %s", row["file"], at, row["start_utc"])
		}
		for id := range seen {
			if app := appOf(id.SrcPort); app == nil || app.Name != row["label"] {
				if app := appOf(id.DstPort); app == nil || app.Name != row["label"] {
					t.Errorf("%s: flow %v is not %s", row["file"], id, row["label"])
				}
			}
		}
	}
	for _, app := range Apps {
		switch {
		case app.Weight == 0 && runs[app.Name] != 0:
			t.Errorf("%s has %d captures, and should be unseen", app.Name, runs[app.Name])
		case app.Weight != 0 && (runs[app.Name] < 5 || flows[app.Name] < 60):
			t.Errorf("%s has %d captures and %d flows, want at least 5 and 60", app.Name, runs[app.Name], flows[app.Name])
		}
	}
}

func TestSampleNormal(t *testing.T) {
	packets := readAll(t, samples+"/normal.pcapng.zst")
	if length := time.Duration(packets[len(packets)-1].Nanos - packets[0].Nanos); length < 600*time.Second {
		t.Errorf("the normal traffic lasts %v, want at least 600 s", length)
	}
	for i, p := range packets {
		var h packet.Headers
		h.Decode(p.Link, p.Data, p.WireLen)
		if h.Has&packet.HasPorts != 0 && h.PayloadLen > 0 {
			t.Fatalf("packet %d keeps %d bytes of payload", i+1, h.PayloadLen)
		}
		if app := appOf(h.SrcPort); app != nil && app.Weight == 0 {
			t.Fatalf("packet %d is of %s, which should be unseen", i+1, app.Name)
		}
	}
}

func TestSampleDemo(t *testing.T) {
	packets := readAll(t, samples+"/demo.pcapng.zst")
	sampleFlows(t, "demo", packets)
	intervals := table(t, "demo.intervals.csv")
	attacks := map[string]int{}
	processes := map[string]int{}
	for _, p := range packets {
		name, _, _ := capture.ParseProcess(p.Comment)
		processes[string(name)]++
		if !slices.Contains([]string{"nmap", "hping3"}, string(name)) {
			continue
		}
		within := ""
		for _, row := range intervals {
			start, _ := strconv.ParseFloat(row["start"], 64)
			end, _ := strconv.ParseFloat(row["end"], 64)
			if at := float64(p.Nanos) / 1e9; start-1e-5 <= at && at <= end+1e-5 {
				within = row["attack"]
			}
		}
		attacks[within]++
	}
	if attacks["port_scan"] < 1000 || attacks["syn_flood"] < 2000 || attacks[""] != 0 {
		t.Errorf("packets of attacks by interval: %v; want 1,000 of a scan, 2,000 of a flood and none outside", attacks)
	}
	for _, app := range Apps {
		if processes[app.Name] == 0 {
			t.Errorf("the demo holds no packet of %s", app.Name)
		}
	}
}

// sampleFlows returns the flows with payload, and reports payloads that tell where they were recorded.
func sampleFlows(t *testing.T, name string, packets []capture.Packet) map[flow.Key]bool {
	t.Helper()
	seen := map[flow.Key]bool{}
	for i, p := range packets {
		var h packet.Headers
		h.Decode(p.Link, p.Data, p.WireLen)
		if h.Has&packet.HasPorts == 0 || h.PayloadWireLen == 0 {
			continue
		}
		id, _ := flow.KeyOf(&h).Canonical()
		seen[id] = true
		if found := foreign.Find(h.Payload(p.Data)); found != nil {
			t.Errorf("%s: packet %d holds %q", name, i+1, found)
		}
		if src := h.Src.Netip(h.Version).String(); !bytes.HasPrefix([]byte(src), []byte("10.77.")) && src[:6] != "fd77::" {
			t.Errorf("%s: packet %d comes from %s", name, i+1, src)
		}
	}
	return seen
}

// table reads a CSV file of the samples: one map per row, by column.
func table(t *testing.T, name string) []map[string]string {
	t.Helper()
	file, err := os.Open(filepath.Join(samples, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, cell := range row {
			m[rows[0][i]] = cell
		}
		out = append(out, m)
	}
	return out
}
