package kernel

// sums describes sums of rows of a table, one for every stride symbols of a text: a sum takes
// window symbols, and symbol w of it row w·place + symbol.
type sums struct {
	window, symbols, place, stride, width int
	floor                                 float32 // of what is written
}

// sumRowsPlain fills dst with sums, at least one row of each.
func sumRowsPlain(dst, table []float32, text []uint16, s sums) {
	checkIndex(text, s.symbols)
	for ; len(dst) > 0; dst = dst[s.width:] {
		y := dst[:s.width]
		for w, k := range text[:s.window] {
			row := table[(w*s.place+int(k))*s.width:][:s.width]
			if w == 0 {
				copy(y, row)
				continue
			}
			addPlain(y, row)
		}
		for j, v := range y {
			if v < s.floor {
				y[j] = s.floor
			}
		}
		text = text[min(s.stride, len(text)):]
	}
}

func quantisePlain(dst []uint8, x []float32, scale, zero float32) {
	for i, v := range x {
		dst[i] = toByte(float32(v*scale) + zero)
	}
}

// averageBytesPlain averages the columns from one on.
func averageBytesPlain(dst []float32, x []uint8, from int, scale float32) {
	for j := from; j < len(dst); j++ {
		sum := 0
		for i := j; i < len(x); i += len(dst) {
			sum += int(x[i])
		}
		dst[j] = float32(float32(sum) * scale)
	}
}
