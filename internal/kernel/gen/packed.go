package main

import "fmt"

// packed is one instruction set with one way to add up products: floats fused, bytes by VPDPBUSD
// or as pairs of words.
type packed struct {
	vectors
	Title  string // as in WEIR_KERNEL
	Symbol string // of the function
	Sum    string // "fma", "dot" or "words"
	Group  int    // most rows from one base address in a tile of two bases
	Single int    // most rows in a tile of one
	MaxAll int    // most rows of tiles of four vectors and of eight
	VEX    bool   // VPDPBUSD without EVEX, which the assembler does not know
}

var packedSets = []packed{
	{vectors: avx512, Title: "avx512", Symbol: "floatsAVX512", Sum: "fma", Group: 7, Single: 7, MaxAll: 3},
	{vectors: avx2, Title: "avx2", Symbol: "floatsAVX2", Sum: "fma", Group: 3, Single: 6, MaxAll: 1},
	{vectors: avx512, Title: "avx512-vnni", Symbol: "bytesAVX512VNNI", Sum: "dot", Group: 7, Single: 7, MaxAll: 3},
	{vectors: avx512, Title: "avx512", Symbol: "bytesAVX512", Sum: "words", Group: 7, Single: 7, MaxAll: 3},
	{vectors: avx2, Title: "avx2-vnni", Symbol: "bytesAVX2VNNI", Sum: "dot", Group: 3, Single: 6, MaxAll: 1, VEX: true},
	{vectors: avx2, Title: "avx2", Symbol: "bytesAVX2", Sum: "words", Group: 3, Single: 6, MaxAll: 1},
}

// File is the name of the file of the function.
func (p packed) File() string {
	kind := "bytes"
	if p.Sum == "fma" {
		kind = "floats"
	}
	set := map[string]string{"avx512": "avx512", "avx2": "avx2", "avx512-vnni": "avx512_vnni", "avx2-vnni": "avx2_vnni"}[p.Title]
	return kind + "_" + set + "_amd64.s"
}

// Bytes reports whether the left matrix has bytes.
func (p packed) Bytes() bool { return p.Sum != "fma" }

// PanelStep is how many bytes of a panel one step takes. A step takes four of the left matrix.
func (p packed) PanelStep() int {
	if p.Sum == "words" {
		return 128
	}
	return 64
}

// PerPanel is how many vectors of sums a panel of 16 columns has.
func (p packed) PerPanel() int { return 16 / p.Width }

// Wide reports whether the tile has few rows and many vectors.
func (t packedTile) Wide() bool { return t.Vectors > 2 }

// Tiles lists the tiles that the function has a body for.
func (p packed) Tiles() (list []packedTile) {
	widths := []int{2}
	if p.PerPanel() == 1 {
		widths = []int{2, 1}
	}
	for h := 1; h <= p.Single; h++ {
		if h <= p.MaxAll {
			list = append(list, packedTile{p, h, 1, 8}, packedTile{p, h, 1, 4})
		}
		for _, v := range widths {
			list = append(list, packedTile{p, h, 1, v})
		}
	}
	for h := 2; h <= p.Group; h++ {
		for _, v := range widths {
			list = append(list, packedTile{p, h, 2, v})
		}
	}
	return list
}

// packedTile has a number of rows from each of one or two base addresses, and a number of vectors
// of columns.
type packedTile struct {
	packed
	High, Bases, Vectors int
}

// Label names a tile inside its function, Key is the number that the caller knows it by.
func (t packedTile) Label() string { return fmt.Sprintf("tile%dx%dx%d", t.Bases, t.High, t.Vectors) }
func (t packedTile) Key() int      { return t.Bases<<8 | t.High<<4 | t.Vectors/t.PerPanel() }

// Rows of the tile.
func (t packedTile) Rows() int { return t.Bases * t.High }

// Row is the address of a row.
func (t packedTile) Row(i int) string {
	base := []string{"AX", "SI"}[i/t.High]
	return "(" + base + ")" + []string{"", "(R8*1)", "(R8*2)", "(R9*1)", "(R8*4)", "(R10*1)", "(R9*2)"}[i%t.High]
}

// Acc is the register of the sums of row i, vector j.
func (t packedTile) Acc(i, j int) string { return fmt.Sprint(t.Reg, i*t.Vectors+j) }

// Free are registers that hold no sums. The last of AVX2's tiles of bytes as words is a mask.
func (t packedTile) Free(i int) string {
	if t.Masks {
		return fmt.Sprint("Z", 28+i)
	}
	return fmt.Sprint("Y", 12+i)
}

// Panel is the address of vector j of the panels' row, with an offset.
func (t packedTile) Panel(j, offset int) string {
	offset += j % t.PerPanel() * 4 * t.Width
	return fmt.Sprint(offset, "(BX)", []string{"", "(R12*1)", "(R12*2)", "(R13*1)", "(R12*4)", "(R14*1)", "(R13*2)", "(R15*1)"}[j/t.PerPanel()])
}

// Column is the offset of vector j in a row of 32-bit values, Byte in one of bytes.
func (t packedTile) Column(j int) int { return j * 4 * t.Width }
func (t packedTile) Byte(j int) int   { return j * t.Width }

// Dot is acc += the sums of four products of the unsigned bytes in a with the signed ones in b.
func (t packedTile) Dot(b, a, acc string) (string, error) {
	if !t.VEX {
		return fmt.Sprintf("VPDPBUSD %s, %s, %s", b, a, acc), nil
	}
	var rb, ra, rc int
	if _, err := fmt.Sscanf(b+" "+a+" "+acc, "Y%d Y%d Y%d", &rb, &ra, &rc); err != nil {
		return "", fmt.Errorf("VPDPBUSD %s, %s, %s: %w", b, a, acc, err)
	}
	code := vexDot(rb, ra, rc)
	return fmt.Sprintf("BYTE $%#02x; BYTE $%#02x; BYTE $%#02x; BYTE $%#02x; BYTE $%#02x // VPDPBUSD %s, %s, %s",
		code[0], code[1], code[2], code[3], code[4], b, a, acc), nil
}

// vexDot is VPDPBUSD acc, a, b of 256-bit registers: VEX.256.66.0F38.W0 50 /r (Intel 64 and IA-32
// Architectures Software Developer's Manual, volume 2, VPDPBUSD).
func vexDot(b, a, acc int) [5]byte {
	return [5]byte{
		0xc4,
		byte(^acc>>3&1<<7 | 1<<6 | ^b>>3&1<<5 | 0b00010), // R, X, B inverted; map 0F38
		byte(^a&15<<3 | 1<<2 | 0b01),                     // W0; vvvv inverted; 256 bits; prefix 66
		0x50,
		byte(3<<6 | acc&7<<3 | b&7),
	}
}

// Alternate is the register for the elements of row i.
func (t packedTile) Alternate(i int) string {
	if t.Masks {
		return t.Free(2 + i%2)
	}
	return t.Free(2)
}

// Half is the lower half of a register of sums.
func (t packedTile) Half(i, j int) string { return fmt.Sprint("X", i*t.Vectors+j) }

// Pairs are the first vectors of all pairs of a row.
func (t packedTile) Pairs() (list []int) {
	for j := 0; j < t.Vectors; j += 2 {
		list = append(list, j)
	}
	return list
}

// side is a tile and the matrix beside it of which addresses are wanted.
type side struct {
	packedTile
	Name string
}

// Of names the matrix.
func (t packedTile) Of(name string) side { return side{t, name} }
