package anomaly

import (
	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
	"github.com/weirnet/weir/nn/infer"
)

// network is paper B's: one LSTM over the windows, and a dense layer that turns its state after
// each window back into that window.
//
//	y[t] = h[t]·W + b,  h = LSTM(x)    x, y: (steps, features)
type network struct {
	lstm *nn.LSTM
	out  *nn.Dense
}

func newNetwork(hidden int) *network {
	n := &network{
		lstm: nn.NewLSTM("lstm", features, hidden, 1, 0),
		out:  nn.NewDense("out", hidden, features),
	}
	n.lstm.Leaf = true
	return n
}

// Params returns the parameters of both layers.
func (n *network) Params() []*nn.Param { return append(n.lstm.Params(), n.out.Params()...) }

// forward maps sequences of the given lengths, ragged (Σ lengths, features), to their
// reconstruction of the same shape, valid until the next call.
func (n *network) forward(p nn.Pass, x []float32, lengths []int) []float32 {
	return n.out.Forward(p, n.lstm.Forward(p, x, lengths))
}

func (n *network) backward(dy []float32) { n.lstm.Backward(n.out.Backward(dy)) }

// Inputs says in words what the input of Graph is, for those who feed it elsewhere.
const Inputs = "windows: three windows in a row, the newest last, each the 53 features scaled as in weir.settings"

// Graph is the network as a graph: "windows", three scaled windows in a row, to "windows_expected",
// what it makes of them.
func (m *Model) Graph() *graph.Graph { return m.net.graph() }

func (n *network) graph() *graph.Graph {
	g := new(graph.Graph)
	x := g.Input("windows", graph.Float, graph.Sequence(steps, features))
	g.Output("windows_expected", n.out.Graph(g, n.lstm.Graph(g, x)))
	return g
}

// compile compiles the network as it is now for batches of sequences. A sequence gives the same bits
// in any batch.
func (n *network) compile(batch int) *infer.Program {
	p, err := infer.Compile(n.graph(), infer.Options{Batch: batch})
	if err != nil {
		panic(err) // there is nothing in it that cannot be compiled
	}
	return p
}
