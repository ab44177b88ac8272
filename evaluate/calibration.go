package evaluate

import "math"

// Calibration says what confidences are worth.
type Calibration struct {
	// ECE is the expected calibration error: the mean of |accuracy - confidence| over 15 bins
	// of equal width, weighted by their items (Guo et al. 2017, equation 3).
	ECE Number `json:"ece"`
	// Brier is the mean over the items of the sum over all classes of (probability - truth)².
	// It runs from 0 to 2. Undefined without log-probabilities.
	Brier Number `json:"brier"`
	// NLL is the mean negative log-probability of the truth in nats; a probability below 1e-12 counts as that.
	NLL Number `json:"nll"`
	// Bins are the reliability diagram; empty bins are there too.
	Bins []CalibrationBin `json:"bins"`
}

// A CalibrationBin holds the items whose confidence lies in [Low, High); the last bin holds 1 too.
type CalibrationBin struct {
	Low        Number `json:"low"`
	High       Number `json:"high"`
	Items      int    `json:"items"`
	Confidence Number `json:"confidence"` // mean
	Accuracy   Number `json:"accuracy"`
}

const calibrationBins = 15

// A calibrator gathers confidences. The zero value is ready.
type calibrator struct {
	items, right, confidence [calibrationBins]float64

	withProbs  int
	brier, nll float64
}

// add counts an answer. A confidence that is not in [0, 1] is moved there, NaN to 0.
func (c *calibrator) add(confidence float64, right bool) {
	if !(confidence >= 0) {
		confidence = 0
	}
	confidence = min(confidence, 1)
	bin := min(int(confidence*calibrationBins), calibrationBins-1)
	c.items[bin]++
	c.confidence[bin] += confidence
	if right {
		c.right[bin]++
	}
}

// addProbs counts the whole distribution of the same answer; nil is no distribution.
func (c *calibrator) addProbs(logProbs []float32, truth int) {
	if len(logProbs) == 0 {
		return
	}
	c.withProbs++
	for class, lp := range logProbs {
		p := math.Exp(boundedLog(lp))
		if class == truth {
			c.brier += (1 - p) * (1 - p)
			c.nll -= boundedLog(lp)
		} else {
			c.brier += p * p
		}
	}
}

func (c *calibrator) result() Calibration {
	var total, gap float64
	out := Calibration{Bins: make([]CalibrationBin, calibrationBins)}
	for i := range out.Bins {
		out.Bins[i] = CalibrationBin{
			Low: Number(i) / calibrationBins, High: Number(i+1) / calibrationBins, Items: int(c.items[i]),
			Confidence: share(c.confidence[i], c.items[i]), Accuracy: share(c.right[i], c.items[i]),
		}
		total += c.items[i]
		gap += math.Abs(c.right[i] - c.confidence[i])
	}
	out.ECE = share(gap, total)
	out.Brier, out.NLL = share(c.brier, float64(c.withProbs)), share(c.nll, float64(c.withProbs))
	return out
}
