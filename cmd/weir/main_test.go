package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/weirnet/weir/model"
	"github.com/weirnet/weir/nn/safetensors"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"weir":       func() { os.Exit(run(os.Args[1:])) },
		attackedName: runAttacked,
		watchedName:  runWatched,
	})
}

// TestScripts runs the commands as a user does. $SAMPLES is the directory samples/ of the repository.
func TestScripts(t *testing.T) {
	samples, err := filepath.Abs("../../samples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SAMPLES", samples)
			e.Setenv("DOCS", filepath.Join(samples, "..", "docs"))
			e.Values[receiversKey{}] = receivers{}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "torch" {
				return false, fmt.Errorf("no condition %q", cond)
			}
			return python() != "", nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":     scriptStatus,
			"part":       scriptPart,
			"pack":       scriptPack,
			"unhex":      scriptUnhex,
			"flip":       scriptFlip,
			"flood":      scriptFlood,
			"receiver":   scriptReceiver,
			"received":   scriptReceived,
			"nobody":     scriptNobody,
			"comesback":  scriptComesBack,
			"replace":    scriptReplace,
			"lines":      scriptLines,
			"pick":       scriptPick,
			"versions":   scriptVersions,
			"relabel":    scriptRelabel,
			"idx":        scriptIDX,
			"json":       scriptJSON,
			"jsonlines":  scriptJSONLines,
			"parquet":    scriptParquet,
			"page":       scriptPage,
			"samemodel":  scriptSameModel,
			"samejson":   scriptSameJSON,
			"torch":      scriptTorch,
			"reweigh":    scriptReweigh,
			"interrupt":  scriptInterrupt,
			"killsaves":  scriptKillSaves,
			"sameflows":  scriptSameFlows,
			"manyflows":  scriptManyFlows,
			"breakruns":  scriptBreakRuns,
			"halfway":    scriptHalfway,
			"samescores": scriptSameScores,
			"followed":   scriptFollowed,
			"taught":     scriptTaught,
			"samecounts": scriptSameCounts,
			"private":    scriptPrivate,
			"flowid":     scriptFlowID,
			"until":      scriptUntil,
		},
		RequireUniqueNames: true,
	})
}

// python returns a Python that has PyTorch, or "": Debian's is not always the first one.
var python = sync.OnceValue(func() string {
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(name, "-c", "import torch").Run() == nil {
			return name
		}
	}
	return ""
})

// scriptTorch runs a script that needs PyTorch: torch SCRIPT ARG…
func scriptTorch(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: torch SCRIPT ARG…")
	}
	ts.Check(ts.Exec(python(), args...))
}

// plain refuses what most of the commands below do not have: negation, other numbers of arguments.
func plain(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) != n {
		ts.Fatalf("usage: %s", usage)
	}
}

// scriptStatus runs a command and wants a certain exit status: status N COMMAND ARG…
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status is %d, want %d", got, want)
	}
}

// scriptPart copies the first bytes of a file: part FROM BYTES TO
func scriptPart(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 3, "part FROM BYTES TO")
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), data[:n], 0o666))
}

// scriptPack compresses a file by the ending of the other one's name: pack FROM TO.gz|TO.zst
func scriptPack(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "pack FROM TO")
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	if filepath.Ext(args[1]) == ".zst" {
		w, err = zstd.NewWriter(&out)
		ts.Check(err)
	}
	_, err = w.Write(data)
	ts.Check(errors.Join(err, w.Close()))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out.Bytes(), 0o666))
}

// scriptUnhex writes the bytes that a file says in hexadecimal: unhex FROM TO
func scriptUnhex(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "unhex FROM TO")
	data, err := hex.DecodeString(strings.Join(strings.Fields(ts.ReadFile(args[0])), ""))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o666))
}

// scriptFlip changes one bit in the middle of a file: flip FILE
func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 1, "flip FILE")
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o666))
}

// scriptReplace changes the only place where a file says something: replace FILE OLD NEW
func scriptReplace(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 3, "replace FILE OLD NEW")
	text := ts.ReadFile(args[0])
	if n := strings.Count(text, args[1]); n != 1 {
		ts.Fatalf("%s has %q %d times, want once", args[0], args[1], n)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o666))
}

