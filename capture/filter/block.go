package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// A block is a node of the graph of tests that a condition becomes: compute, compare, go on. The
// graph has no cycles and ends in pass and drop.
type block struct {
	load     []bpf.RawInstruction
	value    int    // equal for equal loads
	jump     uint16 // opJumpEqual …
	k        uint32
	yes, no  *block
	verdict  bool // of pass and drop: they have no more than this
	terminal bool
}

// builder makes blocks, and equal ones once.
type builder struct {
	values     map[string]int
	blocks     map[blockKey]*block
	pass, drop *block
}

type blockKey struct {
	value   int
	jump    uint16
	k       uint32
	yes, no *block
}

func newBuilder() *builder {
	return &builder{
		values: map[string]int{}, blocks: map[blockKey]*block{},
		pass: &block{terminal: true, verdict: true}, drop: &block{terminal: true},
	}
}

// block returns the block that compares and goes on to yes or no. A comparison without
// consequence is left out.
func (b *builder) block(load []bpf.RawInstruction, jump uint16, k uint32, yes, no *block) *block {
	if yes == no {
		return yes
	}
	text := fmt.Sprint(load)
	value, ok := b.values[text]
	if !ok {
		value = len(b.values)
		b.values[text] = value
	}
	key := blockKey{value, jump, k, yes, no}
	if b.blocks[key] == nil {
		b.blocks[key] = &block{load: load, value: value, jump: jump, k: k, yes: yes, no: no}
	}
	return b.blocks[key]
}

// lower makes a graph of a condition.
func lower(c cond) (*block, error) {
	b := newBuilder()
	return b.cond(c, b.pass, b.drop)
}

// cond returns the block that goes on to yes or no as a condition is true or not.
func (b *builder) cond(c cond, yes, no *block) (*block, error) {
	switch c := c.(type) {
	case constant:
		if c {
			return yes, nil
		}
		return no, nil
	case negated:
		return b.cond(c.x, no, yes)
	case *test:
		if c.err != nil {
			return nil, c.err
		}
		return b.block(c.load, c.jump, c.k, yes, no), nil
	case joined:
		r, err := b.cond(c.r, yes, no)
		if err != nil {
			return nil, err
		}
		if c.or {
			return b.cond(c.l, yes, r)
		}
		return b.cond(c.l, r, no)
	}
	panic(fmt.Sprintf("filter: condition %T", c))
}

// order returns the blocks that can be reached, each before those that it goes on to, and yes
// right behind a block where that can be.
func order(entry *block) []*block {
	var reversed []*block
	seen := map[*block]bool{}
	var visit func(*block)
	visit = func(b *block) {
		if b == nil || seen[b] {
			return
		}
		seen[b] = true
		visit(b.no)
		visit(b.yes)
		reversed = append(reversed, b)
	}
	visit(entry)
	for i, j := 0, len(reversed)-1; i < j; i, j = i+1, j-1 {
		reversed[i], reversed[j] = reversed[j], reversed[i]
	}
	return reversed
}

// join returns the graph that decides packets without a VLAN tag in their metadata by plain, and the
// others by tagged.
func join(plain, tagged *block) *block {
	b := newBuilder()
	same := map[*block]*block{}
	var adopt func(*block) *block
	adopt = func(x *block) *block {
		if x.terminal {
			if x.verdict {
				return b.pass
			}
			return b.drop
		}
		if same[x] == nil {
			same[x] = b.block(x.load, x.jump, x.k, adopt(x.yes), adopt(x.no))
		}
		return same[x]
	}
	return b.block([]bpf.RawInstruction{{Op: opLoadWord, K: metaTagPresent}}, opJumpEqual, 0, adopt(plain), adopt(tagged))
}
