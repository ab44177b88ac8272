package classify

import "github.com/weirnet/weir/nn/graph"

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
