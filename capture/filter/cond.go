package filter

import "golang.org/x/net/bpf"

// A cond is a condition on a packet: constant, *test, negated or joined. A test that reads beyond
// a packet's end makes the whole program refuse the packet, whatever is around it: so a condition is
// more than its truth, and the order of tests is kept as tcpdump has it.
type cond interface{}

type constant bool

// test computes a value in A and compares it.
type test struct {
	load []bpf.RawInstruction // without jumps; M and X are for its own use
	jump uint16               // opJumpEqual …, with fromX when A is compared with X
	k    uint32
	err  error // why the test cannot be made, an error if the program needs it
}

type negated struct{ x cond }

type joined struct {
	or   bool
	l, r cond
}

// and is true when all of them are; what is behind a constant false is gone.
func and(conds ...cond) cond { return fold(false, conds) }

// or is true when one of them is.
func or(conds ...cond) cond { return fold(true, conds) }

func fold(isOr bool, conds []cond) cond {
	var all cond = constant(!isOr)
	for _, c := range conds {
		if k, ok := all.(constant); ok {
			if bool(k) == isOr {
				return all
			}
			all = c
			continue
		}
		if k, ok := c.(constant); ok && bool(k) != isOr {
			continue
		}
		all = joined{isOr, all, c}
	}
	return all
}

func not(c cond) cond {
	switch c := c.(type) {
	case constant:
		return !c
	case negated:
		return c.x
	}
	return negated{c}
}
