package kernel

import "math"

// The plain twins of the generated assembly. A conversion around each product forbids fusing it
// with a sum (Go specification, "Floating-point operators").

func addPlain(dst, x []float32) {
	for i, v := range x {
		dst[i] += v
	}
}

func mulPlain(dst, x []float32) {
	for i, v := range x {
		dst[i] *= v
	}
}

func scalePlain(x []float32, a float32) {
	for i := range x {
		x[i] *= a
	}
}

func reluPlain(dst, x []float32) {
	for i, v := range x {
		if v < 0 {
			v = 0
		}
		dst[i] = v
	}
}

func addReLUPlain(dst, x, y []float32) {
	for i, v := range x {
		v += y[i]
		if v < 0 {
			v = 0
		}
		dst[i] = v
	}
}

func reluGradPlain(dst, dy, y []float32) {
	for i, v := range y {
		if v > 0 {
			dst[i] = dy[i]
		} else {
			dst[i] = 0
		}
	}
}

func expPlain(dst, x []float32) {
	for i, v := range x {
		dst[i] = expOf(v)
	}
}

func sigmoidPlain(dst, x []float32) {
	for i, v := range x {
		dst[i] = sigmoidOf(v)
	}
}

func tanhPlain(dst, x []float32) {
	for i, v := range x {
		dst[i] = tanhOf(v)
	}
}

func lstmCellPlain(i, f, g, o, before, c, tanhC, h []float32) {
	for j := range c {
		in, forget, fresh, out := sigmoidOf(i[j]), sigmoidOf(f[j]), tanhOf(g[j]), sigmoidOf(o[j])
		i[j], f[j], g[j], o[j] = in, forget, fresh, out
		state := float32(forget*before[j]) + float32(in*fresh)
		squashed := tanhOf(state)
		c[j], tanhC[j] = state, squashed
		h[j] = out * squashed
	}
}

func lstmCellGradPlain(i, f, g, o, before, tanhC, dh, dc []float32) {
	for j, dOut := range dh {
		in, forget, fresh, out, squashed := i[j], f[j], g[j], o[j], tanhC[j]
		d := dc[j] + float32(float32(dOut*out)*(1-float32(squashed*squashed)))
		o[j] = float32(float32(float32(dOut*squashed)*out) * (1 - out))
		i[j] = float32(float32(float32(d*fresh)*in) * (1 - in))
		g[j] = float32(float32(d*in) * (1 - float32(fresh*fresh)))
		f[j] = float32(float32(float32(d*before[j])*forget) * (1 - forget))
		dc[j] = d * forget
	}
}

func adamPlain(w, g, m, v []float32, beta1, rest1, beta2, rest2, step, root, eps, keep float32) {
	for i, gi := range g {
		mi := float32(beta1*m[i]) + float32(rest1*gi)
		vi := float32(beta2*v[i]) + float32(float32(rest2*gi)*gi)
		m[i], v[i] = mi, vi
		w[i] = float32(keep*w[i]) - float32(step*mi)/(float32(float32(math.Sqrt(float64(vi)))*root)+eps)
	}
}

func affinePlain(y, x, a, b []float32) {
	for i := 0; i < len(x); i += len(a) {
		row := y[i : i+len(a)]
		for j, v := range x[i : i+len(a)] {
			row[j] = float32(a[j]*v) + b[j]
		}
	}
}

func affineReLUPlain(y, x, a, b []float32) {
	affinePlain(y, x, a, b)
	reluPlain(y, y)
}

func affine2Plain(z, x, y, a, b, c []float32) {
	for i := 0; i < len(x); i += len(a) {
		row, other := z[i:i+len(a)], y[i:i+len(a)]
		for j, v := range x[i : i+len(a)] {
			row[j] = float32(a[j]*v) + float32(b[j]*other[j]) + c[j]
		}
	}
}

func columnSumsPlain(x, sums []float32) {
	for i := 0; i < len(x); i += len(sums) {
		for j, v := range x[i : i+len(sums)] {
			sums[j] += v
		}
	}
}

func squaredDeviationsPlain(x, mean, sums []float32) {
	for i := 0; i < len(x); i += len(sums) {
		for j, v := range x[i : i+len(sums)] {
			d := v - mean[j]
			sums[j] += float32(d * d)
		}
	}
}

func gradSumsPlain(dy, x, mean, sums, prods []float32) {
	for i := 0; i < len(dy); i += len(sums) {
		other := x[i : i+len(sums)]
		for j, d := range dy[i : i+len(sums)] {
			sums[j] += d
			prods[j] += float32(d * (other[j] - mean[j]))
		}
	}
}
