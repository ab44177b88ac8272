package kernel

// The elementwise kernels give the same bits in every variant, plain Go included: they round each
// product and each sum by itself, as Go does, and add up in a fixed order. The comment of each is
// its loop. All slices of a call have the length of the first, or more where the comment says so;
// a shorter one is a bug and panics. A slice that is written may be the same as one that is read,
// element for element; slices that overlap in another way are not allowed.

// Add is dst += x.
func Add(dst, x []float32) { add(dst, x[:len(dst)]) }

// Mul is dst *= x.
func Mul(dst, x []float32) { mul(dst, x[:len(dst)]) }

// Scale is x *= a.
func Scale(x []float32, a float32) { scale(x, a) }

// ReLU is dst = max(0, x). NaN stays NaN and -0 stays -0.
func ReLU(dst, x []float32) { relu(dst, x[:len(dst)]) }

// AddReLU is dst = max(0, x+y).
func AddReLU(dst, x, y []float32) { addReLU(dst, x[:len(dst)], y[:len(dst)]) }

// ReLUGrad is dst = dy where y > 0, and 0 elsewhere.
func ReLUGrad(dst, dy, y []float32) { reluGrad(dst, dy[:len(dst)], y[:len(dst)]) }

// Exp is dst = eˣ, within 1.3 units in the last place where the result is a normal number.
func Exp(dst, x []float32) { exp(dst, x[:len(dst)]) }

// Sigmoid is dst = 1/(1 + e⁻ˣ), within 2.5 units in the last place for x > -87, and below 2^-125
// elsewhere.
func Sigmoid(dst, x []float32) { sigmoid(dst, x[:len(dst)]) }

// Tanh is dst = tanh x, within 3 units in the last place.
func Tanh(dst, x []float32) { tanh(dst, x[:len(dst)]) }

// Softmax is x = eˣ / Σ eˣ for one row of n values, each within (t + ln n + 8)·2⁻²⁴ of itself where
// that is a normal number, t being how far its x lies below the largest.
func Softmax(x []float32) {
	if len(x) == 0 {
		return
	}
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	for i := range x {
		x[i] -= top
	}
	Exp(x, x)
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	Scale(x, float32(1/sum))
}

// LSTMCell is one step of an LSTM for one row. gates holds the sums of the gates i, f, g and o,
// len(c) of each, and receives their activations; before is c of the step before and may be c;
// tanhC may be h when it is not wanted.
//
//	i, f, o = σ(i), σ(f), σ(o)
//	g       = tanh(g)
//	c       = f·before + i·g
//	tanhC   = tanh(c)
//	h       = o·tanhC
func LSTMCell(gates, before, c, tanhC, h []float32) {
	n := len(c)
	lstmCell(gates[:n], gates[n:2*n], gates[2*n:3*n], gates[3*n:4*n], before[:n], c, tanhC[:n], h[:n])
}

// LSTMCellGrad goes back through LSTMCell. It turns the activations in gates into the gradients
// of the sums they came from, and dc, the gradient of c without what h hands down, into that of
// before.
//
//	d  = dc + dh·o·(1 − tanhC²)
//	i' = d·g·i·(1 − i)
//	f' = d·before·f·(1 − f)
//	g' = d·i·(1 − g²)
//	o' = dh·tanhC·o·(1 − o)
//	dc = d·f
func LSTMCellGrad(gates, before, tanhC, dh, dc []float32) {
	n := len(dc)
	lstmCellGrad(gates[:n], gates[n:2*n], gates[2*n:3*n], gates[3*n:4*n], before[:n], tanhC[:n], dh[:n], dc)
}

// AdamRates are the numbers of a step of Adam (Kingma and Ba 2015, algorithm 1).
type AdamRates struct {
	Beta1, Beta2 float32
	Step         float32 // learning rate / (1 − β₁ᵗ)
	Root         float32 // 1 / √(1 − β₂ᵗ)
	Eps          float32
	Keep         float32 // what weight decay leaves; 1 without
}

// Adam is one step for the weights w with gradient g and the running moments m and v.
//
//	m = β₁·m + (1−β₁)·g
//	v = β₂·v + (1−β₂)·g·g
//	w = Keep·w − Step·m / (√v·Root + Eps)
func Adam(w, g, m, v []float32, r AdamRates) {
	n := len(w)
	adam(w, g[:n], m[:n], v[:n], r.Beta1, 1-r.Beta1, r.Beta2, 1-r.Beta2, r.Step, r.Root, r.Eps, r.Keep)
}
