package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

// setOf makes a set of captures; each is a list of labels, one per flow, and its place in the
// list is its start in seconds. Every flow has its own 5-tuple and opening.
func setOf(captures ...[]string) *Set {
	s := &Set{}
	for i, labels := range captures {
		start := int64(i) * 1000 * second
		s.Captures = append(s.Captures, Capture{Name: fmt.Sprint("c", i), SHA256: fmt.Sprint("sum", i), Start: start, Examples: len(labels)})
		for k, label := range labels {
			n := len(s.Flows)
			s.Flows = append(s.Flows, Flow{
				Capture: i, Label: label, Start: start + int64(k)*second, Last: start + int64(k+1)*second,
				Key:     flow.Key{SrcPort: uint16(n), DstPort: 80, Proto: packet.TCP, Version: 4, Kind: flow.Ports},
				Opening: []flow.Payload{{Data: fmt.Appendf(nil, "opening %d", n), Len: 10}},
			})
		}
	}
	s.classify()
	return s
}

// of repeats a label.
func of(label string, n int) []string { return slices.Repeat([]string{label}, n) }

// sidesOf says per side which flows are on it, as capture/label.
func sidesOf(s *Set, sp *Split) string {
	var b strings.Builder
	for side, part := range sp.Sides {
		if len(part.Flows) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%v:", Side(side))
		counts := map[string]int{}
		var order []string
		for _, i := range part.Flows {
			name := s.Captures[s.Flows[i].Capture].Name + "/" + s.Flows[i].Label
			if counts[name]++; counts[name] == 1 {
				order = append(order, name)
			}
		}
		for _, name := range order {
			fmt.Fprintf(&b, " %s×%d", name, counts[name])
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestSplitRules(t *testing.T) {
	tests := map[string]struct {
		set  *Set
		edit func(*Set)
		opts SplitOptions
		want string
		note string
	}{
		"by capture in order of time": {
			set:  setOf(of("a", 2), of("a", 2), of("a", 2), of("a", 2), of("b", 1), of("b", 1)),
			edit: func(s *Set) { s.Captures[0].Start = 1 << 62 }, // the latest after all
			want: "train: c1/a×2 c2/a×2 c3/a×2 c4/b×1\nvalidation: c0/a×2 c5/b×1\n",
		},
		"three sides": {
			set:  setOf(of("a", 1), of("a", 1), of("a", 1), of("a", 1), of("a", 1), of("b", 1), of("b", 1)),
			opts: SplitOptions{Train: 6, Validation: 2, Test: 2},
			want: "train: c0/a×1 c1/a×1 c2/a×1 c5/b×1\nvalidation: c3/a×1\ntest: c4/a×1 c6/b×1\n",
		},
		"a class of one capture is cut by time": {
			set:  setOf(of("a", 1), of("a", 1), of("b", 8)),
			want: "train: c0/a×1 c2/b×6\nvalidation: c1/a×1 c2/b×2\n",
			note: "cut by time inside their only capture, which flatters them: b",
		},
		"or trains whole": {
			set:  setOf(of("a", 1), of("a", 1), of("b", 8)),
			opts: SplitOptions{WholeCaptures: true},
			want: "train: c0/a×1 c2/b×8\nvalidation: c1/a×1\n",
			note: "not testable, no capture of theirs is kept for it: b",
		},
		"a capture that others need is not cut": {
			set:  setOf([]string{"a", "b", "b", "b", "b"}, of("a", 1)),
			want: "train: c0/a×1 c0/b×4\nvalidation: c1/a×1\n",
			note: "not testable, no capture of theirs is kept for it: b",
		},
		"unless nothing else is left to test with": {
			set:  setOf(append(of("a", 4), of("b", 4)...), append(of("a", 4), of("c", 4)...)),
			want: "train: c0/a×3 c0/b×3 c1/a×3 c1/c×3\nvalidation: c0/a×1 c0/b×1 c1/a×1 c1/c×1\n",
		},
		"rare classes choose first": {
			set:  setOf([]string{"a", "b"}, []string{"a"}, []string{"a"}, []string{"a", "b"}),
			want: "train: c0/a×1 c0/b×1 c1/a×1 c2/a×1\nvalidation: c3/a×1 c3/b×1\n",
		},
		"all of it tests": {
			set:  setOf(of("a", 2), of("a", 2), of("b", 8)),
			opts: SplitOptions{Test: 1},
			want: "test: c0/a×2 c1/a×2 c2/b×8\n",
		},
		"column with values that name sides": {
			set: setOf(of("a", 1), of("a", 1), of("a", 1), of("a", 1)),
			edit: func(s *Set) {
				for i, v := range []string{"test", "train", "val", ""} {
					s.Captures[i].Facts = map[string]string{"part": v}
				}
			},
			opts: SplitOptions{Column: "part"},
			want: "train: c1/a×1 c3/a×1\nvalidation: c2/a×1\ntest: c0/a×1\n",
		},
		"column with other values": {
			set: setOf(of("a", 1), of("a", 1), of("b", 1), of("a", 1)),
			edit: func(s *Set) {
				for i, v := range []string{"android71", "android81", "", "android81"} {
					s.Captures[i].Facts = map[string]string{"android": v}
				}
			},
			opts: SplitOptions{Column: "android"},
			want: "train: c0/a×1 c2/b×1\nvalidation: c1/a×1 c3/a×1\n",
			note: "not testable, no capture of theirs is kept for it: b",
		},
		"column with the value given": {
			set: setOf(of("a", 1), of("a", 1), of("a", 1)),
			edit: func(s *Set) {
				for i, v := range []string{"x", "y", "z"} {
					s.Captures[i].Facts = map[string]string{"k": v}
				}
			},
			opts: SplitOptions{Column: "k", ValidationValues: []string{"x"}, TestValues: []string{"y"}},
			want: "train: c2/a×1\nvalidation: c0/a×1\ntest: c1/a×1\n",
		},
		"identical openings": {
			set: setOf(of("a", 2), of("a", 1), of("a", 1), of("a", 3)),
			edit: func(s *Set) {
				s.Flows[4].Opening = s.Flows[0].Opening // of training
				s.Flows[5].Opening = s.Flows[6].Opening // both of validation
			},
			want: "train: c0/a×2 c1/a×1 c2/a×1\nvalidation: c3/a×2\n",
			note: "1 flows are left out of later sides: an earlier side has the same opening",
		},
		"openings identical after normalisation": {
			set:  setOf(of("a", 2), of("a", 3)),
			opts: SplitOptions{Normalise: func([]byte) []byte { return nil }},
			want: "train: c0/a×2\n",
			note: "3 flows are left out of later sides: an earlier side has the same opening",
		},
		"payloads that were not captured are told apart by length": {
			set: setOf(of("a", 1), of("a", 2)),
			edit: func(s *Set) {
				for i := range s.Flows {
					s.Flows[i].Opening = []flow.Payload{{Len: 100 + i%2}}
				}
			},
			want: "train: c0/a×1\nvalidation: c1/a×1\n",
		},
		"the same file twice": {
			set:  setOf(of("a", 1), of("a", 1), of("a", 1)),
			edit: func(s *Set) { s.Captures[2].SHA256 = s.Captures[0].SHA256 },
			want: "train: c0/a×1\nvalidation: c1/a×1\n",
			note: "c2 is left out: the same file as c0",
		},
		"the same traffic captured twice": {
			set: setOf(of("a", 2), of("a", 2)),
			edit: func(s *Set) {
				k := s.Flows[0].Key
				k.Src, k.Dst, k.SrcPort, k.DstPort = k.Dst, k.Src, k.DstPort, k.SrcPort
				s.Flows[2].Key = k
				s.Flows[2].Start, s.Flows[2].Last = s.Flows[0].Last, s.Flows[0].Last+second
				s.Flows[3].Key = s.Flows[0].Key // the 5-tuple again, at another time
			},
			want: "train: c0/a×2\nvalidation: c1/a×1\n",
			note: "1 flows are left out of later sides: an earlier side has a copy of them (same 5-tuple at the same time)",
		},
		"examples without a class": {
			set:  setOf(of("a", 1), of("a", 1), of("x", 3)),
			edit: func(s *Set) { s.Adopt([]string{"a"}, nil) },
			want: "train: c0/a×1\nvalidation: c1/a×1\n",
			note: "3 flows are of no class and on no side",
		},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			if test.edit != nil {
				test.edit(test.set)
			}
			sp, err := test.set.Split(test.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := sidesOf(test.set, sp); got != test.want {
				t.Errorf("split:\n%swant:\n%s", got, test.want)
			}
			if test.note != "" && !slices.Contains(sp.Record.Notes, test.note) {
				t.Errorf("notes %q, want %q among them", sp.Record.Notes, test.note)
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	leak := setOf(of("a", 1), of("a", 1))
	leak.Captures[1].SHA256 = leak.Captures[0].SHA256
	leak.Captures[0].Facts = map[string]string{"part": "train"}
	leak.Captures[1].Facts = map[string]string{"part": "test"}
	if _, err := leak.Split(SplitOptions{Column: "part"}); !errors.Is(err, ErrLeak) || !strings.Contains(err.Error(), "c0") || !strings.Contains(err.Error(), "c1") {
		t.Errorf("one file on two sides: %v, want ErrLeak that names both", err)
	}
	s := setOf(of("a", 1), of("a", 1))
	for want, opts := range map[string]SplitOptions{
		"no capture has it":              {Column: "android"},
		"do not split anything":          {Train: -1, Validation: 2},
		`no capture has the value "8.1"`: {Column: "part", ValidationValues: []string{"8.1"}},
	} {
		set := s
		if opts.ValidationValues != nil {
			set = leak
			set.Captures[1].SHA256 = "other"
		}
		if _, err := set.Split(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := (&Set{}).Split(SplitOptions{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty set: %v, want ErrEmpty", err)
	}
}

// TestSplitProperties splits random sets and checks what no split may break.
func TestSplitProperties(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		captures := make([][]string, 1+rng.IntN(12))
		for i := range captures {
			for range 1 + rng.IntN(8) {
				captures[i] = append(captures[i], string(rune('a'+rng.IntN(1+rng.IntN(6)))))
			}
		}
		s := setOf(captures...)
		for i := range s.Flows { // some openings and 5-tuples again
			if rng.IntN(4) == 0 {
				s.Flows[i].Opening = s.Flows[rng.IntN(len(s.Flows))].Opening
			}
			if rng.IntN(4) == 0 {
				other := s.Flows[rng.IntN(len(s.Flows))]
				s.Flows[i].Key, s.Flows[i].Start, s.Flows[i].Last = other.Key, other.Start, other.Last
			}
		}
		opts := SplitOptions{WholeCaptures: rng.IntN(2) == 0}
		if rng.IntN(2) == 0 {
			opts.Train, opts.Validation, opts.Test = 0.6, 0.2, 0.2
		}
		sp, err := s.Split(opts)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		again, _ := s.Split(opts)
		if !reflect.DeepEqual(sp.Sides, again.Sides) || !reflect.DeepEqual(sp.Record, again.Record) {
			t.Fatalf("seed %d: two splits differ", seed)
		}
		checkSplit(t, fmt.Sprint("seed ", seed), s, sp, opts)
	}
}

// checkSplit checks a split flow against flow: the slow twin of what Split does with hashes.
func checkSplit(t *testing.T, name string, s *Set, sp *Split, opts SplitOptions) {
	t.Helper()
	at := make([]int, len(s.Flows)) // times a flow is on a side or left out
	for _, part := range sp.Sides {
		for _, i := range slices.Concat(part.Flows, part.Seen, part.copies) {
			at[i]++
		}
	}
	for i, n := range at {
		if n != 1 {
			t.Errorf("%s: flow %d is in %d places, want 1", name, i, n)
		}
	}
	for early := range sp.Sides {
		for late := early + 1; late < len(sp.Sides); late++ {
			for _, i := range sp.Sides[early].Flows {
				for _, k := range sp.Sides[late].Flows {
					a, b := &s.Flows[i], &s.Flows[k]
					if bytes.Equal(a.Opening[0].Data, b.Opening[0].Data) {
						t.Errorf("%s: flows %d (%v) and %d (%v) have the same opening", name, i, Side(early), k, Side(late))
					}
					if a.Capture != b.Capture && a.Key == b.Key && a.Start <= b.Last && b.Start <= a.Last {
						t.Errorf("%s: flows %d (%v) and %d (%v) are copies", name, i, Side(early), k, Side(late))
					}
					if a.Capture == b.Capture && (opts.WholeCaptures || a.Label == b.Label && a.Start >= b.Start) {
						t.Errorf("%s: capture %d is on two sides: flow %d (%v) and %d (%v)", name, a.Capture, i, Side(early), k, Side(late))
					}
				}
			}
		}
	}
	for _, c := range sp.Record.Classes {
		if c.Flows[Train] == 0 && (c.Flows[Validation] > 0 || c.Flows[Test] > 0) {
			t.Errorf("%s: class %s is tested and not trained: %v", name, c.Label, c.Flows)
		}
	}
	for side, sum := range sp.Record.Sides {
		part := sp.Sides[side]
		if sum.Flows != len(part.Flows) || sum.Seen != len(part.Seen) || sum.Copies != len(part.copies) {
			t.Errorf("%s: the record says %+v of a side with %d flows, %d seen, %d copies", name, sum, len(part.Flows), len(part.Seen), len(part.copies))
		}
	}
}

func TestSplitImages(t *testing.T) {
	s := &Set{Rows: 1, Columns: 2, Captures: make([]Capture, 1)}
	for i := range 400 {
		pixels := []byte{byte(i % 150), byte(i % 2)} // each 2 or 3 times
		s.Images = append(s.Images, Image{Label: fmt.Sprint(i % 3), Pixels: pixels})
	}
	s.Images[5].Label = "2" // its twins are of another class
	s.classify()
	sp, err := s.Split(SplitOptions{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	side := make(map[string]int)
	for n, part := range sp.Sides {
		for _, i := range part.Images {
			pixels := string(s.Images[i].Pixels)
			if other, ok := side[pixels]; ok && other != n {
				t.Errorf("image %d is on sides %v and %v", i, Side(n), Side(other))
			}
			side[pixels] = n
		}
	}
	train, validation := len(sp.Sides[Train].Images), len(sp.Sides[Validation].Images)
	if train+validation != 400 || train < 290 || train > 310 {
		t.Errorf("%d images train, %d validate; want 400 in all, three quarters to train", train, validation)
	}
	again, _ := s.Split(SplitOptions{Seed: 7})
	other, _ := s.Split(SplitOptions{Seed: 8})
	if !reflect.DeepEqual(sp.Sides, again.Sides) || reflect.DeepEqual(sp.Sides, other.Sides) {
		t.Error("the same seed must give the same split, another seed another")
	}
}

// Single payloads that an earlier side holds are marked, whatever they are part of, and counted.
func TestRepeats(t *testing.T) {
	s := setOf(of("a", 1), of("a", 2))
	payloads := func(texts ...string) (list []flow.Payload) {
		for _, text := range texts {
			list = append(list, flow.Payload{Data: []byte(text), Len: 7})
		}
		return list
	}
	s.Flows[0].Opening = payloads("hello", "X", "later", "")
	s.Flows[1].Opening = payloads("hello", "y", "LATER", "z", "z", "")
	s.Flows[2].Opening = payloads("y")
	sp, err := s.Split(SplitOptions{Normalise: bytes.ToLower})
	if err != nil {
		t.Fatal(err)
	}
	if got := sp.Sides[Train].Repeats; got != nil {
		t.Errorf("training has repeats: %v", got)
	}
	want := [][]bool{{true, false, true, false, false, true}, {false}}
	if got := sp.Sides[Validation].Repeats; !reflect.DeepEqual(got, want) {
		t.Errorf("repeats %v, want %v", got, want)
	}
	if sum := sp.Record.Sides[Validation]; sum.Repeats != 3 || sum.Payloads != 7 {
		t.Errorf("record counts %d repeats of %d payloads, want 3 of 7", sum.Repeats, sum.Payloads)
	}
	if note := "3 of 7 payloads of validation are not scored alone: an earlier side has the same payload"; !slices.Contains(sp.Record.Notes, note) {
		t.Errorf("notes %q, want %q", sp.Record.Notes, note)
	}
}

func TestRecord(t *testing.T) {
	s := setOf(of("a", 1), of("a", 1), of("a", 1), of("a", 1), of("b", 8))
	sp, err := s.Split(SplitOptions{Train: 2, Validation: 1, Test: 1})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(sp.Record)
	if err != nil {
		t.Fatal(err)
	}
	var read Record
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(read, sp.Record) {
		t.Errorf("read back %+v, want %+v", read, sp.Record)
	}
	if got, want := read.Overlap(s), []string{"c0", "c1", "c2", "c4"}; !slices.Equal(got, want) {
		t.Errorf("overlap %v, want what trained, validated or was cut: %v", got, want)
	}
	if want := "split by captures in order of time: train 6 flows of 3 captures, validation 3 flows of 1 captures, test 3 flows of 1 captures; no flow, copy or identical opening on two sides"; sp.Record.Summary != want {
		t.Errorf("summary %q, want %q", sp.Record.Summary, want)
	}
}

func TestSides(t *testing.T) {
	for _, test := range []struct {
		n    int
		opts SplitOptions
		want string
	}{
		{0, SplitOptions{Train: 0.75, Validation: 0.25}, ""},
		{1, SplitOptions{Train: 0.75, Validation: 0.25}, "t"},
		{2, SplitOptions{Train: 0.75, Validation: 0.25}, "tv"},
		{3, SplitOptions{Train: 0.75, Validation: 0.25}, "ttv"},
		{6, SplitOptions{Train: 0.75, Validation: 0.25}, "ttttvv"},
		{1, SplitOptions{Train: 0.6, Validation: 0.2, Test: 0.2}, "t"},
		{2, SplitOptions{Train: 0.6, Validation: 0.2, Test: 0.2}, "tT"},
		{3, SplitOptions{Train: 0.6, Validation: 0.2, Test: 0.2}, "tvT"},
		{5, SplitOptions{Train: 0.6, Validation: 0.2, Test: 0.2}, "tttvT"},
		{3, SplitOptions{Test: 1}, "TTT"},
		{4, SplitOptions{Validation: 0.5, Test: 0.5}, "vvTT"},
		{4, SplitOptions{Train: 1}, "tttt"},
	} {
		got := ""
		for _, side := range sides(test.n, test.opts) {
			got += []string{"t", "v", "T"}[side]
		}
		if got != test.want {
			t.Errorf("%d things, shares %g %g %g: %q, want %q", test.n, test.opts.Train, test.opts.Validation, test.opts.Test, got, test.want)
		}
	}
}
