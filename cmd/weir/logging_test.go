package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/weirnet/weir/dataset"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"web, dns: Ω █":       "web, dns: Ω █",
		"\x1b[31mred\r\n\t":   "?[31mred???",
		"evil\u202egpj.exe":   "evil?gpj.exe",
		"\u009b2J zero\u200b": "?2J zero?",
	} {
		if got := printable(text); got != want {
			t.Errorf("%q is printed as %q, want %q", text, got, want)
		}
	}
}

func TestPlainLog(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(&plainHandler{w: &b, level: slog.LevelInfo})
	log.Debug("not seen")
	log.Info("note: 3 flows", "flows", 3)
	log.Warn("a.pcap: offset 24: cut\x1b[2J short", "file", "a.pcap")
	log.With("k", "v").WithGroup("g").Error("no")
	if got, want := b.String(), "note: 3 flows\nweir: a.pcap: offset 24: cut?[2J short\nweir: no\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

// What failed beside unreadable inputs is told and makes the command fail.
func TestStatus(t *testing.T) {
	full := errors.New("no space left on device")
	tests := map[string]struct {
		err  error
		want int
		told string
	}{
		"nothing":                 {nil, exitDone, ""},
		"inputs":                  {errPartly, exitPartly, ""},
		"inputs, joined":          {errors.Join(nil, errors.Join(errPartly)), exitPartly, ""},
		"inputs and output":       {errors.Join(errPartly, full), exitFailed, "no space left on device"},
		"output, joined deeper":   {errors.Join(errors.Join(errPartly, full), nil), exitFailed, "no space left on device"},
		"output":                  {full, exitFailed, "no space left on device"},
		"usage":                   {usageError{errors.New("--no such")}, exitUsage, "--no such"},
		"usage beside nothing":    {errors.Join(nil, usageError{errors.New("--no such")}), exitUsage, "--no such"},
		"control bytes are taken": {errors.New("a\x1b.pcap"), exitFailed, "a?.pcap"},
	}
	defer slog.SetDefault(slog.Default())
	for name, test := range tests {
		var b bytes.Buffer
		slog.SetDefault(slog.New(&plainHandler{w: &b}))
		if got := status(test.err); got != test.want {
			t.Errorf("%s: exit status %d, want %d", name, got, test.want)
		}
		if !strings.Contains(b.String(), test.told) || test.told == "" && b.Len() > 0 {
			t.Errorf("%s: told %q, want %q", name, b.String(), test.told)
		}
	}
}

// The text of a report has a line for all that is in it, and no control byte of anybody's label.
func TestCheckText(t *testing.T) {
	r := &dataset.Report{
		Dir: "set", Captures: 2, Packets: 9, Flows: dataset.FlowCounts{All: 9, Examples: 6, NoPayload: 2, Unlabelled: 1},
		Classes:  []dataset.ClassReport{{Label: "\x1b[31mtls", Captures: 1, Flows: 1, Packets: 1, PayloadBytes: 5, Largest: "f\r.pcap", LargestShare: 1}},
		Tables:   []dataset.TableStats{{Name: "flows.csv", Rows: 3, Joined: 2, NoFlow: 1}},
		Warnings: []string{"1 flows with payload have no label"},
	}
	for range maxProblems + 2 {
		r.Problems = append(r.Problems, dataset.Problem{Kind: dataset.MissingCapture, Name: "labels.csv", Detail: "gone\x07"})
	}
	var b strings.Builder
	if err := writeCheck(&b, r); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"set: 2 captures, 9 packets, 9 flows, 0 images\n", "?[31mtls  1         1 ", "100 %  f?.pcap\n",
		"flows.csv: 3 labels, 2 joined, 1 without flow", "warning: 1 flows with payload have no label\n", "missing capture: labels.csv: gone?\n", "missing capture: and 2 more\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
