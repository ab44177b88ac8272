package classify

import "github.com/weirnet/weir/flow"

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
func (m *Model) Judge(e *Engine, inputs []Input) Verdict {
	var v Verdict
	t := e.NewTrack()
	for i := range inputs {
		s := m.step(e, t, &inputs[i])
		class, confidence := best(s.packet)
		v.Packets = append(v.Packets, Answer{class, confidence})
		if s.flow != nil {
			class, confidence := best(s.flow)
			v.Steps = append(v.Steps, Answer{class, confidence})
		}
		if v.Decided > 0 || !s.final && i+1 < len(inputs) {
			continue
		}
		v.Decided = i + 1
		v.Novelty = m.novelty(e, t)
		v.Novel = v.Novelty >= 1
		v.LogProbs, v.Answer = t.decide(nil)
	}
	return v
}

// Label runs the cascade over the payloads of an opening, at least one, at once, and returns the final label that a Classifier would
// have given the flow after them. in is scratch.
func (m *Model) Label(e *Engine, opening []flow.Payload, proto uint8, in *Input) flow.Label {
	t := e.NewTrack()
	for i := range opening {
		before := int64(0)
		if i > 0 {
			before = opening[i-1].Nanos
		}
		m.Arch.Fill(in, &opening[i], proto, i, before)
		if m.step(e, t, in).final {
			break
		}
	}
	_, answer := t.decide(nil)
	label := flow.Label{
		Class: answer.Class, Confidence: answer.Confidence, Source: flow.FromPacket, Packets: uint64(t.Packets),
		Novel: m.novelty(e, t) >= 1, Final: true, NoveltyBin: m.noveltyBin(t),
	}
	if m.Arch.Flow {
		label.Source = flow.FromFlow
	}
	return label
}
