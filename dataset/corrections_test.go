package dataset

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/weirnet/weir/flow"
	"github.com/weirnet/weir/packet"
)

// corrected is a correction of a flow of its own, at a second.
func corrected(label string, n int) Correction {
	at := int64(100_000+n) * second
	return Correction{
		Label: label, Start: at, Key: flow.Key{SrcPort: uint16(20_000 + n), DstPort: 99, Proto: packet.TCP, Version: 4, Kind: flow.Ports},
		Opening: []flow.Payload{{Nanos: at, Data: fmt.Appendf(nil, "corrected %d", n), Len: 20}, {Nanos: at + 5, Dir: flow.Responder, Len: 7}},
	}
}

func TestCorrect(t *testing.T) {
	s := setOf(of("a", 20), of("b", 20), of("a", 20), of("b", 20))
	all := []Correction{
		corrected("a", 100),
		{Label: "a", Opening: nil},               // without payload
		corrected("b", 101), corrected("a", 101), // the later one counts
		{Label: "a", Start: 5, Key: s.Flows[1].Key, Opening: []flow.Payload{{Data: []byte("opening 0"), Len: 10}}}, // as in a capture
		{Label: "b", Start: 5, Key: flow.Key{SrcPort: 7}, Opening: []flow.Payload{{Data: []byte("opening 0"), Len: 10}}},
		{Label: "b", Start: s.Flows[3].Start, Key: s.Flows[3].Key, Opening: []flow.Payload{{Nanos: s.Flows[3].Start, Data: []byte("else"), Len: 4}}}, // the same flow
	}
	for n := range 12 {
		all = append(all, corrected("new", n))
	}
	all = append(all, corrected("new", 3)) // twice
	got, err := s.Correct("corrected labels", all, nil)
	if want := (Corrected{Flows: 14, Twice: 2, Contradicting: 3}); err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
	last := s.Captures[len(s.Captures)-1]
	if len(s.Captures) != 5 || last.Examples != 14 || last.Name != "corrected labels" || last.SHA256 == "" || strings.Join(s.Classes, " ") != "a b new" {
		t.Errorf("captures end with %+v, classes %v", last, s.Classes)
	}
	s.Pool(10, 1)
	sp, err := s.Split(SplitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sides := map[string][NumSides]int{}
	latest, first := int64(0), int64(1<<62)
	for side, part := range sp.Sides {
		for _, i := range part.Flows {
			f := &s.Flows[i]
			if f.Capture != 4 {
				continue
			}
			n := sides[f.Label]
			n[side]++
			sides[f.Label] = n
			if f.Label == "new" && side == int(Train) {
				latest = max(latest, f.Start)
			} else if f.Label == "new" {
				first = min(first, f.Start)
			}
		}
	}
	if fmt.Sprint(sides) != "map[a:[1 1 0] new:[9 3 0]]" || latest >= first {
		t.Errorf("sides of corrected flows %v; the last that trains starts at %d, the first that validates at %d", sides, latest, first)
	}
	// What corrections add changes no side of a capture.
	plain, err := setOf(of("a", 20), of("b", 20), of("a", 20), of("b", 20)).Split(SplitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range plain.Record.Captures {
		if sp.Record.Captures[i].Side != c.Side || sp.Record.Captures[i].Cuts != nil {
			t.Errorf("%s is on side %v, without corrections on %v", c.Name, sp.Record.Captures[i].Side, c.Side)
		}
	}
	if text := strings.Join(sp.Record.Notes, "\n"); !strings.Contains(text, "14 flows of corrected labels: the first of each label by time train") {
		t.Errorf("the notes say nothing of them:\n%s", text)
	}
	if names := sp.Record.Overlap(s); len(names) != 5 {
		t.Errorf("the record knows %v again", names)
	}
}

func TestCorrectRefusesTooFew(t *testing.T) {
	s := setOf(of("a", 20), of("b", 20))
	var all []Correction
	for n := range MinCorrections - 1 {
		all = append(all, corrected("new", n))
	}
	all = append(all, corrected("new", 0), corrected("a", 50)) // the same again makes it no more
	if _, err := s.Correct("c", all, nil); !errors.Is(err, ErrTooFew) || !strings.Contains(err.Error(), "new (9)") {
		t.Errorf("got %v; want ErrTooFew with name and number", err)
	}
	if len(s.Flows) != 40 || len(s.Captures) != 2 {
		t.Errorf("the set has changed: %d flows of %d captures", len(s.Flows), len(s.Captures))
	}
	if got, err := s.Correct("c", nil, nil); err != nil || got != (Corrected{}) || len(s.Captures) != 2 {
		t.Errorf("of nothing: %+v, %v, %d captures", got, err, len(s.Captures))
	}
}
