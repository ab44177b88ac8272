package kernel

// runPlain computes a tile in plain Go. The conversions around products forbid fusing them with
// the sum (Go specification, "Floating-point operators"), so that every machine gives the same
// bits.
func (t *tile) runPlain() {
	if t.cols == 4 {
		t.run2x4()
		return
	}
	for i := range t.rows {
		for j := range t.cols {
			var s float32
			for p := range t.k {
				s += float32(t.a[i*t.aRow+p*t.aStep] * t.b[p*t.bStep+j])
			}
			if t.add {
				s += t.c[i*t.cRow+j]
			}
			t.c[i*t.cRow+j] = s
		}
	}
}

// run2x4 keeps eight sums in registers: amd64 has 15 for Go's floats, and with more sums they
// went to memory and back (4×4: 2.4 to 3.6 GF/s, 2×4: 3.5 to 4.5). A single row is computed twice.
func (t *tile) run2x4() {
	var s00, s01, s02, s03, s10, s11, s12, s13 float32
	a0, a1, b := t.a, t.a[(t.rows-1)*t.aRow:], t.b
	x, y := 0, 0
	for range t.k {
		v0, v1, w := a0[x], a1[x], b[y:y+4:y+4]
		s00 += float32(v0 * w[0])
		s10 += float32(v1 * w[0])
		s01 += float32(v0 * w[1])
		s11 += float32(v1 * w[1])
		s02 += float32(v0 * w[2])
		s12 += float32(v1 * w[2])
		s03 += float32(v0 * w[3])
		s13 += float32(v1 * w[3])
		x += t.aStep
		y += t.bStep
	}
	t.store(0, s00, s01, s02, s03)
	if t.rows == 2 {
		t.store(1, s10, s11, s12, s13)
	}
}

func (t *tile) store(i int, s0, s1, s2, s3 float32) {
	c := t.c[i*t.cRow : i*t.cRow+4]
	if t.add {
		s0, s1, s2, s3 = s0+c[0], s1+c[1], s2+c[2], s3+c[3]
	}
	c[0], c[1], c[2], c[3] = s0, s1, s2, s3
}
