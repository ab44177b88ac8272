// Command gen writes the assembly of package kernel from the templates beside it.
//
// Run it with go generate in the package's directory. What it writes depends on nothing but the
// templates, and its test fails when the files in the repository are not what it would write.
package main

import (
	"bytes"
	"embed"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed *.tmpl
var templates embed.FS

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: gen DIRECTORY")
	}
	files, err := generate()
	if err != nil {
		log.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(os.Args[1], name), text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// generate returns the text of every generated file by its name.
func generate() (map[string][]byte, error) {
	t, err := template.New("").Funcs(template.FuncMap{
		"row": row, "acc": acc, "upTo": upTo, "downFrom": downFrom,
		"add": func(a, b int) int { return a + b }, "mul": func(a, b int) int { return a * b },
	}).ParseFS(templates, "*.tmpl")
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, set := range []vectors{avx512, avx2} {
		var text bytes.Buffer
		if err := t.ExecuteTemplate(&text, "gemm.s.tmpl", set); err != nil {
			return nil, err
		}
		files["gemm_"+set.Name+"_amd64.s"] = text.Bytes()
	}
	return files, nil
}

// vectors is an instruction set as the templates see it.
type vectors struct {
	Name    string // as in WEIR_KERNEL
	Symbol  string // end of the functions' names
	Reg     string // letter of a vector register
	Width   int    // floats in a vector
	Masks   bool   // has mask registers
	Rows    int    // height of the largest tile
	MaxWide int    // height up to which tiles of 8 vectors are used
	B, A    int    // registers for vectors of B and for a broadcast element of A
}

var (
	avx512 = vectors{Name: "avx512", Symbol: "AVX512", Reg: "Z", Width: 16, Masks: true, Rows: 14, MaxWide: 3, B: 28, A: 30}
	avx2   = vectors{Name: "avx2", Symbol: "AVX2", Reg: "Y", Width: 8, Rows: 6, MaxWide: 1, B: 12, A: 14}
)

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
