package main

import "fmt"

// lookupStrip is a run of columns of a sum of rows, kept in registers.
type lookupStrip struct {
	vectors
	Vectors     int
	Cut         bool   // by the mask
	Label, Next string // its name, that of the next narrower one
}

// LookupStrips lists them from the widest to the cut one.
func (v vectors) LookupStrips() []lookupStrip {
	return []lookupStrip{{v, 4, false, "wide", "pair"}, {v, 2, false, "pair", "narrow"}, {v, 1, false, "narrow", "tail"}, {v, 1, true, "tail", ""}}
}

// V is the register of vector j.
func (s lookupStrip) V(j int) string { return fmt.Sprint(s.Reg, j) }

// row is the address of vector j of the row.
func (s lookupStrip) row(j int) string { return fmt.Sprint(j*4*s.Width, "(R15)(AX*1)") }

// Load starts the sums of vector j with a row, Add adds one.
func (s lookupStrip) Load(j int) string {
	switch {
	case !s.Cut:
		return "VMOVUPS " + s.row(j) + ", " + s.V(j)
	case s.Masks:
		return "VMOVUPS.Z " + s.row(j) + ", K1, " + s.V(j)
	}
	return "VMASKMOVPS " + s.row(j) + ", Y15, " + s.V(j)
}

func (s lookupStrip) Add(j int) string {
	switch {
	case !s.Cut:
		return "VADDPS " + s.row(j) + ", " + s.V(j) + ", " + s.V(j)
	case s.Masks:
		return "VADDPS.Z " + s.row(j) + ", " + s.V(j) + ", K1, " + s.V(j)
	}
	return "VMASKMOVPS " + s.row(j) + ", Y15, Y8\n\tVADDPS Y8, " + s.V(j) + ", " + s.V(j)
}

// Store writes the sums of vector j.
func (s lookupStrip) Store(j int) string {
	to := fmt.Sprint(j*4*s.Width, "(DX)(R13*1)")
	switch {
	case !s.Cut:
		return "VMOVUPS " + s.V(j) + ", " + to
	case s.Masks:
		return "VMOVUPS " + s.V(j) + ", K1, " + to
	}
	return "VMASKMOVPS " + s.V(j) + ", Y15, " + to
}