// scriptPick makes a labelled set of some of the sample captures, DIR/LABEL/N.pcapng.zst:
// pick DIR FIRST LAST LABEL…
func scriptPick(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: pick DIR FIRST LAST LABEL…")
	}
	first, err := strconv.Atoi(args[1])
	ts.Check(err)
	last, err := strconv.Atoi(args[2])
	ts.Check(err)
	for _, label := range args[3:] {
		dir := filepath.Join(ts.MkAbs(args[0]), label)
		ts.Check(os.MkdirAll(dir, 0o777))
		for n := first; n <= last; n++ {
			data, err := os.ReadFile(filepath.Join(ts.Getenv("SAMPLES"), "apps", fmt.Sprintf("%s-%02d.pcapng.zst", label, n)))
			ts.Check(err)
			ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.pcapng.zst", n)), data, 0o666))
		}
	}
}

// scriptVersions sets variables to the versions of a model, oldest first: versions MODELS NAME VAR…
func scriptVersions(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: versions MODELS NAME VAR…")
	}
	entries, err := model.Registry{Dir: ts.MkAbs(args[0])}.List()
	ts.Check(err)
	names := args[2:]
	for _, e := range entries {
		if e.Name == args[1] && len(names) > 0 {
			ts.Setenv(names[0], e.Version)
			names = names[1:]
		}
	}
	if len(names) > 0 {
		ts.Fatalf("%s has too few versions for %q", args[1], names)
	}
}

// scriptRelabel gives a model other labels: relabel MODEL.JSON LABEL…
func scriptRelabel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: relabel MODEL.JSON LABEL…")
	}
	var m model.Manifest
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &m))
	m.Labels = args[1:]
	data, err := json.Marshal(m)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o666))
}

// scriptIDX wants an IDX file of images with as many images as its index has rows:
// idx FILE INDEX.CSV HEIGHT WIDTH
func scriptIDX(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 4, "idx FILE INDEX.CSV HEIGHT WIDTH")
	data := []byte(ts.ReadFile(args[0]))
	images := strings.Count(ts.ReadFile(args[1]), "\n") - 1
	height, err := strconv.Atoi(args[2])
	ts.Check(err)
	width, err := strconv.Atoi(args[3])
	ts.Check(err)
	want := []byte{0, 0, 8, 3}
	for _, n := range []int{images, height, width} {
		want = binary.BigEndian.AppendUint32(want, uint32(n))
	}
	if images == 0 || !bytes.HasPrefix(data, want) || len(data) != len(want)+images*height*width {
		ts.Fatalf("%s has %d bytes and begins % x, want % x and %d images", args[0], len(data), data[:min(len(data), 16)], want, images)
	}
}

// scriptLines wants a file to have so many lines: lines FILE N
func scriptLines(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "lines FILE N")
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); got != want {
		ts.Fatalf("%s has %d lines, want %d", args[0], got, want)
	}
}

// scriptJSON wants values in a JSON file: json FILE CONDITION…, where a condition is a path such as
// flow.accuracy or classes.0.label that must be there, PATH=VALUE, PATH>=NUMBER or PATH<=NUMBER.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: json FILE CONDITION…")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	for _, cond := range args[1:] {
		path, operator, want := cond, "", ""
		for _, o := range []string{">=", "<=", "="} {
			if before, after, ok := strings.Cut(cond, o); ok {
				path, operator, want = before, o, after
				break
			}
		}
		v, ok := lookup(doc, strings.Split(path, "."))
		if !ok {
			ts.Fatalf("%s has no %s", args[0], path)
		}
		number, isNumber := v.(float64)
		limit, err := strconv.ParseFloat(want, 64)
		holds := true
		switch operator {
		case "=":
			holds = fmt.Sprint(v) == want
		case ">=":
			holds = err == nil && isNumber && number >= limit
		case "<=":
			holds = err == nil && isNumber && number <= limit
		}
		if !holds {
			ts.Fatalf("%s: %s is %v, want %s", args[0], path, v, cond)
		}
	}
}

