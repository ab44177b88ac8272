//go:build !purego

package kernel

import "math"

// lanes holds the constants as the assembly reads them: 16 times each. The assembly takes the
// indexes from here by their names.
//
//lint:ignore U1000 read by the assembly
var lanes = [...][16]float32{
	laneLog2E:      replicate(log2E),
	laneLn2Hi:      replicate(ln2Hi),
	laneLn2Lo:      replicate(ln2Lo),
	laneMagic:      replicate(magic),
	laneQ0:         replicate(q0),
	laneQ1:         replicate(q1),
	laneQ2:         replicate(q2),
	laneQ3:         replicate(q3),
	laneQ4:         replicate(q4),
	laneOne:        replicate(1),
	laneTwo:        replicate(2),
	laneSign:       replicate(float32(math.Copysign(0, -1))),
	laneExpMax:     replicate(expMax),
	laneExpMin:     replicate(expMin),
	laneSigmoidMax: replicate(sigmoidMax),
	laneSigmoidMin: replicate(sigmoidMin),
	laneTanhMax:    replicate(tanhMax),
	laneByte:       replicate(255),
}

const (
	laneLog2E = iota
	laneLn2Hi
	laneLn2Lo
	laneMagic
	laneQ0
	laneQ1
	laneQ2
	laneQ3
	laneQ4
	laneOne
	laneTwo
	laneSign
	laneExpMax
	laneExpMin
	laneSigmoidMax
	laneSigmoidMin
	laneTanhMax
	laneByte
)

func replicate(x float32) (all [16]float32) {
	for i := range all {
		all[i] = x
	}
	return all
}
