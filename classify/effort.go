package classify

import "sync/atomic"

// Effort is how much of the cascade a Classifier does. Less of it is for when packets come faster than networks judge
// them; it is counted in Shed.
type Effort uint8

// From the most to the least.
const (
	// Full is paper A's cascade.
	Full Effort = iota
	// NoFlowNetwork labels flows by the packet network alone. A flow that comes to T packets meanwhile is given up: its
	// label is final. Others are made up for, from their openings, when there is time again.
	NoFlowNetwork
	// NoNetworks leaves flows without a label, or with the one they have. The same holds of those that come to T packets.
	NoNetworks
	// NoLabels gives up all flows at their next payload, so that no opening is kept.
	NoLabels
	NumEfforts = iota
)

// String returns the name of an effort in outputs.
func (e Effort) String() string {
	return [NumEfforts]string{"full", "no_flow_network", "no_networks", "no_labels"}[e]
}

// Shed counts what was not done, by the effort of the time; nothing counts under Full.
type Shed struct {
	Packets [NumEfforts]uint64 // payload packets that were not looked at, or not by the flow network, when they came
	Flows   [NumEfforts]uint64 // flows whose label, or lack of one, is final for less than the full work
}

// Add adds the counts of another Classifier.
func (s *Shed) Add(t *Shed) {
	for e := range s.Packets {
		s.Packets[e] += t.Packets[e]
		s.Flows[e] += t.Flows[e]
	}
}

// shed is a Shed that one goroutine counts in and others read.
type shed struct {
	packets, flows [NumEfforts]atomic.Uint64
}

// SetEffort changes the effort from the next packet on. Any goroutine may call it.
func (c *Classifier) SetEffort(e Effort) { c.effort.Store(uint32(e)) }

// Shed returns the counts so far. Any goroutine may call it.
func (c *Classifier) Shed() (s Shed) {
	for e := range s.Packets {
		s.Packets[e], s.Flows[e] = c.shed.packets[e].Load(), c.shed.flows[e].Load()
	}
	return s
}
