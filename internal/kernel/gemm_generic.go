package kernel

// runPlain computes a tile in plain Go. The conversions around products forbid fusing them with the
// sum (Go specification, "Floating-point operators"), so that every machine gives the same bits.
func (t *tile) runPlain() {
	if t.rows == 4 && t.cols == 4 {
		t.run4x4()
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

func (t *tile) run4x4() {
	var s00, s01, s02, s03, s10, s11, s12, s13 float32
	var s20, s21, s22, s23, s30, s31, s32, s33 float32
	a0, a1, a2, a3 := t.a, t.a[t.aRow:], t.a[2*t.aRow:], t.a[3*t.aRow:]
	x, y := 0, 0
	for range t.k {
		b := t.b[y : y+4 : y+4]
		v0, v1, v2, v3 := a0[x], a1[x], a2[x], a3[x]
		s00 += float32(v0 * b[0])
		s01 += float32(v0 * b[1])
		s02 += float32(v0 * b[2])
		s03 += float32(v0 * b[3])
		s10 += float32(v1 * b[0])
		s11 += float32(v1 * b[1])
		s12 += float32(v1 * b[2])
		s13 += float32(v1 * b[3])
		s20 += float32(v2 * b[0])
		s21 += float32(v2 * b[1])
		s22 += float32(v2 * b[2])
		s23 += float32(v2 * b[3])
		s30 += float32(v3 * b[0])
		s31 += float32(v3 * b[1])
		s32 += float32(v3 * b[2])
		s33 += float32(v3 * b[3])
		x += t.aStep
		y += t.bStep
	}
	t.store(0, s00, s01, s02, s03)
	t.store(1, s10, s11, s12, s13)
	t.store(2, s20, s21, s22, s23)
	t.store(3, s30, s31, s32, s33)
}

func (t *tile) store(i int, s0, s1, s2, s3 float32) {
	c := t.c[i*t.cRow : i*t.cRow+4]
	if t.add {
		s0, s1, s2, s3 = s0+c[0], s1+c[1], s2+c[2], s3+c[3]
	}
	c[0], c[1], c[2], c[3] = s0, s1, s2, s3
}
