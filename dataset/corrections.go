package dataset

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/weirnet/weir/flow"
)

// Correction is a flow that was seen in service and whose label a person corrected.
type Correction struct {
	Key     flow.Key // its source is the originator
	Start   int64    // ns since the Unix epoch
	Label   string
	Opening []flow.Payload
}

// MinCorrections is how many corrected flows of different openings a label needs that no capture has: an application cannot be learned from
// less, and some of them must be left to validate it.
const MinCorrections = 10

// Corrected is what became of corrections.
type Corrected struct {
	Flows         int // that are examples now
	Twice         int // left out: another correction or a capture has the same flow or the same opening, with this label
	Contradicting int // left out: a later correction or a capture has it with another label
}

// ErrTooFew refuses a label of which there is too little to learn.
var ErrTooFew = fmt.Errorf("dataset: fewer than %d corrected flows of different openings", MinCorrections)

// Correct adds corrections to the set, the latest last, as flows of one capture more, which has no file. What the set holds already is left
// out; of corrections that contradict each other the latest counts. The split cuts the capture by time, each label apart, since all of it
// was seen in service, by chance, and most of it is where a model was wrong: as captures of their own, the newest corrections would be
// all that a label is validated on. normalise is as in SplitOptions. It must be called before Pool. It returns ErrTooFew, with names,
// when a label that the set does not have has too few flows.
func (s *Set) Correct(name string, all []Correction, normalise func([]byte) []byte) (c Corrected, err error) {
	known := map[string]bool{}          // labels
	openings := map[[16]byte]string{}   // label, by hash
	flows := map[flow.Key][]*labelled{} // by joinKey
	for i := range s.Flows {
		f := &s.Flows[i]
		known[f.Label] = true
		openings[openingHash(f.payloadHashes(normalise))] = f.Label
		key := joinKey(f.Key)
		flows[key] = append(flows[key], &labelled{f.Label, f.Start, f.Last})
	}
	content := sha256.New()
	var added []Flow
	counts := map[string]int{}
	for i := len(all) - 1; i >= 0; i-- {
		x := &all[i]
		if len(x.Opening) == 0 {
			continue
		}
		f := Flow{Capture: len(s.Captures), Label: x.Label, Key: x.Key, Start: x.Start, Last: x.Start, Opening: x.Opening}
		for _, p := range x.Opening {
			f.Last = max(f.Last, p.Nanos)
			f.Packets[p.Dir]++
			f.PayloadBytes[p.Dir] += uint64(p.Len)
			f.Bytes[p.Dir] += uint64(p.Len)
		}
		key, hash := joinKey(f.Key), openingHash(f.payloadHashes(normalise))
		label, there := openings[hash]
		for _, o := range flows[key] {
			if gap(f.Start, f.Last, o.start, o.last) == 0 {
				label, there = o.label, true
			}
		}
		switch {
		case there && label == f.Label:
			c.Twice++
			continue
		case there:
			c.Contradicting++
			continue
		}
		openings[hash] = f.Label
		flows[key] = append(flows[key], &labelled{f.Label, f.Start, f.Last})
		content.Write(hash[:])
		content.Write(binary.AppendVarint([]byte(f.Label), f.Start))
		counts[f.Label]++
		added = append(added, f)
	}
	var few []string
	for label, n := range counts {
		if !known[label] && n < MinCorrections {
			few = append(few, fmt.Sprintf("%s (%d)", label, n))
		}
	}
	if few != nil {
		slices.Sort(few)
		return c, fmt.Errorf("%w: %s", ErrTooFew, strings.Join(few, ", "))
	}
	if c.Flows = len(added); c.Flows == 0 {
		return c, nil
	}
	slices.SortStableFunc(added, func(a, b Flow) int { return cmp.Compare(a.Start, b.Start) })
	capture := Capture{
		Name: name, SHA256: hex.EncodeToString(content.Sum(nil)), Start: added[0].Start, First: added[0].Start, Flows: len(added), Examples: len(added), corrections: true,
	}
	for i := range added {
		capture.Last = max(capture.Last, added[i].Last)
		for _, p := range added[i].Opening {
			capture.Packets++
			capture.Bytes += int64(len(p.Data))
		}
	}
	s.Captures = append(s.Captures, capture)
	s.Flows = append(s.Flows, added...)
	s.classify()
	return c, nil
}

// labelled is when a flow was and what it is.
type labelled struct {
	label       string
	start, last int64
}
