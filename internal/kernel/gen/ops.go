package main

import (
	"fmt"
	"slices"
	"strings"
)

// op is an elementwise loop over matrices of rows × columns, or over plain slices, which are
// matrices of one row. The template of its name computes one vector of each row.
type op struct {
	Name    string
	Matrix  []string // slices with an element per row and column
	Column  []string // slices with an element per column
	Scalars []string // one float32 for all
	Sums    []string // slices with an element per column, to which the rows are added up in order
	Doc     string
}

var ops = []op{
	{Name: "add", Matrix: []string{"dst", "x"}, Doc: "dst += x"},
	{Name: "mul", Matrix: []string{"dst", "x"}, Doc: "dst *= x"},
	{Name: "addReLU", Matrix: []string{"dst", "x", "y"}, Doc: "dst = max(0, x+y)"},
	{Name: "scale", Matrix: []string{"x"}, Scalars: []string{"a"}, Doc: "x *= a"},
	{Name: "relu", Matrix: []string{"dst", "x"}, Doc: "dst = max(0, x)"},
	{Name: "reluGrad", Matrix: []string{"dst", "dy", "y"}, Doc: "dst = dy where y > 0, 0 elsewhere"},
	{Name: "exp", Matrix: []string{"dst", "x"}, Doc: "dst = eˣ"},
	{Name: "sigmoid", Matrix: []string{"dst", "x"}, Doc: "dst = 1/(1 + e⁻ˣ)"},
	{Name: "tanh", Matrix: []string{"dst", "x"}, Doc: "dst = tanh x"},
	{Name: "lstmCell", Matrix: []string{"in", "forget", "fresh", "out", "before", "c", "tanhC", "h"}, Doc: "see LSTMCell"},
	{Name: "lstmCellGrad", Matrix: []string{"in", "forget", "fresh", "out", "before", "tanhC", "dh", "dc"}, Doc: "see LSTMCellGrad"},
	{Name: "adam", Matrix: []string{"w", "grad", "m", "v"}, Doc: "see Adam",
		Scalars: []string{"beta1", "rest1", "beta2", "rest2", "step", "root", "eps", "keep"}},
	{Name: "affine", Matrix: []string{"y", "x"}, Column: []string{"a", "b"}, Doc: "y = a·x + b"},
	{Name: "affineReLU", Matrix: []string{"y", "x"}, Column: []string{"a", "b"}, Doc: "y = max(0, a·x + b)"},
	{Name: "affine2", Matrix: []string{"z", "x", "y"}, Column: []string{"a", "b", "c"}, Doc: "z = a·x + b·y + c"},
	{Name: "columnSums", Matrix: []string{"x"}, Sums: []string{"sums"}, Doc: "sums += Σ x"},
	{Name: "squaredDeviations", Matrix: []string{"x"}, Column: []string{"mean"}, Sums: []string{"sums"}, Doc: "sums += Σ (x − mean)²"},
	{Name: "gradSums", Matrix: []string{"dy", "x"}, Column: []string{"mean"}, Sums: []string{"sums", "prods"},
		Doc: "sums += Σ dy, prods += Σ dy·(x − mean)"},
}

// Rowed reports whether the loop has rows at all.
func (o op) Rowed() bool { return len(o.Column)+len(o.Sums) > 0 }

// Slices lists the arguments that are slices, in their order.
func (o op) Slices() []string { return slices.Concat(o.Matrix, o.Column, o.Sums) }

// GoParams is the parameter list of the Go functions.
func (o op) GoParams() string {
	s := strings.Join(o.Slices(), ", ") + " []float32"
	if len(o.Scalars) > 0 {
		s += ", " + strings.Join(o.Scalars, ", ") + " float32"
	}
	return s
}

// GoArgs passes them on.
func (o op) GoArgs() string { return strings.Join(append(o.Slices(), o.Scalars...), ", ") }

// First is the slice that tells the number of elements, Columns that of columns.
func (o op) First() string   { return o.Matrix[0] }
func (o op) Columns() string { return slices.Concat(o.Sums, o.Column)[0] }

// AsmParams is the parameter list of the assembly.
func (o op) AsmParams() string {
	s := strings.Join(o.Slices(), ", ") + " *float32"
	if o.Rowed() {
		s += ", rows"
	}
	s += ", columns int"
	if len(o.Scalars) > 0 {
		s += ", " + strings.Join(o.Scalars, ", ") + " float32"
	}
	return s
}

// AsmArgs passes them on.
func (o op) AsmArgs() string {
	var list []string
	for _, name := range o.Slices() {
		list = append(list, "&"+name+"[0]")
	}
	if o.Rowed() {
		list = append(list, fmt.Sprintf("len(%s)/len(%s)", o.First(), o.Columns()), "len("+o.Columns()+")")
	} else {
		list = append(list, "len("+o.First()+")")
	}
	return strings.Join(append(list, o.Scalars...), ", ")
}

// loop is an op for an instruction set.
type loop struct {
	vectors
	op
}

// Loops are the ops whose rows are computed one after the other, Folds those that add rows up.
func (v vectors) Loops() (list []loop) {
	for _, o := range ops {
		if len(o.Sums) == 0 {
			list = append(list, loop{v, o})
		}
	}
	return list
}

func (v vectors) Folds() (list []loop) {
	for _, o := range ops {
		if len(o.Sums) > 0 {
			list = append(list, loop{v, o})
		}
	}
	return list
}

// Symbol is the function's name.
func (l loop) Symbol() string { return l.Name() + l.vectors.Symbol }

