package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
)

// A Format writes a number as it is read; NaN, the undefined number, is a dash.
type Format func(float64) string

const undefined = "–"

// Ratio writes a number from 0 to 1 with three digits: 0.767.
func Ratio(v float64) string {
	if !finite(v) {
		return undefined
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// Percent writes a share as a percentage with as many digits as matter: 93 %, 9.3 %, 0.93 %, <0.01 %.
func Percent(v float64) string {
	if !finite(v) {
		return undefined
	}
	v *= 100
	digits := 0
	switch a := math.Abs(v); {
	case a == 0 || a >= 9.95:
	case a >= 0.995:
		digits = 1
	case a >= 0.01:
		digits = 2
	default:
		return "<0.01 %"
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " %"
}

// Count writes a whole number in groups of three: 12 345.
func Count[T int | int64 | uint64](n T) string {
	s := fmt.Sprint(n)
	sign := ""
	if s[0] == '-' {
		sign, s = "−", s[1:]
	}
	if len(s) <= 4 {
		return sign + s
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, d := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteRune('\u202f') // narrow no-break space
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Short writes a quantity with three digits and an SI prefix: 950, 12.3 k, 4.56 M.
func Short(v float64) string { return scaled(v, "") }

// Bytes writes a number of bytes with an SI prefix: 950 B, 12.3 kB.
func Bytes(v float64) string { return scaled(v, "B") }

func scaled(v float64, unit string) string {
	if !finite(v) {
		return undefined
	}
	prefixes := []string{"", "k", "M", "G", "T", "P", "E"}
	i := 0
	for math.Abs(v) >= 999.5 && i+1 < len(prefixes) {
		v /= 1000
		i++
	}
	s := strconv.FormatFloat(v, 'g', 3, 64)
	if strings.Contains(s, "e") {
		if math.Abs(v) < 1 {
			s = strconv.FormatFloat(v, 'g', 2, 64)
		} else {
			s = strconv.FormatFloat(v, 'f', 0, 64)
		}
	}
	if suffix := prefixes[i] + unit; suffix != "" {
		s += " " + suffix
	}
	return s
}

// Plain writes a number with up to three significant digits.
func Plain(v float64) string {
	if !finite(v) {
		return undefined
	}
	if a := math.Abs(v); a >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// steps marks an axis from 0 at 1, 2 or 5 times a power of ten, about n times, and writes the marks by format.
func steps(n int, format Format) plot.Ticker {
	return plot.TickerFunc(func(lo, hi float64) []plot.Tick {
		if !(hi > lo) {
			return []plot.Tick{{Value: lo, Label: format(lo)}}
		}
		step := niceStep((hi - lo) / float64(n))
		var out []plot.Tick
		for i := math.Ceil(lo/step - 1e-9); i*step <= hi+step*1e-9; i++ {
			v := i*step + 0 // + 0 makes -0 a plain 0
			out = append(out, plot.Tick{Value: v, Label: format(v)})
		}
		return out
	})
}

// niceStep is the smallest of 1, 2, 5 times a power of ten that is at least v.
func niceStep(v float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if f*p >= v*(1-1e-9) {
			return f * p
		}
	}
	return 10 * p
}

// decades marks a logarithmic axis at powers of ten, at most n of them; an axis
// of less than two decades is marked at 2 and 5 times the powers too.
func decades(n int, format Format) plot.Ticker {
	return plot.TickerFunc(func(lo, hi float64) []plot.Tick {
		first, last := math.Floor(math.Log10(lo)), math.Floor(math.Log10(hi)+1e-9)
		factors, every := []float64{1}, max(1, math.Ceil((last-first)/float64(n)))
		if hi < 100*lo {
			factors = []float64{1, 2, 5}
		}
		var out []plot.Tick
		for e := last - every*math.Floor((last-first)/every); e <= last; e += every {
			for _, f := range factors {
				if v := f * math.Pow(10, e); v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
					out = append(out, plot.Tick{Value: v, Label: format(v)})
				}
			}
		}
		return out
	})
}
