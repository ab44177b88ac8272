package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"

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