// Name is that of the op; the instruction set has one too.
func (l loop) Name() string { return l.op.Name }

// Size is that of the arguments in bytes.
func (l loop) Size() int {
	words := len(l.Slices()) + 1
	if l.Rowed() {
		words++
	}
	return 8*words + 4*len(l.Scalars)
}

// pointers are the registers of slices; AX counts elements of matrices, R14 columns.
var pointers = []string{"DI", "SI", "DX", "BX", "R8", "R9", "R10", "R11", "R12", "R13"}

// Pointer is the register that holds the start of a slice.
func (l loop) Pointer(name string) (string, error) {
	i := slices.Index(l.Slices(), name)
	if i < 0 {
		return "", fmt.Errorf("%s has no slice %s", l.Name(), name)
	}
	return pointers[i], nil
}

// Offset is where an argument lies in the frame.
func (l loop) Offset(name string) int {
	if i := slices.Index(l.Slices(), name); i >= 0 {
		return 8 * i
	}
	at := 8 * len(l.Slices())
	switch {
	case name == "rows":
		return at
	case name == "columns" && l.Rowed():
		return at + 8
	case name == "columns":
		return at
	}
	if l.Rowed() {
		at += 8
	}
	return at + 8 + 4*slices.Index(l.Scalars, name)
}

// Scalar is the register that holds a scalar in every lane.
func (l loop) Scalar(name string) (string, error) {
	i := slices.Index(l.Scalars, name)
	if i < 0 {
		return "", fmt.Errorf("%s has no scalar %s", l.Name(), name)
	}
	if l.Masks {
		return fmt.Sprint("Z", 31-i), nil
	}
	return fmt.Sprint("Y", 14-i), nil
}

// Full and Tail are the body for a whole vector and for the last, cut one.
func (l loop) Full() step { return step{loop: l} }
func (l loop) Tail() step { return step{loop: l, cut: true} }

// Strips are the vectors that a fold takes through all rows together: four, one, a cut one.
func (l loop) Strips() []strip {
	return []strip{{l, 4, false, "wide"}, {l, 1, false, "narrow"}, {l, 1, true, "tail"}}
}

// strip is a run of columns of a fold.
type strip struct {
	loop
	Vectors int
	Cut     bool
	Label   string
}

// Steps are the bodies of the vectors of a strip.
func (s strip) Steps() (list []step) {
	for u := range s.Vectors {
		list = append(list, step{loop: s.loop, cut: s.Cut, fold: true, vector: u})
	}
	return list
}

// step is one body: one vector of each matrix.
type step struct {
	loop
	cut    bool // by the mask
	fold   bool
	vector int // of the strip
}

// TemplateName is the template of the body.
func (s step) TemplateName() string { return s.loop.Name() }

// V is a vector register.
func (s step) V(i int) string { return fmt.Sprint(s.Reg, i) }

func (s step) address(name string) (string, error) {
	p, err := s.Pointer(name)
	index := "AX"
	if !slices.Contains(s.Matrix, name) {
		index = "R14"
	}
	if at := s.vector * 4 * s.Width; at != 0 {
		p = fmt.Sprintf("%d(%s)", at, p)
	} else {
		p = "(" + p + ")"
	}
	return p + "(" + index + "*4)", err
}

// Load fills a register from a slice.
func (s step) Load(name string, v int) (string, error) {
	from, err := s.address(name)
	switch {
	case !s.cut:
		return fmt.Sprintf("VMOVUPS %s, %s", from, s.V(v)), err
	case s.Masks:
		return fmt.Sprintf("VMOVUPS.Z %s, K1, %s", from, s.V(v)), err
	}
	return fmt.Sprintf("VMASKMOVPS %s, Y15, %s", from, s.V(v)), err
}

// Store writes a register to a slice.
func (s step) Store(v int, name string) (string, error) {
	to, err := s.address(name)
	switch {
	case !s.cut:
		return fmt.Sprintf("VMOVUPS %s, %s", s.V(v), to), err
	case s.Masks:
		return fmt.Sprintf("VMOVUPS %s, K1, %s", s.V(v), to), err
	}
	return fmt.Sprintf("VMASKMOVPS %s, Y15, %s", s.V(v), to), err
}

// Held is the register in which a fold keeps a slice of sums or columns.
func (s step) Held(name string) (string, error) {
	i, err := s.held(name)
	return s.V(i), err
}

func (s step) held(name string) (int, error) {
	list := slices.Concat(s.Sums, s.Column)
	i := slices.Index(list, name)
	if i < 0 {
		return 0, fmt.Errorf("%s does not hold %s", s.loop.Name(), name)
	}
	return 2 + s.vector*len(list) + i, nil
}

// Begin loads what a fold holds, End stores the sums.
func (s step) Begin() (lines []string, err error) {
	for _, name := range slices.Concat(s.Sums, s.Column) {
		i, _ := s.held(name)
		line, err := s.Load(name, i)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func (s step) End() (lines []string, err error) {
	for _, name := range s.Sums {
		i, _ := s.held(name)
		line, err := s.Store(i, name)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// Const is one of package kernel's constants, in every lane.
func (s step) Const(name string) string { return fmt.Sprintf("·lanes+(const_lane%s*64)(SB)", name) }

// With names registers for a piece of a body: X is what it works on, the others are free.
func (s step) With(x, a, b, c, d int) piece {
	return piece{s, s.V(x), s.V(a), s.V(b), s.V(c), s.V(d)}
}

type piece struct {
	step
	X, A, B, C, D string
}
