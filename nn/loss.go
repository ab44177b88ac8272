package nn

import (
	"fmt"
	"math"

	"github.com/weirnet/weir/internal/kernel"
)

// Softmax turns each row of logits into probabilities in place.
func Softmax(x []float32, classes int) {
	rows("Softmax", x, classes)
	for i := 0; i < len(x); i += classes {
		kernel.Softmax(x[i : i+classes])
	}
}

// CrossEntropy is the loss −log softmax(logits)[label]. With smoothing ε the target is
// 1−ε on the label and ε spread over all classes (Szegedy et al. 2016, section 7); with class
// weights each term counts by the weight of its class. Both are as in PyTorch.
type CrossEntropy struct {
	Classes   int
	Weights   []float32 // per class; nil for 1 each
	Smoothing float64   // ε
}

// Total returns the sum of the rows' weights: what a mean over them divides by. A row weighs its
// class weight times its own weight; weights may be nil for 1 each. A row with a negative label
// weighs nothing.
func (c *CrossEntropy) Total(labels []int32, weights []float32) float64 {
	total := 0.0
	for i, label := range labels {
		total += c.weight(i, label, weights)
	}
	return total
}

func (c *CrossEntropy) weight(i int, label int32, weights []float32) float64 {
	if label < 0 {
		return 0
	}
	if int(label) >= c.Classes {
		panic(fmt.Sprintf("nn: CrossEntropy: label %d of %d classes", label, c.Classes))
	}
	w := 1.0
	if c.Weights != nil {
		w = float64(c.Weights[label])
	}
	if weights != nil {
		w *= float64(weights[i])
	}
	return w
}

// Loss returns scale times the sum of the rows' losses and turns logits, in place, into its
// gradient. For the mean over a batch that is cut in shards, scale is 1 / Total of the whole
// batch. A row that weighs nothing (a masked position) gets a gradient of zero.
func (c *CrossEntropy) Loss(logits []float32, labels []int32, weights []float32, scale float64) float64 {
	n := rows("CrossEntropy", logits, c.Classes)
	if n != len(labels) || weights != nil && n != len(weights) {
		panic(fmt.Sprintf("nn: CrossEntropy: %d rows, %d labels, %d weights", n, len(labels), len(weights)))
	}
	loss := 0.0
	for i, label := range labels {
		row := logits[i*c.Classes : (i+1)*c.Classes]
		w := c.weight(i, label, weights)
		if w == 0 {
			clear(row)
			continue
		}
		own := 1.0 // the row's weight without that of its class
		if weights != nil {
			own = float64(weights[i])
		}
		loss += c.row(row, int(label), own, scale)
	}
	return loss * scale
}

// row returns the loss of one row, not scaled, and replaces the logits by the scaled gradient.
//
//	loss = −own · Σ_k q[k]·log p[k]    with q[k] = (1−ε)·w[k]·[k = label] + ε/K·w[k]
//	∂loss/∂logit[k] = own · (p[k]·Σ q − q[k])
func (c *CrossEntropy) row(row []float32, label int, own, scale float64) float64 {
	top := row[0]
	for _, v := range row {
		top = max(top, v)
	}
	sum := 0.0
	for _, v := range row {
		sum += math.Exp(float64(v - top))
	}
	logSum := math.Log(sum) + float64(top)
	spread := c.Smoothing / float64(c.Classes)
	loss, mass := 0.0, 0.0
	for k, v := range row {
		q := c.target(k, label, spread)
		if q != 0 {
			loss -= q * (float64(v) - logSum)
			mass += q
		}
	}
	for k, v := range row {
		p := math.Exp(float64(v) - logSum)
		row[k] = float32(scale * own * (p*mass - c.target(k, label, spread)))
	}
	return own * loss
}

func (c *CrossEntropy) target(k, label int, spread float64) float64 {
	q := spread
	if k == label {
		q += 1 - c.Smoothing
	}
	if c.Weights != nil {
		q *= float64(c.Weights[k])
	}
	return q
}

// MSE returns scale · Σ w·(y − target)² over rows of the given width and turns y, in place, into
// its gradient. weights are per row; nil for 1 each. For the mean over a batch, scale is
// 1 / (Σ w · width) of the whole batch.
func MSE(y, target []float32, width int, weights []float32, scale float64) float64 {
	n := rows("MSE", y, width)
	if len(target) != len(y) || weights != nil && n != len(weights) {
		panic(fmt.Sprintf("nn: MSE: %d values, %d targets, %d weights", len(y), len(target), len(weights)))
	}
	loss := 0.0
	for i := range n {
		w := 1.0
		if weights != nil {
			w = float64(weights[i])
		}
		row, want := y[i*width:(i+1)*width], target[i*width:(i+1)*width]
		if w == 0 {
			clear(row)
			continue
		}
		sum := 0.0
		for j, v := range row {
			d := float64(v) - float64(want[j])
			sum += d * d
			row[j] = float32(2 * scale * w * d)
		}
		loss += w * sum
	}
	return loss * scale
}
