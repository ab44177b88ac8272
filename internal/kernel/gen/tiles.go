package main

import "fmt"

// Body is one micro-kernel: a tile of Rows by Vectors registers.
type Body struct {
	vectors
	Height, Vectors int
	Mask            int // vector that is cut by the mask, -1 for none
}

// Bodies lists the micro-kernels in the order in which the dispatch asks for them.
func (v vectors) Bodies() []Body {
	var list []Body
	for h := v.Rows; h > 0; h-- {
		if h <= v.MaxWide {
			list = append(list, Body{v, h, 8, -1})
		}
		if !v.Masks {
			list = append(list, Body{v, h, 2, -1})
		}
		list = append(list, Body{v, h, 2, 1}, Body{v, h, 1, 0})
	}
	return list
}

// Label names a body inside its function.
func (b Body) Label() string {
	label := fmt.Sprintf("tile%dx%d", b.Height, b.Vectors)
	if b.Mask >= 0 {
		label += "m"
	}
	return label
}

// ElementA is the register that holds the element of A in row i.
func (b Body) ElementA(i int) int {
	if b.Masks {
		return b.A + i%2
	}
	return b.A
}

// WideA is the register of an element of A in a tile of 8 vectors, whose accumulators end at 24
// (AVX2: at 8).
func (b Body) WideA(i int) int {
	if b.Masks {
		return i
	}
	return b.A
}

// row is the address of row i of seven rows per base register: the strides 1, 3 and 5 stand in
// R8, R9 and R10.
func row(i int) string {
	base := []string{"AX", "SI"}[i/7]
	index := []string{"", "(R8*1)", "(R8*2)", "(R9*1)", "(R8*4)", "(R10*1)", "(R9*2)"}[i%7]
	return "(" + base + ")" + index
}

// acc is the accumulator of row i, vector j.
func acc(b Body, i, j int) string { return fmt.Sprint(b.Reg, i*b.Vectors+j) }

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func downFrom(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = n - i
	}
	return list
}
