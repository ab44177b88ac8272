package kernel

// Transpose writes the transpose of x, which has rows of cols floats: dst[j*rows+i] = x[i*cols+j].
// dst and x must not overlap.
func Transpose(dst, x []float32, rows, cols int) {
	if rows == 0 || cols == 0 {
		return
	}
	packTransposed(dst[:rows*cols], x[:rows*cols], cols, rows, cols, rows)
}

// packB copies k×cols of B into panels of panelCols columns; the last panel is filled up with
// zeros. Element (p, j) of B is at b[p*step+j] without trans, at b[j*step+p] with it.
func packB(dst, b []float32, trans bool, k, cols, step, panelCols int) {
	for x := 0; x < cols; x += panelCols {
		width := min(panelCols, cols-x)
		if trans {
			packTransposed(dst, b[x*step:], k, width, step, panelCols)
		} else {
			packPanel(dst, b[x:], k, width, step, panelCols)
		}
		dst = dst[k*panelCols:]
	}
}

// packPanel copies k rows of width floats.
func packPanel(dst, b []float32, k, width, step, panelCols int) {
	switch width {
	case 32: // copies of constant length are a few moves, not a call
		for p := range k {
			*(*[32]float32)(dst[p*32:]) = *(*[32]float32)(b[p*step:])
		}
	case 16:
		for p := range k {
			*(*[16]float32)(dst[p*panelCols:]) = *(*[16]float32)(b[p*step:])
			clear(dst[p*panelCols+16 : (p+1)*panelCols])
		}
	default:
		for p := range k {
			row := dst[p*panelCols : (p+1)*panelCols]
			clear(row[copy(row, b[p*step:p*step+width]):])
		}
	}
}

// packTransposed copies width columns of k floats into rows.
func packTransposed(dst, b []float32, k, width, step, panelCols int) {
	j := 0
	for ; j+8 <= width; j += 8 {
		done := transpose8(dst[j:], panelCols, b[j*step:], step, k)
		for p := done; p < k; p++ {
			for i := range 8 {
				dst[p*panelCols+j+i] = b[(j+i)*step+p]
			}
		}
	}
	if j == panelCols {
		return
	}
	for p := range k {
		row := dst[p*panelCols : (p+1)*panelCols]
		for i := j; i < width; i++ {
			row[i] = b[i*step+p]
		}
		clear(row[width:])
	}
}
