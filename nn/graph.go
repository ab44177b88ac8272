package nn

import (
	"math"
	"strings"

	"github.com/weirnet/weir/nn/graph"
)

// What each layer computes in evaluation, as nodes of a graph. The graph shares the weights but for
// those that have another form there: it is of the layer as it stands now.

// Graph adds the layers in order and returns the value of the last.
func (s Sequential) Graph(g *graph.Graph, x graph.Value) graph.Value {
	for _, l := range s {
		x = l.Graph(g, x)
	}
	return x
}

// Graph adds the convolution.
func (c *Conv2D) Graph(g *graph.Graph, x graph.Value) graph.Value {
	return g.Apply(layerName(c.Weight), graph.Conv{
		Geometry: c.Geometry, Out: c.Out.Channels, Weight: c.Weight.Value, Bias: valueOf(c.Bias),
	}, x)
}

// Graph adds the product; an image is taken as one place.
func (d *Dense) Graph(g *graph.Graph, x graph.Value) graph.Value {
	if s := g.Nodes[x].Shape; s.Channels != d.In {
		x = g.Apply(layerName(d.Weight)+".reshape", graph.Reshape{To: graph.Vector(s.Size())}, x)
	}
	return g.Apply(layerName(d.Weight), graph.Dense{Out: d.Out, Weight: d.Weight.Value, Bias: valueOf(d.Bias)}, x)
}

// Graph adds the normalisation by the running statistics, and the ReLU if there is one.
func (b *BatchNorm) Graph(g *graph.Graph, x graph.Value) graph.Value {
	name := layerName(b.Scale)
	gain, offset := make([]float32, b.Channels), make([]float32, b.Channels)
	for j := range gain {
		gain[j], offset[j] = b.fixed(j)
	}
	x = g.Apply(name, graph.Affine{Gain: gain, Offset: offset}, x)
	if b.ReLU {
		x = g.Apply(name+".relu", graph.ReLU{}, x)
	}
	return x
}

// fixed returns the affine function that channel j goes through in evaluation.
func (b *BatchNorm) fixed(j int) (gain, offset float32) {
	gain = b.Scale.Value[j] * float32(1/math.Sqrt(float64(b.Var.Value[j])+b.Eps))
	return gain, b.Shift.Value[j] - b.Mean.Value[j]*gain
}

// Graph adds the convolution, then the normalisation.
func (c *ConvNorm) Graph(g *graph.Graph, x graph.Value) graph.Value {
	return c.Norm.Graph(g, c.Conv.Graph(g, x))
}

// Graph adds the ReLU.
func (r *ReLU) Graph(g *graph.Graph, x graph.Value) graph.Value {
	return g.Apply("relu", graph.ReLU{}, x)
}

// Graph adds nothing: there is no dropout in evaluation.
func (d *Dropout) Graph(_ *graph.Graph, x graph.Value) graph.Value { return x }

// Graph adds the mean.
func (p *GlobalAvgPool) Graph(g *graph.Graph, x graph.Value) graph.Value {
	return g.Apply("pool", graph.Mean{}, x)
}

// Graph adds the block: body, projection if there is one, their sum and its ReLU.
func (b *Bottleneck) Graph(g *graph.Graph, x graph.Value) graph.Value {
	body := b.widen.Graph(g, b.middle.Graph(g, b.narrow.Graph(g, x)))
	if b.projection != nil {
		x = b.projection.Graph(g, x)
	}
	return g.Apply("block.relu", graph.ReLU{}, g.Apply("block.add", graph.Add{}, body, x))
}

// Graph adds the table; x holds its indices.
func (e *Embedding) Graph(g *graph.Graph, x graph.Value) graph.Value {
	return g.Apply(layerName(e.Weight), graph.Embedding{Count: e.Count, Size: e.Size, Weight: e.Weight.Value}, x)
}

// Graph adds the bag; x holds the indices, Count where there are fewer.
func (b *Bag) Graph(g *graph.Graph, x graph.Value) graph.Value {
	return g.Apply(layerName(b.Weight), graph.Bag{Count: b.Count, Size: b.Size, Weight: b.Weight.Value}, x)
}

// Graph adds one node per layer; x is a sequence.
func (l *LSTM) Graph(g *graph.Graph, x graph.Value) graph.Value {
	for _, k := range l.layers {
		bias := make([]float32, len(k.bx.Value))
		for i := range bias {
			bias[i] = k.bx.Value[i] + k.bh.Value[i]
		}
		name, layer, _ := strings.Cut(k.wx.Name, ".weight_ih_")
		x = g.Apply(name+"."+layer, graph.LSTM{Hidden: k.hidden, Wx: k.wx.Value, Wh: k.wh.Value, Bias: bias}, x)
	}
	return x
}

// layerName is the name of the layer that a weight belongs to.
func layerName(weight *Param) string { return strings.TrimSuffix(weight.Name, ".weight") }

func valueOf(p *Param) []float32 {
	if p == nil {
		return nil
	}
	return p.Value
}
