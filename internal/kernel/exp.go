package kernel

import "math"

// Exp, Sigmoid and Tanh rest on one piece. With n the integer nearest to x/ln 2,
//
//	eˣ = 2ⁿ·eʳ    where r = x − n·ln 2, |r| <= ln2/2
//	eʳ − 1 = r + r²·(q0 + q1·r + q2·r² + q3·r³ + q4·r⁴)
//
// The q are a minimax fit of (eʳ − 1 − r)/r², rounded one after the other to float32 with the
// others fitted again: the polynomial errs by 2⁻²⁶ of eʳ − 1. ln 2 is split so that n·ln2Hi is
// exact. n comes from adding 1.5·2²³, which pushes the fraction out of a float32; the low bits of
// that sum are n and make 2ⁿ by a shift.
const (
	log2E = 1 / math.Ln2
	ln2Hi = 355.0 / 512
	ln2Lo = math.Ln2 - ln2Hi
	magic = 0x1.8p23

	q0 = 0x1p-1
	q1 = 0x1.5554b2p-3
	q2 = 0x1.5554c8p-5
	q3 = 0x1.12268p-7
	q4 = 0x1.6d7228p-10

	expMax     = 89   // its power is +Inf
	expMin     = -104 // its power is 0
	sigmoidMax = 88   // from here on 2ⁿ would leave the normal numbers
	sigmoidMin = -87
	tanhMax    = 20 // 2x from which on tanh is 1
)

// expm1 returns eʳ − 1 and n, see above.
func expm1(x float32) (float32, int32) {
	t := float32(x*log2E) + magic
	n := t - magic
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	q := float32(q4*r) + q3
	q = float32(q*r) + q2
	q = float32(q*r) + q1
	q = float32(q*r) + q0
	return r + float32(q*float32(r*r)), int32(math.Float32bits(t) - math.Float32bits(magic))
}

// power returns 2ⁿ for -126 <= n <= 127.
func power(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

func expOf(x float32) float32 {
	if expMax < x {
		x = expMax
	}
	if expMin > x {
		x = expMin
	}
	e, n := expm1(x)
	half := n >> 1 // n may lie beyond the exponents of normal numbers
	return float32(float32((e+1)*power(half)) * power(n-half))
}

func sigmoidOf(x float32) float32 {
	x = -x
	if sigmoidMax < x {
		x = sigmoidMax
	}
	if sigmoidMin > x {
		x = sigmoidMin
	}
	e, n := expm1(x)
	return 1 / (float32((e+1)*power(n)) + 1)
}

// tanhOf is sign(x)·e/(e + 2) with e = exp(2|x|) − 1 = 2ⁿ·(eʳ − 1) + (2ⁿ − 1).
func tanhOf(x float32) float32 {
	bits := math.Float32bits(x)
	sign := bits & (1 << 31)
	x = math.Float32frombits(bits ^ sign)
	x += x
	if tanhMax < x {
		x = tanhMax
	}
	e, n := expm1(x)
	p := power(n)
	e = float32(e*p) + (p - 1)
	return math.Float32frombits(math.Float32bits(e/(e+2)) | sign)
}
