package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/weirnet/weir/classify"
)

func TestTunnelsFollowTheModel(t *testing.T) {
	tests := map[string]struct {
		args   []string
		models []bool // what each was trained with
		want   bool
		err    string
	}{
		"no model":                    {args: []string{"--tunnels"}, want: true},
		"as the model":                {models: []bool{true}, want: true},
		"as both models":              {models: []bool{true, true}, want: true},
		"the flag agrees":             {args: []string{"--tunnels"}, models: []bool{true}, want: true},
		"the flag says yes":           {args: []string{"--tunnels"}, models: []bool{false}, err: "--tunnels=true: m@1 was trained without looking into tunnels"},
		"the flag says no":            {args: []string{"--tunnels=false"}, models: []bool{true}, err: "--tunnels=false: m@1 was trained looking into tunnels"},
		"the models contradict":       {models: []bool{true, false}, err: "m@1 was trained looking into tunnels, m@2 without looking into tunnels: they cannot run together"},
		"the models contradict again": {models: []bool{false, true}, err: "cannot run together"},
	}
	for name, test := range tests {
		var f tunnelsFlag
		c := &cobra.Command{}
		f.flags(c)
		if err := c.ParseFlags(test.args); err != nil {
			t.Fatal(err)
		}
		var err error
		for i, tunnels := range test.models {
			if err = f.follow([]string{"m@1", "m@2"}[i], tunnels); err != nil {
				break
			}
		}
		var usage usageError
		switch {
		case test.err == "" && (err != nil || f.tunnels != test.want):
			t.Errorf("%s: tunnels %v, error %v; want %v", name, f.tunnels, err, test.want)
		case test.err != "" && (!errors.As(err, &usage) || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: error %v, want wrong usage with %q", name, err, test.err)
		}
	}
}

// Payloads that training holds are no results of the packet network; the flow's is.
func TestRepeatsAreNoPacketResults(t *testing.T) {
	v := classify.Verdict{Packets: []classify.Answer{{Class: 1}, {Class: 2}, {Class: 3}}, Steps: make([]classify.Answer, 3), Decided: 2}
	r := flowResult(v, []classify.Input{{}, {Repeat: true}, {}})
	if len(r.Packets) != 2 || r.Packets[0].Class != 1 || r.Packets[1].Class != 3 || len(r.Steps) != 3 || r.Final.Decided != 2 {
		t.Errorf("result %+v, want packets 1 and 3 and all steps", r)
	}
}
