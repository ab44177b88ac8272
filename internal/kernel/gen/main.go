// Command gen writes the assembly of package kernel from the templates beside it.
//
// Run it with go generate in the package's directory. What it writes depends on nothing but the
// templates, and its test fails when the files in the repository are not what it would write.
package main

import (
	"bytes"
	"embed"
	"log"
	"os"
	"path/filepath"
	"strings"
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
	t := template.New("")
	_, err := t.Funcs(template.FuncMap{
		"row": row, "acc": acc, "upTo": upTo, "downFrom": downFrom,
		"add": func(a, b int) int { return a + b }, "mul": mul,
		"mod":  func(a, b int) int { return a % b },
		"list": func(items ...string) []string { return items }, "maskedLoad": maskedLoad, "maskedStore": maskedStore,
		"body": func(s step) (string, error) {
			var text strings.Builder
			err := t.ExecuteTemplate(&text, s.TemplateName(), s)
			return text.String(), err
		},
	}).ParseFS(templates, "*.tmpl")
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	execute := func(file, name string, data any) {
		var text bytes.Buffer
		if err == nil {
			err = t.ExecuteTemplate(&text, name, data)
		}
		files[file] = text.Bytes()
	}
	for _, set := range []vectors{avx512, avx2} {
		execute("gemm_"+set.Name+"_amd64.s", "gemm.s.tmpl", set)
		execute("elementwise_"+set.Name+"_amd64.s", "elementwise.s.tmpl", set)
		execute("lookup_"+set.Name+"_amd64.s", "lookup.s.tmpl", set)
		execute("rows_"+set.Name+"_amd64.s", "rows.s.tmpl", set)
	}
	execute("squares_amd64.s", "squares.s.tmpl", []vectors{avx512, avx2})
	for _, p := range packedSets {
		execute(p.File(), "packed.s.tmpl", p)
	}
	execute("peak/peak_amd64.s", "peak.s.tmpl", peakLoops())
	execute("elementwise_amd64.go", "elementwise_amd64.go.tmpl", ops)
	execute("elementwise_noasm.go", "elementwise_noasm.go.tmpl", ops)
	return files, err
}

// mul returns the product of all.
func mul(list ...int) int {
	p := 1
	for _, f := range list {
		p *= f
	}
	return p
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
