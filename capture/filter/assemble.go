package filter

import (
	"slices"

	"golang.org/x/net/bpf"
)

// maxJump is the longest jump of a comparison; the unconditional one has no such bound.
const maxJump = 255

// assemble makes a program of a graph, from its end to its start, so that it is known how far away
// everything is. A comparison that would have to go further than maxJump has a jump behind it, or
// the verdict itself if that is where it goes; comparisons before it go there as well.
func assemble(entry *block, snapLen uint32) []bpf.RawInstruction {
	var program []bpf.RawInstruction // in reverse
	emit := func(in bpf.RawInstruction) { program = append(program, in) }
	at := map[*block]int{} // the nearest place that leads to a block, counted from the end
	blocks := order(entry)
	for i := len(blocks) - 1; i >= 0; i-- {
		b := blocks[i]
		if b.terminal {
			emit(verdict(b, snapLen))
			at[b] = len(program)
			continue
		}
		for _, to := range []*block{b.yes, b.no} {
			away := len(program) - at[to]
			switch {
			case away < maxJump: // one less: the other way may need a jump behind the comparison
				continue
			case to.terminal:
				emit(verdict(to, snapLen))
			default:
				emit(bpf.RawInstruction{Op: opJump, K: uint32(away)})
			}
			at[to] = len(program)
		}
		emit(bpf.RawInstruction{Op: b.jump, K: b.k, Jt: uint8(len(program) - at[b.yes]), Jf: uint8(len(program) - at[b.no])})
		for j := len(b.load) - 1; j >= 0; j-- {
			emit(b.load[j])
		}
		at[b] = len(program)
	}
	slices.Reverse(program)
	return program
}

// verdict returns the instruction of pass or drop.
func verdict(b *block, snapLen uint32) bpf.RawInstruction {
	if b.verdict {
		return bpf.RawInstruction{Op: opReturn, K: snapLen}
	}
	return bpf.RawInstruction{Op: opReturn, K: 0}
}