// lookup follows names and indices into a JSON document.
func lookup(doc any, path []string) (any, bool) {
	for _, step := range path {
		switch at := doc.(type) {
		case map[string]any:
			v, ok := at[step]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(at) {
				return nil, false
			}
			doc = at[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

// scriptSameModel wants two versions of a model to have learned the same, bit for bit:
// samemodel MODELS MODELS REF [REF]
func scriptSameModel(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 3 {
		args = append(args, args[2])
	}
	plain(ts, neg, args, 4, "samemodel MODELS MODELS NAME[@VERSION] [NAME[@VERSION]]")
	var p [2]*model.Package
	for i := range p {
		var err error
		p[i], err = model.Registry{Dir: ts.MkAbs(args[i])}.Load(args[2+i])
		ts.Check(err)
	}
	for what, pair := range map[string][2]any{
		"weights":    {p[0].Weights, p[1].Weights},
		"settings":   {string(p[0].Settings), string(p[1].Settings)},
		"labels":     {p[0].Labels, p[1].Labels},
		"evaluation": {string(p[0].Evaluation), string(p[1].Evaluation)},
		"baseline":   {string(p[0].Baseline), string(p[1].Baseline)},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			ts.Fatalf("%s of %s in %s and %s differ", what, args[2], args[0], args[1])
		}
	}
}

// scriptSameJSON wants two JSON files to have the same value at a path: samejson FILE FILE PATH
func scriptSameJSON(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 3, "samejson FILE FILE PATH")
	var got [2]any
	for i := range got {
		var doc any
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[i])), &doc))
		v, ok := lookup(doc, strings.Split(args[2], "."))
		if !ok {
			ts.Fatalf("%s has no %s", args[i], args[2])
		}
		got[i] = v
	}
	if !reflect.DeepEqual(got[0], got[1]) {
		ts.Fatalf("%s is %v in %s and %v in %s", args[2], got[0], args[0], got[1], args[1])
	}
}

// scriptReweigh copies a safetensors file with all values a little larger: reweigh FROM TO
func scriptReweigh(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 2, "reweigh FROM TO")
	file, err := safetensors.Parse([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	for _, t := range file.Tensors {
		for i := range t.Data {
			t.Data[i] *= 1.01
		}
	}
	var out bytes.Buffer
	ts.Check(safetensors.Write(&out, file))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out.Bytes(), 0o666))
}

// start starts a command in the script's directory, with its stderr collected.
func start(ts *testscript.TestScript, args []string) (*exec.Cmd, *bytes.Buffer) {
	return startWith(ts, nil, args)
}

// startWith starts a command that reads from stdin.
func startWith(ts *testscript.TestScript, stdin *os.File, args []string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command(args[0], args[1:]...)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"))
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	ts.Check(cmd.Start())
	return cmd, stderr
}

// poll calls seen until it says yes or the command has ended, and reports which.
func poll(ended <-chan error, seen func() bool) bool {
	for {
		if seen() {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(200 * time.Microsecond):
		}
	}
}

// scriptInterrupt runs a command and interrupts it once it has written FILE anew; it must then
// end with status 1 and say how to go on: interrupt FILE COMMAND ARG…
func scriptInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt FILE COMMAND ARG…")
	}
	file := ts.MkAbs(args[0])
	before, _ := os.Stat(file)
	cmd, stderr := start(ts, args[1:])
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	written := poll(ended, func() bool {
		now, err := os.Stat(file)
		return err == nil && (before == nil || !os.SameFile(before, now))
	})
	if !written {
		ts.Fatalf("the command ended before it wrote %s:\n%s", args[0], stderr)
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	<-ended
	ts.Logf("%s", stderr)
	if got := cmd.ProcessState.ExitCode(); got != exitFailed {
		ts.Fatalf("exit status after an interrupt is %d, want %d", got, exitFailed)
	}
	if !strings.Contains(stderr.String(), "the same command goes on") {
		ts.Fatalf("an interrupted training does not say how to go on")
	}
}

// scriptKillSaves runs a training again and again and kills it (SIGKILL) while it saves its model,
// each time a little later. After each, every version that can be seen must load, and so
// must the live one: killsaves N DIR REF COMMAND ARG…, where DIR is the directory of models.
func scriptKillSaves(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 {
		ts.Fatalf("usage: killsaves N MODELS NAME COMMAND ARG…")
	}
	times, err := strconv.Atoi(args[0])
	ts.Check(err)
	registry := model.Registry{Dir: ts.MkAbs(args[1])}
	unfinished := func() int {
		found, err := filepath.Glob(filepath.Join(registry.Dir, args[2], ".new-*"))
		ts.Check(err)
		return len(found)
	}
	killed := 0
	for i := range times {
		before := unfinished()
		cmd, stderr := start(ts, args[3:])
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		if !poll(ended, func() bool { return unfinished() > before }) {
			ts.Logf("run %d saved before it was seen to\n%s", i+1, stderr)
			continue
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
		ts.Check(cmd.Process.Kill())
		<-ended
		if !cmd.ProcessState.Success() {
			killed++
		}
		entries, err := registry.List()
		ts.Check(err)
		for _, e := range entries {
			ts.Check(e.Fault)
			_, err := registry.Load(e.Ref())
			ts.Check(err)
		}
		_, err = registry.Load(args[2])
		ts.Check(err)
	}
	ts.Logf("%d of %d runs killed while they saved", killed, times)
	if killed == 0 {
		ts.Fatalf("no run was killed while it saved")
	}
}
