package classify

import "math"

// Answer is a class with its calibrated probability.
type Answer struct {
	Class      int32
	Confidence float32
}

// Verdict is everything the cascade says of one flow, for evaluation.
type Verdict struct {
	Packets []Answer // of the packet network, each packet alone
	Steps   []Answer // of the flow network after 1, 2, … packets; empty without one
	Answer           // the cascade's final label
	Decided int      // payload packets after which it was final
	Novel   bool
	Novelty float64 // from 1 on the flow is novel
	// LogProbs are the logarithms of the final probabilities, by class.
	LogProbs []float32
}

// Judge runs the cascade over the inputs of a flow as service would, with one difference: after
// the decision it goes on, so that Packets and Steps cover all inputs. Without a flow network the
// final probabilities are the normalised product of the packets'.
func (m *Model) Judge(net *Network, inputs []Input) Verdict {
	var v Verdict
	t := net.NewTrack()
	sum := make([]float64, m.Arch.Classes)
	for i := range inputs {
		s := m.step(net, t, &inputs[i])
		class, confidence := best(s.packet)
		v.Packets = append(v.Packets, Answer{class, confidence})
		for c, p := range s.packet {
			sum[c] += logProb(p)
		}
		if s.flow != nil {
			class, confidence := best(s.flow)
			v.Steps = append(v.Steps, Answer{class, confidence})
		}
		if v.Decided > 0 || !s.final && i+1 < len(inputs) {
			continue
		}
		v.Decided = i + 1
		v.Novelty = m.novelty(net, t)
		v.Novel = v.Novelty >= 1
		v.LogProbs = make([]float32, m.Arch.Classes)
		for c := range v.LogProbs {
			if s.flow != nil {
				v.LogProbs[c] = float32(logProb(s.flow[c]))
			} else {
				v.LogProbs[c] = float32(sum[c])
			}
		}
		normalise(v.LogProbs)
		v.Class, v.Confidence = best(v.LogProbs)
		v.Confidence = float32(math.Exp(float64(v.Confidence)))
	}
	return v
}

// logProb keeps a probability that float32 rounded to 0 from outweighing everything else.
func logProb(p float32) float64 { return math.Log(max(float64(p), 1e-12)) }

// normalise makes logarithms those of probabilities that add up to 1.
func normalise(logs []float32) {
	top := float32(math.Inf(-1))
	for _, v := range logs {
		top = max(top, v)
	}
	sum := 0.0
	for _, v := range logs {
		sum += math.Exp(float64(v - top))
	}
	shift := top + float32(math.Log(sum))
	for i := range logs {
		logs[i] -= shift
	}
}
