package flow

import "math/bits"

// Worth is what is lost with a flow that must go because the table is full. What is worth least goes first.
type Worth uint8

const (
	Unanswered Worth = iota // seen from one end only and without a label, as in a flood or scan; or closed
	Answered                // seen from both ends, without a label
	Labelled                // with a label
	NumWorths  = iota
)

func (c *cell) worth() Worth {
	switch {
	case c.closed():
		return Unanswered
	case c.firstHigh&isLabelled != 0:
		return Labelled
	case c.packets[Responder] == 0:
		return Unanswered
	}
	return Answered
}

// How many flows are looked at for the one that goes: so many, or until so many of them are Unanswered.
const (
	maxLook = 64
	enough  = 8
)

// candidate is the flow that is worth least of those that were looked at.
type candidate struct {
	cell     uint32 // 0: none
	worth    Worth
	deadline int64
	first    uint64
}

// look takes a flow instead if it is worth less: of two worth the same the one whose deadline is next,
// of these the one that began first.
func (v *candidate) look(t *Table, n uint32) Worth {
	c := t.cell(n)
	w := c.worth()
	if v.cell != 0 && w > v.worth {
		return w
	}
	d, first := t.deadline(c), t.firstPacket(c)
	if v.cell == 0 || w < v.worth || d < v.deadline || d == v.deadline && first < v.first {
		*v = candidate{n, w, d, first}
	}
	return w
}

// evict makes room: of the next flows in the order of their cells the one that is worth least ends, but
// not the one given. It reports false when there is no flow to end.
//
// Cells are used again in the order in which flows end, so what goes depends on the packets of the
// table alone. A flow with an answer or a label goes only where the sixty-three flows behind it have
// one too; since the next flow takes its cell, it can hit one in 64 of them in each round.
func (t *Table) evict(but uint32) bool {
	t.Settle()
	others := t.alive
	if but != 0 && t.blocks[but/blockLen].flows>>(but%blockLen)&1 != 0 {
		others--
	}
	var v candidate
	for seen, unanswered := 0, 0; seen < min(others, maxLook) && unanswered < enough; {
		n := t.nextFlow()
		if n == but {
			continue
		}
		seen++
		if v.look(t, n) == Unanswered {
			unanswered++
		}
	}
	return t.evicted(v)
}

// nextFlow returns the next flow from the hand on and moves the hand past it. There must be one.
func (t *Table) nextFlow() uint32 {
	for {
		if t.hand >= t.used {
			t.hand = 0
		}
		flows := t.blocks[t.hand/blockLen].flows >> (t.hand % blockLen)
		if flows != 0 {
			n := t.hand + uint32(bits.TrailingZeros64(flows))
			t.hand = n + 1
			return n
		}
		t.hand = t.hand&^(blockLen-1) + blockLen
	}
}

// evictFrom makes room in a page of the index.
func (t *Table) evictFrom(p *page) {
	t.Settle()
	var v candidate
	for b := range p {
		for _, cell := range p[b].cells {
			if cell != 0 {
				v.look(t, cell)
			}
		}
	}
	t.evicted(v)
}

func (t *Table) evicted(v candidate) bool {
	if v.cell == 0 {
		return false
	}
	t.stats.Evicted[v.worth]++
	t.end(v.cell, LackOfResources)
	return true
}
