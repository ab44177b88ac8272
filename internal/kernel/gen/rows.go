package main

import "fmt"

// maskedLoad fills a register from an address as far as the mask goes, maskedStore writes it there.
func maskedLoad(v vectors, from string, reg int) string {
	if v.Masks {
		return fmt.Sprintf("VMOVUPS.Z %s, K1, Z%d", from, reg)
	}
	return fmt.Sprintf("VMASKMOVPS %s, Y15, Y%d", from, reg)
}

func maskedStore(v vectors, reg int, to string) string {
	if v.Masks {
		return fmt.Sprintf("VMOVUPS Z%d, K1, %s", reg, to)
	}
	return fmt.Sprintf("VMASKMOVPS Y%d, Y15, %s", reg, to)
}

// Doubles is how many registers hold 32 float64.
func (v vectors) Doubles() int { return 64 / v.Width }
