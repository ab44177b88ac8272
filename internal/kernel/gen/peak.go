package main

import (
	"fmt"
	"strings"
)

// peakLoop is a loop of products whose operands stay in registers, as a function of package peak.
type peakLoop struct {
	packed
	Sums int // registers
}

// Name of the function.
func (p peakLoop) Name() string { return "loop" + strings.ToUpper(p.Symbol[:1]) + p.Symbol[1:] }

// Acc is the register of sum i.
func (p peakLoop) Acc(i int) string { return fmt.Sprint(p.Reg, i) }

// peakLoops has one for each way to add up products.
func peakLoops() (list []peakLoop) {
	for _, p := range packedSets {
		sums := 12
		if p.Masks {
			sums = 28
		}
		list = append(list, peakLoop{p, sums})
	}
	return list
}

// Tile gives what tiles know of registers.
func (p peakLoop) Tile() packedTile { return packedTile{packed: p.packed} }
