package classify

import (
	"fmt"

	"github.com/weirnet/weir/nn/graph"
)

// PacketGraph is the packet network as a graph. Its inputs are "bytes", one row of normalised bytes
// (profile Default: indices, 256 after the payload's end; profile Paper: a 28 × 28 image of bytes),
// and, with runs of four bytes, "grams", their hashes in order, Architecture.Grams where there are
// no more. Its outputs are "encoding" and "scores", the class scores before temperature and softmax.
func (n *Network) PacketGraph() *graph.Graph {
	g := new(graph.Graph)
	encoding := n.packet.graph(g)
	g.Output("encoding", encoding)
	g.Output("scores", n.packetHead.Graph(g, encoding))
	return g
}

// PacketGraph is Network.PacketGraph of the model's network.
func (m *Model) PacketGraph() *graph.Graph { return m.network().PacketGraph() }

// FlowGraph is Network.FlowGraph of the model's network.
func (m *Model) FlowGraph(steps int) *graph.Graph { return m.network().FlowGraph(steps) }

// PacketInputs says in words what the inputs of PacketGraph are, for those who feed it elsewhere.
func (a *Architecture) PacketInputs() string {
	how := fmt.Sprintf("bytes: the first %d bytes of a packet's TCP or UDP payload", a.Normaliser.Bytes)
	if a.Normaliser.Collapse || a.Normaliser.Runs || a.Normaliser.DHCP {
		how += ", normalised as the architecture in weir.settings says"
	}
	if a.Residual || a.Imported != nil && !a.Imported.Padding {
		how += ", 0 after its end"
	} else {
		how += ", 256 after its end"
	}
	if a.Grams > 0 {
		how += fmt.Sprintf("; grams: for each run of four bytes, as a number with the first byte highest, its product with 0x9e3779b1 modulo 2^32, shifted right so that less than %d is left; %d where there are no more",
			a.Grams, a.Grams)
	}
	return how
}

// FlowInputs says in words what the inputs of FlowGraph are.
func (a *Architecture) FlowInputs() string {
	if a.RawBytes {
		return fmt.Sprintf("bytes: the first %d payload bytes of each of a flow's first %d payload packets, one packet after the other, 0 after a payload's end and where there are no more packets; the scores after packet n are row n",
			a.Normaliser.Bytes, a.Packets)
	}
	return fmt.Sprintf("of each of a flow's first %d payload packets: encoding: the packet network's; length: the payload's length, at most %d, and %d more from the responder; "+
		"scalars: direction (originator -1, responder 1), log(1+length)/7, length/750 at most 4, log(1+milliseconds since the payload before)/10, 1 for UDP, place/%d; the scores after packet n are row n",
		a.Packets, lengthBuckets-1, lengthBuckets, a.Packets)
}

// FlowGraph is the flow network over a flow's first steps payload packets as a graph, nil without
// one. In profile Paper its input is "bytes", a row of bytes per packet; otherwise "encoding", the
// packet network's, "length", the index of Input.Length, and "scalars", Input.Scalars. Its outputs
// are "state", the last layer's h, and "scores", the class scores, after each packet.
func (n *Network) FlowGraph(steps int) *graph.Graph {
	if !n.Arch.Flow {
		return nil
	}
	g := new(graph.Graph)
	var x graph.Value
	if n.Arch.RawBytes {
		width := n.Arch.Normaliser.Bytes
		bytes := g.Input("bytes", graph.Byte, graph.Sequence(steps*width, 1))
		x = g.Apply("pixels.rows", graph.Reshape{To: graph.Sequence(steps, width)}, bytesToPixels(g, bytes))
	} else {
		x = g.Apply("flow.concat", graph.Concat{},
			g.Input("encoding", graph.Float, graph.Sequence(steps, n.Arch.Encoding)),
			n.lengths.Graph(g, g.Input("length", graph.Index, graph.Sequence(steps, 1))),
			g.Input("scalars", graph.Float, graph.Sequence(steps, scalars)))
	}
	state := n.lstm.Graph(g, x)
	g.Output("state", state)
	g.Output("scores", n.head.Graph(g, state))
	return g
}
