package kernel

import "math"

// The plain twins of the packed products: four columns of two places at a time, as Gemm's.

// at is the offset of place i.
func (l *Left[T]) at(g Grid, i int) int   { return i/g.Width*l.RowStride + i%g.Width*l.ColStride }
func (p *Places[T]) at(g Grid, i int) int { return i/g.Width*p.RowStride + i%g.Width*p.ColStride }

func (f *FloatWeights) multiplyPlain(p *FloatProduct, runs [2]Runs) {
	m := p.Height * p.Width
	for i := 0; i < m; i += 2 {
		for j := 0; j < f.n; j += 4 {
			panel := f.data[j/panelCols*panelCols*f.k+j%panelCols:]
			b := f.bias[j : j+4]
			s := [2][4]float32{{b[0], b[1], b[2], b[3]}, {b[0], b[1], b[2], b[3]}}
			for part := range f.parts {
				panel = floatSums(&s, &p.A[part], runs[part], p.A[part].at(p.Grid, i), p.A[part].at(p.Grid, min(i+1, m-1)), panel)
			}
			for r := range min(2, m-i) {
				row := s[r][:min(4, f.n-j)]
				if p.Residual.Data != nil {
					for c, v := range p.Residual.Data[p.Residual.at(p.Grid, i+r)+j:][:len(row)] {
						row[c] += v
					}
				}
				if p.ReLU {
					reluPlain(row, row)
				}
				copy(p.Dst.Data[p.Dst.at(p.Grid, i+r)+j:], row)
			}
		}
	}
}

// floatSums adds the products of a part to the sums of two places, and returns the weights of the
// next part. The conversions forbid fusing: every machine gives the same bits.
func floatSums(s *[2][4]float32, a *Left[float32], r Runs, at0, at1 int, panel []float32) []float32 {
	s00, s01, s02, s03 := s[0][0], s[0][1], s[0][2], s[0][3]
	s10, s11, s12, s13 := s[1][0], s[1][1], s[1][2], s[1][3]
	for seg := range r.Segments {
		x := a.Data[at0+seg*a.SegmentStride:][:r.Length]
		y := a.Data[at1+seg*a.SegmentStride:][:r.Length]
		for e, v0 := range x {
			v1 := y[e]
			w := panel[e*panelCols:][:4:4]
			s00 += float32(v0 * w[0])
			s10 += float32(v1 * w[0])
			s01 += float32(v0 * w[1])
			s11 += float32(v1 * w[1])
			s02 += float32(v0 * w[2])
			s12 += float32(v1 * w[2])
			s03 += float32(v0 * w[3])
			s13 += float32(v1 * w[3])
		}
		panel = panel[min(r.Length*panelCols, len(panel)):]
	}
	s[0] = [4]float32{s00, s01, s02, s03}
	s[1] = [4]float32{s10, s11, s12, s13}
	return panel
}

// pack lays the weights out as the variant in use reads them. Runs are filled up with zeros to
// groups of four.
func (b *ByteWeights) pack(w []int8) {
	groups := 0
	for _, r := range b.runs[:b.parts] {
		groups += r.Segments * ((r.Length + 3) / 4)
	}
	panel := groups * 4 * panelCols
	if b.made.words() {
		b.words = make([]int16, len(b.start)/panelCols*panel)
	} else {
		b.data = make([]int8, len(b.start)/panelCols*panel)
	}
	row, group := 0, 0
	for _, r := range b.runs[:b.parts] {
		for range r.Segments {
			for e := range r.Length {
				for j := range b.n {
					at := j/panelCols*panel + (group+e/4)*4*panelCols
					if b.made.words() {
						b.words[at+e%2*2*panelCols+j%panelCols*2+e%4/2] = int16(w[row*b.n+j])
					} else {
						b.data[at+j%panelCols*4+e%4] = w[row*b.n+j]
					}
				}
				row++
			}
			group += (r.Length + 3) / 4
		}
	}
}

func (b *ByteWeights) multiplyPlain(p *ByteProduct, runs [2]Runs) {
	m := p.Height * p.Width
	panelSize := len(b.data) / (len(b.start) / panelCols)
	start := b.start
	if p.Start != nil {
		start = p.Start
	}
	for i := 0; i < m; i += 2 {
		for j := 0; j < b.n; j += 4 {
			panel := b.data[j/panelCols*panelSize+j%panelCols*4:]
			z := start[j : j+4]
			s := [2][4]int32{{z[0], z[1], z[2], z[3]}, {z[0], z[1], z[2], z[3]}}
			for part := range b.parts {
				panel = byteSums(&s, &p.A[part], runs[part], p.A[part].at(p.Grid, i), p.A[part].at(p.Grid, min(i+1, m-1)), panel)
			}
			for r := range min(2, m-i) {
				b.store(p, i+r, j, s[r][:min(4, b.n-j)])
			}
		}
	}
}

// byteSums adds the products of a part to the sums of two places, and returns the weights of the
// next part.
func byteSums(s *[2][4]int32, a *Left[uint8], r Runs, at0, at1 int, panel []int8) []int8 {
	s00, s01, s02, s03 := s[0][0], s[0][1], s[0][2], s[0][3]
	s10, s11, s12, s13 := s[1][0], s[1][1], s[1][2], s[1][3]
	for seg := range r.Segments {
		x := a.Data[at0+seg*a.SegmentStride:][:r.Length]
		y := a.Data[at1+seg*a.SegmentStride:][:r.Length]
		for e, v := range x {
			v0, v1 := int32(v), int32(y[e])
			w := panel[e/4*4*panelCols+e%4:][:13:13]
			s00 += v0 * int32(w[0])
			s10 += v1 * int32(w[0])
			s01 += v0 * int32(w[4])
			s11 += v1 * int32(w[4])
			s02 += v0 * int32(w[8])
			s12 += v1 * int32(w[8])
			s03 += v0 * int32(w[12])
			s13 += v1 * int32(w[12])
		}
		panel = panel[min((r.Length+3)/4*4*panelCols, len(panel)):]
	}
	s[0] = [4]int32{s00, s01, s02, s03}
	s[1] = [4]int32{s10, s11, s12, s13}
	return panel
}

// store ends the sums of place i from column j on.
func (b *ByteWeights) store(p *ByteProduct, i, j int, sums []int32) {
	var ends [4]float32
	y := ends[:len(sums)]
	for c, s := range sums {
		y[c] = float32(float32(s)*b.scale[j+c]) + b.bias[j+c]
	}
	if p.Residual.Data != nil {
		for c, v := range p.Residual.Data[p.Residual.at(p.Grid, i)+j:][:len(y)] {
			y[c] += float32(float32(v) * p.ResidualScale)
		}
	}
	if p.Dst.Data == nil {
		if p.ReLU {
			reluPlain(y, y)
		}
		copy(p.Floats.Data[p.Floats.at(p.Grid, i)+j:], y)
		return
	}
	dst := p.Dst.Data[p.Dst.at(p.Grid, i)+j:][:len(y)]
	for c, v := range y {
		dst[c] = toByte(v)
	}
}

// toByte rounds to the nearest byte, to the even one of two. NaN gives 0.
func toByte(y float32) uint8 {
	if !(y > 0) {
		return 0
	}
	return uint8(math.RoundToEven(float64(min(y, 255))))
}
