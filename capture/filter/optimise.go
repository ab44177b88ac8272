package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// A fact is what a packet's way through the graph has shown of one value, in front of what it has
// shown before. Facts form a tree: what two ways have in common is where they part.
type fact struct {
	before *fact
	same   *fact // the fact before it of the same value
	depth  int
	value  int
	// Either the outcome of a comparison,
	jump uint16
	k    uint32
	yes  bool
	// or all constants that the value can be equal to.
	oneOf []uint32
}

// maxFacts bounds how far back facts are looked for and maxOneOf how many constants one holds, so
// that long lists of alternatives do not take quadratic time.
const (
	maxFacts = 256
	maxOneOf = 16
)

// add returns the facts before and one more.
func (f fact) add(before *fact) *fact {
	f.before, f.same, f.depth = before, before.of(f.value), 1
	if before != nil {
		f.depth = before.depth + 1
	}
	return &f
}

// of returns the last fact of a value, nil if there is none.
func (f *fact) of(value int) *fact {
	for f != nil && f.value != value {
		f = f.before
	}
	return f
}

// constants returns what the fact says that the value can be equal to, nil if that is no short list.
func (f *fact) constants() []uint32 {
	if f.yes && f.jump == opJumpEqual {
		return []uint32{f.k}
	}
	return f.oneOf
}

// common returns the facts that hold whichever of two ways a packet came.
func common(a, b *fact) *fact {
	fromA, fromB := a, b
	for a != b {
		if a == nil || b != nil && b.depth > a.depth {
			b = b.before
		} else if b == nil || a.depth > b.depth {
			a = a.before
		} else {
			a, b = a.before, b.before
		}
	}
	// On each way a value may have shown itself to be another constant: then it is one of both.
	joined := a
	seen := map[int]bool{}
	for f, n := fromA, 0; f != a && n < maxFacts; f, n = f.before, n+1 {
		ofA := f.constants()
		if ofA == nil || seen[f.value] {
			continue
		}
		seen[f.value] = true
		for g, n := fromB, 0; g != a && n < maxFacts; g, n = g.before, n+1 {
			if ofB := g.constants(); ofB != nil && g.value == f.value {
				all := append(slices.Clone(ofA), ofB...)
				slices.Sort(all)
				if all = slices.Compact(all); len(all) <= maxOneOf {
					joined = fact{value: f.value, oneOf: all}.add(joined)
				}
				break
			}
		}
	}
	return joined
}

// decide reports what a block's comparison gives, where facts say so. A block that it decides can
// be passed by: its value has been loaded, so it does not reach beyond the packet either.
func decide(f *fact, b *block) (yes, known bool) {
	var excluded []uint32 // what the value is known to differ from
	f = f.of(b.value)
	for n := 0; f != nil && n < maxFacts; f, n = f.same, n+1 {
		if f.oneOf == nil && f.jump == b.jump && f.k == b.k {
			return f.yes, true
		}
		left := f.constants()
		if left == nil {
			if f.jump == opJumpEqual {
				excluded = append(excluded, f.k)
			}
			continue
		}
		var can [2]bool // be false, be true
		for _, c := range left {
			if slices.Contains(excluded, c) {
				continue
			}
			switch b.jump {
			case opJumpEqual:
				yes = c == b.k
			case opJumpGreater:
				yes = c > b.k
			case opJumpAtLeast:
				yes = c >= b.k
			case opJumpBits:
				yes = c&b.k != 0
			default:
				return false, false // a comparison with X
			}
			if yes {
				can[1] = true
			} else {
				can[0] = true
			}
		}
		if can[0] != can[1] {
			return can[1], true
		}
	}
	return false, false
}

// optimise returns a graph with the same verdicts in which no packet is compared twice to learn the
// same, and equal parts are one. Loads that nothing depends on any more are gone, and with them the
// refusal of packets too short for them: as in tcpdump, "ip or not ip" passes everything.
func optimise(entry *block) *block {
	for {
		before := len(order(entry))
		entry = merge(thread(entry))
		if len(order(entry)) == before {
			return omit(entry)
		}
	}
}

// thread leads each way through the graph around the blocks that it decides.
func thread(entry *block) *block {
	facts := map[*block]*fact{entry: nil} // at the blocks that are reached
	copies := map[*block]*block{}
	all := order(entry)
	for _, b := range all {
		c := *b
		copies[b] = &c
	}
	for _, b := range all {
		before, reached := facts[b]
		if b.terminal || !reached {
			continue
		}
		for _, yes := range []bool{true, false} {
			f := fact{value: b.value, jump: b.jump, k: b.k, yes: yes}.add(before)
			to := b.no
			if yes {
				to = b.yes
			}
			for !to.terminal {
				outcome, known := decide(f, to)
				if !known {
					break
				}
				if outcome {
					to = to.yes
				} else {
					to = to.no
				}
			}
			if yes {
				copies[b].yes = copies[to]
			} else {
				copies[b].no = copies[to]
			}
			if other, ok := facts[to]; ok {
				f = common(other, f)
			}
			facts[to] = f
		}
	}
	return copies[entry]
}

// merge makes equal parts of the graph one and leaves out comparisons without consequence.
func merge(entry *block) *block {
	b := newBuilder()
	all := order(entry)
	merged := map[*block]*block{}
	for i := len(all) - 1; i >= 0; i-- {
		switch x := all[i]; {
		case x.terminal && x.verdict:
			merged[x] = b.pass
		case x.terminal:
			merged[x] = b.drop
		default:
			merged[x] = b.block(x.load, x.jump, x.k, merged[x.yes], merged[x.no])
		}
	}
	return merged[entry]
}

// omit leaves out loads of what A or X hold already on every way to a block.
func omit(entry *block) *block {
	const unknown = -1
	type registers struct {
		a int    // the value in A
		x uint32 // the offset of the IPv4 header whose length is in X, or none
	}
	const none = ^uint32(0)
	at := map[*block]registers{entry: {unknown, none}}
	for _, b := range order(entry) {
		if b.terminal {
			continue
		}
		r := at[b]
		load := b.load
		switch {
		case r.a == b.value && b.jump&fromX == 0:
			b.load = nil
		case load[0].Op == opLoadHeaderX && load[0].K == r.x:
			b.load = load[1:]
		}
		r.a = b.value
		for i, in := range load {
			switch {
			case in.Op == opLoadHeaderX && i == 0:
				r.x = in.K
			case setsX(in):
				r.x = none
			}
		}
		for _, to := range []*block{b.yes, b.no} {
			before, ok := at[to]
			if !ok {
				before = r
			}
			if before.a != r.a {
				before.a = unknown
			}
			if before.x != r.x {
				before.x = none
			}
			at[to] = before
		}
	}
	return entry
}

func setsX(in bpf.RawInstruction) bool {
	switch in.Op {
	case opLoadConstX, opLoadMemX, opLoadLenX, opLoadHeaderX, opAToX:
		return true
	}
	return false
}
