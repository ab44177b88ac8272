package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptPrivate wants files that nobody but their owner may read: private FILE…
func scriptPrivate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: private FILE…")
	}
	for _, file := range args {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
			ts.Fatalf("%s has the mode %v", file, mode)
		}
	}
}

// scriptFlowID sets FLOW to the flow_id of the first event of a file: flowid FILE
func scriptFlowID(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, neg, args, 1, "flowid FILE")
	line, _, _ := bytes.Cut([]byte(ts.ReadFile(args[0])), []byte("\n"))
	var e struct {
		FlowID uint64 `json:"flow_id"`
	}
	ts.Check(json.Unmarshal(line, &e))
	ts.Setenv("FLOW", fmt.Sprint(e.FlowID))
}

// scriptUntil repeats a command until it succeeds and says something, for half a minute: until COMMAND ARG…
func scriptUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until COMMAND ARG…")
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil && ts.ReadFile("stdout") != "" {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("no success: %v", err)
		}
	}
}
