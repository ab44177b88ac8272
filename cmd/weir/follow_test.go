package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weirnet/weir/model"
)

// scriptFollowed gives a run a capture through a pipe, a little at a time, and meanwhile promotes one version after the other; a word
// that begins with ! is a version that is broken first, one with < is what rolling back must lead to. Each must be told, on stderr, before there is more:
// followed CAPTURE OUTPUT REF… -- ARG…
func scriptFollowed(ts *testscript.TestScript, neg bool, args []string) {
	dashes := -1
	for i, a := range args {
		if a == "--" {
			dashes = i
		}
	}
	if neg || dashes < 3 {
		ts.Fatalf("usage: followed CAPTURE OUTPUT REF… -- ARG…")
	}
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	log := ts.MkAbs(args[1] + ".log")
	stderr, err := os.Create(log)
	ts.Check(err)
	defer stderr.Close()
	cmd := exec.Command("weir", append([]string{"run", "-r", "-", "--follow-models", "-o", args[1]}, args[dashes+1:]...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = ts.MkAbs("."), append(os.Environ(), "HOME="+ts.Getenv("HOME")), stderr
	stdin, err := cmd.StdinPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	registry := model.Registry{Dir: ts.MkAbs("models")}
	const piece = 1024
	give := func(n int) {
		n = min(n, len(data))
		_, err := stdin.Write(data[:n])
		ts.Check(err)
		data = data[n:]
	}
	refs := args[2:dashes]
	share := len(data) / (len(refs) + 1)
	for _, ref := range refs {
		give(share / 2)
		want := strings.TrimLeft(ref, "!<") + " is in use from here on"
		if back := strings.TrimPrefix(ref, "<"); back != ref {
			name, _, _ := strings.Cut(back, "@")
			rollback := exec.Command("weir", "model", "rollback", name)
			rollback.Dir, rollback.Env = cmd.Dir, cmd.Env
			ts.Check(rollback.Run())
		} else if broken := strings.TrimPrefix(ref, "!"); broken != ref {
			want = broken + " was promoted and is not used, the version before goes on"
			name, version, _ := strings.Cut(broken, "@")
			ts.Check(os.Remove(filepath.Join(registry.Dir, name, version, "weights.safetensors")))
			live := filepath.Join(registry.Dir, name, "live") // Promote would refuse it
			versions, err := os.ReadFile(live)
			ts.Check(err)
			ts.Check(os.WriteFile(live+".new", append(versions, version+"\n"...), 0o644))
			ts.Check(os.Rename(live+".new", live))
		} else {
			ts.Check(registry.Promote(ref))
		}
		for len(data) > 0 {
			told, err := os.ReadFile(log)
			ts.Check(err)
			if bytes.Contains(told, []byte(want)) {
				break
			}
			give(piece)
			time.Sleep(20 * time.Millisecond)
		}
	}
	give(len(data))
	ts.Check(stdin.Close())
	err = cmd.Wait()
	told, _ := os.ReadFile(log)
	ts.Logf("%s", told)
	ts.Check(err)
}

// scriptSameCounts wants two runs to have counted the same packets, flows and windows: samecounts EVENTS EVENTS
func scriptSameCounts(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "samecounts EVENTS EVENTS")
	var counts [2]map[string]any
	for i, name := range args {
		for line := range strings.Lines(ts.ReadFile(name)) {
			var e struct {
				Stats map[string]any `json:"stats"`
			}
			ts.Check(json.Unmarshal([]byte(line), &e))
			if e.Stats != nil {
				counts[i] = e.Stats
			}
		}
		for _, of := range []string{"models", "learning", "drift", "alerts", "novel_flows", "packets_per_second", "bits_per_second"} {
			delete(counts[i], of)
		}
	}
	if len(counts[0]) < 8 || !reflect.DeepEqual(counts[0], counts[1]) {
		ts.Fatalf("%s counted %v\n%s counted %v", args[0], counts[0], args[1], counts[1])
	}
}

// TestFollows wants the dashboard told the truth: a model named with a version stays, and so does every model when nothing is followed.
func TestFollows(t *testing.T) {
	names := map[model.Kind][2]string{model.Apps: {"apps", "apps@1"}, model.Anomaly: {"office@3", "office@3"}}
	for _, c := range []struct {
		live bool
		name string
		want bool
	}{{true, "apps", true}, {true, "office", false}, {true, "other", false}, {false, "apps", false}} {
		f := &follow{every: time.Hour}
		g := &shared{models: t.TempDir()}
		f.start(g, c.live, names)
		if got := f.follows(c.name); got != c.want {
			t.Errorf("%s, live %v: followed %v, want %v", c.name, c.live, got, c.want)
		}
		go func() {
			for range f.ready {
			}
		}()
		f.close()
		close(f.ready)
		if f.follows(c.name) {
			t.Errorf("%s is followed after the end", c.name)
		}
	}
}
